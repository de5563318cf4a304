"""The page of history: what it answers around the answer."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from depthgauge.history import HistoryPage, HistoryQuery, HistoryRecord, HistoryUnavailable, Resolution
from depthgauge.httpd import Request, Response
from exporter.web.historical import NOT_CONFIGURED, PATH, Historical

NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)


class Told:
    """Answers with one record a minute, as many as the limit; remembers what it was asked."""

    def __init__(self, failure: str | None = None) -> None:
        self.asked: list[HistoryQuery] = []
        self._failure = failure

    def read(self, query: HistoryQuery) -> HistoryPage:
        self.asked.append(query)
        if self._failure is not None:
            raise HistoryUnavailable(self._failure)
        data = tuple(
            HistoryRecord(
                recorded_at=datetime(2026, 11, 24, tzinfo=UTC) + n * query.step,
                active_workers=None,
                workers_by_queue={},
                pending_jobs=n,
                processing_jobs=0,
                delayed_jobs=0,
                failed_jobs=0,
                completed_jobs=None,
                pending_by_queue={"mail": n},
                failed_by_queue={},
            )
            for n in range(min(query.limit, 50))
        )
        return HistoryPage(
            data=data, count=len(data), step=60, resolution=Resolution.FIVE_MINUTES, truncated=True, next_cursor="abc"
        )

    def close(self) -> None:
        """Hold nothing."""


def get(history: Told | None, query: str = "", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Historical(history, clock=lambda: NOW)(Request("GET", PATH, query, named))


def error(response: Response) -> dict[str, Any]:
    told = json.loads(response.body)
    assert list(told) == ["error"]
    assert response.headers["Cache-Control"] == "no-store"
    assert response.content_type == "application/json"
    found: dict[str, Any] = told["error"]
    return found


def test_an_answer_is_the_document_of_the_contract() -> None:
    response = get(Told(), "limit=2&start_date=2026-11-24T00:00%2B01:00&end_date=2026-11-24&step=5m")
    assert (response.status, response.content_type) == (200, "application/json")
    assert json.loads(response.body) == {
        "data": [
            {
                "recorded_at": f"2026-11-24T00:0{n * 5}:00Z",
                "active_workers": None,
                "workers_by_queue": {},
                "pending_jobs": n,
                "processing_jobs": 0,
                "delayed_jobs": 0,
                "failed_jobs": 0,
                "completed_jobs": None,
                "pending_by_queue": {"mail": n},
                "failed_by_queue": {},
            }
            for n in range(2)
        ],
        "count": 2,
        "step": 60,
        "resolution": "5m",
        "truncated": True,
        "next_cursor": "abc",
    }


def test_names_are_utf_8_escaped_or_not() -> None:
    told = Told()
    get(told, "queue=caf%C3%A9&host=" + "ü".encode().decode("latin-1"))
    assert (told.asked[0].queue, told.asked[0].host) == ("café", "ü")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("start=1", "start"),
        ("step=0", "step"),
        ("step=60&step=60", "step"),
        ("start_date=tomorrow", "start_date"),
        ("start_date=2026-11-25&end_date=2026-11-24", "start_date"),
        ("limit=", "limit"),
        ("cursor=x", "cursor"),
        ("queue=%FF", "query"),
        ("&".join(f"a{n}=1" for n in range(99)), "query"),
    ],
)
def test_a_bad_question_is_told_which_parameter(query: str, parameter: str) -> None:
    told = Told()
    response = get(told, query)
    found = error(response)
    assert (response.status, found["code"], found["parameter"]) == (400, "bad_request", parameter)
    assert found["message"]
    assert not told.asked


def test_without_a_database() -> None:
    response = get(None)
    assert (response.status, error(response)) == (503, {"code": "service_unavailable", "message": NOT_CONFIGURED})
    away = get(Told("cannot connect to the database: refused"))
    assert (away.status, error(away)["message"]) == (503, "cannot connect to the database: refused")
    assert away.headers["Retry-After"] == "5"
    assert get(None, "step=x").status == 400, "a bad question is bad without one too"


def test_who_has_it_is_not_sent_it_again() -> None:
    first = get(Told(), "limit=2")
    tag = first.headers["ETag"]
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = get(Told(), "limit=2", if_none_match=header)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert get(Told(), "limit=2", if_none_match='W/"other"').status == 200
    assert get(Told(), "limit=3").headers["ETag"] != tag
    assert get(Told(), "limit=2", if_none_match=tag).headers["Cache-Control"] == first.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("back", "seconds"),
    [(timedelta(0), 5), (timedelta(minutes=4), 5), (timedelta(minutes=6), 60), (timedelta(hours=26), 3600)],
)
def test_what_is_long_past_may_be_kept_longer(back: timedelta, seconds: int) -> None:
    response = get(Told(), f"end_date={(NOW - back).isoformat().replace('+00:00', 'Z')}")
    assert response.headers["Cache-Control"] == f"private, max-age={seconds}"


def test_it_is_compressed_for_those_who_take_it() -> None:
    plain, packed = get(Told()), get(Told(), accept_encoding="gzip")
    assert plain.gzipped is None
    assert packed.gzipped is not None
    assert gzip.decompress(packed.gzipped) == packed.body == plain.body
    assert plain.headers["Vary"] == "Authorization, Accept-Encoding"
