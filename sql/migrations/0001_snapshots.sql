-- The tables of snapshots. recorded_at is the snapshot's slot everywhere.
-- "migrate" turns the comments PARTITION BY … into clauses where the tables are native partitions; where TimescaleDB is
-- there, timescale/10_hypertables.sql makes hypertables of them. Types are wide because neither kind likes a change of
-- type later, and each table has exactly one unique index: the key that makes writing a snapshot twice harmless.

CREATE TABLE depthgauge.snapshots (
    host        text        NOT NULL,
    run_id      text        NOT NULL,
    seq         bigint      NOT NULL,
    recorded_at timestamptz NOT NULL,
    taken_at    timestamptz NOT NULL,
    drops       jsonb       NOT NULL,
    PRIMARY KEY (host, recorded_at, run_id, seq)
) /* PARTITION BY RANGE (recorded_at) */;

COMMENT ON TABLE depthgauge.snapshots IS
    'Ledger: one row per snapshot committed, in the transaction of its rows. Gaps in seq of one run_id are snapshots that never arrived.';
COMMENT ON COLUMN depthgauge.snapshots.drops IS
    'Snapshots of this run that never reached the stream, by reason, cumulative.';

CREATE TABLE depthgauge.worker_snapshots (
    host                text        NOT NULL,
    redis               text        NOT NULL,
    system              text        NOT NULL,
    queue               text        NOT NULL,
    recorded_at         timestamptz NOT NULL,
    workers             bigint,
    registry_workers    bigint,
    busy_workers        bigint,
    pending             bigint,
    processing          bigint,
    delayed             bigint,
    retry               bigint,
    blocked             bigint,
    failed              bigint,
    dead                bigint,
    completed           bigint,
    oldest_job_age      double precision,
    avg_processing_time double precision,
    throughput          double precision,
    PRIMARY KEY (host, redis, system, queue, recorded_at)
) /* PARTITION BY RANGE (recorded_at) */;

COMMENT ON TABLE depthgauge.worker_snapshots IS
    'One queue as one host saw it. A backlog is a fact about a Redis: take max over hosts. workers is a fact about a host: take sum over hosts. NULL is unknown.';
COMMENT ON COLUMN depthgauge.worker_snapshots.workers IS
    'RUNNING processes of this host that serve the queue.';
COMMENT ON COLUMN depthgauge.worker_snapshots.registry_workers IS
    'Workers in the queue system''s own registry, wherever they run.';
COMMENT ON COLUMN depthgauge.worker_snapshots.pending IS
    'Jobs ready to run, overdue delayed ones included.';
COMMENT ON COLUMN depthgauge.worker_snapshots.completed IS
    'Cumulative, from a true counter only.';
COMMENT ON COLUMN depthgauge.worker_snapshots.oldest_job_age IS
    'Seconds between the time the next job to run became eligible and recorded_at, at least 0.';
COMMENT ON COLUMN depthgauge.worker_snapshots.throughput IS
    'Jobs per second as the queue system itself reports it; NULL where it does not. Rates of completed: see docs/database.md.';

CREATE TABLE depthgauge.queue_metrics (
    host             text        NOT NULL,
    recorded_at      timestamptz NOT NULL,
    active_workers   bigint,
    workers_by_queue jsonb,
    pending_jobs     bigint,
    processing_jobs  bigint,
    delayed_jobs     bigint,
    failed_jobs      bigint,
    completed_jobs   bigint,
    pending_by_queue jsonb,
    failed_by_queue  jsonb,
    PRIMARY KEY (host, recorded_at)
) /* PARTITION BY RANGE (recorded_at) */;

COMMENT ON TABLE depthgauge.queue_metrics IS
    'One host''s view of all queues it reads, summed over systems. pending + processing + delayed is the whole backlog. Fleet totals come from worker_snapshots.';
COMMENT ON COLUMN depthgauge.queue_metrics.active_workers IS
    'RUNNING worker processes of this host, each counted once per queue system.';
COMMENT ON COLUMN depthgauge.queue_metrics.delayed_jobs IS
    'Jobs that wait for their time, for their next attempt or for other jobs: delayed + retry + blocked.';
COMMENT ON COLUMN depthgauge.queue_metrics.failed_jobs IS
    'Jobs that failed for good and are kept: failed + dead.';

CREATE TABLE depthgauge.process_snapshots (
    host          text        NOT NULL,
    supervisor    text        NOT NULL,
    process_group text        NOT NULL,
    process       text        NOT NULL,
    recorded_at   timestamptz NOT NULL,
    state         bigint      NOT NULL,
    pid           bigint,
    started_at    timestamptz,
    exit_status   bigint,
    cpu_seconds   double precision,
    rss_bytes     bigint,
    spawn_error   text,
    PRIMARY KEY (host, supervisor, process_group, process, recorded_at)
) /* PARTITION BY RANGE (recorded_at) */;

COMMENT ON TABLE depthgauge.process_snapshots IS
    'One supervised process: written when it changed and once a minute.';
COMMENT ON COLUMN depthgauge.process_snapshots.state IS
    'supervisord''s code: 0 STOPPED, 10 STARTING, 20 RUNNING, 30 BACKOFF, 40 STOPPING, 100 EXITED, 200 FATAL, 1000 UNKNOWN.';
COMMENT ON COLUMN depthgauge.process_snapshots.started_at IS
    'Last start, by supervisord''s clock.';
