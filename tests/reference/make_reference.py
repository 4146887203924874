#!/usr/bin/env python3
"""Remake the reference: logits of the tiny models computed by Hugging Face transformers in f32, and the checksums of their weights.

  make_reference.py                 write logits/*.npy and checksums.txt
  make_reference.py --gguf DIR      write DIR/{model}-F16.gguf only
  make_reference.py --without-bias  print how far the logits move when ALiBi's bias is left out (what a test must notice)
"""
import argparse
import os
import numpy as np
import models

HERE = os.path.dirname(os.path.abspath(__file__))


def interleave(qkv, m):
    """GGUF has all q, all k, all v; Hugging Face BLOOM has q, k, v of each head in turn."""
    return qkv.reshape(3, m.n_head, m.head_dim, -1).swapaxes(0, 1).reshape(qkv.shape)


def repeat_kv(qkv, m):
    """Give each query head its own copy of its group's k and v: Hugging Face MPT has no grouped-query attention, this is the same function."""
    q, k, v = np.split(qkv, [m.n_embd, m.n_embd + m.n_embd_kv])

    def repeat(x):
        heads = x.reshape(m.n_head_kv, m.head_dim, -1)
        return heads.repeat(m.n_head // m.n_head_kv, axis=0).reshape(m.n_embd, -1)
    return np.concatenate([q, repeat(k), repeat(v)])


HF_NAMES = {
    "bloom": {"token_embd": "word_embeddings", "token_embd_norm": "word_embeddings_layernorm", "output_norm": "ln_f", "blk": "h",
              "attn_norm": "input_layernorm", "attn_qkv": "self_attention.query_key_value", "attn_output": "self_attention.dense",
              "ffn_norm": "post_attention_layernorm", "ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h"},
    "mpt": {"token_embd": "wte", "output_norm": "norm_f", "blk": "blocks", "attn_norm": "norm_1", "attn_qkv": "attn.Wqkv",
            "attn_output": "attn.out_proj", "ffn_norm": "norm_2", "ffn_up": "ffn.up_proj", "ffn_down": "ffn.down_proj"},
}


def hf_name(gguf_name, arch):
    return "transformer." + ".".join(HF_NAMES[arch].get(part, part) for part in gguf_name.split("."))


def hf_tensor(name, x, m):
    if "attn_qkv" not in name:
        return x
    return interleave(x, m) if m.arch == "bloom" else repeat_kv(x, m)


def hf_bloom(m):
    from transformers import BloomConfig, BloomForCausalLM
    return BloomForCausalLM(BloomConfig(vocab_size=m.n_vocab, hidden_size=m.n_embd, n_layer=m.n_layer, n_head=m.n_head,
                                        layer_norm_epsilon=m.norm_eps))


def hf_mpt(m):
    from transformers import MptConfig, MptForCausalLM
    from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor
    model = MptForCausalLM(MptConfig(d_model=m.n_embd, n_heads=m.n_head, n_layers=m.n_layer, expansion_ratio=4, max_seq_len=m.n_ctx,
                                     vocab_size=m.n_vocab, layer_norm_epsilon=m.norm_eps,
                                     attn_config={"clip_qkv": m.clamp_kqv or None}))
    # MptConfig takes an alibi_bias_max, but the model (transformers 5.23) does not pass it on.
    model.transformer.build_mpt_alibi_tensor = \
        lambda n_head, length, device=None: build_mpt_alibi_tensor(n_head, length, m.max_alibi_bias, device)
    return model


def hf_model(m, tensors):
    import torch
    model = {"bloom": hf_bloom, "mpt": hf_mpt}[m.arch](m)
    state = {hf_name(n, m.arch): torch.from_numpy(np.array(hf_tensor(n, x, m))) for n, x in tensors.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise SystemExit(f"{m.name}: tensor names differ: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model.float().eval()


def drop_bias(model, m):
    import torch
    from transformers.models.bloom import modeling_bloom
    if m.arch == "bloom":
        modeling_bloom._get_alibi_slopes = lambda n_head, device: torch.zeros(n_head)
    else:
        model.transformer.build_mpt_alibi_tensor = lambda n_head, length, device=None: torch.zeros(n_head, 1, length)


def logits(model):
    """f32 [sum of PROMPT_LENS, n_vocab]: each prompt from an empty context, one after another."""
    import torch
    with torch.no_grad():
        return np.concatenate([model(torch.from_numpy(p)[None]).logits[0].numpy() for p in models.prompts()])


def write_reference():
    os.makedirs(f"{HERE}/logits", exist_ok=True)
    with open(f"{HERE}/checksums.txt", "w") as sums:
        for m in models.MODELS.values():
            tensors = models.tensors(m)
            for name, x in tensors.items():
                sums.write(f"{m.name} {name} {'x'.join(map(str, x.shape))} {models.checksum(x):016x}\n")
            out = logits(hf_model(m, tensors))
            np.save(f"{HERE}/logits/{m.name}.npy", out)
            print(f"{m.name}: {out.shape}, standard deviation {out.std():.3f}")


def print_without_bias():
    from compare import Difference
    for m in models.MODELS.values():
        model = hf_model(m, models.tensors(m))
        drop_bias(model, m)
        print(f"{m.name}: {Difference(np.load(f'{HERE}/logits/{m.name}.npy'), logits(model))}")


def write_gguf(m, path):
    import gguf
    w = gguf.GGUFWriter(path, m.arch)
    w.add_name(m.name)
    w.add_context_length(m.n_ctx)
    w.add_embedding_length(m.n_embd)
    w.add_block_count(m.n_layer)
    w.add_feed_forward_length(m.n_ff)
    w.add_head_count(m.n_head)
    w.add_head_count_kv(m.n_head_kv)
    w.add_layer_norm_eps(m.norm_eps)
    if m.arch == "mpt":
        w.add_max_alibi_bias(m.max_alibi_bias)
    if m.clamp_kqv:
        w.add_clamp_kqv(m.clamp_kqv)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    tokens, types, merges = models.vocab()
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(m.arch)
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_bos_token_id(0)
    w.add_eos_token_id(0)
    w.add_add_bos_token(False)
    for name, x in models.tensors(m).items():
        w.add_tensor(name, x.astype(np.float16) if x.ndim == 2 else x)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", metavar="DIR")
    parser.add_argument("--without-bias", action="store_true")
    args = parser.parse_args()
    if args.gguf:
        os.makedirs(args.gguf, exist_ok=True)
        for m in models.MODELS.values():
            write_gguf(m, f"{args.gguf}/{m.name}-F16.gguf")
    elif args.without_bias:
        print_without_bias()
    else:
        write_reference()


if __name__ == "__main__":
    main()
