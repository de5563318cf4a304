"""What the URL of a Redis says: one server, what Sentinel watches, or a cluster.

::

    redis://user:password@host:6379/0             one server; rediss:// with TLS
    unix:///run/redis.sock?db=0                   one server
    redis+sentinel://host:26379,host/service/0    the server that the sentinels name; rediss+sentinel://
    redis+cluster://host:6379,host                the cluster that these are nodes of; rediss+cluster://

redis-py reads only the first three, and its releases do not agree on how often a query is unquoted: it gets the parts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from depthgauge.secrets import Secret

TLS_OPTIONS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_CERT_REQS: Final = ("none", "optional", "required")
_TRUTH: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
_SENTINEL_OPTIONS: Final = ("role", "sentinel_username", "sentinel_password")

_URL: Final = re.compile(r"(?P<scheme>[a-z+]+)://(?P<netloc>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?")
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::(?P<port>[0-9]{1,5}))?")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:-]{1,255}")


class Topology(Enum):
    """What stands behind a URL."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_SCHEMES: Final = {
    "unix": (Topology.SERVER, 0),
    "redis": (Topology.SERVER, 6379),
    "rediss": (Topology.SERVER, 6379),
    "redis+sentinel": (Topology.SENTINEL, 26379),
    "rediss+sentinel": (Topology.SENTINEL, 26379),
    "redis+cluster": (Topology.CLUSTER, 6379),
    "rediss+cluster": (Topology.CLUSTER, 6379),
}
_WANTED: Final = {
    Topology.SERVER: "write redis://host:6379/0, rediss://… for TLS, or unix:///path/to/redis.sock?db=0",
    Topology.SENTINEL: "write redis+sentinel://host:26379,host:26379/service/0",
    Topology.CLUSTER: "write redis+cluster://host:6379,host:6379",
}


class BadUrl(ValueError):  # noqa: N818  it names the URL
    """A URL that cannot be used; the message says what is wrong and what to write, and holds nothing of it."""


@dataclass(frozen=True, order=True, slots=True)
class Address:
    """Where a server or a sentinel listens."""

    host: str
    """A name or an IP address, of version 6 without brackets."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(host: object, port: object) -> Address | None:
    """Return what a server told as host and port, as bytes or numbers; None if it is no address."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    number = port.decode("ascii", "replace") if isinstance(port, bytes) else str(port)
    if not isinstance(name, str) or not _PLAIN.fullmatch(name):
        return None
    if not re.fullmatch(r"[0-9]{1,5}", number) or not 0 < int(number) < 65_536:
        return None
    return Address(name, int(number))


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisUrl:
    """A URL, taken apart."""

    topology: Topology
    tls: bool = False
    addresses: tuple[Address, ...] = ()
    """The server's, the sentinels' or those of some nodes; empty for a unix socket."""
    path: str | None = None
    """The unix socket."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    service: str = ""
    """The name that the sentinels know the master by."""
    replica: bool = False
    """Whether a replica of the service is meant instead of its master."""
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls_options: Mapping[str, str] = field(default_factory=dict)
    """Of redis-py's SSLConnection, by name."""

    @property
    def has_login(self) -> bool:
        """Whether it holds a user name or a password."""
        return self.username is not None or self.password is not None

    def server(self, address: Address) -> Secret:
        """Return the URL of one server behind this one: same login, database and TLS."""
        return self._one(address, self.username, self.password, f"/{self.database}")

    def sentinel(self, address: Address) -> Secret:
        """Return the URL of a sentinel."""
        return self._one(address, self.sentinel_username, self.sentinel_password, "")

    def tls_arguments(self) -> dict[str, Any]:
        """Return the arguments of redis-py's SSLConnection."""
        options = dict(self.tls_options)
        # redis-py 5 looks at the name in the certificate only when told to.
        checks = _TRUTH[options.pop("ssl_check_hostname", "true").lower()] and options.get("ssl_cert_reqs") != "none"
        # With a password of its own a key that wants one is an error instead of a question at the terminal.
        return {**options, "ssl_check_hostname": checks, "ssl_password": ""}

    def _one(self, address: Address, username: str | None, password: str | None, path: str) -> Secret:
        scheme = "rediss" if self.tls else "redis"
        return with_options(Secret(f"{scheme}://{_login(username, password)}{address}{path}"), self.tls_options)


def parse(url: Secret) -> RedisUrl:
    """Take a URL apart; raise BadUrl."""
    text = url.reveal()
    found = _URL.fullmatch(text)
    scheme = text.partition("://")[0]
    wanted = _WANTED[_SCHEMES[scheme][0]] if scheme in _SCHEMES else _WANTED[Topology.SERVER]
    if scheme not in _SCHEMES or "://" not in text:
        raise BadUrl(f"is no URL of a Redis; {wanted}")
    if found is None or " " in text:
        raise BadUrl(f"has a # or a blank in it (percent-encode them in a password); {wanted}")
    topology, default_port = _SCHEMES[scheme]
    login, _, netloc = found["netloc"].rpartition("@")
    username, _, password = login.partition(":")
    tls = scheme.startswith("rediss")
    options = _options(found["query"] or "", topology, tls=tls)
    addresses, path = _places(scheme, netloc, found["path"], default_port, wanted)
    service, database = _service_and_database(topology, path, options, wanted)
    return RedisUrl(
        topology=topology,
        tls=tls,
        addresses=addresses,
        path=unquote(found["path"]) if scheme == "unix" else None,
        username=unquote(username) or None,
        password=unquote(password) or None,
        database=database,
        service=service,
        replica=options.get("role") == "replica",
        sentinel_username=options.get("sentinel_username") or None,
        sentinel_password=options.get("sentinel_password") or None,
        tls_options={name: value for name, value in options.items() if name in TLS_OPTIONS},
    )


def with_login(url: Secret, username: str | None, password: str | None) -> Secret:
    """Return a URL without a login with this one put in."""
    scheme, _, rest = url.reveal().partition("://")
    return Secret(f"{scheme}://{_login(username, password)}{rest}")


def with_options(url: Secret, options: Mapping[str, str]) -> Secret:
    """Return the URL with these options added to its query."""
    text = url.reveal()
    return Secret(f"{text}{'&' if '?' in text else '?'}{urlencode(options)}") if options else url


def _login(username: str | None, password: str | None) -> str:
    login = quote(username or "", safe="") + (f":{quote(password, safe='')}" if password is not None else "")
    return f"{login}@" if login else ""


def _places(scheme: str, netloc: str, path: str, port: int, wanted: str) -> tuple[tuple[Address, ...], str]:
    if scheme == "unix":
        if netloc or len(path) < 2:
            raise BadUrl(f"has no path; {wanted}")
        return (), ""
    if not netloc or netloc.startswith(":"):
        raise BadUrl(f"has no host; {wanted}")
    hosts = netloc.split(",")
    if len(hosts) > 1 and _SCHEMES[scheme][0] is Topology.SERVER:
        raise BadUrl("has several hosts; write redis+sentinel:// or redis+cluster:// if they belong together")
    addresses = tuple(_address(host, port, wanted) for host in hosts)
    if len(set(addresses)) != len(addresses):
        raise BadUrl("has a host twice")
    return addresses, path


def _address(text: str, port: int, wanted: str) -> Address:
    found = _HOST.fullmatch(text)
    if found is None:
        raise BadUrl(f"cannot be taken apart (percent-encode : / ? # @ in a password); {wanted}")
    number = int(found["port"] or port)
    if not 0 < number < 65_536:
        raise BadUrl(f"has a port that is not 1 to 65535; {wanted}")
    return Address(found["host"].strip("[]"), number)


def _service_and_database(topology: Topology, path: str, options: Mapping[str, str], wanted: str) -> tuple[str, int]:
    service = ""
    if topology is Topology.SENTINEL:
        service, slash, path = path.removeprefix("/").partition("/")
        service, path = unquote(service), slash + path
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", service):
            raise BadUrl(f"has no name of a service behind the hosts; {wanted}")
    if not re.fullmatch(r"/?[0-9]{0,5}", path):
        raise BadUrl(f"has no number of a database behind the {'service' if service else 'host'}; {wanted}")
    return service, int(options.get("db") or path.strip("/") or 0)


def _options(query: str, topology: Topology, *, tls: bool) -> dict[str, str]:
    allowed = ("db", *(_SENTINEL_OPTIONS if topology is Topology.SENTINEL else ()), *TLS_OPTIONS)
    options = dict(parse_qsl(query, keep_blank_values=True))
    for option, setting in options.items():
        if option not in allowed:
            raise BadUrl(f"has the option {option!r}, allowed are {', '.join(sorted(allowed))}")
        if option == "db" and not re.fullmatch(r"[0-9]{1,5}", setting):
            raise BadUrl("has a db that is no number")
        if option in TLS_OPTIONS and not tls:
            raise BadUrl(f"has the option {option!r}, which is for TLS; write rediss in place of redis")
        if option == "ssl_cert_reqs" and setting not in _CERT_REQS:
            raise BadUrl(f"has an ssl_cert_reqs that is none of {', '.join(_CERT_REQS)}")
        if option == "ssl_check_hostname" and setting.lower() not in _TRUTH:
            raise BadUrl("has an ssl_check_hostname that is neither true nor false")
        if option == "role" and setting not in {"master", "replica"}:
            raise BadUrl("has a role that is neither master nor replica")
    return options
