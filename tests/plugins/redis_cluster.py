"""A real Redis Cluster on this machine: masters with equal shares of the slots, and a replica where a test wants one."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import redis
from redis.crc import key_slot

from tests.plugins.ports import free_port
from tests.plugins.redis_server import RedisServer
from tests.plugins.waiting import wait_for

SLOTS = 16384
NODE_TIMEOUT = 1000
"""Milliseconds after which nodes call another one dead."""


class ClusterNode(RedisServer):
    """One node; its folder holds what it knows of the others."""

    def __init__(self, folder: Path, *, options: Sequence[str], binary: str | None) -> None:
        self.bus_port = free_port()
        self.id = secrets.token_hex(20)
        own = [
            *("--cluster-enabled", "yes", "--cluster-port", str(self.bus_port)),
            *("--cluster-node-timeout", str(NODE_TIMEOUT), "--repl-diskless-sync-delay", "0"),
        ]
        super().__init__(folder, options=(*own, *options), binary=binary)

    def cluster(self, *words: str | int) -> Any:
        """Return what the node answers to CLUSTER with these words."""
        with redis.Redis(host="127.0.0.1", port=self.port, protocol=2) as client:
            return client.execute_command("CLUSTER", *words)

    def knows(self, name: str) -> str:
        """Return a field of CLUSTER INFO."""
        told = dict(line.split(":", 1) for line in str(self.cluster("INFO"), "ascii").split())
        return told[name]


class RedisCluster:
    """``masters`` by their shares of the slots, in order; ``replica`` follows the first one."""

    def __init__(
        self, folder: Path, *, masters: int, replica: bool, binary: str | None, options: Sequence[str]
    ) -> None:
        self.nodes = [
            ClusterNode(folder / str(number), options=options, binary=binary) for number in range(masters + replica)
        ]
        self.masters = self.nodes[:masters]
        self.replica = self.nodes[masters] if replica else None
        self._share = -(-SLOTS // masters)

    @property
    def url(self) -> str:
        """The URL, with the last two masters as seeds."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{master.port}" for master in self.masters[-2:])

    def start(self) -> "RedisCluster":
        """Start all nodes, each with a file that tells it the others, wait until all of them find the cluster whole."""
        for node in self.nodes:
            lines = [self._line(index, each, asked=node) for index, each in enumerate(self.nodes)]
            lines.append(f"vars currentEpoch {len(self.nodes)} lastVoteEpoch 0\n")
            (node.folder / "nodes.conf").write_text("\n".join(lines))
            node.start()
        self.wait_whole()
        if self.replica is not None:
            client: Any = self.replica.client()
            wait_for(lambda: client.info("replication")["master_link_status"] == "up", what="the replica is in touch")
        return self

    def _line(self, index: int, node: ClusterNode, *, asked: ClusterNode) -> str:
        """Return what stands in the file of one node for another one, or for itself."""
        place = f"{node.id} 127.0.0.1:{node.port}@{node.bus_port} {'myself,' if node is asked else ''}"
        if node is self.replica:
            return f"{place}slave {self.masters[0].id} 0 0 1 connected"
        first = index * self._share
        return f"{place}master - 0 0 {index + 1} connected {first}-{min(SLOTS, first + self._share) - 1}"

    def wait_whole(self) -> None:
        """Wait until every node finds the cluster whole."""
        wait_for(lambda: all(map(self._whole, self.nodes)), 20, what="the cluster is whole")

    def _whole(self, node: ClusterNode) -> bool:
        known = int(node.knows("cluster_known_nodes")) == len(self.nodes)
        return known and node.knows("cluster_state") == "ok" and int(node.knows("cluster_slots_ok")) == SLOTS

    def owner(self, key: str) -> ClusterNode:
        """Return the master that had the key's slot at the start."""
        return self.masters[key_slot(key.encode()) // self._share]

    def at(self, key: str) -> Any:
        """Return a client of that master."""
        return self.owner(key).client()

    def name_on(self, master: RedisServer, form: str = "{}") -> str:
        """Return a name whose key, by this form, is on this master."""
        return next(name for number in range(1000) if self.owner(form.replace("{}", name := f"q{number}")) is master)

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.stop()


MakeCluster: TypeAlias = Callable[..., RedisCluster]


@pytest.fixture
def make_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeCluster]:
    """Give a function that starts clusters: ``make_cluster(masters=3, replica=True, options=("--x", "y"))``."""
    clusters: list[RedisCluster] = []

    def make(
        *, masters: int = 3, replica: bool = False, binary: str | None = None, options: Sequence[str] = ()
    ) -> RedisCluster:
        folder = tmp_path_factory.mktemp("cluster")
        clusters.append(RedisCluster(folder, masters=masters, replica=replica, binary=binary, options=options))
        return clusters[-1].start()

    yield make
    for cluster in clusters:
        cluster.stop()


@pytest.fixture(scope="module")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Give a cluster of three masters, for a whole module: a test leaves it as it was but for its keys."""
    cluster = RedisCluster(
        tmp_path_factory.mktemp("cluster"),
        masters=3,
        replica=False,
        binary=None,
        options=("--cluster-require-full-coverage", "no"),
    )
    yield cluster.start()
    cluster.stop()
