"""Bits per byte of a GGUF file as written, and stories from it.

    python evaluate.py --model pocket.gguf --corpus DIR [--lengths 256,1024,4096] [--stories 5]

Reads nothing but the file: shape, vocabulary and dequantized weights come from it, so the figures are those of
the quantized model (with exact arithmetic; a runtime that rounds activations to int8 is a little off them).
"""

import argparse
import math
from pathlib import Path

import gguf
import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import corpus
from model import Model, Shape, attention_bias, sinusoids
from tokenizer import byte_level

PROMPT = "Once upon a time"
TEMPERATURE, TOP_K, TOP_P = 0.7, 40, 0.95


def load(path: Path) -> tuple[Model, Tokenizer]:
    reader = gguf.GGUFReader(path)
    get = lambda key: reader.fields[key].contents()
    arch = get("general.architecture")
    key = lambda k: get(f"{arch}.{k}")
    tensors = {t.name: torch.tensor(gguf.quants.dequantize(t.data, t.tensor_type)) for t in reader.tensors}
    shape = Shape(
        n_vocab=tensors["token_embd.weight"].shape[0],
        n_embd=key("embedding_length"),
        n_head=key("attention.head_count"),
        n_head_kv=key("attention.head_count_kv"),
        n_layer=key("block_count"),
        n_ff=key("feed_forward_length"),
        max_alibi_bias=key("attention.max_alibi_bias") if arch == "mpt" else 0.0,
    )
    model = Model(shape).eval()
    positions = tensors.pop("position_embd.weight", None)
    if positions is not None:  # the formula in model.py must be the table in the file
        assert torch.equal(positions, sinusoids(len(positions), shape.n_embd))
    weights = {n: t for n, t in tensors.items() if not n.endswith(".bias")}
    assert all(not t.any() for n, t in tensors.items() if n.endswith(".bias"))
    model.load_state_dict(weights)

    merges = [tuple(merge.split(" ")) for merge in get("tokenizer.ggml.merges")]
    return model, byte_level(get("tokenizer.ggml.tokens"), merges)


@torch.no_grad()
def total_nats(model: Model, stream: np.ndarray, length: int) -> float:
    """Nats of all tokens but the very first, in windows of `length` that do not overlap."""
    nats, batch = 0.0, max(1, 4096 // length)
    starts = list(range(0, len(stream) - 1, length))
    bias = attention_bias(model.shape, length)[None]
    while starts:
        group = [stream[s : s + length + 1] for s in starts[:batch]]
        group = [g for g in group if len(g) == len(group[0])]  # the last window is short
        del starts[: len(group)]
        window = torch.tensor(np.stack(group))
        n = window.shape[1] - 1
        logits = model.logits(window[:, :-1], bias[..., :n, :n])
        nats += F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten(), reduction="sum").item()
    return nats


@torch.no_grad()
def story(model: Model, tokenizer: Tokenizer, seed: int, n_tokens: int = 300) -> str:
    random = torch.Generator().manual_seed(seed)
    tokens = [corpus.MARKER_ID] + tokenizer.encode(PROMPT).ids
    for _ in range(n_tokens):
        logits = model.logits(torch.tensor([tokens]), attention_bias(model.shape, len(tokens))[None])[0, -1]
        top = (logits / TEMPERATURE).topk(TOP_K)
        p = top.values.softmax(-1)
        p = p.masked_fill(p.cumsum(-1) - p >= TOP_P, 0.0)  # the smallest set that holds TOP_P
        token = top.indices[torch.multinomial(p, 1, generator=random)].item()
        if token == corpus.MARKER_ID:
            break
        tokens.append(token)
    return tokenizer.decode(tokens[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--file", default="tinystories_valid.txt")
    parser.add_argument("--lengths", default="256", help="tokens of context, comma-separated")
    parser.add_argument("--tokens", type=int, help="only so many from the beginning of the file; default: all")
    parser.add_argument("--stories", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, tokenizer = load(args.model)
    path = args.corpus / args.file
    stream = np.concatenate(corpus.encode(tokenizer, path))
    share = min(1.0, args.tokens / len(stream)) if args.tokens else 1.0
    stream = stream[: args.tokens]
    n_bytes = path.stat().st_size * share
    for length in map(int, args.lengths.split(",")) if args.lengths else []:
        nats = total_nats(model, stream, length)
        print(f"{args.model.name} {args.file} context {length}: {nats / math.log(2) / n_bytes:.4f} bits per byte, "
              f"perplexity {math.exp(nats / (len(stream) - 1)):.3f}, {len(stream)} tokens", flush=True)
    for seed in range(1, args.stories + 1):
        print(f"--- seed {seed}\n{story(model, tokenizer, seed)}", flush=True)


if __name__ == "__main__":
    main()
