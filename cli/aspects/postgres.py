"""Whether each watched database is there, and what of it the role in its connection string may see."""

from collections.abc import Sequence
from typing import Final

from psycopg import sql

from cli.aspects.finding import Finding, Subject
from depthgauge.errors import ErrorKind, SourceError
from depthgauge.secrets import masked
from exporter.settings import DatabaseSettings
from exporter.sources import postgres_queries as queries
from exporter.sources.failed_jobs import FailedJobsReader
from exporter.sources.postgres_link import PostgresLink

TIMEOUT: Final = 10.0

_RIGHTS: Final = sql.SQL("""
SELECT current_setting('server_version'), quote_ident(session_user),
    pg_has_role(session_user, 'pg_read_all_stats', 'USAGE'),
    current_setting('track_activities') = 'on' AND current_setting('track_counts') = 'on',
    (SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
     WHERE extname = 'pg_stat_statements')
""")


def look(settings: DatabaseSettings) -> Sequence[Finding]:
    """Connect to one database and read of it what the exporter would. Nothing is written."""
    subject = Subject(aspect="postgres", target=settings.name)
    link = PostgresLink(settings.dsn)
    try:
        ((version, role, sees_all, tracks, schema),) = link.ask(_RIGHTS, seconds=TIMEOUT).rows
        findings = [subject.ok(f"{masked(settings.dsn.reveal())} answers: PostgreSQL {version}")]
        if not sees_all:
            findings.append(
                subject.warning(
                    f"role {role} sees its own sessions only: those of others count as unknown, and none of their statements",
                    f"GRANT pg_monitor TO {role}",
                )
            )
        if not tracks:
            findings.append(
                subject.warning(
                    "the server does not track statements or counts", "set track_activities and track_counts to on"
                )
            )
        findings.append(_statements(link, subject, schema, settings.slow_query))
        if settings.failed_jobs is not None:
            findings.append(_failed_jobs(settings, link, subject, role))
        return findings
    except SourceError as exc:
        return [subject.error(str(exc), f"reason {exc.kind.value}, see docs/postgres.md")]
    finally:
        link.close()


def _statements(link: PostgresLink, subject: Subject, schema: str | None, slow: float) -> Finding:
    if schema is None:
        return subject.ok("pg_stat_statements is not in this database: totals of statements stay absent")
    wanted = queries.STATEMENTS.format(schema=sql.Identifier(schema), milliseconds=sql.Literal(slow * 1000))
    try:
        ((calls, _, slow_ones),) = link.ask(wanted, seconds=TIMEOUT).rows
    except SourceError as exc:
        return subject.warning(
            f"pg_stat_statements cannot be read: {exc}",
            "name it in shared_preload_libraries, and restart the server; docs/postgres.md has its rights",
        )
    return subject.ok(f"pg_stat_statements is there: {calls} calls, {slow_ones} slow statements")


def _failed_jobs(settings: DatabaseSettings, link: PostgresLink, subject: Subject, role: str) -> Finding:
    assert settings.failed_jobs is not None
    table = settings.failed_jobs.table
    try:
        found = FailedJobsReader(settings.failed_jobs, link).read(TIMEOUT)
    except SourceError as exc:
        if exc.kind is ErrorKind.PERMISSION_DENIED:
            return subject.error(
                f"role {role} may not read {table}", f"GRANT SELECT (connection, queue, failed_at) ON {table} TO {role}"
            )
        return subject.error(str(exc), f"reason {exc.kind.value}, see docs/postgres.md")
    return subject.ok(f"{table} is readable: {sum(each.count for each in found)} failed jobs in {len(found)} queues")
