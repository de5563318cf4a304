// Which queues' failures rise while the page looks on. Bounded: a queue that is gone is forgotten, readings too old too.

import { failuresOf, LIMITS } from "./trouble.js";
import { queueKey } from "./words.js";

export class Rises {
  #seen = new Map();

  constructor(window = LIMITS.failuresWindow) {
    this.window = window;
  }

  // Take a reading of all queues at `seconds` on any clock that never goes back; return queueKey() -> {jobs, seconds}.
  read(queues, seconds) {
    const next = new Map();
    const rises = new Map();
    for (const queue of queues) {
      // A true counter is better than a number that also falls when somebody tidies up.
      const value = queue.failedTotal ?? failuresOf(queue);
      if (value == null) continue;
      const key = queueKey(queue);
      const kept = (this.#seen.get(key) ?? []).filter((each) => seconds - each.seconds <= this.window);
      // Unchanged values need one reading only: the first, from which a rise is dated, and the last.
      if (kept.length > 1 && kept.at(-1).value === value && kept.at(-2).value === value) kept.pop();
      kept.push({ value, seconds });
      next.set(key, kept.slice(-600));
      let jobs = 0;
      let first = null;
      for (let i = 1; i < kept.length; i += 1) {
        const step = kept[i].value - kept[i - 1].value;
        if (step <= 0) continue;
        jobs += step;
        first ??= kept[i - 1].seconds;
      }
      if (jobs > 0) rises.set(key, { jobs, seconds: Math.max(1, seconds - first) });
    }
    this.#seen = next;
    return rises;
  }
}
