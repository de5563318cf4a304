"""YAML as a tree of values with their lines, read strictly: duplicate keys, aliases and odd types are mistakes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import yaml

Complain = Callable[[int, str, str], None]
"""Told the line, the dotted key and what is wrong with it."""

_NULL: Final = "tag:yaml.org,2002:null"
_PLAIN: Final = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One value with its place."""

    name: str
    line: int
    node: Any

    @property
    def is_null(self) -> bool:
        """Whether there is nothing behind the key."""
        return bool(self.node.tag == _NULL)


def compose(text: str, complain: Complain) -> Entry | None:
    """Return the root of a document; None where it is empty or, with a complaint, no YAML."""
    try:
        # Nothing is constructed from it: the nodes are walked by those who know what they want.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) and event.start_mark is not None:
                complain(event.start_mark.line + 1, "", "YAML aliases (*name) are not taken here; write it out")
                return None
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark is not None else 0
        complain(line, "", f"no valid YAML: {exc.problem}")
        return None
    except (yaml.YAMLError, RecursionError) as exc:
        complain(
            0, "", f"no valid YAML: {'nested too deeply' if isinstance(exc, RecursionError) else 'odd characters'}"
        )
        return None
    return None if root is None or root.tag == _NULL else Entry("", root.start_mark.line + 1, root)


def table(entry: Entry, complain: Complain, allowed: tuple[str, ...] | None = None) -> dict[str, Entry]:
    """Return the entries of a mapping; complain of keys that are not allowed or come twice, and of other types."""
    if entry.is_null:
        return {}
    if not isinstance(entry.node, yaml.MappingNode):
        complain(entry.line, entry.name, "has to be a mapping: key: value")
        return {}
    found: dict[str, Entry] = {}
    for key, value in entry.node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            complain(line, entry.name, "has a key that is no text")
            continue
        name = f"{entry.name}.{key.value}" if entry.name else key.value
        if key.value in found:
            complain(line, name, f"is there twice, first in line {found[key.value].line}")
        elif allowed is not None and key.value not in allowed:
            complain(line, name, f"is not known here; allowed are {', '.join(allowed)}")
        else:
            found[key.value] = Entry(name, line, value)
    return found


def word(entry: Entry, complain: Complain) -> str | None:
    """Return a text; numbers count as their text. None, with a complaint, for anything else; None for nothing."""
    if entry.is_null:
        return None
    if not isinstance(entry.node, yaml.ScalarNode) or entry.node.tag not in _PLAIN:
        complain(entry.line, entry.name, "has to be a text")
        return None
    return str(entry.node.value)


def words(entry: Entry, complain: Complain) -> list[str]:
    """Return a list of texts."""
    if entry.is_null:
        return []
    if not isinstance(entry.node, yaml.SequenceNode):
        complain(entry.line, entry.name, "has to be a list")
        return []
    found = [word(Entry(entry.name, node.start_mark.line + 1, node), complain) for node in entry.node.value]
    return [each for each in found if each is not None]


def flag(entry: Entry, complain: Complain, default: bool) -> bool:
    """Return true or false."""
    if entry.is_null:
        return default
    if isinstance(entry.node, yaml.ScalarNode) and entry.node.tag == "tag:yaml.org,2002:bool":
        return entry.node.value.lower() in {"true", "yes", "on"}
    complain(entry.line, entry.name, "has to be true or false")
    return default
