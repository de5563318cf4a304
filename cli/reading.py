"""From the text of a file, the environment and the flags to checked values with their origin, and to every problem.

Nothing here knows what a setting means: that is the table's (cli/schema.py) and the builder's (cli/config.py).
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from cli import toml_lines
from cli.kinds import FILE, Wrong, text_of
from cli.schema import PREFIX, Key, Section
from cli.table import all_sections

MAX_FILE: Final = 1024 * 1024
"""Bytes a configuration or a file with a secret may have."""

_TOML_ERROR: Final = re.compile(r"(.*) \(at line (\d+), column \d+\)", re.DOTALL)


class Layer(IntEnum):
    """Who says it; a higher one wins."""

    DEFAULT = 0
    FILE = 1
    ENVIRONMENT = 2
    FLAG = 3


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from."""

    layer: Layer
    place: str
    """``file:line``, the variable or the flag."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file that holds the secret."""

    path: Path


@dataclass(frozen=True, slots=True)
class Value:
    """A checked value (a SecretFile stands for its content)."""

    value: Any
    origin: Origin


@dataclass(slots=True)
class Node:
    """One table that was read."""

    section: Section
    origin: Origin
    values: dict[str, Value] = field(default_factory=dict)
    children: dict[str, list["Node"]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    """Keys that are there but wrong: not missing."""

    def where(self, key: str) -> Origin:
        """Return the origin of a key, the table's where it is not given."""
        return self.values[key].origin if key in self.values else self.origin


@dataclass(slots=True)
class Problems:
    """What is wrong, all of it, once each."""

    found: dict[str, int] = field(default_factory=dict)

    def add(self, origin: Origin, name: str, text: str) -> None:
        """Note what is wrong with a setting; ``name`` is dotted."""
        message = f"{origin.place}: {name}: {text}" if name else f"{origin.place}: {text}"
        self.found.setdefault(message, origin.line)

    def sorted(self) -> tuple[str, ...]:
        """Return all messages, those of the file in its order, then the others."""
        return tuple(sorted(self.found, key=lambda message: self.found[message] or 1 << 31))


def read_text(path: Path) -> str:
    """Return the content of a file; raise Wrong."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise Wrong(f"cannot read {str(path)!r}: {reason}") from exc
    if len(raw) > MAX_FILE:
        raise Wrong(f"{str(path)!r} has more than {MAX_FILE} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise Wrong(f"{str(path)!r} is not UTF-8 text: byte {exc.start} is wrong") from exc


def read_document(text: str, file: str, problems: Problems) -> dict[str, list[Node]]:
    """Return the tables of a file's text by the section's name."""
    try:
        document = tomllib.loads(text)
        lines = toml_lines.lines(text)
    except ValueError as exc:
        told = _TOML_ERROR.fullmatch(str(exc))
        line = int(told[2]) if told else 0
        place = f"{file}:{line}" if told else file
        problems.add(Origin(Layer.FILE, place, line), "", f"no valid TOML: {told[1] if told else exc}")
        return {}
    except RecursionError:
        problems.add(Origin(Layer.FILE, file), "", "no valid TOML: nested too deeply")
        return {}
    reader = _Reader(file, lines, problems)
    return reader.tables({section.name: section for section in all_sections() if "." not in section.name}, document)


class _Reader:
    def __init__(self, file: str, lines: Mapping[toml_lines.Path, int], problems: Problems) -> None:
        self._file = file
        self._lines = lines
        self._problems = problems

    def _origin(self, path: toml_lines.Path) -> Origin:
        line = self._lines.get(path, 0)
        return Origin(Layer.FILE, f"{self._file}:{line}", line)

    def tables(
        self,
        sections: Mapping[str, Section],
        table: Mapping[str, Any],
        path: toml_lines.Path = (),
        known: Sequence[str] = (),
        parent: str = "",
    ) -> dict[str, list[Node]]:
        """Return the nodes of those entries that are sections; complain of those that are neither these nor known."""
        nodes: dict[str, list[Node]] = {}
        for name, content in table.items():
            here = (*path, name)
            dotted = f"{parent}.{name}" if parent else name
            section = sections.get(name)
            if section is not None:
                nodes[name] = self._section(section, content, here)
            elif name not in known:
                self._problems.add(
                    self._origin(here), _printable(dotted), _unknown(name, content, [*known, *sections], parent)
                )
        return nodes

    def _section(self, section: Section, content: Any, path: toml_lines.Path) -> list[Node]:
        if section.repeated:
            if isinstance(content, list) and all(isinstance(item, dict) for item in content):
                return [self._node(section, item, (*path, index)) for index, item in enumerate(content)]
        elif isinstance(content, dict):
            return [self._node(section, content, path)]
        self._problems.add(self._origin(path), section.name, f"has to be a table, opened by {section.header}")
        return []

    def _node(self, section: Section, table: Mapping[str, Any], path: toml_lines.Path) -> Node:
        node = Node(section, self._origin(path))
        known = [name for key in section.keys for name in key.names]
        children = {child.last_name: child for child in section.children}
        node.children = self.tables(children, table, path, known, section.name)
        for key in section.keys:
            given = [name for name in key.names if name in table]
            if len(given) == 2:
                self._problems.add(
                    self._origin((*path, key.file_name)),
                    f"{section.name}.{key.file_name}",
                    f"{key.name} is set too; keep one of them",
                )
            for name in given:
                origin = self._origin((*path, name))
                _set(node, key, table[name], origin, self._problems, file=name != key.name, folder=self._folder())
        return node

    def _folder(self) -> Path:
        return Path(self._file).parent


def _set(node: Node, key: Key, raw: Any, origin: Origin, problems: Problems, *, file: bool, folder: Path) -> None:
    name = f"{node.section.name}.{key.file_name if file else key.name}"
    try:
        if file:
            value: Any = SecretFile(folder / text_of(FILE.parse(raw)))
        else:
            value = key.kind.parse(raw)
    except Wrong as exc:
        problems.add(origin, name, str(exc))
        node.broken.add(key.name)
        return
    node.values[key.name] = Value(value, origin)


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _unknown(name: str, content: Any, known: Sequence[str], parent: str) -> str:
    what = "section" if not parent and isinstance(content, dict | list) else "setting"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"unknown {what}, did you mean {close[0]!r}?"
    homes = [
        section.header
        for section in all_sections()
        if section.name != parent and any(name in key.names for key in section.keys)
    ]
    if homes and what == "setting":
        return f"unknown here, it belongs in {' or '.join(homes)}"
    return f"unknown {what}, allowed here are {', '.join(sorted(known))}"


def apply_environment(nodes: dict[str, list[Node]], environ: Mapping[str, str], problems: Problems) -> None:
    """Lay the variables over the tables; an empty variable counts as unset."""
    for section in all_sections():
        for key in section.keys:
            given = [name for name in key.variables if environ.get(name)]
            if len(given) == 2:
                problems.add(_variable(given[1]), "", f"{given[0]} is set too; keep one of them")
            for name in given[:1]:
                _lay(
                    nodes,
                    section,
                    key,
                    environ[name],
                    _variable(name),
                    problems=problems,
                    file=name != key.variables[0],
                )


def apply_flags(nodes: dict[str, list[Node]], flags: Mapping[str, Sequence[str]], problems: Problems) -> None:
    """Lay the flags over the tables; each has one text or, where it may be repeated, several."""
    for section in all_sections():
        for key in section.keys:
            if key.flag is not None and flags.get(key.flag):
                origin = Origin(Layer.FLAG, f"--{key.flag}")
                _lay(nodes, section, key, ",".join(flags[key.flag]), origin, problems=problems, file=False)


def _variable(name: str) -> Origin:
    return Origin(Layer.ENVIRONMENT, f"variable {name}")


def _lay(
    nodes: dict[str, list[Node]],
    section: Section,
    key: Key,
    text: str,
    origin: Origin,
    *,
    problems: Problems,
    file: bool,
) -> None:
    tables = nodes.setdefault(section.name, [])
    if not tables:
        tables.append(Node(section, origin))
    if len(tables) > 1:
        problems.add(origin, "", f"speaks of one {section.header}, but the file has {len(tables)}: set it there")
        return
    node = tables[0]
    # What a lower layer says, right or wrong, does not matter any more.
    node.values.pop(key.name, None)
    node.broken.discard(key.name)
    try:
        raw = text if file else key.kind.from_text(text)
    except Wrong as exc:
        problems.add(origin, f"{section.name}.{key.name}", str(exc))
        node.broken.add(key.name)
        return
    _set(node, key, raw, origin, problems, file=file, folder=Path())


def misspelt_variables(environ: Mapping[str, str]) -> Sequence[str]:
    """Return a sentence for every variable that looks like a misspelt one of ours.

    Others that begin like ours are let be: Kubernetes sets DEPTHGAUGE_SERVICE_HOST and the like by itself.
    """
    known = {f"{PREFIX}CONFIG_FILE"}
    for section in all_sections():
        for key in section.keys:
            known.update(key.variables)
    # The prefix, which all have, would make all alike.
    rests = sorted(name.removeprefix(PREFIX) for name in known)
    return [
        f"the variable {name} is not known, did you mean {PREFIX}{close[0]}?"
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known
        for close in [difflib.get_close_matches(name.removeprefix(PREFIX), rests, n=1, cutoff=0.8)]
        if close
    ]
