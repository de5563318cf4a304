"""From tables that were read, and from what this host can tell, to the settings of the exporter."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cli.build import Builder
from cli.discover import find_supervisor
from cli.reading import Layer, Node, Origin, Value
from cli.schema import LOCAL_REDIS, SYSTEMS, Role
from cli.table import section_of
from depthgauge.secrets import Secret
from depthgauge.settings import HistorySettings
from exporter.settings import (
    CelerySettings,
    Collectors,
    DatabaseSettings,
    ExporterSettings,
    FailedJobsSettings,
    ListSettings,
    PrefixSettings,
    ProbeSettings,
    QueueRule,
    RedisSettings,
    SortedSetSettings,
    StreamSettings,
    SupervisorSettings,
)

PREFIXED: Final = ("laravel", "horizon", "rq", "sidekiq", "resque", "bullmq", "bull", "dramatiq")
"""Queue systems that need nothing told but the prefix of their keys."""


def _own_state(environ: Mapping[str, str]) -> Path | None:
    """Return the folder for this user's state: systemd's, or that of the XDG base directory specification."""
    if environ.get("STATE_DIRECTORY"):
        return Path(environ["STATE_DIRECTORY"].partition(":")[0])
    if environ.get("XDG_STATE_HOME"):
        return Path(environ["XDG_STATE_HOME"]) / "depthgauge"
    return Path(environ["HOME"]) / ".local" / "state" / "depthgauge" if environ.get("HOME") else None


class ExporterBuilder(Builder):
    """Makes the exporter's settings, too."""

    def find(self, notes: list[str], warnings: list[str]) -> None:
        """Fill in supervisord and Redis where the configuration is silent about them."""
        if "supervisor" not in self.tables:
            found = find_supervisor(self.inputs.places)
            warnings.extend(found.warnings)
            if found.url is not None:
                notes.append(f"no [[supervisor]] is configured, using {found.url} found by {found.place}")
                origin = Origin(Layer.DEFAULT, found.place)
                given = {"url": found.url, "username": found.username, "password": found.password}
                values = {name: Value(value, origin) for name, value in given.items() if value is not None}
                self.tables["supervisor"] = [Node(section_of("supervisor"), origin, values)]
        if "redis" not in self.tables:
            notes.append(f"no [[redis]] is configured, trying {LOCAL_REDIS}")
            self.tables["redis"] = [Node(section_of("redis"), Origin(Layer.DEFAULT, "default"))]

    def exporter(self) -> ExporterSettings | None:
        """Return the exporter's settings, None for another role; its tables are checked in any case."""
        node = self.one("exporter")
        supervisors, redis = self._supervisors(), self._redis_servers()
        databases, probes, history = self._databases(), self._probes(), self.history()
        self._check_rules({each.name for each in redis})
        if Role.EXPORTER not in self.roles:
            return None
        state_dir = self.get(node, "state_dir")
        return ExporterSettings(
            host=self.get(node, "host") or self.inputs.hostname,
            interval=self.get(node, "interval"),
            state_dir=Path(state_dir) if state_dir else None,
            token_dir=_own_state(self.inputs.environ),
            spool_max_bytes=self.get(node, "spool_max_bytes"),
            spool_max_age=self.get(node, "spool_max_age"),
            series_budget=self.get(node, "series_budget"),
            supervisors=supervisors,
            redis=redis,
            databases=databases,
            probes=probes,
            collectors=self._collectors(),
            bus=self.bus(),
            history=history,
            web=self.web(Role.EXPORTER),
        )

    def _unique(self, nodes: Sequence[Node], names: Sequence[str]) -> None:
        seen: dict[str, Origin] = {}
        for node, name in zip(nodes, names, strict=True):
            origin = node.where("name")
            if name in seen:
                self.complain(
                    node, "name", f"{name!r} is taken by the one at {seen[name].place}; give each its own name"
                )
            seen.setdefault(name, origin)

    def _supervisors(self) -> tuple[SupervisorSettings, ...]:
        nodes = self.tables.get("supervisor", [])
        made = tuple(self._supervisor(node) for node in nodes)
        self._unique(nodes, [each.name for each in made])
        return made

    def _supervisor(self, node: Node) -> SupervisorSettings:
        username = self.get(node, "username")
        if "password" in node.values and username is None and "username" not in node.broken:
            self.complain(node, "password", "needs a username beside it")
        rules = (self._rule(child) for child in node.children.get("queues", []))
        return SupervisorSettings(
            name=self.get(node, "name"),
            url=self.get(node, "url") or "",
            username=username,
            password=self.get(node, "password"),
            rules=tuple(rule for rule in rules if rule is not None),
        )

    def _rule(self, node: Node) -> QueueRule | None:
        program: re.Pattern[str] | None = self.get(node, "program")
        if program is None:
            return None
        queues = self.get(node, "queues")
        named = "queue" in program.groupindex
        if named and queues:
            self.complain(node, "queues", "the group `queue` of the pattern names the queue already; keep one of them")
        if not named and "queues" not in node.values and "queues" not in node.broken:
            self.complain(
                node,
                "queues",
                "missing; list the queues, or name the group of the pattern that is the queue: (?P<queue>…)",
            )
        return QueueRule(program=program, queues=queues, system=self.get(node, "system"), redis=self.get(node, "redis"))

    def _check_rules(self, names: set[str]) -> None:
        for supervisor in self.tables.get("supervisor", []):
            for node in supervisor.children.get("queues", []):
                redis = self.get(node, "redis")
                # For another role a Redis that is not configured has not been filled in.
                if redis is not None and names and redis not in names:
                    known = ", ".join(sorted(names))
                    self.complain(node, "redis", f"no [[redis]] has the name {redis!r}; there are: {known}")

    def _redis_servers(self) -> tuple[RedisSettings, ...]:
        nodes = self.tables.get("redis", [])
        made = tuple(self._redis(node) for node in nodes)
        self._unique(nodes, [each.name for each in made])
        return made

    def _redis(self, node: Node) -> RedisSettings:
        for queue in self.get(node, "queues"):
            system, colon, name = queue.partition(":")
            if colon and system in SYSTEMS and not name:
                self.complain(node, "queues", f"{queue!r} has no name of a queue behind the colon")
        return RedisSettings(
            name=self.get(node, "name"),
            url=self.redis_url(node) or Secret(LOCAL_REDIS),
            systems=self.get(node, "systems"),
            queues=self.get(node, "queues"),
            include=self.get(node, "include"),
            exclude=self.get(node, "exclude"),
            celery=self._celery(self.child(node, "celery")),
            streams=self._streams(node),
            **{name: PrefixSettings(prefix=self.get(self.child(node, name), "prefix")) for name in PREFIXED},
            lists=self._lists(node),
            sorted_sets=self._sorted_sets(node),
        )

    def _celery(self, node: Node) -> CelerySettings:
        given = {name: self.get(node, name) for name in ("prefix", "separator", "priority_steps", "time_header")}
        return CelerySettings(**{name: value for name, value in given.items() if value is not None})

    def _streams(self, redis: Node) -> tuple[StreamSettings, ...]:
        nodes = [node for node in redis.children.get("stream", []) if "key" in node.values]
        made = []
        for node in nodes:
            key, group, name = self.get(node, "key"), self.get(node, "group"), self.get(node, "name")
            made.append(StreamSettings(key=key, group=group, name=name or (f"{key}/{group}" if group else key)))
        self._unique(nodes, [each.name for each in made])
        return tuple(made)

    def _lists(self, redis: Node) -> tuple[ListSettings, ...]:
        nodes = [node for node in redis.children.get("list", []) if "key" in node.values]
        made = tuple(
            ListSettings(
                key=self.get(node, "key"),
                name=self.get(node, "name") or self.get(node, "key"),
                take=self.get(node, "take"),
                processing=self.get(node, "processing"),
                time_field=self.get(node, "time_field"),
            )
            for node in nodes
        )
        self._unique(nodes, [each.name for each in made])
        return made

    def _sorted_sets(self, redis: Node) -> tuple[SortedSetSettings, ...]:
        nodes = [node for node in redis.children.get("sorted_set", []) if "key" in node.values]
        made = tuple(
            SortedSetSettings(
                key=self.get(node, "key"),
                name=self.get(node, "name") or self.get(node, "key"),
                score=self.get(node, "score"),
                take=self.get(node, "take"),
                time_field=self.get(node, "time_field"),
            )
            for node in nodes
        )
        self._unique(nodes, [each.name for each in made])
        return made

    def _databases(self) -> tuple[DatabaseSettings, ...]:
        nodes = self.tables.get("database", [])
        self._unique(nodes, [self.get(node, "name") for node in nodes])
        made = [
            DatabaseSettings(
                name=self.get(node, "name"),
                dsn=dsn,
                slow_query=self.get(node, "slow_query"),
                failed_jobs=self._failed_jobs(node),
            )
            for node in nodes
            if (dsn := self.checked_dsn(node)) is not None
        ]
        return tuple(made)

    def _failed_jobs(self, database: Node) -> FailedJobsSettings | None:
        for node in database.children.get("failed_jobs", []):
            redis, names = self.get(node, "redis"), {self.get(each, "name") for each in self.tables.get("redis", [])}
            if names and redis not in names:
                known = ", ".join(sorted(names))
                self.complain(node, "redis", f"no [[redis]] has the name {redis!r}; there are: {known}")
            return FailedJobsSettings(
                redis=redis, table=self.get(node, "table"), connection=self.get(node, "connection")
            )
        return None

    def _probes(self) -> tuple[ProbeSettings, ...]:
        nodes = [node for node in self.tables.get("probe", []) if {"name", "url"} <= node.values.keys()]
        self._unique(nodes, [self.get(node, "name") for node in nodes])
        made = []
        for node in nodes:
            url, ca_file = self.get(node, "url"), self.get(node, "ca_file")
            if url is not None:
                made.append(
                    ProbeSettings(
                        name=self.get(node, "name"),
                        url=url,
                        every=self.get(node, "every"),
                        timeout=self.get(node, "timeout"),
                        ca_file=Path(ca_file) if ca_file else None,
                    )
                )
        return tuple(made)

    def _collectors(self) -> Collectors:
        node = self.one("collectors")
        return Collectors(**{name: self.get(node, name) for name in ("redis", "postgres", "host", "probe")})

    def history(self) -> HistorySettings | None:
        """Return where history is read; None where nobody has said it, or for a role that reads none."""
        if not self.tables.get("history") or not self.roles & section_of("history").roles:
            return None
        dsn = self.checked_dsn(self.one("history"))
        return None if dsn is None else HistorySettings(dsn=dsn)
