"""Rules for commands: those that are not run, those that an option asks for, and the parts of their output that belong to the machine.

Each command is looked for in these lists from the top; the first expression that is found in it counts.
"""
import re

# Not run, whatever is asked for.
NEVER = [
    (r"^tests/(docs/)?run", "it runs this script"),
    (r"^cargo generate|^cd my-board|^cp \.\./nearfield|^cargo run --release$", "tests/boards/run template does it"),
    (r"^tests/fuzz/run", "it needs a nightly Rust"),
    (r"\bcd boards/(pico2|esp32c3|microbit-v2|nrf52840-(dk|usb)|nucleo-h743zi)\b|picocom", "it needs the board"),
    (r"^cargo install", "it installs the command"),
    (r"^cargo semver-checks", "it compares with a release"),
    (r"^hf | --?hf ", "it downloads a model"),
    (r"defmt-print", "it needs defmt-print, which cargo installs from its source"),
    (r"--llama|greedy\.py|peers/run|extrapolate\.py|perf record|valgrind", "it measures beside other programs, which have to be installed"),
    (r"^cd train|train\.py|shrink\.py|grow\.py|export\.py|evaluate\.py|-m venv", "it trains a model, for hours, or needs PyTorch"),
    (r"compare_\w+\.py|make\.py", "it needs PyTorch and transformers"),
    (r"first_layers\.py", "it needs numpy"),
]

# Run when all of these options are given.
ASKED = [
    (r"^measure/(alibi-scale|horizon|kv-memory|kv-types) ", ["corpus", "slow"]),
    (r"^measure/plot-keys|endless_run\.py", ["slow"]),
    (r"tinystories|valid\.txt", ["corpus"]),
    (r"cargo test|nearfield bench|cargo run .* bench", ["slow"]),
    (r"boards/(run|sizes|dist|image|rp2040)|cd boards/|measure/flash-reads/run", ["boards"]),
]

OPTIONS = {
    "corpus": "--corpus DIR, with TinyStories in it (models/README.md), and numpy for measure/kv-types",
    "slow": "--slow, which takes minutes",
    "boards": "--boards, which takes QEMU, Bochs and minutes",
}

# Commands that run until Ctrl-C, and the seconds after which they get it.
ENDLESS = (r"-n -1\b", 3)

# Columns of tables that depend on the machine: not compared.
OF_THE_MACHINE = ["MiB", "us/token", "of a new text"]

# Lines in which cargo says what it builds: not compared.
NOT_COMPARED = r" +(Compiling|Finished|Running|Downloading|Downloaded|Locking|Updating|Blocking) "


def never(command):
    return next((why for expression, why in NEVER if re.search(expression, command)), None)


def asked(command):
    return next((options for expression, options in ASKED if re.search(expression, command)), [])


def is_endless(command):
    return re.search(ENDLESS[0], command) is not None
