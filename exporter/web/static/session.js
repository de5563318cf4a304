// The token: taken once, kept for this tab only, never in an address.

const KEY = "depthgauge-token";
const FRAGMENT = "#token=";

// Take a token from the fragment (#token=…), which browsers never send, and clear the address bar at once.
export function takeFragment(location, history, storage) {
  if (!location.hash.startsWith(FRAGMENT)) return false;
  const raw = location.hash.slice(FRAGMENT.length);
  history.replaceState(null, "", location.pathname + location.search);
  let token = raw;
  try {
    token = decodeURIComponent(raw);
  } catch (error) {
    if (!(error instanceof URIError)) throw error; // a stray % is part of the token
  }
  return keep(storage, token);
}

// A header holds visible ASCII only: anything else would make every request fail with a riddle.
export function keep(storage, token) {
  const clean = token.trim();
  if (!/^[\x21-\x7e]{1,4096}$/.test(clean)) return false;
  storage.setItem(KEY, clean);
  return true;
}

export function token(storage) {
  return storage.getItem(KEY);
}

export function forget(storage) {
  storage.removeItem(KEY);
}
