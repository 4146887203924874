#!/usr/bin/env python3
"""Makes a small tokenizer of each kind that `nearfield convert` reads, in the files of its kind, and what Hugging Face's `tokenizers` or
sentencepiece makes of some texts: cases.jsonl, a line for each text with the ids of all tokenizers.

They are trained on the repository's LICENSE-APACHE, so with the same versions of tokenizers and sentencepiece they come out the same.
"""
import io
import json
import os
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../../../../..")
N_VOCAB = 400

BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"

TEXTS = [
    "", " ", "Hello world", " Hello  world ", "the weights of a model", "The Weights, of a MODEL!", "it's we'll I'm 'Tis",
    "1234567 and 3.14", "x=1; // y\n\tz", "naïve café déjà", "e\u0301a\u0301", "我想在apple工作", "🦙 llamas🦙", "a\n\n b\r\nc",
    "<|endoftext|>inside", "[CLS] and [MASK]", "</s> end <s>", "    four spaces", "\u00a0no\u200bbreak", "ALiBi ALiBi ALiBi", "ACGTACGTTTGACA",
    "(a|b), [c]. d? e… f。", "ﬁne ① ﾊﾝ ＡＢＣ", "don't-stop_it's", "\u2581literal\u2581", "antidisestablishmentarianism" * 5,
]


def corpus():
    return open(f"{ROOT}/LICENSE-APACHE", encoding="utf-8").read().splitlines()


def folder(name):
    path = f"{HERE}/{name}"
    os.makedirs(path, exist_ok=True)
    return path


def save_json(name, tokenizer):
    path = f"{folder(name)}/tokenizer.json"
    data = json.loads(tokenizer.to_str())
    json.dump(data, open(path, "w", encoding="utf-8"), ensure_ascii=False, separators=(",", ":"))
    return Tokenizer.from_file(path)


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


def bert(name):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=N_VOCAB, special_tokens=special, show_progress=False)
    tokenizer = trained(models.WordPiece(unk_token="[UNK]"), trainer, pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer())
    around(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def sentencepiece_model(name, file, model_type, **options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus()), model_writer=out, model_type=model_type, vocab_size=N_VOCAB,
                                             byte_fallback=True, minloglevel=2, character_coverage=0.98, num_threads=1, **options)
    open(f"{folder(name)}/{file}", "wb").write(out.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    return lambda text: processor.encode(text)


def unigram_json(name):
    """As transformers writes a sentencepiece unigram that drops extra spaces."""
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.UnigramTrainer(vocab_size=N_VOCAB, special_tokens=special, unk_token="<unk>", show_progress=False)
    normalizer = normalizers.Sequence([normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "\u2581")])
    pre = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer = trained(models.Unigram(), trainer, pre, normalizer)
    return tokenizer


def main():
    bytes_of_words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytes_of_words])
    bloom = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(BLOOM), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    falcon = pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), bytes_of_words, pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])
    added = byte_level(bytes_of_words)
    added.add_tokens([AddedToken("    ", normalized=False), AddedToken("ALiBi", normalized=False)])
    roberta = byte_level(bytes_of_words, ("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    roberta.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    dna = trained(models.BPE(unk_token="[UNK]"), trainers.BpeTrainer(vocab_size=N_VOCAB, special_tokens=["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"],
                                                                    show_progress=False), pre_tokenizers.Whitespace())
    around(dna, "[CLS]", "[SEP]")
    tokenizers = {
        "gpt-2": added, "refact": byte_level(digits), "bloom": byte_level(bloom), "falcon": byte_level(falcon), "roberta": roberta,
        "dnabert-2": dna, "bert": bert("bert"), "unigram": unigram_json("unigram"),
    }
    encoders = {}
    for name, tokenizer in tokenizers.items():
        loaded = save_json(name, tokenizer)
        encoders[name] = lambda text, loaded=loaded: loaded.encode(text).ids
    # The same two in the older files.
    plain = byte_level(bytes_of_words)
    plain.model.save(folder("gpt-2-lists"))
    with open(f"{folder('gpt-2-lists')}/tokenizer_config.json", "w") as file:
        json.dump({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": {"content": "<|endoftext|>"}}, file)
    encoders["gpt-2-lists"] = lambda text: plain.encode(text).ids
    with open(f"{folder('bert-list')}/vocab.txt", "w", encoding="utf-8") as file:
        vocab = json.loads(tokenizers["bert"].to_str())["model"]["vocab"]
        file.writelines(f"{token}\n" for token, _ in sorted(vocab.items(), key=lambda item: item[1]))
    encoders["bert-list"] = encoders["bert"]
    encoders["sentencepiece-bpe"] = sentencepiece_model("sentencepiece-bpe", "tokenizer.model", "bpe", add_dummy_prefix=False,
                                                        normalization_rule_name="identity", remove_extra_whitespaces=False)
    with open(f"{folder('sentencepiece-bpe')}/tokenizer_config.json", "w") as file:
        json.dump({"add_bos_token": False}, file)
    encoders["sentencepiece-unigram"] = sentencepiece_model("sentencepiece-unigram", "spiece.model", "unigram")
    with open(f"{HERE}/cases.jsonl", "w", encoding="utf-8") as file:
        for text in TEXTS:
            ids = {name: encode(text) for name, encode in encoders.items()}
            if text.startswith("\u2581"):
                # tokenizers puts no space before a text that begins with the letter for one; sentencepiece does, and so do we.
                del ids["unigram"]
            file.write(json.dumps({"text": text, "ids": ids}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
