#!/usr/bin/env python3
"""Quantize with llama.cpp, through llama-cpp-python: quantize_llama.py TYPE... -- MODEL-F16.gguf...

Writes MODEL-TYPE.gguf beside each MODEL-F16.gguf. TYPE is a mixture as llama-quantize makes it (Q4_0, Q4_K_M ...: the head in Q6_K), or one type for
every matrix with "pure-" in front (pure-Q4_K_M: all Q4_K). K types need rows of whole 256s; where they are not, llama.cpp falls back to others.
"""
import sys
import llama_cpp


def quantize(source, kind):
    target = f"{source.removesuffix('F16.gguf')}{kind}.gguf"
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, "LLAMA_FTYPE_MOSTLY_" + kind.removeprefix("pure-"))
    params.pure = kind.startswith("pure-")
    params.nthread = 2
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), params):
        raise SystemExit(f"could not write {target}")


def main():
    if "--" not in sys.argv:
        raise SystemExit(__doc__)
    split = sys.argv.index("--")
    for source in sys.argv[split + 1:]:
        for kind in sys.argv[1:split]:
            quantize(source, kind)


if __name__ == "__main__":
    main()
