#!/usr/bin/env python3
"""Writes nfc_tables.rs: canonical decompositions, compositions and combining classes, as Hugging Face `tokenizers` has them.

    pip install tokenizers==0.23.3 && ./make_nfc_tables.py          writes nfc_tables.rs beside this file
    ./make_nfc_tables.py --check                                    compares every code point, and every mark behind and before others

The numbers are those of Python's `unicodedata`. The normalizer of `tokenizers` is of an older Unicode: what it does not know yet, it is asked,
character by character, and that is left out. Neither can differ elsewhere: normalization is stable (Unicode Standard Annex 15, section 3).
"""
import os
import sys
import unicodedata
from tokenizers import normalizers

NFC = normalizers.NFC().normalize_str
HANGUL = range(0xAC00, 0xAC00 + 11172)


def code_points():
    return (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def decompositions():
    """One step: a code point, and the one or two that it stands for. Hangul is arithmetic."""
    found = {}
    for c in code_points():
        parts = unicodedata.decomposition(chr(c)).split()
        if parts and not parts[0].startswith("<") and c not in HANGUL:
            parts = [int(part, 16) for part in parts]
            text = "".join(map(chr, parts))
            # `tokenizers` knows the character: it takes it apart, or makes it of its parts.
            if NFC(chr(c)) != chr(c) or NFC(text) == chr(c):
                found[c] = parts
    return found


def classes():
    """Combining classes above 0, of marks that are known: they change places with one of another class."""
    found = {}
    for c in code_points():
        k = unicodedata.combining(chr(c))
        text = "a\u0345" + chr(c) if k < 240 else "a" + chr(c) + "\u0334"      # of classes 240 and 1
        if k and NFC(text) != text:
            found[c] = k
    return found


def changes(value):
    """Code points at which `value` changes, ascending, as `code << 8 | value`."""
    found, before = [], 0
    for c in range(0x110000):
        if value(c) != before:
            before = value(c)
            found.append(c << 8 | before)
    return found


def rows(items):
    line = "   "
    for item in items:
        item = f" {item},"
        if len(line) + len(item) > 120:
            yield line
            line = "   "
        line += item
    yield line


def table(out, doc, name, ty, items):
    print(f"\n/// {doc}\n#[rustfmt::skip]\npub(super) static {name}: [{ty}; {len(items)}] = [", file=out)
    print("\n".join(rows(items)) + "\n];", file=out)


def write(path):
    apart, marks = decompositions(), classes()
    codes = sorted(apart)
    pairs = [i for i, c in enumerate(codes) if len(apart[c]) == 2 and NFC("".join(map(chr, apart[c]))) == chr(c)]
    pairs.sort(key=lambda i: apart[codes[i]])
    composites = {codes[i] for i in pairs}
    seconds = {apart[codes[i]][1] for i in pairs} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    special = lambda c: int(c in marks or c in seconds or c in apart and c not in composites)
    with open(path, "w", encoding="ascii") as out:
        print("//! Written by make_nfc_tables.py, not by hand.", file=out)
        table(out, "Characters and one step of their canonical decompositions: one or two characters, zero for none.", "DECOMPOSED", "[u32; 3]",
              [f"[{c}, {apart[c][0]}, {(apart[c] + [0])[1]}]" for c in codes])
        table(out, "Indices in `DECOMPOSED` of the pairs that compose again, in the order of the pairs.", "COMPOSED", "u16", pairs)
        table(out, "Places at which the combining class changes, ascending: `code << 8 | class`.", "CLASSES", "u32", changes(lambda c: marks.get(c, 0)))
        table(out, "Starts and ends, by turns, of runs of characters that a normalized text may not have, or that may join or reorder:\n"
              "/// `code << 8 | 1` and `code << 8`.", "SPECIAL", "u32", changes(special))


def check():
    """The tables against all that `tokenizers` says; the Rust tests compare the code with the same table of cases."""
    apart, marks = decompositions(), classes()
    for c in code_points():
        text = unicodedata.normalize("NFC", chr(c))
        assert NFC(chr(c)) == text, hex(c)
    for c, k in marks.items():
        for o in ("\u0334", "\u0301", "\u0345", "\u0327", "\u3099"):
            for text in ("a" + chr(c) + o, "a" + o + chr(c), "e\u0301" + chr(c)):
                assert NFC(text) == unicodedata.normalize("NFC", text), text.encode("unicode_escape")
    n_left_out = sum(bool(unicodedata.combining(chr(c))) for c in code_points()) - len(marks)
    print(f"{len(apart)} decompositions, {len(marks)} marks; {n_left_out} marks are newer than `tokenizers`")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    else:
        write(os.path.join(os.path.dirname(os.path.abspath(__file__)), "nfc_tables.rs"))
