"""What is asked of a watched PostgreSQL. Facts: https://www.postgresql.org/docs/current/monitoring-stats.html."""

from typing import Final

from psycopg import sql

ALIVE: Final = sql.SQL("SELECT 1")
"""The trivial statement whose response time is taken."""

TRANSACTIONS: Final = sql.SQL(
    "SELECT xact_commit + xact_rollback, extract(epoch FROM stats_reset)::float8"
    " FROM pg_stat_database WHERE datname = current_database()"
)

# Of sessions that may not be seen all but role, database and pid is NULL; workers of autovacuum have no role, senders of WAL no
# database.
STATE: Final = sql.SQL("""
WITH sessions AS (
    SELECT
        CASE WHEN backend_type IS NULL THEN 'unknown' ELSE coalesce(state, 'unknown') END AS state,
        greatest(0, extract(epoch FROM clock_timestamp() - query_start))::float8 AS seconds
    FROM pg_stat_activity
    WHERE (backend_type = 'client backend'
           OR backend_type IS NULL AND usesysid IS NOT NULL AND datid IS NOT NULL)
        AND pid <> pg_backend_pid()
        AND (application_name = current_setting('application_name') AND usename = session_user) IS NOT TRUE
), running AS (
    SELECT seconds FROM sessions WHERE state IN ('active', 'fastpath function call')
)
SELECT
    split_part(current_setting('server_version'), ' ', 1),
    extract(epoch FROM pg_postmaster_start_time())::float8,
    pg_is_in_recovery(),
    (SELECT json_object_agg(state, n) FROM (SELECT state, count(*) AS n FROM sessions GROUP BY state) AS by_state),
    current_setting('max_connections')::int,
    (SELECT count(*) FROM running),
    (SELECT count(*) FROM running WHERE seconds >= {slow}),
    (SELECT coalesce(max(seconds), 0) FROM running),
    own.xact_commit,
    own.xact_rollback,
    own.deadlocks,
    (SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
     WHERE extname = 'pg_stat_statements')
FROM pg_stat_database AS own
WHERE own.datname = current_database()
""")
"""One row; ``slow`` is in seconds."""

SIZE: Final = sql.SQL("SELECT pg_database_size(current_database())")

# The function without the texts: reading the view would read the file that holds them.
STATEMENTS: Final = sql.SQL("""
SELECT coalesce(sum(calls), 0)::bigint, coalesce(sum(total_exec_time), 0)::float8 / 1000,
    count(*) FILTER (WHERE mean_exec_time >= {milliseconds})
FROM {schema}.pg_stat_statements(false)
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
""")

# failed_at is a timestamp without a zone, in UTC unless the application has another one.
FAILED_JOBS: Final = sql.SQL("""
WITH by_queue AS (
    SELECT queue, count(*) AS n, max(failed_at) AS newest FROM {table} {where} GROUP BY queue
), placed AS (
    SELECT queue, n, newest, row_number() OVER (ORDER BY n DESC, queue) AS place FROM by_queue
)
SELECT CASE WHEN place <= {most} THEN left(queue, 1000) ELSE '' END AS name, sum(n)::bigint,
    extract(epoch FROM max(newest))::float8
FROM placed GROUP BY 1
""")

OF_CONNECTION: Final = sql.SQL("WHERE connection = {connection}")
