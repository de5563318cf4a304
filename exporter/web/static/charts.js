// One chart: uPlot's lines, with a caption and a legend of our own that the keyboard and a screen reader reach too.

import { el, setText } from "./dom.js";
import { count, moment, UNKNOWN } from "./format.js";
import { alone, extremes } from "./series.js";

const HEIGHT = 180;
const DASHES = [[], [6, 3], [2, 3]]; // lines differ by more than their colour
const KEYS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const hours24 = (step) => (step < 86400 ? "{HH}:{mm}" : "{MMM} {D}");

export class Chart {
  #plot = null;
  #data = null;

  // lines: [{field, label}]; `root` is the element that the figure is put into.
  constructor(root, { title, lines }) {
    Object.assign(this, { title, lines });
    this.items = lines.map((each, index) => {
      const value = el("b");
      const item = el("span", { class: `key line-${index}` }, el("span", { class: "mark", "aria-hidden": "true" }), `${each.label} `, value);
      return { item, value };
    });
    this.when = el("span", { class: "when" });
    this.area = el("div", { class: "chart", tabindex: "0", role: "img" });
    root.append(
      el(
        "figure",
        {},
        el("figcaption", {}, el("h3", {}, title), el("p", { class: "legend" }, this.when, ...this.items.map((each) => each.item))),
        this.area,
      ),
    );
    this.area.addEventListener("keydown", (event) => this.#key(event));
    this.area.addEventListener("blur", () => this.#tell(null));
    new ResizeObserver(() => this.#resize()).observe(this.area);
  }

  // data: columns as uPlot takes them; range: [from, to] in seconds, what the axis spans also where nothing is known.
  show(data, range) {
    this.#data = data;
    this.range = range;
    if (this.#plot) this.#plot.setData(data);
    else this.#draw();
    this.#tell(null);
    this.area.setAttribute("aria-label", this.#words());
  }

  // Draw anew, as when colours change.
  redraw() {
    this.#plot?.destroy();
    this.#plot = null;
    if (this.#data) this.#draw();
  }

  #words() {
    const told = this.lines.map((each, index) => {
      const found = extremes(this.#data[index + 1]);
      if (!found) return `${each.label}: nothing known`;
      return `${each.label}: last ${count(found.last)}, lowest ${count(found.low)}, highest ${count(found.high)}`;
    });
    return `${this.title}. ${told.join(". ")}. Arrow keys read single values.`;
  }

  #draw() {
    const axis = {
      stroke: colour("--muted"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1, size: 4 },
      font: "11px system-ui, sans-serif",
    };
    const options = {
      width: Math.max(200, this.area.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      padding: [8, 18, 0, 0],
      scales: {
        x: { time: true, range: () => this.range },
        y: { range: (_, low, high) => [0, Math.max(4, (high ?? 0) * 1.08)] },
      },
      axes: [
        { ...axis, space: 70, size: 30, values: (_, splits, __, ___, step) => splits.map((at) => uPlot.fmtDate(hours24(step))(new Date(at * 1000))) },
        { ...axis, size: 52, values: (_, splits) => splits.map((value) => (Number.isInteger(value) ? count(value) : "")) },
      ],
      series: [
        {},
        ...this.lines.map((each, index) => ({
          label: each.label,
          stroke: colour(`--line-${index}`),
          width: 1.75,
          dash: DASHES[index % DASHES.length],
          // A reading between two unknown ones makes no line.
          points: { show: true, size: 5, filter: (plot, line) => alone(plot.data[line]) },
        })),
      ],
      hooks: { setCursor: [(plot) => this.#tell(plot.cursor.idx ?? null)] },
    };
    this.#plot = new uPlot(options, this.#data, this.area);
  }

  #resize() {
    const width = this.area.clientWidth;
    if (this.#plot && width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }

  #key(event) {
    const last = (this.#data?.[0].length ?? 0) - 1;
    if (!this.#plot || last < 0) return;
    const now = this.#plot.cursor.idx ?? last;
    const next = event.key === "Home" ? 0 : event.key === "End" ? last : now + (KEYS[event.key] ?? NaN);
    if (Number.isNaN(next)) return;
    event.preventDefault();
    const index = Math.min(last, Math.max(0, next));
    this.#plot.setCursor({ left: this.#plot.valToPos(this.#data[0][index], "x"), top: 0 });
    this.#tell(index);
    this.area.setAttribute("aria-label", `${this.when.textContent}: ${this.items.map((each) => each.item.textContent).join(", ")}`);
  }

  // Show the values at an index; of the last reading where it is null.
  #tell(index) {
    if (!this.#data) return;
    const at = index == null ? null : this.#data[0][index];
    setText(this.when, at == null ? "last" : moment(new Date(at * 1000)));
    this.items.forEach(({ value }, line) => {
      const values = this.#data[line + 1];
      const shown = index == null ? extremes(values)?.last : values[index];
      setText(value, shown == null ? UNKNOWN : count(shown));
    });
  }
}
