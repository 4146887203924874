#!/usr/bin/env python3
"""Make cases/added.jsonl: tokens that were added to small vocabularies in every way that `AddedToken` has, and the ids of Hugging Face's `tokenizers`.

  make_added.py [N [OUT]]    N vocabularies, 100 without it; into OUT

The first line has the vocabularies that tokens are added to, spelled as GGUF files spell them. Each other one names one of these, the tokens behind
it as [text when it is normalized, lstrip, rstrip, single_word, normalized, special], and texts with their ids.
"""
import json
import os
import random
import sys
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
CONTROL, NORMAL = 3, 1
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = [("a", "b"), ("Ġ", "a"), ("w", "o"), ("r", "d"), ("wo", "rd"), ("Ġ", "word"), ("Ġ", "Ġ")]
PIECES = ["[UNK]", "word", "##s", "a", "##a", "b", "##b", "e", "##e", "w", "##o", "##r", "##d", "##w", "s", "x", "##x", "!", "<", ">", "_", "é", "k", "我", "K", "W"]
CHARACTERS = list("abdeorswxk!<>_é我KW\u0301")


def byte_level(normalizer=None):
    vocab = {token: i for i, token in enumerate(LETTERS + [a + b for a, b in MERGES])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if normalizer:
        tokenizer.normalizer = normalizer
    return tokenizer


def wordpiece(lowercase):
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def characters():
    vocab = {c: i for i, c in enumerate(CHARACTERS + ["ab", "wo"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[("a", "b"), ("w", "o")]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


BASES = {
    "byte-level": byte_level,
    "byte-level-nfc": lambda: byte_level(normalizers.NFC()),
    "wordpiece": lambda: wordpiece(True),
    "wordpiece-cased": lambda: wordpiece(False),
    "characters": characters,
}


def in_gguf(name, token):
    """A token of a vocabulary as a file spells it."""
    if not name.startswith("wordpiece") or token == "[UNK]":
        return token
    return token[2:] if token.startswith("##") else "▁" + token


def base(name):
    tokenizer = BASES[name]()
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"].get("merges", [])]
    return {"tokens": [in_gguf(name, token) for token in tokens], "merges": merges}


CONTENTS = ["word", "wor", "ords", "Word", "<a>", "<a", "<a>>", "a>", "  ", "   ", " x", "x ", "é", "e\u0301", "ÉX", "K", "\u212a", "\u0301", "_", "x_x", "!!", "\u3000x",
            "我我", "a我", "New Word", "\t", "²", "Ⅷx", "ab", "<|end|>", "İx"]
PLAIN = ["word", "words", " sword", "a", "ab", "x", "é", "e\u0301", "E\u0301", "K", "\u212a", " ", "  ", "\n", "\t", "\u3000", "\u00a0", "!", "<", ">", "_", "²", "Ⅷ", "\u0301",
         "\u200d", "我", "WORD", "new word", "i\u0307x", "\U0001d7d8"]


def line(r):
    name = r.choice(list(BASES))
    tokenizer = BASES[name]()
    taken = set(tokenizer.get_vocab())
    contents = [content for content in r.sample(CONTENTS, r.randint(1, 6)) if content not in taken]
    added, spelled = [], {}
    for content in contents:
        flags = [r.random() < p for p in (0.3, 0.3, 0.3, 0.5, 0.3)]
        token = AddedToken(content, lstrip=flags[0], rstrip=flags[1], single_word=flags[2], normalized=flags[3], special=flags[4])
        text = tokenizer.normalizer.normalize_str(content) if flags[3] and tokenizer.normalizer else content
        # Two tokens with the same text, and a token without any, say nothing about how tokens are found.
        if not text or (text, flags[3]) in spelled or text in [t for t, _ in spelled]:
            continue
        spelled[(text, flags[3])] = token
        tokenizer.add_tokens([token])
        added.append([text] + flags)
    texts = []
    for _ in range(12):
        texts.append("".join(r.choice((r.choice(PLAIN), r.choice(PLAIN), r.choice(contents or PLAIN), " ", r.choice(contents or PLAIN).lower()))
                             for _ in range(r.choice((2, 4, 7, 11)))))
    return {"base": name, "added": added, "cases": [case for text in texts for case in ids(tokenizer, text)]}


def ids(tokenizer, text):
    """A text with its ids; none where white space that two tokens take makes the package panic."""
    try:
        return [[text, tokenizer.encode(text, add_special_tokens=False).ids]]
    except BaseException as error:
        if "bad split" not in str(error):
            raise
        return []


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    path = sys.argv[2] if len(sys.argv) > 2 else f"{HERE}/cases/added.jsonl"
    r = random.Random(11)
    with open(path, "w", encoding="utf-8") as out:
        for item in [{name: base(name) for name in BASES}] + [line(r) for _ in range(n)]:
            out.write(json.dumps(item, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
