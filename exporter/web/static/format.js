// Numbers as people read them. Pure; null and undefined are unknown and never shown as zero.

export const UNKNOWN = "–";

// Compares names, numbers in them by value; one collator for all, as making one costs more than a thousand comparisons.
export const byName = new Intl.Collator("en", { numeric: true }).compare;

const whole = new Intl.NumberFormat("en-US");

const known = (value) => typeof value === "number" && Number.isFinite(value);

// A whole number with separators of thousands.
export function count(value) {
  return known(value) ? whole.format(Math.round(value)) : UNKNOWN;
}

// A number with its noun: "1 job", "1,200 jobs".
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

// Seconds as one or two units, cut down, never rounded up: "42 s", "14 min", "3 h 12 min", "2 d 4 h".
export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const full = Math.max(0, Math.floor(seconds));
  if (full < 60) return `${full} s`;
  const minutes = Math.floor(full / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return days < 10 && hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

// Short times, such as those of an answer: "0.21 ms", "3.2 ms", "1.24 s".
export function latency(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const millis = seconds * 1000;
  if (millis >= 1000) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  return `${millis.toFixed(millis < 1 ? 2 : millis < 10 ? 1 : 0)} ms`;
}

// Bytes in binary units: "512 B", "1.5 KiB", "220 MiB".
export function bytes(value) {
  if (!known(value)) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`;
}

// A ratio of 0 to 1 as a percentage; it says 100 % only of what is whole.
export function percent(ratio) {
  if (!known(ratio)) return UNKNOWN;
  const value = ratio * 100;
  if (value > 99 && value < 100) return `${Math.min(99.9, Math.floor(value * 10) / 10).toFixed(1)} %`;
  return `${value !== 0 && Math.abs(value) < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

// A rate or a load: up to two decimals.
export function rate(value) {
  if (!known(value)) return UNKNOWN;
  return value >= 100 ? count(value) : value.toFixed(value >= 10 ? 1 : 2);
}

// A moment by the reader's clock: the time only when it is of today.
export function moment(at, now = new Date()) {
  const date = at instanceof Date ? at : new Date(at ?? NaN);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === now.toDateString()) return time;
  const year = date.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short", ...year })}, ${time}`;
}

// "since 14:02 (12 min)", or nothing where the moment is not known.
export function since(at, now = new Date()) {
  const then = new Date(at ?? NaN).getTime(); // null alone would be the year 1970
  if (Number.isNaN(then)) return "";
  return `since ${moment(at, now)} (${duration((now.getTime() - then) / 1000)})`;
}
