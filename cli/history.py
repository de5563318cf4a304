"""``depthgauge history``: asks page after page, and prints what comes as JSON, CSV or a table."""

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TextIO

import msgspec

from depthgauge.history import (
    MOST,
    BadParameter,
    History,
    HistoryPage,
    HistoryQuery,
    HistoryRecord,
)
from depthgauge.history_parameters import parse
from depthgauge.settings import HistorySettings
from sink.history import history_reader

INTERRUPTED: Final = 130

_NUMBERS: Final = ("active_workers", "pending_jobs", "processing_jobs", "delayed_jobs", "failed_jobs", "completed_jobs")
_MAPS: Final = ("workers_by_queue", "pending_by_queue", "failed_by_queue")
_TIME_WIDTH: Final = 20


def run(settings: HistorySettings, given: Sequence[tuple[str, str]], form: str) -> int:
    """Print the answer and return the exit status; raise BadParameter or HistoryUnavailable."""
    query, limit = question(given)
    try:
        with history_reader(settings.dsn) as reader:
            _print(pages(reader, query, limit), FORMS[form](sys.stdout))
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has enough. What is still buffered must not be tried again at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def question(given: Sequence[tuple[str, str]]) -> tuple[HistoryQuery, int | None]:
    """Return the question and how many records are wanted, None for all; raise BadParameter."""
    told = dict(given)
    limit = told.pop("limit", None)
    if limit is not None and not (limit.isascii() and limit.isdecimal() and 0 < len(limit) < 10 and int(limit) > 0):
        raise BadParameter("limit", "it has to be a whole number from 1")
    query = parse(told.items(), datetime.now(UTC))
    return query, None if limit is None else int(limit)


def pages(history: History, query: HistoryQuery, limit: int | None) -> Iterator[HistoryPage]:
    """Give page after page until all, or ``limit`` records, have come; raise HistoryUnavailable."""
    left = limit
    while True:
        page = history.read(msgspec.structs.replace(query, limit=MOST if left is None else min(left, MOST)))
        yield page
        if left is not None:
            left -= page.count
        if page.next_cursor is None or left == 0:
            return
        told = [("cursor", page.next_cursor)]
        told += [(name, value) for name in ("queue", "host") if (value := getattr(query, name)) is not None]
        query = parse(told, query.end)


class Form(Protocol):
    """A way to write records."""

    def __init__(self, out: TextIO) -> None: ...

    def begin(self, page: HistoryPage) -> None:
        """Write what stands before the first record."""

    def record(self, record: HistoryRecord) -> None:
        """Write one record."""

    def end(self, page: HistoryPage, count: int) -> None:
        """Write what stands after the last; ``page`` is the last one."""


def _print(answer: Iterator[HistoryPage], form: Form) -> None:
    count, last = 0, None
    for page in answer:
        if last is None:
            form.begin(page)
        for record in page.data:
            form.record(record)
        count, last = count + page.count, page
    assert last is not None
    form.end(last, count)


class _Json:
    """The document that the API answers with, over all pages; a record a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._between = "\n"

    def begin(self, _: HistoryPage) -> None:
        self._out.write('{"data":[')

    def record(self, record: HistoryRecord) -> None:
        self._out.write(self._between + msgspec.json.encode(record).decode())
        self._between = ",\n"

    def end(self, page: HistoryPage, count: int) -> None:
        rest = msgspec.json.encode(msgspec.structs.replace(page, data=(), count=count)).decode()
        self._out.write("\n]" + rest.removeprefix('{"data":[]') + "\n")


class _Csv:
    """A header and a line a record; what is unknown is empty, what is by queue is a JSON object."""

    def __init__(self, out: TextIO) -> None:
        self._writer = csv.writer(out, lineterminator="\n")

    def begin(self, _: HistoryPage) -> None:
        self._writer.writerow(("recorded_at", *_NUMBERS, *_MAPS))

    def record(self, record: HistoryRecord) -> None:
        by_queue = (json.dumps(getattr(record, name), ensure_ascii=False) for name in _MAPS)
        self._writer.writerow((_time(record), *(getattr(record, name) for name in _NUMBERS), *by_queue))

    def end(self, page: HistoryPage, _: int) -> None:
        _tell_of_more(page)


class _Table:
    """Numbers in columns, ``-`` for what is unknown; nothing by queue."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, _: HistoryPage) -> None:
        heads = (name.removesuffix("_jobs").removeprefix("active_") for name in _NUMBERS)
        self._line("recorded at", heads)

    def record(self, record: HistoryRecord) -> None:
        numbers = (getattr(record, name) for name in _NUMBERS)
        self._line(_time(record), ("-" if number is None else str(number) for number in numbers))

    def end(self, page: HistoryPage, count: int) -> None:
        self._out.write(
            f"{count} record{'' if count == 1 else 's'}, one every {page.step} s, from {_ROWS[page.resolution]}\n"
        )
        _tell_of_more(page)

    def _line(self, first: str, cells: Any) -> None:
        self._out.write(f"{first:<{_TIME_WIDTH}}" + "".join(f"{cell:>12}" for cell in cells) + "\n")


_ROWS: Final = {"raw": "raw rows", "5m": "the rollup by five minutes", "1h": "the rollup by hour"}


def _time(record: HistoryRecord) -> str:
    return f"{record.recorded_at:%Y-%m-%dT%H:%M:%SZ}"


def _tell_of_more(page: HistoryPage) -> None:
    if page.truncated:
        print("depthgauge history: there is more; raise --limit, or begin where this ends", file=sys.stderr)


FORMS: Final[dict[str, type[Form]]] = {"json": _Json, "csv": _Csv, "table": _Table}
