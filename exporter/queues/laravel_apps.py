"""Which keys of one Redis belong to one Laravel application: its queues under one prefix, its Horizon under another.

Both come from the application's name unless it says otherwise: ``shop_database_`` (``shop-database-`` in newer
applications) and ``shop_horizon:`` (config/database.php of laravel/laravel, config/horizon.php of laravel/horizon).
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from exporter.queues.naming import labels

MARK: Final = b"queues:"
"""Between prefix and queue in the keys of Laravel's queues."""
COUNTERS: Final = b"depthgauge:jobs:"
"""Between prefix and queue in the key of the counters that workers keep (counters.py)."""
_OF_QUEUES: Final = (b"_database_", b"-database-")
_OF_HORIZON: Final = (b"_horizon:", b"-horizon:")


def generations(stem: bytes) -> tuple[bytes, ...]:
    """Return the prefixes that an application of this name has by default: first the older spelling, then the newer."""
    return stem + _OF_QUEUES[0], stem.replace(b"_", b"-") + _OF_QUEUES[1]


DEFAULTS: Final = generations(b"laravel")
"""Where configured queues are read as long as no key has told the prefix: those of an application without a name."""


def stem_of(prefix: bytes) -> bytes | None:
    """Return the application's name that a prefix of queues or of Horizon was made of; None if it was made otherwise."""
    bare = unbraced(prefix)
    for end in (*_OF_QUEUES, *_OF_HORIZON):
        if bare.endswith(end) and len(bare) > len(end):
            return bare.removesuffix(end).replace(b"-", b"_")
    return None


def is_default(prefix: bytes) -> bool:
    """Say whether a prefix is one that Laravel's queues have by default."""
    return prefix.endswith(_OF_QUEUES) and stem_of(prefix) is not None


def unbraced(word: bytes) -> bytes:
    """Return a prefix or a name without the braces that a cluster needs around it."""
    return word[1:-1] if word.startswith(b"{") and word.endswith(b"}") else word


def homes(
    horizons: Sequence[bytes], prefixes: Sequence[bytes], *, derive: bool
) -> Mapping[bytes, tuple[bytes, ...] | None]:
    """Return under which prefixes the queues of each Horizon are; None where that cannot be told.

    ``prefixes`` are those known, by keys or by configuration. Unless one is configured (``derive``), queues that have no
    key at the moment are looked for where their application has them by default: several prefixes are the spellings of one.
    """
    claimed: dict[tuple[bytes, ...], bytes] = {}
    result: dict[bytes, tuple[bytes, ...] | None] = {}
    for horizon in horizons:
        home = _home(horizon, prefixes, alone=len(horizons) == 1, derive=derive)
        if home is not None and claimed.setdefault(home, horizon) != horizon:
            home = None
        result[horizon] = home
    return result


def _home(horizon: bytes, known: Sequence[bytes], *, alone: bool, derive: bool) -> tuple[bytes, ...] | None:
    stem = stem_of(horizon)
    same = [prefix for prefix in known if stem is not None and stem_of(prefix) == stem]
    if same:
        return (same[0],) if len(same) == 1 else None
    possible = [prefix for prefix in known if stem is None or stem_of(prefix) is None]
    if possible:
        return (possible[0],) if len(possible) == 1 and alone else None
    if not derive:
        return None
    return generations(stem) if stem is not None else DEFAULTS if alone else None


class Target(NamedTuple):
    """One queue of one application."""

    label: str
    queue: bytes
    keys: tuple[bytes, ...]
    """Its lists: spelled with and without braces, or under prefixes of which no key has told the right one yet."""
    horizon: bytes | None
    """The prefix of its application's Horizon."""


class Apps(NamedTuple):
    """All that is known of the applications in one Redis."""

    targets: tuple[Target, ...] = ()
    labels: Mapping[tuple[bytes, bytes], str] = {}
    """The label of each prefix and queue."""
    homes: Mapping[bytes, tuple[bytes, ...] | None] = {}
    """The prefixes of the queues of each Horizon, see :func:`homes`."""
    measured: Mapping[bytes, Mapping[bytes, Sequence[bytes]]] = {}
    """By Horizon's prefix and queue, how Horizon may spell the queue's name."""


def handle_of(horizon: bytes, name: bytes) -> bytes:
    """Return the handle of a queue that Horizon names: under which prefix it is may be known later only."""
    return b"\0" + horizon + b"\0" + name


def horizon_of(handle: bytes) -> tuple[bytes, bytes] | None:
    """Return Horizon's prefix and the queue's name of such a handle; None for one that is a list's key."""
    if not handle.startswith(b"\0"):
        return None
    horizon, _, name = handle[1:].partition(b"\0")
    return horizon, name


def split(key: bytes, told: bytes | None) -> tuple[bytes, bytes]:
    """Return prefix and queue of a list's key, without the braces that Laravel adds on a cluster."""
    if told is None:
        prefix, _, queue = key.rpartition(MARK)
    else:
        prefix, queue = told, key.removeprefix(told + MARK)
    return prefix, unbraced(queue)


def apps_of(
    found: Sequence[bytes], names: Sequence[bytes], *, told: bytes | None, horizons: Sequence[bytes] = ()
) -> Apps:
    """Sort the handles found and the names configured into queues, configured ones first.

    Two applications in one Redis are two prefixes. ``told`` is the configured one, ``horizons`` are those of Horizon that
    are read whatever was found.
    """
    keys, named_by = _sorted_out(found, told, horizons)
    prefixes = (told,) if told is not None else tuple(sorted({prefix for prefix, _ in keys.values()}))
    at_home = homes(tuple(named_by), prefixes, derive=told is None)
    if told is not None and horizons and not any(at_home.values()):
        # Both are configured: they are one application's, whatever name stands in them.
        spelled_as = next((horizon for horizon, words in named_by.items() if words), horizons[0])
        at_home = {spelled_as: (told,)}
    owner_of = {horizon: home[0] for horizon, home in at_home.items() if home is not None}
    assumed = prefixes[:1] or next((home for home in at_home.values() if home is not None), DEFAULTS)
    spelled = {home[0]: home for home in (*at_home.values(), assumed) if home is not None}
    named = [(owner, name) for horizon, owner in owner_of.items() for name in named_by[horizon]]

    owners: dict[bytes, set[bytes]] = {}
    for prefix, queue in (*keys.values(), *((owner, unbraced(name)) for owner, name in named)):
        owners.setdefault(queue, set()).add(prefix)
    queues: dict[tuple[bytes, bytes], dict[bytes, None]] = {}
    for name in names:
        for owner in sorted(owners.get(unbraced(name), assumed[:1])):
            lists = queues.setdefault((owner, unbraced(name)), {})
            lists.update(dict.fromkeys(prefix + MARK + name for prefix in spelled.get(owner, (owner,))))
    for key, place in keys.items():
        queues.setdefault(place, {})[key] = None
    for owner, name in named:
        lists = queues.setdefault((owner, unbraced(name)), {})
        lists.update({} if lists else dict.fromkeys(prefix + MARK + name for prefix in spelled[owner]))

    label_of = labels(queues, between=b"")
    watched_by = {owner: horizon for horizon, owner in owner_of.items()}
    targets = tuple(
        Target(label_of[prefix, queue], queue, tuple(lists), watched_by.get(prefix))
        for (prefix, queue), lists in queues.items()
    )
    return Apps(targets, label_of, at_home, _measured(targets, named_by))


def _sorted_out(
    found: Sequence[bytes], told: bytes | None, horizons: Sequence[bytes]
) -> tuple[dict[bytes, tuple[bytes, bytes]], dict[bytes, list[bytes]]]:
    """Return prefix and queue of each list's key, and the names that each Horizon has told."""
    keys: dict[bytes, tuple[bytes, bytes]] = {}
    named_by: dict[bytes, list[bytes]] = {horizon: [] for horizon in horizons}
    for handle in found:
        of_horizon = horizon_of(handle)
        if of_horizon is None:
            keys[handle] = split(handle, told)
        else:
            named_by.setdefault(of_horizon[0], []).append(of_horizon[1])
    return keys, named_by


def _measured(
    targets: Sequence[Target], named_by: Mapping[bytes, Sequence[bytes]]
) -> Mapping[bytes, Mapping[bytes, Sequence[bytes]]]:
    """Return how each Horizon may spell its queues: as it has told, without braces, and with them where a key has them."""
    spellings: dict[bytes, dict[bytes, dict[bytes, None]]] = {horizon: {} for horizon in named_by}
    for target in targets:
        if target.horizon is not None:
            spelled = spellings[target.horizon].setdefault(target.queue, {target.queue: None})
            if any(key.endswith(b"}") for key in target.keys):
                spelled[b"{" + target.queue + b"}"] = None
    for horizon, names in named_by.items():
        for name in names:
            if unbraced(name) in spellings[horizon]:
                spellings[horizon][unbraced(name)][name] = None
    return {
        horizon: {queue: tuple(spelled) for queue, spelled in queues.items()} for horizon, queues in spellings.items()
    }
