"""What the readers of command lines have in common: where the program is among the words, and which options it has."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePath
from typing import Final

_INTERPRETER: Final = re.compile(r"(?:python|pypy|j?ruby|truffleruby|php|node)[\d.]*")
_WRAPPERS: Final = frozenset(
    (
        *("env", "exec", "nice", "ionice", "chrt", "taskset", "timeout", "setsid", "stdbuf", "nohup", "time"),
        *("sudo", "su-exec", "gosu", "runuser", "setpriv", "chpst", "setuidgid", "tini", "dumb-init", "catatonit"),
        *("bundle", "poetry", "pipenv", "pdm", "hatch", "rye", "uv", "uvx", "pixi", "conda", "mamba", "rbenv", "mise"),
        *("newrelic-admin", "ddtrace-run", "opentelemetry-instrument", "doppler", "dotenv", "watchmedo", "watchfiles"),
    )
)
"""Programs that run the one in their arguments; those that go on living have it as their child."""


def commands(argv: Sequence[str], names: Collection[str]) -> Iterator[Sequence[str]]:
    """Yield the words after each one that is the name of the program; nothing if this command line does not run it.

    The name is that of a file or of a Python module. It has to be the program itself, or to be run by an interpreter or
    one of the usual wrappers: ``tail -f /var/log/celery`` runs no celery. In ``gosu celery celery worker`` there are two.
    """
    for at, word in enumerate(argv):
        if PurePath(word).name in names and (at == 0 or _runs_another(argv[0])):
            yield argv[at + 1 :]


def options(words: Sequence[str], valued: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each option with its value, and each other word as the value of the option ``""``.

    ``valued`` are the options that take a value: ``--queues`` takes ``--queues=a`` or ``--queues a``, ``-Q`` takes
    ``-Q a`` or ``-Qa``, also behind flags of one letter (``-vQa``).
    """
    rest = iter(words)
    for word in rest:
        if word == "--":
            yield from (("", each) for each in rest)
        elif word.startswith("--"):
            option, sign, value = word.partition("=")
            yield option, next(rest, "") if option in valued and not sign else value
        elif word.startswith("-") and word != "-":
            yield from _letters(word, valued, rest)
        else:
            yield "", word


def runs_settings(words: Sequence[str], valued: Collection[str]) -> bool:
    """Say whether a program is given the dotted name of settings to work by, and not ``--check``."""
    given = list(options(words, valued))
    return ("--check", "") not in given and any(option == "" and "." in value for option, value in given)


def _letters(word: str, valued: Collection[str], rest: Iterator[str]) -> Iterator[tuple[str, str]]:
    for at, letter in enumerate(word[1:], 2):
        if f"-{letter}" in valued:
            yield f"-{letter}", word[at:] or next(rest, "")
            return
        yield f"-{letter}", ""


def listed(value: str) -> list[str]:
    """Return the names in a list with commas between."""
    return [name for each in value.split(",") if (name := each.strip())]


def title_of(argv: Sequence[str]) -> str:
    """Return the command line as the one text that a process has made of it."""
    return " ".join(argv).rstrip("\0 ")


def _runs_another(first: str) -> bool:
    name = PurePath(first).name
    return name in _WRAPPERS or _INTERPRETER.fullmatch(name) is not None
