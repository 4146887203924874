#!/usr/bin/env python3
"""Makes added.jsonl: tokens that were added to the tokenizers here in every way that files allow, and the ids that `transformers` gives for some texts.

    make_added.py

A line has the folder of the tokenizer.json, its added tokens and its normalizer (null for no change), more files, the notes of `nearfield convert`, and
texts with their ids.
"""
import json
import os
import tempfile
from transformers import PreTrainedTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))


def token(content, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False} | flags


NOTE = 'the added token "{}" is spelled "{}" in the file, as it stands in normalized texts'
TEXTS = ["  <extra>  z", "words sword word", "a <l> b <r>  c", " <l><r> <r>\n<l>", "NewWord newword NEWWORDS", "(word) word1 wörd", "x<|im_end|>y <|im_start|>", "of<extra>er",
         "e\u0301te\u0301 été ÉTÉ", "<mask> a <mask>", "New_Word new_word", "plain text of it"]

LINES = [
    # Tokens that take white space, and words that stand alone.
    dict(base="gpt-2", added=[token("<extra>", lstrip=True), token("word", single_word=True), token("<l>", lstrip=True, special=True), token("<r>", rstrip=True)]),
    dict(base="gpt-2", added=[token("<extra>", lstrip=True, rstrip=True, normalized=True), token("word", single_word=True, normalized=True), token("<l>", lstrip=True)]),
    # Tokens found in normalized text: in small letters without accents, in NFC, in small letters.
    dict(base="bert", added=[token("NewWord", normalized=True), token("ÉTÉ", normalized=True, single_word=True), token("<extra>"), token("Word")],
         notes=[("NewWord", "newword"), ("ÉTÉ", "ete")]),
    dict(base="gpt-2", normalizer={"type": "NFC"}, added=[token("e\u0301", normalized=True), token("<r>", rstrip=True, normalized=True)], notes=[("e\\u{301}", "é")]),
    dict(base="whitespace", added=[token("New_Word", normalized=True), token("<mask>", lstrip=True, special=True)], notes=[("New_Word", "new_word")]),
    # Special tokens missing in the lists of added tokens: one is in the vocabulary, two get the next ids.
    dict(base="gpt-2", files={"special_tokens_map.json": {"additional_special_tokens": ["of", "<|im_end|>", "<|im_start|>"]}}),
    dict(base="gpt-2", files={"special_tokens_map.json": {"mask_token": token("<mask>", lstrip=True, special=True)}}),
    dict(base="gpt-2", files={"tokenizer_config.json": {"extra_special_tokens": ["<|im_start|>"], "pad_token": "<r>"}}),
    # The flags of a token in tokenizer_config.json replace all others.
    dict(base="gpt-2", added=[token("<l>", lstrip=True), token("<r>", rstrip=True)],
         files={"tokenizer_config.json": {"added_tokens_decoder": {"400": token("<l>", rstrip=True), "401": token("<r>", lstrip=True, special=True)}}}),
]


def main():
    with open(f"{HERE}/added.jsonl", "w", encoding="utf-8") as out:
        for line in LINES:
            with open(f"{HERE}/{line['base']}/tokenizer.json", encoding="utf-8") as file:
                data = json.load(file)
            # All vocabularies here have 400 tokens; those in the lists of the files are special.
            n = len(data["model"]["vocab"])
            inside = [t for t in data["added_tokens"] if t["special"]]
            names = {t["content"] for t in inside}
            new = [t for t in line.get("added", []) if t["content"] not in names]
            changed = {t["content"]: t for t in line.get("added", []) if t["content"] in names}
            added = [t | changed.get(t["content"], {}) for t in inside] + [{"id": n + i} | t for i, t in enumerate(new)]
            data["added_tokens"] = added
            if "normalizer" in line:
                data["normalizer"] = line["normalizer"]
            files = {"tokenizer_config.json": {}} | line.get("files", {})
            with tempfile.TemporaryDirectory() as folder:
                for name, value in (files | {"tokenizer.json": data}).items():
                    with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                        json.dump(value, file)
                tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
                cases = [[text, tokenizer(text)["input_ids"]] for text in TEXTS]
            row = {"base": line["base"], "added": added, "normalizer": line.get("normalizer"), "files": files,
                   "notes": [NOTE.format(*pair) for pair in line.get("notes", [])], "cases": cases}
            out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
