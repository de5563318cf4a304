"""The replies that the status page's tests script are such as the API's document promises."""

import json
import urllib.error
import urllib.request
from typing import Any

import jsonschema_rs
import pytest

from exporter.web.openapi import document
from tests.plugins.fleet import Fleet

HISTORY = "/api/system/queue/historical"
LIVE = tuple(path for path in document()["paths"] if path.startswith("/api/system/") and path != HISTORY)
RANGE = "?start_date=2026-01-01T00:00:00Z&end_date=2026-01-01T06:00:00Z&step=60"


def ask(fleet: Fleet, path: str) -> tuple[int, Any]:
    request = urllib.request.Request(fleet.url.rstrip("/") + path, headers={"Authorization": f"Bearer {fleet.token}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, json.load(exc)


def check(path: str, status: int, told: Any) -> None:
    """Raise ValidationError where it is not what the document says; a field that it does not know is wrong too."""
    whole = document()
    name = f"#/components/responses/Error{status}"
    found = whole["components"]["responses"][name.rsplit("/", 1)[1]] if status >= 400 else None
    response = found or whole["paths"][path]["get"]["responses"][str(status)]
    schemas = {
        key: {**schema, "additionalProperties": False} if "properties" in schema else schema
        for key, schema in whole["components"]["schemas"].items()
    }
    wanted = {**response["content"]["application/json"]["schema"], "components": {"schemas": schemas}}
    jsonschema_rs.Draft202012Validator(wanted, validate_formats=True).validate(told)


@pytest.mark.parametrize("path", LIVE)
def test_live_replies(fleet: Fleet, path: str) -> None:
    status, told = ask(fleet, path)
    assert status == 200
    check(path, status, told)


def test_history_and_its_absence(fleet: Fleet) -> None:
    status, told = ask(fleet, HISTORY + RANGE)
    assert (status, told["count"]) == (200, 350)
    check(HISTORY, status, told)
    fleet.history = False
    status, told = ask(fleet, HISTORY + RANGE)
    assert (status, told["error"]["code"]) == (503, "service_unavailable")
    check(HISTORY, status, told)


def test_a_field_of_another_name_would_be_found(fleet: Fleet) -> None:
    fleet.find("mail")["oldestJobAge"] = 3
    with pytest.raises(jsonschema_rs.ValidationError, match="oldestJobAge"):
        check("/api/system/queues", *ask(fleet, "/api/system/queues"))
