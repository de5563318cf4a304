"""The Dockerfile, read: what of each stage is left in an image."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from tests.plugins.repo import repo_root


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A folder that the image brings, and so a new volume there: whose it is and who may enter."""

    path: str
    uid: int
    gid: int
    mode: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage of the Dockerfile: what is left of it in the image."""

    name: str
    base: str
    copies: tuple[str, ...]
    """Paths of the repository that are copied into it."""
    environment: Mapping[str, str]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    user: str
    folders: tuple[Folder, ...]
    runs: tuple[str, ...]


def load_dockerfile(path: Path | None = None) -> Mapping[str, Stage]:
    """Return the stages by name, in their order."""
    text = (path or repo_root() / "Dockerfile").read_text().replace("\\\n", "")
    lines = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    starts = [at for at, (word, _, _) in enumerate(lines) if word == "FROM"]
    stages = {}
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        base, _, name = lines[start][2].partition(" AS ")
        assert name, f"{base}: a stage without a name"
        stages[name] = _stage(name, base, [(word, rest) for word, _, rest in lines[start + 1 : end]])
    return stages


def _stage(name: str, base: str, lines: list[tuple[str, str]]) -> Stage:
    def of(word: str) -> list[str]:
        return [rest for each, rest in lines if each == word]

    def last(word: str) -> tuple[str, ...]:
        found = of(word)
        return tuple(YAML(typ="safe", pure=True).load(found[-1])) if found else ()  # JSON is YAML

    return Stage(
        name=name,
        base=base,
        copies=tuple(source for rest in of("COPY") if "--from" not in rest for source in rest.split()[:-1]),
        environment=dict(word.split("=", 1) for rest in of("ENV") for word in shlex.split(rest)),
        entrypoint=last("ENTRYPOINT"),
        command=last("CMD"),
        user=(of("USER") or [""])[-1],
        folders=tuple(_folder(rest) for rest in of("RUN") if rest.startswith("install --directory")),
        runs=tuple(of("RUN")),
    )


def _folder(line: str) -> Folder:
    given = dict(re.findall(r"--(owner|group|mode)=(\d+)", line))
    return Folder(
        path=line.rsplit(maxsplit=1)[-1], uid=int(given["owner"]), gid=int(given["group"]), mode=int(given["mode"], 8)
    )
