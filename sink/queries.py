"""Every SQL statement of the sink but for those that write snapshots, which are in sink/tables.py."""

from collections.abc import Sequence
from typing import Final, LiteralString

ADVISORY_LOCK: Final = 0x6465707468  # "depth"

LIMITS: Final = """
SELECT
    CASE WHEN current_setting('statement_timeout') = '0' THEN set_config('statement_timeout', '30s', true) END,
    CASE WHEN current_setting('lock_timeout') = '0' THEN set_config('lock_timeout', '5s', true) END,
    CASE WHEN current_setting('idle_in_transaction_session_timeout') = '0'
        THEN set_config('idle_in_transaction_session_timeout', '60s', true) END,
    CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', true) END,
    set_config('timezone', 'UTC', true)
"""
"""What a transaction gets where neither the connection string, nor the role, nor the server sets it; and that a commit is on
disk when it is done: the stream's entry is deleted after it."""

BACKEND: Final = "SELECT pg_backend_pid()"

KEPT: Final = "SELECT class, max(keep) FROM depthgauge.series GROUP BY class"
KEEP: Final = """
UPDATE depthgauge.series s
SET keep = w.keep,
    columnstore_after = CASE WHEN s.class = ANY (%(rollups)s) THEN %(raw)s ELSE s.columnstore_after END
FROM unnest(%(classes)s::text[], %(keeps)s::interval[]) AS w (class, keep)
WHERE w.class = s.class
"""
RAW_HORIZON: Final = "SELECT min(keep), max(dropped_before) FROM depthgauge.series WHERE class = 'raw'"

MAINTAIN: Final = "CALL depthgauge.maintain(%s)"
MAINTAINED: Final = """
SELECT step, extract(epoch FROM finished_at)::float8, seconds, extract(epoch FROM now() - finished_at)::float8
FROM depthgauge.maintenance
"""
DIRTY: Final = "SELECT count(*) FROM (SELECT DISTINCT rollup, bucket FROM depthgauge.dirty_buckets) AS marked"
COLUMNSTORE_DUE: Final = """
SELECT count(*), coalesce(max(extract(epoch FROM now() - d.ended_at - s.columnstore_after)), 0)::float8
FROM depthgauge.columnstore_due() d JOIN depthgauge.series s ON s.name = d.series_name
"""
CHUNKS_OF_HYPERTABLES: Final = """
SELECT s.name, count(c.chunk_name), count(c.chunk_name) FILTER (WHERE c.is_compressed)
FROM depthgauge.series s LEFT JOIN timescaledb_information.chunks c
    ON c.hypertable_schema = 'depthgauge' AND c.hypertable_name = s.name
GROUP BY s.name
"""
CHUNKS_OF_PARTITIONS: Final = """
SELECT s.name, count(i.inhrelid), 0
FROM depthgauge.series s LEFT JOIN pg_catalog.pg_inherits i ON i.inhparent = format('depthgauge.%I', s.name)::regclass
GROUP BY s.name
"""
GAPS: Final = """
WITH found AS (SELECT state, snapshots, dropped FROM depthgauge.find_gaps(now() - %s, %s))
SELECT state, sum(snapshots - dropped)::bigint FROM found WHERE state <> 'dropped' GROUP BY state
UNION ALL
SELECT 'dropped', coalesce(sum(dropped), 0)::bigint FROM found
"""

ENSURE_PARTITIONS: Final = "SELECT depthgauge.ensure_partitions(%s::date[])"

EXTENSION: Final = "SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'timescaledb'"
EXTENSION_AVAILABLE: Final = "SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = 'timescaledb'"
COMMUNITY: Final = "SELECT _timescaledb_functions.tsl_loaded()"
SCHEMA_EXISTS: Final = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'depthgauge'"
TABLE_EXISTS: Final = """
SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'depthgauge' AND c.relname = %s
"""

MAKE_SCHEMA: Final = "CREATE SCHEMA depthgauge"
MAKE_BOOKKEEPING: Final[Sequence[LiteralString]] = (
    """
CREATE TABLE IF NOT EXISTS depthgauge.migrations (
    name         text        PRIMARY KEY,
    sha256       text        NOT NULL,
    applied_at   timestamptz NOT NULL DEFAULT now(),
    tool_version text        NOT NULL,
    edition      text        NOT NULL
)
""",
    """
CREATE TABLE IF NOT EXISTS depthgauge.installation (
    only_row            boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    layout              text        NOT NULL CHECK (layout IN ('hypertables', 'partitions')),
    edition             text        NOT NULL CHECK (edition IN ('plain', 'apache', 'community')),
    timescaledb_version text,
    schema_version      bigint      NOT NULL,
    tool_version        text        NOT NULL,
    migrated_at         timestamptz NOT NULL
)
""",
    "COMMENT ON TABLE depthgauge.migrations IS 'What depthgauge migrate has applied, once each.'",
    "COMMENT ON TABLE depthgauge.installation IS 'What this database is; schema_version is 0 until the first migrate is complete.'",
)
APPLIED: Final = "SELECT name, sha256 FROM depthgauge.migrations ORDER BY name"
RECORD_MIGRATION: Final = (
    "INSERT INTO depthgauge.migrations (name, sha256, tool_version, edition) VALUES (%s, %s, %s, %s)"
)
INSTALLATION: Final = "SELECT layout, edition, timescaledb_version, schema_version FROM depthgauge.installation"
RECORD_LAYOUT: Final = """
INSERT INTO depthgauge.installation (layout, edition, timescaledb_version, schema_version, tool_version, migrated_at)
VALUES (%s, %s, %s, 0, %s, now()) ON CONFLICT DO NOTHING
"""
RECORD_INSTALLATION: Final = """
UPDATE depthgauge.installation
SET edition = %s, timescaledb_version = %s, schema_version = %s, tool_version = %s, migrated_at = now()
"""

PARTITIONED_SERIES: Final = """
SELECT s.name FROM depthgauge.series s JOIN pg_catalog.pg_class c ON c.oid = to_regclass(format('depthgauge.%I', s.name))
WHERE c.relkind = 'p' ORDER BY s.name
"""
SET_ASIDE: Final = """
SELECT name FROM depthgauge.series WHERE to_regclass(format('depthgauge.%%I', name || %s)) IS NOT NULL
"""
NEWEST_PARTITION: Final = """
SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass(%s) ORDER BY c.relname DESC LIMIT 1
"""
COMMENT: Final = "SELECT obj_description(to_regclass(%s), 'pg_class')"
GRANTS: Final = """
SELECT r.rolname, a.privilege_type
FROM pg_catalog.pg_class c
CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
WHERE c.oid = to_regclass(%s) AND a.grantee <> c.relowner AND a.privilege_type IN ('SELECT', 'INSERT')
ORDER BY 1, 2
"""
RECORD_HYPERTABLES: Final = (
    "UPDATE depthgauge.installation SET layout = 'hypertables', edition = %s, timescaledb_version = %s"
)

SERIES_AND_TIMES: Final = "SELECT name, time_column FROM depthgauge.series ORDER BY name <> 'snapshots', name"
MAKE_ROOM: Final = "SELECT depthgauge.make_room(%s, %s::date[])"
MARKS: Final = "SELECT DISTINCT rollup, bucket FROM depthgauge.dirty_buckets ORDER BY 1, 2"
DROPPED: Final = "SELECT name, dropped_before FROM depthgauge.series WHERE dropped_before IS NOT NULL"
SET_DROPPED: Final = """
UPDATE depthgauge.series SET dropped_before = greatest(dropped_before, %s) WHERE name = %s
"""

WAIT_FOR_UPKEEP: Final = "SELECT pg_advisory_xact_lock(hashtextextended('depthgauge.maintain', 0))"
"""What one step of maintain() holds (take_turn() in sql/idempotent): waits until nobody is at it, and keeps others from it."""
