#!/usr/bin/env python3
"""Follows one long text: memory, time per token, and perplexity of its parts.

    endless_run.py --nearfield target/release/nearfield [-n 1000000] [--ctx 2048] [--parts 10] [--flags "--sinks 4"] [MODEL.gguf]

Runs `nearfield run --endless` and cuts what it writes into parts of as many tokens. Of each: resident memory at its end, CPU time per token (which
other processes disturb less than the clock), and the perplexity of its first 10,000 tokens under a fresh run of the same model, in pieces of 1024 tokens.

What other processes do to a processor's caches and clock disturbs CPU time as well. So the long text is stopped now and then, --yardsticks times in each part,
while a text that begins anew runs on the same processor, the same flags and --yardstick tokens. "of a new text" is the CPU time per token of the part over that of its yardsticks:
what else the machine does is in both, and what is left is what the length of the text changes.
"""
import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nearfield", required=True)
    parser.add_argument("model", nargs="?", help="default: the one in the binary")
    parser.add_argument("-n", type=int, default=1_000_000, help="tokens")
    parser.add_argument("--ctx", type=int, default=2048)
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flags", default="", help="more for `run`")
    parser.add_argument("--yardsticks", type=int, default=4, help="of each part; 0 for none")
    parser.add_argument("--yardstick", type=int, default=8000, help="tokens of each")
    args = parser.parse_args()
    model = ["-m", args.model] if args.model else []

    def tokens_of(text: bytes) -> list[str]:
        command = [args.nearfield, "tokenize", *model, "--no-bos"]
        return subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True).stdout.decode().split()

    def run_of(n: int, seed: int) -> list[str]:
        return [args.nearfield, "run", *model, "--endless", "-n", str(n), "--ctx", str(args.ctx), "--seed", str(seed), "--threads", "1",
                *args.flags.split()]

    def yardstick(pid: int) -> float:
        """CPU time per token of a new text, while the long one is stopped."""
        os.kill(pid, signal.SIGSTOP)
        before = cpu_of_children()
        subprocess.run(run_of(args.yardstick, args.seed + 1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        os.kill(pid, signal.SIGCONT)
        return (cpu_of_children() - before) / args.yardstick

    run = run_of(args.n, args.seed)
    print("$", *run)
    process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    pid, samples, text, yardsticks, n_bytes = process.pid, [], bytearray(), [], None
    # Often enough that parts end near where they should.
    while chunk := os.read(process.stdout.fileno(), 4096):
        text += chunk
        try:
            # A process that has ended has no memory any more.
            samples.append((len(text), cpu_seconds(pid), resident_mib(pid) or samples[-1][2]))
            # About as many bytes as the text will have, from its beginning: only to spread the yardsticks over it.
            n_bytes = n_bytes or args.n * len(text) / len(tokens_of(bytes(text)))
            if len(yardsticks) < int(len(text) / n_bytes * args.parts * args.yardsticks + 0.5):
                yardsticks.append((len(text), yardstick(pid)))
        except (FileNotFoundError, ProcessLookupError, IndexError):
            break
    text += process.stdout.read()
    if process.wait() != 0:
        sys.exit(f"endless_run.py: nearfield ended with {process.returncode}")

    print("| tokens | MiB | us/token | of a new text | perplexity |\n|---:|---:|---:|---:|---:|")
    n_tokens, begin, before = 0, 0, (0, 0.0)
    for part in range(args.parts):
        # Cut at the same bytes on every machine; times and memory are those of the sample next to it.
        at = len(text) * (part + 1) // args.parts
        end = min(samples, key=lambda sample: abs(sample[0] - at))
        piece = bytes(text[begin:at])
        n = len(tokens_of(piece))
        n_tokens += n
        with tempfile.NamedTemporaryFile() as file:
            file.write(piece)
            file.flush()
            command = [args.nearfield, "perplexity", *model, "-f", file.name, "--ctx", "1024", "--all", "--max-tokens", "10000"]
            table = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()
        perplexity = float(table.splitlines()[1].split()[1])
        cost = (end[1] - before[1]) / n
        beside = [other for place, other in yardsticks if before[0] < place <= end[0]]
        ratio = f"{cost * len(beside) / sum(beside):.3f}" if beside else "-"
        print(f"| {n_tokens} | {end[2]:.1f} | {cost * 1e6:.0f} | {ratio} | {perplexity:.3f} |", flush=True)
        begin, before = at, end[:2]


if __name__ == "__main__":
    main()
