#!/usr/bin/env python3
"""Writes words.rs: which characters are of a word (`\\w`) for the pre-tokenizer `Whitespace` of Hugging Face `tokenizers`, where that is not what letters
and numbers are.

    pip install tokenizers==0.23.3 && ./make_word_table.py          writes words.rs beside this file
    ./make_word_table.py --check                                    says how many code points are of words, and that white space is

The package is asked for every code point. Its class is that of the crate `regex`: Alphabetic, M, Nd, Pc and Join_Control of Unicode 16.
"""
import os
import sys
from tokenizers import Regex, pre_tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
WHITESPACE = pre_tokenizers.Whitespace()


def code_points():
    return (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def classes():
    """The code points of words, and those that are left out."""
    words, spaces = set(), set()
    for c in code_points():
        # Between two letters, a letter makes one word of them, a space two, and a sign three.
        n_words = len(WHITESPACE.pre_tokenize_str(f"a{chr(c)}a"))
        if n_words < 3:
            (words if n_words == 1 else spaces).add(c)
    return words, spaces


def matches(pattern):
    """The code points that `tokenizers` sees as one match of a one-character pattern."""
    split, found = pre_tokenizers.Split(Regex(pattern), "removed"), set()
    for start in range(0, 0x110000, 0x1000):
        block = {chr(c) for c in range(start, start + 0x1000) if not 0xD800 <= c < 0xE000}
        found |= block.difference(*(piece for piece, _ in split.pre_tokenize_str("".join(sorted(block)))))
    return {ord(c) for c in found}


def write(path):
    differ = classes()[0] ^ matches(r"[\p{L}\p{N}]")
    turns = [c for c in range(0x110000) if (c in differ) != (c - 1 in differ)]
    line, lines = "   ", []
    for turn in turns:
        item = f" {turn},"
        if len(line) + len(item) > 120:
            lines.append(line)
            line = "   "
        line += item
    with open(path, "w", encoding="ascii") as out:
        print("//! Written by make_word_table.py, not by hand.\n", file=out)
        print("/// Starts and ends, by turns, of runs of characters that are part of a word but no letter or number, or the other way round.", file=out)
        print(f"#[rustfmt::skip]\npub(super) static WORDS: [u32; {len(turns)}] = [", file=out)
        print("\n".join(lines + [line]) + "\n];", file=out)
    print(f"{len(turns)} turns")


def check():
    words, spaces = classes()
    assert spaces == matches(r"\s")
    print(f"{len(words)} code points are of words, {len(spaces)} are white space")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    else:
        write(f"{HERE}/words.rs")
