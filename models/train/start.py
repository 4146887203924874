"""Weights and tokenizer that a run begins with, cut from or grown out of a GGUF file (shrink.py, grow.py)."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import corpus
from model import Model, attention_bias

LENGTH, WINDOWS = 256, 64


def windows(tokenizer: Tokenizer, text: Path) -> torch.Tensor:
    """The text's first windows of LENGTH + 1 tokens, each begins with the last token of the one before: [WINDOWS, LENGTH + 1]."""
    stream = np.concatenate(corpus.encode(tokenizer, text))
    return torch.tensor(np.stack([stream[i * LENGTH : (i + 1) * LENGTH + 1] for i in range(WINDOWS)]))


@torch.no_grad()
def nats(model: Model, windows: torch.Tensor) -> float:
    """Mean cross entropy of a token, without dropout."""
    bias = attention_bias(model.shape, LENGTH)[None]
    logits = model.eval().logits(windows[:, :-1], bias)
    return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).item()


def save(run: Path, model: Model, tokenizer: Tokenizer):
    """Writes start.pt and tokenizer.json into the run's folder, from which train.py starts."""
    run.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(run / "tokenizer.json"))
    torch.save(model.state_dict(), run / "start.pt")
