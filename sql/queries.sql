-- Questions and how to ask them, the same in every edition. :'start' and :'end' are times (half-open), :'queue' a name:
--     psql -v start='2026-11-24 00:00Z' -v end='2026-11-25 00:00Z' -v queue=mail -f queries.sql
-- A backlog is a fact about a Redis: take max over hosts. Workers are a fact about a host: take sum. In rollups x is a
-- bucket's last value, x_max its highest, x_sum / x_count its mean. Up to some hours ask the raw tables, up to some days
-- _5m, beyond that _1h.

-- name: backlog of one queue, raw
SELECT recorded_at, redis, system, max(pending) AS pending, max(oldest_job_age) AS oldest_job_age, sum(workers) AS workers
FROM depthgauge.worker_snapshots
WHERE recorded_at >= :'start' AND recorded_at < :'end' AND queue = :'queue'
GROUP BY recorded_at, redis, system ORDER BY recorded_at, redis, system;

-- name: backlog of every queue by five minutes
SELECT bucket, redis, system, queue, max(pending_max) AS pending, max(oldest_job_age_max) AS oldest_job_age
FROM depthgauge.worker_snapshots_5m
WHERE bucket >= :'start' AND bucket < :'end'
GROUP BY bucket, redis, system, queue ORDER BY bucket, redis, system, queue;

-- name: backlog of every queue by hour
SELECT bucket, redis, system, queue, max(pending_max) AS highest, max(pending_sum::float8 / nullif(pending_count, 0)) AS mean
FROM depthgauge.worker_snapshots_1h
WHERE bucket >= :'start' AND bucket < :'end'
GROUP BY bucket, redis, system, queue ORDER BY bucket, redis, system, queue;

-- name: workers of the fleet by five minutes
SELECT bucket, redis, system, queue, sum(workers_sum::float8 / nullif(workers_count, 0)) AS workers, sum(workers_min) AS fewest
FROM depthgauge.worker_snapshots_5m
WHERE bucket >= :'start' AND bucket < :'end'
GROUP BY bucket, redis, system, queue ORDER BY bucket, redis, system, queue;

-- name: jobs done an hour, from true counters
SELECT bucket, redis, system, queue, max(completed_increase) AS completed
FROM depthgauge.worker_snapshots_1h
WHERE bucket >= :'start' AND bucket < :'end' AND completed IS NOT NULL
GROUP BY bucket, redis, system, queue ORDER BY bucket, redis, system, queue;

-- name: the newest row of every queue
SELECT DISTINCT ON (host, redis, system, queue) host, redis, system, queue, recorded_at, pending, oldest_job_age, workers
FROM depthgauge.worker_snapshots
WHERE recorded_at >= :'end'::timestamptz - interval '10 minutes' AND recorded_at < :'end'
ORDER BY host, redis, system, queue, recorded_at DESC;

-- name: one record a minute, over all hosts
-- Of each host the last slot of the minute. The API asks the same way, and closer where a slot read less than the one before
-- it (sink/history_queries.py).
WITH newest AS (
    SELECT host, max(recorded_at) AS recorded_at FROM depthgauge.queue_metrics
    WHERE recorded_at >= :'start' AND recorded_at < :'end' GROUP BY host, date_bin('1 minute', recorded_at, 'epoch')
), queues AS (
    SELECT date_bin('1 minute', recorded_at, 'epoch') AS minute, redis, system, queue, max(pending) AS pending,
           max(processing) AS processing, max(delayed) AS delayed, max(failed) AS failed, sum(workers) AS workers
    FROM depthgauge.worker_snapshots JOIN newest USING (host, recorded_at)
    WHERE recorded_at >= :'start' AND recorded_at < :'end' GROUP BY 1, 2, 3, 4
)
SELECT minute, sum(pending) AS pending_jobs, sum(processing) AS processing_jobs, sum(delayed) AS delayed_jobs,
       sum(failed) AS failed_jobs, sum(workers) AS active_workers
FROM queues GROUP BY minute ORDER BY minute;

-- name: one host's own view by five minutes
SELECT bucket, host, pending_jobs, pending_jobs_max, failed_jobs, workers_by_queue
FROM depthgauge.queue_metrics_5m
WHERE bucket >= :'start' AND bucket < :'end' ORDER BY bucket, host;

-- name: what happened to processes
SELECT occurred_at, host, supervisor, process_group, process, from_state, to_state, exit_status, expected, source, detail
FROM depthgauge.process_events
WHERE occurred_at >= :'start' AND occurred_at < :'end' ORDER BY occurred_at, event_no;

-- name: response times of a range, from summed histograms
SELECT host, kind, target, sum(response_sum) / nullif(sum(response_count), 0) AS mean,
       depthgauge.histogram_quantile(0.95, depthgauge.sum_histograms(response_histogram)) AS p95,
       depthgauge.histogram_quantile(0.99, depthgauge.sum_histograms(response_histogram)) AS p99, max(response_max) AS slowest
FROM depthgauge.performance_metrics_1h
WHERE bucket >= :'start' AND bucket < :'end' AND kind IN ('database', 'probe') GROUP BY host, kind, target ORDER BY host, kind, target;

-- name: health by hour
SELECT bucket, host, kind, target, connections_max, max_connections, response_time_sum / nullif(response_time_count, 0) AS response_time,
       hit_rate, memory_used_bytes_max, disk_available_bytes_min, uptime_ratio_min
FROM depthgauge.system_health_metrics_1h
WHERE bucket >= :'start' AND bucket < :'end' ORDER BY bucket;

-- name: snapshots that are missing
SELECT host, run_id, first_seq, last_seq, snapshots, dropped, state, before_at, after_at FROM depthgauge.find_gaps(:'start');
