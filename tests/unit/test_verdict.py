"""What a database error means."""

import psycopg
import pytest

from sink.connect import NotConnected
from sink.verdict import REASONS, Verdict, hint, reason, verdict


def error(code: str) -> psycopg.Error:
    return psycopg.errors.lookup(code)() if code != "TS103" else _timescale(code)


def _timescale(code: str) -> psycopg.Error:
    class Theirs(psycopg.DatabaseError):
        sqlstate = code

    return Theirs()


@pytest.mark.parametrize(
    ("code", "expected", "label"),
    [
        ("57P01", Verdict.RECONNECT, "shutdown"),
        ("57P03", Verdict.RECONNECT, "shutdown"),
        ("25006", Verdict.RECONNECT, "read_only"),
        ("25P03", Verdict.RECONNECT, "transaction_state"),
        ("08006", Verdict.RECONNECT, "connection"),
        ("53300", Verdict.RETRY, "connections"),
        ("53100", Verdict.RETRY, "disk_full"),
        ("57014", Verdict.RETRY, "statement_timeout"),
        ("55P03", Verdict.RETRY, "lock_timeout"),
        ("40001", Verdict.RETRY, "serialization"),
        ("40P01", Verdict.RETRY, "serialization"),
        ("22003", Verdict.POISON, "data"),
        ("22021", Verdict.POISON, "data"),
        ("22P05", Verdict.POISON, "data"),
        ("26000", Verdict.RECONNECT, "prepared"),
        ("42P05", Verdict.RECONNECT, "prepared"),
        ("42P01", Verdict.STOP, "schema"),
        ("42501", Verdict.STOP, "privileges"),
        ("0A000", Verdict.STOP, "unsupported"),
        ("53400", Verdict.STOP, "resources"),
        ("TS103", Verdict.STOP, "timescaledb"),
        ("23514", Verdict.PARTITION, "data"),
    ],
)
def test_codes(code: str, expected: Verdict, label: str) -> None:
    assert verdict(error(code)) is expected
    assert reason(error(code)) == label


@pytest.mark.parametrize(
    ("raised", "expected", "label"),
    [
        (psycopg.OperationalError("server closed the connection"), Verdict.RECONNECT, "connection"),
        (NotConnected("password authentication failed"), Verdict.RECONNECT, "connect"),
        (psycopg.errors.ConnectionTimeout("no answer"), Verdict.RECONNECT, "connect_timeout"),
        (psycopg.DataError("NUL in text"), Verdict.POISON, "client"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"), Verdict.POISON, "client"),
        (TypeError("mixed types"), Verdict.POISON, "client"),
    ],
)
def test_errors_without_a_code(raised: BaseException, expected: Verdict, label: str) -> None:
    assert verdict(raised) is expected
    assert reason(raised) == label


def test_every_reason_is_of_the_closed_set() -> None:
    states = (getattr(getattr(psycopg.errors, name), "sqlstate", None) for name in dir(psycopg.errors))
    codes = [state for state in states if isinstance(state, str)]
    assert len(codes) > 200
    assert {reason(error(code)) for code in codes} <= REASONS


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("25006", "target_session_attrs=read-write"),
        ("53100", "disk"),
        ("53300", "max_connections"),
        ("42P01", "depthgauge migrate"),
        ("42501", "depthgauge.grant_writer("),
        ("28P01", "pg_hba.conf"),
        ("3D000", "sink.dsn"),
    ],
)
def test_what_a_human_can_mend_is_said(code: str, words: str) -> None:
    assert words in (hint(error(code)) or "")
