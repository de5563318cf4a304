// The history: range picker, queue picker, three charts, and words where there is nothing to draw.

import { Chart } from "./charts.js";
import { byId, el, setText, show } from "./dom.js";
import { byName, duration, plural } from "./format.js";
import { columns, historyPath, RANGES, stepFor } from "./series.js";

const PAGES = 8; // of an answer in parts; a range never needs more
const REFRESH = 60; // seconds at least between two readings of a range that moves
const RESOLUTIONS = { raw: "", "5m": ", from rollups of 5 minutes", "1h": ", from rollups of an hour" };

const CHARTS = [
  {
    title: "Jobs",
    lines: [
      { field: "pending_jobs", label: "waiting" },
      { field: "processing_jobs", label: "active" },
      { field: "delayed_jobs", label: "delayed" },
    ],
  },
  { title: "Workers", lines: [{ field: "active_workers", label: "workers" }] },
  { title: "Failed jobs kept", lines: [{ field: "failed_jobs", label: "failed" }] },
];

// Whether there is no history to ask for, as against one that cannot be had just now.
export function absent(error) {
  return error.status === 404 || (error.status === 503 && /not configured/.test(error.message));
}

// What to say when history cannot be had.
export function refusal(error) {
  if (absent(error)) {
    return "History is not configured: without a [history] section and a database this page shows the present only.";
  }
  if (error.kind === "away") return `History cannot be read: ${error.message}.`;
  return `History cannot be shown: ${error.message.replace(/\.$/, "")}.`;
}

export class History {
  #turn = 0;
  #readAt = 0;

  constructor(client, onToken) {
    Object.assign(this, { client, onToken });
    this.charts = CHARTS.map((each) => new Chart(byId("charts"), each));
    this.form = byId("history-form");
    this.queue = byId("history-queue");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault(); // the policy forbids forms to go anywhere
      this.read();
    });
    this.form.addEventListener("change", (event) => this.#changed(event.target));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.charts.forEach((each) => each.redraw()));
  }

  #changed(target) {
    if (target.name === "range") {
      const custom = target.value === "custom";
      show(byId("history-custom"), custom);
      if (custom) this.#propose();
      else this.read();
    } else if (target === this.queue) this.read();
  }

  // A custom range starts from what is shown.
  #propose() {
    const local = (date) => new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
    const { start, end } = this.shown ?? { start: new Date(Date.now() - 3600000), end: new Date() };
    byId("history-from").value = local(start);
    byId("history-to").value = local(end);
    byId("history-from").focus();
  }

  #range() {
    const chosen = new FormData(this.form).get("range");
    if (chosen !== "custom") {
      const end = new Date();
      return { start: new Date(end.getTime() - RANGES[chosen] * 1000), end };
    }
    return { start: new Date(byId("history-from").value), end: new Date(byId("history-to").value) };
  }

  // Offer these queues for choice; the present choice stays.
  offer(names) {
    const wanted = ["", ...new Set(names.filter(Boolean))].sort(byName);
    const have = [...this.queue.options].map((option) => option.value);
    if (wanted.length === have.length && wanted.every((name, index) => name === have[index])) return;
    const { value } = this.queue;
    if (value && !wanted.includes(value)) wanted.push(value);
    this.queue.replaceChildren(...wanted.map((name) => el("option", { value: name }, name || "All queues")));
    this.queue.value = value;
  }

  // Read again when a moving range has become old.
  refresh(now = performance.now()) {
    const chosen = new FormData(this.form).get("range");
    const old = Math.max(REFRESH, stepFor(RANGES[chosen] ?? 0) / 2);
    if (this.#readAt === 0 || (chosen !== "custom" && (now - this.#readAt) / 1000 >= old)) this.read();
  }

  async read() {
    const turn = (this.#turn += 1);
    this.#readAt = performance.now();
    const { start, end } = this.#range();
    if (!(start < end)) {
      this.#say("Choose a start that lies before the end.", true);
      return;
    }
    try {
      const answer = await this.#all(start, end, turn);
      if (turn !== this.#turn) return; // another range was chosen meanwhile
      this.shown = { start, end };
      this.#draw(answer, start, end);
    } catch (error) {
      if (error.name !== "ApiError" && !error.kind) throw error;
      if (turn !== this.#turn) return;
      if (error.kind === "token") this.onToken();
      show(this.form, !absent(error));
      this.#say(refusal(error), true);
    }
  }

  async #all(start, end, turn) {
    const queue = this.queue.value;
    let answer = await this.client.get(historyPath({ start, end, queue }), { conditional: false });
    const data = [...answer.data];
    for (let page = 1; page < PAGES && answer.next_cursor && turn === this.#turn; page += 1) {
      const path = historyPath({ start, end, queue, cursor: answer.next_cursor });
      answer = await this.client.get(path, { conditional: false });
      data.push(...answer.data);
    }
    return { ...answer, data, truncated: Boolean(answer.next_cursor) };
  }

  #draw({ data, step, resolution, truncated }, start, end) {
    show(this.form, true);
    if (data.length === 0) {
      this.#say("Nothing was recorded in this range.", true);
      return;
    }
    show(byId("charts"), true);
    const range = [start.getTime() / 1000, end.getTime() / 1000];
    this.charts.forEach((chart) => chart.show(columns(data, chart.lines.map((each) => each.field), step), range));
    const every = step === 60 ? "one a minute" : `one every ${duration(step)}`;
    const more = truncated ? "; there are more, choose a shorter range" : "";
    this.#say(`${plural(data.length, "record")}, ${every}${RESOLUTIONS[resolution] ?? ""}${more}`, false);
  }

  #say(text, empty) {
    setText(byId("history-status"), text);
    if (empty) show(byId("charts"), false);
  }
}
