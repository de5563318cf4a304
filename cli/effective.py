"""A configuration as text: every setting as it is in effect, where it comes from, secrets masked."""

import re
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any

from cli.inputs import Configuration
from cli.reading import Layer, Node, Origin, SecretFile
from cli.schema import Key, Role, Section
from cli.table import SECTIONS
from cli.toml_text import quoted
from depthgauge.secrets import MASK, Secret, masked
from depthgauge.settings import WebSettings


def show(configuration: Configuration, roles: Collection[Role]) -> str:
    """Return the settings that these roles read, as TOML with comments; a setting that is unset is left out."""
    lines = [f"# from {configuration.file or 'no file'}"]
    web = [configuration.web[role] for role in (Role.EXPORTER, Role.SINK) if role in roles]
    derived = {"exporter.host": configuration.exporter.host} if configuration.exporter else {}
    derived |= {"sink.consumer": configuration.sink.consumer} if configuration.sink else {}
    for section in SECTIONS:
        if section.roles & frozenset(roles):
            for node in configuration.tables.get(section.name, []) or _absent(section):
                lines += _table(node, derived, web[0] if len(web) == 1 else None)
    lines += [f"# {note}" for note in (*configuration.notes, *configuration.warnings)]
    return "\n".join(lines) + "\n"


def _absent(section: Section) -> list[Node]:
    """Return a table of nothing but defaults for a section that always holds."""
    return (
        []
        if section.repeated or section.name in {"bus", "sink", "history"}
        else [Node(section, Origin(Layer.DEFAULT, "default"))]
    )


def _table(node: Node, derived: dict[str, str], web: WebSettings | None) -> Iterator[str]:
    yield ""
    yield node.section.header
    for key in node.section.keys:
        name, origin = f"{node.section.name}.{key.name}", node.where(key.name)
        if key.name in node.values:
            shown, value = key.name, node.values[key.name].value
            if isinstance(value, SecretFile):
                shown, value = key.file_name, str(value.path)
            yield _line(shown, key, value, origin.place)
        else:
            value = web.listen if web is not None and name == "web.listen" else derived.get(name, key.default)
            if value is not None:
                yield _line(key.name, key, value, "default")
    for children in node.children.values():
        for child in children:
            yield from _table(child, derived, web)


def _line(name: str, key: Key, value: Any, place: str) -> str:
    return f"{name} = {_toml(value, masks_itself=key.name in {'url', 'dsn'})}  # {place}"


def _toml(value: Any, *, masks_itself: bool = False) -> str:
    if isinstance(value, Secret):
        # A password in a URL is masked in its place, any other secret as a whole.
        return quoted(masked(value.reveal()) if masks_itself else MASK)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return quoted(duration_text(value))
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, re.Pattern):
        return f"'{value.pattern}'" if "'" not in value.pattern else quoted(value.pattern)
    if isinstance(value, int | float):
        return f"{value:.15g}"
    return quoted(str(value))


def duration_text(value: timedelta) -> str:
    """Return ``30d`` or ``1h30m`` for a duration."""
    left = round(value.total_seconds() * 1000)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
