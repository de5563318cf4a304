// What is wrong, in sentences, worst first. Pure: numbers and a clock in, a list out; nothing here touches the page.
//
// An item is {severity: "critical"|"warning", about, text, weight}: `about` names the thing, `text` says why it is in
// trouble; among items of one severity the heavier stands first.

import { byName, bytes, count, duration, percent, plural, since } from "./format.js";
import { errorWords, processKey, queueKey, queueName, sourceName } from "./words.js";

export const LIMITS = Object.freeze({
  oldSeconds: 5 * 60, // a job that waits longer than this in a growing queue is late
  veryOldSeconds: 30 * 60, // and longer than this in any queue
  growingJobs: 100, // a growing queue whose oldest job is unknown
  memoryRatio: 0.9,
  memoryCritical: 0.97,
  connectionRatio: 0.9,
  diskRatio: 0.9,
  diskCritical: 0.97,
  certificateSeconds: 14 * 86400,
  risesWindow: 10 * 60, // seconds over which a rise of failed jobs, or of restarts, is told
  restarts: 3, // within that time: a process that keeps ending
});

const sum = (...values) => values.reduce((total, value) => total + (value ?? 0), 0);
const critical = (about, text, weight = 0) => ({ severity: "critical", about, text, weight });
const warning = (about, text, weight = 0) => ({ severity: "warning", about, text, weight });

// Workers of both grains; null where nobody knows.
export function workersOf(queue) {
  const { workers, registryWorkers } = queue;
  if (workers == null && registryWorkers == null) return null;
  return Math.max(workers ?? 0, registryWorkers ?? 0);
}

// Jobs that are kept because they failed, for good or not.
export function failuresOf(queue) {
  return queue.failed == null && queue.dead == null ? null : sum(queue.failed, queue.dead);
}

function oldest(queue) {
  if (queue.oldestJobAgeSeconds == null) return "";
  const bound = queue.ageIsLowerBound ? "at least " : "";
  return ` Oldest since ${bound}${duration(queue.oldestJobAgeSeconds)}.`;
}

// Several queues may share a name: then the name alone would mislead.
function namesOf(queues) {
  const seen = new Map();
  for (const queue of queues) seen.set(queueName(queue), (seen.get(queueName(queue)) ?? 0) + 1);
  return (queue) => {
    const name = queueName(queue);
    return seen.get(name) > 1 ? `${name} (${queue.system}, ${queue.redis})` : name;
  };
}

function queueTrouble(queue, about, rise, limits) {
  const found = [];
  const workers = workersOf(queue);
  const waiting = queue.waiting ?? 0;
  const age = queue.oldestJobAgeSeconds;
  const wait = waiting === 1 ? "1 job waits" : `${count(waiting)} jobs wait`;
  const outpaced = "the jobs come faster than they are done";
  // `short` is the same in a word or two, for the table.
  const say = (make, short, text, weight) => found.push({ ...make(about, text, weight), short, key: queueKey(queue) });
  if (queue.error) say(warning, "unreadable", `cannot be read: ${errorWords(queue.error)}.`, 1e9);
  if (waiting > 0 && queue.paused) {
    say(warning, "paused", `${wait}, and the queue is paused.${oldest(queue)}`, waiting);
  } else if (waiting > 0 && workers === 0) {
    say(critical, "no workers", `${wait}, nobody works on it.${oldest(queue)}`, waiting);
  } else if (waiting > 0 && age != null && age >= limits.oldSeconds && queue.trend === "growing") {
    const by = workers == null ? "" : ` with ${plural(workers, "worker")}`;
    const make = age >= limits.veryOldSeconds ? critical : warning;
    say(make, "falls behind", `${wait} and it grows${by}: ${outpaced}.${oldest(queue)}`, age);
  } else if (waiting > 0 && age != null && age >= limits.veryOldSeconds && queue.trend !== "draining") {
    say(warning, "stuck", `${wait} and it does not get shorter.${oldest(queue)}`, age);
  } else if (age == null && waiting >= limits.growingJobs && queue.trend === "growing") {
    say(warning, "grows", `${wait} and it grows: ${outpaced}.`, waiting);
  }
  if (rise && rise.by > 0) {
    say(warning, "failures", `${plural(rise.by, "job")} failed in the last ${duration(rise.seconds)}.`, rise.by);
  }
  return found;
}

const PROCESS_WORDS = {
  FATAL: [critical, "FATAL: supervisord has given up starting"],
  BACKOFF: [critical, "BACKOFF: ended too early, supervisord tries again with"],
  UNKNOWN: [warning, "UNKNOWN: supervisord lost track of"],
  EXITED: [warning, "EXITED with an error and not started again:"],
};

function processTrouble(processes) {
  const groups = new Map();
  for (const each of processes) {
    if (!Object.hasOwn(PROCESS_WORDS, each.state)) continue;
    if (each.state === "EXITED" && !each.exitStatus) continue;
    const key = JSON.stringify([each.host, each.supervisor, each.group, each.state]);
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups.values()].map((members) => {
    const [first] = members;
    const [make, words] = PROCESS_WORDS[first.state];
    const it = members.length === 1 ? "it" : `${members.length} processes`;
    const served = [...new Set(members.flatMap((each) => (each.queues ?? []).map(queueName)))];
    const why = members.map((each) => each.spawnError).find(Boolean);
    const status = members.map((each) => each.exitStatus).find((each) => each != null && each !== 0);
    const because = why ? ` (${why})` : status == null ? "" : ` (exit status ${status})`;
    const serves = served.length ? ` Serves ${served.slice(0, 5).join(", ")}${served.length > 5 ? " …" : ""}.` : "";
    const name = members.length === 1 && first.process !== first.group ? `${first.group}:${first.process}` : first.group;
    return make(`${name} on ${first.host}`, `${words} ${it}${because}.${serves}`, members.length);
  });
}

// One that starts well and ends soon, again and again, is never FATAL.
function crashLoops(processes, restarted, limits) {
  return processes.flatMap((each) => {
    const rise = restarted.get(processKey(each));
    if (!rise || rise.by < limits.restarts || each.state === "FATAL" || each.state === "BACKOFF") return [];
    const name = each.process === each.group ? each.group : `${each.group}:${each.process}`;
    const times = `${count(rise.by)} times in the last ${duration(rise.seconds)}`;
    return [warning(`${name} on ${each.host}`, `restarted ${times}: it keeps ending.`, rise.by)];
  });
}

function full(used, total) {
  return used != null && total ? used / total : null;
}

function redisTrouble(server, limits) {
  const about = `Redis ${server.target}`;
  if (server.up === false) return [critical(about, "does not answer. The queues in it cannot be read.")];
  const found = [];
  const memory = full(server.usedMemoryBytes, server.maxMemoryBytes);
  if (memory != null && memory >= limits.memoryRatio) {
    const text = `uses ${percent(memory)} of its ${bytes(server.maxMemoryBytes)}. When it is full it refuses jobs or drops keys.`;
    found.push((memory >= limits.memoryCritical ? critical : warning)(about, text, memory));
  }
  const clients = full(server.clients, server.maxClients);
  if (clients != null && clients >= limits.connectionRatio) {
    found.push(warning(about, `has ${count(server.clients)} of at most ${count(server.maxClients)} clients.`, clients));
  }
  return found;
}

function databaseTrouble(database, limits) {
  const about = `Database ${database.target}`;
  if (database.up === false) return [critical(about, "does not answer.")];
  const found = [];
  const ratio = full(database.connections, database.maxConnections);
  if (ratio != null && ratio >= limits.connectionRatio) {
    const text = `has ${count(database.connections)} of at most ${count(database.maxConnections)} connections.`;
    found.push(warning(about, text, ratio));
  }
  if (database.failedJobsError) {
    found.push(warning(about, `does not tell its failed jobs: ${errorWords(database.failedJobsError)}.`));
  }
  return found;
}

function probeTrouble(probe, limits, now) {
  const about = `Probe ${probe.target}`;
  if (probe.up === false) {
    const why = probe.status ? `answers with status ${probe.status}` : `fails: ${errorWords(probe.error)}`;
    return [critical(about, `${why}.`)];
  }
  if (probe.certificateExpiresAt == null) return [];
  const left = (new Date(probe.certificateExpiresAt).getTime() - now.getTime()) / 1000;
  if (left <= 0) return [critical(about, "has a certificate that has expired.")];
  if (left >= limits.certificateSeconds) return [];
  return [warning(about, `has a certificate that expires in ${duration(left)}.`, -left)];
}

function diskTrouble(disk, limits) {
  if (disk.usedRatio == null || disk.usedRatio < limits.diskRatio) return [];
  const make = disk.usedRatio >= limits.diskCritical ? critical : warning;
  const text = `is ${percent(disk.usedRatio)} full; ${bytes(disk.availableBytes)} are left.`;
  return [make(`Disk ${disk.target} on ${disk.host}`, text, disk.usedRatio)];
}

// The same server may be read by several hosts: one word about it is enough, and "it answers" from one host wins.
function once(items) {
  const best = new Map();
  for (const item of items) {
    const key = JSON.stringify([item.kind, item.target]);
    const have = best.get(key);
    if (!have || (have.up === false && item.up !== false)) best.set(key, item);
  }
  return [...best.values()];
}

// Return what is in trouble. `failed` maps queueKey() and `restarted` processKey() to {by, seconds}: what was seen to rise
// while the page was open.
export function findTrouble({ queues = [], processes = [], health = [], failed = new Map(), restarted = new Map(), now, limits = LIMITS }) {
  const name = namesOf(queues);
  const of = (kind) => health.filter((each) => each.kind === kind);
  const found = [
    ...queues.flatMap((queue) => queueTrouble(queue, name(queue), failed.get(queueKey(queue)), limits)),
    ...processTrouble(processes),
    ...crashLoops(processes, restarted, limits),
    ...once(of("redis")).flatMap((each) => redisTrouble(each, limits)),
    ...once(of("database")).flatMap((each) => databaseTrouble(each, limits)),
    ...once(of("probe")).flatMap((each) => probeTrouble(each, limits, now)),
    ...of("disk").flatMap((each) => diskTrouble(each, limits)),
  ];
  const rank = (item) => (item.severity === "critical" ? 0 : 1);
  return found.sort((a, b) => rank(a) - rank(b) || b.weight - a.weight || byName(a.about, b.about));
}

// Return the sentences that say which numbers are missing or old. `age` is that of the newest snapshot, in seconds.
export function findGaps({ sources = [], supervisors = [], missingHosts = [], age = null, interval = 15, now }) {
  const away = sources.filter((each) => each.up === false);
  // Of a Redis that is away both readings fail; one word about it is enough.
  const dead = new Set(away.filter((each) => each.kind === "redis").map((each) => JSON.stringify([each.host, each.target])));
  const down = away.filter((each) => each.kind !== "redis_server" || !dead.has(JSON.stringify([each.host, each.target])));
  const told = new Set(down.map((each) => JSON.stringify([each.host, each.target])));
  const silent = supervisors.filter((each) => each.up === false && !told.has(JSON.stringify([each.host, each.supervisor])));
  const gaps = [];
  if (age != null && age > Math.max(3 * interval, 30)) {
    gaps.push(`These numbers are old: nothing has been read for ${duration(age)}.`);
  }
  for (const host of missingHosts) gaps.push(`Host ${host} does not report; its workers are not counted here.`);
  for (const each of down) {
    const start = since(each.lastSuccessAt, now) || "never read since the exporter started";
    gaps.push(`No answer from ${sourceName(each)} ${start}: ${errorWords(each.error)}. What it would tell is missing here.`);
  }
  for (const each of silent) {
    gaps.push(`No answer from ${sourceName({ kind: "supervisor", target: each.supervisor, host: each.host })}.`);
  }
  return gaps;
}
