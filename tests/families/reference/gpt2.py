"""GPT-2: learned positions. transformers' GPT2LMHeadModel. Radford et al. 2019."""
from .common import N_VOCAB, Model, conv1d, decoder_logits, norm, transformers_model, weight

N_CTX = 320


def config(n_embd, n_head, n_layer):
    return {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "bos_token_id": 0,
        "embd_pdrop": 0.1,
        "eos_token_id": 0,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_ctx": N_CTX,
        "n_embd": n_embd,
        "n_head": n_head,
        "n_layer": n_layer,
        "n_positions": N_CTX,
        "resid_pdrop": 0.1,
        "summary_activation": None,
        "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        "vocab_size": N_VOCAB,
    }


def tensors(n_embd, n_layer):
    shapes = {"wte.weight": weight(N_VOCAB, n_embd), "wpe.weight": weight(N_CTX, n_embd)}
    for i in range(n_layer):
        at = f"h.{i}."
        shapes |= norm(at + "ln_1", n_embd)
        # The causal mask, which the published file also has; it is not used, whatever it holds.
        shapes[at + "attn.bias"] = weight(1, 1, N_CTX, N_CTX)
        shapes |= conv1d(at + "attn.c_attn", n_embd, 3 * n_embd)
        shapes |= conv1d(at + "attn.c_proj", n_embd, n_embd)
        shapes |= norm(at + "ln_2", n_embd)
        shapes |= conv1d(at + "mlp.c_fc", n_embd, 4 * n_embd)
        shapes |= conv1d(at + "mlp.c_proj", 4 * n_embd, n_embd)
    return shapes | norm("ln_f", n_embd)


def run(config, state):
    from transformers import GPT2Config, GPT2LMHeadModel
    state = {name: x for name, x in state.items() if not name.endswith(".attn.bias")}
    model = transformers_model(GPT2LMHeadModel(GPT2Config(**config)), state, lambda name: "transformer." + name)
    return {"logits.npy": decoder_logits(lambda tokens: model(tokens[None]).logits[0])}


MODELS = {"gpt2": Model(config(128, 4, 3), tensors(128, 3), run, "transformers {transformers} GPT2LMHeadModel")}
