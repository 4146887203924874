"""Refact-1.6B: one key and value head for all queries, LayerNorm without bias, SwiGLU of one matrix (gate, then up), an output of its own.

Written after the published model's description and the shapes of its checkpoint; n_ff is 2/3 of 4 n_embd, to the next multiple of 256."""
from .common import N_VOCAB, Model, alibi_attention, decoder_logits, doubles, gain, heads, layer_norm, linear, silu, slopes, weight


def config(n_embd, n_head, n_layer):
    return {
        "architectures": ["GPTRefactForCausalLM"],
        "attention_bias_in_fp32": True,
        "attention_softmax_in_fp32": True,
        "attn_pdrop": 0.1,
        "bos_token_id": -1,
        "do_sample": True,
        "embd_pdrop": 0.1,
        "eos_token_id": 0,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt_refact",
        "multi_query": True,
        "n_embd": n_embd,
        "n_head": n_head,
        "n_inner": None,
        "n_layer": n_layer,
        "n_positions": 4096,
        "resid_pdrop": 0.1,
        "scale_attention_softmax_in_fp32": True,
        "scale_attn_weights": True,
        "use_cache": True,
        "vocab_size": N_VOCAB,
    }


def feed_forward_length(n_embd):
    return (4 * n_embd * 2 // 3 + 255) // 256 * 256


def tensors(n_embd, n_head, n_layer):
    n_ff, head_dim = feed_forward_length(n_embd), n_embd // n_head
    shapes = {"transformer.wte.weight": weight(N_VOCAB, n_embd)}
    for i in range(n_layer):
        at = f"transformer.h.{i}."
        shapes[at + "ln_1.weight"] = gain(n_embd)
        shapes |= linear(at + "attn.q", n_embd, n_embd, bias=False)
        shapes |= linear(at + "attn.kv", 2 * head_dim, n_embd, bias=False)                  # k, v
        shapes |= linear(at + "attn.c_proj", n_embd, n_embd, bias=False)
        shapes[at + "ln_2.weight"] = gain(n_embd)
        shapes |= linear(at + "mlp.gate_up_proj", 2 * n_ff, n_embd, bias=False)
        shapes |= linear(at + "mlp.c_proj", n_embd, n_ff, bias=False)
    return shapes | {"ln_f.weight": gain(n_embd), "lm_head.weight": weight(N_VOCAB, n_embd)}


def run(config, state):
    w, n_head = doubles(state), config["n_head"]

    def forward(tokens):
        x = w["transformer.wte.weight"][tokens]
        for i in range(config["n_layer"]):
            at = f"transformer.h.{i}."
            h = layer_norm(x, w[at + "ln_1.weight"])
            q = heads(h @ w[at + "attn.q.weight"].T, n_head)
            k, v = (heads(y, 1) for y in (h @ w[at + "attn.kv.weight"].T).chunk(2, -1))
            x = x + alibi_attention(q, k, v, q.shape[-1] ** -0.5, slopes(n_head)) @ w[at + "attn.c_proj.weight"].T
            gate, up = (layer_norm(x, w[at + "ln_2.weight"]) @ w[at + "mlp.gate_up_proj.weight"].T).chunk(2, -1)
            x = x + (silu(gate) * up) @ w[at + "mlp.c_proj.weight"].T
        return layer_norm(x, w["ln_f.weight"]) @ w["lm_head.weight"].T

    return {"logits.npy": decoder_logits(forward)}


def refact(n_embd, n_head, n_layer):
    about = "tests/families/reference/refact.py after the published description, in f64"
    return Model(config(n_embd, n_head, n_layer), tensors(n_embd, n_head, n_layer), run, about)


MODELS = {"refact": refact(256, 32, 2), "refact-h12": refact(192, 12, 2)}
