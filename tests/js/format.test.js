import assert from "node:assert/strict";
import test from "node:test";

import * as format from "../static/format.js";

test("unknown is a dash and zero is zero", () => {
  for (const words of [format.count, format.duration, format.latency, format.bytes, format.percent, format.rate]) {
    assert.equal(words(null), "–");
    assert.equal(words(undefined), "–");
    assert.equal(words(NaN), "–");
    assert.match(words(0), /^0/);
  }
});

test("durations are cut down to the two largest units", () => {
  const wanted = { 59.9: "59 s", 60: "1 min", 3599: "59 min", 3600: "1 h", 11520: "3 h 12 min", 86400: "1 d", 187200: "2 d 4 h" };
  for (const [seconds, words] of Object.entries(wanted)) assert.equal(format.duration(Number(seconds)), words);
  assert.equal(format.duration(30 * 86400 + 7200), "30 d");
  assert.equal(format.duration(-3), "0 s");
});

test("numbers have their units", () => {
  assert.equal(format.count(1234567), "1,234,567");
  assert.equal(format.bytes(1536), "1.5 KiB");
  assert.equal(format.bytes(220 * 1024 * 1024), "220 MiB");
  assert.equal(format.latency(0.00021), "0.21 ms");
  assert.equal(format.latency(1.239), "1.24 s");
  assert.equal(format.plural(1, "job"), "1 job");
  assert.equal(format.plural(2, "process", "processes"), "2 processes");
});

test("only what is whole is called 100 %", () => {
  assert.equal(format.percent(1), "100 %");
  assert.equal(format.percent(0.99999), "99.9 %");
  assert.equal(format.percent(0.9734), "97 %");
  assert.equal(format.percent(0.012), "1.2 %");
});

test("a moment of another day has its date", () => {
  const now = new Date(2026, 10, 25, 14, 30);
  assert.equal(format.moment(new Date(2026, 10, 25, 14, 2), now), "14:02");
  assert.equal(format.moment(new Date(2026, 10, 24, 9, 5), now), "24 Nov, 09:05");
  assert.equal(format.moment("nonsense", now), "–");
  assert.equal(format.since(new Date(2026, 10, 25, 14, 18), now), "since 14:18 (12 min)");
  assert.equal(format.since(null, now), "");
});
