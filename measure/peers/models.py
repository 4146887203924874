"""Files with random weights in real shapes, for speed: it does not depend on the numbers, but for the horizon (`measure/spread_scores.py`)."""
import os
import subprocess

import numpy as np

DECODERS = {
    "bloom-560m": dict(arch="bloom", n_embd=1024, n_layer=24, n_head=16, n_vocab=250880),
    "mpt-1b": dict(arch="mpt", n_embd=2048, n_layer=24, n_head=16, n_vocab=50432),
}
DECODER_TYPES = ["Q4_0", "Q8_0", "Q4_K_M"]
ENCODER = dict(n_embd=512, n_layer=4, n_head=8, n_ff=2048, n_vocab=30528, n_ctx=8192)  # jina-embeddings-v2-small-en


def make_all(folder: str, nearfield: str, with_mpt: bool):
    """All files that `run all` measures. Those that are there are kept."""
    os.makedirs(folder, exist_ok=True)
    path = lambda name: os.path.join(folder, name)
    decoders = list(DECODERS) if with_mpt else ["bloom-560m"]
    wanted = [(name, write_decoder, DECODER_TYPES) for name in decoders] + [("jina-small", write_encoder, ["Q8_0"])]
    for name, write, types in wanted:
        if not os.path.exists(path(f"{name}-F16.gguf")):
            write(name, path(f"{name}-F16.gguf.part"))
            os.replace(path(f"{name}-F16.gguf.part"), path(f"{name}-F16.gguf"))
        for to in types:
            if not os.path.exists(path(f"{name}-{to}.gguf")):
                subprocess.run([nearfield, "quantize", path(f"{name}-F16.gguf"), path(f"{name}-{to}.gguf"), to], check=True)
    try:
        import ct2
        if not os.path.exists(path("bloom-560m-int8/model.bin")):
            ct2.convert(path("bloom-560m-F16.gguf"), path("bloom-560m-int8"))
    except ImportError:
        print("without CTranslate2: pip install ctranslate2")


class Writer:
    """GGUF file in F16; vectors are F32."""

    def __init__(self, path: str, arch: str):
        import gguf
        self.file = gguf.GGUFWriter(path, arch)
        self.random = np.random.default_rng(1)

    def normal(self, shape, deviation: float) -> np.ndarray:
        return self.random.standard_normal(shape, dtype=np.float32) * np.float32(deviation)

    def matrix(self, name: str, rows: int, columns: int, deviation: float = 0.02):
        self.file.add_tensor(f"{name}.weight", self.normal((rows, columns), deviation).astype(np.float16))

    def norm(self, name: str, n: int, bias: bool):
        self.file.add_tensor(f"{name}.weight", np.float32(1) + self.normal(n, 0.1))
        if bias:
            self.bias(name, n)

    def bias(self, name: str, n: int):
        self.file.add_tensor(f"{name}.bias", self.normal(n, 0.02))

    def close(self):
        self.file.write_header_to_file()
        self.file.write_kv_data_to_file()
        self.file.write_tensors_to_file()
        self.file.close()


def write_decoder(name: str, path: str):
    shape = DECODERS[name]
    n_embd, bias = shape["n_embd"], shape["arch"] == "bloom"
    out = Writer(path, shape["arch"])
    file = out.file
    file.add_name(f"{name}, random weights")
    file.add_context_length(2048)
    file.add_embedding_length(n_embd)
    file.add_block_count(shape["n_layer"])
    file.add_feed_forward_length(4 * n_embd)
    file.add_head_count(shape["n_head"])
    file.add_head_count_kv(shape["n_head"])
    file.add_layer_norm_eps(1e-5)
    if shape["arch"] == "mpt":
        file.add_max_alibi_bias(8.0)
    add_byte_pairs(file, shape["arch"], shape["n_vocab"])
    out.matrix("token_embd", shape["n_vocab"], n_embd)
    if shape["arch"] == "bloom":
        out.norm("token_embd_norm", n_embd, bias)
    for i in range(shape["n_layer"]):
        layer = f"blk.{i}"
        for norm in ("attn_norm", "ffn_norm"):
            out.norm(f"{layer}.{norm}", n_embd, bias)
        for matrix, rows, columns in (("attn_qkv", 3, 1), ("attn_output", 1, 1), ("ffn_up", 4, 1), ("ffn_down", 1, 4)):
            out.matrix(f"{layer}.{matrix}", rows * n_embd, columns * n_embd)
            if bias:
                out.bias(f"{layer}.{matrix}", rows * n_embd)
    out.norm("output_norm", n_embd, bias)
    out.close()


def add_byte_pairs(file, pre: str, n: int):
    """A made-up vocabulary that loads: four control tokens, the bytes, and pairs of a space and small letters."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in printable)
    chars = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    tokens = ["<unk>", "<s>", "</s>", "<pad>", *(chars[byte] for byte in range(256))]
    types = [2, 3, 3, 3] + [1] * 256
    merges, seen, level = [], set(tokens), ["\u0120", *map(chr, range(ord("a"), ord("z") + 1))]
    while len(tokens) < n:
        pairs = [(a, b) for a in level for b in map(chr, range(ord("a"), ord("z") + 1)) if a + b not in seen][:n - len(tokens)]
        level = [a + b for a, b in pairs]
        seen |= set(level)
        tokens += level
        merges += [f"{a} {b}" for a, b in pairs]
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre(pre)
    file.add_token_list(tokens)
    file.add_token_types(types + [1] * (n - len(types)))
    file.add_token_merges(merges)
    file.add_unk_token_id(0)
    file.add_bos_token_id(1)
    file.add_eos_token_id(2)
    file.add_pad_token_id(3)
    file.add_add_bos_token(False)


def write_encoder(name: str, path: str):
    n_embd, n_ff = ENCODER["n_embd"], ENCODER["n_ff"]
    out = Writer(path, "jina-bert-v2")
    file = out.file
    file.add_name(f"{name}, random weights")
    file.add_context_length(ENCODER["n_ctx"])
    file.add_embedding_length(n_embd)
    file.add_block_count(ENCODER["n_layer"])
    file.add_feed_forward_length(n_ff)
    file.add_head_count(ENCODER["n_head"])
    file.add_layer_norm_eps(1e-12)
    file.add_max_alibi_bias(8.0)
    file.add_causal_attention(False)
    file.add_uint32("jina-bert-v2.pooling_type", 1)  # mean
    file.add_tokenizer_model("bert")
    file.add_tokenizer_pre("jina-v2-en")
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    file.add_token_list([*specials, *(f"\u2581w{i}" for i in range(ENCODER["n_vocab"] - len(specials)))])
    file.add_token_types([3] * len(specials) + [1] * (ENCODER["n_vocab"] - len(specials)))
    file.add_token_type_count(2)
    file.add_pad_token_id(0)
    file.add_unk_token_id(1)
    file.add_bos_token_id(2)
    file.add_sep_token_id(3)
    file.add_eos_token_id(3)
    file.add_mask_token_id(4)
    out.matrix("token_embd", ENCODER["n_vocab"], n_embd, 0.04)
    file.add_tensor("token_types.weight", out.normal((2, n_embd), 0.04))
    out.norm("token_embd_norm", n_embd, True)
    for i in range(ENCODER["n_layer"]):
        layer = f"blk.{i}"
        for matrix in ("attn_q", "attn_k", "attn_v", "attn_output"):
            out.matrix(f"{layer}.{matrix}", n_embd, n_embd, 0.04)
            out.bias(f"{layer}.{matrix}", n_embd)
        out.norm(f"{layer}.attn_output_norm", n_embd, True)
        out.matrix(f"{layer}.ffn_gate", n_ff, n_embd, 0.04)
        out.matrix(f"{layer}.ffn_up", n_ff, n_embd, 0.04)
        out.matrix(f"{layer}.ffn_down", n_embd, n_ff, 0.04)
        out.bias(f"{layer}.ffn_down", n_embd)
        out.norm(f"{layer}.layer_output_norm", n_embd, True)
    out.close()
