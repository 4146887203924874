"""nearfield as `nearfield bench --turns`, which is filled by a true prefill."""
import json
import re
import subprocess
import sys

from turns import Cell


class Nearfield:
    """A process of `nearfield bench` for cells of one number of sequences (`count`), or of one number of texts of an encoder."""

    def __init__(self, command: list[str], model: str, cells: list[Cell], count: int, repetitions: int, kv: str):
        self.name = f"nearfield {kv}"
        self.cells = [cell for cell in cells if cell.count == count]
        of = lambda field, *tests: sorted({getattr(cell, field) for cell in self.cells if cell.test in tests}) or [0]
        lists = {"-p": of("n", "pp", "embed"), "-n": of("n", "tg"), "-d": of("depth", "pp", "tg"), "--threads": of("threads", "pp", "tg", "embed")}
        flags = [word for flag, values in lists.items() for word in (flag, ",".join(map(str, values)))]
        of_test = ["--texts" if self.cells[0].test == "embed" else "--sequences", str(count)]
        self.process = subprocess.Popen(
            [*command[:1], "bench", model, *flags, *of_test, "--kv", kv, "-r", str(repetitions), "-o", "json", "--no-peaks", "--turns", *command[1:]],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid

    def takes(self, cell: Cell) -> bool:
        return cell in self.cells

    def turn(self) -> str:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"peers: {self.name} ended")
        return line

    def fill(self, depth: int):
        if any(cell.depth == depth for cell in self.cells):
            line = self.turn()
            assert line == f"filled {depth}\n", line

    def time(self, cell: Cell) -> float:
        line = self.turn()
        label, seconds = re.fullmatch(r"(.*) in ([0-9.]+) s\n", line).groups()
        assert label == f"{cell.label} with {cell.threads}", line
        return float(seconds)

    def close(self) -> list[dict]:
        """The rows that `bench` prints, which say more than the times; none if it was ended early."""
        self.process.stdin.close()
        out = self.process.stdout.read()
        self.process.wait()
        return json.loads(out) if out.strip() else []


def all_counts(command: list[str], model: str, cells: list[Cell], repetitions: int, kv: str) -> list[Nearfield]:
    counts = sorted({cell.count for cell in cells})
    return [Nearfield(command, model, cells, count, repetitions, kv) for count in counts]


def version(command: list[str]) -> dict:
    told = subprocess.run([command[0], "run", "--isa", "?"], capture_output=True, text=True).stderr
    name = subprocess.run([command[0], "--version"], capture_output=True, text=True, check=True).stdout
    return {"nearfield": name.strip(), "nearfield_isas": told.rpartition(" it has ")[2].strip().split(", "), "nearfield_arguments": command[1:]}
