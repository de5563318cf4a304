"""The database's schema: the files that make it, what a database says it is, and whether a daemon can work with it."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Any, Final, TypeAlias

import psycopg

from depthgauge.errors import SchemaError
from sink import queries

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

FROZEN: Final = "frozen.txt"
_NUMBERED: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_PARTITIONS: Final = re.compile(r"/\* (PARTITION BY RANGE \([a-z_]+\)) \*/")


class Edition(StrEnum):
    """What the server can do."""

    PLAIN = "plain"
    APACHE = "apache"
    COMMUNITY = "community"

    @property
    def rank(self) -> int:
        """Order of the editions: each can do what those before it can."""
        return list(Edition).index(self)


class Layout(StrEnum):
    """How the tables are cut into days; decided by the first migrate, because neither turns into the other."""

    HYPERTABLES = "hypertables"
    PARTITIONS = "partitions"


@dataclass(frozen=True, slots=True)
class Script:
    """One SQL file of the package."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def for_layout(self, layout: Layout) -> str:
        """Return the SQL to run: with native partitions the comments PARTITION BY become clauses."""
        return _PARTITIONS.sub(r"\1", self.text) if layout is Layout.PARTITIONS else self.text


@dataclass(frozen=True, slots=True)
class Migration(Script):
    """A file of migrations/: applied once, never changed."""

    @property
    def number(self) -> int:
        """The number in its name."""
        return int(self.name[:4])


@dataclass(frozen=True, slots=True)
class Server:
    """What the server is now."""

    edition: Edition
    timescaledb_version: str | None


@dataclass(frozen=True, slots=True)
class Installation:
    """What the database says it is."""

    layout: Layout
    edition: Edition
    timescaledb_version: str | None
    schema_version: int


def available() -> tuple[Migration, ...]:
    """Return the package's migrations, by number; raise SchemaError if a name or the numbering is broken."""
    found = tuple(Migration(script.name, script.text) for script in scripts("migrations"))
    for position, migration in enumerate(found, start=1):
        if not _NUMBERED.fullmatch(migration.name) or migration.number != position:
            raise SchemaError(
                f"migration file {migration.name} is misnamed or out of sequence: expected {position:04}_*.sql"
            )
    return found


def scripts(folder: str) -> tuple[Script, ...]:
    """Return the SQL files of one folder of the package, by name."""
    files = resources.files("sink.sql").joinpath(folder).iterdir()
    return tuple(
        Script(file.name, file.read_text(encoding="utf-8"))
        for file in sorted(files, key=lambda file: file.name)
        if file.name.endswith(".sql")
    )


def frozen() -> dict[str, str]:
    """Return the hashes that released migrations must keep, by name."""
    text = resources.files("sink.sql").joinpath("migrations", FROZEN).read_text(encoding="utf-8")
    return {name: digest for digest, name in (line.split() for line in text.splitlines() if line.strip())}


def schema_version() -> int:
    """Return the schema version this program needs: its last migration's number."""
    return available()[-1].number


def server(connection: Connection) -> Server:
    """Ask the server what it is; the licence setting is a wish, the loaded module is the truth."""
    row = connection.execute(queries.EXTENSION).fetchone()
    if row is None:
        return Server(Edition.PLAIN, None)
    community = connection.execute(queries.COMMUNITY).fetchone()
    return Server(Edition.COMMUNITY if community and community[0] else Edition.APACHE, str(row[0]))


def table_exists(connection: Connection, name: str) -> bool:
    """Say whether the schema has this table; needs no privilege on it."""
    return connection.execute(queries.TABLE_EXISTS, (name,)).fetchone() is not None


def installation(connection: Connection) -> Installation | None:
    """Read what the database says it is; None before the first migrate."""
    return recorded(connection) if table_exists(connection, "installation") else None


def recorded(connection: Connection) -> Installation | None:
    """Read what a database that has been migrated says it is; raise psycopg.Error where it has not."""
    row = connection.execute(queries.INSTALLATION).fetchone()
    if row is None:
        return None
    layout, edition, version, number = row
    return Installation(Layout(layout), Edition(edition), version, int(number))


def check_edition(recorded: Installation, now: Server) -> None:
    """Raise SchemaError if the server can do less than when the schema was made."""
    if now.edition.rank < recorded.edition.rank:
        was = f"TimescaleDB {recorded.timescaledb_version} ({recorded.edition})"
        if now.edition is Edition.PLAIN:
            problem = "the extension timescaledb is not in this database any more"
        else:
            problem = f"it is TimescaleDB {now.timescaledb_version} ({now.edition}) now"
        raise SchemaError(
            f"the database was set up on {was}, but {problem}: restore that edition; nothing is written until then"
        )


def check_schema(connection: Connection) -> Installation:
    """Return what the database is; raise SchemaError if this program cannot work with it, psycopg.Error if it cannot tell."""
    needed = schema_version()
    found = installation(connection)
    if found is None or found.schema_version < needed:
        have = "has no depthgauge schema yet" if found is None else f"has schema version {found.schema_version}"
        raise SchemaError(
            f"the database {connection.info.dbname!r} {have}, this program needs version {needed}: run `depthgauge migrate`"
        )
    if found.schema_version > needed:
        raise SchemaError(
            f"the database {connection.info.dbname!r} has schema version {found.schema_version}, made by a newer depthgauge; "
            f"this program knows up to version {needed}: upgrade it"
        )
    check_edition(found, server(connection))
    return found
