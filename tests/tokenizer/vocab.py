"""Byte-level BPE vocabularies: read from and written to GGUF, and as Hugging Face tokenizers."""
from dataclasses import dataclass
from functools import cached_property
import gguf
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

# The splitters of the published tokenizer.json files: GPT-2, MPT (GPT-NeoX), BLOOM, Refact, StarCoder, Falcon.
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
DIGITS = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2])
BLOOM = pre_tokenizers.Sequence([
    # The inner brackets nest in Oniguruma: none of whitespace ( ) | . , ! ? and the listed signs. llama.cpp spells the same set without them.
    pre_tokenizers.Split(Regex(r" ?[^(\s|[.,!?…。，、।۔،])]+"), "isolated"),
    BYTES,
])
FALCON = pre_tokenizers.Sequence([
    pre_tokenizers.Punctuation("contiguous"), GPT2, pre_tokenizers.Digits(individual_digits=False),
    pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
])
PRE_TOKENIZERS = {"gpt-2": GPT2, "mpt": GPT2, "bloom": BLOOM, "refact": DIGITS, "starcoder": DIGITS, "falcon": FALCON}

NORMALIZERS = {"mpt": normalizers.NFC()}

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4     # tokenizer.ggml.token_type


@dataclass
class Vocab:
    tokens: list
    types: list
    merges: list        # "left right"

    def spells(self, text):
        """True if every byte has a token. The published MPT and Refact vocabularies lack some (Refact the F1 of U+40000 to U+7FFFF)."""
        letters = "".join(piece for piece, _ in BYTES.pre_tokenize_str(text))
        return set(letters) <= self.letters

    @cached_property
    def letters(self):
        return {t for t in self.tokens if len(t) == 1}

    def specials(self):
        """Tokens that are found in the text before it is split: control tokens and user-defined ones."""
        return [t for t, kind in zip(self.tokens, self.types) if kind != NORMAL]

    def hf(self, pre):
        pairs = [tuple(m.split(" ")) for m in self.merges]
        tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(self.tokens)}, pairs))
        tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre]
        if pre in NORMALIZERS:
            tokenizer.normalizer = NORMALIZERS[pre]
        tokenizer.add_tokens([AddedToken(t, special=True, normalized=False) for t in self.specials()])
        return tokenizer

    def write(self, path, pre):
        """A GGUF that holds nothing else: no tensors, no shape."""
        w = gguf.GGUFWriter(path, "gpt2")
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre(pre)
        w.add_token_list(self.tokens)
        w.add_token_types(self.types)
        w.add_token_merges(self.merges)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.close()


def read(path):
    fields = gguf.GGUFReader(path).fields
    def array(key):
        return fields["tokenizer.ggml." + key].contents()
    return Vocab(array("tokens"), array("token_type"), array("merges"))
