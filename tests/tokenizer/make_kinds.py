#!/usr/bin/env python3
"""Make the vocabularies and cases of the kinds beside byte-level BPE (see kinds.py).

  make_kinds.py small           remake the committed files: vocabs/*.gguf and cases/*.jsonl of these kinds
  make_kinds.py full VOCAB OUT  10,000 cases over each committed vocabulary, over one with the rules of NFKC, and over the published ones in VOCAB,
                                which holds llama.cpp's ggml-vocab-{llama-spm,baichuan,bert-bge}.gguf; beside each its vocabulary as .gguf
"""
import argparse
from itertools import islice
import json
import os
import tempfile
import kinds
import strings

HERE = os.path.dirname(os.path.abspath(__file__))


class Dna(strings.Strings):
    """Random strings of a few letters, spaces, and now and then anything."""

    def __iter__(self):
        while True:
            yield "".join(self.r.choice((self.bases, self.bases, self.spaces, self.piece))() for _ in range(self.r.choice((1, 2, 3, 5, 8))))

    def bases(self):
        return self.some("ACGT", 60)


def train(settled):
    """The committed vocabularies, trained on more of the random strings that the cases are made of."""
    texts = [t.replace("\n", " ").replace("\r", " ").replace("\0", "") for t in islice(strings.Strings(0, [" "], settled), 20000)]
    dna = list(islice(Dna(0, [" "], settled), 4000))
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".tsv") as rules:
        for source, target in kinds.RULES:
            hexes = lambda text: " ".join(f"{ord(c):X}" for c in text)
            rules.write(f"{hexes(source)}\t{hexes(target)}\n")
        rules.flush()
        yield "sentencepiece-bpe", kinds.train_sentencepiece(texts, model_type="bpe", byte_fallback=True, remove_extra_whitespaces=False)
        yield "sentencepiece-bpe-rules", kinds.train_sentencepiece(
            texts, model_type="bpe", normalization_rule_name="", normalization_rule_tsv=rules.name, split_by_whitespace=False)
        yield "unigram", kinds.train_sentencepiece(texts, model_type="unigram", byte_fallback=True, remove_extra_whitespaces=False, add_dummy_prefix=False)
        yield "unigram-rules", kinds.train_sentencepiece(
            texts, model_type="unigram", normalization_rule_name="", normalization_rule_tsv=rules.name, split_by_whitespace=False)
    yield "wordpiece", kinds.train_wordpiece(texts, lowercase=True)
    yield "wordpiece-cased", kinds.train_wordpiece(texts, lowercase=False)
    yield "dnabert-2", kinds.train_character_bpe(dna)
    yield "whitespace", kinds.train_whitespace(texts)


def published(folder, settled):
    yield "llama-spm", kinds.published_sentencepiece(f"{folder}/ggml-vocab-llama-spm.gguf")
    yield "baichuan", kinds.published_sentencepiece(f"{folder}/ggml-vocab-baichuan.gguf")
    yield "bert-bge", kinds.published_wordpiece(f"{folder}/ggml-vocab-bert-bge.gguf")
    texts = [t.replace("\n", " ").replace("\r", " ").replace("\0", "") for t in islice(strings.Strings(0, [" "], settled), 20000)]
    yield "unigram-nfkc", kinds.train_sentencepiece(texts, model_type="unigram", normalization_rule_name="nmt_nfkc_cf")


def write_cases(path, name, words, seed, count, settled):
    kind = Dna if name == "dnabert-2" else strings.Strings
    with open(path, "w", encoding="utf-8") as out:
        for text in islice(kind(seed, words.specials(), settled), count):
            # sentencepiece takes a text for a C string in places; no other program agrees with it on U+0000.
            text = text.replace("\0", "")
            out.write(json.dumps({"text": text, "ids": words.encode(text)}, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("small")
    full = commands.add_parser("full")
    full.add_argument("vocab")
    full.add_argument("out")
    args = parser.parse_args()
    settled = strings.settled_code_points()
    if args.command == "small":
        for seed, (name, words) in enumerate(train(settled), 200):
            words.write(f"{HERE}/vocabs/{name}.gguf")
            write_cases(f"{HERE}/cases/{name}.jsonl", name, words, seed, 300, settled)
            print(name, len(words.tokens), flush=True)
        return
    os.makedirs(args.out, exist_ok=True)
    for supply, seed in ((train(settled), 1000), (published(args.vocab, settled), 2000)):
        for seed, (name, words) in enumerate(supply, seed):
            words.write(f"{args.out}/{name}.gguf")
            write_cases(f"{args.out}/{name}.jsonl", name, words, seed, 10000, settled)
            print(f"{args.out}/{name}.jsonl", flush=True)


if __name__ == "__main__":
    main()
