"""The right link for a URL: to one server, to what Sentinel watches, or to a cluster."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from depthgauge.redis_cluster import ClusterLink
from depthgauge.redis_link import Link
from depthgauge.redis_sentinel import SentinelLink
from depthgauge.redis_url import Topology, parse
from depthgauge.resp import MAX_BULK, Command, Reply
from depthgauge.secrets import Secret

_KINDS: Final[Mapping[Topology, Callable[..., "AnyLink"]]] = {
    Topology.SERVER: Link,
    Topology.SENTINEL: SentinelLink,
    Topology.CLUSTER: ClusterLink,
}


class AnyLink(Protocol):
    """What all of them can: see :class:`~depthgauge.redis_link.Link`."""

    url: Secret

    @property
    def connects(self) -> int:
        """Connections made so far: a change means that it may be another server now."""

    @property
    def skipped(self) -> Sequence[str]:
        """Why parts of the keys were left out of the last SCAN; empty where they are all on one server."""

    def exchange(self, commands: Sequence[Command], *, deadline: float, max_bulk: int = MAX_BULK) -> list[Reply]:
        """Send one pipeline, return its replies; raise SourceError. ``deadline`` is by the link's monotonic clock."""

    def close(self) -> None:
        """Close the connections; a call in flight in another thread ends with an error."""


def link_for(url: Secret, *, connect_timeout: float, monotonic: Callable[[], float] = time.monotonic) -> AnyLink:
    """Return the link for a URL; nothing is connected yet."""
    return _KINDS[parse(url).topology](url, connect_timeout=connect_timeout, monotonic=monotonic)
