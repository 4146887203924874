#!/usr/bin/env python3
"""Asks llama.cpp which texts of tests/grammars/texts.txt its example grammars accept: measure/grammars.py VOCABULARY.gguf

Needs llama-cpp-python, and a GGUF file with a byte-level vocabulary, such as llama.cpp's models/ggml-vocab-gpt-2.gguf. A text is given in tokens of one byte. The
unit tests compare this library with the same file.
"""
import ctypes
import sys
from pathlib import Path

import llama_cpp

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "grammars"


def byte_tokens(vocab):
    """Token of each byte."""
    tokens = {}
    buffer = ctypes.create_string_buffer(64)
    for token in range(llama_cpp.llama_vocab_n_tokens(vocab)):
        n = llama_cpp.llama_token_to_piece(vocab, token, buffer, 64, 0, False)
        if n == 1:
            tokens.setdefault(buffer.raw[0], token)
    return tokens


def is_allowed(sampler, token):
    """True if the grammar allows a token next."""
    data = (llama_cpp.llama_token_data * 1)(llama_cpp.llama_token_data(token, 1.0, 0.0))
    array = llama_cpp.llama_token_data_array(data, 1, -1, False)
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
    return array.data[0].logit > float("-inf")


def accepts(vocab, tokens, grammar, text):
    """True if the grammar has the text."""
    sampler = llama_cpp.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
    if not sampler:
        sys.exit("llama.cpp does not read the grammar")
    try:
        for byte in text.encode():
            if not is_allowed(sampler, tokens[byte]):
                return False
            llama_cpp.llama_sampler_accept(sampler, tokens[byte])
        return is_allowed(sampler, llama_cpp.llama_vocab_eos(vocab))
    finally:
        llama_cpp.llama_sampler_free(sampler)


def main():
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_load_model_from_file(sys.argv[1].encode(), params)
    vocab = llama_cpp.llama_model_get_vocab(model)
    tokens = byte_tokens(vocab)
    n_texts, wrong = 0, []
    for line in (FOLDER / "texts.txt").read_text().splitlines():
        name, verb, text = line.split(" ", 2)
        text = text.replace("\\n", "\n").replace("\\t", "\t").replace("\\L", "\u2028").replace("\\\\", "\\")
        n_texts += 1
        if accepts(vocab, tokens, (FOLDER / f"{name}.gbnf").read_text(), text) != (verb == "accepts"):
            wrong.append(f"{name}: llama.cpp differs on {text!r}")
    print("\n".join([*wrong, f"{n_texts - len(wrong)} of {n_texts} texts as in texts.txt"]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
