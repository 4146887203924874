"""Programs that take turns at the same tests, so that a disturbance of the machine meets all of them.

A program has a `name`, such as `llama.cpp fa f16`: the first word is the program, the rest its setting. Besides, it has `pid` (of its process, None for this
one), `takes(cell)`, `fill(depth)`, `time(cell)` in seconds, and `close()`.
"""
import dataclasses
import statistics
import sys
import time

from machine import LIMIT, Watch

# A setting of a peer that reaches less than this share of its best in the first round goes no further in the cell.
NEAR_BEST = 0.9


@dataclasses.dataclass(frozen=True)
class Cell:
    """Test in one row of a table."""
    test: str  # pp: a prompt; tg: tokens one by one; embed: texts
    n: int  # tokens of each sequence or text
    threads: int
    depth: int = 0  # tokens before
    count: int = 1  # sequences, or texts

    @property
    def label(self) -> str:
        """The test as `nearfield bench --turns` writes it."""
        return f"embed{self.count}x{self.n}" if self.test == "embed" else f"{self.test}{self.n}"

    @property
    def n_tokens(self) -> int:
        return self.n * self.count


def tell(what: str):
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def take_turns(name: str, programs: list, cells: list[Cell], repetitions: int) -> tuple[list[dict], bool]:
    """A row for each program and cell, and true if Ctrl-C ended it early, with the rows of what was measured. Cells of a depth are in the order of
    `nearfield bench`: threads, tests."""
    samples, dropped, ended_early = {}, set(), False
    try:
        for depth in sorted({cell.depth for cell in cells}):
            begin = time.monotonic()
            for program in programs:
                tell(f"{name}: {program.name} fills up to {depth}")
                program.fill(depth)
            for repetition in range(repetitions):
                for cell in (cell for cell in cells if cell.depth == depth):
                    for program in programs:
                        if program.takes(cell) and (program.name, cell) not in dropped:
                            tell(f"{name}: round {repetition + 1}, {cell.label} at {depth}, {cell.threads} thread(s), {program.name}")
                            samples.setdefault((program.name, cell), []).append(timed(program, cell))
                    dropped |= far_from_best(cell, samples)
                if repetition == 0 and repetitions > 1:
                    left = (time.monotonic() - begin) * (repetitions - 1)
                    tell("")
                    print(f"{name}: depth {depth}, the other rounds take some {left:.0f} s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        if not samples:
            raise
        ended_early = True
    tell("")
    return [row(program, cell, of_row) for (program, cell), of_row in samples.items()], ended_early


def far_from_best(cell: Cell, samples: dict) -> set:
    """Settings of peers that are not worth another round."""
    rates = {program: median_rate(of_row) for (program, of), of_row in samples.items() if of == cell and not program.startswith("nearfield")}
    best = {}
    for program, rate in rates.items():
        best[program.split()[0]] = max(rate, best.get(program.split()[0], 0.0))
    return {(program, cell) for program, rate in rates.items() if rate < NEAR_BEST * best[program.split()[0]]}


def timed(program, cell: Cell) -> dict:
    time.sleep(0.03)  # the threads of the one before go to sleep
    watch = Watch(program.pid)
    seconds = program.time(cell)
    return {"tokens_per_second": cell.n_tokens / seconds, "others_core_share": watch.share()}


def median_rate(samples: list[dict]) -> float:
    return statistics.median(sample["tokens_per_second"] for sample in samples)


def row(program: str, cell: Cell, samples: list[dict]) -> dict:
    rates = [sample["tokens_per_second"] for sample in samples]
    others = [sample["others_core_share"] for sample in samples]
    return {
        "program": program,
        **dataclasses.asdict(cell),
        "tokens_per_second": statistics.median(rates),
        "tokens_per_second_min": min(rates),
        "tokens_per_second_max": max(rates),
        "disturbed_repetitions": sum(share is not None and share > LIMIT for share in others),
        "samples_tokens_per_second": rates,
        "samples_others_core_share": others,
    }
