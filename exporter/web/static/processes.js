// The table of processes.

import { byId, setAttribute, setBadge, setText, setValue } from "./dom.js";
import { bytes, count, duration, moment, percent } from "./format.js";
import { Table } from "./table.js";
import { queueName } from "./words.js";

const LEVELS = {
  FATAL: "critical",
  BACKOFF: "critical",
  UNKNOWN: "warning",
  STARTING: "warning",
  STOPPING: "warning",
  STOPPED: "off",
  RUNNING: "ok",
};
const RANK = { critical: 0, warning: 1, off: 2, ok: 3 };

// How bad a process's state is. Pure.
export function level(process) {
  if (process.state === "EXITED") return process.exitStatus ? "warning" : "off";
  return LEVELS[process.state] ?? "warning";
}

export function processName({ group, process }) {
  return !group || group === process ? process : `${group}:${process}`;
}

const served = (row) => [...new Set((row.queues ?? []).map(queueName))].join(", ");

const figure = (id, label, value, words) => ({
  id,
  label,
  numeric: true,
  descending: true,
  value,
  render: (cell, row) => setValue(cell, words(value(row))),
});

const COLUMNS = [
  {
    id: "state",
    label: "State",
    value: (row) => RANK[level(row)],
    render: (cell, row) => {
      setBadge(cell, level(row), row.state);
      const status = row.exitStatus == null ? "" : `exit status ${row.exitStatus}`;
      setAttribute(cell, "title", row.spawnError || status || null);
    },
  },
  {
    id: "process",
    label: "Process",
    header: true,
    value: processName,
    render: (cell, row) => setText(cell, processName(row)),
  },
  { id: "host", label: "Host", value: (row) => row.host, render: (cell, row) => setText(cell, row.host) },
  { id: "serves", label: "Queues", value: served, render: (cell, row) => setValue(cell, served(row) || "–") },
  {
    ...figure("uptime", "Uptime", (row) => row.uptimeSeconds, duration),
    render: (cell, row) => {
      setValue(cell, duration(row.uptimeSeconds));
      setAttribute(cell, "title", row.startedAt ? `since ${moment(row.startedAt)}` : null);
    },
  },
  figure("restarts", "Restarts", (row) => row.restarts, count),
  figure("cpu", "CPU", (row) => row.cpuRatio, percent),
  figure("memory", "Memory", (row) => row.residentMemoryBytes, bytes),
];

export function processTable() {
  return new Table({
    table: byId("processes"),
    filter: byId("processes-filter"),
    status: byId("processes-status"),
    more: byId("processes-more"),
    columns: COLUMNS.map((column) => ({ ...column })),
    key: (row) => JSON.stringify([row.host, row.supervisor, row.group, row.process]),
    text: (row) => `${processName(row)} ${row.host} ${row.supervisor} ${row.state} ${served(row)}`,
    order: [["state", false], ["host", false], ["process", false]],
    noun: ["process", "processes"],
  });
}
