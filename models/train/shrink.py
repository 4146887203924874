"""A smaller model out of a larger one, to be trained further: fewer layers, MLP units and vocabulary entries.

    python shrink.py --model pocket.gguf --corpus DIR --shape micro --out RUN_DIR

Keeps the layers without which the rest predicts best, then the MLP units that add most to the residual stream,
then the first entries of the vocabulary, whose merges are the most frequent ones. Width and heads stay.
RUN_DIR receives tokenizer.json and start.pt, from which train.py starts.
"""

import argparse
import itertools
from pathlib import Path

import gguf
import torch
from tokenizers import Tokenizer

import start
from evaluate import load
from model import Model, shape_of
from tokenizer import MARKER, byte_level


def smaller_vocabulary(path: Path, n_vocab: int) -> tuple[Tokenizer, list[int]]:
    """The first entries that can be made from each other, without pieces of the marker; and their old ids."""
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    kept_merges, made_by = [], {a + b: (a, b) for a, b in merges}
    kept = [token for token in tokens if token not in made_by]
    for a, b in merges:
        if len(kept) == n_vocab:
            break
        if a in kept and b in kept and not (len(a + b) > 1 and a + b in MARKER):
            kept.append(a + b)
            kept_merges.append((a, b))
    old = {token: i for i, token in enumerate(tokens)}
    return byte_level(kept, kept_merges), [old[token] for token in kept]


@torch.no_grad()
def important_units(model: Model, windows: torch.Tensor, n: int) -> list[torch.Tensor]:
    """For each layer the n MLP units with the largest output, in their order."""
    squares = {}

    def note(layer):
        return lambda _, inputs: squares.update({layer: inputs[0].square().mean((0, 1))})

    hooks = [block.ffn_down.register_forward_pre_hook(note(i)) for i, block in enumerate(model.blk)]
    start.nats(model, windows)
    for hook in hooks:
        hook.remove()
    sizes = [squares[i].sqrt() * block.ffn_down.weight.norm(dim=0) for i, block in enumerate(model.blk)]
    return [size.topk(n).indices.sort().values for size in sizes]


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--file", default="tinystories_more.txt", help="what the choice is measured on")
    parser.add_argument("--shape", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    shape = shape_of(args.shape)
    model, tokenizer = load(args.model)
    large = model.shape
    assert (large.n_embd, large.n_head, large.n_head_kv, large.max_alibi_bias) == (
        shape.n_embd, shape.n_head, shape.n_head_kv, shape.max_alibi_bias
    ), "width and heads stay"

    text, blocks = args.corpus / args.file, list(model.blk)
    windows = start.windows(tokenizer, text)
    print(f"{args.model.name}: {start.nats(model, windows):.3f} nats a token")
    choices = {}
    for layers in itertools.combinations(range(large.n_layer), shape.n_layer):
        model.blk = torch.nn.ModuleList(blocks[i] for i in layers)
        choices[layers] = start.nats(model, windows)
    layers = min(choices, key=choices.get)
    model.blk = torch.nn.ModuleList(blocks[i] for i in layers)
    print(f"layers {layers}: {choices[layers]:.3f}")
    for block, units in zip(model.blk, important_units(model, windows, shape.n_ff)):
        block.ffn_up.weight = torch.nn.Parameter(block.ffn_up.weight[units])
        block.ffn_down.weight = torch.nn.Parameter(block.ffn_down.weight[:, units])
    print(f"MLP of {shape.n_ff}: {start.nats(model, windows):.3f}")
    tokenizer, entries = smaller_vocabulary(args.model, shape.n_vocab)
    model.token_embd.weight = torch.nn.Parameter(model.token_embd.weight[entries])
    print(f"vocabulary of {shape.n_vocab}: {start.nats(model, start.windows(tokenizer, text)):.3f}")
    small = Model(shape)
    small.load_state_dict(model.state_dict())
    start.save(args.out, small, tokenizer)


if __name__ == "__main__":
    main()
