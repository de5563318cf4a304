"""docker-compose.yml, read: what each service is told; and the secrets that it mounts, made."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from tests.plugins.repo import repo_root

FILE: Final = "docker-compose.yml"
SECRETS: Final = "/run/secrets"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A volume (``source`` is its name) or a file or folder of ours (``source`` is its path), at ``target``."""

    source: str
    target: str
    read_only: bool

    @property
    def is_volume(self) -> bool:
        return "/" not in self.source


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One service. ``entrypoint`` is None where the image's own is used; ``raw`` is all that stands in the file."""

    name: str
    image: str
    uid: int
    gid: int
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    secrets: tuple[str, ...]
    tmpfs: tuple[str, ...]
    ports: tuple[str, ...]
    networks: tuple[str, ...]
    depends_on: Mapping[str, str]
    """Services that come first, and in which condition."""
    healthcheck: tuple[str, ...]
    """The command, ``CMD-SHELL`` turned into a shell's; empty where there is none."""
    raw: Mapping[str, Any]
    target: str | None
    """The stage of our Dockerfile; None for somebody else's image."""

    @property
    def is_one_shot(self) -> bool:
        return bool(self.raw["restart"] == "no")

    def port_of(self, host: str) -> int:
        """Return the port inside that this one of the host is mapped to."""
        (found,) = (port.split(":")[2] for port in self.ports if port.split(":")[1] == host)
        return int(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compose:
    """The whole file."""

    services: Mapping[str, Service]
    volumes: frozenset[str]
    secrets: Mapping[str, str]
    """The file of each secret, as a path in the repository."""
    raw: Mapping[str, Any]


def load_compose(path: Path | None = None) -> Compose:
    """Return what the compose file says."""
    raw: dict[str, Any] = YAML(typ="safe", pure=True).load((path or repo_root() / FILE).read_text())
    stages = {each["image"]: each["build"]["target"] for each in raw["services"].values() if "build" in each}
    return Compose(
        services={
            name: _service(name, service, stages.get(service["image"])) for name, service in raw["services"].items()
        },
        volumes=frozenset(raw["volumes"]),
        secrets={name: secret["file"].removeprefix("./") for name, secret in raw["secrets"].items()},
        raw=raw,
    )


def _service(name: str, raw: dict[str, Any], target: str | None) -> Service:
    uid, gid = (int(number) for number in str(raw["user"]).split(":"))
    return Service(
        name=name,
        image=raw["image"],
        uid=uid,
        gid=gid,
        entrypoint=_words(raw["entrypoint"]) if "entrypoint" in raw else None,
        command=_words(raw.get("command", [])),
        environment={key: _plain(value) for key, value in raw.get("environment", {}).items()},
        mounts=tuple(_mount(text) for text in raw.get("volumes", [])),
        secrets=tuple(raw.get("secrets", [])),
        tmpfs=tuple(raw.get("tmpfs", [])),
        ports=tuple(raw.get("ports", [])),
        networks=tuple(raw.get("networks", [])),
        depends_on={other: told["condition"] for other, told in raw.get("depends_on", {}).items()},
        healthcheck=_test(raw.get("healthcheck", {}).get("test", [])),
        raw=raw,
        target=target,
    )


def _plain(text: str) -> str:
    """Return a text as the container gets it: compose takes ``$$`` for a dollar, and we use no variables of the host."""
    assert re.search(r"(?<!\$)(\$\$)*\$(?!\$)", text) is None, f"{text!r} wants a variable of the host"
    return text.replace("$$", "$")


def _words(words: list[str]) -> tuple[str, ...]:
    assert isinstance(words, list), f"{words!r} is one text; a list is taken word by word"
    return tuple(_plain(word) for word in words)


def _mount(text: str) -> Mount:
    source, target, *mode = text.split(":")
    assert mode in ([], ["ro"]), text
    return Mount(source=source.removeprefix("./"), target=target, read_only=mode == ["ro"])


def _test(test: list[str]) -> tuple[str, ...]:
    if not test:
        return ()
    kind, *words = _words(test)
    assert kind in {"CMD", "CMD-SHELL"}, test
    return ("/bin/sh", "-c", *words) if kind == "CMD-SHELL" else tuple(words)


def make_secrets(top: Path) -> str:
    """Let docker/secrets.sh make ``top``/secrets, as it would in a checkout; return what it said."""
    (top / "docker").mkdir(exist_ok=True)
    script = top / "docker" / "secrets.sh"
    script.write_text((repo_root() / "docker" / "secrets.sh").read_text())
    done = subprocess.run(["sh", str(script)], check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def compose() -> Compose:
    """Give the compose file; tests that use it are marked ``needs("source-tree")``."""
    return load_compose()


@pytest.fixture
def compose_secrets(tmp_path: Path) -> Path:
    """Give a folder with the secrets of the compose file, made by its script."""
    make_secrets(tmp_path)
    return tmp_path / "secrets"
