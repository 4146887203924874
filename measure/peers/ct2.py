"""CTranslate2 (PyPI: ctranslate2) on the processor, with weights in int8, and its checkpoint made of a GGUF file of BLOOM's family.

Its `generate_batch` runs the tokens of a prompt but the last together, and then one step for each new token. So a prompt of N tokens with one new token is ppN,
a prompt of one token with N new ones is tgN, and N prompts of one token are N sequences that decode together. Tokens before the test are a static prompt, whose
keys and values it keeps. Each step takes the likeliest token, which the others here do without.
"""
import json
import os
import sys
import time

import numpy as np

from turns import Cell


class Decoder:
    pid = None

    def __init__(self, folder: str, threads: list[int]):
        import ctranslate2
        self.name = "CTranslate2 int8"
        self.generators = {n: ctranslate2.Generator(folder, device="cpu", compute_type="int8", intra_threads=n, inter_threads=1) for n in threads}
        with open(os.path.join(folder, "vocabulary.json")) as vocabulary:
            self.tokens = json.load(vocabulary)
        self.ids = np.random.default_rng(1).integers(256, len(self.tokens), 1 << 16).tolist()
        self.static = None

    def takes(self, _cell: Cell) -> bool:
        return True

    def words(self, begin: int, n: int) -> list[str]:
        return [self.tokens[i] for i in self.ids[begin:begin + n]]

    def generate(self, threads: int, prompts: list[list[str]], n: int):
        results = self.generators[threads].generate_batch(
            prompts, max_length=n, min_length=n, beam_size=1, sampling_topk=1, include_prompt_in_result=False, end_token=[],
            static_prompt=self.static, cache_static_prompt=True)
        assert all(len(result.sequences_ids[0]) == n for result in results)

    def fill(self, depth: int):
        self.static = self.words(0, depth) or None
        for threads in self.generators:
            self.generate(threads, [self.words(depth, 1)], 1)

    def time(self, cell: Cell) -> float:
        prompt, n = (cell.n, 1) if cell.test == "pp" else (1, cell.n)
        prompts = [self.words(cell.depth, prompt)] * cell.count
        begin = time.perf_counter()
        self.generate(cell.threads, prompts, n)
        return time.perf_counter() - begin

    def close(self):
        self.generators.clear()


def version() -> dict:
    import ctranslate2
    return {"ctranslate2": ctranslate2.__version__, "ctranslate2_compute_types": sorted(ctranslate2.get_supported_compute_types("cpu"))}


def convert(gguf_path: str, folder: str):
    """Writes the checkpoint of a BLOOM file in F16 or F32, in int8 with one scale for each row, with the same weights."""
    import ctranslate2
    import gguf
    from ctranslate2.specs import common_spec, transformer_spec

    reader = gguf.GGUFReader(gguf_path)
    field = lambda name: reader.fields[name].contents()
    if field("general.architecture") != "bloom":
        sys.exit(f"peers: {gguf_path} is not BLOOM")
    data = {tensor.name: tensor.data for tensor in reader.tensors}
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        field("bloom.block_count"), field("bloom.attention.head_count"), pre_norm=True, activation=common_spec.Activation.GELUTanh,
        layernorm_embedding=True, alibi=True, alibi_use_positive_positions=True)

    def norm(of, name):
        of.gamma, of.beta = data[f"{name}.weight"].astype(np.float32), data[f"{name}.bias"].astype(np.float32)

    def linear(of, name):
        of.weight = data[f"{name}.weight"].astype(np.float32)
        if f"{name}.bias" in data:
            of.bias = data[f"{name}.bias"].astype(np.float32)

    decoder = spec.decoder
    decoder.scale_embeddings = False
    linear(decoder.embeddings, "token_embd")
    linear(decoder.projection, "output" if "output.weight" in data else "token_embd")
    norm(decoder.layernorm_embedding, "token_embd_norm")
    norm(decoder.layer_norm, "output_norm")
    for i, layer in enumerate(decoder.layer):
        norm(layer.self_attention.layer_norm, f"blk.{i}.attn_norm")
        norm(layer.ffn.layer_norm, f"blk.{i}.ffn_norm")
        linear(layer.self_attention.linear[0], f"blk.{i}.attn_qkv")
        linear(layer.self_attention.linear[1], f"blk.{i}.attn_output")
        linear(layer.ffn.linear_0, f"blk.{i}.ffn_up")
        linear(layer.ffn.linear_1, f"blk.{i}.ffn_down")
    spec.register_vocabulary(field("tokenizer.ggml.tokens"))
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = "<unk>", "<s>", "</s>"
    spec.validate()
    spec.optimize(quantization="int8")
    os.makedirs(folder, exist_ok=True)
    spec.save(folder)
