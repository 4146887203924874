"""The tiny models: shapes, and weights that any program can draw again bit for bit. README.md has the specification; weights.rs is the same in Rust."""
from dataclasses import dataclass
import numpy as np

PROMPT_LENS = (1, 7, 64, 300)
N_VOCAB = 320
MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Model:
    name: str
    arch: str
    n_embd: int
    n_head: int
    n_layer: int
    n_head_kv: int
    max_alibi_bias: float = 8.0
    clamp_kqv: float = 0.0          # 0: none

    n_vocab = N_VOCAB
    n_ctx = 2048
    norm_eps = 1e-5

    @property
    def head_dim(self):
        return self.n_embd // self.n_head

    @property
    def n_ff(self):
        return 4 * self.n_embd

    @property
    def n_embd_kv(self):
        return self.head_dim * self.n_head_kv

    @property
    def has_bias(self):
        return self.arch == "bloom"


MODELS = {m.name: m for m in (
    Model("bloom-h8", "bloom", n_embd=256, n_head=8, n_layer=4, n_head_kv=8),
    Model("bloom-h12", "bloom", n_embd=384, n_head=12, n_layer=2, n_head_kv=12),
    Model("mpt-h8", "mpt", n_embd=256, n_head=8, n_layer=4, n_head_kv=8),
    Model("mpt-h12", "mpt", n_embd=288, n_head=12, n_layer=3, n_head_kv=12),
    Model("mpt-gqa", "mpt", n_embd=256, n_head=8, n_layer=4, n_head_kv=2, max_alibi_bias=6.0, clamp_kqv=2.0),
)}


def seed(label):
    """FNV-1a, 64 bits, of the label's bytes."""
    h = 0xCBF29CE484222325
    for byte in label.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    return h


def random(label, n):
    """The first n outputs of SplitMix64 seeded with the label."""
    z = np.uint64(seed(label)) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def bell(label, shape):
    """Integers in -510..=510, nearly normal: the sum of the four lowest bytes less its mean. Standard deviation 147.8."""
    n = int(np.prod(shape))
    octets = random(label, n).view(np.uint8).reshape(n, 8)[:, :4]       # little-endian
    return (octets.sum(axis=1, dtype=np.int32) - 510).reshape(shape)


def tensor_shapes(m):
    """GGUF name -> (rows, columns) or (length,), in the order of the file."""
    shapes = {}

    def norm(name):
        shapes[name + ".weight"] = (m.n_embd,)
        if m.has_bias:
            shapes[name + ".bias"] = (m.n_embd,)

    def linear(name, n_rows, n_cols):
        shapes[name + ".weight"] = (n_rows, n_cols)
        if m.has_bias:
            shapes[name + ".bias"] = (n_rows,)

    shapes["token_embd.weight"] = (m.n_vocab, m.n_embd)
    if m.arch == "bloom":
        norm("token_embd_norm")
    for i in range(m.n_layer):
        norm(f"blk.{i}.attn_norm")
        linear(f"blk.{i}.attn_qkv", m.n_embd + 2 * m.n_embd_kv, m.n_embd)
        linear(f"blk.{i}.attn_output", m.n_embd, m.n_embd)
        norm(f"blk.{i}.ffn_norm")
        linear(f"blk.{i}.ffn_up", m.n_ff, m.n_embd)
        linear(f"blk.{i}.ffn_down", m.n_embd, m.n_ff)
    norm("output_norm")
    return shapes


def tensors(m):
    """GGUF name -> f32 array in the GGUF layout. Matrices, like all else here, are exact in f16."""
    def values(name, shape):
        k = bell(f"{m.name}/{name}", shape).astype(np.float32)
        if name.endswith("norm.weight"):
            return 1 + k / np.float32(1024)
        return k / np.float32(2048)
    return {name: values(name, shape) for name, shape in tensor_shapes(m).items()}


def prompts():
    """One list of tokens for each of PROMPT_LENS, the same for all models."""
    return [(random(f"prompt/{n}", n) % np.uint64(N_VOCAB)).astype(np.int64) for n in PROMPT_LENS]


def checksum(x):
    """Order-sensitive sum of the bits of f32 values: sum over i of (2 i + 1) * bits(x[i]), modulo 2^64."""
    bits = np.ascontiguousarray(x, np.float32).reshape(-1).view(np.uint32).astype(np.uint64)
    return int((bits * (2 * np.arange(bits.size, dtype=np.uint64) + 1)).sum(dtype=np.uint64))


def vocab():
    """(tokens, types, merges) of a byte-level BPE with N_VOCAB tokens: one control token, 256 bytes, 63 merges."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = sorted(map(chr, printable + list(range(256, 256 + 256 - len(printable)))))
    merges = [("Ġ", "e", "a")[i // 26] + " " + chr(ord("a") + i % 26) for i in range(N_VOCAB - 257)]
    tokens = ["<|endoftext|>"] + letters + [m.replace(" ", "") for m in merges]
    return tokens, [3] + [1] * (N_VOCAB - 1), merges
