#!/usr/bin/env python3
"""Asks a running `nearfield serve` with the clients that people have: tests/serve/clients.py NEARFIELD ADDRESS ENCODER

NEARFIELD is the command, whose other subcommands say what the answers have to be; ADDRESS is where the server listens. The server has the models
`stories`, `encoder` (the file ENCODER) and `reranker`, the chat format `mpt-30b-instruct` and the key `key`: `tests/serve/run` starts it.
"""
import asyncio
import json
import subprocess
import sys
import urllib.request
from typing import Annotated, Literal

import openai
import pydantic
from langchain_openai import ChatOpenAI
from langchain_openai import OpenAI as LangChainOpenAI
from langchain_openai import OpenAIEmbeddings

NEARFIELD, ADDRESS, ENCODER = sys.argv[1:]
BASE = f"http://{ADDRESS}/v1"
PROMPT = "Once upon a time"


def command(*args):
    return subprocess.run([NEARFIELD, *args], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def run(prompt, *flags):
    """Text that `nearfield run` puts behind a prompt."""
    return command("run", "-p", prompt, *flags).removeprefix(prompt).removesuffix("\n")


def post(path, body):
    head = {"Content-Type": "application/json", "Authorization": "Bearer key"}
    request = urllib.request.Request(f"http://{ADDRESS}{path}", json.dumps(body).encode(), head)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def equal(found, want):
    if found != want:
        sys.exit(f"found {found!r}\nwant  {want!r}")


def raised(kind, call):
    try:
        call()
    except kind as error:
        return error
    sys.exit(f"no {kind.__name__}")


def completions(client):
    want = run(PROMPT, "--seed", "3", "-n", "30")
    answer = client.completions.create(model="stories", prompt=PROMPT, seed=3, max_tokens=30)
    equal((answer.choices[0].text, answer.choices[0].finish_reason), (want, "length"))
    equal(answer.usage.completion_tokens, 30)
    options = {"include_usage": True}
    pieces = list(client.completions.create(model="stories", prompt=PROMPT, seed=3, max_tokens=30, stream=True, stream_options=options))
    equal("".join(piece.choices[0].text for piece in pieces if piece.choices), want)
    equal(pieces[-1].usage.completion_tokens, 30)
    several = client.completions.create(model="stories", prompt=[PROMPT, "The dog"], n=2, seed=1, max_tokens=8, stop=["\n"])
    equal([choice.text for choice in several.choices],
          [run(prompt, "--seed", seed, "-n", "8", "--stop", "\n") for prompt in (PROMPT, "The dog") for seed in "12"])
    logprobs = client.completions.create(model="stories", prompt=PROMPT, temperature=0, max_tokens=4, logprobs=2).choices[0].logprobs
    equal([len(column) for column in (logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, logprobs.text_offset)], [4] * 4)


def chats(client):
    question = "Where is the cat?"
    want = command("run", "--chat=mpt-30b-instruct", "-p", question, "--seed", "3", "-n", "20").removesuffix("\n")
    settings = {"model": "stories", "messages": [{"role": "user", "content": question}], "seed": 3, "max_completion_tokens": 20}
    answer = client.chat.completions.create(logprobs=True, top_logprobs=2, **settings)
    equal((answer.choices[0].message.content, answer.choices[0].message.role), (want, "assistant"))
    equal({len(token.top_logprobs) for token in answer.choices[0].logprobs.content}, {2})
    pieces = client.chat.completions.create(stream=True, **settings)
    equal("".join(piece.choices[0].delta.content or "" for piece in pieces), want)
    model = ChatOpenAI(base_url=BASE, api_key="key", model="stories", max_tokens=20, seed=3)
    equal(model.invoke(question).content, command("run", "--chat=mpt-30b-instruct", "-p", question, "--seed", "3", "-n", "20").removesuffix("\n"))


def embeddings(client):
    texts = ["the", "in the winter"]
    want = [[float(number) for number in line.split()] for line in command("embed", ENCODER, *texts).splitlines()]
    # The package asks for base64 unless it is told otherwise.
    for settings in ({}, {"encoding_format": "float"}):
        answer = client.embeddings.create(model="encoder", input=texts, **settings)
        for data, vector in zip(answer.data, want, strict=True):
            equal(max(abs(a - b) for a, b in zip(data.embedding, vector, strict=True)) < 1e-7, True)
    cut = client.embeddings.create(model="encoder", input=texts[0], dimensions=8).data[0].embedding
    equal((len(cut), round(sum(x * x for x in cut), 5)), (8, 1.0))


class Pet(pydantic.BaseModel):
    kind: Literal["cat", "dog"]
    name: Annotated[str, pydantic.Field(max_length=12)]
    age: Annotated[int, pydantic.Field(ge=1, le=20)]


def forms(client):
    """Answers that pydantic takes."""
    question = [{"role": "user", "content": "Which pet does Tim have?"}]
    pet = client.chat.completions.parse(model="stories", messages=question, seed=3, max_tokens=80, response_format=Pet).choices[0].message.parsed
    equal((type(pet), pet.kind in ("cat", "dog"), 1 <= pet.age <= 20), (Pet, True, True))
    answer = client.chat.completions.create(model="stories", messages=question, seed=3, max_tokens=20, extra_body={"grammar": 'root ::= "yes" | "no"'})
    equal((answer.choices[0].message.content in ("yes", "no"), answer.choices[0].finish_reason), (True, "stop"))
    model = ChatOpenAI(base_url=BASE, api_key="key", model="stories", max_tokens=80, seed=4)
    equal(type(model.with_structured_output(Pet, method="json_schema").invoke("Which pet does Tim have?")), Pet)


def errors(client):
    equal(raised(openai.NotFoundError, lambda: client.completions.create(model="none", prompt="a")).code, "model_not_found")
    long = raised(openai.BadRequestError, lambda: client.completions.create(model="stories", prompt="the " * 9000))
    equal((long.code, long.param), ("context_length_exceeded", "prompt"))
    wrong = raised(openai.BadRequestError, lambda: client.completions.create(model="stories", prompt="a", temperature="hot"))
    equal((wrong.code, wrong.param), ("invalid_type", "temperature"))
    stranger = openai.OpenAI(base_url=BASE, api_key="wrong", max_retries=0)
    equal(raised(openai.AuthenticationError, stranger.models.list).code, "invalid_api_key")


async def together():
    """Many requests of one client at a time."""
    client = openai.AsyncOpenAI(base_url=BASE, api_key="key")
    ask = [client.completions.create(model="stories", prompt=PROMPT, seed=seed, max_tokens=20) for seed in range(16)]
    for seed, answer in enumerate(await asyncio.gather(*ask)):
        equal(answer.choices[0].text, run(PROMPT, "--seed", str(seed), "-n", "20"))


def langchain():
    model = LangChainOpenAI(base_url=BASE, api_key="key", model="stories", temperature=0, max_tokens=12, seed=1)
    want = run(PROMPT, "--temp", "0", "-n", "12")
    equal(model.invoke(PROMPT), want)
    equal("".join(model.stream(PROMPT)), want)
    vectors = OpenAIEmbeddings(base_url=BASE, api_key="key", model="encoder", check_embedding_ctx_length=False)
    equal(len(vectors.embed_documents(["the", "in"])), 2)


def minuet():
    """Body of minuet-ai.nvim's provider `openai_fim_compatible`, with the settings of its README for local models."""
    body = {"model": "stories", "prompt": PROMPT, "max_tokens": 10, "top_p": 0.9, "stream": True, "temperature": 0}
    request = urllib.request.Request(f"{BASE}/completions", json.dumps(body).encode(), {"Content-Type": "application/json", "Authorization": "Bearer key"})
    with urllib.request.urlopen(request) as answer:
        lines = [line.removeprefix("data: ") for line in answer.read().decode().splitlines() if line.startswith("data: {")]
    equal("".join(json.loads(line)["choices"][0]["text"] for line in lines), run(PROMPT, "--temp", "0", "-n", "10"))


def others():
    """Bodies of the clients of text-embeddings-inference, Jina and Cohere, as their references show them."""
    texts = ["the", "in the winter", "on"]
    vectors = post("/embed", {"inputs": texts, "normalize": True, "truncate": True})
    equal([len(vector) for vector in vectors], [len(command("embed", ENCODER, "the").split())] * 3)
    ranked = post("/rerank", {"query": "the", "texts": texts, "raw_scores": False, "return_text": False, "truncate": True})
    jina = post("/v1/rerank", {"model": "reranker", "query": "the", "documents": texts, "top_n": 3})
    equal([result["index"] for result in ranked], [result["index"] for result in jina["results"]])


def main():
    client = openai.OpenAI(base_url=BASE, api_key="key", max_retries=0)
    equal(sorted(model.id for model in client.models.list()), ["encoder", "reranker", "stories"])
    equal(client.models.retrieve("stories").owned_by, "nearfield")
    for check in (completions, chats, forms, embeddings, errors):
        check(client)
    asyncio.run(together())
    for check in (langchain, minuet, others):
        check()
    print(f"openai {openai.__version__}: completions, chats, forms, embeddings, errors; langchain-openai, minuet, text-embeddings-inference: as nearfield's commands say")


main()
