#!/usr/bin/env python3
"""Check blocks.txt, which the Rust quantizers wrote, with ggml's Python package `gguf`: the numbers of all blocks, and the bytes of the simple types."""
import os
import gguf
import numpy as np
import models

EXACT = ("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")      # rounding is defined; the K encoders are free to choose


def main():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "blocks.txt")) as lines:
        rows = [line.split() for line in lines]
    x = np.frombuffer(bytes.fromhex(rows[0][1]), np.float32)
    assert rows[0][0] == "F32" and x.size == 1024
    for name, blocks, checksum in rows:
        kind = gguf.GGMLQuantizationType[name]
        blocks = np.frombuffer(bytes.fromhex(blocks), np.uint8)
        numbers = gguf.dequantize(blocks.view(np.float32) if name == "F32" else blocks, kind)
        assert models.checksum(numbers) == int(checksum, 16), f"{name}: other numbers"
        if name in EXACT:
            assert gguf.quantize(x, kind).tobytes() == blocks.tobytes(), f"{name}: other blocks"
        print(f"{name}: relative error {np.sqrt(((numbers - x) ** 2).sum() / (x ** 2).sum()):.4f}")


if __name__ == "__main__":
    main()
