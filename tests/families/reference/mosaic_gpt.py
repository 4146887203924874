"""MPT-1b-redpajama (`mosaic_gpt`, the earlier name of MPT): a norm of all queries together and of all keys together.

Written after the description in its model card and MosaicML's examples (2022): pre-norm, LayerNorm and linear layers without bias, clip_qkv before
the norms, these before the heads are cut apart, GELU by erf, output tied to the embedding."""
from .common import N_VOCAB, Model, alibi_attention, decoder_logits, doubles, gain, heads, layer_norm, linear, slopes, weight


def config(n_embd, n_head, n_layer):
    return {
        "alibi": True,
        "alibi_bias_max": 8,
        "architectures": ["MosaicGPT"],
        "attn_clip_qkv": None,
        "attn_impl": "torch",
        "attn_pdrop": 0,
        "attn_qk_ln": True,
        "attn_uses_sequence_id": False,
        "d_model": n_embd,
        "emb_pdrop": 0,
        "embedding_fraction": 1.0,
        "init_device": "cpu",
        "logit_scale": None,
        "low_precision_layernorm": True,
        "max_seq_len": 2048,
        "mlp_ratio": 4,
        "model_type": "mosaic_gpt",
        "n_heads": n_head,
        "n_layers": n_layer,
        "no_bias": True,
        "prefix_lm": False,
        "resid_pdrop": 0,
        "softmax_scale": None,
        "use_cache": False,
        "vocab_size": N_VOCAB,
    }


def tensors(n_embd, n_layer):
    shapes = {"transformer.wte.weight": weight(N_VOCAB, n_embd)}
    for i in range(n_layer):
        at = f"transformer.blocks.{i}."
        shapes[at + "ln_1.weight"] = gain(n_embd)
        shapes |= linear(at + "attn.Wqkv", 3 * n_embd, n_embd, bias=False)
        shapes[at + "attn.q_ln.weight"] = gain(n_embd)
        shapes[at + "attn.k_ln.weight"] = gain(n_embd)
        shapes |= linear(at + "attn.out_proj", n_embd, n_embd, bias=False)
        shapes[at + "ln_2.weight"] = gain(n_embd)
        shapes |= linear(at + "mlp.mlp_up", 4 * n_embd, n_embd, bias=False)
        shapes |= linear(at + "mlp.mlp_down", n_embd, 4 * n_embd, bias=False)
    return shapes | {"transformer.ln_f.weight": gain(n_embd)}


def run(config, state):
    from torch.nn.functional import gelu
    w, n_head = doubles(state), config["n_heads"]

    def forward(tokens):
        x = w["transformer.wte.weight"][tokens]
        for i in range(config["n_layers"]):
            at = f"transformer.blocks.{i}."
            q, k, v = (layer_norm(x, w[at + "ln_1.weight"]) @ w[at + "attn.Wqkv.weight"].T).chunk(3, -1)
            q, k = layer_norm(q, w[at + "attn.q_ln.weight"]), layer_norm(k, w[at + "attn.k_ln.weight"])
            q, k, v = (heads(y, n_head) for y in (q, k, v))
            attended = alibi_attention(q, k, v, q.shape[-1] ** -0.5, slopes(n_head, config["alibi_bias_max"]))
            x = x + attended @ w[at + "attn.out_proj.weight"].T
            up = gelu(layer_norm(x, w[at + "ln_2.weight"]) @ w[at + "mlp.mlp_up.weight"].T)
            x = x + up @ w[at + "mlp.mlp_down.weight"].T
        return layer_norm(x, w["transformer.ln_f.weight"]) @ w["transformer.wte.weight"].T

    return {"logits.npy": decoder_logits(forward)}


MODELS = {
    "mpt-1b-redpajama": Model(config(128, 8, 3), tensors(128, 3), run,
                              "tests/families/reference/mosaic_gpt.py after the published description, in f64"),
}
