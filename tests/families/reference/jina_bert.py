"""Jina Embeddings v2 and Jina Reranker v1: BERT with ALiBi on both sides and a gated feed-forward.

Written after Günther et al. 2023 (arXiv 2310.19923) and what is known of the two published forms of the code: `jina-bert-implementation`, whose
feed-forward has the half that goes through GELU first and a norm of its own, and `jina-bert-v2-qk-post-norm` (the code model and the rerankers), which
normalises queries and keys, adds the input of a layer twice, and has the halves the other way round."""
from .common import N_VOCAB, Model, doubles, linear, norm
from .encoder import apply, attend, documents, embed, embedding_tensors, embeddings, named_norm


def config(n_embd, n_head, n_layer, n_ff, **more):
    return {
        "_name_or_path": "jinaai/jina-bert-implementation",
        "architectures": ["JinaBertForMaskedLM"],
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout": None,
        "emb_pooler": "mean",
        "feed_forward_type": "geglu",
        "gradient_checkpointing": False,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": n_embd,
        "initializer_range": 0.02,
        "intermediate_size": n_ff,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 8192,
        "model_max_length": 8192,
        "model_type": "bert",
        "num_attention_heads": n_head,
        "num_hidden_layers": n_layer,
        "pad_token_id": 0,
        "position_embedding_type": "alibi",
        "type_vocab_size": 2,
        "use_cache": True,
        "vocab_size": N_VOCAB,
    } | more


def is_qk_post_norm(config):
    return "qk-post-norm" in config["_name_or_path"]


def is_reranker(config):
    return config["architectures"] == ["JinaBertForSequenceClassification"]


def prefix(config):
    return "bert." if is_reranker(config) else ""


def tensors(config):
    n_embd, n_ff = config["hidden_size"], config["intermediate_size"]
    shapes = embedding_tensors(prefix(config) + "embeddings.", config)
    for i in range(config["num_hidden_layers"]):
        at = f"{prefix(config)}encoder.layer.{i}."
        for name in ("query", "key", "value"):
            shapes |= linear(at + "attention.self." + name, n_embd, n_embd)
        if is_qk_post_norm(config):
            shapes |= norm(at + "attention.self.layer_norm_q", n_embd) | norm(at + "attention.self.layer_norm_k", n_embd)
        shapes |= linear(at + "attention.output.dense", n_embd, n_embd) | norm(at + "attention.output.LayerNorm", n_embd)
        if is_qk_post_norm(config):
            shapes |= norm(at + "layer_norm_1", n_embd) | norm(at + "layer_norm_2", n_embd)
            shapes |= linear(at + "mlp.up_gated_layer", 2 * n_ff, n_embd, bias=False) | linear(at + "mlp.down_layer", n_embd, n_ff)
        else:
            shapes |= linear(at + "mlp.gated_layers", 2 * n_ff, n_embd, bias=False) | linear(at + "mlp.wo", n_embd, n_ff)
            shapes |= norm(at + "mlp.layernorm", n_embd)
    # Embedding models also have a pooler, which no embedding uses.
    shapes |= linear(prefix(config) + "pooler.dense", n_embd, n_embd)
    return shapes | (linear("classifier", 1, n_embd) if is_reranker(config) else {})


def layer_of(w, at, x, config):
    from torch.nn.functional import gelu
    eps, n_ff = config["layer_norm_eps"], config["intermediate_size"]
    q, k, v = (apply(w, f"{at}attention.self.{name}", x) for name in ("query", "key", "value"))
    if is_qk_post_norm(config):
        q, k = named_norm(w, at + "attention.self.layer_norm_q", q, eps), named_norm(w, at + "attention.self.layer_norm_k", k, eps)
    y = attend(w, at + "attention.", x, q, k, v, config["num_attention_heads"], eps)
    if is_qk_post_norm(config):
        y = named_norm(w, at + "layer_norm_1", x + y, eps)
        up, gated = apply(w, at + "mlp.up_gated_layer", y).split(n_ff, -1)
        return named_norm(w, at + "layer_norm_2", y + apply(w, at + "mlp.down_layer", up * gelu(gated)), eps)
    gated, non_gated = apply(w, at + "mlp.gated_layers", y).split(n_ff, -1)
    return named_norm(w, at + "mlp.layernorm", apply(w, at + "mlp.wo", gelu(gated) * non_gated) + y, eps)


def run(config, state):
    import torch
    w = doubles(state)

    def rows(tokens):
        x = embed(w, prefix(config) + "embeddings.", tokens, torch.zeros_like(tokens), config["layer_norm_eps"])
        for i in range(config["num_hidden_layers"]):
            x = layer_of(w, f"{prefix(config)}encoder.layer.{i}.", x, config)
        return x

    if not is_reranker(config):
        return embeddings(rows, documents(long=config["num_attention_heads"] == 8))

    def score(tokens):
        return apply(w, "classifier", torch.tanh(apply(w, "bert.pooler.dense", rows(tokens)[0])))

    with torch.no_grad():
        return {"embeddings.npy": torch.stack([score(torch.from_numpy(tokens)) for tokens in documents()]).float().numpy()}


def jina(*shape, **more):
    made = config(*shape, **more)
    return Model(made, tensors(made), run, "tests/families/reference/jina_bert.py after the published description, in f64")


QK_POST_NORM = {"_name_or_path": "jinaai/jina-bert-v2-qk-post-norm"}
RERANKER = {"architectures": ["JinaBertForSequenceClassification"], "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}

MODELS = {
    "jina-v2-small": jina(128, 8, 2, 256),
    "jina-v2-base": jina(192, 12, 3, 384),
    "jina-v2-code": jina(192, 12, 2, 384, **QK_POST_NORM),
    "jina-reranker-v1": jina(96, 12, 2, 192, **QK_POST_NORM, **RERANKER),
}
