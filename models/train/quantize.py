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


@dataclass(frozen=True)
class Types:
    """GGUF types of a model's matrices; norm weights stay F32."""

    embedding: str
    others: str

    def of(self, name: str, weight: torch.Tensor) -> str:
        if weight.dim() == 1:
            return "F32"
        return self.embedding if name == "token_embd.weight" else self.others


OTHER_SHAPES = Types("Q5_0", "Q4_0")
TYPES = {
    "micro": Types("Q4_0", "Q4_0"),
    "pocket": Types("Q5_0", "Q4_0"),
    "stories": Types("Q8_0", "Q8_0"),
    "sinusoidal": Types("Q8_0", "Q8_0"),
}


class Rounded:
    """Within `with`: the model's matrices are those that the file will hold.

    A gradient that is computed within and applied after it to the exact weights is the straight-through one.
    """

    def __init__(self, model: torch.nn.Module, types: Types):
        self.matrices = [(p, types.of(n, p)) for n, p in model.named_parameters() if p.dim() == 2]

    @torch.no_grad()
    def __enter__(self):
        self.exact = [p.clone() for p, _ in self.matrices]
        for p, kind in self.matrices:
            p.copy_(ROUNDING[kind](p))

    @torch.no_grad()
    def __exit__(self, *_):
        for (p, _), exact in zip(self.matrices, self.exact):
            p.copy_(exact)
