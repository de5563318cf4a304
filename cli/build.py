"""From tables that were read to the settings of log, web, bus and sink, and to what does not fit together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cli import build_web
from cli.inputs import Inputs, LogSettings
from cli.kinds import Wrong, check_dsn
from cli.kinds_web import tokens_of
from cli.reading import Layer, Node, Origin, Problems, SecretFile, read_text
from cli.schema import Key, Role
from cli.table import section_of
from depthgauge.redis_url import Topology, parse, with_login, with_options
from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings, WebConfig, WebSettings
from sink.settings import Retention, SinkSettings

CERTIFICATES: Final = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}
"""Settings of a Redis, and the options of its URL that they stand for."""
LISTEN: Final = {Role.EXPORTER: (":10139",), Role.SINK: (":10140",)}


class Builder:
    """Makes settings out of tables, and notes what does not fit together.

    Where something is missing or wrong, a problem is noted and the settings made are incomplete: they are not to be used.
    """

    def __init__(
        self,
        inputs: Inputs,
        tables: dict[str, list[Node]],
        problems: Problems,
        *,
        roles: frozenset[Role],
        file: Path | None,
    ) -> None:
        self.inputs = inputs
        self.tables = tables
        self.problems = problems
        self.roles = roles
        self._nowhere = Origin(Layer.DEFAULT, str(file) if file else "configuration")
        self._file = file
        self._read_web: WebConfig | None = None
        self._secrets: dict[tuple[int, str], Secret | None] = {}

    def check_required(self) -> None:
        """Complain of settings that are missing."""
        for tables in self.tables.values():
            for node in tables:
                self._check_node(node)
        if self.roles & {Role.SINK, Role.QUARANTINE} and not self.tables.get("bus"):
            self._check_node(self.one("bus"))
        if self.roles & {Role.SINK, Role.MIGRATE} and not self.tables.get("sink"):
            self._check_node(self.one("sink"))
        if Role.HISTORY in self.roles and not self.tables.get("history"):
            self._check_node(self.one("history"))

    def _check_node(self, node: Node) -> None:
        for key in node.section.keys:
            # A [sink] without a database is nobody else's concern.
            concerned = node.section.name != "sink" or self.roles & node.section.roles
            if key.required and key.name not in node.values and key.name not in node.broken and concerned:
                ways = [f"{key.name} in {node.section.header}"]
                ways += [key.file_name] if key.secret else []
                ways += [f"the variable {name}" for name in key.variables[:1]]
                self.complain(node, key.name, f"missing; set {' or '.join(ways)}")
        for children in node.children.values():
            for child in children:
                self._check_node(child)

    def complain(self, node: Node, name: str, text: str) -> None:
        """Note what is wrong with a setting of a table, at the place where it is set."""
        self.problems.add(node.where(name), f"{node.section.name}.{name}", text)

    def one(self, name: str) -> Node:
        """Return the table of this name, an empty one where there is none."""
        tables = self.tables.get(name)
        return tables[0] if tables else Node(section_of(name), self._nowhere)

    def get(self, node: Node, name: str) -> Any:
        """Return a value or its default; None for a secret whose file cannot be read or is not this role's."""
        key = node.section.key(name)
        if name not in node.values:
            return key.default
        value = node.values[name].value
        if not isinstance(value, SecretFile):
            return value
        if not node.section.roles & self.roles:
            return None
        if (id(node), name) not in self._secrets:
            self._secrets[id(node), name] = self._read_secret(node, key, value)
        return self._secrets[id(node), name]

    def _read_secret(self, node: Node, key: Key, file: SecretFile) -> Secret | None:
        try:
            content = read_text(file.path).rstrip("\r\n")
        except Wrong as exc:
            self.problems.add(node.where(key.name), f"{node.section.name}.{key.file_name}", str(exc))
            return None
        try:
            secret = key.kind.parse(content)
        except Wrong as exc:
            text = f"the content of {str(file.path)!r} {exc}"
            self.problems.add(node.where(key.name), f"{node.section.name}.{key.file_name}", text)
            return None
        assert isinstance(secret, Secret)
        return secret

    def log(self) -> LogSettings:
        """Return how the log is written."""
        node = self.one("log")
        return LogSettings(level=self.get(node, "level"), format=self.get(node, "format"))

    def web(self, role: Role) -> WebSettings:
        """Return where a daemon listens and whom it answers; files with secrets are read for daemons only."""
        node = self.one("web")
        listen: tuple[str, ...] | None = self.get(node, "listen")
        if listen == ():
            self.complain(node, "listen", "is empty; leave it out or name an address")
        serves = bool(self.roles & LISTEN.keys())
        return WebSettings(
            listen=listen or LISTEN[role],
            telemetry_path=self.get(node, "telemetry_path"),
            max_connections=self.get(node, "max_connections"),
            max_connections_per_client=self.get(node, "max_connections_per_client"),
            rate_limit=self.get(node, "rate_limit"),
            rate_burst=self.get(node, "rate_burst"),
            cors_origins=self.get(node, "cors_origins"),
            tokens=tokens_of(self.get(node, "token")) if serves else (),
            config=self._web_config(node) if serves else WebConfig(),
        )

    def _web_config(self, node: Node) -> WebConfig:
        path = build_web.path_of(node, self._file)
        if path is None:
            return WebConfig()
        if self._read_web is None:
            self._read_web = build_web.read(path, node.where("config_file"), self.problems, keys=True)
        return self._read_web

    def bus(self) -> BusSettings | None:
        """Return the bus, None where there is none."""
        node = self.one("bus")
        url = self.redis_url(node)
        if url is None:
            return None
        where = parse(url)
        if where.topology is Topology.CLUSTER:
            text = "a Redis Cluster cannot carry the bus: one stream lies on one node; name a single Redis, or one behind Sentinel"
            self.complain(node, "url", text)
        if where.replica:
            self.complain(node, "url", "the bus is written to, and a replica cannot be; leave out role=replica")
        return BusSettings(
            url=url, max_bytes=self.get(node, "max_bytes"), allow_eviction=self.get(node, "allow_eviction")
        )

    def redis_url(self, node: Node) -> Secret | None:
        """Return the URL with login and certificates in it; None where one of them is missing or wrong."""
        if node.broken & {"url", "username", "password", *CERTIFICATES}:
            return None
        url: Secret | None = self.get(node, "url")
        password: Secret | None = self.get(node, "password")
        if url is None or ("password" in node.values and password is None):
            return None
        where = parse(url)
        options = {option: name for name, option in CERTIFICATES.items() if name in node.values}
        if not self._fits(node, ("username", "password"), there=where.has_login, what="a user name or password"):
            return None
        for option, name in options.items():
            if not where.tls:
                self.complain(node, name, "needs TLS; write rediss in place of redis in the URL, or leave it out")
                return None
            if not self._fits(node, (name,), there=option in where.tls_options, what=option):
                return None
        if "key_file" in node.values and "ssl_certfile" not in {*options, *where.tls_options}:
            self.complain(node, "key_file", "needs a cert_file beside it")
            return None
        if not where.has_login and {"username", "password"} & node.values.keys():
            url = with_login(url, self.get(node, "username"), password.reveal() if password else None)
        new = {option: self.get(node, name) for option, name in options.items() if option not in where.tls_options}
        return with_options(url, new)

    def _fits(self, node: Node, names: Sequence[str], *, there: bool, what: str) -> bool:
        """Complain where a setting says again what the URL says, and the URL is not of a higher layer."""
        clash = [name for name in names if name in node.values and node.where(name).layer >= node.where("url").layer]
        if there and clash:
            self.complain(node, clash[0], f"the URL holds {what} too; keep one of them")
        return not (there and clash)

    def dsn(self) -> Secret | None:
        """Return the database, None for a role that has nothing to do with it."""
        node = self.one("sink")
        if not self.roles & node.section.roles:
            return None
        return self.checked_dsn(node)

    def checked_dsn(self, node: Node) -> Secret | None:
        """Return the connection string of a table; None where there is none, or none that libpq can read."""
        dsn: Secret | None = self.get(node, "dsn")
        if dsn is None:
            return None
        try:
            check_dsn(dsn)
        except Wrong as exc:
            self.complain(node, "dsn", str(exc))
            return None
        return dsn

    def sink(self, retention: Retention) -> SinkSettings | None:
        """Return the sink's settings, None for another role."""
        node = self.one("sink")
        if self.get(node, "claim_after") <= self.get(node, "batch_seconds"):
            self.complain(
                node, "claim_after", "has to be longer than batch_seconds: other sinks would take what this one gathers"
            )
        dsn, bus, web = self.dsn(), self.bus(), self.web(Role.SINK)
        if Role.SINK not in self.roles or dsn is None or bus is None:
            return None
        return SinkSettings(
            dsn=dsn,
            bus=bus,
            consumer=self.get(node, "consumer") or self._consumer(web),
            batch_rows=self.get(node, "batch_rows"),
            batch_seconds=self.get(node, "batch_seconds"),
            claim_after=self.get(node, "claim_after"),
            retention=retention,
            maintain_every=self.get(node, "maintain_every"),
            gaps_open=self.get(node, "gaps_open"),
            web=web,
        )

    def retention(self) -> Retention:
        """Return how long the database keeps what."""
        node = self.child(self.one("sink"), "retention")
        made = Retention(
            raw=self.get(node, "raw"),
            processes=self.get(node, "processes"),
            events=self.get(node, "events"),
            five_minutes=self.get(node, "5m"),
            hours=self.get(node, "1h"),
        )
        for name, age, below, least in (
            ("5m", made.five_minutes, "raw", made.raw),
            ("1h", made.hours, "5m", made.five_minutes),
        ):
            if age < least:
                self.complain(
                    node, name, f"is shorter than {below}, which it is computed from; keep it at least as long"
                )
        return made

    def child(self, node: Node, name: str) -> Node:
        """Return the one table of this name below another, an empty one where there is none."""
        children = node.children.get(name)
        return children[0] if children else Node(section_of(f"{node.section.name}.{name}"), node.origin)

    def _consumer(self, web: WebSettings) -> str:
        port = web.listen[0].rpartition(":")[2]
        # A port that the kernel chooses tells nobody apart.
        return f"{self.inputs.hostname}-{port if port != '0' else f'pid{self.inputs.pid}'}"
