#!/usr/bin/env python3
"""Speed and memory of nearfield beside llama.cpp's (PyPI: llama-cpp-python), on the same GGUF files, in turns.

    peers.py --nearfield target/release/nearfield [--depths 0,2048,8192,16384] [--threads 1,2] [-r 5] MODEL.gguf...
    peers.py --nearfield target/release/nearfield --depths 0,1024 -p 128 -n 32 -r 3 --output peers.json models/*.gguf

All programs hold the same number of tokens; then each in turn reads a prompt (ppN) or generates tokens one by one (tgN),
goes back to the depth, and the next round begins. nearfield is `nearfield bench --turns`, filled by a true prefill.
llama.cpp runs in this process, in each of its settings (flash attention, cache type), the better of which counts. Its
cache is filled in chunks of 512 tokens, each in a sequence of its own and then handed over, which takes linear time:
what a step costs depends on the number and order of the cells, and not on what is in them (--true-fill does without).

Prints medians, and nearfield's over llama.cpp's better; all repetitions, the share of a core that other processes took,
and the peak resident memory of fresh processes are in the JSON file.
"""
import argparse
import ctypes
import datetime
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time

import numpy as np

CHUNK = 512
MIB = 1 << 20


# --- the machine ---------------------------------------------------------------------------------------------------

def busy_seconds() -> float:
    """CPU time of all processes since the machine began."""
    with open("/proc/stat") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def machine() -> dict:
    with open("/proc/cpuinfo") as cpuinfo:
        entries = dict(re.findall(r"^(\w[\w ]*?)\s*: (.*)$", cpuinfo.read(), re.MULTILINE))
    interesting = re.compile(r"^(ssse3|avx|fma|f16c|amx|asimd|i8mm|sve)")
    flags = entries.get("flags", entries.get("Features", "")).split()
    return {
        "cpu": entries.get("model name", platform.processor()),
        "cpu_flags": [flag for flag in flags if interesting.match(flag)],
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


# --- the programs: each has a name, fill(depth), and time(test, n, threads) in seconds ---------------------------------

class Nearfield:
    def __init__(self, args, model: str, kv: str):
        self.name = f"nearfield {kv}"
        lists = {"-p": [args.prompt], "-n": [args.generate], "-d": args.depths, "--threads": args.threads}
        flags = [word for flag, values in lists.items() for word in (flag, ",".join(map(str, values)))]
        command = [args.nearfield, "bench", model, *flags, "--kv", kv, "-r", str(args.repetitions), "-o", "json", "--turns"]
        self.process = subprocess.Popen([*command, *args.nearfield_args], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def turn(self) -> str:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"peers.py: {self.name} ended")
        return line

    def fill(self, depth: int):
        assert self.turn() == f"filled {depth}\n"

    def time(self, test: str, n: int, threads: int) -> float:
        """The order of the calls is that of `bench`: repetitions, threads, tests."""
        line = self.turn()
        label, seconds = re.fullmatch(r"(.*) in ([0-9.]+) s\n", line).groups()
        assert label == f"{test}{n} with {threads}", line
        return float(seconds)

    def close(self) -> list[dict]:
        """The rows that `bench` prints, which say more than the times."""
        rows = json.loads(self.process.stdout.read())
        assert self.process.wait() == 0
        return rows


class LlamaModel:
    def __init__(self, path: str):
        self.llama = llama_library()
        self.path = path
        self.handle = self.llama.llama_model_load_from_file(path.encode(), self.llama.llama_model_default_params())
        if not self.handle:
            sys.exit(f"peers.py: llama.cpp cannot load {path}")
        self.n_vocab = self.llama.llama_vocab_n_tokens(self.llama.llama_model_get_vocab(self.handle))

    def close(self):
        self.llama.llama_model_free(self.handle)


class Unsupported(Exception):
    """Error for a setting that llama.cpp does not have for a model; llama.cpp prints the reason."""


class LlamaCpp:
    """A context of llama.cpp in one setting, such as `fa f16`: flash attention (or `no-fa`) and the type of the cache."""

    def __init__(self, model: LlamaModel, setting: str, n_ctx: int, threads: int, true_fill: bool):
        self.name = f"llama.cpp {setting}"
        self.llama, self.model, self.true_fill = model.llama, model, true_fill
        flash, kv = setting.split()
        params = self.llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, CHUNK, CHUNK
        params.n_seq_max, params.kv_unified = 2, True
        params.n_threads = params.n_threads_batch = self.most_threads = threads
        params.flash_attn_type = {"fa": self.llama.LLAMA_FLASH_ATTN_TYPE_ENABLED,
                                  "no-fa": self.llama.LLAMA_FLASH_ATTN_TYPE_DISABLED}[flash]
        params.type_k = params.type_v = {"f16": self.llama.GGML_TYPE_F16, "q8_0": self.llama.GGML_TYPE_Q8_0}[kv]
        self.context = self.llama.llama_init_from_model(model.handle, params)
        if not self.context:
            raise Unsupported(self.name)
        self.memory = self.llama.llama_get_memory(self.context)
        self.batch = self.llama.llama_batch_init(CHUNK, 0, 1)
        self.tokens = np.random.default_rng(1).integers(0, model.n_vocab, n_ctx).tolist()
        self.depth = 0
        self.decode(0, 1)  # warms up
        self.llama.llama_memory_clear(self.memory, True)

    def decode(self, pos: int, n: int, sequence: int = 0):
        """Runs the tokens of positions pos..pos + n together; logits after the last."""
        batch = self.batch
        batch.n_tokens = n
        for i in range(n):
            batch.token[i], batch.pos[i] = self.tokens[pos + i], pos + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
            batch.logits[i] = i == n - 1
        if self.llama.llama_decode(self.context, batch):
            sys.exit(f"peers.py: {self.name} cannot decode {n} tokens at {pos}")
        self.llama.llama_synchronize(self.context)

    def fill(self, depth: int):
        self.llama.llama_set_n_threads(self.context, self.most_threads, self.most_threads)
        while self.depth < depth:
            n = min(CHUNK, depth - self.depth)
            self.decode(self.depth, n, 0 if self.true_fill else 1)
            if not self.true_fill:
                self.llama.llama_memory_seq_cp(self.memory, 1, 0, -1, -1)
                self.llama.llama_memory_seq_rm(self.memory, 1, -1, -1)
            self.depth += n

    def time(self, test: str, n: int, threads: int) -> float:
        self.llama.llama_set_n_threads(self.context, threads, threads)
        step = CHUNK if test == "pp" else 1
        begin = time.perf_counter()
        for i in range(0, n, step):
            self.decode(self.depth + i, min(step, n - i))
        seconds = time.perf_counter() - begin
        self.llama.llama_memory_seq_rm(self.memory, 0, self.depth, -1)
        return seconds

    def close(self):
        self.llama.llama_batch_free(self.batch)
        self.llama.llama_free(self.context)


def llama_library():
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


# --- speed -----------------------------------------------------------------------------------------------------------

def measure(args, path: str) -> tuple[list[dict], list[dict]]:
    """Samples of every program at every depth, and the rows that nearfield printed: after Ctrl-C what there is of the former."""
    n_ctx = max(args.depths) + max(args.prompt, args.generate)
    model = LlamaModel(path)
    ours = [Nearfield(args, path, kv) for kv in args.kv]
    theirs = []
    for setting in args.settings:
        try:
            theirs.append(LlamaCpp(model, setting, n_ctx + CHUNK, max(args.threads), args.true_fill))
        except Unsupported as without:
            print(f"peers.py: {os.path.basename(path)}: without {without}", file=sys.stderr)
    tests = [(test, n) for test, n in (("pp", args.prompt), ("tg", args.generate)) if n]
    samples = []
    try:
        for depth in args.depths:
            for program in ours + theirs:
                tell(f"{os.path.basename(path)}: {program.name} fills up to {depth}")
                program.fill(depth)
            for repetition in range(args.repetitions):
                for threads in args.threads:
                    for test, n in tests:
                        tell(f"{os.path.basename(path)}: depth {depth}, round {repetition + 1}, {test}{n}, {threads} thread(s)")
                        for program in ours + theirs:
                            sample = timed(program, test, n, threads)
                            samples.append({"program": program.name, "depth": depth, "threads": threads,
                                            "test": f"{test}{n}", **sample})
    except KeyboardInterrupt:
        if not samples:
            raise
        for program in ours:
            program.process.kill()
        return samples, []
    rows = [row for program in ours for row in program.close()]
    for program in [*theirs, model]:
        program.close()
    return samples, rows


def timed(program, test: str, n: int, threads: int) -> dict:
    time.sleep(0.02)  # the threads of the one before go to sleep
    begin, others = time.perf_counter(), busy_seconds() - own_seconds(program)
    seconds = program.time(test, n, threads)
    others = busy_seconds() - own_seconds(program) - others
    elapsed = time.perf_counter() - begin
    # Ticks are whole numbers, so a few of them, or a short time, say nothing.
    share = max(0.0, others - 0.04) / elapsed if elapsed >= 0.2 else None
    return {"tokens_per_second": n / seconds, "others_core_share": share}


def own_seconds(program) -> float:
    """CPU time of this process and of the program, where it is another one."""
    own = time.process_time()
    if isinstance(program, Nearfield):
        with open(f"/proc/{program.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        own += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own


def tell(what: str):
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def summarize(samples: list[dict]) -> list[dict]:
    """A row for each program, depth, number of threads and test."""
    rows = {}
    for sample in samples:
        key = tuple(sample[name] for name in ("program", "depth", "threads", "test"))
        rows.setdefault(key, []).append(sample)
    return [{**dict(zip(("program", "depth", "threads", "test"), key)), **spread(group)} for key, group in rows.items()]


def spread(samples: list[dict]) -> dict:
    rates = [sample["tokens_per_second"] for sample in samples]
    others = [sample["others_core_share"] for sample in samples]
    return {
        "tokens_per_second": statistics.median(rates),
        "tokens_per_second_min": min(rates),
        "tokens_per_second_max": max(rates),
        "others_core_share_max": max((share for share in others if share is not None), default=None),
        "disturbed_repetitions": sum(share is not None and share > 0.06 for share in others),
        "samples_tokens_per_second": rates,
        "samples_others_core_share": others,
    }


def best(rows: list[dict], program: str) -> dict | None:
    rows = [row for row in rows if row["program"].startswith(program)]
    return max(rows, key=lambda row: row["tokens_per_second"], default=None)


def print_ratios(model: str, rows: list[dict]):
    """One line for each kind of ours, threads and test; one column for each depth."""
    depths = sorted({row["depth"] for row in rows})
    ours = list(dict.fromkeys(row["program"] for row in rows if row["program"].startswith("nearfield")))
    print(f"\n{model}: nearfield over llama.cpp's better setting (tokens/s of both; * others took more than 6 % of a core)\n")
    print("| | " + " | ".join(f"depth {depth}" for depth in depths) + " |\n|---" + "|---" * len(depths) + "|")
    for program in ours:
        for test, threads in dict.fromkeys((row["test"], row["threads"]) for row in rows):
            cells = []
            for depth in depths:
                here = [row for row in rows if (row["depth"], row["test"], row["threads"]) == (depth, test, threads)]
                mine, other = best(here, program), best(here, "llama.cpp")
                if not (mine and other):
                    cells.append("")
                    continue
                mark = "*" if mine["disturbed_repetitions"] or other["disturbed_repetitions"] else ""
                rates = [row["tokens_per_second"] for row in (mine, other)]
                setting = other["program"].removeprefix("llama.cpp ")
                cells.append(f"**{rates[0] / rates[1]:.2f}x**{mark} ({rates[0]:.4g} / {rates[1]:.4g}, {setting})")
            print(f"| {test}, {threads} thread(s), {program.split()[1]} | " + " | ".join(cells) + " |")


def print_programs(rows: list[dict]):
    print("\n| program | threads | test | depth | tokens/s | min..max |\n|---|---:|---|---:|---:|---:|")
    for row in sorted(rows, key=lambda row: (row["test"], row["threads"], row["depth"], row["program"])):
        low, high = row["tokens_per_second_min"], row["tokens_per_second_max"]
        rate = f"{row['tokens_per_second']:.4g}{'*' if row['disturbed_repetitions'] else ''}"
        print(f"| {row['program']} | {row['threads']} | {row['test']} | {row['depth']} | {rate} | {low:.4g}..{high:.4g} |")


# --- memory: a fresh process each --------------------------------------------------------------------------------------

def peak_memory(command: list[str]) -> int:
    """Peak resident bytes of a command: the system's own high-water mark, read until the end. (What `wait` tells would begin
    with the size of this process, which the new one is a copy of at first.)"""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status") as status:
            mark = re.search(r"^VmHWM:\s+(\d+) kB", status.read(), re.MULTILINE)
        peak = max(peak, int(mark[1]) * 1024 if mark else 0)
        time.sleep(0.002)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=process.stderr.read())
    return peak


def memory(args, path: str) -> list[dict]:
    """With every position of the context in use. llama.cpp's process is Python's: what that takes alone is subtracted."""
    n = args.memory
    rows = []
    for kv in args.kv:
        # Memory of the arena that was never written takes no room, so the context is filled, which takes minutes: a word is a token.
        text = " a" * (n - 64)
        command = [args.nearfield, "run", "-m", path, "-p", text, "-n", "1", "--temp", "0", "--ctx", str(n), "--kv", kv]
        rows.append({"program": f"nearfield {kv}", "bytes": peak_memory([*command, *args.nearfield_args])})
    worker = [sys.executable, os.path.abspath(__file__), "--nearfield", "none", "--llama-memory"]
    python = peak_memory([*worker, "none", "--memory", "0", path])
    for setting in args.settings:
        try:
            bytes_ = peak_memory([*worker, setting, "--memory", str(n), path]) - python
        except subprocess.CalledProcessError as error:
            if Unsupported.__name__ not in error.stderr:
                raise
            continue
        rows.append({"program": f"llama.cpp {setting}", "bytes": bytes_, "python_bytes": python})
    return rows


def llama_memory(args):
    """Body of the fresh process."""
    if args.llama_memory == "none":
        llama_library()
        return
    model = LlamaModel(args.models[0])
    context = LlamaCpp(model, args.llama_memory, args.memory, os.cpu_count(), False)
    context.fill(args.memory - 64)
    context.time("tg", 8, os.cpu_count())


def print_memory(model: str, n_ctx: int, rows: list[dict]):
    print(f"\n{model}: peak resident memory with a context of {n_ctx} tokens\n\n| program | MiB |\n|---|---:|")
    for row in rows:
        print(f"| {row['program']} | {row['bytes'] / MIB:.0f} |")


# --- the command line ----------------------------------------------------------------------------------------------------

def arguments() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return sorted({int(word) for word in text.split(",")})

    def settings(text: str) -> list[str]:
        known = ["fa f16", "no-fa f16", "fa q8_0"]  # it has no quantized values without flash attention
        if not set(text.split(",")) <= set(known):
            raise argparse.ArgumentTypeError(f"some of {', '.join(known)}")
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nearfield", required=True, help="the binary")
    parser.add_argument("--nearfield-args", type=shlex.split, default=[], help="more arguments for it, such as '--isa avx2'")
    parser.add_argument("--depths", type=numbers, default=[0, 2048, 8192, 16384])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("-p", "--prompt", type=int, default=512, help="tokens; 0 for none")
    parser.add_argument("-n", "--generate", type=int, default=64, help="tokens; 0 for none")
    parser.add_argument("-r", "--repetitions", type=int, default=5)
    parser.add_argument("--kv", type=lambda text: text.split(","), default=["f16"], help="nearfield's cache, as a list")
    parser.add_argument("--settings", type=settings, default=["fa f16", "no-fa f16", "fa q8_0"], help="llama.cpp's, as a list")
    parser.add_argument("--true-fill", action="store_true", help="fill llama.cpp's cache by a true prefill")
    parser.add_argument("--memory", type=int, default=0, help="context to state the peak memory for; 0 for none")
    parser.add_argument("--output", help="a JSON file with everything")
    parser.add_argument("--llama-memory", help=argparse.SUPPRESS)
    parser.add_argument("models", nargs="+")
    return parser.parse_args()


def versions(args) -> dict:
    import llama_cpp
    told = subprocess.run([args.nearfield, "run", "--isa", "?"], capture_output=True, text=True).stderr
    version = subprocess.run([args.nearfield, "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "nearfield": version.strip(),
        "nearfield_isas": told.rpartition(" it has ")[2].strip().split(", "),
        "llama_cpp_python": llama_cpp.__version__,
        "llama_cpp": llama_cpp.llama_print_system_info().decode().strip(),
        "python": platform.python_version(),
    }


def main():
    args = arguments()
    if args.llama_memory:
        return llama_memory(args)
    report = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "machine": machine(),
        "versions": versions(args),
        "models": [],
    }
    print(f"{report['machine']['cpu']}, {report['machine']['cores']} cores; nearfield has "
          f"{', '.join(report['versions']['nearfield_isas'])}; llama.cpp of llama-cpp-python "
          f"{report['versions']['llama_cpp_python']}: {report['versions']['llama_cpp']}")
    for path in args.models:
        name = os.path.basename(path)
        entry = {"model": name}
        if args.memory:
            entry["memory_context_tokens"], entry["memory"] = args.memory, memory(args, path)
            print_memory(name, args.memory, entry["memory"])
        samples, entry["nearfield_rows"] = measure(args, path)
        entry["rows"] = summarize(samples)
        tell("")
        print_ratios(name, entry["rows"])
        print_programs(entry["rows"])
        report["models"].append(entry)
        if args.output:  # also of a run that is ended early
            with open(args.output, "w") as out:
                json.dump(report, out, indent=1)


if __name__ == "__main__":
    main()
