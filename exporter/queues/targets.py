"""Which queues a reader reads whose keys begin with a prefix: the found and the configured, each in its application."""

from collections.abc import Sequence
from typing import NamedTuple

from exporter.queues.naming import handle_of, labels, parts_of


class Target(NamedTuple):
    """One queue to be read."""

    prefix: bytes
    name: bytes
    label: str
    handle: bytes


class Targets:
    """Makes the list of queues to read out of what was found; the same findings give the same list, made once.

    ``own`` is the configured prefix, None where it is found; ``default`` is where the system's own keys begin. With
    ``whole`` each application has, after its queues, a target named ``""`` for numbers it keeps of all of them together.
    """

    def __init__(
        self, names: Sequence[str], *, own: bytes | None, default: bytes, between: bytes, whole: bool = False
    ) -> None:
        self._names = tuple(name.encode("utf-8", "surrogateescape") for name in names)
        self._own = own
        self._default = default
        self._between = between
        self._whole = whole
        self._found: Sequence[bytes] | None = None
        self._made: tuple[Target, ...] = ()

    def of(self, found: Sequence[bytes]) -> tuple[Target, ...]:
        """Return the configured queues, also those nobody has found, and after them the others."""
        if found is not self._found:
            self._made = self._make(found)
            self._found = found
        return self._made

    def _make(self, found: Sequence[bytes]) -> tuple[Target, ...]:
        pairs = [parts_of(handle) for handle in found]
        owners: dict[bytes, list[bytes]] = {}
        for prefix, name in pairs:
            owners.setdefault(name, []).append(prefix)
        home = self._home([prefix for prefix, _ in pairs])
        queues = [(owner, name) for name in self._names for owner in owners.get(name, [home])]
        queues = list(dict.fromkeys((*queues, *pairs)))
        if self._whole:
            queues += dict.fromkeys((prefix, b"") for prefix, _ in queues)
        shown = labels(queues, between=self._between)
        return tuple(Target(prefix, name, shown[prefix, name], handle_of(prefix, name)) for prefix, name in queues)

    def _home(self, prefixes: Sequence[bytes]) -> bytes:
        """Return where a configured queue is read that was not found: the configured prefix, the default, the first found."""
        if self._own is not None:
            return self._own
        return self._default if self._default in prefixes or not prefixes else prefixes[0]
