"""BLOOM and BLOOMZ, and models of their shape (TurkuNLP's gpt3-finnish, Poro): transformers' BloomForCausalLM.

Scao et al. 2022, arXiv 2211.05100; Luukkonen et al. 2023, arXiv 2311.05640."""
from .common import N_VOCAB, Model, decoder_logits, linear, norm, transformers_model, weight


def config(n_embd, n_head, n_layer, old_names):
    """`old_names`: as in bigscience/bloom-560m and its sisters; otherwise as in bigscience/bloom."""
    shape = {"n_embed": n_embd, "num_attention_heads": n_head} if old_names else {"hidden_size": n_embd, "n_head": n_head}
    return {
        "apply_residual_connection_post_layernorm": False,
        "architectures": ["BloomForCausalLM"],
        "attention_dropout": 0.0,
        "attention_softmax_in_fp32": True,
        "bias_dropout_fusion": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_dropout": 0.0,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "masked_softmax_fusion": True,
        "model_type": "bloom",
        "n_inner": None,
        "n_layer": n_layer,
        "offset_alibi": 100,
        "pad_token_id": 3,
        "pretraining_tp": 1,
        "seq_length": 2048,
        "skip_bias_add": True,
        "skip_bias_add_qkv": False,
        "unk_token_id": 0,
        "use_cache": True,
        "vocab_size": N_VOCAB,
    } | shape


def tensors(n_embd, n_layer, prefix):
    shapes = {f"{prefix}word_embeddings.weight": weight(N_VOCAB, n_embd)} | norm(f"{prefix}word_embeddings_layernorm", n_embd)
    for i in range(n_layer):
        at = f"{prefix}h.{i}."
        shapes |= norm(at + "input_layernorm", n_embd)
        shapes |= linear(at + "self_attention.query_key_value", 3 * n_embd, n_embd)         # q, k, v of each head in turn
        shapes |= linear(at + "self_attention.dense", n_embd, n_embd)
        shapes |= norm(at + "post_attention_layernorm", n_embd)
        shapes |= linear(at + "mlp.dense_h_to_4h", 4 * n_embd, n_embd)
        shapes |= linear(at + "mlp.dense_4h_to_h", n_embd, 4 * n_embd)
    return shapes | norm(f"{prefix}ln_f", n_embd)


def run(config, state):
    from transformers import BloomConfig, BloomForCausalLM
    names = lambda name: name if name.startswith("transformer.") else "transformer." + name
    model = transformers_model(BloomForCausalLM(BloomConfig(**config)), state, names)
    return {"logits.npy": decoder_logits(lambda tokens: model(tokens[None]).logits[0])}


def bloom(n_embd, n_head, n_layer, old_names=False):
    # The small checkpoints of BLOOM were saved without the language model around them.
    prefix = "" if old_names else "transformer."
    return Model(config(n_embd, n_head, n_layer, old_names), tensors(n_embd, n_layer, prefix), run, "transformers {transformers} BloomForCausalLM")


MODELS = {
    "bloom-h6": bloom(96, 6, 3, old_names=True),
    # As Poro-34B.
    "bloom-h56": bloom(224, 56, 2),
    # As gpt3-finnish-xl: 24 heads of a width that is even and no multiple of 4 (there 86).
    "gpt3-finnish": bloom(24 * 10, 24, 2, old_names=True),
}
