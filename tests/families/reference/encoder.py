"""Code that the encoders share: documents, attention to both sides, a mean of rows, the parts of a BERT."""
import numpy as np
from .common import generator, heads, layer_norm, norm, prompts, slopes, weight

N_LONG = 8192


def documents(long=False):
    """The prompts as documents; one model has a long one too."""
    random = generator.random(f"prompt/{N_LONG}", N_LONG) % np.uint64(generator.N_VOCAB)
    return prompts() + ([random.astype(np.int64)] if long else [])


def symmetric_attention(q, k, v, slope):
    """A bias of -slope * distance to either side, [n_head, n, d] each; as [n, n_head * d]. Head by head: a long document has 8192² scores in each."""
    import torch
    position = torch.arange(q.shape[1])
    distance = (position[:, None] - position[None, :]).abs()
    scale = q.shape[-1] ** -0.5
    return torch.cat([(q @ k.T * scale - m * distance).softmax(-1) @ v for q, k, v, m in zip(q, k, v, slope)], -1)


def embeddings(rows, documents):
    """f32 [documents, n_embd]: the mean of the rows of each, of length one. `rows` takes tokens, int64 [n]."""
    import torch
    with torch.no_grad():
        means = [rows(torch.from_numpy(tokens)).mean(0) for tokens in documents]
    return {"embeddings.npy": torch.stack([x / x.norm() for x in means]).float().numpy()}


def embedding_tensors(at, config):
    """Tensors of the embedding: words, token types and the norm over their sum."""
    n_embd = config["hidden_size"]
    return {
        at + "word_embeddings.weight": weight(config["vocab_size"], n_embd),
        at + "token_type_embeddings.weight": weight(config["type_vocab_size"], n_embd),
    } | norm(at + "LayerNorm", n_embd)


def embed(w, at, tokens, types, eps):
    x = w[at + "word_embeddings.weight"][tokens] + w[at + "token_type_embeddings.weight"][types]
    return named_norm(w, at + "LayerNorm", x, eps)


def apply(w, name, x):
    """Result of torch.nn.Linear, with a bias if there is one."""
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"] if name + ".bias" in w else y


def named_norm(w, name, x, eps):
    return layer_norm(x, w[name + ".weight"], w[name + ".bias"], eps)


def attend(w, at, x, q, k, v, n_head, eps):
    """`BertSelfOutput(BertSelfAttention(x), x)` once queries, keys and values are made."""
    attended = symmetric_attention(*(heads(y, n_head) for y in (q, k, v)), slopes(n_head))
    return named_norm(w, at + "output.LayerNorm", apply(w, at + "output.dense", attended) + x, eps)
