"""Vocabularies of the kinds beside byte-level BPE: trained small, written as GGUF, and read from published GGUF files, each with its reference.

The references are `sentencepiece` for SentencePiece BPE and unigram, and Hugging Face `tokenizers` for WordPiece and BPE over characters.
"""
from collections import Counter
from dataclasses import dataclass, field
import io
import json
import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)     # tokenizer.ggml.token_type
# A few rules as in NFKC, one that drops a character, one that makes three of one, one that eats two.
RULES = [("Ａ", "A"), ("ﬁ", "fi"), ("½", "1⁄2"), ("①", "1"), ("\u200b", ""), ("\t", " "), ("\n", " "), ("\u3000", " "), ("…", "..."), ("e\u0301", "é"),
         ("\u1680", " x "), ("ǅ", "Dž")]


@dataclass
class Words:
    """Contents of a GGUF file, and `encode`, the reference: text to ids."""
    model: str
    tokens: list
    types: list
    encode: object
    pre: str = "default"
    scores: list = None
    merges: list = None
    keys: dict = field(default_factory=dict)

    def specials(self):
        found = [t for t, kind in zip(self.tokens, self.types) if kind == USER_DEFINED or kind == CONTROL and self.model not in ("llama", "t5")]
        return found or ["<s>"]

    def write(self, path):
        """A GGUF that holds nothing else: no tensors, no shape."""
        w = gguf.GGUFWriter(path, "none")
        w.add_tokenizer_model(self.model)
        w.add_tokenizer_pre(self.pre)
        w.add_token_list(self.tokens)
        w.add_token_types(self.types)
        if self.scores is not None:
            w.add_token_scores(self.scores)
        if self.merges is not None:
            w.add_token_merges(self.merges)
        for key, value in self.keys.items():
            key = "tokenizer.ggml." + key
            if isinstance(value, bool):
                w.add_bool(key, value)
            elif isinstance(value, int):
                w.add_uint32(key, value)
            elif value:
                w.add_array(key, value)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.close()


def sentencepiece_words(proto):
    """The vocabulary of a SentencePiece model."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    spaces = proto.normalizer_spec
    model = {proto.trainer_spec.BPE: "llama", proto.trainer_spec.UNIGRAM: "t5"}[proto.trainer_spec.model_type]
    keys = {"add_space_prefix": spaces.add_dummy_prefix, "remove_extra_whitespaces": spaces.remove_extra_whitespaces,
            "precompiled_charsmap": bytes(spaces.precompiled_charsmap), "unknown_token_id": proto.trainer_spec.unk_id}
    return Words(model, [p.piece for p in proto.pieces], [p.type for p in proto.pieces], processor.encode,
                 scores=[p.score for p in proto.pieces], keys=keys)


def train_sentencepiece(texts, **options):
    """Trains on `texts`, with these options of `sentencepiece`."""
    model = io.BytesIO()
    # The most frequent characters get tokens; the others are unknown in the cases.
    counts = Counter(c for text in texts for c in text)
    frequent = {c for c, _ in counts.most_common(400)}
    texts = ["".join(c for c in text if c in frequent) for text in texts]
    options = dict(vocab_size=1400, character_coverage=1.0, normalization_rule_name="identity", user_defined_symbols=["<fim>", "<user>"],
                   num_threads=1, minloglevel=2) | options
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=model, **options)
    proto = model_pb2.ModelProto.FromString(model.getvalue())
    return sentencepiece_words(proto)


def published_sentencepiece(path):
    """A SentencePiece model with the vocabulary of a GGUF file."""
    fields = {k: f.contents() for k, f in gguf.GGUFReader(path).fields.items() if k.startswith("tokenizer.")}
    proto = model_pb2.ModelProto()
    proto.trainer_spec.model_type = proto.trainer_spec.BPE
    proto.trainer_spec.byte_fallback = True
    proto.normalizer_spec.remove_extra_whitespaces = False
    for token, score, kind in zip(*(fields["tokenizer.ggml." + key] for key in ("tokens", "scores", "token_type"))):
        proto.pieces.add(piece=token, score=score, type=int(kind))
    return sentencepiece_words(proto)


def hugging_face(tokenizer):
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def phantom(token):
    """WordPiece as llama.cpp's converter spells it."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else "▁" + token


def wordpiece_words(vocab, specials, lowercase):
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    tokens = sorted(vocab, key=vocab.get)
    keys = {"normalizer.lowercase": lowercase, "unknown_token_id": vocab["[UNK]"], "cls_token_id": vocab["[CLS]"], "seperator_token_id": vocab["[SEP]"]}
    return Words("bert", [phantom(t) for t in tokens], [CONTROL if t in specials else NORMAL for t in tokens], hugging_face(tokenizer), keys=keys)


BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def train_wordpiece(texts, lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=1600, special_tokens=BERT_SPECIALS, limit_alphabet=500, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return wordpiece_words(tokenizer.get_vocab(), BERT_SPECIALS, lowercase)


def published_wordpiece(path):
    fields = {k: f.contents() for k, f in gguf.GGUFReader(path).fields.items() if k.startswith("tokenizer.")}
    def spelled(token):
        if token.startswith("[") and token.endswith("]"):
            return token
        return token[1:] if token.startswith("▁") else "##" + token
    vocab = {spelled(t): i for i, t in enumerate(fields["tokenizer.ggml.tokens"])}
    return wordpiece_words(vocab, BERT_SPECIALS, True)


def character_bpe_words(tokenizer, specials, names, model, pre, **keys):
    """BPE over characters of words, `names` being those of the unknown token and of the ends of a text."""
    vocab = tokenizer.get_vocab()
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    tokens = sorted(vocab, key=vocab.get)
    unknown, first, last = names
    keys |= {"unknown_token_id": vocab[unknown], "bos_token_id": vocab[first], "eos_token_id": vocab[last]}
    return Words(model, tokens, [CONTROL if t in specials else NORMAL for t in tokens], hugging_face(tokenizer), pre=pre, merges=merges, keys=keys)


def train_character_bpe(texts):
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=BERT_SPECIALS, limit_alphabet=200, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return character_bpe_words(tokenizer, BERT_SPECIALS, ("[UNK]", "[CLS]", "[SEP]"), "gpt2", "dnabert-2")


ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def train_whitespace(texts):
    """As jina-embeddings-v2-base-zh is published: small letters, words cut from signs, each unknown character one <unk>. Written as llama.cpp's
    converter does. A few merges cross the cuts, so that a wrong one changes the ids."""
    lower = normalizers.Lowercase()
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = lower
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), "removed")
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=ROBERTA_SPECIALS, limit_alphabet=400, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return character_bpe_words(tokenizer, ROBERTA_SPECIALS, ("<unk>", "<s>", "</s>"), "whitespace", "whitespace", **{"normalizer.lowercase": True})
