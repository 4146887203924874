"""Files that the pages name and the repository does not hold.

Models with random weights stand in for those that would have to be downloaded: the tiny ones of `tests/families`, and for plans, which
read no weights, a file of BLOOM-560m's whole shape, whose weights are a hole.
"""
import json
import random
import struct
import subprocess
from array import array
from pathlib import Path

FAMILIES = Path(__file__).resolve().parent.parent / "families"

# Folders as on Hugging Face: family, and additional tokens.
FOLDERS = {
    "bloom-560m": ("bloom-h6", []),
    "jina-embeddings-v2-small-en": ("jina-v2-small", []),
    "mpt-7b-chat": ("mpt-storywriter", ["<|im_start|>", "<|im_end|>"]),
    "refact-1_6B": ("refact", ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]),
    "jina-reranker": ("jina-reranker-v1", []),
}

# GGUF files, each converted from a folder.
CONVERTED = {
    "mpt-7b-chat.gguf": "mpt-7b-chat",
    "refact-1_6B.gguf": "refact-1_6B",
    "jina-v2-small.gguf": "jina-embeddings-v2-small-en",
    "jina-reranker.gguf": "jina-reranker",
    "model-F16.gguf": "bloom-560m",
}

BLOOM_560M = ["bloom-560m-Q4_0.gguf"]

TEXTS = {
    "text.txt": "Once upon a time, there was a little girl who loved to play outside. " * 200,
    "prompt.txt": "Once upon a time, there was a little girl.\n",
}


def tokenizer(more):
    """Byte-level BPE of 320 tokens, as in cli/tests/common/hugging_face.rs, of which the last are `more`."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    letters = [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
    merges = [["Ġea"[i // 26], chr(ord("a") + i % 26)] for i in range(63 - len(more))]
    tokens = ["<|endoftext|>", *letters, *("".join(pair) for pair in merges), *more]
    added = [{"id": tokens.index(token), "content": token, "special": True} for token in ("<|endoftext|>", *more)]
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges},
    }


def write_folder(folder, family, more):
    folder.mkdir()
    (folder / "config.json").write_text((FAMILIES / family / "config.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(more)))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    source, table, data = random.Random(1), {}, []
    n_bytes = 0
    for line in (FAMILIES / family / "tensors.txt").read_text().splitlines():
        name, kind, shape = line.split()
        shape = [int(n) for n in shape.split("x")]
        n = 1
        for size in shape:
            n *= size
        numbers = array("f", (source.uniform(-0.1, 0.1) + (kind == "gain") for _ in range(n)))
        table[name] = {"dtype": "F32", "shape": shape, "data_offsets": [n_bytes, n_bytes + 4 * n]}
        n_bytes += 4 * n
        data.append(numbers.tobytes())
    head = json.dumps(table).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"".join(data))


class Gguf:
    """A GGUF file whose tensors are a hole."""

    STRING, ARRAY, U32, F32 = 8, 9, 4, 6
    TYPES = {"F32": (0, 1, 4), "Q4_0": (2, 32, 18), "Q6_K": (14, 256, 210)}

    def __init__(self):
        self.keys, self.tensors, self.n_bytes = [], [], 0

    @staticmethod
    def string(text):
        return struct.pack("<Q", len(text.encode())) + text.encode()

    def key(self, name, kind, value):
        self.keys.append(self.string(name) + struct.pack("<I", kind) + value)

    def text(self, name, text):
        self.key(name, self.STRING, self.string(text))

    def number(self, name, n):
        self.key(name, self.U32, struct.pack("<I", n))

    def float(self, name, x):
        self.key(name, self.F32, struct.pack("<f", x))

    def strings(self, name, texts):
        self.key(name, self.ARRAY, struct.pack("<IQ", self.STRING, len(texts)) + b"".join(map(self.string, texts)))

    def tensor(self, name, kind, *shape):
        """`shape` has the columns first."""
        number, block, n_bytes = self.TYPES[kind]
        place = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, number, self.n_bytes)
        self.tensors.append(self.string(name) + place)
        n = 1
        for size in shape:
            n *= size
        self.n_bytes += -(-n // block * n_bytes // 32) * 32

    def write(self, path):
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.keys)) + b"".join(self.keys + self.tensors)
        with open(path, "wb") as file:
            file.write(head)
            file.truncate(-(-len(head) // 32) * 32 + self.n_bytes)


def write_bloom_560m(path):
    """The shape of bigscience/bloom-560m in Q4_0, its output in Q6_K, as llama.cpp's mixture has it."""
    n_layer, n_embd, n_head, n_vocab, n_ff = 24, 1024, 16, 250_880, 4096
    file = Gguf()
    file.text("general.architecture", "bloom")
    file.text("general.name", "bloom-560m")
    for name, n in [("context_length", 2048), ("embedding_length", n_embd), ("feed_forward_length", n_ff), ("block_count", n_layer),
                    ("attention.head_count", n_head), ("attention.head_count_kv", n_head)]:
        file.number(f"bloom.{name}", n)
    file.float("bloom.attention.layer_norm_epsilon", 1e-5)
    file.float("bloom.attention.max_alibi_bias", 8.0)
    # As many merges as BLOOM's: each word is a shorter word and a letter.
    letters, n_merges = tokenizer([])["model"]["vocab"], 250_434
    letters = list(letters)[:257]
    words, merges = [chr(ord("a") + i) for i in range(26)], []
    for word in words:
        merges += [(word, letter) for letter in words[:26]]
        words += [word + letter for letter in words[:26]]
        if len(merges) >= n_merges:
            break
    made = ["".join(pair) for pair in merges[:n_merges]]
    file.text("tokenizer.ggml.model", "gpt2")
    file.text("tokenizer.ggml.pre", "bloom")
    file.strings("tokenizer.ggml.tokens", letters + made + [f"[{i}]" for i in range(len(letters) + len(made), n_vocab)])
    file.strings("tokenizer.ggml.merges", [" ".join(pair) for pair in merges[:n_merges]])
    file.number("tokenizer.ggml.eos_token_id", 0)
    vector = lambda name, n: [file.tensor(f"{name}.{end}", "F32", n) for end in ("weight", "bias")]
    file.tensor("token_embd.weight", "Q6_K", n_embd, n_vocab)
    vector("token_embd_norm", n_embd)
    for layer in range(n_layer):
        for norm in ("attn_norm", "ffn_norm"):
            vector(f"blk.{layer}.{norm}", n_embd)
        for name, n_in, n_out in [("attn_qkv", n_embd, 3 * n_embd), ("attn_output", n_embd, n_embd), ("ffn_up", n_embd, n_ff), ("ffn_down", n_ff, n_embd)]:
            file.tensor(f"blk.{layer}.{name}.weight", "Q4_0", n_in, n_out)
            file.tensor(f"blk.{layer}.{name}.bias", "F32", n_out)
    vector("output_norm", n_embd)
    file.write(path)


class StandIns:
    """Makes the files that a command names, in the folder where it is run; each is made once and then linked."""

    def __init__(self, store, nearfield):
        self.store, self.nearfield = Path(store), nearfield
        self.used = set()

    def make(self, name):
        path = self.store / name
        if path.exists():
            return path
        if name in FOLDERS:
            write_folder(path, *FOLDERS[name])
        elif name in CONVERTED:
            subprocess.run([self.nearfield, "convert", self.make(CONVERTED[name]), "-o", path], check=True, stderr=subprocess.DEVNULL)
        elif name in BLOOM_560M:
            write_bloom_560m(path)
        else:
            path.write_text(TEXTS[name])
        return path

    def provide(self, command, folder):
        """Puts a stand-in for each name in a command that is not there."""
        for word in command.replace("=", " ").split():
            there = folder / word
            if word in {*FOLDERS, *CONVERTED, *BLOOM_560M, *TEXTS} and not there.exists():
                there.symlink_to(self.make(word))
                self.used.add(word)
