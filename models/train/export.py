"""Writes a checkpoint as GGUF, readable by nearfield and by llama.cpp.

    python export.py --run RUN_DIR --out pocket.gguf [--types F32,F32] [--context 16384]

Architecture `mpt`; `gpt2` with a table of sinusoids for the positions where the shape has no ALiBi.
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, TokenType

from model import NORM_EPS, Shape, shape_of, sinusoids
from quantize import OTHER_SHAPES, TYPES, Types

MARKER_ID = 0
CONTEXT = 4096
STORIES_SOURCE = "TinyStories (roneneldan/TinyStories), CDLA-Sharing-1.0"
TALES_SOURCE = "children's tales published before 1931, public domain in the US"
ABOUT = {
    "micro": ("nearfield micro", "Story model for the smallest microcontrollers", [STORIES_SOURCE]),
    "pocket": ("nearfield pocket", "Story model for microcontrollers", [STORIES_SOURCE]),
    "stories": ("nearfield stories", "Story model of the nearfield command", [STORIES_SOURCE, TALES_SOURCE]),
    "sinusoidal": ("nearfield sinusoidal baseline", "Pocket shape with sinusoidal positions", [STORIES_SOURCE]),
}


def add_vocabulary(writer: gguf.GGUFWriter, tokenizer: dict):
    vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda entry: entry[1])
    assert [i for _, i in vocabulary] == list(range(len(vocabulary)))
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    types = [TokenType.CONTROL if i == MARKER_ID else TokenType.NORMAL for _, i in vocabulary]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(MARKER_ID)
    writer.add_eos_token_id(MARKER_ID)
    writer.add_add_bos_token(True)


def add_shape(writer: gguf.GGUFWriter, shape: Shape, context: int):
    writer.add_context_length(context)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_head_kv)
    writer.add_layer_norm_eps(NORM_EPS)
    if shape.max_alibi_bias:
        writer.add_max_alibi_bias(shape.max_alibi_bias)


def add_tensor(writer: gguf.GGUFWriter, name: str, value: np.ndarray, kind: str):
    kind = GGMLQuantizationType[kind]
    writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)


def export(weights: dict, tokenizer: dict, shape_name: str, types: Types, out: Path, context: int = CONTEXT):
    shape = shape_of(shape_name)
    arch = "mpt" if shape.max_alibi_bias else "gpt2"
    name, description, sources = ABOUT.get(shape_name, ("nearfield stories", "Story model", [STORIES_SOURCE]))
    writer = gguf.GGUFWriter(out, arch)
    writer.add_name(name)
    writer.add_description(f"{description}. Trained on: {'; '.join(sources)}.")
    writer.add_license("CDLA-Sharing-1.0")
    add_shape(writer, shape, context)
    add_vocabulary(writer, tokenizer)
    for parameter, weight in weights.items():
        value = weight.numpy()
        add_tensor(writer, parameter, value, types.of(parameter, weight))
        # llama.cpp's gpt2 wants every bias; the model has none.
        if arch == "gpt2" and parameter != "token_embd.weight":
            writer.add_tensor(parameter.removesuffix("weight") + "bias", np.zeros(value.shape[0], np.float32))
    if arch == "gpt2":
        writer.add_tensor("position_embd.weight", sinusoids(context, shape.n_embd).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--types", help="embedding,others, as F32,F32; default: the shape's own")
    parser.add_argument("--mean", action="store_true", help="the running mean of the weights (train.py --ema)")
    parser.add_argument("--context", type=int, default=CONTEXT, help="tokens; the sinusoids' table has so many rows")
    args = parser.parse_args()
    state = torch.load(args.run / "checkpoint.pt", weights_only=True)
    tokenizer = json.loads((args.run / "tokenizer.json").read_text())
    types = Types(*args.types.split(",")) if args.types else TYPES.get(state["shape"], OTHER_SHAPES)
    export(state["mean_weights" if args.mean else "model"], tokenizer, state["shape"], types, args.out, args.context)
    print(f"{args.out}: {args.out.stat().st_size} bytes after {state['tokens']} tokens")


if __name__ == "__main__":
    main()
