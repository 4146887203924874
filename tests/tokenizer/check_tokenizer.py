#!/usr/bin/env python3
"""Run `nearfield tokenize` over case files and compare the ids.

  check_tokenizer.py NEARFIELD CASES.jsonl...      beside each X.jsonl lies its vocabulary X.gguf

Many strings go through one process, joined by the vocabulary's first special token: the text around a special token is encoded on its own.
"""
import argparse
import json
import subprocess
import vocab

BATCH = 200


def batches(cases):
    for start in range(0, len(cases), BATCH):
        yield cases[start:start + BATCH]


def join(lists, separator):
    joined = list(lists[0])
    for ids in lists[1:]:
        joined += [separator, *ids]
    return joined


def tokenize(binary, model, text):
    # Standard input is the text to the last byte: no line end is added and none is taken off.
    out = subprocess.run([binary, "tokenize", "--special", "--no-bos", model], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout
    return [int(word) for word in out.split()]


def failures(binary, path):
    """The cases that differ. Only a batch that does is run again string by string."""
    with open(path, encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines]
    model = path.removesuffix(".jsonl") + ".gguf"
    words = vocab.read(model)
    special = words.specials()[0]
    for batch in batches(cases):
        expected = join([c["ids"] for c in batch], words.tokens.index(special))
        if tokenize(binary, model, special.join(c["text"] for c in batch)) == expected:
            continue
        for case in batch:
            got = tokenize(binary, model, case["text"])
            if got != case["ids"]:
                yield case, got


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nearfield")
    parser.add_argument("cases", nargs="+")
    args = parser.parse_args()
    wrong = 0
    for path in args.cases:
        found = list(failures(args.nearfield, path))
        wrong += len(found)
        print(f"{path}: {len(found)} differ")
        for case, got in found[:5]:
            print(f"  {case['text']!r}\n    expected {case['ids']}\n    got      {got}")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
