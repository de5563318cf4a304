"""Makes the database roles of docker-compose.yml after the migration: the sink's, which writes, and the one that only reads.

Names and passwords are those in the connection strings of the secrets. It may run as often as one likes: on a new volume it
makes the roles, on an old one it sets their passwords, so a secret is changed by writing it anew and `docker compose up`.
"""

import sys
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier, Literal

SECRETS = Path("/run/secrets")
GRANTS = {"sink_dsn": "grant_writer", "history_dsn": "grant_reader"}


def secret(name: str) -> str:
    """Return what is in a secret's file."""
    return (SECRETS / name).read_text(encoding="utf-8").strip()


def login_of(name: str) -> tuple[str, str, str]:
    """Return what a secret's connection string says: itself, the user, the password.

    libpq's own words on one that is misspelt would have it in them, password and all.
    """
    dsn = secret(name)
    try:
        told = conninfo_to_dict(dsn)
        return dsn, str(told["user"]), str(told["password"])
    except (psycopg.ProgrammingError, KeyError):
        raise ValueError(f"secrets/{name} is no connection string with a user and a password") from None


def make(owner: psycopg.Connection, name: str, password: str) -> str:
    """Make a role that may log in, or give it this password; return what was done.

    The server is told the password's hash, so that it stands in no log there.
    """
    there = owner.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
    digest = owner.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    verb = SQL("CREATE ROLE" if there is None else "ALTER ROLE")
    owner.execute(SQL("{} {} LOGIN PASSWORD {}").format(verb, Identifier(name), Literal(digest)))
    return "made" if there is None else "kept, its password set"


def main() -> None:
    """Make the roles; end with status 1 and a sentence where that fails."""
    owner_dsn, owner_name, _ = login_of("owner_dsn")
    logins = {grant: login_of(file) for file, grant in GRANTS.items()}
    with psycopg.connect(owner_dsn, connect_timeout=10, application_name="depthgauge-roles") as owner:
        for file, grant in GRANTS.items():
            _, name, password = logins[grant]
            if name == owner_name:
                print(f"{file}: {name} is the owner, nothing to grant")
                continue
            done = make(owner, name, password)
            owner.execute(SQL("SELECT depthgauge.{}(%s)").format(Identifier(grant)), (name,))
            print(f"{file}: role {name} {done}, {grant}")


if __name__ == "__main__":
    try:
        main()
    except (psycopg.Error, OSError, ValueError) as exc:
        sys.exit(f"cannot make the database roles of /run/secrets: {exc}")
