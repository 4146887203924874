#!/usr/bin/env python3
"""Writes cases.json: what `apply_chat_template` of Hugging Face's transformers makes of each template here.

    python3 -m venv v && v/bin/pip install transformers jinja2 && v/bin/python tests/chat_templates/make_cases.py

The templates are those of published models, shortened to the parts that a conversation without tools reaches.
"""
import datetime
import json
import pathlib

import jinja2
from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent
# The time that `strftime_now` reads in the tests: 2000-02-29.
NOW = 951_782_400

CONVERSATIONS = [
    ["user: Who wrote Faust?"],
    ["system: Be brief. ", "user:  Hi <b>'there'</b>\n"],
    ["user: One\n\ntwo", "assistant:  First answer. ", "user: And\u00e4 \u4f60\u597d\U0001f600?"],
    ["system: Sys", "user: a", "assistant: <think>\nhm\n</think>\n\nb", "user: c", "assistant: d", "user: e"],
    ["user: a", "user: b"],
    ["user: What is 1+1?", "assistant: I ask.", "tool: {\"sum\": 2}"],
]


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)


def message(line):
    role, content = line.split(": ", 1)
    return {"role": role, "content": content}


def render(template, messages):
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    try:
        rendered, _ = chat_template_utils.render_jinja_template(
            conversations=[messages], chat_template=template, add_generation_prompt=True, **names
        )
        return {"text": rendered[0]}
    except jinja2.exceptions.TemplateError as error:
        return {"error": str(error)}


def main():
    chat_template_utils.datetime = Clock
    cases = []
    for path in sorted((HERE / "templates").glob("*.jinja")):
        # Files end in a line feed that the templates in tokenizer_config.json have not.
        template = path.read_text().removesuffix("\n")
        for lines in CONVERSATIONS:
            messages = [message(line) for line in lines]
            cases.append({"template": path.stem, "messages": messages, **render(template, messages)})
    (HERE / "cases.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(cases)} cases")


main()
