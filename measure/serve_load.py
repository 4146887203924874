#!/usr/bin/env python3
"""Loads `nearfield serve` with clients of all kinds, and compares each text with that of `nearfield run`: measure/serve_load.py NEARFIELD [MODEL.gguf]

At the same time: clients that ask, whole or streamed, and try again after a 503; clients that are processes of their own and get kill -9 in the
middle of a stream; bodies that are no JSON, by the ten thousand; bodies that are too long; and connections that send a byte a second. Ends with
failure if a text differs by a byte, an answer has another status than it has to, or a slot is still taken when all is over.
"""
import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter

PROMPTS = [
    "Once upon a time",
    "The dog",
    "One day, a girl named Lily found a red ball in the park. She",
    "Tom and Sue went to the zoo. They saw a big lion. " * 3 + "Tom said",
    "There was a boy who liked to jump. " * 12 + "Then",
    "A cat sat. " * 40 + "It",
]
# A client that streams a text to nowhere, to be killed.
KILLED = """
import socket, sys
host, port, body = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.create_connection((host, port))
s.sendall(f"POST /v1/completions HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}".encode())
while s.recv(4096):
    pass
"""
found = Counter()
latencies = []
failures = []


def fail(what):
    found["failures"] += 1
    if len(failures) < 10:
        failures.append(what)


class Case:
    """Body of a request, and the text that it has to give."""

    def __init__(self, args, number):
        self.prompt, n = PROMPTS[number % len(PROMPTS)], [16, 40, 64][number % 3]
        self.body = {"prompt": self.prompt, "seed": number, "max_tokens": n}
        flags = ["--seed", str(number), "-n", str(n)]
        if number % 4 == 1:
            self.body["temperature"] = 0
            flags += ["--temp", "0"]
        if number % 4 == 2:
            self.body |= {"temperature": 1.3, "top_k": 0, "stop": ["."]}
            flags += ["--temp", "1.3", "--top-k", "0", "--stop", "."]
        model = ["-m", args.model] if args.model else []
        text = subprocess.run([args.nearfield, "run", *model, "-p", self.prompt, *flags], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.text = text.stdout.decode().removeprefix(self.prompt).removesuffix("\n")


async def connect(address):
    return await asyncio.open_connection(*address)


async def ask(reader, writer, body, path="/v1/completions"):
    """Status, headers and body of an answer on an open connection."""
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status = int(head.split(" ", 2)[1])
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if headers.get("transfer-encoding") == "chunked":
        text = b""
        while size := int(await reader.readline(), 16):
            text += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        text = await reader.readexactly(int(headers.get("content-length", 0)))
    return status, headers, text


def text_of(body, is_streamed):
    if not is_streamed:
        return json.loads(body)["choices"][0]["text"]
    events = [event.removeprefix("data: ") for event in body.decode().split("\n\n") if event.startswith("data: {")]
    return "".join(json.loads(event)["choices"][0]["text"] for event in events)


async def client(address, cases, end, source):
    """Asks one thing after the other on a connection that is kept."""
    reader, writer = await connect(address)
    while time.monotonic() < end:
        case, is_streamed = source.choice(cases), source.random() < 0.5
        body = json.dumps(case.body | {"stream": is_streamed}).encode()
        began = time.monotonic()
        while True:
            status, headers, text = await ask(reader, writer, body)
            if status != 503:
                break
            found["answers 503, asked again"] += 1
            if "retry-after" not in headers:
                fail("503 without Retry-After")
            await asyncio.sleep(source.random())
        if status != 200:
            fail(f"status {status}: {text[:200]}")
            continue
        latencies.append(time.monotonic() - began)
        found["texts"] += 1
        if (got := text_of(text, is_streamed)) != case.text:
            fail(f"{case.body}: found {got!r}, want {case.text!r}")
    writer.close()


async def killer(address, end, source):
    """Starts clients and kills them."""
    while time.monotonic() < end:
        body = json.dumps({"prompt": source.choice(PROMPTS), "max_tokens": -1, "stream": True})
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, address[0], str(address[1]), body)
        await asyncio.sleep(source.uniform(0.05, 2))
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
            found["clients killed"] += 1
        await process.wait()


async def broken(address, n, source):
    """Sends bodies that are no JSON: right ones that are cut, or with a byte changed."""
    right = json.dumps({"prompt": "Once upon a time", "max_tokens": 1, "stop": ["a", "b"], "temperature": 0.5}).encode()
    reader, writer = await connect(address)
    for _ in range(n):
        body = bytearray(right[: source.randrange(len(right))])
        if body and source.random() < 0.5:
            body[source.randrange(len(body))] = source.randrange(256)
        status, _, text = await ask(reader, writer, bytes(body))
        found["broken bodies"] += 1
        if status != 400 or "error" not in json.loads(text):
            fail(f"{bytes(body)!r}: {status}")
    writer.close()


async def huge(address, end):
    """Sends bodies that are too long."""
    while time.monotonic() < end:
        reader, writer = await connect(address)
        try:
            writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n" + b"x" * 65536)
            status = int((await reader.readuntil(b"\r\n")).split(b" ")[1])
            found["huge bodies"] += 1
            if status != 413:
                fail(f"huge body: {status}")
        except (ConnectionError, asyncio.IncompleteReadError):
            found["huge bodies"] += 1
        writer.close()
        await asyncio.sleep(0.2)


async def slow(address, end):
    """Sends a byte a second, until the server breaks off."""
    while time.monotonic() < end:
        reader, writer = await connect(address)
        try:
            for byte in b"POST /v1/completions HTTP/1.1\r\nHost: " + b"x" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                if time.monotonic() > end:
                    break
                try:
                    if await asyncio.wait_for(reader.read(100), 1) == b"":
                        found["slow connections that were cut"] += 1
                        break
                except asyncio.TimeoutError:
                    pass
        except ConnectionError:
            found["slow connections that were cut"] += 1
        writer.close()


def count(page, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(f"nearfield_{name}"))


async def metrics(address):
    reader, writer = await connect(address)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    page = (await reader.read(-1)).decode()
    writer.close()
    return page


async def load(args, address, cases):
    end, source = time.monotonic() + args.seconds, random.Random(1)
    # Some connections before any text.
    tasks = [slow(address, end) for _ in range(args.slow)] + [huge(address, end)]
    tasks += [client(address, cases, end, random.Random(i)) for i in range(args.clients)]
    tasks += [killer(address, end, random.Random(i)) for i in range(args.killed)]
    tasks += [broken(address, args.broken // 4, random.Random(i)) for i in range(4)]
    began = time.monotonic()
    await asyncio.gather(*tasks)
    seconds = time.monotonic() - began
    for _ in range(100):
        page = await metrics(address)
        if count(page, "running") == count(page, "waiting") == 0:
            break
        await asyncio.sleep(0.1)
    else:
        fail("a slot is still taken")
    reader, writer = await connect(address)
    for case in cases:
        status, _, text = await ask(reader, writer, json.dumps(case.body).encode())
        if status != 200 or text_of(text, False) != case.text:
            fail(f"after the load: {case.body}")
    writer.close()
    return seconds, page


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nearfield")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--killed", type=int, default=8, help="processes that are killed, at a time")
    parser.add_argument("--broken", type=int, default=10000, help="bodies that are no JSON")
    parser.add_argument("--slow", type=int, default=50, help="connections that send a byte a second")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--cases", type=int, default=24)
    args = parser.parse_args()
    cases = [Case(args, number) for number in range(args.cases)]
    models = [args.model] if args.model else []
    command = [args.nearfield, "serve", "--port", "0", "--slots", str(args.slots), "--queue", "64", *models]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        host, port = server.stdout.readline().strip().removeprefix("listening on http://").rsplit(":", 1)
        seconds, page = asyncio.run(load(args, (host, int(port)), cases))
        memory = re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{server.pid}/status").read()) if sys.platform == "linux" else None
    finally:
        server.terminate()
    if server.wait() != 0:
        fail("the server did not end in order")
    latencies.sort()
    at = lambda share: latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else 0
    rows = [
        ("texts, each compared with that of `run`", found["texts"]),
        ("texts or statuses that were wrong", found["failures"]),
        ("seconds a text, median / 95 % / 99 %", f"{at(0.5):.2f} / {at(0.95):.2f} / {at(0.99):.2f}"),
        ("tokens generated a second", f"{count(page, 'generated_tokens_total') / seconds:.0f}"),
        ("tokens in a pass", f"{count(page, 'pass_tokens_total') / max(1, count(page, 'passes_total')):.1f}"),
        ("tokens of prompts that a slot had read before", f"{100 * count(page, 'reused_tokens_total') / max(1, count(page, 'prompt_tokens_total')):.0f} %"),
        *((name, found[name]) for name in ("answers 503, asked again", "clients killed", "broken bodies", "huge bodies", "slow connections that were cut")),
    ]
    if memory:
        rows.append(("MiB of memory at most", int(memory[1]) // 1024))
    print("| | |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")
    sys.exit("\n".join(failures) if failures else 0)


main()
