"""Trains one model on the CPU, for a budget of minutes or of tokens.

    python train.py --corpus DIR --shape pocket --minutes 100 --out RUN_DIR

Schedule, in shares of the budget: a short warm-up, a constant rate, a long linear decay to zero; a last
part can be trained through the rounding of the GGUF types. With --minutes a busy machine gets
fewer steps but a finished schedule; with --tokens the run is the same wherever it runs.

RUN_DIR receives tokenizer.json, checkpoint.pt and log.txt. The same command resumes from the checkpoint.
"""

import argparse
import functools
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

import corpus
import tokenizer as bpe
from model import SHAPES, Model, attention_bias
from muon import Muon
from quantize import TYPES, rounded

LENGTH = 256  # tokens of context: ALiBi carries what is learned here to any length


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--out", type=Path, required=True)
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float)
    budget.add_argument("--tokens", type=float)
    parser.add_argument("--warmup", type=float, default=0.01, help="share of the budget")
    parser.add_argument("--decay", type=float, default=0.55, help="share of the budget, at its end")
    parser.add_argument("--qat", type=float, default=0.0, help="share of the budget, at its end")
    parser.add_argument("--stories", default="tinystories.txt", help="files of stories in the corpus, separated by commas")
    parser.add_argument("--tales", type=float, default=0.0, help="share of fairy-tale batches before the decay")
    parser.add_argument("--batch", type=int, default=16, help="windows a step")
    parser.add_argument("--lr-muon", type=float, default=0.02)
    parser.add_argument("--lr-adam", type=float, default=0.004)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--eval-minutes", type=float, default=5)
    parser.add_argument("--save-minutes", type=float, default=2)
    parser.add_argument("--eager", action="store_true", help="do not compile")
    return parser.parse_args()


def story_files(args) -> list[Path]:
    return [args.corpus / name for name in args.stories.split(",")]


def vocabulary(args) -> Tokenizer:
    path = args.out / "tokenizer.json"
    if not path.exists():
        bpe.train(story_files(args), SHAPES[args.shape].n_vocab).save(str(path))
    return Tokenizer.from_file(str(path))


class Batches:
    """Stories; before the decay, now and then a batch of tales instead."""

    def __init__(self, args, tokenizer: Tokenizer, step: int):
        # A resumed run takes a fresh shuffle: which windows were already seen is not kept.
        seed = [args.seed, step]
        documents = lambda files: [document for file in files for document in corpus.encode(tokenizer, file)]
        windows = lambda files: corpus.Windows(documents(files), LENGTH, seed)
        self.stories = windows(story_files(args))
        self.tales = windows([args.corpus / "fairytales.txt"]) if args.tales else None
        self.random = np.random.default_rng(seed)
        self.args = args

    def next(self, progress: float) -> torch.Tensor:
        tales = self.tales and progress < 1 - self.args.decay and self.random.random() < self.args.tales
        source = self.tales if tales else self.stories
        return torch.from_numpy(np.stack([source.next() for _ in range(self.args.batch)]))


class Validation:
    """The beginning of the valid file: a progress report, not the final figure (evaluate.py)."""

    def __init__(self, path: Path, tokenizer: Tokenizer, batch: int, n_tokens: int = 48 * 1024):
        stream = np.concatenate(corpus.encode(tokenizer, path))
        self.bytes_per_token = path.stat().st_size / len(stream)
        n = min(n_tokens, len(stream) - 1) // LENGTH // batch * batch  # whole batches: another size would be compiled anew
        windows = np.stack([stream[i * LENGTH : (i + 1) * LENGTH + 1] for i in range(n)])
        self.batches = torch.tensor(windows).split(batch)

    @torch.no_grad()
    def bits_per_byte(self, loss, bias) -> float:
        nats = np.mean([loss(b, bias).item() for b in self.batches])
        return round(float(nats) / math.log(2) / self.bytes_per_token, 4)


class Run:
    """Contents of a checkpoint: the weights, the optimizers, and how far the budget is spent."""

    def __init__(self, args):
        self.path, self.shape = args.out / "checkpoint.pt", args.shape
        self.model = Model(SHAPES[args.shape])
        named = dict(self.model.named_parameters())
        self.hidden = [p for n, p in named.items() if p.dim() == 2 and n != "token_embd.weight"]
        self.others = [p for n, p in named.items() if p.dim() == 1 or n == "token_embd.weight"]
        self.optimizers = [
            Muon(self.hidden, lr=args.lr_muon, weight_decay=args.weight_decay),
            torch.optim.AdamW(self.others, lr=args.lr_adam, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self.peaks = [args.lr_muon, args.lr_adam]
        self.step = self.tokens = 0
        self.spent = 0.0  # seconds
        if self.path.exists():
            self.resume()

    def resume(self):
        state = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.step, self.tokens, self.spent = state["step"], state["tokens"], state["spent"]

    def save(self):
        state = dict(
            model=self.model.state_dict(),
            optimizers=[o.state_dict() for o in self.optimizers],
            step=self.step,
            tokens=self.tokens,
            spent=self.spent,
            shape=self.shape,
        )
        unfinished = self.path.with_suffix(".part")
        torch.save(state, unfinished)
        os.replace(unfinished, self.path)

    def update(self, rate: float):
        """One step of all weights at this share of the peak learning rates."""
        # Muon's update has unit size whatever the gradient; Adam's rows of rare tokens need the guard.
        torch.nn.utils.clip_grad_norm_(self.others, 1.0)
        for optimizer, peak in zip(self.optimizers, self.peaks):
            for group in optimizer.param_groups:
                group["lr"] = peak * rate
            optimizer.step()
            optimizer.zero_grad()


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(args)
    tokenizer = vocabulary(args)
    batches = Batches(args, tokenizer, run.step)
    validation = Validation(args.corpus / "tinystories_valid.txt", tokenizer, args.batch)
    bias = attention_bias(SHAPES[args.shape], LENGTH)[None]
    compiled = (lambda f: f) if args.eager else functools.partial(torch.compile, dynamic=False)
    loss_plain, loss_rounded = compiled(run.model), compiled(rounded(run.model, TYPES[args.shape]))

    def report(**figures):
        line = json.dumps(dict(minutes=round(run.spent / 60, 1), step=run.step, tokens=run.tokens) | figures)
        print(line, flush=True)
        with open(args.out / "log.txt", "a") as log:
            log.write(line + "\n")

    last_save = last_eval = run.spent
    mean = None  # running mean of the training loss
    while True:
        begin = time.monotonic()
        progress = run.tokens / args.tokens if args.tokens else run.spent / (args.minutes * 60)
        if progress >= 1:
            break
        loss_of = loss_rounded if progress >= 1 - args.qat else loss_plain
        loss = loss_of(batches.next(progress), bias)
        loss.backward()
        run.update(min(1.0, progress / args.warmup, (1 - progress) / args.decay))
        run.step += 1
        run.tokens += args.batch * LENGTH
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        run.spent += time.monotonic() - begin
        if run.spent - last_eval > args.eval_minutes * 60:
            last_eval = run.spent
            report(train=round(mean, 4), bpb=validation.bits_per_byte(loss_of, bias))
        if run.spent - last_save > args.save_minutes * 60:
            last_save = run.spent
            run.save()
    run.save()
    report(bpb=validation.bits_per_byte(loss_plain, bias), bpb_rounded=validation.bits_per_byte(loss_rounded, bias))


if __name__ == "__main__":
    main()
