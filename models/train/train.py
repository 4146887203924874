"""Trains one model on the CPU, for a budget of tokens.

    python train.py --corpus DIR --shape pocket --tokens 20e6 --out RUN_DIR

Schedule, in shares of the budget: a short warm-up, a constant rate, a linear decay to zero; a last part can be
trained through the rounding of the GGUF types. The checkpoint from before the decay is kept as before_decay.pt:
copied over checkpoint.pt, it lets a run go on with a larger budget.

A start.pt and tokenizer.json in RUN_DIR (shrink.py) are what a run begins with.

RUN_DIR receives tokenizer.json, the texts as tokens, checkpoint.pt and log.txt. The same command resumes from the checkpoint and does,
bit for bit, what an unstopped run would have done: every step draws from its own seed, and the checkpoint
holds the place in the data.
"""

import argparse
import contextlib
import functools
import json
import math
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

import corpus
import tokenizer as bpe
from model import Model, attention_bias, shape_of
from muon import Muon
from quantize import OTHER_SHAPES, TYPES, Rounded, Types

LENGTH = 256  # tokens of context: ALiBi carries what is learned here to any length


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--shape", required=True, help="a name or numbers, see model.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=float, required=True, help="budget; a file RUN_DIR/tokens overrides it at any time")
    parser.add_argument("--warmup", type=float, default=0.2e6, help="tokens")
    parser.add_argument("--decay", type=float, default=0.5, help="share of the budget, at its end")
    parser.add_argument("--qat", type=float, default=0.0, help="share of the budget, at its end")
    parser.add_argument("--types", help="embedding,others, as Q5_0,Q4_0: what --qat rounds to; default: the shape's own")
    parser.add_argument("--stories", default="tinystories.txt,tinystories_more.txt", help="files, separated by commas")
    parser.add_argument("--side", default="", help="other files, of which some windows are mixed in before the decay")
    parser.add_argument("--side-share", type=float, default=0.1, help="share of such windows; falls with the rate")
    parser.add_argument("--documents", type=float, default=1.0, help="share of the stories, for experiments on little text")
    parser.add_argument("--batch", type=int, default=32, help="windows a step")
    parser.add_argument("--micro", type=int, default=16, help="windows at once")
    parser.add_argument("--lr-muon", type=float, default=0.02)
    parser.add_argument("--lr-adam", type=float, default=0.004)
    parser.add_argument("--weight-decay", type=float, default=0.1, help="of the matrices in the blocks")
    parser.add_argument("--embedding-decay", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--noise", type=float, default=0.0, help="share of input tokens replaced by random ones of the batch")
    parser.add_argument("--ema", type=float, default=0.0, help="also keep a running mean of the weights, of this decay a step")
    parser.add_argument("--precision", choices=("bf16", "f32"), default="bf16", help="of matrix products")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--eval-minutes", type=float, default=10)
    parser.add_argument("--save-minutes", type=float, default=3)
    parser.add_argument("--stop-after", type=float, help="minutes: save and end, to be resumed")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    return parser.parse_args()


def named_files(args, names: str) -> list[Path]:
    return [args.corpus / name for name in names.split(",") if name]


def vocabulary(args) -> Tokenizer:
    path = args.out / "tokenizer.json"
    if not path.exists():
        bpe.train(named_files(args, args.stories), shape_of(args.shape).n_vocab).save(str(path))
    return Tokenizer.from_file(str(path))


class Batches:
    """Windows of stories; before the decay, now and then one of other texts instead."""

    def __init__(self, args, tokenizer: Tokenizer):
        encoded = lambda file: corpus.encoded(tokenizer, file, args.out / f"{file.stem}.npy")
        documents = lambda names: [document for file in named_files(args, names) for document in encoded(file)]
        stories = documents(args.stories)
        order = np.random.default_rng(args.seed).permutation(len(stories))
        stories = [stories[i] for i in order[: round(len(order) * args.documents)]]
        self.sources = [corpus.Windows(stories, LENGTH, args.seed)]
        if args.side:
            self.sources.append(corpus.Windows(documents(args.side), LENGTH, args.seed))
        self.args = args

    @property
    def positions(self) -> list:
        return [source.position for source in self.sources]

    @positions.setter
    def positions(self, positions: list):
        for source, position in zip(self.sources, positions):
            source.position = position

    def next(self, step: int, rate: float) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The step's inputs and targets, in pieces that are computed at once."""
        random = np.random.default_rng([self.args.seed, step])
        share = self.args.side_share * rate if self.args.side else 0.0
        chosen = (random.random(self.args.batch) < share).astype(int)
        windows = np.stack([self.sources[i].next() for i in chosen]).astype(np.int64)
        tokens, targets = windows[:, :-1].copy(), windows[:, 1:]
        if self.args.noise:
            noisy = random.random(tokens.shape) < self.args.noise
            tokens[noisy] = random.choice(targets.flatten(), noisy.sum())
        split = lambda array: torch.from_numpy(np.ascontiguousarray(array)).split(self.args.micro)
        return list(zip(split(tokens), split(targets)))


class Validation:
    """The beginning of the valid file: a progress report, not the final figure (evaluate.py)."""

    def __init__(self, path: Path, tokenizer: Tokenizer, batch: int, n_tokens: int = 64 * 1024):
        stream = np.concatenate(corpus.encode(tokenizer, path))
        self.bytes_per_token = path.stat().st_size / len(stream)
        n = min(n_tokens, len(stream) - 1) // LENGTH // batch * batch  # whole batches: another size would be compiled anew
        windows = torch.tensor(np.stack([stream[i * LENGTH : (i + 1) * LENGTH + 1] for i in range(n)]))
        self.batches = windows.split(batch)

    @torch.no_grad()
    def bits_per_byte(self, model, bias) -> float:
        nats = np.mean([model(b[:, :-1].contiguous(), b[:, 1:].contiguous(), bias).item() for b in self.batches])
        return round(float(nats) / math.log(2) / self.bytes_per_token, 4)


class Run:
    """Contents of a checkpoint: the weights, the optimizers, and how far the budget is spent."""

    def __init__(self, args):
        self.path, self.shape = args.out / "checkpoint.pt", args.shape
        self.model = Model(shape_of(args.shape), args.dropout)
        start = args.out / "start.pt"
        if start.exists():
            self.model.load_state_dict(torch.load(start, weights_only=True))
        named = dict(self.model.named_parameters())
        self.hidden = [p for n, p in named.items() if p.dim() == 2 and n != "token_embd.weight"]
        self.embedding = self.model.token_embd.weight
        self.norms = [p for p in named.values() if p.dim() == 1]
        precision = torch.bfloat16 if args.precision == "bf16" else torch.float32
        groups = [
            dict(params=[self.embedding], weight_decay=args.embedding_decay),
            dict(params=self.norms, weight_decay=0.0),
        ]
        self.optimizers = [
            Muon(self.hidden, lr=args.lr_muon, weight_decay=args.weight_decay, precision=precision),
            torch.optim.AdamW(groups, lr=args.lr_adam, betas=(0.9, 0.98)),
        ]
        self.peaks = [args.lr_muon, args.lr_adam]
        self.decays = [[group["weight_decay"] for group in o.param_groups] for o in self.optimizers]
        self.ema = args.ema
        self.mean_weights = {n: p.detach().clone() for n, p in named.items()} if args.ema else {}
        self.step = self.tokens = 0
        self.spent = 0.0  # seconds
        self.loss = None  # running mean of the training loss
        self.positions = None

    def resume(self):
        state = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        for name in self.mean_weights:
            self.mean_weights[name].copy_(state["mean_weights"].get(name, state["model"][name]))
        for name in ("step", "tokens", "spent", "loss", "positions"):
            setattr(self, name, state[name])

    def save(self):
        state = dict(model=self.model.state_dict(), optimizers=[o.state_dict() for o in self.optimizers])
        for name in ("mean_weights", "step", "tokens", "spent", "loss", "positions", "shape"):
            state[name] = getattr(self, name)
        unfinished = self.path.with_suffix(".part")
        with open(unfinished, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, self.path)

    def update(self, rate: float):
        """One step of all weights at this share of the peak learning rates."""
        # Muon's update has unit size whatever the gradient; Adam's rows of rare tokens need the guard.
        torch.nn.utils.clip_grad_norm_([self.embedding, *self.norms], 1.0)
        for optimizer, peak, decays in zip(self.optimizers, self.peaks, self.decays):
            for group, decay in zip(optimizer.param_groups, decays):
                group["lr"], group["weight_decay"] = peak * rate, decay  # those of the command, not of the checkpoint
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        if self.ema:
            weight = 1 - min(self.ema, self.step / (self.step + 10))
            torch._foreach_lerp_(list(self.mean_weights.values()), [p.detach() for p in self.model.parameters()], weight)


class Averaged:
    """Within `with`: the model holds the running mean of its weights."""

    def __init__(self, run: Run):
        self.run = run

    def __enter__(self):
        self.kept = {n: p.clone() for n, p in self.run.model.state_dict().items()}
        self.run.model.load_state_dict(self.run.mean_weights)

    def __exit__(self, *_):
        self.run.model.load_state_dict(self.kept)


def main():
    args = parse()
    args.tokens = round(args.tokens)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "pid").write_text(f"{os.getpid()}\n")
    run = Run(args)
    tokenizer = vocabulary(args)
    batches = Batches(args, tokenizer)
    if run.path.exists():
        run.resume()
        batches.positions = run.positions
    shape = shape_of(args.shape)
    types = Types(*args.types.split(",")) if args.types else TYPES.get(args.shape, OTHER_SHAPES)
    validation = Validation(args.corpus / "tinystories_valid.txt", tokenizer, args.micro)
    bias = attention_bias(shape, LENGTH)[None]
    if not args.eager:
        run.model.compile_parts()
    rounded = Rounded(run.model, types)
    autocast = functools.partial(torch.autocast, "cpu", torch.bfloat16, enabled=args.precision == "bf16")

    def evaluate(weights) -> float:
        run.model.eval()
        with autocast(), weights:
            result = validation.bits_per_byte(run.model, bias)
        run.model.train()
        return result

    def report(**figures):
        line = json.dumps(dict(minutes=round(run.spent / 60, 1), step=run.step, tokens=run.tokens) | figures)
        print(line, flush=True)
        with open(args.out / "log.txt", "a") as log:
            log.write(line + "\n")

    def save():
        run.positions = batches.positions
        run.save()

    stop, budget = [], args.out / "tokens"
    signal.signal(signal.SIGTERM, lambda *_: stop.append("asked to"))
    first = last_save = last_eval = run.spent
    speed_from = run.tokens, time.process_time(), time.monotonic()
    while run.tokens < args.tokens and not stop:
        begin = time.monotonic()
        if budget.exists() and run.step % 16 == 0:
            args.tokens = round(float(budget.read_text()))
        progress = run.tokens / args.tokens
        rate = min(1.0, (run.tokens + 1) / args.warmup, (1 - progress) / args.decay)
        qat = progress >= 1 - args.qat
        weights = rounded if qat else contextlib.nullcontext()
        torch.manual_seed(args.seed * 1_000_000_007 + run.step)  # dropout
        pieces, loss = batches.next(run.step, rate), 0.0
        with weights:
            for tokens, targets in pieces:
                with autocast():
                    piece = run.model(tokens, targets, bias) / len(pieces)
                piece.backward()
                loss += piece.item()
        run.update(rate)
        run.loss = loss if run.loss is None else 0.98 * run.loss + 0.02 * loss
        before, run.tokens = progress, run.tokens + args.batch * LENGTH
        run.spent += time.monotonic() - begin
        if before < 1 - args.decay <= run.tokens / args.tokens:
            save()
            shutil.copy(run.path, args.out / "before_decay.pt")
        if run.spent - last_save > args.save_minutes * 60:
            last_save = run.spent
            save()
        if args.stop_after and run.spent - first > args.stop_after * 60:
            stop.append("time")
        if run.spent - last_eval > args.eval_minutes * 60:
            last_eval = run.spent
            tokens, cpu, clock = run.tokens - speed_from[0], time.process_time() - speed_from[1], time.monotonic() - speed_from[2]
            report(tokens_per_cpu_second=round(tokens / cpu), tokens_per_second=round(tokens / clock))
            figures = dict(train=round(run.loss, 4), rate=round(rate, 3), bpb=evaluate(weights))
            if args.ema:
                with Averaged(run):
                    figures["bpb_mean"] = evaluate(weights)
            report(**figures)
            speed_from = run.tokens, time.process_time(), time.monotonic()
    save()
    if run.tokens >= args.tokens:
        figures = dict(train=round(run.loss, 4), bpb=evaluate(contextlib.nullcontext()))
        if args.qat:
            figures["bpb_rounded"] = evaluate(rounded)
        report(**figures)


if __name__ == "__main__":
    main()
