#!/usr/bin/env python3
"""Scales the query and key rows of a random BLOOM or MPT file (GGUF in F16 or F32) so that attention scores spread as in trained models.

    spread_scores.py IN-F16.gguf OUT-F16.gguf [--std 3]

After a layer norm of gain g an input has entries of standard deviation g, and rows of n_embd weights of deviation w give queries and
keys of deviation s = g w sqrt(n_embd). A score, the dot product of a query and a key over sqrt(head_dim), then has s². The rows of
queries and keys of each layer are scaled alike, until that is --std. What a score's size costs is the horizon: the larger scores are, the
later their bias settles that they no longer matter.
"""
import argparse
import shutil

import numpy as np
from gguf import GGUFReader


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--std", type=float, default=3.0)
    args = parser.parse_args()
    shutil.copyfile(args.input, args.output)
    tensors = {tensor.name: tensor.data for tensor in GGUFReader(args.output, "r+").tensors}
    for name, rows in tensors.items():
        if not name.endswith("attn_qkv.weight"):
            continue
        n_embd = rows.shape[1]
        queries_and_keys = rows[: 2 * n_embd]
        gain = np.sqrt(np.mean(np.square(tensors[name.replace("attn_qkv", "attn_norm")], dtype=np.float64)))
        deviation = np.std(queries_and_keys, dtype=np.float64)
        queries_and_keys *= queries_and_keys.dtype.type(np.sqrt(args.std / n_embd) / (gain * deviation))


if __name__ == "__main__":
    main()
