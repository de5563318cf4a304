"""Errors that users see.

::

    DepthgaugeError          anything we explain: what was attempted, on what, what to do
      ConfigError            one or more mistakes in the configuration, all of them at once
      SourceError            a target could not be read; carries an ErrorKind
      StreamError            an entry of the stream that cannot be used
        CorruptEntry         it never will be: quarantine it
        NewerVersion         a newer depthgauge wrote it: leave it pending
      SchemaError            the database's schema is not the one this program needs
"""

from enum import StrEnum


class ErrorKind(StrEnum):
    """Why a source failed: the closed set behind every ``reason`` label."""

    SOCKET_MISSING = "socket_missing"
    PERMISSION_DENIED = "permission_denied"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    DNS = "dns"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    TLS = "tls"
    UNAUTHORIZED = "unauthorized"
    ACL_DENIED = "acl_denied"
    NOT_RPC = "not_rpc"
    FAULT = "fault"
    SHUTTING_DOWN = "shutting_down"
    GARBAGE = "garbage"
    TOO_LARGE = "too_large"
    WRONG_TYPE = "wrong_type"
    LOADING = "loading"
    READ_ONLY = "read_only"
    OUT_OF_MEMORY = "out_of_memory"
    BUSY = "busy"
    NOT_FOUND = "not_found"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    INTERNAL = "internal"


class DepthgaugeError(Exception):
    """Base of all errors that carry their own explanation."""


class ConfigError(DepthgaugeError):
    """Mistakes in the configuration; ``problems`` holds every one, each with its place and the fix."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class SourceError(DepthgaugeError):
    """A target could not be read."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class StreamError(DepthgaugeError):
    """An entry of the stream that cannot be used."""


class CorruptEntry(StreamError):  # noqa: N818  it names the entry; the base says that it is an error
    """An entry that no version will ever be able to read."""


class NewerVersion(StreamError):  # noqa: N818  see CorruptEntry
    """An entry of a newer major version: upgrade the reader."""


class SchemaError(DepthgaugeError):
    """The database's schema is not the one this program needs; the message names the command that mends it."""
