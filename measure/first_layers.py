#!/usr/bin/env python3
"""Writes a GGUF file with the first layers of a model, packed or not, and its logits multiplied, as a draft model whose cost can be chosen.

    first_layers.py IN.gguf OUT.gguf [--layers N] [--logits FACTOR]

A power of two as FACTOR multiplies the final norm and changes no rounding, so the likeliest token stays the same; models of random weights need it, since no
token of theirs is likely enough to be guessed.
"""
import argparse
import struct

import numpy as np

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9


class Reader:
    def __init__(self, file):
        self.file, self.at = file, 0

    def number(self, code):
        number = struct.unpack_from("<" + code, self.file, self.at)[0]
        self.at += struct.calcsize("<" + code)
        return number

    def string(self):
        n = self.number("Q")
        self.at += n
        return bytes(self.file[self.at - n : self.at]).decode(errors="replace")

    def skip(self, ty):
        if ty == STRING:
            self.string()
        elif ty == ARRAY:
            ty, n = self.number("I"), self.number("Q")
            if ty == STRING:
                for _ in range(n):
                    self.skip(ty)
            else:
                self.at += n * SIZES[ty]
        else:
            self.at += SIZES[ty]


def aligned(n, alignment):
    return -(-n // alignment) * alignment


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--logits", type=float, default=1.0)
    args = parser.parse_args()
    file = memoryview(np.memmap(args.input, mode="r"))
    reader, places = Reader(file), {}
    reader.at = 8
    n_tensors, n_keys = reader.number("Q"), reader.number("Q")
    for _ in range(n_keys):
        key, ty = reader.string(), reader.number("I")
        places[key] = reader.at
        reader.skip(ty)
    head = bytearray(file[: reader.at])
    tensors = []
    for _ in range(n_tensors):
        begin, name = reader.at, reader.string()
        n_cols = [reader.number("Q") for _ in range(reader.number("I"))][0]
        reader.number("I")
        offset = reader.number("Q")
        tensors.append((offset, name, n_cols, file[begin : reader.at]))
    alignment = struct.unpack_from("<I", file, places["general.alignment"])[0] if "general.alignment" in places else 32
    data = file[aligned(reader.at, alignment) :]
    tensors.sort(key=lambda tensor: tensor[0])
    ends = [offset for offset, *_ in tensors[1:]] + [len(data)]
    if args.layers is not None:
        reader.at = places["general.architecture"]
        block_count = places[reader.string() + ".block_count"]
        struct.pack_into("<I", head, block_count, args.layers)
    kept = []
    for (offset, name, n_cols, entry), end in zip(tensors, ends):
        if args.layers is not None and name.startswith("blk.") and int(name.split(".")[1]) >= args.layers:
            continue
        data_of = bytes(data[offset:end])
        if name.startswith("output_norm."):
            floats = np.frombuffer(data_of[: 4 * n_cols], "<f4") * np.float32(args.logits)
            data_of = floats.astype("<f4").tobytes()
        kept.append((entry, data_of))
    struct.pack_into("<Q", head, 8, len(kept))
    offset = 0
    for entry, data_of in kept:
        head += bytes(entry[:-8]) + struct.pack("<Q", offset)
        offset += aligned(len(data_of), alignment)
    with open(args.output, "wb") as out:
        for part in [head, *(data_of for _, data_of in kept)]:
            out.write(part)
            out.write(bytes(-len(part) % alignment))


if __name__ == "__main__":
    main()
