// Page of `nearfield serve`: model, theme, status, and what the parts of the page share.

import { ask } from "./api.js";
import { Chat } from "./chat.js";
import { KeysPicture, about, aboutHead, shareOf } from "./keys.js";
import { Settings } from "./settings.js";
import { Tokens } from "./tokens.js";
import { Write } from "./write.js";

const element = (id) => document.getElementById(id);
const number = (n) => n.toLocaleString("en", { maximumFractionDigits: n < 100 ? 1 : 0 });

const page = {
  settings: new Settings(element("settings-form"), element("settings-reset")),
  models: [],
  /** Controller of the request that runs. */
  running: null,

  get key() {
    return this.settings.key;
  },

  get model() {
    return this.models.find(({ id }) => id === element("model").value);
  },

  /** Runs a request: `work(signal, progress)`. Only one runs at a time. */
  async run(work) {
    if (this.running || !this.model) return;
    this.running = new AbortController();
    const progress = new Progress(this.model.meta.n_ctx);
    tell(null);
    ready(false);
    try {
      await work(this.running.signal, progress);
      progress.end("");
    } catch (error) {
      if (error.name !== "AbortError") tell(error);
      progress.end(error.name === "AbortError" ? "Stopped. " : "");
    } finally {
      this.running = null;
      ready(true);
    }
  },

  async copy(text, button) {
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "The browser does not allow it";
    }
    setTimeout(() => (button.textContent = label), 1500);
  },
};

/** Status while a text comes, and its figures at the end. */
class Progress {
  constructor(nContext) {
    this.nContext = nContext;
    this.nTokens = 0;
    this.timings = null;
    this.usage = null;
    this.first = null;
    status(`Waiting for the server`);
  }

  reading(nTokens) {
    status(nTokens ? `Reading ${number(nTokens)} tokens` : "Reading");
  }

  token(shown) {
    this.nTokens += 1;
    this.first ??= performance.now();
    const seconds = (performance.now() - this.first) / 1000;
    const rate = seconds > 0.2 ? `, ${number((this.nTokens - 1) / seconds)} tokens/s` : "";
    status(`${number(this.nTokens)} tokens${rate}`);
    if (shown.keys) this.context(shown.keys.pos + 2);
  }

  piece(piece) {
    this.timings = piece.timings ?? this.timings;
    this.usage = piece.usage ?? this.usage;
    this.reason = piece.choices[0]?.finish_reason ?? this.reason;
  }

  context(nUsed) {
    const meter = element("context");
    [meter.max, meter.value] = [this.nContext, nUsed];
    meter.title = `${number(nUsed)} of ${number(this.nContext)} positions of the context`;
    this.nUsed = nUsed;
  }

  end(before) {
    if (this.usage) this.context(this.usage.total_tokens);
    const parts = [];
    if (this.timings) {
      parts.push(`${number(this.timings.predicted_n)} tokens, ${number(this.timings.predicted_per_second)} tokens/s`);
    } else if (this.nTokens > 0) {
      parts.push(`${number(this.nTokens)} tokens`);
    }
    if (this.nUsed) parts.push(`${number(this.nUsed)} of ${number(this.nContext)} positions used`);
    const reason = { stop: "the model ended the text", length: "the length was reached" }[this.reason];
    if (reason) parts.push(reason);
    status(before + (parts.length > 0 ? `${parts.join("; ")}.` : "Ready."));
  }
}

function status(text) {
  element("status").textContent = text;
}

function tell(error) {
  const box = element("error");
  box.hidden = error === null;
  box.textContent = error?.message ?? "";
  if (error?.status === 401) {
    element("settings").open = true;
    element("settings-form").elements.key.focus();
  }
}

const picture = new KeysPicture(element("keys"), (head) => mark(head));
let chosen = { keys: null, tokens: null };
const introduction = element("keys-about").textContent;

function choose(keys, tokens) {
  if (chosen.tokens !== tokens) chosen.tokens?.mark(null);
  chosen = { keys, tokens };
  picture.show(keys);
  element("keys-about").textContent = keys ? about(keys) : introduction;
  mark(null);
}

function mark(head) {
  const { keys, tokens } = chosen;
  tokens?.mark(keys ? shareOf(keys, head) : null);
  element("keys-head").textContent = keys && head !== null ? aboutHead(keys, head) : "";
}

const write = new Write(page, new Tokens(element("text"), choose));
const chat = new Chat(page, choose);

function ready(isReady) {
  element("stop").disabled = isReady;
  element("model").disabled = !isReady;
  write.ready(isReady && page.model !== undefined);
  chat.ready(isReady && page.model !== undefined);
}

function tab(name) {
  for (const of of ["write", "chat"]) {
    element(of).hidden = of !== name;
    element(`tab-${of}`).setAttribute("aria-selected", String(of === name));
  }
  page.settings.keep("tab", name);
}

function theme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  element("theme").textContent = `Theme: ${name}`;
  page.settings.keep("theme", name);
  picture.draw();
}

function modelChanged() {
  element("no-chat").hidden = page.model?.meta.chat !== false;
}

/** Asks for the models that generate text; again once a key is given. */
async function load() {
  try {
    const { data } = await ask("/v1/models", page.key);
    page.models = data.filter(({ meta }) => meta.task === "generate");
    element("model").replaceChildren(...page.models.map(({ id }) => new Option(id, id)));
    tell(page.models.length > 0 ? null : new Error("The server has no model that generates text."));
  } catch (error) {
    page.models = [];
    tell(error);
  }
  modelChanged();
  ready(true);
}

element("stop").addEventListener("click", () => page.running?.abort());
document.addEventListener("keydown", (event) => event.key === "Escape" && page.running?.abort());
element("model").addEventListener("change", modelChanged);
element("tab-write").addEventListener("click", () => tab("write"));
element("tab-chat").addEventListener("click", () => tab("chat"));
element("theme").addEventListener("click", () => {
  const themes = ["system", "light", "dark"];
  theme(themes[(themes.indexOf(page.settings.values.theme ?? "system") + 1) % themes.length]);
});
element("settings-form").elements.key.addEventListener("change", load);

theme(["light", "dark"].includes(page.settings.values.theme) ? page.settings.values.theme : "system");
tab(page.settings.values.tab === "chat" ? "chat" : "write");
load();
