"""Writes the reference pages from the tables of settings, metrics and rules and from the commands themselves.

``python -m cli.reference FOLDER`` writes them; a test compares the pages with what would be written.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from cli.main import main as depthgauge
from cli.rules.page import alerts
from cli.schema import DEFAULT_FILE, PREFIX, Key, Section
from cli.table import all_sections
from depthgauge.web_metrics import FAMILIES
from exporter.metrics import OWN, TABLE
from sink.telemetry import METRICS as SINK_METRICS
from sink.upkeep_telemetry import METRICS as UPKEEP_METRICS

WIDTH: Final = 100
_MADE: Final = "<!-- Made by `python -m cli.reference docs/reference`; change cli/table.py or the commands instead. -->"

_INTRODUCTION: Final = f"""\
A setting is taken from the first of these that has it: a flag, an environment variable, the file, its default.
The file is the one named by `--config.file`, else by `{PREFIX}CONFIG_FILE`, else `{DEFAULT_FILE}` if it is there.

* An environment variable that is empty counts as unset. A list is written with commas between its items.
* A variable for `[[supervisor]]` or `[[redis]]` speaks of the only one; with several in the file it is an error.
* Every secret may be given as a file that holds it: the key with `_file` behind it, or the variable with `_FILE`.
  A relative path starts at the folder of the configuration file.
* A secret is masked wherever the configuration is shown (`--print-config`, `check`, the log).
* An unknown key is an error, and all errors are told at once, each with its line.
* Durations are a number and a unit: `s`, `m`, `h`, `d` (24 hours), `w` (7 days), `y` (365 days), also several: `1d12h`.

A file to start from: [config.example.toml](../config.example.toml).
"""


def configuration() -> str:
    """Return the page of all settings."""
    lines = ["# Configuration", "", _MADE, "", _INTRODUCTION]
    for section in all_sections():
        lines += [f"## `{section.header}`", "", section.help, "", *_table(section), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(section: Section) -> Iterator[str]:
    yield "| key | value | default | variable, flag | |"
    yield "|---|---|---|---|---|"
    for key in section.keys:
        ways = [f"`{name}`" for name in key.variables] + ([f"`--{key.flag}`"] if key.flag else [])
        names = "<br>".join(f"`{name}`" for name in key.names)
        cells = (names, key.kind.name, default_of(key), "<br>".join(ways), key.help)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def default_of(key: Key) -> str:
    """Return a setting's default as the reference shows it."""
    if key.required:
        return "**needed**"
    if key.default_text is not None:
        return key.default_text
    if key.default is None:
        return ""
    return f"`{_toml(key.default)}`"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:.15g}"


def commands() -> str:
    """Return the page of all commands: their own help."""
    lines = ["# Commands", "", _MADE, "", *_help(depthgauge, "depthgauge"), ""]
    for name, command in depthgauge.commands.items():
        lines += [f"## `depthgauge {name}`", "", *_help(command, f"depthgauge {name}"), ""]
        for part, under in command.commands.items() if isinstance(command, click.Group) else ():
            lines += [f"### `depthgauge {name} {part}`", "", *_help(under, f"depthgauge {name} {part}"), ""]
    lines += [
        "## Exit status",
        "",
        "| status | meaning |",
        "|---|---|",
        "| 0 | all is well |",
        "| 1 | a mistake in flags or configuration, an address that cannot be bound, a source that cannot be read, a failed check |",
        "| 3 | the database's schema is not the one this program needs: run `depthgauge migrate` |",
    ]
    return "\n".join(lines) + "\n"


def _help(command: click.Command, name: str) -> list[str]:
    context = click.Context(command, info_name=name, terminal_width=WIDTH, help_option_names=["-h", "--help"])
    return ["```", command.get_help(context).rstrip(), "```"]


_METRICS: Final = """\
Base units, timestamps instead of ages, text format 0.0.4. A series that is not known is absent; 0 means zero.
A part that could not be read is shown until it is three intervals old; then its series disappear and its `…_up` is 0.
No family has more series than `series_budget`: what is left out is counted in `depthgauge_series_over_budget`.

Totals over a fleet: take `max by (redis, system, queue)` for backlogs and registry workers, which several exporters may
read from the same Redis, and `sum by (redis, system, queue)` for `jobqueue_workers`, which is a fact about one host.
"""


def metrics() -> str:
    """Return the page of all metrics."""
    lines = [
        "# Metrics",
        "",
        _MADE.replace("cli/table.py or the commands", "exporter/metrics.py or sink/telemetry.py"),
        "",
    ]
    lines += [_METRICS, "## Of the exporter, from the snapshot", ""]
    lines += _metric_rows((each.name, each.type, each.labels, each.help) for each in TABLE)
    lines += ["", "## Of the exporter, about itself", ""]
    lines += _metric_rows((each.name, each.type, each.labels, each.help) for each in OWN)
    lines += [
        "",
        "Beside these, the usual `process_…` metrics of the exporter's own process.",
        "",
        "## Of the sink",
        "",
    ]
    lines += _metric_rows(
        (each.name, each.kind, _SINK_LABELS.get(each.name, (each.label,) if each.label else ()), each.help)
        for each in (*SINK_METRICS, *UPKEEP_METRICS)
    )
    lines += ["", "## Of both, about what they serve", ""]
    lines += _metric_rows((each.name, each.kind, (each.label,) if each.label else (), each.help) for each in FAMILIES)
    return "\n".join(lines) + "\n"


_SINK_LABELS: Final = {
    "depthgauge_sink_database_info": ("edition", "layout"),
    "depthgauge_sink_chunks": ("table", "storage"),
}


def metric_labels() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield the name, the type and the labels of every metric of both daemons."""
    for metric in (*TABLE, *OWN):
        yield metric.name, metric.type, metric.labels
    for each in (*SINK_METRICS, *UPKEEP_METRICS):
        yield each.name, each.kind, _SINK_LABELS.get(each.name, (each.label,) if each.label else ())
    for family in FAMILIES:
        yield family.name, family.kind, (family.label,) if family.label else ()


def _metric_rows(rows: Iterable[tuple[str, str, tuple[str, ...], str]]) -> Iterator[str]:
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for name, kind, labels, text in rows:
        yield f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |"


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "commands.md": commands,
    "metrics.md": metrics,
    "alerts.md": alerts,
}


def main(arguments: list[str]) -> None:
    """Write the pages into the folder that is named."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
