"""Jais, the Jais family and BTLM-3B-8k: SwiGLU with biases, scores over the head's width, embedding and logits scaled (muP).

Written after Sengupta et al. 2023 (arXiv 2308.16149), Dey et al. 2023 (arXiv 2309.11568) and the published configurations. The feed-forward is
`c_fc(x) * silu(c_fc2(x))`; matrices are those of Conv1D, a row for each input; the output is tied to the embedding.

BTLM scales its slopes with the length (Al-Khateeb et al. 2023, arXiv 2310.13017): they are multiplied with `train_seq_len / length` where that is below
one, as the last tokens of the prompt of 300 are. The length is that of the keys a step has, so what a token's slopes are depends on how a text is cut into
steps; here, each token is a step of its own, as where text is generated."""
from .common import (N_VOCAB, Model, alibi_attention, conv1d, decoder_logits, doubles, heads, layer_norm, norm, silu, slopes, slopes_of,
                     weight)


def config(model_type, architecture, n_embd, n_head, n_layer, n_ff):
    return {
        "activation_function": "swiglu",
        "architectures": [architecture],
        "attn_pdrop": 0.0,
        "bos_token_id": 0,
        "embd_pdrop": 0.0,
        "eos_token_id": 0,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": model_type,
        "n_embd": n_embd,
        "n_head": n_head,
        "n_inner": n_ff,
        "n_layer": n_layer,
        "n_positions": 2048,
        "position_embedding_type": "alibi",
        "reorder_and_upcast_attn": False,
        "resid_pdrop": 0.0,
        "scale_attn_by_inverse_layer_idx": False,
        "scale_attn_weights": True,
        "use_cache": True,
        "vocab_size": N_VOCAB,
    }


def tensors(n_embd, n_head, n_layer, n_ff):
    shapes = {"transformer.wte.weight": weight(N_VOCAB, n_embd)}
    for i in range(n_layer):
        at = f"transformer.h.{i}."
        shapes |= norm(at + "ln_1", n_embd)
        shapes |= conv1d(at + "attn.c_attn", n_embd, 3 * n_embd)
        shapes |= conv1d(at + "attn.c_proj", n_embd, n_embd)
        shapes |= norm(at + "ln_2", n_embd)
        shapes |= conv1d(at + "mlp.c_fc", n_embd, n_ff)
        shapes |= conv1d(at + "mlp.c_fc2", n_embd, n_ff)
        shapes |= conv1d(at + "mlp.c_proj", n_ff, n_embd)
    return shapes | norm("transformer.ln_f", n_embd) | {"transformer.relative_pe.slopes": slopes_of(n_head)}


def scales(config):
    """Scales of the embedding and of the logits, which older configurations and those of muP name differently."""
    if "embeddings_scale" in config:
        return config["embeddings_scale"], config["width_scale"]
    return config["mup_embeddings_scale"], config["mup_output_alpha"] * config["mup_width_scale"]


def run(config, state):
    import torch
    w, n_head = doubles(state), config["n_head"]
    embedding_scale, output_scale = scales(config)
    train_length = (config.get("alibi_scaling") or {}).get("train_seq_len", float("inf"))

    def forward(tokens):
        shrink = (train_length / (torch.arange(len(tokens)) + 1)).clamp(max=1)
        linear = lambda x, name: x @ w[name + ".weight"] + w[name + ".bias"]
        normed = lambda x, name: layer_norm(x, w[name + ".weight"], w[name + ".bias"])
        x = w["transformer.wte.weight"][tokens] * embedding_scale
        for i in range(config["n_layer"]):
            at = f"transformer.h.{i}."
            q, k, v = (heads(y, n_head) for y in linear(normed(x, at + "ln_1"), at + "attn.c_attn").chunk(3, -1))
            x = x + linear(alibi_attention(q, k, v, 1 / q.shape[-1], slopes(n_head), shrink), at + "attn.c_proj")
            h = normed(x, at + "ln_2")
            x = x + linear(linear(h, at + "mlp.c_fc") * silu(linear(h, at + "mlp.c_fc2")), at + "mlp.c_proj")
        return normed(x, "transformer.ln_f") @ w["transformer.wte.weight"].T * output_scale

    return {"logits.npy": decoder_logits(forward)}


def model(model_type, architecture, n_embd, n_head, n_layer, n_ff, **rest):
    about = "tests/families/reference/jais.py after the published description, in f64"
    return Model(config(model_type, architecture, n_embd, n_head, n_layer, n_ff) | rest, tensors(n_embd, n_head, n_layer, n_ff), run, about)


# Of Jais-13b and BTLM: 13653 and 6826 columns of the feed-forward are no multiple of 32 either.
MODELS = {
    "jais-13b": model("jais", "JAISLMHeadModel", 160, 20, 2, 427, embeddings_scale=14.6, scale_qk_dot_by_d=True, width_scale=0.111),
    "jais-family": model("jais", "JAISLMHeadModel", 128, 8, 2, 341, mup_embeddings_scale=9.1705785388303, mup_output_alpha=1.09518349815769,
                         mup_scale_qk_dot_by_d=True, mup_width_scale=0.125),
    "btlm-3b-8k": model("btlm", "BTLMLMHeadModel", 128, 8, 2, 342, mup_embeddings_scale=14.6, mup_output_alpha=2.22, mup_scale_qk_dot_by_d=True,
                        mup_width_scale=0.1, alibi_scaling={"type": "linear", "train_seq_len": 128}),
}
