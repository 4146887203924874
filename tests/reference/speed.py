#!/usr/bin/env python3
"""Decode speed of nearfield beside llama.cpp's (PyPI: llama-cpp-python), on the same GGUF file, in turns.

    speed.py --nearfield target/release/nearfield [--threads 1] [-n 200] [--rounds 7] MODEL.gguf...

Both decode the same number of tokens greedily after the same prompt, with an f16 cache; llama.cpp with flash attention
off and on. The rate is that of decoding alone, without loading and without the prompt: nearfield's is what `run`
reports, llama.cpp's is taken around `eval` and the choice of the best token. Medians, with the slowest and the fastest
round. A model that ends its text early is timed over the tokens it made.
"""
import argparse
import re
import statistics
import subprocess
import time

import numpy as np
from llama_cpp import Llama

PROMPT = "Once upon a time"


def nearfield_rate(command: str, model: str, n: int, threads: int) -> float:
    args = [command, "run", "-m", model, "-p", PROMPT, "-n", str(n), "--temp", "0", "--kv", "f16"]
    err = subprocess.run([*args, "--threads", str(threads)], check=True, capture_output=True, text=True).stderr
    return float(re.search(r"^decode .* ([0-9.]+) tokens/s", err, re.MULTILINE)[1])


class LlamaCpp:
    def __init__(self, model: str, threads: int, flash: bool):
        self.llama = Llama(model_path=model, n_ctx=2048, n_threads=threads, flash_attn=flash,
                           logits_all=True, verbose=False)

    def rate(self, n: int) -> float:
        llama = self.llama
        llama.reset()
        llama.eval(llama.tokenize(PROMPT.encode(), add_bos=True))
        begin, made = time.perf_counter(), 0
        while made < n:
            token = int(np.argmax(llama.scores[llama.n_tokens - 1]))
            if token == llama.token_eos():
                break
            llama.eval([token])
            made += 1
        return made / (time.perf_counter() - begin)


def show(rates: list[float]) -> str:
    return f"{statistics.median(rates):8.0f} ({min(rates):.0f} to {max(rates):.0f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nearfield", required=True, help="the binary")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    for model in args.models:
        peers = {f"llama.cpp, flash attention {name}": LlamaCpp(model, args.threads, name == "on") for name in ("off", "on")}
        rates = {"nearfield": [], **{name: [] for name in peers}}
        for _ in range(args.rounds):
            rates["nearfield"].append(nearfield_rate(args.nearfield, model, args.n, args.threads))
            for name, peer in peers.items():
                rates[name].append(peer.rate(args.n))
        print(f"{model}, {args.threads} thread(s), {args.n} tokens, tokens/s: median (slowest to fastest)")
        for name, values in rates.items():
            print(f"  {name:32} {show(values)}")


if __name__ == "__main__":
    main()
