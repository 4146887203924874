#!/usr/bin/env python3
"""`nearfield perplexity` beside llama.cpp and PyTorch, by llama-perplexity's protocol: pieces that do not overlap, second halves counted.

    perplexity.py --nearfield target/release/nearfield -f TEXT [--ctx 512] [--tokens 16384] models/stories.gguf...

For story models (architecture `mpt` without biases: what models/train makes). The tokens are nearfield's, so that only numbers are compared.
PyTorch computes with the file's dequantized weights in f32, and nearfield once more with these weights as F32 and a cache in f32.
Needs llama-cpp-python, torch, gguf, tokenizers.
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from llama_cpp import Llama

sys.path.append(str(Path(__file__).resolve().parent.parent / "models/train"))
import evaluate  # noqa: E402
from model import attention_bias  # noqa: E402


def run(*command) -> str:
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()


def nearfield(args, model: Path, *flags) -> float:
    told = run(args.nearfield, "perplexity", model, "-f", args.file, "--ctx", args.ctx, "--max-tokens", args.tokens, *flags)
    return float(told.splitlines()[1].split()[1])


def pieces(args, model: Path) -> np.ndarray:
    ids = subprocess.run([args.nearfield, "tokenize", "-m", model], stdin=open(args.file), stdout=subprocess.PIPE, check=True).stdout
    tokens = np.array(ids.split()[:args.tokens], np.int64)
    tokens = tokens[: len(tokens) // args.ctx * args.ctx].reshape(-1, args.ctx)
    tokens[:, 0] = tokens[0, 0]  # each begins as a text does
    return tokens


def perplexity(windows: np.ndarray, logits_of) -> float:
    nats, n = 0.0, 0
    for window in windows:
        first = len(window) // 2
        logits = torch.tensor(logits_of(window))[first:-1].double()
        nats += torch.nn.functional.cross_entropy(logits, torch.tensor(window[first + 1:]), reduction="sum").item()
        n += len(window) - first - 1
    return float(np.exp(nats / n))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nearfield", type=Path, required=True)
    parser.add_argument("-f", "--file", type=Path, required=True)
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("models", type=Path, nargs="+")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | nearfield | llama.cpp | | nearfield, F32 | PyTorch | |\n|---|---:|---:|---:|---:|---:|---:|")
    for path in args.models:
        windows = pieces(args, path)
        llama = Llama(str(path), n_ctx=args.ctx, n_batch=args.ctx, logits_all=True, verbose=False, n_threads=1)

        def llama_logits(window):
            llama.reset()
            llama.eval(window.tolist())
            return llama.scores[: len(window)].copy()

        model, _ = evaluate.load(path)
        bias = attention_bias(model.shape, args.ctx)[None]

        @torch.no_grad()
        def torch_logits(window):
            return model.logits(torch.tensor(window)[None], bias)[0].numpy()

        ours, theirs = nearfield(args, path), perplexity(windows, llama_logits)
        with tempfile.TemporaryDirectory() as folder:
            exact = Path(folder) / "f32.gguf"
            run(args.nearfield, "quantize", path, exact, "F32")
            ours_exact, theirs_exact = nearfield(args, exact, "--kv", "f32"), perplexity(windows, torch_logits)
        share = lambda a, b: f"{(a / b - 1) * 100:+.3f} %"
        print(f"| {path.name} | {ours:.4f} | {theirs:.4f} | {share(ours, theirs)} | {ours_exact:.4f} | {theirs_exact:.4f} | {share(ours_exact, theirs_exact)} |",
              flush=True)


if __name__ == "__main__":
    main()
