// Bull or BullMQ at hand: reads one JSON object a line from stdin, does it with the library, prints one JSON object a line.
//
// Usage: node bullmq_station.js NODE_MODULES PACKAGE PORT DATABASE PREFIX
"use strict";
const path = require("node:path");
const readline = require("node:readline");

const [folder, name, port, database, prefix] = process.argv.slice(2);
const library = require(path.join(folder, name));
const legacy = name === "bull";
const connection = { host: "127.0.0.1", port: Number(port), db: Number(database), maxRetriesPerRequest: null };
const options = { connection, prefix };

const queues = {};
const workers = [];
const released = {};
let flows;

function queue(of) {
  queues[of] ??= legacy ? new library(of, { redis: connection, prefix, metrics: { maxDataPoints: 60 } }) : new library.Queue(of, options);
  return queues[of];
}

// What a worker does with a job: {fail: true}, {ms: 20}, or {hold: "x"} until x is released.
async function run(job) {
  if (job.data.fail) throw new Error("as told");
  if (job.data.ms) await new Promise((resolve) => setTimeout(resolve, job.data.ms));
  if (job.data.hold) await new Promise((resolve) => (released[job.data.hold] = resolve));
}

const doing = {
  add: async ({ queue: of, data = {}, opts = {} }) => {
    const job = legacy ? await queue(of).add("job", data, opts) : await queue(of).add("job", data, opts);
    return { id: String(job.id), timestamp: job.timestamp };
  },
  flow: async ({ tree }) => {
    flows ??= new library.FlowProducer(options);
    await flows.add(tree);
  },
  pause: async ({ queue: of }) => queue(of).pause(),
  resume: async ({ queue: of }) => queue(of).resume(),
  obliterate: async ({ queue: of }) => queue(of).obliterate({ force: true }),
  promote: async ({ queue: of, id }) => (await queue(of).getJob(id)).promote(),
  work: async ({ queue: of, concurrency = 1, opts = {} }) => {
    if (legacy) {
      queue(of).process("job", concurrency, run);
      return;
    }
    const worker = new library.Worker(of, run, { ...options, concurrency, metrics: { maxDataPoints: 60 }, ...opts });
    worker.on("error", () => {});
    workers.push(worker);
    await worker.waitUntilReady();
  },
  release: async ({ hold }) => released[hold](),
  stop: async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.close()));
  },
  numbers: async ({ queue: of }) => {
    const it = queue(of);
    const [counts, completed, failed, list, paused] = [
      await it.getJobCounts(),
      await it.getMetrics("completed"),
      await it.getMetrics("failed"),
      await it.getWorkers(),
      await it.isPaused(),
    ];
    return { counts, completed: completed.meta.count, failed: failed.meta.count, workers: list.length, paused };
  },
  spans: async ({ queue: of }) => (await queue(of).getJobs(["completed"])).map((job) => job.finishedOn - job.processedOn),
  job: async ({ queue: of, id }) => {
    const job = await queue(of).getJob(id);
    return { timestamp: job.timestamp, processedOn: job.processedOn, finishedOn: job.finishedOn };
  },
};

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const told = JSON.parse(line);
  try {
    console.log(JSON.stringify({ answer: (await doing[told.do](told)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.stack) }));
  }
}).on("close", () => process.exit(0));
