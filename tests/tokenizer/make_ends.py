"""The two ends of an encoder's texts: the keys that llama.cpp's converter writes, and the ids of Hugging Face.

Each case is a folder of a Hugging Face model. Its keys are those that `gguf.SpecialVocab` writes, which converters call; its ids are those of
`tokenizers` for the words `the cat`. Cases named `older` have the keys of converters from before: `JinaBertV2Model` set two flags by hand, and those
before it none. Writes cases/ends.jsonl.

    pip install tokenizers==0.23.3 gguf==0.19.0
    python make_ends.py
"""
import json
import logging
from pathlib import Path
import tempfile

import gguf
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

HERE = Path(__file__).parent
TEXT = "the cat"
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<sep>", "t", "h", "e", "c", "a", "Ġ"]
MERGES = []


class Recorder:
    """Stand-in for a GGUFWriter that records the calls."""

    def __init__(self):
        self.keys = {}

    def __getattr__(self, name):
        def keep(value):
            if name.endswith("_token_id"):
                key = {"sep": "seperator", "unk": "unknown", "pad": "padding"}.get(name[4:-9], name[4:-9])
                self.keys[f"tokenizer.ggml.{key}_token_id"] = int(value)
            elif name.startswith("add_add_"):
                self.keys[f"tokenizer.ggml.{name[4:]}"] = bool(value)
        return keep


def bert():
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(BERT)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in BERT[:5]])
    return tokenizer


def roberta():
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(ROBERTA)}, MERGES, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ROBERTA[:6]])
    return tokenizer


def template(first, last, between, ids):
    pieces = [first, "$A", last]
    return processors.TemplateProcessing(single=" ".join(pieces), pair=" ".join([first, "$A", *between, "$B", last]),
                                         special_tokens=[(token, ids.index(token)) for token in {first, last, *between}])


BERT_NAMES = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]", "unk_token": "[UNK]"}
ROBERTA_NAMES = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "mask_token": "<mask>",
                 "unk_token": "<unk>"}
BERT_TEMPLATE = template("[CLS]", "[SEP]", ["[SEP]"], BERT)

# Name, tokenizer, its post-processor, tokenizer_config.json, config.json.
FOLDERS = [
    ("template", bert, BERT_TEMPLATE, BERT_NAMES, {}),
    ("template, ends by both names", bert, BERT_TEMPLATE, BERT_NAMES | {"bos_token": "[CLS]", "eos_token": "[SEP]"}, {}),
    ("another end in config.json", bert, BERT_TEMPLATE, BERT_NAMES, {"eos_token_id": 6}),
    ("BertProcessing", bert, processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)), BERT_NAMES, {}),
    ("no tokenizer_config.json", bert, BERT_TEMPLATE, None, {}),
    ("RobertaProcessing", roberta, processors.RobertaProcessing(("</s>", 2), ("<s>", 0)), ROBERTA_NAMES, {}),
    ("RobertaProcessing in a sequence", roberta,
     processors.Sequence([processors.ByteLevel(trim_offsets=True), processors.RobertaProcessing(("</s>", 2), ("<s>", 0))]), ROBERTA_NAMES, {}),
    ("template of RoBERTa", roberta, template("<s>", "</s>", ["</s>", "</s>"], ROBERTA), ROBERTA_NAMES, {}),
    ("template of RoBERTa with one end between", roberta, template("<s>", "</s>", ["</s>"], ROBERTA), ROBERTA_NAMES, {}),
    ("an end that is no separator", roberta, template("<s>", "</s>", ["</s>"], ROBERTA), ROBERTA_NAMES | {"sep_token": "<sep>"}, {}),
    ("a separator that is no end", roberta, processors.RobertaProcessing(("<sep>", 5), ("<s>", 0)), ROBERTA_NAMES | {"sep_token": "<sep>"}, {}),
    ("BERT's names for merges", roberta, template("<s>", "</s>", ["</s>"], ROBERTA),
     {"cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>"}, {}),
]

IDS = {
    "bert": {"cls_token_id": 2, "seperator_token_id": 3, "unknown_token_id": 1},
    "gpt2": {"bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "seperator_token_id": 2, "unknown_token_id": 3},
}
# Settings that converters wrote before `SpecialVocab` looked at the post-processor.
OLDER = [
    ("older: two flags", {"add_bos_token": True, "add_eos_token": True}),
    ("older: the separator alone", {"add_sep_token": True}),
    ("older: no flag", {}),
]


def main():
    logging.disable(logging.WARNING)
    lines = []
    for name, make, processor, names, config in FOLDERS:
        tokenizer = make()
        tokenizer.post_processor = processor
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save(str(Path(folder) / "tokenizer.json"))
            if names is not None:
                (Path(folder) / "tokenizer_config.json").write_text(json.dumps(names))
            (Path(folder) / "config.json").write_text(json.dumps(config))
            recorder = Recorder()
            gguf.SpecialVocab(folder, n_vocab=tokenizer.get_vocab_size()).add_to_gguf(recorder, quiet=True)
        model = "bert" if make is bert else "gpt2"
        if names is None:
            # Such a folder names no token, so the ids are BERT's own, which this vocabulary does not have.
            recorder.keys |= {f"tokenizer.ggml.{key}": value for key, value in IDS[model].items()}
        lines.append({"name": name, "model": model, "keys": recorder.keys, "ids": tokenizer.encode(TEXT).ids})
    for model, make, processor in [("bert", bert, BERT_TEMPLATE), ("gpt2", roberta, processors.RobertaProcessing(("</s>", 2), ("<s>", 0)))]:
        tokenizer = make()
        tokenizer.post_processor = processor
        for name, flags in OLDER:
            keys = {f"tokenizer.ggml.{key}": value for key, value in (IDS[model] | flags).items()}
            lines.append({"name": name, "model": model, "keys": keys, "ids": tokenizer.encode(TEXT).ids})
    with open(HERE / "cases/ends.jsonl", "w") as out:
        for line in lines:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


main()
