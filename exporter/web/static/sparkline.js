// A small line of the last minutes, drawn as SVG: attributes only, so that no inline style is needed.

import { count, duration } from "./format.js";
import { setAttribute, svg } from "./dom.js";

const WIDTH = 96;
const HEIGHT = 22;
const MARGIN = 2;

// Return the runs of points (unknown values leave gaps) as "x,y x,y" strings. Pure.
export function runs(times, values) {
  const at = times.map((time) => new Date(time).getTime());
  const span = at.at(-1) - at[0] || 1;
  const top = Math.max(1, ...values.filter((value) => value != null));
  const found = [];
  let run = [];
  values.forEach((value, index) => {
    if (value == null) {
      if (run.length) found.push(run);
      run = [];
      return;
    }
    const x = ((at[index] - at[0]) / span) * (WIDTH - 2 * MARGIN) + MARGIN;
    const y = HEIGHT - MARGIN - (value / top) * (HEIGHT - 2 * MARGIN);
    run.push(`${x.toFixed(1)},${y.toFixed(1)}`);
  });
  if (run.length) found.push(run);
  return found.map((points) => points.join(" "));
}

// What the line says, in words.
export function summary(times, values) {
  const known = values.filter((value) => value != null);
  if (known.length === 0) return "no readings yet";
  const span = (new Date(times.at(-1)).getTime() - new Date(times[0]).getTime()) / 1000;
  const range = `lowest ${count(Math.min(...known))}, highest ${count(Math.max(...known))}`;
  return `waiting over ${duration(span)}: ${range}, last ${count(known.at(-1))}`;
}

// Put the line into a cell.
export function sparkline(cell, recent) {
  const times = recent?.times ?? [];
  const values = recent?.waiting ?? [];
  let image = cell.firstElementChild;
  if (!image) {
    image = svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img" });
    cell.append(image);
  }
  const lines = values.length > 1 ? runs(times, values) : [];
  const drawn = lines.join("|");
  setAttribute(image, "aria-label", summary(times, values));
  if (image.dataset.drawn === drawn) return;
  image.dataset.drawn = drawn;
  image.replaceChildren(
    svg("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }),
    ...lines.map((points) => svg("polyline", { points })),
  );
}
