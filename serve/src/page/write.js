// Writing: a beginning, and the text that the model makes of it.

import { ask, stream } from "./api.js";

export class Write {
  constructor(page, tokens) {
    this.page = page;
    this.tokens = tokens;
    this.prompt = document.getElementById("prompt");
    this.go = document.getElementById("write-go");
    this.more = document.getElementById("write-more");
    this.copy = document.getElementById("write-copy");
    this.edit = document.getElementById("write-edit");
    this.text = "";
    this.go.addEventListener("click", () => this.begin(this.prompt.value));
    this.more.addEventListener("click", () => this.begin(this.text));
    this.copy.addEventListener("click", () => page.copy(this.text, this.copy));
    this.edit.addEventListener("click", () => this.toPrompt());
    this.prompt.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.go.click();
    });
  }

  ready(isReady) {
    this.go.disabled = !isReady;
    for (const button of [this.more, this.copy, this.edit]) button.disabled = !isReady || this.text === "";
  }

  /** The text becomes the beginning, to be changed. */
  toPrompt() {
    this.prompt.value = this.text;
    this.text = "";
    this.tokens.clear();
    this.prompt.rows = Math.min(16, 2 + this.prompt.value.length / 60);
    this.prompt.focus();
    this.ready(true);
  }

  begin(prompt) {
    return this.page.run(async (signal, progress) => {
      const { key, model } = this.page;
      const given = await ask("/tokenize", key, { model: model.id, content: prompt, with_pieces: true }, signal);
      this.tokens.clear();
      this.tokens.give(pieces(given.tokens, prompt));
      this.text = prompt;
      progress.reading(given.count);
      const body = { ...this.page.settings.request(), model: model.id, prompt, visited_keys: true, stream_options: { include_usage: true } };
      for await (const piece of stream("/v1/completions", key, body, signal)) {
        const choice = piece.choices[0];
        if (choice) {
          this.text += choice.text;
          for (const element of show(this.tokens, choice.text, choice.visited_keys)) progress.token(element);
        }
        progress.piece(piece);
      }
    });
  }
}

/**
 * Texts of tokens, which together are the prompt where the tokenizer keeps it. Tokens that are parts of a character have no text until its
 * last, and those that the tokenizer adds, such as the one that begins a text, have none.
 */
function pieces(tokens, prompt) {
  const decoder = new TextDecoder();
  const texts = tokens.map(({ piece }) => (typeof piece === "string" ? piece : decoder.decode(new Uint8Array(piece), { stream: true })));
  let rest = prompt;
  const shown = texts.map((text) => {
    const part = [text, text.trimStart()].find((of) => rest.startsWith(of)) ?? "";
    rest = rest.slice(part.length);
    return part;
  });
  return rest.trim() === "" ? shown : texts;
}

/** Shows the tokens of a piece of an answer. The text of several is that of the last. */
export function* show(tokens, text, keys) {
  const all = keys ?? [];
  for (const [index, of] of all.entries()) yield tokens.generate(index + 1 === all.length ? text : "", of);
  if (all.length === 0 && text !== "") tokens.generate(text, null);
}
