// When to ask next. Pure.

export const SLOWEST = 60; // seconds

// Seconds until the next round: the interval (at least 2 s), doubled with each failure in a row, at most a minute,
// and never sooner than the server asked for.
export function pause(interval, failures, retryAfter = null) {
  const base = Math.max(2, interval);
  const backedOff = failures > 0 ? Math.min(Math.max(SLOWEST, base), base * 2 ** (failures - 1)) : base;
  return Math.max(backedOff, retryAfter ?? 0);
}
