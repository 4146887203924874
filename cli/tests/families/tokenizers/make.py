#!/usr/bin/env python3
"""Makes a small tokenizer of each kind that `nearfield convert` reads, in the files of its kind, and the ids that Hugging Face's `tokenizers` or
sentencepiece gives for some texts: cases.jsonl has a line for each text with the ids of all tokenizers, changes.jsonl a line for each changed setting of a
file.

    make.py [NAME...]

trains the tokenizers of these names, or all, on the repository's LICENSE-APACHE, and makes the cases of all from the files. tokenizers breaks some
ties by chance, so a tokenizer that is trained again may differ.
"""
import io
import json
import os
import sys
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../../../..")
N_VOCAB = 400

BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"

TEXTS = [
    "", " ", "Hello world", " Hello  world ", "the weights of a model", "The Weights, of a MODEL!", "it's we'll I'm 'Tis",
    "1234567 and 3.14", "x=1; // y\n\tz", "naïve café déjà", "e\u0301a\u0301", "我想在apple工作", "🦙 llamas🦙", "a\n\n b\r\nc",
    "<|endoftext|>inside", "[CLS] and [MASK]", "</s> end <s>", "    four spaces", "\u00a0no\u200bbreak", "ALiBi ALiBi ALiBi", "ACGTACGTTTGACA",
    "İSTANBUL ΣΑΣ ẞ ǅ STRASSE", "Ａ１_b-c...d!? (E)", "tab\t\vNEW\u0085line\u3000Σ", "a\u200db\u200cc\u200bd", "IT'S 3,14 ½x² Ⅷ ⓐ",
    "(a|b), [c]. d? e… f。", "ﬁne ① ﾊﾝ ＡＢＣ", "don't-stop_it's", "\u2581literal\u2581", "antidisestablishmentarianism" * 5,
]


def corpus():
    return open(f"{ROOT}/LICENSE-APACHE", encoding="utf-8").read().splitlines()


def folder(name):
    path = f"{HERE}/{name}"
    os.makedirs(path, exist_ok=True)
    return path


def save_json(name, tokenizer):
    data = json.loads(tokenizer.to_str())
    with open(f"{folder(name)}/tokenizer.json", "w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, separators=(",", ":"))


def trained(model, trainer, pre=None, normalizer=None):
    tokenizer = Tokenizer(model)
    if pre:
        tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def byte_level(pre, special=("<|endoftext|>",)):
    trainer = trainers.BpeTrainer(vocab_size=N_VOCAB, special_tokens=list(special), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer = trained(models.BPE(), trainer, pre)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def around(tokenizer, first, last):
    ids = [(text, tokenizer.token_to_id(text)) for text in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", pair=f"{first} $A {last} $B {last}", special_tokens=ids)


def bert():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=N_VOCAB, special_tokens=special, show_progress=False)
    tokenizer = trained(models.WordPiece(unk_token="[UNK]"), trainer, pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer())
    around(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def characters(pre, special, normalizer=None, alphabet=""):
    """Makes BPE over the characters of words: the first three special tokens are the unknown token and those at the two ends of a text."""
    trainer = trainers.BpeTrainer(vocab_size=N_VOCAB, special_tokens=special, initial_alphabet=list(alphabet), show_progress=False)
    tokenizer = trained(models.BPE(unk_token=special[0]), trainer, pre, normalizer)
    around(tokenizer, *special[1:3])
    return tokenizer


def sentencepiece_model(name, file, model_type, **options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus()), model_writer=out, model_type=model_type, vocab_size=N_VOCAB,
                                             byte_fallback=True, minloglevel=2, character_coverage=0.98, num_threads=1, **options)
    open(f"{folder(name)}/{file}", "wb").write(out.getvalue())


def unigram_json():
    """Makes a unigram tokenizer as transformers writes a sentencepiece one that drops extra spaces."""
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.UnigramTrainer(vocab_size=N_VOCAB, special_tokens=special, unk_token="<unk>", show_progress=False)
    normalizer = normalizers.Sequence([normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "\u2581")])
    pre = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer = trained(models.Unigram(), trainer, pre, normalizer)
    return tokenizer


BYTES_OF_WORDS = pre_tokenizers.ByteLevel(add_prefix_space=False)


def gpt2():
    added = byte_level(BYTES_OF_WORDS)
    added.add_tokens([AddedToken("    ", normalized=False), AddedToken("ALiBi", normalized=False)])
    return added


def roberta():
    tokenizer = byte_level(BYTES_OF_WORDS, ("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def of_steps(*steps):
    return byte_level(pre_tokenizers.Sequence(list(steps)))


# Tokenizers with a tokenizer.json, by name.
JSON = {
    "gpt-2": gpt2,
    "refact": lambda: of_steps(pre_tokenizers.Digits(individual_digits=True), BYTES_OF_WORDS),
    "bloom": lambda: of_steps(pre_tokenizers.Split(Regex(BLOOM), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)),
    "falcon": lambda: of_steps(pre_tokenizers.Punctuation("contiguous"), BYTES_OF_WORDS, pre_tokenizers.Digits(individual_digits=False),
                               pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")),
    "roberta": roberta,
    "dnabert-2": lambda: characters(pre_tokenizers.Whitespace(), ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]),
    "whitespace": lambda: characters(pre_tokenizers.Whitespace(), ["<unk>", "<s>", "</s>", "<pad>", "<mask>"], normalizers.Lowercase(),
                                     "éïσαßωǆ\u0307我想在工作ａ１²ⅷⓐ…\u200d\u0301"),
    "bert": bert,
    "unigram": unigram_json,
}


def gpt2_lists(name):
    """Writes the byte-level BPE in the older files."""
    byte_level(BYTES_OF_WORDS).model.save(folder(name))
    with open(f"{folder(name)}/tokenizer_config.json", "w") as file:
        json.dump({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": {"content": "<|endoftext|>"}}, file)


def bert_list(name):
    with open(f"{HERE}/bert/tokenizer.json", encoding="utf-8") as file:
        vocab = json.load(file)["model"]["vocab"]
    with open(f"{folder(name)}/vocab.txt", "w", encoding="utf-8") as file:
        file.writelines(f"{token}\n" for token, _ in sorted(vocab.items(), key=lambda item: item[1]))


def sentencepiece_bpe(name):
    sentencepiece_model(name, "tokenizer.model", "bpe", add_dummy_prefix=False, normalization_rule_name="identity", remove_extra_whitespaces=False)
    with open(f"{folder(name)}/tokenizer_config.json", "w") as file:
        json.dump({"add_bos_token": False}, file)


OTHERS = {
    "gpt-2-lists": gpt2_lists,
    "bert-list": bert_list,
    "sentencepiece-bpe": sentencepiece_bpe,
    "sentencepiece-unigram": lambda name: sentencepiece_model(name, "spiece.model", "unigram"),
}


def encoders():
    """Functions that make ids of a text, from the present files, by name."""
    def hugging_face(tokenizer):
        return lambda text: tokenizer.encode(text).ids

    found = {name: hugging_face(Tokenizer.from_file(f"{HERE}/{name}/tokenizer.json")) for name in JSON}
    lists = Tokenizer(models.BPE.from_file(f"{HERE}/gpt-2-lists/vocab.json", f"{HERE}/gpt-2-lists/merges.txt"))
    lists.pre_tokenizer = BYTES_OF_WORDS
    lists.add_special_tokens(["<|endoftext|>"])
    found["gpt-2-lists"] = hugging_face(lists)
    found["bert-list"] = found["bert"]
    for name, file in (("sentencepiece-bpe", "tokenizer.model"), ("sentencepiece-unigram", "spiece.model")):
        found[name] = sentencepiece.SentencePieceProcessor(model_file=f"{HERE}/{name}/{file}").encode
    return found


def template(*parts, **ids):
    """Post-processor that puts these tokens around the text, which `None` stands for; `ids` are the ids of the tokens."""
    part = lambda name: {"SpecialToken": {"id": name, "type_id": 0}} if name else {"Sequence": {"id": "A", "type_id": 0}}
    tokens = {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in parts if name}
    return {"type": "TemplateProcessing", "single": [*map(part, parts)], "pair": [part(None), {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": tokens}


# Changed settings of a file, and a text.
STRIPPED = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": True, "lowercase": False}
BYTES = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
CHANGES = [
    ("bert", {"/model/unk_token": "[PAD]"}, "the 我 model"),
    ("bert", {"/post_processor": None}, "the model"),
    ("bert", {"/post_processor": template("[CLS]", None, **{"[CLS]": 2})}, "the model"),
    ("bert", {"/post_processor": template(None, "[SEP]", **{"[SEP]": 3})}, "the model"),
    ("bert", {"/post_processor": template("[MASK]", None, "[PAD]", **{"[MASK]": 4, "[PAD]": 0})}, "the model"),
    ("bert", {"/normalizer": STRIPPED}, "the Model of É"),
    ("bert", {"/normalizer": {"type": "Sequence", "normalizers": [STRIPPED]}}, "the Model of É"),
    ("gpt-2", {"/post_processor": {"type": "RobertaProcessing", "sep": ["a", 7], "cls": ["b", 8], "trim_offsets": True, "add_prefix_space": True}},
     "the model"),
    ("gpt-2", {"/post_processor": template("begin", None, begin=9)}, "the model"),
    ("gpt-2", {"/post_processor": {"type": "Sequence", "processors": [BYTES, template("a", None, "b", a=5, b=6)]}},
     "the model"),
    ("whitespace", {"/model/unk_token": None}, "THE 界界 model 世"),
    ("whitespace", {"/model/fuse_unk": True}, "THE 界界 model 世x世"),
    ("whitespace", {"/pre_tokenizer": {"type": "WhitespaceSplit"}}, "THE-model (of)"),
    ("dnabert-2", {"/normalizer": {"type": "Lowercase"}, "/pre_tokenizer": {"type": "WhitespaceSplit"}}, "The MODEL"),
]


def changed_ids(name, changes, text):
    with open(f"{HERE}/{name}/tokenizer.json", encoding="utf-8") as file:
        tokenizer = json.load(file)
    for place, value in changes.items():
        *way, last = place[1:].split("/")
        inner = tokenizer
        for key in way:
            inner = inner[key]
        inner[last] = value
    return Tokenizer.from_str(json.dumps(tokenizer)).encode(text).ids


def main():
    names = sys.argv[1:] or [*JSON, *OTHERS]
    for name in names:
        if name in JSON:
            save_json(name, JSON[name]())
        else:
            OTHERS[name](name)
    encode_as = encoders()
    with open(f"{HERE}/cases.jsonl", "w", encoding="utf-8") as file:
        for text in TEXTS:
            ids = {name: encode(text) for name, encode in encode_as.items()}
            if text.startswith("\u2581"):
                # tokenizers puts no space before a text that begins with the letter for a space; sentencepiece and nearfield do.
                del ids["unigram"]
            file.write(json.dumps({"text": text, "ids": ids}, ensure_ascii=False) + "\n")
    with open(f"{HERE}/changes.jsonl", "w", encoding="utf-8") as file:
        for name, changes, text in CHANGES:
            line = {"name": name, "changes": changes, "text": text, "ids": changed_ids(name, changes, text)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
