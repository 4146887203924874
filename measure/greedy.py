#!/usr/bin/env python3
"""Compares greedy text of nearfield and llama.cpp (PyPI: llama-cpp-python) on the same GGUF files, token by token.

    greedy.py --nearfield target/release/nearfield [-n 50] [--prompt TEXT] MODEL.gguf...

Both get the same prompt tokens. Where the tokens part, the gap between the two best logits of each is printed: a gap
near zero is a tie that rounding decides, as the two round activations differently.
"""
import argparse
import subprocess
import sys
import tempfile

import numpy as np
from llama_cpp import Llama


def nearfield_logits(command: str, model: str, tokens: list[int]) -> np.ndarray:
    """Logits after each of `tokens`: float32 [n_tokens, n_vocab]."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as out:
        ids = ",".join(map(str, tokens))
        subprocess.run([command, "logits", model, "--tokens", ids, "--kv", "f16", "-o", out.name, "--force"], check=True)
        return np.load(out.name)


def tokenize(command: str, model: str, text: str) -> list[int]:
    """The prompt as `nearfield run` sees it: with the file's beginning-of-text token if it wants one."""
    out = subprocess.run([command, "tokenize", model, text], check=True, capture_output=True, text=True).stdout
    return [int(token) for token in out.split()]


def greedy(llama: Llama, tokens: list[int], n: int) -> list[int]:
    llama.reset()
    llama.eval(tokens)
    made = []
    for _ in range(n):
        made.append(int(np.argmax(llama.scores[llama.n_tokens - 1])))
        llama.eval([made[-1]])
    return made


def gap(logits: np.ndarray) -> float:
    """Distance of the best logit from the second best."""
    second, best = np.partition(logits, -2)[-2:]
    return float(best - second)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nearfield", required=True, help="the binary")
    parser.add_argument("-n", type=int, default=50, help="tokens to make")
    parser.add_argument("--prompt", default="Once upon a time")
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    parted = 0
    for model in args.models:
        llama = Llama(model_path=model, n_ctx=1024, logits_all=True, verbose=False)
        prompt = tokenize(args.nearfield, model, args.prompt)
        theirs = llama.tokenize(args.prompt.encode(), add_bos=False, special=False)
        same = [token for token in prompt if token != llama.token_bos()] == theirs
        print(f"{model}: prompt tokens {'agree' if same else f'differ: {prompt} {theirs}'}")
        made = greedy(llama, prompt, args.n)
        # One pass over llama.cpp's tokens shows what nearfield would have chosen after each of them.
        ours = nearfield_logits(args.nearfield, model, prompt + made)[len(prompt) - 1 : -1]
        scores = llama.scores[len(prompt) - 1 : len(prompt) - 1 + args.n]
        differ = [i for i in range(args.n) if int(np.argmax(ours[i])) != made[i]]
        shift = np.abs(ours - scores).max()
        print(f"  {args.n - len(differ)} of {args.n} greedy tokens agree; largest difference of a logit {shift:.4f}")
        for i in differ:
            print(f"  token {i}: gap {gap(ours[i]):.5f} here, {gap(scores[i]):.5f} in llama.cpp")
        parted += bool(differ)
    return 1 if parted else 0


if __name__ == "__main__":
    sys.exit(main())
