// Tokens of a text as elements, of which one can be chosen: by pointer, by touch, or by arrow keys.

export class Tokens {
  /** `onChoose(keys, tokens)` is called with the keys that the chosen token's query visited, or null. */
  constructor(root, onChoose) {
    this.root = root;
    this.onChoose = onChoose;
    /** Element of the token at each position; null where none is shown. */
    this.at = [];
    this.chosen = null;
    this.isFixed = false;
    root.addEventListener("pointerover", (event) => this.point(event));
    root.addEventListener("pointerleave", () => this.isFixed || this.choose(null));
    root.addEventListener("click", (event) => this.fix(event));
    root.addEventListener("keydown", (event) => this.step(event));
  }

  clear() {
    this.choose(null);
    this.root.replaceChildren();
    this.at = [];
    this.isFixed = false;
  }

  /** Shows tokens that were given. */
  give(pieces) {
    for (const piece of pieces) this.at.push(this.add(piece, "given"));
  }

  /** Shows a text of which no tokens are known. */
  giveText(text, nTokens) {
    const element = this.add(text, "given");
    while (this.at.length < nTokens) this.at.push(element);
  }

  /** Shows a generated token; `keys` are those from which it was drawn: of the token before it. */
  generate(text, keys) {
    const element = this.add(text, "generated");
    element.keys = keys;
    if (keys) {
      while (this.at.length <= keys.pos) this.at.push(null);
      this.at[keys.pos + 1] = element;
    }
    return element;
  }

  add(text, kind) {
    const element = document.createElement("span");
    element.className = `token ${kind}`;
    element.textContent = text;
    this.root.append(element);
    return element;
  }

  point(event) {
    if (this.isFixed || event.pointerType === "touch") return;
    this.choose(event.target.keys ? event.target : null);
  }

  fix(event) {
    const element = event.target.keys ? event.target : null;
    this.isFixed = element !== null && !(this.isFixed && element === this.chosen);
    this.choose(element);
  }

  step(event) {
    const by = { ArrowLeft: "previousElementSibling", ArrowRight: "nextElementSibling" }[event.key];
    if (event.key === "Escape") {
      this.isFixed = false;
      this.choose(null);
    }
    if (!by) return;
    let next = this.chosen ? this.chosen[by] : [...this.root.children].find((element) => element.keys);
    while (next && !next.keys) next = next[by];
    if (!next) return;
    event.preventDefault();
    this.isFixed = true;
    this.choose(next);
  }

  choose(element) {
    if (element === this.chosen) return;
    this.chosen?.classList.remove("chosen");
    this.chosen = element;
    element?.classList.add("chosen");
    this.onChoose(element?.keys ?? null, this);
  }

  /** Marks each token by the share of heads that visited it: `share(position)`, 0 to 1; without marks if it is null. */
  mark(share) {
    this.at.forEach((element, pos) => {
      if (!element) return;
      const of = share ? share(pos) : 0;
      element.style.background = of > 0 ? `rgba(var(--seen), ${(0.08 + 0.42 * of).toFixed(3)})` : "";
    });
  }
}
