#!/usr/bin/env python3
"""Types that llama.cpp's mixtures give to each tensor: writes mixtures.txt.

Models of zeros, for the names and the widths alone. A line: model, type of file, tensor without its layer, and the layers' types with their numbers.
"""
import itertools
import os
import tempfile
import gguf
import llama_cpp
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = ("F16", "BF16", "Q8_0", "Q6_K", "Q5_1", "Q5_K_M", "Q5_K_S", "Q5_0", "Q4_1", "Q4_K_M", "Q4_K_S", "IQ4_NL", "Q4_0", "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "Q2_K_S")
FUSED, SPLIT = ("attn_qkv",), ("attn_q", "attn_k", "attn_v")
# Name: architecture, layers, heads, heads of keys, width, whether there is an output, attention's matrices.
MODELS = {
    "bloom24": ("bloom", 24, 8, 8, 256, False, FUSED),
    "mpt40": ("mpt", 40, 8, 2, 256, True, SPLIT),
    "falcon24": ("falcon", 24, 8, 8, 256, False, FUSED),
    "jina12": ("jina-bert-v2", 12, 8, 8, 256, False, SPLIT),
    "narrow6": ("mpt", 6, 9, 9, 288, True, FUSED),
    "odd3": ("mpt", 3, 3, 3, 48, True, FUSED),
}


def write(path, arch, n_layer, n_head, n_head_kv, n_embd, has_output, attention):
    out = gguf.GGUFWriter(path, arch)
    out.add_context_length(64)
    out.add_embedding_length(n_embd)
    out.add_block_count(n_layer)
    out.add_feed_forward_length(2 * n_embd)
    out.add_head_count(n_head)
    out.add_head_count_kv(n_head_kv)
    out.add_layer_norm_eps(1e-5)
    out.add_max_alibi_bias(8.0)
    if arch == "jina-bert-v2":
        out.add_pooling_type(gguf.PoolingType.MEAN)
        out.add_causal_attention(False)

    def matrix(name, n_cols=n_embd):
        out.add_tensor(name + ".weight", np.zeros((4, n_cols), np.float16))

    matrix("token_embd")
    if has_output:
        matrix("output")
    for i in range(n_layer):
        for name in (*attention, "attn_output", "ffn_up", "ffn_gate"):
            matrix(f"blk.{i}.{name}")
        matrix(f"blk.{i}.ffn_down", 2 * n_embd)
        out.add_tensor(f"blk.{i}.attn_norm.weight", np.zeros(n_embd, np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def types(path):
    """Tensor without its layer -> types, layer by layer."""
    found = {}
    reader = gguf.GGUFReader(path)
    layer = {tensor.name: int(tensor.name.split(".")[1]) if tensor.name.startswith("blk.") else 0 for tensor in reader.tensors}
    for tensor in sorted(reader.tensors, key=lambda tensor: layer[tensor.name]):
        name = tensor.name.split(".", 2)[2] if tensor.name.startswith("blk.") else tensor.name
        found.setdefault(name, []).append(tensor.tensor_type.name)
    return found


def main():
    log = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(log, None)
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(HERE, "mixtures.txt"), "w") as out:
        source, target = os.path.join(folder, "in.gguf"), os.path.join(folder, "out.gguf")
        for model, shape in MODELS.items():
            write(source, *shape)
            for kind in TYPES:
                params = llama_cpp.llama_model_quantize_default_params()
                params.ftype = getattr(llama_cpp, "LLAMA_FTYPE_MOSTLY_" + kind)
                params.nthread = 1
                if llama_cpp.llama_model_quantize(source.encode(), target.encode(), params):
                    out.write(f"{model} {kind} refused\n")
                    continue
                for name, layers in types(target).items():
                    runs = " ".join(f"{ty}*{len(list(run))}" for ty, run in itertools.groupby(layers))
                    out.write(f"{model} {kind} {name} {runs}\n")


if __name__ == "__main__":
    main()
