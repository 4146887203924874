#!/usr/bin/env python3
"""Make tokenizer test cases: random strings and the token ids that Hugging Face `tokenizers` gives them.

  make_tokenizer_cases.py small           remake the committed files: merges.txt and cases/*.jsonl
  make_tokenizer_cases.py full VOCAB OUT  10,000 cases for each pre-tokenizer: OUT/{pre}.jsonl over a published vocabulary and OUT/{pre}-small.jsonl
                                          over the committed one; beside each its vocabulary as .gguf. VOCAB holds llama.cpp's
                                          ggml-vocab-{gpt-2,mpt,refact}.gguf
  make_tokenizer_cases.py unicode FILE OUT   OUT/mpt-unicode.{gguf,jsonl}: the texts of Unicode's NormalizationTest.txt over the committed vocabulary

Each line of a case file is {"text": ..., "ids": [...]}.
"""
import argparse
from itertools import islice
import json
import os
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
import strings
import vocab

HERE = os.path.dirname(os.path.abspath(__file__))
PUBLISHED = {"gpt-2": "gpt-2", "mpt": "mpt", "bloom": "gpt-2", "refact": "refact", "starcoder": "refact", "falcon": "gpt-2"}
SMALL_SPECIALS = ["<|endoftext|>", "<fim_prefix>"]
SMALL_TOKENS = 2048


def write_cases(path, words, pre, seed, count, settled):
    tokenizer = words.hf(pre)
    with open(path, "w", encoding="utf-8") as out:
        kind = strings.Marked if pre in vocab.NORMALIZERS else strings.Strings
        texts = filter(words.spells, kind(seed, words.specials(), settled))
        for text in islice(texts, count):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            out.write(json.dumps({"text": text, "ids": ids}, separators=(",", ":")) + "\n")


def train_small(settled):
    """A vocabulary whose merges cross every border that a pre-tokenizer could draw, because it is trained without one.

    Any wrong border then changes the ids. Its text is more random strings, so the merges occur in the cases.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=SMALL_TOKENS - len(SMALL_SPECIALS), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    texts = islice(strings.Strings(0, [" "], settled), 20000)
    tokenizer.train_from_iterator(texts, trainer)
    return [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def small_vocab(merges):
    """Tokens in the order: specials, the letters of the 256 bytes sorted, what each merge makes. The Rust tests build it the same way."""
    tokens = SMALL_SPECIALS + sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens += [m.replace(" ", "") for m in merges]
    tokens = list(dict.fromkeys(tokens))            # two merges may make the same token
    types = [vocab.CONTROL] + [vocab.USER_DEFINED] + [vocab.NORMAL] * (len(tokens) - 2)
    return vocab.Vocab(tokens, types, merges)


def make_small(settled):
    merges = train_small(settled)
    with open(f"{HERE}/merges.txt", "w", encoding="utf-8") as out:
        out.writelines(m + "\n" for m in merges)
    os.makedirs(f"{HERE}/cases", exist_ok=True)
    for seed, pre in enumerate(PUBLISHED, 100):
        write_cases(f"{HERE}/cases/{pre}.jsonl", small_vocab(merges), pre, seed, 200, settled)


def committed_vocab():
    with open(f"{HERE}/merges.txt", encoding="utf-8") as merges:
        return small_vocab(merges.read().split("\n")[:-1])


def make_unicode(source, out):
    """Every column of every line, and how many lines `tokenizers` normalizes as the file says: others have characters that it does not know."""
    words, n_lines, n_same = committed_vocab(), 0, 0
    tokenizer = words.hf("mpt")
    os.makedirs(out, exist_ok=True)
    words.write(f"{out}/mpt-unicode.gguf", "mpt")
    with open(source, encoding="utf-8") as lines, open(f"{out}/mpt-unicode.jsonl", "w", encoding="utf-8") as cases:
        for line in lines:
            columns = line.split("#")[0].split(";")[:5]
            if len(columns) < 5:
                continue
            texts = ["".join(chr(int(code, 16)) for code in column.split()) for column in columns]
            n_lines += 1
            n_same += all(tokenizer.normalizer.normalize_str(text) == texts[1 if i < 3 else 3] for i, text in enumerate(texts))
            for text in texts:
                cases.write(json.dumps({"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}, separators=(",", ":")) + "\n")
    print(f"{n_same} of {n_lines} lines as the file says")


def make_full(source, out, settled):
    os.makedirs(out, exist_ok=True)
    small = committed_vocab()
    for seed, (pre, published) in enumerate(PUBLISHED.items(), 1):
        for name, words in (pre, vocab.read(f"{source}/ggml-vocab-{published}.gguf")), (f"{pre}-small", small):
            words.write(f"{out}/{name}.gguf", pre)
            write_cases(f"{out}/{name}.jsonl", words, pre, seed, 10000, settled)
            print(f"{out}/{name}.jsonl", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("small")
    full = commands.add_parser("full")
    full.add_argument("vocab")
    full.add_argument("out")
    of_unicode = commands.add_parser("unicode")
    of_unicode.add_argument("file")
    of_unicode.add_argument("out")
    args = parser.parse_args()
    if args.command == "unicode":
        return make_unicode(args.file, args.out)
    settled = strings.settled_code_points()
    if args.command == "small":
        make_small(settled)
    else:
        make_full(args.vocab, args.out, settled)


if __name__ == "__main__":
    main()
