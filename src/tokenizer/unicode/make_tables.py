#!/usr/bin/env python3
"""Writes tables.rs: the letters (L), numbers (N) and white space of Unicode 16.0.0.

    pip install unicodedata2==16.0.0 && ./make_tables.py            writes tables.rs beside this file
    pip install tokenizers==0.23.3 && ./make_tables.py --check      compares every code point with the regexes of Hugging Face `tokenizers`

Why 16.0.0: `tokenizers` 0.23 matches \\p{L}, \\p{N} and \\s with Oniguruma 6.9.10, whose tables are of that version.
"""
import os
import sys
import unicodedata2

VERSION = "16.0.0"
OTHER, LETTER, NUMBER, SPACE = range(4)
# White_Space of PropList.txt, the same since Unicode 6.3.
WHITE_SPACE = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
PAGE = 1 << 14


def code_points():
    return (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def class_of(c):
    if c in WHITE_SPACE:
        return SPACE
    return {"L": LETTER, "N": NUMBER}.get(unicodedata2.category(chr(c))[0], OTHER)


def pages():
    """For each page of 2^14 code points the places where the class changes, as place << 2 | class; the first place is 0."""
    found = []
    for start in range(0, 0x110000, PAGE):
        classes = [class_of(c) for c in range(start, start + PAGE)]
        found.append([place << 2 | now for place, (before, now) in enumerate(zip([None] + classes, classes)) if before != now])
    while found[-1] == [OTHER]:
        found.pop()
    return found


def rows(numbers):
    line = "   "
    for number in numbers:
        item = f" {number},"
        if len(line) + len(item) > 120:
            yield line
            line = "   "
        line += item
    yield line


def write(path):
    found = pages()
    changes = [change for page in found for change in page]
    ends = [sum(map(len, found[:n])) for n in range(len(found) + 1)]
    with open(path, "w", encoding="ascii") as out:
        print(f"// Unicode {VERSION}; written by make_tables.py, not by hand.\n", file=out)
        print(f"/// Starts of pages: `CHANGES[PAGES[p]..PAGES[p + 1]]` is the page of the code points `p << 14 ..`.", file=out)
        print(f"pub(super) static PAGES: [u16; {len(ends)}] = [{', '.join(map(str, ends))}];\n", file=out)
        print("/// Places in a page at which the class changes, ascending: `place << 2 | class`.", file=out)
        print("#[rustfmt::skip]", file=out)
        print(f"pub(super) static CHANGES: [u16; {len(changes)}] = [", file=out)
        print("\n".join(rows(changes)), file=out)
        print("];", file=out)


def matches(pattern):
    """The code points that `tokenizers` sees as one match of a one-character pattern."""
    from tokenizers import Regex, pre_tokenizers
    split, found = pre_tokenizers.Split(Regex(pattern), "removed"), set()
    for start in range(0, 0x110000, 0x1000):
        block = {chr(c) for c in range(start, start + 0x1000) if not 0xD800 <= c < 0xE000}
        found |= block.difference(*(piece for piece, _ in split.pre_tokenize_str("".join(sorted(block)))))
    return found


def check():
    for pattern, number in ((r"\p{L}", LETTER), (r"\p{N}", NUMBER), (r"\s", SPACE)):
        ours = {chr(c) for c in code_points() if class_of(c) == number}
        theirs = matches(pattern)
        print(f"{pattern}: {len(ours)} code points here, {len(theirs)} there, {len(ours ^ theirs)} differ")
        if ours != theirs:
            sys.exit(1)


if __name__ == "__main__":
    assert unicodedata2.unidata_version == VERSION, unicodedata2.unidata_version
    if sys.argv[1:] == ["--check"]:
        check()
    else:
        write(os.path.join(os.path.dirname(os.path.abspath(__file__)), "tables.rs"))
