"""Peak resident memory of fresh processes, with every position of the context in use."""
import os
import re
import subprocess
import sys
import time

import llama
from turns import Cell

HERE = os.path.dirname(os.path.abspath(__file__))


def peak(command: list[str]) -> int:
    """Peak resident bytes of a command: the system's own high-water mark, read until the end. (The figure of `wait` would begin
    with the size of this process, which the new one is a copy of at first.)"""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    bytes_ = 0
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status") as status:
            mark = re.search(r"^VmHWM:\s+(\d+) kB", status.read(), re.MULTILINE)
        bytes_ = max(bytes_, int(mark[1]) * 1024 if mark else 0)
        time.sleep(0.002)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=process.stderr.read())
    return bytes_


def measure(nearfield: list[str], path: str, n_ctx: int, kv_types: list[str], settings: list[str]) -> list[dict]:
    """llama.cpp's process is Python's: what that takes alone is subtracted."""
    rows = []
    for kv in kv_types:
        # Memory of the arena that was never written takes no room, so the context is filled, which takes minutes: a word is a token.
        text = " a" * (n_ctx - 64)
        command = [nearfield[0], "run", "-m", path, "-p", text, "-n", "1", "--temp", "0", "--ctx", str(n_ctx), "--kv", kv]
        rows.append({"program": f"nearfield {kv}", "bytes": peak([*command, *nearfield[1:]])})
    worker = [sys.executable, os.path.abspath(__file__)]
    python = peak([*worker, "none"])
    for setting in settings:
        try:
            bytes_ = peak([*worker, setting, str(n_ctx), path]) - python
        except subprocess.CalledProcessError as error:
            if llama.Unsupported.__name__ not in error.stderr:
                raise
            continue
        rows.append({"program": f"llama.cpp {setting}", "bytes": bytes_, "python_bytes": python})
    return rows


def of_llama(setting: str, n_ctx: int = 0, path: str = ""):
    """Body of the fresh process."""
    if setting == "none":
        llama.library()
        return
    context = llama.Decoder(llama.Model(path), setting, n_ctx, os.cpu_count())
    context.fill(n_ctx - 64)
    context.time(Cell("tg", 8, os.cpu_count(), n_ctx - 64))


if __name__ == "__main__":
    of_llama(sys.argv[1], *[int(word) if word.isdigit() else word for word in sys.argv[2:]])
