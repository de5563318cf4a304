// History as it is asked for and as it is drawn. Pure.

export const RANGES = Object.freeze({ "1h": 3600, "6h": 6 * 3600, "24h": 86400, "7d": 7 * 86400, "30d": 30 * 86400 });

const POINTS = 1500; // about as many as a chart has pixels
const STEPS = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

// The smallest round step, in seconds, that gives a range of `seconds` no more points than can be seen.
export function stepFor(seconds) {
  return STEPS.find((step) => seconds / step <= POINTS) ?? STEPS.at(-1);
}

// The query of a range: half-open, in UTC.
export function historyPath({ start, end, queue = "", cursor = null }) {
  const step = stepFor((end.getTime() - start.getTime()) / 1000);
  const query = new URLSearchParams({ start_date: start.toISOString(), end_date: end.toISOString(), step });
  if (queue) query.set("queue", queue);
  if (cursor) query.set("cursor", cursor);
  return `api/system/queue/historical?${query}`;
}

// Turn records into columns [times, ...one per field], with a gap (null) wherever more than one and a half steps are missing.
export function columns(records, fields, step) {
  const out = [[], ...fields.map(() => [])];
  let last = null;
  const points = records
    .map((record) => [Date.parse(record.recorded_at) / 1000, record])
    .filter(([time]) => Number.isFinite(time))
    .sort((a, b) => a[0] - b[0]);
  for (const [time, record] of points) {
    if (time === last) continue;
    if (last != null && time - last > 1.5 * step) {
      out[0].push(last + step);
      fields.forEach((_, index) => out[index + 1].push(null));
    }
    out[0].push(time);
    fields.forEach((field, index) => out[index + 1].push(record[field] ?? null));
    last = time;
  }
  return out;
}

// The last, lowest and highest known value of a column; null where there is none.
export function extremes(values) {
  const known = values.filter((value) => value != null);
  if (known.length === 0) return null;
  let [low, high] = [known[0], known[0]];
  for (const value of known) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return { last: known.at(-1), low, high };
}

// The indices of known values whose neighbours are unknown: no line passes through them.
export function alone(values) {
  return values.flatMap((value, index) => (value != null && values[index - 1] == null && values[index + 1] == null ? [index] : []));
}
