"""Commands of a page.

- A block ```sh: a command on each line (a backslash goes on with it).
- A block ```console: `$ ` before a command, then what it prints; a line `...` stands for any lines.
- `<!-- output -->` behind a block ```sh, up to `<!-- end of output -->`: Markdown, of which the block's commands print each line.
- In a sentence, `code` that begins with the name of a program and goes on; in other blocks, lines that do.
"""
import re
from dataclasses import dataclass

# First words that make a line or `code` in a sentence a command.
PROGRAM = r"(?:[A-Z_]+=\S+ )*(?:nearfield|cargo|cd|rustup|python3?|pip|perf|valgrind|dd|llvm-[a-z]+|picocom|(?:\.\./)*(?:docs|tests|boards|measure|models|train)/[\w./-]+|[\w./-]+\.py)"
IN_SENTENCE = re.compile(rf"`({PROGRAM} [^`]+)`")
INDENTED = re.compile(rf"(?: {{4}}|\t){PROGRAM} ")
MENTIONED = re.compile(rf"{PROGRAM} ")
FENCE = re.compile(r"```(\S*)")
OUTPUT, END_OF_OUTPUT = "<!-- output -->", "<!-- end of output -->"


@dataclass
class Command:
    page: str
    line: int
    text: str
    # Output that the page shows: all lines, or for Markdown a part.
    shown: list[str] | None = None
    is_part: bool = False
    in_sentence: bool = False
    # Line where its block begins.
    block: int = 0

    @property
    def place(self):
        return f"{self.page}:{self.line}"


class PageError(Exception):
    pass


def is_assignment(command):
    """`alias` and `export` hold for the rest of the page."""
    return re.match(r"(alias|export) ", command.text) is not None


class Reader:
    """Reads a page line by line."""

    def __init__(self, page, text):
        self.page, self.lines, self.at = page, text.splitlines(), 0
        self.commands, self.sentences, self.begin = [], [], 0

    def error(self, what, line=None):
        raise PageError(f"{self.page}:{line or self.at}: {what}")

    def next(self):
        """The next line; `at` is its number."""
        self.at += 1
        return self.lines[self.at - 1]

    def more(self):
        return self.at < len(self.lines)

    def until(self, end):
        """Lines up to `end`, which is skipped."""
        first, found = self.at, []
        while self.more():
            line = self.next()
            if line.strip() == end:
                return found
            found.append(line)
        self.error(f"no {end} follows", first)

    def read(self):
        while self.more():
            line = self.next()
            if fence := FENCE.fullmatch(line.strip()):
                self.begin, lines = self.at, self.until("```")
                self.block(fence.group(1), self.begin, lines)
            elif line.strip() == OUTPUT:
                self.output(self.at, self.until(END_OF_OUTPUT))
            elif INDENTED.match(line):
                self.error("a command stands in an indented block: write ```sh or ```console")
            else:
                self.sentences.append((self.at, line))
        self.find_in_sentences()
        return self.commands

    def add(self, *args, **more):
        self.commands.append(Command(self.page, *args, block=self.begin, **more))

    def output(self, first, lines):
        last = self.commands[-1] if self.commands else None
        if last is None or last.shown is not None and not last.is_part:
            self.error("no block ```sh stands before this output", first)
        last.is_part, last.shown = True, (last.shown or []) + lines

    def block(self, kind, first, lines):
        if kind == "sh":
            self.script(first, lines)
        elif kind == "console":
            self.console(first, lines)
        elif any(line.startswith("$ ") for line in lines):
            self.error("a block with commands and what they print is written ```console", first)
        else:
            self.mentions(first, lines)

    def mentions(self, first, lines):
        for number, line in enumerate(lines, first + 1):
            if MENTIONED.match(line):
                self.add(number, line, in_sentence=True)

    def script(self, first, lines):
        parts = []
        for number, line in enumerate(lines, first + 1):
            parts.append(line.strip())
            if line.endswith("\\"):
                parts[-1] = parts[-1][:-1].strip()
            elif any(parts) and not parts[0].startswith("#"):
                self.add(number - len(parts) + 1, without_comment(" ".join(parts)))
                parts = []
            else:
                parts = []

    def console(self, first, lines):
        if not lines or not lines[0].startswith("$ "):
            self.error("a block ```console begins with `$ `", first)
        for number, line in enumerate(lines, first + 1):
            if line.startswith("$ "):
                self.add(number, without_comment(line[2:]), shown=[])
            else:
                self.commands[-1].shown.append(line)

    def find_in_sentences(self):
        """`code` may go on in the next line, but not in the next paragraph."""
        text = "".join(line + "\n" for _, line in self.sentences)
        for found in IN_SENTENCE.finditer(text):
            if "\n\n" not in found.group():
                number, _ = self.sentences[text.count("\n", 0, found.start())]
                self.add(number, " ".join(found.group(1).split()), in_sentence=True)


def without_comment(line):
    return re.sub(r"\s{2,}# .*", "", line)


def commands(page, text):
    return Reader(page, text).read()
