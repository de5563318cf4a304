"""Reading a daemon's configuration again while it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from cli import config
from cli.inputs import Configuration, Inputs
from cli.reading import Node, SecretFile
from cli.schema import Role
from depthgauge import logs
from depthgauge.reload import Reloaded
from depthgauge.settings import WebSettings

LIVE: Final = frozenset(
    {"web.token", "web.config_file", "web.cors_origins", "web.rate_limit", "web.rate_burst", "log.level", "log.format"}
)
"""Settings that take effect without a restart."""

_NO_WEB: Final = WebSettings(listen=())


class Reload:
    """Loads what ``inputs`` say now; compares with what the daemon was started with."""

    def __init__(self, inputs: Inputs, role: Role, running: Configuration) -> None:
        self._inputs = inputs
        self._role = role
        self._running = running

    def __call__(self) -> Reloaded:
        """Return the configuration as it is now; raise ConfigError."""
        found = config.load(self._inputs, frozenset({self._role}))
        return Reloaded(
            web=found.web[self._role],
            restart=tuple(self._changed(found)),
            warnings=found.warnings,
            apply=partial(logs.configure, found.log.level, found.log.format),
        )

    def _changed(self, found: Configuration) -> Sequence[str]:
        """Return the settings that are not as they were, without the live ones."""
        before, after = _flat(self._running.tables), _flat(found.tables)
        names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
        changed = [name for name in dict.fromkeys(names) if _plain(name) not in LIVE]
        # A file that holds a secret is named as before when its content has changed.
        if not changed and _rest(self._running) != _rest(found):
            return ["a secret that a file holds"]
        return changed


def _rest(configuration: Configuration) -> tuple[Any, Any]:
    exporter, sink = configuration.exporter, configuration.sink
    return exporter and replace(exporter, web=_NO_WEB), sink and replace(sink, web=_NO_WEB)


def _plain(name: str) -> str:
    section, _, key = name.rpartition(".")
    return f"{section.partition('[')[0]}.{key}"


def _flat(tables: Mapping[str, Sequence[Node]], before: str = "") -> dict[str, Any]:
    """Return every setting that is given, by its dotted name with the number of a repeated table."""
    flat: dict[str, Any] = {}
    for name, nodes in tables.items():
        for number, node in enumerate(nodes, 1):
            place = before + (f"{name}[{number}]" if node.section.repeated else name)
            if node.section.repeated:
                flat[place] = True
            for key, value in node.values.items():
                flat[f"{place}.{key}"] = value.value.path if isinstance(value.value, SecretFile) else value.value
            flat |= _flat(node.children, f"{place}.")
    return flat
