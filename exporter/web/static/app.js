// The page: asks the API in rounds, keeps the last answers, shows them, and says in words what is missing.

import { ApiError, Client } from "./client.js";
import { badge, byId, el, reconcile, setAttribute, setText, show } from "./dom.js";
import { duration, moment, plural } from "./format.js";
import { History } from "./history.js";
import { pause } from "./pace.js";
import { processTable } from "./processes.js";
import { judge, queueTable } from "./queues.js";
import { failures, restarts } from "./rises.js";
import * as session from "./session.js";
import { glance, healthTiles, renderGlance, renderHealth } from "./tiles.js";
import { findGaps, findTrouble } from "./trouble.js";
import { queueKey } from "./words.js";

const FIRST = "stats";
const PATHS = {
  stats: "api/system/queue/stats",
  queues: "api/system/queues",
  workers: "api/system/workers",
  health: "api/system/health",
  performance: "api/system/performance",
};
const TITLE = "Depthgauge";
const SHOWN_TROUBLES = 12;

class Page {
  answers = {}; // the last good answer of each path
  failures = {}; // and the error of those that failed last time
  receivedAt = 0;
  awaySince = null;
  inARow = 0;
  timer = null;
  busy = false;
  paused = false;
  signedOut = false;

  constructor(interval) {
    this.interval = interval;
    this.client = new Client(() => session.token(sessionStorage));
    this.queues = queueTable();
    this.processes = processTable();
    this.jobFailures = failures();
    this.processRestarts = restarts();
    this.rises = { failed: new Map(), restarted: new Map() };
    this.history = new History(this.client, () => this.signOut());
  }

  start() {
    byId("sign-in").addEventListener("submit", (event) => {
      event.preventDefault(); // the policy forbids forms to go anywhere
      this.signIn(byId("token").value);
    });
    byId("forget").addEventListener("click", () => this.forget());
    byId("pause").addEventListener("click", () => this.togglePause());
    addEventListener("hashchange", () => {
      if (session.takeFragment(location, history, sessionStorage)) this.changedToken();
    });
    document.addEventListener("visibilitychange", () => this.schedule(0));
    setInterval(() => this.tick(), 1000);
    this.schedule(0);
  }

  // ---- rounds -----------------------------------------------------------------------------------------------------------

  schedule(seconds) {
    clearTimeout(this.timer);
    if (document.hidden || this.paused || this.signedOut) return;
    this.timer = setTimeout(() => this.round(), seconds * 1000);
  }

  async round() {
    if (this.busy) return;
    this.busy = true;
    const token = session.token(sessionStorage);
    let wait = null;
    try {
      // One request first: where nobody answers, or no token is known, four more would only repeat it.
      await this.ask(FIRST);
      await Promise.all(Object.keys(PATHS).filter((name) => name !== FIRST).map((name) => this.ask(name)));
      this.answered();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (token === session.token(sessionStorage)) wait = this.failed(error);
    } finally {
      this.busy = false;
    }
    this.render();
    this.schedule(token === session.token(sessionStorage) ? pause(this.interval, this.inARow, wait) : 0);
  }

  async ask(name) {
    try {
      const answer = await this.client.get(PATHS[name]);
      delete this.failures[name];
      if (answer === null) return;
      this.answers[name] = answer;
      if (name === FIRST) this.receivedAt = performance.now();
      if (name === "queues") this.rises.failed = this.jobFailures.read(answer.data, performance.now() / 1000);
      if (name === "workers") this.rises.restarted = this.processRestarts.read(answer.data, performance.now() / 1000);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.failures[name] = error;
      if (name === FIRST || error.kind === "token" || error.kind === "away") throw error;
    }
  }

  answered() {
    this.inARow = 0;
    this.awaySince = null;
    this.signedOut = false;
    this.history.refresh();
  }

  // Return the seconds that the exporter asked us to wait, if it did.
  failed(error) {
    if (error.kind === "token") this.signOut();
    else {
      this.inARow += 1;
      this.awaySince ??= new Date();
    }
    return error.retryAfter;
  }

  togglePause() {
    this.paused = !this.paused;
    setAttribute(byId("pause"), "aria-pressed", String(this.paused));
    setText(byId("pause"), this.paused ? "Go on" : "Pause");
    this.schedule(0);
    this.render();
  }

  // ---- the token --------------------------------------------------------------------------------------------------------

  signIn(value) {
    if (!session.keep(sessionStorage, value)) {
      setText(byId("sign-in-error"), "This is no token: it has to be one word of letters, digits and signs.");
      return;
    }
    byId("token").value = "";
    this.changedToken();
  }

  changedToken() {
    this.client.reset();
    this.signedOut = false;
    this.schedule(0);
  }

  forget() {
    session.forget(sessionStorage);
    this.answers = {};
    this.changedToken();
    this.render();
  }

  signOut() {
    const had = session.token(sessionStorage) !== null;
    this.signedOut = true;
    session.forget(sessionStorage);
    this.client.reset();
    const words = had ? "The exporter does not accept this token." : "";
    setText(byId("sign-in-error"), words);
    this.render();
    byId("token").focus();
  }

  // ---- showing ----------------------------------------------------------------------------------------------------------

  get age() {
    const { stats } = this.answers;
    return stats?.ageSeconds == null ? null : stats.ageSeconds + (performance.now() - this.receivedAt) / 1000;
  }

  tick() {
    const { stats } = this.answers;
    if (!stats || document.hidden) return;
    setText(byId("age"), this.age == null ? "age unknown" : `${duration(this.age)} ago`);
  }

  render() {
    const { stats, queues, workers, health, performance: figures } = this.answers;
    show(byId("sign-in"), this.signedOut);
    show(byId("forget"), session.token(sessionStorage) !== null);
    show(byId("content"), Boolean(stats) && !this.signedOut);
    show(byId("loading"), !stats && !this.signedOut && !this.awaySince);
    show(byId("facts"), Boolean(stats) && !this.signedOut);
    setAttribute(byId("content"), "data-stale", this.awaySince !== null);
    this.renderBanner();
    if (!stats || this.signedOut) {
      document.title = TITLE;
      return;
    }
    this.tick();
    this.renderFacts(stats);
    const rows = queues?.data ?? [];
    const processes = workers?.data ?? [];
    const now = new Date();
    const troubles = findTrouble({ queues: rows, processes, health: health?.data, ...this.rises, now });
    this.renderTroubles(troubles, rows);
    renderGlance(glance(stats, rows, processes));
    const byQueue = Map.groupBy?.(troubles, (each) => each.key) ?? groupBy(troubles);
    this.queues.update(rows.map((row) => ({ ...row, state: judge(row, byQueue.get(queueKey(row)) ?? []) })));
    this.processes.update(processes);
    renderHealth(healthTiles(health?.data ?? [], figures?.data ?? []));
    this.history.offer(rows.map((row) => row.queue));
  }

  renderFacts(stats) {
    const hosts = stats.hosts ?? [];
    const few = hosts.length <= 4 ? hosts.join(", ") : `${hosts.slice(0, 3).join(", ")} and ${hosts.length - 3} more`;
    setText(byId("hosts"), hosts.length === 1 ? `Host ${few}` : `${plural(hosts.length, "host")}: ${few}`);
    setAttribute(byId("hosts"), "title", hosts.join(", ") || null);
    const sources = { cache: "whole fleet, from the cache", direct: "this host only, read directly" };
    setText(byId("source"), sources[stats.source] ?? stats.source ?? "");
  }

  renderTroubles(troubles, rows) {
    const critical = troubles.some((each) => each.severity === "critical");
    const gaps = this.gaps().length > 0;
    const fine = rows.length === 0 ? "No queue is known yet." : "All queues are fine.";
    const calm = gaps ? "No trouble in what can be read." : fine;
    const verdict = troubles.length ? plural(troubles.length, "thing is in trouble", "things are in trouble") : calm;
    setText(byId("verdict"), verdict);
    setAttribute(byId("trouble"), "data-level", troubles.length ? (critical ? "critical" : "warning") : gaps ? "off" : "ok");
    document.title = troubles.length ? `(${troubles.length}) ${TITLE}` : TITLE;
    reconcile(
      byId("troubles"),
      troubles.slice(0, SHOWN_TROUBLES),
      (each) => JSON.stringify([each.severity, each.about, each.key, each.short ?? each.text.replace(/\d/g, "")]),
      (each) =>
        el(
          "li",
          { class: each.severity },
          badge(each.severity, each.severity === "critical" ? "Critical" : "Warning"),
          el("span", { class: "sentence" }, el("b", {}, `${each.about}: `), el("span")),
        ),
      (node, each) => setText(node.lastElementChild.lastElementChild, each.text),
    );
    const more = troubles.length - SHOWN_TROUBLES;
    setText(byId("troubles-more"), more > 0 ? `And ${more} more: see the tables below.` : "");
  }

  gaps() {
    const { stats, workers, health } = this.answers;
    return findGaps({
      sources: health?.sources,
      supervisors: workers?.supervisors,
      missingHosts: stats?.missingHosts,
      age: this.awaySince ? null : this.age,
      interval: this.interval,
      now: new Date(),
    });
  }

  renderBanner() {
    const lines = [];
    const error = this.failures[FIRST];
    if (this.awaySince) lines.push(this.unreachable(error));
    if (this.paused) lines.push("Paused: these numbers stand still until you go on.");
    if (this.answers.stats && !this.signedOut) lines.push(...this.gaps());
    for (const [name, failure] of Object.entries(this.failures)) {
      if (name !== FIRST && failure.kind === "error") lines.push(`The ${name} cannot be shown: ${failure.message}.`);
    }
    reconcile(
      byId("banner"),
      this.signedOut ? [] : lines.map((text, index) => ({ text, index })),
      (each) => String(each.index),
      () => el("p"),
      (node, each) => setText(node, each.text),
    );
  }

  unreachable(error) {
    const kept = this.answers.stats ? " The last numbers stay below, in grey." : "";
    const start = `since ${moment(this.awaySince)}`;
    if (error?.kind === "busy") return `The exporter asks to wait: too many requests.${kept}`;
    if (error?.kind === "error") return `The exporter has no numbers ${start}: ${error.message.replace(/\.$/, "")}.${kept}`;
    return `The exporter cannot be reached ${start}: ${error?.message ?? "the connection failed"}.${kept} Trying again.`;
  }
}

// For browsers without Map.groupBy.
function groupBy(items) {
  const groups = new Map();
  for (const item of items) groups.set(item.key, [...(groups.get(item.key) ?? []), item]);
  return groups;
}

session.takeFragment(location, history, sessionStorage);
new Page(Number(document.body.dataset.interval) || 15).start();
