// The tiles: the fleet at a glance, and the health and performance of what is watched.

import { byId, el, reconcile, setAttribute, setBadge, setText, setValue, svg } from "./dom.js";
import { bytes, count, duration, latency, moment, percent, plural, rate } from "./format.js";
import { failuresOf } from "./trouble.js";
import { errorWords, queueName } from "./words.js";

// ---- the fleet at a glance ---------------------------------------------------------------------------------------------

// The six figures: {id, label, value, note, level}. Pure.
export function glance(stats, queues, processes) {
  const running = processes.filter((each) => each.state === "RUNNING").length;
  const down = processes.filter((each) => ["FATAL", "BACKOFF", "UNKNOWN"].includes(each.state)).length;
  const aged = queues.filter((each) => each.oldestJobAgeSeconds != null && each.waiting !== 0);
  const oldest = aged.reduce((worst, each) => (worst && worst.oldestJobAgeSeconds >= each.oldestJobAgeSeconds ? worst : each), null);
  const failing = queues.filter((each) => failuresOf(each) > 0);
  const most = failing.reduce((worst, each) => (worst && failuresOf(worst) >= failuresOf(each) ? worst : each), null);
  return [
    {
      id: "workers",
      label: "Workers",
      value: count(stats.workers),
      note: processes.length ? `${running} of ${plural(processes.length, "process", "processes")} run${down ? `, ${down} down` : ""}` : "",
      level: down ? "critical" : null,
    },
    { id: "pending", label: "Waiting", value: count(stats.pending), note: "jobs ready to run" },
    { id: "processing", label: "Active", value: count(stats.processing), note: "taken, not yet done" },
    { id: "delayed", label: "Delayed", value: count(stats.delayed), note: "due later" },
    {
      id: "oldest",
      label: "Oldest job",
      value: oldest ? `${oldest.ageIsLowerBound ? "≥ " : ""}${duration(oldest.oldestJobAgeSeconds)}` : "–",
      note: oldest ? `in ${queueName(oldest)}` : stats.pending === 0 ? "no job waits" : "age unknown",
    },
    {
      id: "failed",
      label: "Failed",
      value: count(stats.failed),
      note: most ? `most in ${queueName(most)}` : stats.completed == null ? "kept jobs" : `${count(stats.completed)} completed`,
    },
  ];
}

export function renderGlance(figures) {
  reconcile(
    byId("glance"),
    figures,
    (each) => each.id,
    (each) => el("div", { class: "figure" }, el("dt", {}, each.label), el("dd", { class: "value" }), el("dd", { class: "note" })),
    (node, each) => {
      setValue(node.children[1], each.value);
      setText(node.children[2], each.note);
      setAttribute(node, "data-level", each.level ?? null);
    },
  );
}

// ---- health and performance --------------------------------------------------------------------------------------------

const line = (label, value, bar = null) => ({ label, value, bar });
const ratioOf = (used, total) => (used != null && total ? Math.min(1, used / total) : null);

function redisTile(item) {
  const memory = ratioOf(item.usedMemoryBytes, item.maxMemoryBytes);
  return [
    line("Memory", item.maxMemoryBytes ? `${bytes(item.usedMemoryBytes)} of ${bytes(item.maxMemoryBytes)}` : bytes(item.usedMemoryBytes), memory),
    line("Hit rate", percent(item.hitRatio)),
    line("Answer to a PING", latency(item.pingSeconds)),
    line("Clients", item.maxClients ? `${count(item.clients)} of ${count(item.maxClients)}` : count(item.clients)),
    line("Keys", count(item.keys)),
    line("Evicted", count(item.evictedTotal)),
    line("Up for", duration(item.uptimeSeconds)),
  ];
}

function answerLines(performance) {
  const times = performance?.responseTime;
  if (!times) return [];
  return [
    line("Response", `${latency(times.avg)} on average`),
    line("95 % within", latency(times.p95)),
    line("99 % within", latency(times.p99)),
    ...(times.failures ? [line("Failures", `${count(times.failures)} of ${count(times.samples)}`)] : []),
  ];
}

function databaseTile(item, performance) {
  const tps = performance?.tps;
  return [
    line("Connections", `${count(item.connections)} of ${count(item.maxConnections)}`, ratioOf(item.connections, item.maxConnections)),
    ...(tps ? [line("Transactions", `${rate(tps.current)} a second`), line("In 5 min", `${rate(tps.min)} to ${rate(tps.max)}`)] : []),
    ...answerLines(performance),
    line("Slow statements", count(item.slowQueries)),
    line("Longest runs", duration(item.longestQuerySeconds)),
    line("Deadlocks", count(item.deadlocksTotal)),
    line("Size", bytes(item.sizeBytes)),
  ];
}

function probeTile(item, performance) {
  return [
    line("Status", item.status ? String(item.status) : errorWords(item.error)),
    ...answerLines(performance),
    ...(item.certificateExpiresAt ? [line("Certificate until", moment(item.certificateExpiresAt))] : []),
  ];
}

function hostTile(host, health, performance) {
  const find = (list, kind) => list.find((each) => each.kind === kind && each.host === host);
  const figures = find(performance, "host");
  const uptime = find(health, "uptime");
  const lines = [];
  if (figures) {
    const { cpuRatio, cpus, memoryUsedBytes, memoryTotalBytes } = figures;
    lines.push(
      line(cpus ? `CPU (${plural(cpus, "core")})` : "CPU", percent(cpuRatio), cpuRatio),
      line("Memory", `${bytes(memoryUsedBytes)} of ${bytes(memoryTotalBytes)}`, ratioOf(memoryUsedBytes, memoryTotalBytes)),
      line("Load", [figures.load1, figures.load5, figures.load15].map(rate).join(" · ")),
      line("Swap in use", bytes(figures.swapUsedBytes)),
    );
  }
  for (const disk of health.filter((each) => each.kind === "disk" && each.host === host)) {
    lines.push(line(`Disk ${disk.target}`, `${bytes(disk.availableBytes)} left`, disk.usedRatio));
  }
  if (uptime) {
    lines.push(line("Up, last 24 h", percent(uptime.uptimeRatio)), line("Up for", duration(uptime.uptimeSeconds)));
  }
  return lines;
}

const SERVERS = { redis: ["Redis", redisTile], database: ["Database", databaseTile], probe: ["Probe", probeTile] };

// The tiles as {key, title, level, word, lines: [{label, value, bar}]}. Pure.
export function healthTiles(health, performance) {
  const several = new Set([...health, ...performance].map((each) => each.host)).size > 1;
  const tiles = [];
  for (const [kind, [title, lines]] of Object.entries(SERVERS)) {
    for (const item of health.filter((each) => each.kind === kind)) {
      const same = (each) => each.kind === kind && each.host === item.host && each.target === item.target;
      const level = item.up == null ? "off" : item.up ? "ok" : "critical";
      tiles.push({
        key: JSON.stringify([kind, item.host, item.target]),
        title: `${title} ${item.target}`,
        note: [item.version, item.role, several ? `seen from ${item.host}` : null].filter(Boolean).join(" · "),
        level,
        word: { ok: "up", off: "not known", critical: "away" }[level],
        lines: item.up === false && kind !== "probe" ? [] : lines(item, performance.find(same)),
      });
    }
  }
  const machines = new Set([
    ...health.filter((each) => each.kind === "disk" || each.kind === "uptime").map((each) => each.host),
    ...performance.filter((each) => each.kind === "host").map((each) => each.host),
  ]);
  for (const host of [...machines].sort()) {
    tiles.push({ key: `host ${host}`, title: `Host ${host}`, note: "", level: null, lines: hostTile(host, health, performance) });
  }
  return tiles;
}

function makeBar() {
  return svg(
    "svg",
    { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", width: 100, height: 4 }),
    svg("rect", { class: "fill", width: 0, height: 4 }),
  );
}

function updateLine(node, { label, value, bar }) {
  setText(node.children[0], label);
  setValue(node.children[1].firstElementChild, value);
  let image = node.querySelector("svg");
  if (bar == null) {
    image?.remove();
    return;
  }
  if (!image) {
    image = makeBar();
    node.children[1].append(image);
  }
  setAttribute(image.lastElementChild, "width", (Math.max(0, Math.min(1, bar)) * 100).toFixed(1));
  setAttribute(image, "data-level", bar >= 0.97 ? "critical" : bar >= 0.9 ? "warning" : null);
}

function makeTile() {
  const title = el("h3", {}, el("span", { class: "name" }), el("span", { class: "state" }));
  return el("section", { class: "tile" }, title, el("p", { class: "note" }), el("dl"));
}

function updateTile(node, tile) {
  const [title, note, list] = node.children;
  setText(title.firstElementChild, tile.title);
  if (tile.level) setBadge(title.lastElementChild, tile.level, tile.word);
  setText(note, tile.note);
  reconcile(
    list,
    tile.lines,
    (each) => each.label,
    () => el("div", {}, el("dt"), el("dd", {}, el("span"))),
    updateLine,
  );
}

export function renderHealth(tiles) {
  reconcile(byId("health-tiles"), tiles, (each) => each.key, makeTile, updateTile);
  setText(byId("health-empty"), tiles.length ? "" : "Nothing is configured to be watched here.");
}
