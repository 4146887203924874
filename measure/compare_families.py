#!/usr/bin/env python3
"""Distance of nearfield's and llama.cpp's logits from the families' reference, on the same files (PyPI: llama-cpp-python).

  compare_families.py DIR [NAME...] [--nearfield BINARY] [--llama] [--kv f32,f16]

DIR holds NAME.gguf for the folders of tests/families, converted without loss (tests/families/README.md). Columns: largest difference of a logit over the standard
deviation of the reference's, mean KL(reference || program) in nats, and positions that agree on the most likely token. llama.cpp runs in a process
of its own, since it ends the process where a file is not to its liking; with flash attention if that takes the heads, which the table says.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import numpy as np

from compare_logits import Difference, models

FAMILIES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/families")

N_LAST = 8


def kept(rows):
    """Rows that the reference has, from a list of logits with one array for each prompt."""
    return np.concatenate(rows[:-1] + [rows[-1][-N_LAST:]])


def run_nearfield(path, kv, binary, flags):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for prompt in models.prompts():
            out = f"{folder}/logits.npy"
            tokens = ",".join(map(str, prompt))
            subprocess.run([binary, "logits", path, "--kv", kv, "--tokens", tokens, "-o", out, "--force", *flags], check=True, capture_output=True)
            rows.append(np.load(out))
    return kept(rows)


def run_llama(path, kv, flash):
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/logits.npy"
        done = subprocess.run([sys.executable, __file__, "--llama-alone", path, kv, str(int(flash)), out], capture_output=True, text=True)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
            reason = next((line[line.index("GGML_ASSERT"):] for line in lines if "GGML_ASSERT" in line), lines[-1])
            raise ValueError(reason.replace(path, os.path.basename(path)))
        return np.load(out)


def llama_alone(path, kv, flash, out):
    from llama_cpp import GGML_TYPE_F16, GGML_TYPE_F32, Llama
    kind = {"f32": GGML_TYPE_F32, "f16": GGML_TYPE_F16}[kv]
    llama = Llama(path, n_ctx=512, n_batch=512, n_ubatch=512, n_threads=1, n_threads_batch=1, logits_all=True, flash_attn=flash == "1",
                  type_k=kind, type_v=kind, verbose=False)
    rows = []
    for prompt in models.prompts():
        llama.reset()
        llama.eval(prompt.tolist())
        rows.append(llama.scores[:len(prompt)].copy())
    np.save(out, kept(rows))


def main():
    if sys.argv[1:2] == ["--llama-alone"]:
        return llama_alone(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--nearfield", metavar="BINARY")
    parser.add_argument("--llama", action="store_true")
    parser.add_argument("--kv", default="f32,f16")
    args = parser.parse_args()
    names = args.names or sorted(name for name in os.listdir(FAMILIES) if os.path.exists(f"{FAMILIES}/{name}/logits.npy"))
    print("| model | reference | KV | program | max / spread | KL | argmax |\n|---|---|---|---|---:|---:|---:|")
    for name in names:
        path = f"{args.folder}/{name}.gguf"
        for reference, flags in (("logits", []), ("logits-bf16", ["--alibi-bf16"])):
            if not os.path.exists(f"{FAMILIES}/{name}/{reference}.npy"):
                continue
            want = np.load(f"{FAMILIES}/{name}/{reference}.npy")
            for kv in args.kv.split(","):
                runs = [("nearfield", lambda: run_nearfield(path, kv, args.nearfield, flags))] if args.nearfield else []
                if args.llama:
                    runs += [("llama.cpp", lambda: run_llama(path, kv, False)), ("llama.cpp, flash", lambda: run_llama(path, kv, True))]
                for program, run in runs:
                    try:
                        d = Difference(want, run())
                        result = f"{d.max / want.std():.1e} | {d.kl:.1e} | {d.agree}/{d.positions}"
                    except (ValueError, subprocess.CalledProcessError) as error:
                        result = f"{error} | | "
                    print(f"| {name} | {reference} | {kv} | {program} | {result} |", flush=True)


if __name__ == "__main__":
    main()
