#!/usr/bin/env python3
"""Write rare.txt: two random blocks of each of these types, and the values that ggml's Python package `gguf` gives for them."""
import os
import gguf
import numpy as np

TYPES = "IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S TQ1_0 TQ2_0 MXFP4".split()
# Bytes whose second highest bit is cleared: the exponent of `d` (of MXFP4 all of it) stays away from its upper end.
SCALES = {"IQ1_M": 55, "TQ1_0": 53, "TQ2_0": 65, "MXFP4": 0}


def main():
    random = np.random.default_rng(13)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "rare.txt"), "w") as out:
        for name in TYPES:
            kind = gguf.GGMLQuantizationType[name]
            blocks = random.integers(0, 256, (2, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
            blocks[:, SCALES.get(name, 1)] &= 0xbf
            if name == "MXFP4":
                blocks[1, 0] = 1
            numbers = gguf.quants.dequantize(blocks.reshape(-1), kind)
            out.write(f"{name} {blocks.tobytes().hex()} {numbers.astype('<f4').tobytes().hex()}\n")


if __name__ == "__main__":
    main()
