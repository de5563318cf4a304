"""Applications that share a Redis by namespaces, as Ruby's redis-namespace makes them: name and colon before every key."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from depthgauge.names import clean
from depthgauge.resp import Reply
from depthgauge.snapshot import Queue
from exporter.queues.naming import handle_of, labels, parts_of
from exporter.queues.reader import Conversation, PrefixReader, abreast
from exporter.settings import PrefixSettings

MOST: Final = 64
"""Namespaces that are asked for queues in one Redis."""
PROBES: Final = 10
"""Queues whose head is looked at where nothing else tells whose they are."""


def key_of(namespace: bytes, rest: bytes) -> bytes:
    """Return a key of a namespace; ``b""`` is none."""
    return namespace + b":" + rest if namespace else rest


@dataclass(frozen=True, slots=True)
class Application:
    """The queues of one namespace."""

    namespace: bytes
    names: tuple[bytes, ...]
    labels: Mapping[bytes, str]
    """The ``queue`` label by name; that of ``b""`` for what is told of all queues together."""

    def key(self, rest: bytes) -> bytes:
        """Return a key of this namespace."""
        return key_of(self.namespace, rest)

    def handle(self, name: bytes) -> bytes:
        """Return what a queue is remembered by."""
        return handle_of(self.namespace, name)


class Namespaces:
    """The namespaces of one system: the one configured, or the default one and those whose keys were met."""

    def __init__(self, configured: str | None, default: bytes, names: Sequence[str]) -> None:
        self.configured = configured is not None
        self._home = default if configured is None else configured.encode()
        self._names = tuple(name.encode() for name in names)
        self.known: tuple[bytes, ...] = (self._home,)
        """Replaced, never changed: discovery adds to it in a thread of its own."""
        self._found: Sequence[bytes] | None = None
        self._applications: tuple[Application, ...] = ()

    def remember(self, namespace: bytes) -> None:
        """Add a namespace that a key has told."""
        if not self.configured and namespace not in self.known and len(self.known) < MOST and b"\0" not in namespace:
            self.known = (*self.known, namespace)

    def applications(self, found: Sequence[bytes]) -> Sequence[Application]:
        """Return configured queues, then those found, by namespace.

        A configured name that was not found belongs to the configured namespace, else to the first one found, else to the
        default.
        """
        if found is not self._found:
            self._applications = self._group(found)
            self._found = found
        return self._applications

    def _group(self, found: Sequence[bytes]) -> tuple[Application, ...]:
        owners: dict[bytes, list[bytes]] = {}
        for namespace, name in map(parts_of, found):
            owners.setdefault(name, []).append(namespace)
        home = parts_of(found[0])[0] if found and not self.configured else self._home
        queues = [(owner, name) for name in self._names for owner in owners.get(name, [home])]
        queues = list(dict.fromkeys((*queues, *map(parts_of, found))))
        namespaces = tuple(dict.fromkeys(namespace for namespace, _ in queues))
        shown = labels((*((namespace, b"") for namespace in namespaces), *queues))
        return tuple(
            Application(
                namespace,
                tuple(name for owner, name in queues if owner == namespace),
                {name: label for (owner, name), label in shown.items() if owner == namespace},
            )
            for namespace in namespaces
        )


def holds_job(
    namespace: bytes, names: Sequence[bytes], *, end: int, is_job: Callable[[Reply], bool]
) -> Conversation[bool]:
    """Say whether one of the first lists ``queue:NAME`` has a job of a system at its end (0 or -1)."""
    keys = [key_of(namespace, b"queue:" + name) for name in names[:PROBES]]
    kinds: list[Reply] = (yield [("TYPE", key) for key in keys]) if keys else []
    lists = [key for key, kind in zip(keys, kinds, strict=True) if kind == b"list"]
    heads: list[Reply] = (yield [("LINDEX", key, end) for key in lists]) if lists else []
    return any(map(is_job, heads))


class NamespaceReader(PrefixReader):
    """A reader whose keys have a namespace, which it may share with others; its queues' names stand in ``queues``."""

    def __init__(self, settings: PrefixSettings, default: bytes, names: Sequence[str]) -> None:
        self._namespaces = Namespaces(settings.prefix, default, names)
        self.needs_scan = not self._namespaces.configured
        self.own_prefix = None if settings.prefix is None else settings.prefix.encode()

    @property
    def prefixes(self) -> Sequence[bytes]:  # type: ignore[override]  # an attribute elsewhere
        """The namespaces that :meth:`discover` asks."""
        return self._namespaces.known

    def told_by(self, handle: bytes) -> str:
        """Return the set of names."""
        return f"named in {clean(key_of(parts_of(handle)[0], b'queues'))}"

    def read(self, found: Sequence[bytes], now: float) -> Conversation[Sequence[Queue]]:
        """Read all applications side by side."""
        results = yield from abreast(self.read_application(app, now) for app in self._namespaces.applications(found))
        return [queue for queues in results for queue in queues]

    @abstractmethod
    def read_application(self, app: Application, now: float) -> Conversation[list[Queue]]:
        """Read the queues of one namespace."""
