"""MosaicBERT and DNABERT-2, which has its code: BERT with ALiBi on both sides, a gated feed-forward, and queries, keys and values in one matrix.

Written after Portes et al. 2023 (arXiv 2312.17482) and Zhou et al. 2023 (arXiv 2306.15006). That the code leaves padding out changes no number."""
from .common import N_VOCAB, Model, doubles, linear, norm
from .encoder import apply, attend, documents, embed, embedding_tensors, embeddings, named_norm


def config(n_embd, n_head, n_layer, n_ff, alibi_starting_size, **more):
    return {
        "alibi_starting_size": alibi_starting_size,
        "architectures": ["BertForMaskedLM"],
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout": None,
        "gradient_checkpointing": False,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": n_embd,
        "initializer_range": 0.02,
        "intermediate_size": n_ff,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "model_type": "bert",
        "num_attention_heads": n_head,
        "num_hidden_layers": n_layer,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
        "use_cache": True,
        "vocab_size": N_VOCAB,
    } | more


def tensors(config):
    n_embd, n_ff = config["hidden_size"], config["intermediate_size"]
    shapes = embedding_tensors("bert.embeddings.", config)
    for i in range(config["num_hidden_layers"]):
        at = f"bert.encoder.layer.{i}."
        shapes |= linear(at + "attention.self.Wqkv", 3 * n_embd, n_embd)                    # all q, all k, all v
        shapes |= linear(at + "attention.output.dense", n_embd, n_embd) | norm(at + "attention.output.LayerNorm", n_embd)
        shapes |= linear(at + "mlp.gated_layers", 2 * n_ff, n_embd, bias=False) | linear(at + "mlp.wo", n_embd, n_ff)
        shapes |= norm(at + "mlp.layernorm", n_embd)
    # The head that guesses masked words; its matrix is the embedding.
    shapes |= linear("cls.predictions.transform.dense", n_embd, n_embd) | norm("cls.predictions.transform.LayerNorm", n_embd)
    return shapes


def run(config, state):
    import torch
    from torch.nn.functional import gelu
    w, eps, n_ff = doubles(state), config["layer_norm_eps"], config["intermediate_size"]

    def rows(tokens):
        x = embed(w, "bert.embeddings.", tokens, torch.zeros_like(tokens), eps)
        for i in range(config["num_hidden_layers"]):
            at = f"bert.encoder.layer.{i}."
            q, k, v = apply(w, at + "attention.self.Wqkv", x).chunk(3, -1)
            y = attend(w, at + "attention.", x, q, k, v, config["num_attention_heads"], eps)
            gated, non_gated = apply(w, at + "mlp.gated_layers", y).split(n_ff, -1)
            x = named_norm(w, at + "mlp.layernorm", apply(w, at + "mlp.wo", gelu(gated) * non_gated) + y, eps)
        return x

    return embeddings(rows, documents())


def mosaic(*shape):
    made = config(*shape)
    return Model(made, tensors(made), run, "tests/families/reference/mosaic_bert.py after the published description, in f64")


MODELS = {"mosaic-bert": mosaic(192, 12, 2, 384, 2048), "dnabert-2": mosaic(96, 6, 3, 192, 512)}
