#!/usr/bin/env python3
"""Uses the page of a running `nearfield serve` in headless Chromium: tests/serve/page.py NEARFIELD ADDRESS CHROMIUM [SCREENSHOTS]

NEARFIELD is the command, which says what the texts have to be; ADDRESS is where the server listens, with the model `stories` first and the key
`key`. Pictures of the page go to the folder SCREENSHOTS, if one is given: those of docs/serve.md.
"""
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

NEARFIELD, ADDRESS, CHROMIUM, *FOLDER = sys.argv[1:]
URL = f"http://{ADDRESS}/"
PROMPT = "Once upon a time, there was a dog"
FAULTS = []
WIDE, PHONE = {"width": 1200, "height": 800}, {"width": 390, "height": 800}


def equal(found, want):
    if found != want:
        sys.exit(f"found {found!r}\nwant  {want!r}")


def run(prompt, *flags):
    """Prompt and text, as `nearfield run` prints them."""
    return subprocess.run([NEARFIELD, "run", "-p", prompt, *flags], check=True, capture_output=True, text=True).stdout.removesuffix("\n")


def ask(path, body):
    head = {"Content-Type": "application/json", "Authorization": "Bearer key"}
    with urllib.request.urlopen(urllib.request.Request(f"http://{ADDRESS}{path}", json.dumps(body).encode(), head)) as answer:
        return json.load(answer)


def picture(page, name):
    if FOLDER:
        page.screenshot(path=Path(FOLDER[0]) / f"{name}.png")


def wait(page):
    """Waits for the end of the text that is written."""
    page.wait_for_selector("#stop:disabled", timeout=120_000)


def settings(page, **values):
    page.evaluate("document.getElementById('settings').open = true")
    for name, value in values.items():
        page.fill(f"#settings-form [name={name}]", str(value))
    page.evaluate("document.getElementById('settings').open = false")


def open_page(browser, viewport=WIDE, **options):
    """The page, with a key. Whatever it says to the console, and each request to anywhere else, is a failure."""
    page = browser.new_page(viewport=viewport, **options)
    page.on("pageerror", lambda error: FAULTS.append(f"error in the page: {error}"))
    page.on("request", lambda request: request.url.startswith((URL, "data:", "blob:")) or FAULTS.append(f"a request to {request.url}"))
    # Chromium tells answers that are errors, which the page shows.
    page.on("console", lambda message: message.text.startswith("Failed to load resource") or FAULTS.append(f"console: {message.text}"))
    page.goto(URL)
    page.wait_for_selector("#error:not([hidden])")
    assert "a key is needed" in page.inner_text("#error"), page.inner_text("#error")
    assert page.evaluate("document.activeElement.name") == "key", "the field of the key has the focus"
    page.keyboard.type("key")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.wait_for_selector("#write-go:enabled")
    return page


def writes(browser):
    """A text is that of `run`, is continued, and its tokens tell the keys that they visited."""
    page = open_page(browser)
    settings(page, seed=1, max_tokens=200)
    page.fill("#prompt", PROMPT)
    page.click("#write-go")
    wait(page)
    text = run(PROMPT, "--seed", "1", "-n", "200")
    equal(page.text_content("#text"), text)
    status = page.inner_text("#status")
    assert status.startswith("200 tokens, ") and "tokens/s" in status and "of 4,096 positions used; the length was reached." in status, status

    answer = ask("/v1/completions", {"prompt": PROMPT, "seed": 1, "max_tokens": 200, "visited_keys": True})
    want = answer["choices"][0]["visited_keys"][150]
    token = page.query_selector_all(".token.generated")[150]
    token.hover()
    visited = [n for heads in want["visited"] for n in heads]
    n_keys = want["pos"] + 1
    assert 0 < sum(visited) < len(visited) * n_keys, "some heads have a horizon"
    full = sum(n == n_keys for n in visited)
    percent = int(100 * sum(visited) / (len(visited) * n_keys) + 0.5)
    equal(page.inner_text("#keys-about"), f"For “{want['text'].strip()}” {len(visited)} heads looked at {sum(visited):,} of {len(visited) * n_keys:,} keys "
          f"({percent} %); {full} of them at the whole text of {n_keys:,} tokens.")
    marked = "[...document.querySelectorAll('#text .token')].filter((token) => token.style.background !== '').length"
    equal(page.evaluate(marked), n_keys)
    picture(page, "write")

    # A head of which the horizon is shorter marks its tokens alone.
    token.click()
    short = min(range(len(visited)), key=visited.__getitem__)
    page.focus("#keys")
    for _ in range(short + 1):
        page.keyboard.press("ArrowDown")
    n_head = len(want["visited"][0])
    equal(page.inner_text("#keys-head"), f"Layer {short // n_head + 1}, head {short % n_head + 1}: the newest {visited[short]:,} of {n_keys:,} tokens.")
    equal(page.evaluate(marked), visited[short])
    page.focus("#text")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#keys-about").startswith(f"For “{answer['choices'][0]['visited_keys'][151]['text'].strip()}”"), "arrow keys step"
    page.keyboard.press("Escape")

    page.click("#theme")
    page.click("#theme")
    equal(page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(22, 24, 27)")
    token.hover()
    picture(page, "write-dark")

    settings(page, max_tokens=20)
    page.click("#write-more")
    wait(page)
    equal(page.text_content("#text"), run(text, "--seed", "1", "-n", "20"))
    page.close()


def stops(browser):
    """Stop ends a text, and the server is free for the next one. What was written stays."""
    page = open_page(browser)
    # So hot that the model seldom ends a text.
    settings(page, max_tokens=3900, seed=4, temperature=9, top_k=0, top_p=1, min_p=0)
    page.fill("#prompt", "One day")
    page.click("#write-go")
    page.wait_for_selector(".token.generated:nth-of-type(20)", state="attached")
    page.click("#stop")
    wait(page)
    assert page.inner_text("#status").startswith("Stopped. "), page.inner_text("#status")
    text = page.text_content("#text")
    whole = run("One day", "--seed", "4", "-n", "3900", "--ctx", "4096", *"--temp 9 --top-k 0 --top-p 1 --min-p 0".split())
    assert whole.startswith(text) and len(text) < len(whole), text
    page.click("#write-edit")
    equal(page.input_value("#prompt"), text)
    page.close()


def shows_text_as_text(browser):
    """Text is never read as HTML; words in other writings, tags and long lines are shown as they are."""
    page = open_page(browser)
    prompt = "<img src=x onerror=alert(1)> <b>é 日本 🙂 & " + "x" * 300
    settings(page, max_tokens=5, seed=1)
    page.fill("#prompt", prompt)
    page.click("#write-go")
    wait(page)
    equal(page.query_selector("#text img, #text b"), None)
    equal(page.text_content("#text"), run(prompt, "--seed", "1", "-n", "5"))
    page.close()


def tells_errors(browser):
    """An error of the server is shown in its words, and the page goes on."""
    page = open_page(browser)
    settings(page, top_p=2)
    page.click("#write-go")
    page.wait_for_selector("#error:not([hidden])")
    assert "top-p" in page.inner_text("#error"), page.inner_text("#error")
    page.evaluate("document.getElementById('settings').open = true")
    page.click("#settings-reset")
    settings(page, max_tokens=3)
    page.click("#write-go")
    wait(page)
    assert page.is_hidden("#error") and page.inner_text("#status").startswith("3 tokens"), page.inner_text("#status")
    page.close()


def chats(browser):
    """Answers are those of the route, the second with the first before it; Enter sends, Shift+Enter begins a line."""
    page = open_page(browser)
    settings(page, seed=3, max_tokens=40)
    page.click("#tab-chat")
    messages = []
    for lines in (["Tell me of a cat", "and a dog"], ["What did the cat say?"]):
        page.focus("#message")
        for i, line in enumerate(lines):
            page.keyboard.press("Shift+Enter") if i else None
            page.keyboard.type(line)
        page.keyboard.press("Enter")
        wait(page)
        messages.append({"role": "user", "content": "\n".join(lines)})
        answer = ask("/v1/chat/completions", {"messages": messages, "seed": 3, "max_tokens": 40})["choices"][0]["message"]
        messages.append({"role": "assistant", "content": answer["content"]})
        shown = page.evaluate("[...document.querySelectorAll('.message > div')].map((message) => message.textContent)")
        equal(shown, [message["content"] for message in messages])
    picture(page, "chat")
    page.click("#chat-again")
    wait(page)
    equal(page.evaluate("document.querySelector('#messages').lastChild.lastChild.textContent"), messages[-1]["content"])
    page.click("#chat-new")
    equal(page.inner_text("#messages"), "")
    page.close()


def fits_a_phone(browser):
    """Nothing is wider than a phone; a touch chooses a token."""
    page = open_page(browser, PHONE, has_touch=True, device_scale_factor=2, color_scheme="dark")
    equal(page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(22, 24, 27)")
    settings(page, seed=1, max_tokens=60)
    page.click("#write-go")
    wait(page)
    page.query_selector_all(".token.generated")[40].tap()
    assert page.inner_text("#keys-about").startswith("For “"), page.inner_text("#keys-about")
    for tab in ("#tab-chat", "#tab-write"):
        page.click(tab)
        equal(page.evaluate("document.documentElement.scrollWidth"), PHONE["width"])
    picture(page, "phone")
    page.close()


def main():
    with sync_playwright() as playwright:
        # Without a sandbox, as containers have none; the page is our own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for test in (writes, stops, shows_text_as_text, tells_errors, chats, fits_a_phone):
            test(browser)
            equal(FAULTS, [])
            print(f"page: {test.__name__}", file=sys.stderr)
        browser.close()


main()
