// Which numbers rise while the page looks on. Bounded: what is gone is forgotten, readings too old too.

import { failuresOf, LIMITS } from "./trouble.js";
import { processKey, queueKey } from "./words.js";

export class Rises {
  #seen = new Map();

  // keyOf tells one thing from another, valueOf gives its number or null.
  constructor(keyOf, valueOf, window = LIMITS.risesWindow) {
    Object.assign(this, { keyOf, valueOf, window });
  }

  // Take a reading of all things at `seconds` on any clock that never goes back; return keyOf() -> {by, seconds}.
  read(things, seconds) {
    const next = new Map();
    const rises = new Map();
    for (const thing of things) {
      const value = this.valueOf(thing);
      if (value == null) continue;
      const key = this.keyOf(thing);
      const kept = (this.#seen.get(key) ?? []).filter((each) => seconds - each.seconds <= this.window);
      // Unchanged values need one reading only: the first, from which a rise is dated, and the last.
      if (kept.length > 1 && kept.at(-1).value === value && kept.at(-2).value === value) kept.pop();
      kept.push({ value, seconds });
      next.set(key, kept.slice(-600));
      let by = 0;
      let first = null;
      for (let i = 1; i < kept.length; i += 1) {
        const step = kept[i].value - kept[i - 1].value;
        if (step <= 0) continue;
        by += step;
        first ??= kept[i - 1].seconds;
      }
      if (by > 0) rises.set(key, { by, seconds: Math.max(1, seconds - first) });
    }
    this.#seen = next;
    return rises;
  }
}

// A true counter is better than a number that also falls when somebody tidies up.
export const failures = () => new Rises(queueKey, (queue) => queue.failedTotal ?? failuresOf(queue));
export const restarts = () => new Rises(processKey, (process) => process.restarts);
