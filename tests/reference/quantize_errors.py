#!/usr/bin/env python3
"""The rounding errors of llama.cpp's quantizers: quantize_errors.py [--check FILE.gguf...]

Writes quantize_errors.txt: type, numbers, and the root mean square error of llama.cpp's blocks, relative to that of the numbers, which Rust draws too
(host/src/quantize/errors.rs); and quantize_importance_errors.txt: type, numbers, importances of the columns, which weigh the squares, and the
error of llama.cpp's blocks that were made with them. With --check, prints the relative errors of the matrices in quantized files beside those of FIRST.gguf, in F16 or F32.
"""
import ctypes
import itertools
import os
import sys
import gguf
import numpy as np
import llama_cpp
import models

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = ("Q8_0", "Q6_K", "Q5_1", "Q5_K", "Q5_0", "Q4_1", "Q4_K", "IQ4_NL", "Q4_0", "IQ4_XS", "Q3_K", "Q2_K")
N_ROWS, N_COLS = 256, 512


def numbers(name):
    """Numbers of one distribution, f32 [N_ROWS, N_COLS]. Every one is exact, in any language."""
    def bell(part):
        return models.bell(f"errors/{name}/{part}", (N_ROWS, N_COLS)).astype(np.float32)
    match name:
        case "normal":
            return bell("a") / 2048
        case "laplace":          # the sum of two products of normal numbers
            return (bell("a") * bell("b") + bell("c") * bell("d")) / np.float32(1 << 20)
        case "outliers":         # every 61st column is ten times larger
            x = bell("a")
            x[:, ::61] *= 10
            return x / 2048
        case "shifted":          # two standard deviations off
            return (bell("a") + 296) / 2048
        case "trained":          # a matrix of the story model: other matrices are Q8_0 numbers too, but for Q8_0 that is no task
            reader = gguf.GGUFReader(os.path.join(HERE, "../../models/stories.gguf"))
            tensor = next(tensor for tensor in reader.tensors if tensor.name == "blk.1.ffn_up.weight")
            return gguf.dequantize(tensor.data, tensor.tensor_type).reshape(-1, 256)


NAMES = ("normal", "laplace", "outliers", "shifted", "trained")


def importances(name, n_cols):
    """Importance of each column, f32 [n_cols]."""
    def bell(part):
        return models.bell(f"importance/{name}/{part}", (n_cols,)).astype(np.float32)
    match name:
        case "mild":             # as the squares of two normal numbers
            return (bell("a") ** 2 + bell("b") ** 2) / np.float32(1 << 16)
        case "wide":             # many columns that hardly count
            return (bell("a") * bell("b") / np.float32(1 << 16)) ** 2
        case "peaks":            # every 61st column counts 10,000 times as much
            w = (bell("a") ** 2 + bell("b") ** 2) / np.float32(1 << 16)
            w[::61] *= 10000
            return w


IMPORTANCES = ("mild", "wide", "peaks")


def by_llama(x, kind, importance=None):
    """Numbers that llama.cpp's blocks of `x` stand for."""
    library = ctypes.CDLL(os.path.join(os.path.dirname(llama_cpp.__file__), "lib", "libggml-base.so"))
    quantize = library.ggml_quantize_chunk
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    kind = gguf.GGMLQuantizationType[kind]
    block_len, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    x = np.ascontiguousarray(x, np.float32)
    out = np.zeros(x.size // block_len * block_bytes, np.uint8)
    n_rows, n_cols = x.shape
    importance = importance if importance is None else np.ascontiguousarray(importance, np.float32)
    pointer = importance if importance is None else importance.ctypes.data
    assert quantize(kind, x.ctypes.data, out.ctypes.data, 0, n_rows, n_cols, pointer) == out.size
    return gguf.dequantize(out, kind).reshape(x.shape)


def relative_error(x, y, importance=np.ones(1)):
    x, y, w = x.astype(np.float64), y.astype(np.float64), importance.astype(np.float64)
    return float(np.sqrt((w * (x - y) ** 2).sum() / (w * x ** 2).sum()))


def make():
    with open(os.path.join(HERE, "quantize_errors.txt"), "w") as out:
        for kind in KINDS:
            for name in NAMES:
                if (kind, name) != ("Q8_0", "trained"):
                    x = numbers(name)
                    out.write(f"{kind} {name} {relative_error(x, by_llama(x, kind)):.6e}\n")
    with open(os.path.join(HERE, "quantize_importance_errors.txt"), "w") as out:
        for kind, name, how in itertools.product(KINDS, NAMES, IMPORTANCES):
            if (kind, name) != ("Q8_0", "trained"):
                x = numbers(name)
                w = importances(how, x.shape[1])
                out.write(f"{kind} {name} {how} {relative_error(x, by_llama(x, kind, w), w):.6e}\n")


def check(files):
    first, *others = (gguf.GGUFReader(file) for file in files)
    exact = {tensor.name: tensor for tensor in first.tensors}
    for file, reader in zip(files[1:], others):
        squares = [0.0, 0.0]
        for tensor in reader.tensors:
            if gguf.GGML_QUANT_SIZES[tensor.tensor_type][0] > 1:
                source = exact[tensor.name]
                x = gguf.dequantize(source.data, source.tensor_type).astype(np.float64)
                y = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
                squares[0] += ((x - y) ** 2).sum()
                squares[1] += (x ** 2).sum()
        print(f"{file}: relative error {np.sqrt(squares[0] / squares[1]):.6f}")


def main():
    if sys.argv[1:2] == ["--check"]:
        check(sys.argv[2:])
    else:
        make()


if __name__ == "__main__":
    main()
