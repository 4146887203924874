"""A larger model out of a shipped one, to be trained further: more layers and MLP units.

    python grow.py --model stories.gguf --corpus DIR --shape 2048,192,6,2,12,768,8 --out RUN_DIR

The larger model predicts exactly what the smaller one predicts: the new layers stand between the old ones and their
output projections are zero, and so are the columns of the down-projections that belong to new MLP units.
Vocabulary, width and heads stay. With the model's own shape, RUN_DIR goes on from the file as it is.
RUN_DIR receives tokenizer.json and start.pt, from which train.py starts.
"""

import argparse
from pathlib import Path

import torch

import start
from evaluate import load
from model import Block, Model, Shape, shape_of


def fill(block: Block, source: Block):
    """Makes the block compute what the source does. MLP units beyond the source's stay as a new model has them: outputs zero."""
    weights, n_ff = source.state_dict(), source.shape.n_ff
    weights["ffn_up.weight"] = torch.cat([source.ffn_up.weight, block.ffn_up.weight[n_ff:]])
    weights["ffn_down.weight"] = torch.cat([source.ffn_down.weight, block.ffn_down.weight[:, n_ff:]], 1)
    block.load_state_dict(weights)


def silence(block: Block):
    """Makes the block add nothing to the residual stream. Its queries, keys, values and units stay, to be learned from."""
    block.attn_output.weight.zero_()
    block.ffn_down.weight.zero_()


@torch.no_grad()
def grown(small: Model, shape: Shape) -> Model:
    """Each layer of the small model, followed by its share of the new layers: silent copies of it."""
    large, last = Model(shape), None
    large.token_embd.load_state_dict(small.token_embd.state_dict())
    large.output_norm.load_state_dict(small.output_norm.state_dict())
    for layer, block in enumerate(large.blk):
        source = layer * small.shape.n_layer // shape.n_layer
        fill(block, small.blk[source])
        if source == last:
            silence(block)
        last = source
    return large


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--file", default="tinystories_more.txt", help="what both models must predict alike")
    parser.add_argument("--shape", help="default: the model's own")
    parser.add_argument("--seed", type=int, default=1, help="of the new MLP units")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    small, tokenizer = load(args.model)
    shape, old = shape_of(args.shape) if args.shape else small.shape, small.shape
    assert (old.n_vocab, old.n_embd, old.n_head, old.n_head_kv, old.max_alibi_bias) == (
        shape.n_vocab, shape.n_embd, shape.n_head, shape.n_head_kv, shape.max_alibi_bias
    ), "vocabulary, width and heads stay"
    assert shape.n_layer >= old.n_layer and shape.n_ff >= old.n_ff, "shrink.py makes smaller models"
    large, windows = grown(small, shape), start.windows(tokenizer, args.corpus / args.file)
    before, after = start.nats(small, windows), start.nats(large, windows)
    print(f"{args.model.name}: {before:.5f} nats a token; {shape.n_layer} layers, MLP of {shape.n_ff}: {after:.5f}")
    assert abs(before - after) < 1e-4, "the larger model must predict what the smaller one does"
    start.save(args.out, large, tokenizer)


if __name__ == "__main__":
    main()
