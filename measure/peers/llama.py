"""llama.cpp in this process (PyPI: llama-cpp-python), by its C functions."""
import ctypes
import sys
import time

import numpy as np

from turns import Cell

CHUNK = 512
MOST_SEQUENCES = 256  # LLAMA_MAX_SEQ


def library():
    """Low-level interface of llama.cpp, without its log."""
    from llama_cpp import llama_cpp as llama

    @llama.llama_log_callback
    def errors_only(level, text, _data):
        if level == 4:  # GGML_LOG_LEVEL_ERROR
            sys.stderr.write(text.decode(errors="replace"))

    llama.llama_log_set(errors_only, ctypes.c_void_p(0))
    llama.keep_log_callback = errors_only
    llama.llama_backend_init()
    return llama


def version() -> dict:
    import llama_cpp
    return {"llama_cpp_python": llama_cpp.__version__, "llama_cpp": llama_cpp.llama_print_system_info().decode().strip()}


class Model:
    def __init__(self, path: str):
        self.llama = library()
        self.handle = self.llama.llama_model_load_from_file(path.encode(), self.llama.llama_model_default_params())
        if not self.handle:
            sys.exit(f"peers: llama.cpp cannot load {path}")
        self.n_vocab = self.llama.llama_vocab_n_tokens(self.llama.llama_model_get_vocab(self.handle))
        self.n_embd = self.llama.llama_model_n_embd(self.handle)

    def close(self):
        self.llama.llama_model_free(self.handle)


class Unsupported(Exception):
    """Error for a setting that llama.cpp does not have for a model; llama.cpp prints the reason."""


class Context:
    """Base of decoders and encoders: a context in one setting, its threads, and a batch of tokens."""

    pid = None

    def __init__(self, model: Model, setting: str, change):
        self.name = f"llama.cpp {setting}"
        self.llama, self.model = model.llama, model
        params = self.llama.llama_context_default_params()
        flash = setting.split()[0]
        params.flash_attn_type = {"fa": self.llama.LLAMA_FLASH_ATTN_TYPE_ENABLED, "no-fa": self.llama.LLAMA_FLASH_ATTN_TYPE_DISABLED}[flash]
        change(params)
        self.context = self.llama.llama_init_from_model(model.handle, params)
        if not self.context:
            raise Unsupported(self.name)
        self.batch = self.llama.llama_batch_init(params.n_batch, 0, 1)
        self.tokens = np.random.default_rng(1).integers(0, model.n_vocab, params.n_ctx).tolist()

    def set_threads(self, threads: int):
        self.llama.llama_set_n_threads(self.context, threads, threads)

    def run(self, entries: list[tuple[int, int, int, bool]]):
        """Runs a batch of tokens: (token, position, sequence, true if its logits are wanted)."""
        batch = self.batch
        batch.n_tokens = len(entries)
        for i, (token, pos, sequence, logits) in enumerate(entries):
            batch.token[i], batch.pos[i], batch.logits[i] = token, pos, logits
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
        if self.llama.llama_decode(self.context, batch):
            sys.exit(f"peers: {self.name} cannot run {len(entries)} tokens")
        self.llama.llama_synchronize(self.context)

    def close(self):
        self.llama.llama_batch_free(self.batch)
        self.llama.llama_free(self.context)


class Decoder(Context):
    """Setting such as `fa f16`: flash attention (or `no-fa`) and the type of the cache.

    The cache of one sequence is filled in chunks of 512 tokens, each in a sequence of its own and then handed over, which takes linear time: what a step costs
    depends on the number and order of the cells, and not on what is in them (`true_fill` does without). Several sequences have caches of their own
    (`kv_unified` false, as in llama-batched-bench) and are always filled by a true prefill.
    """

    def __init__(self, model: Model, setting: str, n_ctx: int, threads: int, n_sequences: int = 1, true_fill: bool = False):
        kv = {"f16": model.llama.GGML_TYPE_F16, "q8_0": model.llama.GGML_TYPE_Q8_0}[setting.split()[1]]

        def change(params):
            params.n_batch = params.n_ubatch = CHUNK
            params.type_k = params.type_v = kv
            params.n_threads = params.n_threads_batch = threads
            params.n_ctx = n_ctx * n_sequences
            params.n_seq_max, params.kv_unified = (2, True) if n_sequences == 1 else (n_sequences, False)

        super().__init__(model, setting, change)
        self.most_threads, self.n_sequences, self.true_fill = threads, n_sequences, true_fill or n_sequences > 1
        self.memory = self.llama.llama_get_memory(self.context)
        self.depth = 0
        self.decode(0, 1, [0])  # warms up
        self.llama.llama_memory_clear(self.memory, True)

    def takes(self, cell: Cell) -> bool:
        return cell.count <= self.n_sequences

    def decode(self, pos: int, n: int, sequences: list[int]):
        """Runs the tokens of positions pos..pos + n of each sequence together; logits after the last of each."""
        self.run([(self.tokens[pos + i], pos + i, sequence, i == n - 1) for sequence in sequences for i in range(n)])

    def fill(self, depth: int):
        self.set_threads(self.most_threads)
        while self.depth < depth:
            n = min(CHUNK, depth - self.depth)
            for sequence in range(self.n_sequences):
                self.decode(self.depth, n, [sequence if self.true_fill else 1])
            if not self.true_fill:
                self.llama.llama_memory_seq_cp(self.memory, 1, 0, -1, -1)
                self.llama.llama_memory_seq_rm(self.memory, 1, -1, -1)
            self.depth += n

    def time(self, cell: Cell) -> float:
        self.set_threads(cell.threads)
        step = CHUNK if cell.test == "pp" else 1
        sequences = list(range(cell.count))
        begin = time.perf_counter()
        for i in range(0, cell.n, step):
            self.decode(self.depth + i, min(step, cell.n - i), sequences)
        seconds = time.perf_counter() - begin
        for sequence in sequences:
            self.llama.llama_memory_seq_rm(self.memory, sequence, self.depth, -1)
        return seconds


class Encoder(Context):
    """Setting such as `fa ub512`: flash attention (or `no-fa`) and the most tokens of a batch, which holds as many texts as fit."""

    def __init__(self, model: Model, setting: str, n_ubatch: int):
        def change(params):
            params.n_ctx = params.n_batch = params.n_ubatch = n_ubatch
            params.n_seq_max, params.kv_unified = min(n_ubatch, MOST_SEQUENCES), True
            params.embeddings = True

        super().__init__(model, setting, change)
        self.n_ubatch = n_ubatch
        self.run([(self.tokens[0], 0, 0, True)])  # warms up

    def takes(self, cell: Cell) -> bool:
        """A batch of several short texts, or a long text alone: attention visits all keys of a batch."""
        return cell.n <= self.n_ubatch and (self.n_ubatch <= CHUNK or cell.n > CHUNK)

    def fill(self, _depth: int):
        pass

    def time(self, cell: Cell) -> float:
        self.set_threads(cell.threads)
        of_batch = min(self.n_ubatch // cell.n, MOST_SEQUENCES)
        begin = time.perf_counter()
        for first in range(0, cell.count, of_batch):
            texts = range(min(of_batch, cell.count - first))
            self.run([(self.tokens[i], i, text, True) for text in texts for i in range(cell.n)])
            for text in texts:
                row = self.llama.llama_get_embeddings_seq(self.context, text)
                vector = np.ctypeslib.as_array(row, (self.model.n_embd,))
                vector / np.linalg.norm(vector)
        return time.perf_counter() - begin
