"""Falcon-RW: transformers' FalconForCausalLM with ALiBi. Penedo et al. 2023, arXiv 2306.01116.

The bias is added before the scores are scaled, and the published code computes it in bfloat16, slope, position and product each rounded.
`logits.npy` is the model without that rounding, `logits-bf16.npy` the code as it is."""
from .common import N_VOCAB, Model, decoder_logits, linear, norm, slopes, transformers_model, weight


def config(n_embd, n_head, n_layer):
    return {
        "alibi": True,
        "apply_residual_connection_post_layernorm": False,
        "architectures": ["FalconForCausalLM"],
        "attention_dropout": 0.0,
        "bias": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_dropout": 0.0,
        "hidden_size": n_embd,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": "falcon",
        "multi_query": False,
        "new_decoder_architecture": False,
        "num_attention_heads": n_head,
        "num_hidden_layers": n_layer,
        "parallel_attn": False,
        "use_cache": True,
        "vocab_size": N_VOCAB,
    }


def tensors(n_embd, n_layer):
    shapes = {"transformer.word_embeddings.weight": weight(N_VOCAB, n_embd)}
    for i in range(n_layer):
        at = f"transformer.h.{i}."
        shapes |= norm(at + "post_attention_layernorm", n_embd)
        shapes |= norm(at + "input_layernorm", n_embd)
        shapes |= linear(at + "self_attention.query_key_value", 3 * n_embd, n_embd)         # q, k, v of each head in turn
        shapes |= linear(at + "self_attention.dense", n_embd, n_embd)
        shapes |= linear(at + "mlp.dense_h_to_4h", 4 * n_embd, n_embd)
        shapes |= linear(at + "mlp.dense_4h_to_h", n_embd, 4 * n_embd)
    return shapes | norm("transformer.ln_f", n_embd)


def alibi_in_floats(mask, n_head, dtype):
    import torch
    return torch.tensor(slopes(n_head), dtype=dtype)[:, None, None] * torch.arange(mask.shape[1], dtype=dtype)


def run(config, state):
    from transformers import FalconConfig, FalconForCausalLM
    from transformers.models.falcon import modeling_falcon
    model = transformers_model(FalconForCausalLM(FalconConfig(**config)), state)
    forward = lambda tokens: model(tokens[None]).logits[0]
    in_bfloat16 = decoder_logits(forward)
    published = modeling_falcon.build_alibi_tensor
    modeling_falcon.build_alibi_tensor = alibi_in_floats
    in_floats = decoder_logits(forward)
    modeling_falcon.build_alibi_tensor = published
    return {"logits.npy": in_floats, "logits-bf16.npy": in_bfloat16}


MODELS = {"falcon-rw": Model(config(128, 8, 3), tensors(128, 3), run, "transformers {transformers} FalconForCausalLM")}
