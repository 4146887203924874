// Chat: messages, and the answers of the model.

import { stream } from "./api.js";
import { Tokens } from "./tokens.js";
import { show } from "./write.js";

export class Chat {
  constructor(page, onChoose) {
    this.page = page;
    this.onChoose = onChoose;
    /** Messages with their elements, the oldest first. */
    this.turns = [];
    this.list = document.getElementById("messages");
    this.input = document.getElementById("message");
    this.send = document.getElementById("chat-send");
    this.again = document.getElementById("chat-again");
    this.copy = document.getElementById("chat-copy");
    this.fresh = document.getElementById("chat-new");
    this.send.addEventListener("click", () => this.ask());
    this.again.addEventListener("click", () => this.answerAgain());
    this.copy.addEventListener("click", () => page.copy(this.turns.map(({ role, content }) => `${role}: ${content}`).join("\n\n"), this.copy));
    this.fresh.addEventListener("click", () => this.clear());
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.send.disabled) this.ask();
    });
  }

  ready(isReady) {
    this.send.disabled = !isReady;
    for (const button of [this.again, this.copy, this.fresh]) button.disabled = !isReady || this.turns.length === 0;
  }

  clear() {
    this.turns = [];
    this.list.replaceChildren();
    this.onChoose(null, null);
    this.ready(true);
    this.input.focus();
  }

  add(role, content) {
    const element = document.createElement("div");
    element.className = `message ${role}`;
    const who = document.createElement("span");
    who.className = "who";
    who.textContent = role === "user" ? "You" : this.page.model.id;
    const body = document.createElement("div");
    body.tabIndex = 0;
    body.textContent = content;
    element.append(who, body);
    this.list.append(element);
    element.scrollIntoView({ block: "nearest" });
    const turn = { role, content, element, body };
    this.turns.push(turn);
    return turn;
  }

  ask() {
    const content = this.input.value;
    if (content.trim() === "") return undefined;
    this.input.value = "";
    this.add("user", content);
    return this.answer();
  }

  /** Draws the last answer anew; with a seed of its own, unless the settings have one. */
  answerAgain() {
    if (this.turns.at(-1)?.role === "assistant") this.turns.pop().element.remove();
    if (this.turns.length > 0) this.answer();
  }

  answer() {
    return this.page.run(async (signal, progress) => {
      const { key, model, settings } = this.page;
      const system = settings.system === "" ? [] : [{ role: "system", content: settings.system }];
      const messages = [...system, ...this.turns.map(({ role, content }) => ({ role, content }))];
      const turn = this.add("assistant", "");
      const tokens = new Tokens(turn.body, this.onChoose);
      const body = { ...settings.request(), model: model.id, messages, visited_keys: true, stream_options: { include_usage: true } };
      progress.reading();
      try {
        for await (const piece of stream("/v1/chat/completions", key, body, signal)) {
          const choice = piece.choices[0];
          const text = choice?.delta.content ?? "";
          turn.content += text;
          if (choice) {
            for (const element of show(tokens, text, choice.visited_keys)) progress.token(element);
          }
          progress.piece(piece);
        }
      } finally {
        // A message without a word is no turn.
        if (turn.content === "") this.turns.splice(this.turns.indexOf(turn), 1)[0].element.remove();
      }
    });
  }
}
