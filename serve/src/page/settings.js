// Settings of requests and of the page, kept by the browser.

const NAME = "nearfield";
const NUMBERS = ["max_tokens", "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed"];

function stored() {
  try {
    return JSON.parse(localStorage.getItem(NAME)) ?? {};
  } catch {
    // Storage may be closed to this page.
    return {};
  }
}

function store(values) {
  try {
    localStorage.setItem(NAME, JSON.stringify(values));
  } catch {
    // The settings last as long as the page, then.
  }
}

export class Settings {
  constructor(form, resetButton) {
    this.form = form;
    this.values = stored();
    for (const field of form.elements) {
      // A key is not kept: other pages of this address could read it.
      if (field.name && field.name !== "key" && this.values[field.name] !== undefined) field.value = this.values[field.name];
    }
    form.addEventListener("input", (event) => event.target.name !== "key" && this.keep(event.target.name, event.target.value));
    form.addEventListener("submit", (event) => event.preventDefault());
    resetButton.addEventListener("click", () => {
      const { theme, tab } = this.values;
      const { key } = this;
      form.reset();
      form.elements.key.value = key;
      this.values = { theme, tab };
      store(this.values);
    });
  }

  keep(name, value) {
    this.values[name] = value;
    store(this.values);
  }

  get key() {
    return this.form.elements.key.value.trim();
  }

  get system() {
    return this.form.elements.system.value;
  }

  /** Fields of a request; those that are empty are left to the server. */
  request() {
    const fields = {};
    for (const name of NUMBERS) {
      const text = this.form.elements[name].value;
      if (text !== "") fields[name] = Number(text);
    }
    const stops = this.form.elements.stop.value.split("|").filter((text) => text !== "");
    if (stops.length > 0) fields.stop = stops.map((text) => text.replaceAll("\\n", "\n"));
    return fields;
  }
}
