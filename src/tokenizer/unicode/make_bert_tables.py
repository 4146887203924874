#!/usr/bin/env python3
"""Writes punctuation.rs and bert.rs: what `BertNormalizer`, `BertPreTokenizer` and `Punctuation` of Hugging Face `tokenizers` do to each code point.

    pip install tokenizers==0.23.3 && ./make_bert_tables.py

That package has these tables from crates of different ages (punctuation and control characters of Unicode 8, decompositions of Unicode 13).
"""
import os
from tokenizers import normalizers, pre_tokenizers

OTHER, REMOVED, SPACE, CHINESE, PUNCTUATION, MARK = range(6)
HERE = os.path.dirname(os.path.abspath(__file__))
BERT = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
CLEAN = normalizers.BertNormalizer(**BERT | {"clean_text": True})
CHINESE_CHARS = normalizers.BertNormalizer(**BERT | {"handle_chinese_chars": True})
STRIP = normalizers.BertNormalizer(**BERT | {"strip_accents": True})
SPLIT = pre_tokenizers.Punctuation("removed")


def code_points():
    return (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def punctuation():
    """The code points that `Punctuation` takes out of a text."""
    every, kept = {chr(c) for c in code_points()}, set()
    for start in range(0, 0x110000, 0x1000):
        block = "".join(chr(c) for c in range(start, start + 0x1000) if not 0xD800 <= c < 0xE000)
        kept.update(*(piece for piece, _ in SPLIT.pre_tokenize_str(block)))
    return {ord(c) for c in every - kept}


def class_of(c, marks):
    clean = CLEAN.normalize_str(chr(c))
    if clean != chr(c):
        return SPACE if clean == " " else REMOVED
    if c == 0x20:
        return SPACE
    if CHINESE_CHARS.normalize_str(chr(c)) != chr(c):
        return CHINESE
    return PUNCTUATION if c in PUNCTUATION_MARKS else MARK if c in marks else OTHER


def numbers(out, items, per_item):
    line = "   "
    for item in items:
        text = f" {per_item(item)},"
        if len(line) + len(text) > 120:
            print(line, file=out)
            line = "   "
        line += text
    print(line, file=out)


def table(out, doc, name, ty, items, per_item=str, where="in super::super"):
    print(f"\n/// {doc}", file=out)
    print(f"#[rustfmt::skip]\npub({where}) static {name}: [{ty}; {len(items)}] = [", file=out)
    numbers(out, items, per_item)
    print("];", file=out)


PUNCTUATION_MARKS = punctuation()


def main():
    stripped = {c: STRIP.normalize_str(chr(c)) for c in code_points() if not 0xAC00 <= c < 0xD7A4}
    stripped = {c: text for c, text in stripped.items() if text != chr(c)}
    marks = {c for c, text in stripped.items() if not text}
    changes, before = [], None
    for c in code_points():
        now = class_of(c, marks)
        if now != before:
            changes.append(c << 3 | now)
        before = now
    one = [(c, ord(text)) for c, text in stripped.items() if len(text) == 1]
    more = [(c, *map(ord, text), 0)[:4] for c, text in stripped.items() if len(text) > 1]
    assert max(map(len, stripped.values())) == 3

    turns = [c for c in range(0x110000) if (c in PUNCTUATION_MARKS) != (c - 1 in PUNCTUATION_MARKS)]
    with open(f"{HERE}/punctuation.rs", "w", encoding="ascii") as out:
        print("//! Written by make_bert_tables.py, not by hand.", file=out)
        table(out, "Starts and ends, by turns, of runs of punctuation.", "PUNCTUATION", "u32", turns, where="super")
    with open(f"{HERE}/bert.rs", "w", encoding="ascii") as out:
        print("//! Written by make_bert_tables.py, not by hand.", file=out)
        table(out, "Places at which the class of a character changes, ascending: `code << 3 | class`.", "CLASSES", "u32", changes)
        row = lambda numbers: f"[{', '.join(map(str, numbers))}]"
        table(out, "Characters and their decompositions without marks, if these are one character.", "STRIPPED", "[u32; 2]", one, row)
        table(out, "Characters and their decompositions without marks, if these are two or three characters; zero for none.", "STRIPPED_TO_MORE", "[u32; 4]", more, row)
    print(f"{len(turns)} turns, {len(changes)} changes, {len(one)} and {len(more)} decompositions")


if __name__ == "__main__":
    main()
