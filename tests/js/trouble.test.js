import assert from "node:assert/strict";
import test from "node:test";

import { failures, restarts } from "../static/rises.js";
import { findGaps, findTrouble } from "../static/trouble.js";
import { processKey, queueKey } from "../static/words.js";

const now = new Date("2026-11-25T12:00:00Z");
const queue = (fields) => ({ redis: "default", system: "laravel", queue: "mail", waiting: 0, workers: 2, ...fields });
const process = (fields) => ({
  host: "web-1", supervisor: "main", group: "mail", process: "mail_00", state: "RUNNING", exitStatus: null, queues: [], ...fields,
});
const sentences = (state) => findTrouble({ now, ...state }).map((each) => `${each.severity}: ${each.about}: ${each.text}`);

test("nothing is in trouble where all is well, nor where nothing is known", () => {
  assert.deepEqual(sentences({}), []);
  assert.deepEqual(sentences({ queues: [queue({}), queue({ queue: "b", waiting: 9, workers: null })] }), []);
  assert.deepEqual(sentences({ queues: [queue({ waiting: 9, workers: 0, registryWorkers: 3 })] }), []);
  assert.deepEqual(sentences({ queues: [queue({ waiting: null, workers: 0 })] }), []);
  assert.deepEqual(sentences({ processes: [process({}), process({ state: "STOPPED" }), process({ state: "EXITED", exitStatus: 0 })] }), []);
});

test("jobs wait and nobody works", () => {
  const alone = queue({ waiting: 120, workers: 0, oldestJobAgeSeconds: 862 });
  assert.deepEqual(sentences({ queues: [alone] }), ["critical: mail: 120 jobs wait, nobody works on it. Oldest since 14 min."]);
  assert.deepEqual(sentences({ queues: [queue({ waiting: 1, workers: null, registryWorkers: 0 })] }), [
    "critical: mail: 1 job waits, nobody works on it.",
  ]);
});

test("an old job in a growing queue, however many workers", () => {
  const [late] = sentences({ queues: [queue({ waiting: 480, oldestJobAgeSeconds: 432, trend: "growing", ageIsLowerBound: true })] });
  assert.equal(late, "warning: mail: 480 jobs wait and it grows with 2 workers: the jobs come faster than they are done. Oldest since at least 7 min.");
  assert.match(sentences({ queues: [queue({ waiting: 4, oldestJobAgeSeconds: 1801, trend: "growing" })] })[0], /^critical/);
  assert.deepEqual(sentences({ queues: [queue({ waiting: 480, oldestJobAgeSeconds: 299, trend: "growing" })] }), []);
  assert.deepEqual(sentences({ queues: [queue({ waiting: 480, oldestJobAgeSeconds: 4000, trend: "draining" })] }), []);
  assert.match(sentences({ queues: [queue({ waiting: 4, oldestJobAgeSeconds: 4000, trend: "steady" })] })[0], /does not get shorter/);
});

test("a growing queue of unknown age, a paused one, one that cannot be read", () => {
  assert.match(sentences({ queues: [queue({ waiting: 100, trend: "growing" })] })[0], /^warning: mail: 100 jobs wait and it grows/);
  assert.match(sentences({ queues: [queue({ queue: "", system: "sidekiq", waiting: 5, workers: 0 })] })[0], /^critical: all queues of sidekiq: 5 jobs wait/);
  assert.match(sentences({ queues: [queue({ waiting: 5, paused: true, workers: 0 })] })[0], /5 jobs wait, and the queue is paused/);
  assert.equal(sentences({ queues: [queue({ waiting: null, error: "wrong_type" })] })[0], "warning: mail: cannot be read: a key has an unexpected type.");
});

test("queues of one name are told apart", () => {
  const state = { queues: [queue({ waiting: 2, workers: 0 }), queue({ redis: "other", waiting: 3, workers: 0 })] };
  assert.deepEqual(findTrouble({ now, ...state }).map((each) => each.about), ["mail (laravel, other)", "mail (laravel, default)"]);
});

test("the worst and the fullest stand first", () => {
  const queues = [
    queue({ queue: "slow", waiting: 9, oldestJobAgeSeconds: 400, trend: "growing" }),
    queue({ queue: "few", waiting: 2, workers: 0 }),
    queue({ queue: "many", waiting: 900, workers: 0 }),
  ];
  assert.deepEqual(findTrouble({ queues, now }).map((each) => each.about), ["many", "few", "slow"]);
});

test("processes that do not run are told by group, with the reason", () => {
  const served = [{ redis: "default", system: "laravel", queue: "mail" }];
  const fatal = [0, 1, 2].map((n) => process({ process: `mail_0${n}`, state: "FATAL", spawnError: "can't find command", queues: served }));
  assert.deepEqual(sentences({ processes: fatal }), [
    "critical: mail on web-1: FATAL: supervisord has given up starting 3 processes (can't find command). Serves mail.",
  ]);
  assert.deepEqual(sentences({ processes: [process({ state: "BACKOFF", exitStatus: 1 })] }), [
    "critical: mail:mail_00 on web-1: BACKOFF: ended too early, supervisord tries again with it (exit status 1).",
  ]);
  assert.match(sentences({ processes: [process({ state: "EXITED", exitStatus: 3 })] })[0], /exit status 3/);
});

test("servers, disks and probes", () => {
  const health = [
    { kind: "redis", host: "a", target: "r", up: true, usedMemoryBytes: 93, maxMemoryBytes: 100 },
    { kind: "redis", host: "a", target: "full", up: true, usedMemoryBytes: 99, maxMemoryBytes: 100 },
    { kind: "redis", host: "a", target: "free", up: true, usedMemoryBytes: 99, maxMemoryBytes: 0 },
    { kind: "database", host: "a", target: "app", up: false },
    { kind: "probe", host: "a", target: "site", up: false, status: 502 },
    { kind: "probe", host: "a", target: "shop", up: false, status: null, error: "timeout" },
    { kind: "probe", host: "a", target: "old", up: true, certificateExpiresAt: "2026-11-24T12:00:00Z" },
    { kind: "probe", host: "a", target: "soon", up: true, certificateExpiresAt: "2026-11-28T12:00:00Z" },
    { kind: "disk", host: "a", target: "/", usedRatio: 0.94, availableBytes: 1024 },
    { kind: "disk", host: "a", target: "/data", usedRatio: 0.5, availableBytes: 1024 },
  ];
  const found = sentences({ health });
  for (const sentence of [
    "critical: Redis full: uses 99 % of its 100 B. When it is full it refuses jobs or drops keys.",
    "critical: Database app: does not answer.",
    "critical: Probe site: answers with status 502.",
    "critical: Probe shop: fails: no answer in time.",
    "critical: Probe old: has a certificate that has expired.",
    "warning: Probe soon: has a certificate that expires in 3 d.",
    "warning: Disk / on a: is 94 % full; 1.0 KiB are left.",
  ]) assert.ok(found.includes(sentence), `${sentence} not in ${found.join("\n")}`);
  assert.equal(found.length, 8);
});

test("a server that one host reaches and another does not is not away", () => {
  const health = [{ kind: "redis", host: "a", target: "r", up: false }, { kind: "redis", host: "b", target: "r", up: true }];
  assert.deepEqual(sentences({ health }), []);
});

test("gaps name what is missing, since when and why", () => {
  const sources = [
    { host: "web-1", kind: "supervisor", target: "main", up: false, error: "refused", lastSuccessAt: "2026-11-25T11:48:00Z" },
    { host: "web-1", kind: "redis", target: "r", up: true, error: null },
    { host: "web-1", kind: "database", target: "app", up: false, error: "brand_new", lastSuccessAt: null },
  ];
  const supervisors = [{ host: "web-1", supervisor: "main", up: false }, { host: "web-9", supervisor: "main", up: false }];
  const gaps = findGaps({ sources, supervisors, missingHosts: ["web-2"], age: 300, interval: 15, now });
  assert.equal(gaps.length, 5);
  assert.equal(gaps[0], "These numbers are old: nothing has been read for 5 min.");
  assert.match(gaps[1], /^Host web-2 does not report/);
  assert.match(gaps[2], /^No answer from supervisord main on web-1 since \d\d:\d\d \(12 min\): connection refused\./);
  assert.match(gaps[3], /^No answer from database app on web-1 never read since the exporter started: brand new\./);
  assert.match(gaps[4], /supervisord main on web-9/);
  assert.deepEqual(findGaps({ age: 20, interval: 15, now }), []);
});

test("a Redis that is away is told once", () => {
  const both = ["redis_server", "redis"].map((kind) => ({ host: "a", kind, target: "r", up: false, error: "refused" }));
  assert.equal(findGaps({ sources: both, now }).length, 1);
  assert.equal(findGaps({ sources: [both[0]], now }).length, 1);
});

test("failures that rise are told, those that stand still are not", () => {
  const rises = failures();
  const read = (failed, seconds) => rises.read([queue({ failed })], seconds).get(queueKey(queue({})));
  assert.equal(read(7, 0), undefined);
  assert.equal(read(7, 60), undefined);
  assert.deepEqual(read(9, 120), { by: 2, seconds: 60 });
  assert.deepEqual(read(1, 180), { by: 2, seconds: 120 }, "tidying up takes nothing back");
  assert.deepEqual(read(4, 240), { by: 5, seconds: 180 });
  assert.equal(read(4, 900), undefined, "what was long ago is over");
  const told = sentences({ queues: [queue({})], failed: new Map([[queueKey(queue({})), { by: 5, seconds: 180 }]]) });
  assert.deepEqual(told, ["warning: mail: 5 jobs failed in the last 3 min."]);
});

test("a true counter counts before what is kept, and a queue that went is forgotten", () => {
  const rises = failures();
  rises.read([queue({ failed: 3, failedTotal: 100 })], 0);
  assert.equal(rises.read([queue({ failed: 9, failedTotal: 100 })], 10).size, 0);
  rises.read([], 20);
  assert.equal(rises.read([queue({ failed: 9, failedTotal: 150 })], 30).size, 0);
});

test("a process that starts well and ends soon, again and again", () => {
  const rises = restarts();
  const read = (fields, seconds) => {
    const processes = [process({ state: "STARTING", ...fields })];
    return sentences({ processes, restarted: rises.read(processes, seconds) });
  };
  assert.deepEqual(read({ restarts: 8 }, 0), []);
  assert.deepEqual(read({ restarts: 10 }, 10), []);
  assert.deepEqual(read({ restarts: 11 }, 20), ["warning: mail:mail_00 on web-1: restarted 3 times in the last 20 s: it keeps ending."]);
  assert.deepEqual(read({ restarts: 11, state: "FATAL" }, 30).length, 1, "what is FATAL is told once");
  assert.deepEqual(read({ restarts: 11 }, 900), []);
  assert.notEqual(processKey(process({})), processKey(process({ host: "web-2" })));
});

test("failed jobs that cannot be counted", () => {
  const database = { kind: "database", host: "web-1", target: "app", up: true, failedJobsError: "acl_denied" };
  assert.deepEqual(sentences({ health: [database] }), ["warning: Database app: does not tell its failed jobs: the user may not run a command."]);
});
