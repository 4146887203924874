#!/usr/bin/env python3
"""Cases for the sampler with llama.cpp's answers: measure/sampler_cases.py N [--logits L] [--seed S] > cases.json

Each case has logits, a history and settings, and the tokens that llama.cpp's samplers leave, with their probabilities.
tests/sampler.rs compares them with nearfield's: those in tests/reference/sampler.json, or those of the file that
NEARFIELD_SAMPLER_CASES names.

Needs llama-cpp-python (its vendored llama.cpp is the reference) and models/pocket.gguf, in whose vocabulary DRY's breakers
are looked up. Logits are multiples of 2^-12, all different, so that no order depends on how equal ones are sorted. The
probabilities are the softmax of llama.cpp's last logits, in double precision.
"""
import argparse
import ctypes
import json
import math
import pathlib
import random

import llama_cpp as lib

MODEL = pathlib.Path(__file__).resolve().parent.parent / "models" / "pocket.gguf"
# The callback lives as long as llama.cpp may call it.
QUIET = lib.llama_log_callback(lambda *_: None)
BREAKERS = ["\n", ".", "he s"]
LEAST_FLOAT = 1e-44
# With these, no two logits become equal.
BIASES = [1.5 + 2 ** -13, -2.25 + 2 ** -14, 4 + 2 ** -15]


def vocab():
    lib.llama_backend_init()
    lib.llama_log_set(QUIET, None)
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(str(MODEL).encode(), params)
    assert model, MODEL
    return lib.llama_model_get_vocab(model)


def piece(of, token):
    buffer = ctypes.create_string_buffer(256)
    n = lib.llama_token_to_piece(of, token, buffer, 256, 0, True)
    return buffer.raw[:max(0, n)]


def tokenized(of, text):
    tokens = (lib.llama_token * 64)()
    n = lib.llama_tokenize(of, text, len(text), tokens, 64, False, False)
    return list(tokens[:n])


def breakers(of):
    """Tokens and sequences of tokens that llama.cpp makes of BREAKERS."""
    single, sequences = set(), set()
    for text in (text.encode() for text in BREAKERS):
        for token in range(lib.llama_vocab_n_tokens(of)):
            word = piece(of, token)
            if text in word:
                single.add(token)
                continue
            for i in range(len(word)):
                # A breaker that begins in a token and goes on in others.
                if text.startswith(word[i:]):
                    sequences.add((token, *tokenized(of, text[len(word) - i:])[:20]))
    return sorted(single), sorted(sequences)


def pick(rng, values):
    return rng.choice(values)


def case(rng, of, n_logits, common, head):
    """Random settings, logits and history, and what llama.cpp leaves of them."""
    logits = [x / 1024 for x in rng.sample(range(-12 * 1024, 12 * 1024), n_logits)]
    spread = pick(rng, [1.0, 0.5, 0.25])
    logits = [x * spread for x in logits]
    n_history = rng.randrange(0, 150)
    # Few different tokens, so that they repeat; some text of a breaker among them.
    some = rng.sample(range(n_logits), 6) + [token for token in common if token < n_logits][:1] + head
    history = []
    while len(history) < n_history:
        if len(history) > 8 and rng.random() < 0.2:
            start = rng.randrange(len(history) - 4)
            history += history[start:start + rng.randrange(2, 12)]
        else:
            history.append(pick(rng, some))
    f32 = lambda x: ctypes.c_float(x).value
    config = {
        "logit_bias": [[rng.randrange(n_logits), pick(rng, BIASES)]
                       for _ in range(pick(rng, [0, 0, 1, 3]))],
        "repeat_penalty": f32(pick(rng, [1.0, 1.0, 1.1, 1.3, 0.8])),
        "frequency_penalty": f32(pick(rng, [0.0, 0.0, 0.25, 0.1, -0.3])),
        "presence_penalty": f32(pick(rng, [0.0, 0.0, 0.6, -0.2])),
        "repeat_last_n": pick(rng, [0, 7, 64, 64, 100]),
        "dry_multiplier": f32(pick(rng, [0.0, 0.8, 0.8, 1.5])),
        "dry_base": f32(pick(rng, [1.75, 1.75, 1.2, 1.0])),
        "dry_allowed_length": pick(rng, [2, 2, 1, 0, 4]),
        "dry_penalty_last_n": pick(rng, [64, 64, 20, 120]),
        "breakers": rng.random() < 0.6,
        "top_k": pick(rng, [0, 0, 40, 5, 70]),
        "typical_p": f32(pick(rng, [1.0, 0.9, 0.5, 0.2, 0.99])),
        "top_p": f32(pick(rng, [1.0, 0.95, 0.7])),
        "min_p": f32(pick(rng, [0.0, 0.05, 0.2])),
        "temp": f32(pick(rng, [1.0, 0.8, 1.7])),
    }
    # A bias for a token twice would be added once by llama.cpp in some orders of its candidates.
    config["logit_bias"] = [list(x) for x in dict(map(tuple, config["logit_bias"])).items()]
    # Where a probability is 0 as a float, llama.cpp's entropy is NaN, and the order of its candidates is by chance.
    all_left = left(of, config | {"typical_p": 1.0, "top_p": 1.0, "min_p": 0.0, "temp": 1.0}, history, logits)
    if min(p for _, p in all_left) < LEAST_FLOAT:
        config["typical_p"] = 1.0
    return {"config": config, "history": history, "logits": logits, "left": left(of, config, history, logits)}


def left(of, config, history, logits):
    c = config
    bias = (lib.llama_logit_bias * len(c["logit_bias"]))(*map(tuple, c["logit_bias"]))
    texts = (ctypes.c_char_p * len(BREAKERS))(*[text.encode() for text in BREAKERS])
    n_texts = len(BREAKERS) if c["breakers"] else 0
    n_vocab = lib.llama_vocab_n_tokens(of)
    samplers = [
        lib.llama_sampler_init_logit_bias(n_vocab, len(bias), bias),
        lib.llama_sampler_init_penalties(
            n_vocab, c["repeat_last_n"], c["repeat_penalty"], c["frequency_penalty"], c["presence_penalty"]),
        lib.llama_sampler_init_dry(
            of, c["dry_multiplier"], c["dry_base"], c["dry_allowed_length"], c["dry_penalty_last_n"], texts, n_texts),
        lib.llama_sampler_init_top_k(c["top_k"]),
        lib.llama_sampler_init_typical(c["typical_p"], 0),
        lib.llama_sampler_init_top_p(c["top_p"], 0),
        lib.llama_sampler_init_min_p(c["min_p"], 0),
        lib.llama_sampler_init_temp(c["temp"]),
    ]
    data = (lib.llama_token_data * len(logits))(*[(i, x, 0.0) for i, x in enumerate(logits)])
    array = lib.llama_token_data_array(data, len(logits), -1, False)
    for sampler in samplers:
        for token in history:
            lib.llama_sampler_accept(sampler, token)
        lib.llama_sampler_apply(sampler, ctypes.byref(array))
        lib.llama_sampler_free(sampler)
    kept = sorted((array.data[i].id, array.data[i].logit) for i in range(array.size))
    highest = max(logit for _, logit in kept)
    total = sum(math.exp(logit - highest) for _, logit in kept)
    return [[token, math.exp(logit - highest) / total] for token, logit in kept]


def dumps(value):
    """JSON with floats of nine digits, which a 32-bit float needs."""
    floats = lambda x: float(f"{x:.9g}") if isinstance(x, float) else x
    def short(x):
        if isinstance(x, dict):
            return {name: short(value) for name, value in x.items()}
        return [short(value) for value in x] if isinstance(x, (list, tuple)) else floats(x)
    return json.dumps(short(value), separators=(",", ":"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", type=int)
    parser.add_argument("--logits", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng, of = random.Random(args.seed), vocab()
    single, sequences = breakers(of)
    # Sequences all of whose tokens have a logit come into histories, too.
    whole = [sequence for sequence in sequences if max(sequence) < args.logits and len(sequence) > 1]
    cases = [case(rng, of, args.logits, single, list(pick(rng, whole)) if whole else []) for _ in range(args.n)]
    made_by = f"measure/sampler_cases.py {args.n} --logits {args.logits} --seed {args.seed}, llama-cpp-python {lib.__version__}"
    print(dumps({"made_by": made_by, "breakers": {"tokens": single, "sequences": sequences}, "cases": []})[:-2])
    print(",\n".join(dumps(case) for case in cases))
    print("]}")


if __name__ == "__main__":
    main()
