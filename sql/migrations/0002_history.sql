-- History: events, health and performance, rollups, and what keeps them up. Names of rollup columns say how they are made
-- from a bucket's rows: x is the last value known, x_min, x_max, x_sum and x_count are over the values known (the mean is
-- x_sum / x_count), x_first and x_increase belong to counters. samples counts the rows. bucket is the bucket's start.

ALTER TABLE depthgauge.snapshots ADD COLUMN earlier_drops jsonb;

COMMENT ON COLUMN depthgauge.snapshots.earlier_drops IS
    'Snapshots of earlier runs of this host that its spool had to drop: run_id to reason to number, cumulative.';

CREATE TABLE depthgauge.process_events (
    host          text        NOT NULL,
    supervisor    text        NOT NULL,
    process_group text        NOT NULL,
    process       text        NOT NULL,
    occurred_at   timestamptz NOT NULL,
    event_no      bigint      NOT NULL,
    from_state    bigint,
    to_state      bigint      NOT NULL,
    exit_status   bigint,
    expected      boolean,
    source        text        NOT NULL,
    detail        text,
    PRIMARY KEY (host, supervisor, process_group, process, occurred_at, event_no)
) /* PARTITION BY RANGE (occurred_at) */;

COMMENT ON TABLE depthgauge.process_events IS
    'One change of a supervised process''s state. States are supervisord''s codes, as in process_snapshots.';
COMMENT ON COLUMN depthgauge.process_events.event_no IS
    'Tells events of one moment apart: supervisord''s serial number (listener), or the exporter''s own count (poll).';
COMMENT ON COLUMN depthgauge.process_events.expected IS
    'Whether the exit status was one the program''s exitcodes name; NULL where it did not exit or only polling saw it.';
COMMENT ON COLUMN depthgauge.process_events.source IS
    'listener: exact, from supervisord''s own events; poll: found by comparing two readings, so changes in between are missing.';

CREATE TABLE depthgauge.system_health_metrics (
    host                 text        NOT NULL,
    kind                 text        NOT NULL,
    target               text        NOT NULL,
    recorded_at          timestamptz NOT NULL,
    connections          bigint,
    max_connections      bigint,
    response_time        double precision,
    slow_queries         bigint,
    hit_rate             double precision,
    memory_used_bytes    bigint,
    memory_max_bytes     bigint,
    clients              bigint,
    disk_total_bytes     bigint,
    disk_available_bytes bigint,
    disk_used_ratio      double precision,
    uptime_ratio         double precision,
    uptime_seconds       double precision,
    last_restart_at      timestamptz,
    PRIMARY KEY (host, kind, target, recorded_at)
) /* PARTITION BY RANGE (recorded_at) */;

COMMENT ON TABLE depthgauge.system_health_metrics IS
    'How a database, a redis, a disk or a host (kind uptime) was: each kind fills its own columns, the others are NULL. Ratios are 0 to 1, times are seconds.';

CREATE TABLE depthgauge.performance_metrics (
    host               text        NOT NULL,
    kind               text        NOT NULL,
    target             text        NOT NULL,
    recorded_at        timestamptz NOT NULL,
    tps_current        double precision,
    tps_avg            double precision,
    tps_max            double precision,
    tps_min            double precision,
    response_time_avg  double precision,
    response_time_p95  double precision,
    response_time_p99  double precision,
    response_count     bigint,
    response_sum       double precision,
    response_max       double precision,
    response_histogram bigint[],
    active_connections bigint,
    active_queries     bigint,
    cpu_ratio          double precision,
    memory_used_bytes  bigint,
    memory_total_bytes bigint,
    PRIMARY KEY (host, kind, target, recorded_at)
) /* PARTITION BY RANGE (recorded_at) */;

COMMENT ON TABLE depthgauge.performance_metrics IS
    'How fast a database, a probe or a host was. tps_avg … response_time_p99 are over the five minutes before; the response_ columns are of this slot alone, so that they can be added up over any range.';
COMMENT ON COLUMN depthgauge.performance_metrics.response_histogram IS
    'Samples by bucket: number i (from 1) counts those of at most 0.001 * 2^((i-1)/4) seconds and more than the bound before it; the last one counts all above. Percentiles of a range come from the sum of its histograms, never from percentiles.';

CREATE TABLE depthgauge.worker_snapshots_5m (
    host                      text        NOT NULL,
    redis                     text        NOT NULL,
    system                    text        NOT NULL,
    queue                     text        NOT NULL,
    bucket                    timestamptz NOT NULL,
    samples                   bigint      NOT NULL,
    workers                   bigint,
    workers_min               bigint,
    workers_max               bigint,
    workers_sum               bigint,
    workers_count             bigint,
    registry_workers          bigint,
    registry_workers_min      bigint,
    registry_workers_max      bigint,
    registry_workers_sum      bigint,
    registry_workers_count    bigint,
    busy_workers              bigint,
    busy_workers_max          bigint,
    busy_workers_sum          bigint,
    busy_workers_count        bigint,
    pending                   bigint,
    pending_max               bigint,
    pending_sum               bigint,
    pending_count             bigint,
    processing                bigint,
    processing_max            bigint,
    processing_sum            bigint,
    processing_count          bigint,
    delayed                   bigint,
    delayed_max               bigint,
    delayed_sum               bigint,
    delayed_count             bigint,
    retry                     bigint,
    retry_max                 bigint,
    retry_sum                 bigint,
    retry_count               bigint,
    blocked                   bigint,
    blocked_max               bigint,
    blocked_sum               bigint,
    blocked_count             bigint,
    failed                    bigint,
    failed_max                bigint,
    failed_sum                bigint,
    failed_count              bigint,
    dead                      bigint,
    dead_max                  bigint,
    dead_sum                  bigint,
    dead_count                bigint,
    completed_first           bigint,
    completed                 bigint,
    completed_increase        bigint,
    oldest_job_age            double precision,
    oldest_job_age_max        double precision,
    oldest_job_age_sum        double precision,
    oldest_job_age_count      bigint,
    avg_processing_time       double precision,
    avg_processing_time_max   double precision,
    avg_processing_time_sum   double precision,
    avg_processing_time_count bigint,
    throughput                double precision,
    throughput_max            double precision,
    throughput_sum            double precision,
    throughput_count          bigint,
    PRIMARY KEY (host, redis, system, queue, bucket)
) /* PARTITION BY RANGE (bucket) */;

CREATE TABLE depthgauge.worker_snapshots_1h (
    host                      text        NOT NULL,
    redis                     text        NOT NULL,
    system                    text        NOT NULL,
    queue                     text        NOT NULL,
    bucket                    timestamptz NOT NULL,
    samples                   bigint      NOT NULL,
    workers                   bigint,
    workers_min               bigint,
    workers_max               bigint,
    workers_sum               bigint,
    workers_count             bigint,
    registry_workers          bigint,
    registry_workers_min      bigint,
    registry_workers_max      bigint,
    registry_workers_sum      bigint,
    registry_workers_count    bigint,
    busy_workers              bigint,
    busy_workers_max          bigint,
    busy_workers_sum          bigint,
    busy_workers_count        bigint,
    pending                   bigint,
    pending_max               bigint,
    pending_sum               bigint,
    pending_count             bigint,
    processing                bigint,
    processing_max            bigint,
    processing_sum            bigint,
    processing_count          bigint,
    delayed                   bigint,
    delayed_max               bigint,
    delayed_sum               bigint,
    delayed_count             bigint,
    retry                     bigint,
    retry_max                 bigint,
    retry_sum                 bigint,
    retry_count               bigint,
    blocked                   bigint,
    blocked_max               bigint,
    blocked_sum               bigint,
    blocked_count             bigint,
    failed                    bigint,
    failed_max                bigint,
    failed_sum                bigint,
    failed_count              bigint,
    dead                      bigint,
    dead_max                  bigint,
    dead_sum                  bigint,
    dead_count                bigint,
    completed_first           bigint,
    completed                 bigint,
    completed_increase        bigint,
    oldest_job_age            double precision,
    oldest_job_age_max        double precision,
    oldest_job_age_sum        double precision,
    oldest_job_age_count      bigint,
    avg_processing_time       double precision,
    avg_processing_time_max   double precision,
    avg_processing_time_sum   double precision,
    avg_processing_time_count bigint,
    throughput                double precision,
    throughput_max            double precision,
    throughput_sum            double precision,
    throughput_count          bigint,
    PRIMARY KEY (host, redis, system, queue, bucket)
) /* PARTITION BY RANGE (bucket) */;

CREATE TABLE depthgauge.queue_metrics_5m (
    host                    text        NOT NULL,
    bucket                  timestamptz NOT NULL,
    samples                 bigint      NOT NULL,
    active_workers          bigint,
    active_workers_min      bigint,
    active_workers_max      bigint,
    active_workers_sum      bigint,
    active_workers_count    bigint,
    workers_by_queue        jsonb,
    pending_jobs            bigint,
    pending_jobs_max        bigint,
    pending_jobs_sum        bigint,
    pending_jobs_count      bigint,
    processing_jobs         bigint,
    processing_jobs_max     bigint,
    processing_jobs_sum     bigint,
    processing_jobs_count   bigint,
    delayed_jobs            bigint,
    delayed_jobs_max        bigint,
    delayed_jobs_sum        bigint,
    delayed_jobs_count      bigint,
    failed_jobs             bigint,
    failed_jobs_max         bigint,
    failed_jobs_sum         bigint,
    failed_jobs_count       bigint,
    completed_jobs_first    bigint,
    completed_jobs          bigint,
    completed_jobs_increase bigint,
    pending_by_queue        jsonb,
    failed_by_queue         jsonb,
    PRIMARY KEY (host, bucket)
) /* PARTITION BY RANGE (bucket) */;

CREATE TABLE depthgauge.queue_metrics_1h (
    host                    text        NOT NULL,
    bucket                  timestamptz NOT NULL,
    samples                 bigint      NOT NULL,
    active_workers          bigint,
    active_workers_min      bigint,
    active_workers_max      bigint,
    active_workers_sum      bigint,
    active_workers_count    bigint,
    workers_by_queue        jsonb,
    pending_jobs            bigint,
    pending_jobs_max        bigint,
    pending_jobs_sum        bigint,
    pending_jobs_count      bigint,
    processing_jobs         bigint,
    processing_jobs_max     bigint,
    processing_jobs_sum     bigint,
    processing_jobs_count   bigint,
    delayed_jobs            bigint,
    delayed_jobs_max        bigint,
    delayed_jobs_sum        bigint,
    delayed_jobs_count      bigint,
    failed_jobs             bigint,
    failed_jobs_max         bigint,
    failed_jobs_sum         bigint,
    failed_jobs_count       bigint,
    completed_jobs_first    bigint,
    completed_jobs          bigint,
    completed_jobs_increase bigint,
    pending_by_queue        jsonb,
    failed_by_queue         jsonb,
    PRIMARY KEY (host, bucket)
) /* PARTITION BY RANGE (bucket) */;

CREATE TABLE depthgauge.system_health_metrics_1h (
    host                     text        NOT NULL,
    kind                     text        NOT NULL,
    target                   text        NOT NULL,
    bucket                   timestamptz NOT NULL,
    samples                  bigint      NOT NULL,
    connections              bigint,
    connections_max          bigint,
    connections_sum          bigint,
    connections_count        bigint,
    max_connections          bigint,
    response_time            double precision,
    response_time_max        double precision,
    response_time_sum        double precision,
    response_time_count      bigint,
    slow_queries             bigint,
    slow_queries_max         bigint,
    slow_queries_sum         bigint,
    slow_queries_count       bigint,
    hit_rate                 double precision,
    hit_rate_min             double precision,
    hit_rate_max             double precision,
    hit_rate_sum             double precision,
    hit_rate_count           bigint,
    memory_used_bytes        bigint,
    memory_used_bytes_max    bigint,
    memory_used_bytes_sum    bigint,
    memory_used_bytes_count  bigint,
    memory_max_bytes         bigint,
    clients                  bigint,
    clients_max              bigint,
    clients_sum              bigint,
    clients_count            bigint,
    disk_total_bytes         bigint,
    disk_available_bytes     bigint,
    disk_available_bytes_min bigint,
    disk_used_ratio          double precision,
    disk_used_ratio_max      double precision,
    disk_used_ratio_sum      double precision,
    disk_used_ratio_count    bigint,
    uptime_ratio             double precision,
    uptime_ratio_min         double precision,
    uptime_ratio_max         double precision,
    uptime_ratio_sum         double precision,
    uptime_ratio_count       bigint,
    uptime_seconds           double precision,
    last_restart_at          timestamptz,
    PRIMARY KEY (host, kind, target, bucket)
) /* PARTITION BY RANGE (bucket) */;

CREATE TABLE depthgauge.performance_metrics_1h (
    host                     text        NOT NULL,
    kind                     text        NOT NULL,
    target                   text        NOT NULL,
    bucket                   timestamptz NOT NULL,
    samples                  bigint      NOT NULL,
    tps_current              double precision,
    tps_current_min          double precision,
    tps_current_max          double precision,
    tps_current_sum          double precision,
    tps_current_count        bigint,
    response_count           bigint,
    response_sum             double precision,
    response_max             double precision,
    response_histogram       bigint[],
    active_connections       bigint,
    active_connections_max   bigint,
    active_connections_sum   bigint,
    active_connections_count bigint,
    active_queries           bigint,
    active_queries_max       bigint,
    active_queries_sum       bigint,
    active_queries_count     bigint,
    cpu_ratio                double precision,
    cpu_ratio_max            double precision,
    cpu_ratio_sum            double precision,
    cpu_ratio_count          bigint,
    memory_used_bytes        bigint,
    memory_used_bytes_max    bigint,
    memory_used_bytes_sum    bigint,
    memory_used_bytes_count  bigint,
    memory_total_bytes       bigint,
    PRIMARY KEY (host, kind, target, bucket)
) /* PARTITION BY RANGE (bucket) */;

COMMENT ON TABLE depthgauge.worker_snapshots_5m IS 'worker_snapshots by five minutes.';
COMMENT ON TABLE depthgauge.worker_snapshots_1h IS 'worker_snapshots by hour.';
COMMENT ON TABLE depthgauge.queue_metrics_5m IS 'queue_metrics by five minutes.';
COMMENT ON TABLE depthgauge.queue_metrics_1h IS 'queue_metrics by hour.';
COMMENT ON TABLE depthgauge.system_health_metrics_1h IS 'system_health_metrics by hour.';
COMMENT ON TABLE depthgauge.performance_metrics_1h IS 'performance_metrics by hour.';

-- Marks are only ever added, one for each batch that wrote into a bucket: a mark that another transaction had set already
-- could be worked off before this transaction's rows can be seen.
CREATE TABLE depthgauge.dirty_buckets (
    mark_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rollup  text        NOT NULL,
    bucket  timestamptz NOT NULL
);

COMMENT ON TABLE depthgauge.dirty_buckets IS
    'Buckets of rollups whose rows have changed since they were computed; maintain() computes them anew, whole.';

CREATE TABLE depthgauge.series (
    name               text     PRIMARY KEY,
    time_column        text     NOT NULL,
    class              text     NOT NULL,
    keep               interval NOT NULL,
    columnstore_after  interval,
    chunk_days         bigint   NOT NULL,
    dropped_before     timestamptz
);

COMMENT ON TABLE depthgauge.series IS
    'The tables that are cut by time, and how long each is kept. migrate writes keep from sink.retention.';
COMMENT ON COLUMN depthgauge.series.class IS 'The setting of sink.retention that keep comes from.';
COMMENT ON COLUMN depthgauge.series.columnstore_after IS
    'Age at which TimescaleDB''s community edition compresses a chunk; NULL is never.';
COMMENT ON COLUMN depthgauge.series.dropped_before IS
    'Everything before this moment has been dropped. Rows older than that are not written, and buckets older than that not computed, whatever keep says now.';

INSERT INTO depthgauge.series (name, time_column, class, keep, columnstore_after, chunk_days) VALUES
    ('snapshots',                'recorded_at', 'raw',       '30 days',  NULL,     1),
    ('worker_snapshots',         'recorded_at', 'raw',       '30 days',  '2 days', 1),
    ('queue_metrics',            'recorded_at', 'raw',       '30 days',  '2 days', 1),
    ('system_health_metrics',    'recorded_at', 'raw',       '30 days',  '2 days', 1),
    ('performance_metrics',      'recorded_at', 'raw',       '30 days',  '2 days', 1),
    ('process_snapshots',        'recorded_at', 'processes', '7 days',   '2 days', 1),
    ('process_events',           'occurred_at', 'events',    '180 days', NULL,     7),
    ('worker_snapshots_5m',      'bucket',      '5m',        '180 days', '30 days', 7),
    ('queue_metrics_5m',         'bucket',      '5m',        '180 days', '30 days', 7),
    ('worker_snapshots_1h',      'bucket',      '1h',        '730 days', '30 days', 28),
    ('queue_metrics_1h',         'bucket',      '1h',        '730 days', '30 days', 28),
    ('system_health_metrics_1h', 'bucket',      '1h',        '730 days', '30 days', 28),
    ('performance_metrics_1h',   'bucket',      '1h',        '730 days', '30 days', 28);

CREATE TABLE depthgauge.maintenance (
    step        text        PRIMARY KEY,
    finished_at timestamptz NOT NULL,
    seconds     double precision NOT NULL,
    done        bigint      NOT NULL
);

COMMENT ON TABLE depthgauge.maintenance IS
    'When maintain() last finished each of its steps, how long that took and how many things it did.';
