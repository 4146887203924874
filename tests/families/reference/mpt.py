"""MPT and models with its code: StoryWriter, Replit-code. transformers' MptForCausalLM, with two corrections.

Its model (5.23) does not pass `alibi_bias_max` on, and it has no grouped queries: here the bias is passed on, and the key and value rows of
each group are repeated, which is the same function. Source: MosaicML 2023, llm-foundry."""
from .common import N_VOCAB, Model, decoder_logits, gain, linear, transformers_model, weight


def config(n_embd, n_head, n_layer, n_head_kv, max_bias, clip):
    grouped = n_head_kv != n_head
    attention = {
        "alibi": True,
        "alibi_bias_max": max_bias,
        "attn_impl": "torch",
        "attn_pdrop": 0,
        "attn_type": "grouped_query_attention" if grouped else "multihead_attention",
        "attn_uses_sequence_id": False,
        "clip_qkv": clip,
        "prefix_lm": False,
        "qk_ln": False,
        "softmax_scale": None,
    } | ({"kv_n_heads": n_head_kv} if grouped else {})
    return {
        "architectures": ["MPTForCausalLM"],
        "attn_config": attention,
        "d_model": n_embd,
        "emb_pdrop": 0,
        "embedding_fraction": 1.0,
        "expansion_ratio": 4,
        "init_device": "cpu",
        "learned_pos_emb": True,            # not looked at where there is ALiBi
        "logit_scale": None,
        "max_seq_len": 512,
        "model_type": "mpt",
        "n_heads": n_head,
        "n_layers": n_layer,
        "no_bias": True,
        "norm_type": "low_precision_layernorm",
        "resid_pdrop": 0,
        "use_cache": False,
        "verbose": 0,
        "vocab_size": N_VOCAB,
    }


def tensors(n_embd, n_layer, n_embd_kv):
    shapes = {"transformer.wte.weight": weight(N_VOCAB, n_embd)}
    for i in range(n_layer):
        at = f"transformer.blocks.{i}."
        shapes[at + "norm_1.weight"] = gain(n_embd)
        shapes |= linear(at + "attn.Wqkv", n_embd + 2 * n_embd_kv, n_embd, bias=False)      # all q, all k, all v
        shapes |= linear(at + "attn.out_proj", n_embd, n_embd, bias=False)
        shapes[at + "norm_2.weight"] = gain(n_embd)
        shapes |= linear(at + "ffn.up_proj", 4 * n_embd, n_embd, bias=False)
        shapes |= linear(at + "ffn.down_proj", n_embd, 4 * n_embd, bias=False)
    return shapes | {"transformer.norm_f.weight": gain(n_embd)}


def repeat_kv(qkv, n_embd, n_head, n_head_kv):
    import torch
    head_dim = n_embd // n_head
    q, k, v = qkv.split([n_embd, n_head_kv * head_dim, n_head_kv * head_dim])
    repeat = lambda x: x.reshape(n_head_kv, head_dim, -1).repeat_interleave(n_head // n_head_kv, 0).reshape(n_embd, -1)
    return torch.cat([q, repeat(k), repeat(v)])


def run(config, state):
    from transformers import MptConfig, MptForCausalLM
    from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor
    attention = config["attn_config"]
    n_embd, n_head = config["d_model"], config["n_heads"]
    n_head_kv = attention.get("kv_n_heads", n_head)
    names = ("d_model", "n_heads", "n_layers", "expansion_ratio", "max_seq_len", "vocab_size")
    clip = attention["clip_qkv"] and float(attention["clip_qkv"])
    model = MptForCausalLM(MptConfig(**{name: config[name] for name in names}, attn_config={"clip_qkv": clip}))
    model.transformer.build_mpt_alibi_tensor = \
        lambda n_head, length, device=None: build_mpt_alibi_tensor(n_head, length, attention["alibi_bias_max"], device)
    state = {name: repeat_kv(x, n_embd, n_head, n_head_kv) if "Wqkv" in name else x for name, x in state.items()}
    model = transformers_model(model, state)
    return {"logits.npy": decoder_logits(lambda tokens: model(tokens[None]).logits[0])}


def mpt(n_embd, n_head, n_layer, n_head_kv=None, max_bias=8, clip=None):
    n_head_kv = n_head_kv or n_head
    shapes = tensors(n_embd, n_layer, n_embd // n_head * n_head_kv)
    return Model(config(n_embd, n_head, n_layer, n_head_kv, max_bias, clip), shapes, run, "transformers {transformers} MptForCausalLM")


MODELS = {
    # StoryWriter clips at 6, which would do nothing to numbers as small as these.
    "mpt-storywriter": mpt(128, 8, 3, max_bias=16, clip=1),
    "replit-code-v1": mpt(256, 32, 2),
    "replit-code-v1_5": mpt(192, 24, 2, n_head_kv=8),
}
