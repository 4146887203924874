"""Documents as tokens, and an endless shuffled stream of training windows."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

MARKER_ID = 0


def documents(path: Path) -> list[str]:
    """The file's documents; a line <|endoftext|> separates them."""
    return [d.strip() for d in path.read_text().split("<|endoftext|>\n") if d.strip()]


def encode(tokenizer: Tokenizer, path: Path) -> list[np.ndarray]:
    return [np.array([MARKER_ID] + e.ids, np.int64) for e in tokenizer.encode_batch(documents(path))]


class Windows:
    """Windows of length+1 tokens from the documents in a fresh order each epoch.

    Without replacement, and cut at other places each epoch: with few documents, many epochs
    and one model the windows should never be the same twice.
    """

    def __init__(self, docs: list[np.ndarray], length: int, seed):
        self.docs, self.length = docs, length
        self.random = np.random.default_rng(seed)
        self.epoch, self.queue = -1, []

    def _refill(self):
        order = self.random.permutation(len(self.docs))
        stream = np.concatenate([self.docs[i] for i in order])
        first = int(self.random.integers(self.length))
        starts = np.arange(first, len(stream) - self.length - 1, self.length)
        self.queue = [stream[s : s + self.length + 1] for s in self.random.permutation(starts)]
        self.epoch += 1

    def next(self) -> np.ndarray:
        if not self.queue:
            self._refill()
        return self.queue.pop()
