#!/usr/bin/env python3
"""Distance of nearfield's and llama.cpp's logits from the reference logits, on the same files.

  compare_logits.py MODEL.gguf... [--nearfield BINARY] [--llama] [--exact] [--kv f32,f16,q8_0] [--isa NAME] [--chunk N]

Files are named {model}-{type}.gguf. Columns: largest and root mean square difference over all logits, the latter over the reference's standard
deviation, mean KL(reference || program) in nats, and positions that agree on the most likely token.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import numpy as np

REFERENCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/reference")
sys.path.append(REFERENCE)
import models                                   # noqa: E402


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


class Difference:
    def __init__(self, reference, got):
        reference, got = reference.astype(np.float64), got.astype(np.float64)
        d = np.abs(got - reference)
        p, q = log_softmax(reference), log_softmax(got)
        self.max = d.max()
        self.rms = np.sqrt((d * d).mean())
        self.relative = self.rms / reference.std()
        self.kl = (np.exp(p) * (p - q)).sum(-1).mean()
        self.agree = (reference.argmax(-1) == got.argmax(-1)).sum()
        self.positions = len(reference)

    def __str__(self):
        return f"{self.max:.2e} | {self.rms:.2e} | {self.relative:.2e} | {self.kl:.2e} | {self.agree}/{self.positions}"


def run_nearfield(path, kv, args):
    command = [args.nearfield, "logits", path, "--kv", kv]
    command += ["--isa", args.isa] if args.isa else []
    command += ["--chunk", str(args.chunk)] if args.chunk else []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for prompt in models.prompts():
            out = f"{folder}/logits.npy"
            subprocess.run(command + ["--tokens", ",".join(map(str, prompt)), "-o", out, "--force"], check=True, stdout=subprocess.DEVNULL)
            rows.append(np.load(out))
    return np.concatenate(rows)


def run_llama(path, kv, _):
    from llama_cpp import GGML_TYPE_F16, GGML_TYPE_F32, GGML_TYPE_Q8_0, Llama
    kind = {"f32": GGML_TYPE_F32, "f16": GGML_TYPE_F16, "q8_0": GGML_TYPE_Q8_0}[kv]
    llama = Llama(path, n_ctx=512, n_batch=512, n_ubatch=512, n_threads=1, n_threads_batch=1, logits_all=True, flash_attn=True,
                  type_k=kind, type_v=kind, verbose=False)
    rows = []
    for prompt in models.prompts():
        llama.reset()
        llama.eval(prompt.tolist())
        rows.append(llama.scores[:len(prompt)].copy())
    return np.concatenate(rows)


def run_exact(path, kv, _):
    """Logits of transformers in f32 with the file's own weights: the error of the rounded weights alone."""
    import gguf
    import make_reference
    m = models.MODELS[model_name(path)]
    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}
    return make_reference.logits(make_reference.hf_model(m, tensors))


def model_name(path):
    return next(name for name in models.MODELS if os.path.basename(path).startswith(name + "-"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="MODEL.gguf")
    parser.add_argument("--nearfield", metavar="BINARY")
    parser.add_argument("--llama", action="store_true", help="through llama-cpp-python, flash attention on")
    parser.add_argument("--exact", action="store_true", help="transformers in f32 with the file's weights (whatever --kv)")
    parser.add_argument("--kv", default="f16")
    parser.add_argument("--isa")
    parser.add_argument("--chunk", type=int)
    args = parser.parse_args()
    programs = [("nearfield", run_nearfield)] if args.nearfield else []
    programs += [("llama.cpp", run_llama)] if args.llama else []
    programs += [("exact", run_exact)] if args.exact else []
    print("| file | kv | program | max abs | rms | rms/std | KL | argmax |\n|---|---|---|---:|---:|---:|---:|---:|")
    for path in args.files:
        reference = np.load(f"{REFERENCE}/logits/{model_name(path)}.npy")
        for kv in args.kv.split(","):
            for program, run in programs:
                try:
                    result = str(Difference(reference, run(path, kv, args)))
                except (ValueError, subprocess.CalledProcessError) as error:      # the program has no such cache for this shape
                    result = f"{error} | | | |"
                print(f"| {os.path.basename(path)} | {kv} | {program} | {result} |", flush=True)


if __name__ == "__main__":
    main()
