"""Byte-level BPE trained on the corpus.

    python tokenizer.py --corpus DIR --shape pocket --out tokenizer.json

Token 0 is <|endoftext|>: it starts every document and ends every generation.
The GPT-2 pre-tokenizer and no prefix space make it what GGUF calls model `gpt2`, pre `gpt-2`.
"""

import argparse
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from corpus import documents
from model import shape_of

MARKER = "<|endoftext|>"


def byte_level(tokens: list[str], merges: list[tuple[str, str]]) -> Tokenizer:
    """The tokenizer with these entries, in the order of their ids, and these merges, the first ones first."""
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.add_special_tokens([MARKER])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(files: list[Path], n_vocab: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_vocab,
        special_tokens=[MARKER],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),  # all 256 bytes: any text has a spelling
        show_progress=False,
    )
    tokenizer.train_from_iterator((d for f in files for d in documents(f)), trainer)
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--shape", required=True)
    parser.add_argument("--stories", default="tinystories.txt,tinystories_more.txt", help="files, separated by commas")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    # The stories decide the vocabulary even if tales are mixed in, because their bytes are scored.
    files = [args.corpus / name for name in args.stories.split(",")]
    train(files, shape_of(args.shape).n_vocab).save(str(args.out))


if __name__ == "__main__":
    main()
