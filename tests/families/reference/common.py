"""Code that the families' modules share: weights drawn by name, prompts, the literal pieces of a decoder."""
from collections.abc import Callable
from dataclasses import dataclass
import math
import os
import sys
import numpy as np

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../reference"))
import models as generator      # noqa: E402  (the generator that Python and Rust share)

N_VOCAB = generator.N_VOCAB
# Rows of logits that are kept of the longest prompt.
N_LAST = 8


@dataclass
class Model:
    """A tiny model: its config.json, its state dict as {name: (kind, shape)}, and what its reference gives, as {file name: array}."""
    config: dict
    tensors: dict
    run: Callable
    about: str


def gain(*shape):
    return "gain", shape


def weight(*shape):
    return "weight", shape


def slopes_of(n_head):
    """Slopes as the checkpoints of Jais and BTLM hold them."""
    return "slopes", (n_head, 1)


def draw(model, name, kind, shape):
    """Tensor drawn by the names of the model and the tensor, bit for bit as weights.rs draws it."""
    if kind == "slopes":
        return np.array(slopes(shape[0]), np.float32).reshape(shape)
    k = generator.bell(f"{model}/{name}", shape).astype(np.float32)
    return 1 + k / np.float32(1024) if kind == "gain" else k / np.float32(2048)


def linear(name, n_out, n_in, bias=True):
    """Shapes of torch.nn.Linear: a row for each output."""
    tensors = {name + ".weight": weight(n_out, n_in)}
    return tensors | {name + ".bias": weight(n_out)} if bias else tensors


def conv1d(name, n_in, n_out):
    """Shapes of transformers' Conv1D: a row for each input."""
    return {name + ".weight": weight(n_in, n_out), name + ".bias": weight(n_out)}


def norm(name, n, bias=True):
    tensors = {name + ".weight": gain(n)}
    return tensors | {name + ".bias": weight(n)} if bias else tensors


def prompts():
    return generator.prompts()


def decoder_logits(forward):
    """f32 [positions, vocabulary]: the prompts of 1, 7 and 64 tokens, each from an empty context, then the end of one of 300.

    `forward` takes tokens, int64 [n], and returns logits [n, vocabulary]."""
    import torch
    with torch.no_grad():
        rows = [forward(torch.from_numpy(p)).float().numpy() for p in prompts()]
    return np.concatenate(rows[:-1] + [rows[-1][-N_LAST:]])


def transformers_model(model, state, aliases=None):
    """Loads the state dict into a model of transformers, under the names that it has there; buffers and tied copies may be missing."""
    aliases = aliases or (lambda name: name)
    missing, unexpected = model.load_state_dict({aliases(name): x for name, x in state.items()}, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise SystemExit(f"{type(model).__name__}: names differ: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model.float().eval()


def slopes(n_head, max_bias=8):
    """`get_slopes` of the code beside the ALiBi paper (arXiv 2108.12409), with 8 as a parameter."""
    if math.log2(n_head).is_integer():
        start = 2 ** (-max_bias / n_head)
        return [start ** (i + 1) for i in range(n_head)]
    closest = 2 ** math.floor(math.log2(n_head))
    return slopes(closest, max_bias) + slopes(2 * closest, max_bias)[0::2][:n_head - closest]


def heads(x, n_head):
    """[n, n_head * d] as [n_head, n, d]"""
    return x.reshape(x.shape[0], n_head, -1).transpose(0, 1)


def alibi_attention(q, k, v, scale, slope, shrink=None):
    """Causal attention with a bias of -slope * distance, [n_head, n, d] each; as [n, n_head * d]. k and v may have one head for several of q.

    `shrink`: what the slopes of each query are multiplied with, [n]."""
    import torch
    n_head, n = q.shape[:2]
    k, v = (x.repeat_interleave(n_head // x.shape[0], 0) for x in (k, v))
    position = torch.arange(n)
    distance = position[:, None] - position[None, :]
    bias = torch.tensor(slope, dtype=q.dtype)[:, None, None] * distance
    if shrink is not None:
        bias = bias * shrink[:, None]
    scores = q @ k.transpose(1, 2) * scale - bias
    scores = scores.masked_fill(distance < 0, -torch.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1).reshape(n, -1)


def layer_norm(x, weight, bias=None, eps=1e-5):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    x = (x - mean) / (variance + eps) ** 0.5 * weight
    return x if bias is None else x + bias


def rms_norm(x, weight, eps):
    return x / ((x * x).mean(-1, keepdim=True) + eps) ** 0.5 * weight


def silu(x):
    import torch
    return x * torch.sigmoid(x)


def doubles(state):
    """Literal code runs in f64, so that its results have no rounding of their own."""
    return {name: x.double() for name, x in state.items()}
