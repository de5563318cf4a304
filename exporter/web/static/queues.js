// The table of queues.

import { byId, el, setAttribute, setBadge, setText, setValue } from "./dom.js";
import { count, duration, moment } from "./format.js";
import { sparkline } from "./sparkline.js";
import { Table } from "./table.js";
import { failuresOf, workersOf } from "./trouble.js";
import { queueKey, queueName } from "./words.js";

const RANK = { critical: 0, warning: 1, off: 2, ok: 3 };

// The state of a queue in a word: that of its worst trouble. Pure.
export function judge(queue, troubles) {
  const [worst] = troubles;
  if (worst) return { level: worst.severity, word: worst.short, why: troubles.map((each) => each.text).join(" ") };
  if (queue.paused) return { level: "off", word: "paused", why: "The queue is paused." };
  const live = [queue.waiting, queue.active, queue.delayed, queue.retry, queue.blocked];
  if (live.every((value) => value === 0 || value == null)) return { level: "ok", word: "empty", why: "No job waits." };
  return { level: "ok", word: "fine", why: "" };
}

function drained(queue) {
  if (queue.drainSeconds != null) return duration(queue.drainSeconds);
  if (queue.waiting === 0) return "empty";
  return queue.trend === "growing" ? "grows" : queue.trend === "steady" ? "steady" : "–";
}

function age(queue) {
  if (queue.oldestJobAgeSeconds == null) return "–";
  return `${queue.ageIsLowerBound ? "≥ " : ""}${duration(queue.oldestJobAgeSeconds)}`;
}

// When the newest failed job failed, in words; "" where that is not known. Pure.
export function newestFailure(queue, now = new Date()) {
  return queue.newestFailureAt == null ? "" : `newest failure: ${moment(queue.newestFailureAt, now)}`;
}

const number = (id, label, value) => ({
  id,
  label,
  numeric: true,
  descending: true,
  value,
  render: (cell, row) => {
    setValue(cell, count(value(row)));
    cell.classList.toggle("zero", value(row) === 0);
  },
});

const plain = (id, label, value, extra = {}) => ({
  id,
  label,
  value,
  render: (cell, row) => setText(cell, value(row)),
  ...extra,
});

const COLUMNS = [
  {
    id: "state",
    label: "State",
    value: (row) => RANK[row.state.level],
    render: (cell, row) => {
      setBadge(cell, row.state.level, row.state.word);
      setAttribute(cell, "title", row.state.why || null);
    },
  },
  plain("queue", "Queue", queueName, { header: true }),
  plain("system", "System", (row) => row.system),
  plain("redis", "Redis", (row) => row.redis),
  number("waiting", "Waiting", (row) => row.waiting),
  {
    id: "recent",
    label: "Recent",
    descending: true,
    value: (row) => Math.max(0, ...(row.recent?.waiting ?? []).filter((value) => value != null)),
    render: (cell, row) => sparkline(cell, row.recent),
  },
  number("active", "Active", (row) => row.active),
  number("delayed", "Delayed", (row) => row.delayed),
  {
    ...number("failed", "Failed", failuresOf),
    render: (cell, row) => {
      const words = newestFailure(row);
      const shown = `${count(failuresOf(row))}\n${words}`;
      if (cell.dataset.shown === shown) return;
      cell.dataset.shown = shown;
      delete cell.dataset.value; // what stands in the cell is not what setValue() put there
      setValue(cell, count(failuresOf(row)));
      cell.classList.toggle("zero", failuresOf(row) === 0);
      setAttribute(cell, "title", words || null);
      if (words) cell.append(el("span", { class: "unseen" }, `, ${words}`));
    },
  },
  number("workers", "Workers", workersOf),
  {
    id: "oldest",
    label: "Oldest",
    numeric: true,
    descending: true,
    value: (row) => row.oldestJobAgeSeconds,
    render: (cell, row) => setValue(cell, age(row)),
  },
  {
    id: "drained",
    label: "Drained in",
    numeric: true,
    descending: true,
    value: (row) => row.drainSeconds,
    render: (cell, row) => setValue(cell, drained(row)),
  },
];

export function queueTable() {
  return new Table({
    table: byId("queues"),
    filter: byId("queues-filter"),
    status: byId("queues-status"),
    more: byId("queues-more"),
    columns: COLUMNS.map((column) => ({ ...column })),
    key: queueKey,
    text: (row) => `${queueName(row)} ${row.system} ${row.redis} ${row.state.word}`,
    order: [["state", false], ["oldest", true], ["waiting", true], ["queue", false], ["redis", false]],
    noun: ["queue", "queues"],
  });
}
