"""Writes the reference pages of configuration and commands from the table of settings and the commands themselves.

``python -m cli.reference FOLDER`` writes them; a test compares the pages with what would be written.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from cli.main import main as depthgauge
from cli.schema import DEFAULT_FILE, PREFIX, Key, Section
from cli.table import all_sections

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


PAGES: Final[Mapping[str, Callable[[], str]]] = {"configuration.md": configuration, "commands.md": commands}


def main(arguments: list[str]) -> None:
    """Write the pages into the folder that is named."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
