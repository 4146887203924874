"""Weights as ggml's block formats will hold them, for training through the rounding.

Each function returns what the runtime will read back: 32 weights of a row share one f16 scale.
"""

from dataclasses import dataclass

import torch

BLOCK = 32


def _f16(x):
    return x.to(torch.float16).to(torch.float32)


def _legacy(w: torch.Tensor, half: int) -> torch.Tensor:
    """Q4_0 (half = 8) and Q5_0 (half = 16): the entry of largest magnitude maps to -half exactly."""
    blocks = w.reshape(-1, BLOCK)
    extreme = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    d = extreme / -half
    inverse = torch.where(d == 0, 0.0, 1.0 / d)
    q = (blocks * inverse + (half + 0.5)).trunc().clamp(0, 2 * half - 1)
    return ((q - half) * _f16(d)).reshape(w.shape)


def q8_0(w: torch.Tensor) -> torch.Tensor:
    blocks = w.reshape(-1, BLOCK)
    d = blocks.abs().amax(1, keepdim=True) / 127
    inverse = torch.where(d == 0, 0.0, 1.0 / d)
    return ((blocks * inverse).round() * _f16(d)).reshape(w.shape)


ROUNDING = {
    "F32": lambda w: w,
    "Q4_0": lambda w: _legacy(w, 8),
    "Q5_0": lambda w: _legacy(w, 16),
    "Q8_0": q8_0,
}


def straight_through(w: torch.Tensor, kind: str) -> torch.Tensor:
    """Forward: the rounded weights. Backward: as if they had not been rounded."""
    return w + (ROUNDING[kind](w.detach()) - w.detach())


@dataclass(frozen=True)
class Types:
    """GGUF types of a model's matrices; norm weights stay F32."""

    embedding: str
    others: str

    def of(self, name: str, weight: torch.Tensor) -> str:
        if weight.dim() == 1:
            return "F32"
        return self.embedding if name == "token_embd.weight" else self.others


TYPES = {
    "pocket": Types("Q5_0", "Q4_0"),
    "stories": Types("Q8_0", "Q8_0"),
    "sinusoidal": Types("Q8_0", "Q8_0"),
}


def rounded(model: torch.nn.Module, types: Types):
    """The model's forward with its matrices rounded on the way."""

    def forward(window, bias):
        weights = {n: straight_through(p, types.of(n, p)) for n, p in model.named_parameters()}
        return torch.func.functional_call(model, weights, (window, bias))

    return forward
