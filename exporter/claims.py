"""What supervised processes say they serve: the command lines of their trees on this host, or supervisord's settings."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final, NamedTuple, Protocol

from depthgauge.names import clean
from exporter.command_lines.reader import CommandLine, Variable

Key = tuple[str, str]
"""Group and name of a process, cleaned."""
Identity = tuple[int, object]
"""A pid and its start: never used twice."""

_SHELLS: Final = frozenset(("sh", "bash", "dash", "ash", "zsh", "ksh"))
_SCRIPT: Final = re.compile(r"-[a-z]*c")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_REDIRECTION: Final = re.compile(r"[^<>]*[<>].*")
_UNEXPANDED: Final = frozenset("$`")


class ProcessTable(Protocol):
    """What is known of the processes of this host: see ``exporter.sources.processes.ResourceReader``."""

    def command_lines(self, pids: Iterable[int]) -> Mapping[int, tuple[str, ...]]:
        """Return the arguments of these processes; those that cannot be read are left out."""

    def children(self, pid: int) -> Sequence[int]:
        """Return the pids right below this one."""

    def start(self, pid: int) -> object:
        """Return when this process started, in a unit of its own; None if it is not there."""

    def variable(self, pid: int, name: str) -> str | None:
        """Return a variable of this process's environment; None where it is not set or may not be read."""


class Claim(NamedTuple):
    """What a rule or a command line says: these queues, of this system and Redis as far as they are told."""

    queues: tuple[str, ...]
    """Empty: a worker whose queues are not told."""
    system: str | None = None
    redis: str | None = None
    told: bool = False
    """Whether a user said so, which goes above what this program would think possible."""


class _Seen(NamedTuple):
    argv: Sequence[str]
    claim: Claim | None


class Recogniser:
    """Reads the command lines under one supervisord. Call :meth:`forget` after each round over its processes."""

    def __init__(self, readers: Sequence[CommandLine]) -> None:
        self._readers = readers
        self._seen: dict[Identity, _Seen] = {}
        self._round: dict[Identity, _Seen] = {}
        self._configured: tuple[Mapping[Key, str], Mapping[Key, Sequence[Claim]]] = ({}, {})

    def forget(self) -> None:
        """Forget the processes that were not asked for since the last time."""
        self._seen, self._round = self._round, {}

    def local(self, pid: int, table: ProcessTable) -> Sequence[Claim]:
        """Return what a process of this host says, one claim a system; nothing if it is no worker.

        Where it tells no queues itself (a shell, a wrapper, Horizon's master), the processes below it are asked: however
        many they are, they are one supervised process.
        """
        own = self._look(pid, table)
        if own is not None and own.queues:
            return (own,)
        below = self._below(pid, table)
        return better(own, below) if own is not None else below

    def configured(self, commands: Mapping[Key, str]) -> Mapping[Key, Sequence[Claim]]:
        """Return what these command lines of supervisord's own settings say; each mapping is looked at once."""
        if self._configured[0] is not commands:
            claims = {key: _merged(self._in_command(command)) for key, command in commands.items()}
            self._configured = (commands, claims)
        return self._configured[1]

    def _look(self, pid: int, table: ProcessTable) -> Claim | None:
        """Return the claim of one process.

        Some workers rewrite their line while they run a job: the queues it told first hold for the process.
        """
        key = (pid, table.start(pid))
        seen = self._round.get(key) or self._seen.get(key)
        if seen is None or seen.claim is None or not seen.claim.queues:
            argv = table.command_lines((pid,)).get(pid)
            if argv is not None and (seen is None or seen.argv != argv):
                claim = self._recognise(argv, lambda name: table.variable(pid, name))
                seen = _Seen(argv, claim or (seen.claim if seen is not None else None))
        if seen is None:
            return None
        self._round[key] = seen
        return seen.claim

    def _below(self, pid: int, table: ProcessTable) -> Sequence[Claim]:
        claims = []
        met = {pid}
        waiting = sorted(table.children(pid), reverse=True)
        while waiting:
            child = waiting.pop()
            if child in met:
                continue
            met.add(child)
            claim = self._look(child, table)
            if claim is not None:
                claims.append(claim)
            if claim is None or not claim.queues:
                waiting += sorted(table.children(child), reverse=True)
        return _merged(claims)

    def _recognise(self, argv: Sequence[str], variable: Variable) -> Claim | None:
        for reader in self._readers:
            queues = reader.serves(argv, variable) if argv else None
            if queues is not None:
                return Claim(distinct(queues), reader.system)
        return None

    def _in_command(self, command: str) -> Iterator[Claim]:
        for words in _simple_commands(command):
            first = next((at for at, word in enumerate(words) if not _ASSIGNMENT.fullmatch(word)), 0)
            given = {name: value for name, sign, value in (word.partition("=") for word in words) if sign}
            claim = self._recognise(words[first:], given.get)
            if claim is not None:
                unknown = any(not _UNEXPANDED.isdisjoint(queue) for queue in claim.queues)
                yield claim._replace(queues=()) if unknown else claim


def better(own: Claim, others: Sequence[Claim]) -> Sequence[Claim]:
    """Return those of the others that tell the queues of the same system, else the claim itself, which tells none."""
    return [each for each in others if each.system == own.system and each.queues] or (own,)


def distinct(queues: Iterable[str]) -> tuple[str, ...]:
    """Return the names cleaned, each once, in their order."""
    return tuple(dict.fromkeys(clean(queue) for queue in queues if queue))


def _merged(claims: Iterable[Claim]) -> Sequence[Claim]:
    """Return one claim a system, with the queues of all."""
    queues: dict[str | None, tuple[str, ...]] = {}
    for claim in claims:
        queues[claim.system] = (*queues.get(claim.system, ()), *claim.queues)
    return [Claim(distinct(names), system) for system, names in queues.items()]


def _simple_commands(command: str) -> Iterator[Sequence[str]]:
    """Yield the words of a command as supervisord splits them, and those of each command in a shell's script."""
    try:
        argv = shlex.split(command)
        yield argv
        for at, word in enumerate(argv):
            if PurePath(word).name in _SHELLS:
                rest = argv[at + 1 :]
                script = next((rest[at + 1] for at, word in enumerate(rest[:-1]) if _SCRIPT.fullmatch(word)), "")
                yield from _in_script(script)
    except ValueError:
        return  # no closing quotation: supervisord cannot start it either


def _in_script(script: str) -> Iterator[Sequence[str]]:
    lexer = shlex.shlex(script, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    for token in lexer:
        if not set(token) <= set("();<>|&"):
            words.append(token)
            continue
        if _REDIRECTION.fullmatch(token) and words and words[-1].isdigit():
            words.pop()  # the 2 of 2>&1
        yield words
        words = []
    yield words
