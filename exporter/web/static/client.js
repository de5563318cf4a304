// Asking the API: one request at a time for each path, with the last ETag, a deadline, and errors that say what went wrong.

export const DEADLINE = 15000; // milliseconds; longer than the exporter takes to bring a collection forward

export class ApiError extends Error {
  // kind: "away" (nothing answered), "token" (401 or 403), "busy" (429), "error" (any other answer).
  constructor(kind, message, { status = 0, code = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { kind, status, code, retryAfter });
  }
}

async function problem(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    error = {}; // not JSON: something between us and the exporter answered, and its status must do
  }
  const message = typeof error.message === "string" ? error.message : `the exporter answered with status ${response.status}`;
  const kind = response.status === 401 || response.status === 403 ? "token" : response.status === 429 ? "busy" : "error";
  const wait = Number(response.headers.get("Retry-After"));
  const retryAfter = Number.isFinite(wait) && wait > 0 ? wait : null;
  return new ApiError(kind, message, { status: response.status, code: error.code ?? null, retryAfter });
}

export class Client {
  #etags = new Map();

  // `token` is a function that returns the token or null; `fetcher` is fetch or a stand-in for tests.
  constructor(token, fetcher = (...args) => fetch(...args)) {
    this.token = token;
    this.fetcher = fetcher;
  }

  // Forget what is known of earlier answers, as after a change of token.
  reset() {
    this.#etags.clear();
  }

  // Return the JSON of `path`, or null when it has not changed since the last time; raise ApiError.
  async get(path, { conditional = true } = {}) {
    const headers = { Accept: "application/json" };
    const token = this.token();
    if (token) headers.Authorization = `Bearer ${token}`;
    const etag = conditional ? this.#etags.get(path) : undefined;
    if (etag) headers["If-None-Match"] = etag;
    try {
      const response = await this.fetcher(path, { headers, cache: "no-store", signal: AbortSignal.timeout(DEADLINE) });
      if (response.status === 304) return null;
      if (!response.ok) throw await problem(response);
      const body = await response.json();
      if (conditional) this.#remember(path, response.headers.get("ETag"));
      return body;
    } catch (error) {
      if (error instanceof ApiError) throw error;
      const why = error.name === "TimeoutError" ? "it did not answer in time" : "the connection failed";
      throw new ApiError("away", error instanceof SyntaxError ? "its answer makes no sense" : why);
    }
  }

  #remember(path, etag) {
    if (etag) this.#etags.set(path, etag);
    else this.#etags.delete(path);
  }
}
