import assert from "node:assert/strict";
import test from "node:test";

import { ApiError, Client } from "../static/client.js";
import { refusal } from "../static/history.js";
import { pause } from "../static/pace.js";
import { level, processName } from "../static/processes.js";
import { judge, newestFailure } from "../static/queues.js";
import { alone, columns, extremes, historyPath, RANGES, stepFor } from "../static/series.js";
import * as session from "../static/session.js";
import { runs, summary } from "../static/sparkline.js";
import { sorted } from "../static/table.js";
import { glance, healthTiles } from "../static/tiles.js";

class Storage {
  values = new Map();
  setItem(key, value) { this.values.set(key, value); }
  getItem(key) { return this.values.get(key) ?? null; }
  removeItem(key) { this.values.delete(key); }
}

test("the pace is the interval, slower after failures, never slower than a minute nor sooner than asked", () => {
  assert.equal(pause(15, 0), 15);
  assert.equal(pause(0.5, 0), 2);
  assert.deepEqual([1, 2, 3, 4, 9].map((failures) => pause(15, failures)), [15, 30, 60, 60, 60]);
  assert.equal(pause(120, 3), 120);
  assert.equal(pause(2, 1, 30), 30);
});

test("a token comes out of the fragment and out of the address", () => {
  const storage = new Storage();
  const history = { replaced: [], replaceState(...args) { this.replaced.push(args[2]); } };
  assert.ok(session.takeFragment({ hash: "#token=a%2Bb", pathname: "/x/", search: "?y" }, history, storage));
  assert.equal(session.token(storage), "a+b");
  assert.deepEqual(history.replaced, ["/x/?y"]);
  assert.ok(!session.takeFragment({ hash: "#queues", pathname: "/", search: "" }, history, storage));
  assert.ok(session.takeFragment({ hash: "#token=100%", pathname: "/", search: "" }, history, storage));
  assert.equal(session.token(storage), "100%");
  assert.ok(!session.keep(storage, "two words") && !session.keep(storage, "Schlüssel") && !session.keep(storage, " "));
  session.forget(storage);
  assert.equal(session.token(storage), null);
});

test("the client sends token and ETag, and tells the kinds of failures apart", async () => {
  const calls = [];
  const replies = [
    () => new Response('{"a": 1}', { headers: { ETag: '"1"' } }),
    () => new Response(null, { status: 304 }),
    () => new Response('{"error": {"code": "unauthorized", "message": "no"}}', { status: 401 }),
    () => new Response("<html>", { status: 502 }),
    () => new Response("{}", { status: 429, headers: { "Retry-After": "7" } }),
    () => new Response("<html>"),
    () => { throw new TypeError("Failed to fetch"); },
  ];
  const client = new Client(() => "secret", async (path, options) => { calls.push([path, options]); return replies.shift()(); });
  assert.deepEqual(await client.get("p"), { a: 1 });
  assert.equal(await client.get("p"), null);
  assert.equal(calls[1][1].headers["If-None-Match"], '"1"');
  assert.equal(calls[1][1].headers.Authorization, "Bearer secret");
  const kinds = [];
  for (let i = 0; i < 5; i += 1) await client.get("p").catch((error) => kinds.push([error.kind, error.message, error.retryAfter]));
  assert.deepEqual(kinds, [
    ["token", "no", null],
    ["error", "the exporter answered with status 502", null],
    ["busy", "the exporter answered with status 429", 7],
    ["away", "its answer makes no sense", null],
    ["away", "the connection failed", null],
  ]);
});

test("a range is asked for in UTC and with no more points than can be seen", () => {
  assert.deepEqual(Object.values(RANGES).map(stepFor), [60, 60, 60, 600, 1800]);
  assert.equal(stepFor(1e9), 86400);
  const path = historyPath({ start: new Date(0), end: new Date(3600000), queue: "a&b", cursor: "c=" });
  assert.equal(path, "api/system/queue/historical?start_date=1970-01-01T00%3A00%3A00.000Z&end_date=1970-01-01T01%3A00%3A00.000Z&step=60&queue=a%26b&cursor=c%3D");
});

test("missing minutes are gaps, unknown numbers too, and order does not matter", () => {
  const at = (minute, n) => ({ recorded_at: new Date(minute * 60000).toISOString(), n });
  assert.deepEqual(columns([at(5, 4), at(1, 1), at(2, null), at(2, 9)], ["n"], 60), [[60, 120, 180, 300], [1, null, null, 4]]);
  assert.deepEqual(extremes([null, 3, 1, null]), { last: 1, low: 1, high: 3 });
  assert.equal(extremes([null]), null);
});

test("what history refuses is said in words", () => {
  const words = (status, code, message) => refusal(new ApiError("error", message, { status, code }));
  assert.match(words(503, "service_unavailable", "history is not configured: set [history] dsn"), /^History is not configured/);
  assert.equal(words(503, "service_unavailable", "the database does not answer."), "History cannot be shown: the database does not answer.");
  assert.match(refusal(new ApiError("away", "the connection failed")), /cannot be read/);
});

test("rows are sorted with the unknown last, whatever the direction", () => {
  const column = { value: (row) => row.n };
  const rows = [{ n: 2 }, { n: null }, { n: 10 }];
  assert.deepEqual(sorted(rows, [[column, false]]).map((row) => row.n), [2, 10, null]);
  assert.deepEqual(sorted(rows, [[column, true]]).map((row) => row.n), [10, 2, null]);
});

test("sparklines leave gaps and have words", () => {
  const times = ["2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"];
  assert.equal(runs(times, [1, null, 2]).length, 2);
  assert.equal(summary(times, [1, null, 4]), "waiting over 2 min: lowest 1, highest 4, last 4");
  assert.equal(summary([], []), "no readings yet");
});

test("states in a word", () => {
  assert.equal(judge({ waiting: 0, paused: true }, []).word, "paused");
  assert.equal(judge({ waiting: 0, active: 0 }, []).word, "empty");
  assert.equal(judge({ waiting: 1 }, []).word, "fine");
  assert.deepEqual(judge({}, [{ severity: "critical", short: "no workers", text: "x" }]), { level: "critical", word: "no workers", why: "x" });
  assert.deepEqual(["RUNNING", "FATAL", "STOPPED", "NEW"].map((state) => level({ state })), ["ok", "critical", "off", "warning"]);
  assert.deepEqual([level({ state: "EXITED", exitStatus: 0 }), level({ state: "EXITED", exitStatus: 1 })], ["off", "warning"]);
  assert.equal(processName({ group: "a", process: "a" }), "a");
});

test("the fleet at a glance tells unknown from zero", () => {
  const figures = Object.fromEntries(glance({ pending: 0, workers: null }, [], []).map((each) => [each.id, each.value]));
  assert.deepEqual(figures, { workers: "–", pending: "0", processing: "–", delayed: "–", oldest: "–", failed: "–" });
});

test("no oldest job is said to be none only where nothing waits", () => {
  const note = (stats) => glance(stats, [{ waiting: null, oldestJobAgeSeconds: null }], []).find((each) => each.id === "oldest").note;
  assert.equal(note({ pending: 0 }), "no job waits");
  assert.equal(note({ pending: 3 }), "age unknown");
  assert.equal(note({ pending: null }), "age unknown");
});

test("the newest failure is told where it is known", () => {
  const now = new Date(2026, 0, 2, 12, 0);
  assert.equal(newestFailure({ newestFailureAt: null }, now), "");
  assert.equal(newestFailure({}, now), "");
  assert.equal(newestFailure({ newestFailureAt: new Date(2026, 0, 2, 11, 58).toISOString() }, now), "newest failure: 11:58");
});

test("a server that is away has no figures", () => {
  const [tile] = healthTiles([{ kind: "redis", host: "a", target: "r", up: false, keys: 4 }], []);
  assert.equal(tile.word, "away");
  assert.deepEqual(tile.lines, []);
});

test("a value between unknown ones is shown as a point", () => {
  assert.deepEqual(alone([5]), [0]);
  assert.deepEqual(alone([1, 2, null, 3, null, 4, 5]), [3]);
  assert.deepEqual(alone([null, undefined]), []);
});
