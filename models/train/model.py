"""The transformer: GGUF architecture `mpt` (or `gpt2` for the sinusoidal baseline), in PyTorch.

Pre-norm blocks, weight-only LayerNorm, no biases, fused QKV with grouped-query attention,
GELU MLP, output matrix tied to the embedding, ALiBi added after the 1/sqrt(head_dim) scale.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

NORM_EPS = 1e-5
EMBEDDING_STD = 0.05
CHUNK = 64  # queries whose attention is computed together


@dataclass(frozen=True)
class Shape:
    n_vocab: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_layer: int
    n_ff: int
    max_alibi_bias: float  # 0: no ALiBi, sinusoidal positions instead

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    @property
    def n_kv(self) -> int:
        return self.n_head_kv * self.head_dim


SHAPES = {
    # Three layers: 512 tokens of q8_0 cache in 54 KiB. Its vocabulary fills what is left of 256 KiB.
    "micro": Shape(960, 128, 8, 1, 3, 224, 5.0),
    # One KV head keeps 512 tokens of q8_0 cache in 108 KiB. The flattest slope, 2^-5, lets a ring of
    # well under 1024 positions hold all that head ever sees.
    "pocket": Shape(1024, 128, 8, 1, 6, 448, 5.0),
    "stories": Shape(2048, 192, 6, 2, 6, 640, 8.0),
    "sinusoidal": Shape(1024, 128, 8, 1, 6, 448, 0.0),
}


def shape_of(text: str) -> Shape:
    """A name of SHAPES, or the numbers themselves: n_vocab,n_embd,n_head,n_head_kv,n_layer,n_ff,max_alibi_bias."""
    if text in SHAPES:
        return SHAPES[text]
    *sizes, max_alibi_bias = text.split(",")
    return Shape(*map(int, sizes), float(max_alibi_bias))


def alibi_slopes(n_head: int, max_bias: float) -> torch.Tensor:
    """Press et al. 2022: a geometric series for the largest power of two; the other heads lie between."""
    p = 1 << (n_head.bit_length() - 1)
    first = [2.0 ** (-max_bias * (h + 1) / p) for h in range(p)]
    between = [2.0 ** (-max_bias / 2 * (2 * h + 1) / p) for h in range(n_head - p)]
    return torch.tensor(first + between)


def attention_bias(shape: Shape, n: int) -> torch.Tensor:
    """[n_head or 1, n, n]: -slope * distance at or below the diagonal, -inf above."""
    position = torch.arange(n)
    distance = position[:, None] - position[None, :]
    if shape.max_alibi_bias:
        bias = -alibi_slopes(shape.n_head, shape.max_alibi_bias)[:, None, None] * distance
    else:
        bias = torch.zeros(1, n, n)
    return bias.masked_fill(distance < 0, float("-inf"))


def sinusoids(n: int, n_embd: int) -> torch.Tensor:
    """Vaswani et al. 2017, scaled to the size of the embedding's entries: [n, n_embd]."""
    position = torch.arange(n)[:, None]
    frequency = 10000.0 ** (-torch.arange(n_embd // 2)[None, :] * 2.0 / n_embd)
    angle = position * frequency
    return EMBEDDING_STD * torch.cat([angle.sin(), angle.cos()], -1)


class Block(nn.Module):
    def __init__(self, shape: Shape, dropout: float):
        super().__init__()
        self.shape = shape
        self.dropout = dropout
        self.attn_norm = nn.LayerNorm(shape.n_embd, NORM_EPS, bias=False)
        self.attn_qkv = nn.Linear(shape.n_embd, shape.n_embd + 2 * shape.n_kv, bias=False)
        self.attn_output = nn.Linear(shape.n_embd, shape.n_embd, bias=False)
        self.ffn_norm = nn.LayerNorm(shape.n_embd, NORM_EPS, bias=False)
        self.ffn_up = nn.Linear(shape.n_embd, shape.n_ff, bias=False)
        self.ffn_down = nn.Linear(shape.n_ff, shape.n_embd, bias=False)

    def forward(self, x, bias):
        x = x + self.dropped(self.attention(self.attn_norm(x), bias))
        return x + self.dropped(self.ffn_down(F.gelu(self.ffn_up(self.ffn_norm(x)))))

    def dropped(self, x):
        return F.dropout(x, self.dropout, self.training)

    def attention(self, x, bias):
        s, (b, n, _) = self.shape, x.shape
        group = s.n_head // s.n_head_kv
        q, k, v = self.attn_qkv(x).split([s.n_embd, s.n_kv, s.n_kv], -1)
        q = q.view(b, n, s.n_head, s.head_dim).transpose(1, 2) * s.head_dim**-0.5
        k = k.view(b, n, s.n_head_kv, s.head_dim).transpose(1, 2).reshape(b * s.n_head_kv, n, s.head_dim)
        v = v.view(b, n, s.n_head_kv, s.head_dim).transpose(1, 2).reshape(b * s.n_head_kv, n, s.head_dim)
        outputs = []
        # A chunk of queries at a time, so that keys after the chunk cost nothing: faster on a CPU than
        # scaled_dot_product_attention with a mask.
        for begin in range(0, n, CHUNK):
            end = min(begin + CHUNK, n)
            queries = q[:, :, begin:end].reshape(b * s.n_head_kv, group * (end - begin), s.head_dim)
            scores = torch.bmm(queries, k[:, :end].mT).view(b, s.n_head, end - begin, end)
            weights = (scores + bias[:, :, begin:end, :end]).softmax(-1)
            weights = weights.view(b * s.n_head_kv, group * (end - begin), end)
            outputs.append((weights @ v[:, :end]).view(b, s.n_head, end - begin, s.head_dim))
        return self.attn_output(torch.cat(outputs, 2).transpose(1, 2).reshape(b, n, s.n_embd))


class Model(nn.Module):
    def __init__(self, shape: Shape, dropout: float = 0.0):
        super().__init__()
        self.shape = shape
        self.dropout = dropout
        self.token_embd = nn.Embedding(shape.n_vocab, shape.n_embd)
        self.blk = nn.ModuleList(Block(shape, dropout) for _ in range(shape.n_layer))
        self.output_norm = nn.LayerNorm(shape.n_embd, NORM_EPS, bias=False)
        self.reset()

    def reset(self):
        nn.init.normal_(self.token_embd.weight, std=EMBEDDING_STD)
        for block in self.blk:
            for matrix in (block.attn_qkv, block.ffn_up):
                nn.init.normal_(matrix.weight, std=0.5 / math.sqrt(matrix.in_features))
            # A block that starts as the identity: the residual stream is the embedding at first.
            for matrix in (block.attn_output, block.ffn_down):
                nn.init.zeros_(matrix.weight)

    def logits(self, tokens, bias):
        x = self.token_embd(tokens)
        if not self.shape.max_alibi_bias:
            x = x + sinusoids(tokens.shape[1], self.shape.n_embd)
        x = F.dropout(x, self.dropout, self.training)
        for block in self.blk:
            x = block(x, bias)
        return self.output_norm(x) @ self.token_embd.weight.T

    def forward(self, tokens, targets, bias):
        """Mean cross entropy of the targets: each is the token that follows the one at its place."""
        return self.cross_entropy(self.logits(tokens, bias), targets)

    def cross_entropy(self, logits, targets):
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    def compile_parts(self):
        """Compiles a block (its code serves them all) and the loss: many times faster than the model as a whole."""
        for block in self.blk:
            block.compile(dynamic=False)
        self.cross_entropy = torch.compile(self.cross_entropy, dynamic=False)
