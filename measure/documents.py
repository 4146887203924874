#!/usr/bin/env python3
"""A text of documents as the models were trained on it: the marker <|endoftext|> between two, and nothing else.

    measure/documents.py FILE > TEXT

FILE holds documents, a line <|endoftext|> after each (models/README.md). Commands take the marker in TEXT for its token with `--special`.
"""
import sys


def joined(path):
    with open(path) as file:
        documents = (document.strip() for document in file.read().split("<|endoftext|>\n"))
        return "<|endoftext|>".join(document for document in documents if document)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write(joined(sys.argv[1]))
