#!/usr/bin/env python3
"""Train short, test long: perplexity by evaluation length, of the pocket model (ALiBi) and its twin with sinusoidal positions.

    measure/extrapolate.py --nearfield target/release/nearfield --corpus DIR/tinystories_valid.txt --sinusoidal sinusoidal.gguf --out docs

Both were trained on windows of 256 tokens (models/README.md); `models/train/export.py --context 16384` writes the twin with enough positions. The text is cut into pieces of
each length that do not overlap, and every token but the first of a piece counts (Press et al. 2021, "nonoverlapping"): the same tokens for
each length, so that lengths can be compared. Writes extrapolation.md and extrapolation.svg.
"""
import argparse
import csv
import json
import subprocess
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

import documents

MODELS = Path(__file__).resolve().parent.parent / "models"
# Readable on white and on black.
GRAY = "#7d8590"
COLORS = ["#4c8eda", "#3fa66b", "#8b7fd6", "#e0803a"]


def settings(sinusoidal: Path) -> list[tuple[str, Path, list[str]]]:
    pocket = MODELS / "pocket.gguf"
    return [
        ("ALiBi, all keys", pocket, []),
        ("ALiBi, a ring for each head", pocket, ["--ring", "2^-24"]),
        ("ALiBi, 4 sinks and the newest 128", pocket, ["--ring", "128", "--sinks", "4"]),
        ("sinusoidal, all keys", sinusoidal, []),
    ]


def run(command: list, stderr=None) -> str:
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, stderr=stderr).stdout.decode()


def perplexities(args, model: Path, flags: list[str], text: Path) -> tuple[dict[int, tuple[float, float]], str]:
    """Perplexity and its standard error by length, and the output."""
    with tempfile.NamedTemporaryFile(suffix=".csv") as table:
        lengths = ",".join(map(str, args.lengths))
        printed = run([args.nearfield, "perplexity", model, "-f", text, "--special", "--all", "--kv", "f16", "--max-tokens", args.tokens,
                       "--ctx", lengths, "--csv", table.name, *flags], subprocess.STDOUT)
        rows = csv.DictReader(Path(table.name).read_text().splitlines())
        return {int(row["length"]): (float(row["perplexity"]), float(row["error"])) for row in rows}, printed


def cache_kib(args, model: Path, flags: list[str], length: int) -> float:
    plan = json.loads(run([args.nearfield, "plan", model, "--ctx", length, "--kv", "f16", "--json", *flags]))
    return plan["memory"]["kv_cache"] / 1024


def draw(results, out: Path):
    figure, axes = plt.subplots(figsize=(7.5, 4.5))
    for (label, points), color in zip(results, COLORS):
        lengths = sorted(points)
        axes.errorbar(lengths, [points[n][0] for n in lengths], [points[n][1] for n in lengths], color=color, marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel="tokens in a piece", ylabel="perplexity")
    lengths = sorted(results[0][1])
    axes.set_xticks(lengths, [str(n) for n in lengths])
    axes.minorticks_off()
    ticks = [tick for tick in (5, 6, 8, 10, 15, 20, 30, 50, 100, 200, 500) if tick < 1.5 * max(p for _, points in results for p, _ in points.values())]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.axvline(256, color=GRAY, linestyle=":")
    axes.annotate("trained at 256", (256, ticks[-1]), color=GRAY, textcoords="offset points", xytext=(4, 0))
    axes.tick_params(colors=GRAY)
    for part in (axes.xaxis.label, axes.yaxis.label):
        part.set_color(GRAY)
    for spine in axes.spines.values():
        spine.set_color(GRAY)
    axes.grid(color=GRAY, alpha=0.3)
    axes.legend(frameon=False, labelcolor=GRAY)
    figure.savefig(out, transparent=True, bbox_inches="tight", metadata={"Date": None})


def by_hand(args, printed: str, text: Path) -> str:
    """The first row as a command of the page, which `tests/docs/run` runs."""
    lengths = ",".join(map(str, args.lengths))
    printed = printed.replace(str(MODELS), "models").replace(str(text), "valid.txt").strip()
    return f"""The first row comes from these commands:

```console
$ measure/documents.py {args.corpus.name} > valid.txt
$ nearfield perplexity models/pocket.gguf -f valid.txt --special --all --kv f16 --max-tokens {args.tokens} --ctx {lengths}
{printed}
```"""


def table(args, results, caches, by_hand) -> str:
    head = "| tokens in a piece | " + " | ".join(str(n) for n in args.lengths) + " |\n|---|" + "---:|" * len(args.lengths)
    perplexity = [f"| {label} | " + " | ".join(f"{points[n][0]:.3f}" for n in args.lengths) + " |" for label, points in results]
    cache = [f"| {label} | " + " | ".join(f"{kib[n]:.0f}" for n in args.lengths) + " |" for label, kib in caches]
    return "\n".join(["Perplexity:", "", head, *perplexity, "", by_hand, "", "Keys and values, KiB:", "", head, *cache])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nearfield", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True, help="documents, a line <|endoftext|> after each")
    parser.add_argument("--sinusoidal", type=Path, required=True)
    parser.add_argument("--lengths", type=lambda text: [int(n) for n in text.split(",")], default=[2**n for n in range(8, 15)])
    parser.add_argument("--tokens", type=int, default=1 << 16)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    results, caches, shown = [], [], []
    with tempfile.NamedTemporaryFile("w") as text:
        # Documents as in training, with the marker between them and nothing else.
        text.write(documents.joined(args.corpus))
        text.flush()
        for label, model, flags in settings(args.sinusoidal):
            points, printed = perplexities(args, model, flags, Path(text.name))
            results.append((label, points))
            shown.append(by_hand(args, printed, Path(text.name)))
            caches.append((label, {n: cache_kib(args, model, flags, n) for n in args.lengths}))
            print(label, {n: round(p, 3) for n, (p, _) in results[-1][1].items()}, flush=True)
    draw(results, args.out / "extrapolation.svg")
    (args.out / "extrapolation.md").write_text(f"""# Train short, test long

How perplexity changes beyond the length of the training, with ALiBi and with sinusoidal positions. `measure/extrapolate.py` writes this page.

Two models of the same shape and recipe were trained on windows of 256 tokens: the pocket model, and its twin with sinusoidal positions
([models/README.md](../models/README.md); Press et al. 2021, figures 1 and 4). The figure is the perplexity of the first {args.tokens} tokens of `{args.corpus.name}`, in pieces of each
length that do not overlap.

![Perplexity by length](extrapolation.svg)

{table(args, results, caches, shown[0])}
""")


if __name__ == "__main__":
    main()
