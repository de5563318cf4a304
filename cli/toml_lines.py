"""On which line of a TOML text each key stands: what tomllib knows while it reads, and does not tell."""

import tomllib
from collections.abc import Mapping
from typing import Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Keys from the top of the document; numbers count the tables of an array of tables and the items of an array."""

_BLANK: Final = " \t\n"
_BARE_ENDS: Final = " \t\n=.]"
_VALUE_ENDS: Final = ",]}#\n"


def lines(text: str) -> Mapping[Path, int]:
    """Return the line (from 1) of every table, key and array item of a text that tomllib accepts.

    A table that is opened more than once, or only named on the way to one below it, has the line where it came first.
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    """Walks over a valid document; it need not recognise mistakes, only find the ends of things."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_of_at = (0, 1)
        self._found: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}
        """How many tables each array of tables has so far."""

    def scan(self) -> Mapping[Path, int]:
        here: Path = ()
        while self._skip_blank():
            if self._text.startswith("[[", self._at):
                here = self._header(2)
            elif self._text[self._at] == "[":
                here = self._header(1)
            else:
                self._pair(here)
        return self._found

    def _header(self, brackets: int) -> Path:
        line = self._line()
        self._at += brackets
        names = self._key()
        self._at += brackets
        path: Path = ()
        for index, name in enumerate(names):
            path = (*path, name)
            self._found.setdefault(path, line)
            if brackets == 2 and index == len(names) - 1:
                self._tables[path] = self._tables.get(path, 0) + 1
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
                self._found.setdefault(path, line)
        return path

    def _pair(self, here: Path) -> None:
        line = self._line()
        for name in self._key():
            here = (*here, name)
            self._found.setdefault(here, line)
        self._at += 1
        self._value(here)

    def _key(self) -> list[str]:
        """Read a dotted key and stop at the ``=`` or ``]`` behind it."""
        names = []
        while True:
            self._skip_spaces()
            start = self._at
            if self._text[start] in "'\"":
                self._string()
                names.append(next(iter(tomllib.loads(f"{self._text[start : self._at]} = 0"))))
            else:
                while self._text[self._at] not in _BARE_ENDS:
                    self._at += 1
                names.append(self._text[start : self._at])
            self._skip_spaces()
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _value(self, path: Path) -> None:
        self._skip_spaces()
        first = self._text[self._at]
        if first == "{":
            self._at += 1
            while self._skip_blank(",") and self._text[self._at] != "}":
                self._pair(path)
            self._at += 1
        elif first == "[":
            self._at += 1
            index = 0
            while self._skip_blank(",") and self._text[self._at] != "]":
                item = (*path, index)
                self._found[item] = self._line()
                self._value(item)
                index += 1
            self._at += 1
        elif first in "'\"":
            self._string()
        else:
            while self._at < len(self._text) and self._text[self._at] not in _VALUE_ENDS:
                self._at += 1

    def _string(self) -> None:
        quote = self._text[self._at]
        if self._text.startswith(quote * 3, self._at):
            self._at += 3
            while not self._text.startswith(quote * 3, self._at):
                self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
            self._at += 3
            # Up to two quotes may stand right before the closing three.
            while self._text.startswith(quote, self._at):
                self._at += 1
            return
        self._at += 1
        while self._text[self._at] != quote:
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += 1

    def _skip_spaces(self) -> None:
        while self._text[self._at] in " \t":
            self._at += 1

    def _skip_blank(self, also: str = "") -> bool:
        """Skip blanks, line ends and comments; say whether anything is left."""
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif char in _BLANK or char in also:
                self._at += 1
            else:
                return True
        return False

    def _line(self) -> int:
        """Return the line of the present position, counted on from where it was last asked for."""
        before, line = self._line_of_at
        line += self._text.count("\n", before, self._at)
        self._line_of_at = (self._at, line)
        return line
