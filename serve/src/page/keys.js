// Picture of the keys that each head visited: a line for each head, from the first token at the left to the query at the right.

const LABELS = 30;
const GAP = 4;

export class KeysPicture {
  /** `onHead(index)` is called with the number of the head under the pointer, layer by layer, or null. */
  constructor(canvas, onHead) {
    this.canvas = canvas;
    this.keys = null;
    this.head = null;
    this.onHead = onHead;
    canvas.addEventListener("pointermove", (event) => this.point(event.offsetY));
    canvas.addEventListener("pointerleave", () => this.point(null));
    canvas.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
  }

  show(keys) {
    this.keys = keys;
    this.head = null;
    this.draw();
  }

  /** Number of heads, and height of a head's line in pixels. */
  get sizes() {
    const layers = this.keys?.visited ?? [];
    const nHeads = layers.reduce((sum, heads) => sum + heads.length, 0);
    return { nHeads, height: nHeads > 256 ? 1 : nHeads > 96 ? 3 : 6 };
  }

  /** Upper edge of the line of each head. */
  tops() {
    const { height } = this.sizes;
    let top = 0;
    return this.keys.visited.flatMap((heads) => {
      const lines = heads.map((_, head) => top + head * height);
      top += heads.length * height + GAP;
      return lines;
    });
  }

  point(y) {
    if (!this.keys) return;
    const { height } = this.sizes;
    const at = y === null ? -1 : this.tops().findIndex((top) => y >= top && y < top + height);
    this.choose(at < 0 ? null : at);
  }

  step(event) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || !this.keys) return;
    event.preventDefault();
    const { nHeads } = this.sizes;
    this.choose(this.head === null ? 0 : (this.head + by + nHeads) % nHeads);
  }

  choose(head) {
    if (head === this.head) return;
    this.head = head;
    this.draw();
    this.onHead(head);
  }

  draw() {
    const { canvas, keys } = this;
    const width = canvas.parentElement.clientWidth - 24;
    const { height } = this.sizes;
    const tops = keys ? this.tops() : [];
    const total = keys ? tops[tops.length - 1] + height : 0;
    const scale = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [width * scale, total * scale];
    canvas.style.height = `${total}px`;
    if (!keys) return;
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.font = "10px system-ui, sans-serif";
    context.textBaseline = "top";
    const nKeys = keys.pos + 1;
    const step = (width - LABELS) / nKeys;
    let index = 0;
    keys.visited.forEach((heads, layer) => {
      context.fillStyle = color("--faint");
      context.fillText(`L${layer + 1}`, 0, tops[index]);
      for (const visited of heads) {
        const top = tops[index];
        context.fillStyle = color("--line");
        context.fillRect(LABELS, top, width - LABELS, Math.max(1, height - 1));
        context.fillStyle = index === this.head ? color("--error") : color("--accent");
        context.fillRect(LABELS + (nKeys - visited) * step, top, visited * step, Math.max(1, height - 1));
        index += 1;
      }
    });
  }
}

/** Share of the heads that visited the key at each position: a function of the position. For one head alone, 0 or 1. */
export function shareOf(keys, head) {
  const all = keys.visited.flat();
  const visited = head === null ? all : [all[head]];
  const nKeys = keys.pos + 1;
  return (pos) => (pos >= nKeys ? 0 : visited.filter((n) => pos >= nKeys - n).length / visited.length);
}

/** Sentence on the keys that the heads visited. */
export function about(keys) {
  const all = keys.visited.flat();
  const nKeys = keys.pos + 1;
  const [seen, held] = [all.reduce((sum, n) => sum + n, 0), all.length * nKeys];
  const full = all.filter((n) => n === nKeys).length;
  const number = (n) => n.toLocaleString("en");
  return `For “${keys.text.trim() || keys.text}” ${all.length} heads looked at ${number(seen)} of ${number(held)} keys ` +
    `(${Math.round((100 * seen) / held)} %); ${full} of them at the whole text of ${number(nKeys)} tokens.`;
}

/** Sentence on one head. */
export function aboutHead(keys, head) {
  let rest = head;
  const layer = keys.visited.findIndex((heads) => (rest < heads.length ? true : ((rest -= heads.length), false)));
  return `Layer ${layer + 1}, head ${rest + 1}: the newest ${keys.visited[layer][rest].toLocaleString("en")} of ${(keys.pos + 1).toLocaleString("en")} tokens.`;
}
