"""Baichuan-13B and Baichuan2-13B: RMSNorm, SwiGLU, no biases, an output of its own; Baichuan2 normalises the rows of that (`NormHead`).

Written after the published models' description (Yang et al. 2023, arXiv 2309.10305) and the shapes of their checkpoints. The 7B models have
rotary positions: their configuration has `max_position_embeddings`, those of 13B have not."""
from .common import N_VOCAB, Model, alibi_attention, decoder_logits, doubles, gain, heads, linear, rms_norm, silu, slopes, weight


def config(n_embd, n_head, n_layer, n_ff, norm_head):
    return {
        "architectures": ["BaichuanForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "gradient_checkpointing": False,
        "hidden_act": "silu",
        "hidden_size": n_embd,
        "initializer_range": 0.02,
        "intermediate_size": n_ff,
        "model_max_length": 4096,
        "model_type": "baichuan",
        "num_attention_heads": n_head,
        "num_hidden_layers": n_layer,
        "pad_token_id": 0,
        "rms_norm_eps": 1e-06,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": N_VOCAB,
    } | ({"tokenizer_class": "BaichuanTokenizer", "z_loss_weight": 0} if norm_head else {})


def tensors(n_embd, n_layer, n_ff):
    shapes = {"model.embed_tokens.weight": weight(N_VOCAB, n_embd)}
    for i in range(n_layer):
        at = f"model.layers.{i}."
        shapes |= linear(at + "self_attn.W_pack", 3 * n_embd, n_embd, bias=False)           # all q, all k, all v
        shapes |= linear(at + "self_attn.o_proj", n_embd, n_embd, bias=False)
        shapes |= linear(at + "mlp.gate_proj", n_ff, n_embd, bias=False)
        shapes |= linear(at + "mlp.down_proj", n_embd, n_ff, bias=False)
        shapes |= linear(at + "mlp.up_proj", n_ff, n_embd, bias=False)
        shapes[at + "input_layernorm.weight"] = gain(n_embd)
        shapes[at + "post_attention_layernorm.weight"] = gain(n_embd)
    return shapes | {"model.norm.weight": gain(n_embd), "lm_head.weight": weight(N_VOCAB, n_embd)}


def run(config, state):
    w, n_head, eps = doubles(state), config["num_attention_heads"], config["rms_norm_eps"]
    head = w["lm_head.weight"]
    if "z_loss_weight" in config:
        head = head / head.norm(dim=1, keepdim=True)

    def forward(tokens):
        x = w["model.embed_tokens.weight"][tokens]
        for i in range(config["num_hidden_layers"]):
            at = f"model.layers.{i}."
            h = rms_norm(x, w[at + "input_layernorm.weight"], eps)
            q, k, v = (heads(y, n_head) for y in (h @ w[at + "self_attn.W_pack.weight"].T).chunk(3, -1))
            x = x + alibi_attention(q, k, v, q.shape[-1] ** -0.5, slopes(n_head)) @ w[at + "self_attn.o_proj.weight"].T
            h = rms_norm(x, w[at + "post_attention_layernorm.weight"], eps)
            gate = silu(h @ w[at + "mlp.gate_proj.weight"].T)
            x = x + (gate * (h @ w[at + "mlp.up_proj.weight"].T)) @ w[at + "mlp.down_proj.weight"].T
        return rms_norm(x, w["model.norm.weight"], eps) @ head.T

    return {"logits.npy": decoder_logits(forward)}


def baichuan(n_embd, n_layer, n_ff, norm_head):
    about = "tests/families/reference/baichuan.py after the published description, in f64"
    return Model(config(n_embd, 40, n_layer, n_ff, norm_head), tensors(n_embd, n_layer, n_ff), run, about)


MODELS = {
    # As many layers as the published model, by which other programs recognise ALiBi.
    "baichuan-13b": baichuan(160, 40, 432, norm_head=False),
    "baichuan2-13b": baichuan(320, 2, 864, norm_head=True),
}
