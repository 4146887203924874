#!/usr/bin/env python3
"""Make cases/defined.jsonl: small random SentencePiece models with user-defined pieces, and the ids of `sentencepiece` for random texts.

  make_defined.py [N [OUT]]    N models, 60 without it; into OUT

The first line has the normalizer's rules, compiled. Each other one is a model: its kind, its pieces as [text, score, type], how it prepares texts, and texts with their ids. Pieces overlap, begin as one another,
hold spaces (as they are, which never match, and as U+2581), and letters that the normalizer replaces.
"""
import json
import os
import random
import sys
import tempfile
import kinds
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as model_pb2

HERE = os.path.dirname(os.path.abspath(__file__))
LETTERS = "aab bc\tÄ我\u2581"
RULES = [("Ａ", "A"), ("ﬁ", "fi"), ("\t\t\t", "\t"), ("ab", "b"), ("Ä", "A\u0308"), ("\u3000", " ")]


def rules():
    """The rules as a compiled map."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".tsv") as file:
        for source, target in RULES:
            hexes = lambda text: " ".join(f"{ord(c):X}" for c in text)
            file.write(f"{hexes(source)}\t{hexes(target)}\n")
        file.flush()
        normalizer = sentencepiece.SentencePieceNormalizer(rule_tsv=file.name)
        proto = model_pb2.ModelProto()
        proto.ParseFromString(normalizer.serialized_model_proto())
        return bytes(proto.normalizer_spec.precompiled_charsmap)


def some(r, letters, most):
    return "".join(r.choices(letters, k=r.randint(1, most)))


def model(r, charsmap):
    kind = r.choice(("bpe", "unigram"))
    proto = model_pb2.ModelProto()
    proto.trainer_spec.model_type = {"unigram": 1, "bpe": 2}[kind]
    spaces = proto.normalizer_spec
    spaces.name, spaces.add_dummy_prefix, spaces.remove_extra_whitespaces = "rules", r.random() < 0.5, r.random() < 0.3
    spaces.precompiled_charsmap = charsmap if r.random() < 0.5 else b""
    pieces = {"<unk>": (0.0, kinds.UNKNOWN)}
    for _ in range(r.randint(1, 7)):
        pieces[some(r, LETTERS + "Ａ \u2581\u2581", 5)] = (0.0, kinds.USER_DEFINED)
    for letter in "abcA\t\u2581我":
        if r.random() < 0.8:
            pieces.setdefault(letter, (round(r.uniform(-9, -2), 2), kinds.NORMAL))
    for _ in range(r.randint(0, 8)):
        pieces.setdefault(some(r, "ab\u2581c\tA", 4), (round(r.uniform(-9, -0.01), 2), kinds.NORMAL))
    for text, (score, type) in pieces.items():
        proto.pieces.add(piece=text, score=score, type=type)
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    texts = [some(r, LETTERS + "Ａﬁ\u3000", 14) for _ in range(10)]
    defined = [text for text, (_, type) in pieces.items() if type == kinds.USER_DEFINED]
    texts += ["".join(r.choices(defined + ["a", " "], k=4)).replace("\u2581", r.choice(" \u2581")) for _ in range(4)]
    return {
        "kind": kind,
        "pieces": [[text, score, type] for text, (score, type) in pieces.items()],
        "add_prefix": spaces.add_dummy_prefix,
        "remove_extra": spaces.remove_extra_whitespaces,
        "has_rules": bool(spaces.precompiled_charsmap),
        "cases": [[text, processor.encode(text)] for text in texts],
    }


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    path = sys.argv[2] if len(sys.argv) > 2 else f"{HERE}/cases/defined.jsonl"
    r, charsmap = random.Random(7), rules()
    with open(path, "w", encoding="utf-8") as out:
        out.write(json.dumps({"charsmap": charsmap.hex()}) + "\n")
        for _ in range(n):
            out.write(json.dumps(model(r, charsmap), ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
