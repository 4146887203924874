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


def encoded(tokenizer: Tokenizer, path: Path, kept: Path) -> list[np.ndarray]:
    """As `encode`, from the file `kept` of an earlier call where there is one."""
    if not kept.exists():
        np.save(kept, np.concatenate(encode(tokenizer, path)).astype(np.uint16))
    stream = np.load(kept)
    return np.split(stream, np.flatnonzero(stream == MARKER_ID)[1:])


class Windows:
    """Windows of length+1 tokens from the documents in a fresh order each epoch.

    Without replacement, and cut at other places each epoch: with few documents, many epochs
    and one model the windows should never be the same twice. The n-th window depends on the seed
    and n alone: a run that resumes at `position` sees what it would have seen.
    """

    def __init__(self, docs: list[np.ndarray], length: int, seed: int):
        self.docs, self.length, self.seed = docs, length, seed
        self.epoch, self.used, self.windows = 0, 0, None

    @property
    def position(self) -> list[int]:
        return [self.epoch, self.used]

    @position.setter
    def position(self, position: list[int]):
        self.epoch, self.used = position
        self.windows = None

    def _shuffle(self):
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.docs))
        stream = np.concatenate([self.docs[i] for i in order])
        first = int(random.integers(self.length))
        starts = random.permutation(np.arange(first, len(stream) - self.length - 1, self.length))
        self.windows = [stream[s : s + self.length + 1] for s in starts]

    def next(self) -> np.ndarray:
        if self.windows is None:
            self._shuffle()
        if self.used == len(self.windows):
            self.epoch, self.used = self.epoch + 1, 0
            self._shuffle()
        self.used += 1
        return self.windows[self.used - 1]
