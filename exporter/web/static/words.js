// What the exporter's closed sets mean, in plain words. Pure.

const ERRORS = {
  socket_missing: "its socket is not there",
  permission_denied: "permission denied",
  refused: "connection refused",
  unreachable: "the host cannot be reached",
  dns: "its name cannot be resolved",
  timeout: "no answer in time",
  closed: "the connection was closed",
  tls: "the TLS connection failed",
  unauthorized: "user name or password refused",
  acl_denied: "the user may not run a command",
  not_rpc: "something else answers there",
  fault: "it answered with a fault",
  shutting_down: "it is shutting down",
  garbage: "its answer makes no sense",
  too_large: "its answer is too large",
  wrong_type: "a key has an unexpected type",
  loading: "it is still loading its data",
  read_only: "it is read-only",
  out_of_memory: "it is out of memory",
  busy: "it is busy",
  not_found: "what was asked for is not there",
  too_many_connections: "it takes no more connections",
  internal: "a defect in the exporter; its log says more",
};

const KINDS = {
  supervisor: "supervisord",
  redis: "the queues of Redis",
  redis_server: "Redis",
  database: "database",
  host: "this host's figures",
  probe: "probe",
  processes: "the processes of",
};

// Words for an error kind; a kind that a newer exporter has added is shown as it is.
export function errorWords(error) {
  if (!error) return "no reason is known";
  return Object.hasOwn(ERRORS, error) ? ERRORS[error] : String(error).replaceAll("_", " ");
}

// What a source is called: "supervisord main on web-1".
export function sourceName({ kind, target, host }) {
  const what = Object.hasOwn(KINDS, kind) ? KINDS[kind] : kind;
  const name = !target || target === host ? what : `${what} ${target}`;
  return host ? `${name} on ${host}` : name;
}

// A queue as people call it; one without a name where the system keeps a number for all of its queues together.
export function queueName({ queue, system }) {
  return queue || `all queues of ${system}`;
}

// What tells one queue from another across the fleet.
export function queueKey({ redis, system, queue }) {
  return JSON.stringify([redis, system, queue]);
}

export function processKey({ host, supervisor, group, process }) {
  return JSON.stringify([host, supervisor, group, process]);
}
