#!/usr/bin/env python3
"""Distance of nearfield's and llama.cpp's vectors and scores from the reference of the encoder families, on the same files.

  compare_encoders.py DIR [NAME...] [--nearfield BINARY] [--llama]

The largest difference of any number, in any of the documents, over the standard deviation of all of the reference's.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import numpy as np

FAMILIES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/families")
sys.path.append(FAMILIES)
from reference.encoder import documents         # noqa: E402


def is_reranker(want):
    return want.shape[1] == 1


def run_nearfield(path, want, texts, binary, flags):
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "rerank" if is_reranker(want) else "embed", path, "-o", f"{folder}/out.npy", *flags]
        for i, tokens in enumerate(texts):
            with open(f"{folder}/{i}", "w") as file:
                file.write(" ".join(map(str, tokens)))
            command += ["--tokens", f"@{folder}/{i}"]
        subprocess.run(command, check=True, capture_output=True)
        return np.load(f"{folder}/out.npy").astype(np.float64)


def run_llama(path, want, texts, flash):
    import llama_cpp as l
    silent = l.llama_log_callback(lambda *_: None)
    l.llama_log_set(silent, None)
    model = l.llama_model_load_from_file(path.encode(), l.llama_model_default_params())
    if not model:
        raise ValueError("does not load it")
    rows = []
    for tokens in texts:
        n = len(tokens)
        params = l.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = max(n, 64)
        params.embeddings, params.flash_attn_type = True, int(flash)
        params.pooling_type = l.LLAMA_POOLING_TYPE_RANK if is_reranker(want) else l.LLAMA_POOLING_TYPE_MEAN
        context, batch = l.llama_init_from_model(model, params), l.llama_batch_init(n, 0, 1)
        batch.n_tokens = n
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = int(token), i, 1, 0, 1
        if l.llama_encode(context, batch) != 0:
            raise ValueError(f"cannot encode {n} tokens")
        found = l.llama_get_embeddings_seq(context, 0)
        row = np.array([found[i] for i in range(want.shape[1])], np.float64)
        rows.append(row if is_reranker(want) else row / np.linalg.norm(row))
        l.llama_batch_free(batch)
        l.llama_free(context)
    l.llama_model_free(model)
    return np.stack(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--nearfield", metavar="BINARY")
    parser.add_argument("--llama", action="store_true")
    args = parser.parse_args()
    names = args.names or sorted(name for name in os.listdir(FAMILIES) if os.path.exists(f"{FAMILIES}/{name}/embeddings.npy"))
    programs = {}
    if args.nearfield:
        programs |= {f"nearfield, {kv} keys": lambda *model, kv=kv: run_nearfield(*model, args.nearfield, ["--kv", kv]) for kv in ("f32", "f16")}
    if args.llama:
        programs |= {"llama.cpp": lambda *model: run_llama(*model, 0), "llama.cpp, flash attention": lambda *model: run_llama(*model, 1)}
    print("| model |", " | ".join(programs), "|\n|---|" + "---:|" * len(programs))
    for name in names:
        want = np.load(f"{FAMILIES}/{name}/embeddings.npy").astype(np.float64)
        texts = documents(long=len(want) == 5)
        found = []
        for run in programs.values():
            try:
                found.append(f"{np.abs(run(f'{args.folder}/{name}.gguf', want, texts) - want).max() / want.std():.1e}")
            except (ValueError, subprocess.CalledProcessError) as error:
                found.append(str(error))
        print(f"| {name} |", " | ".join(found), "|", flush=True)


if __name__ == "__main__":
    main()
