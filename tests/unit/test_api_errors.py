"""What a server says that does not answer is what the API's document promises."""

import json
from typing import Any

import jsonschema_rs
import pytest

from depthgauge.secrets import Secret
from exporter.web.openapi import document
from tests.plugins.served import Client, MakeServer

STATS = "/api/system/queue/stats"
TOKEN = "Authorization: Bearer a-token\r\n"


def promised(status: str) -> Any:
    """The content that the document promises for a status of an operation, by type."""
    told = document()
    reference = told["paths"][STATS]["get"]["responses"][status]["$ref"]
    return told["components"]["responses"][reference.rpartition("/")[2]]["content"]


@pytest.mark.parametrize(
    ("request_line", "more", "status", "code"),
    [
        (f"GET {STATS}", "", "401", "unauthorized"),
        (f"PUT {STATS}", TOKEN, "405", "method_not_allowed"),
        (f"POST {STATS}", f"{TOKEN}Content-Length: 2\r\n", "413", None),
        (f"GET {STATS}", f"X: {'x' * 20_000}\r\n", "431", None),
        (f"GET {STATS}", "no header\r\n", "400", None),
        ("GET /api/broken", TOKEN, "500", "internal_server_error"),
    ],
)
def test_refusals(make_server: MakeServer, request_line: str, more: str, status: str, code: str | None) -> None:
    client = Client(make_server(tokens=(Secret("a-token"),)))
    answer = client.answer_to(f"{request_line} HTTP/1.1\r\nConnection: close\r\n{more}\r\n".encode())

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    [kind] = [line.split(b": ")[1].split(b";")[0] for line in head.split(b"\r\n") if line.startswith(b"Content-Type")]
    content = promised(status)[kind.decode()]
    if code is None:
        assert kind == b"text/plain"
        return
    told = json.loads(body)
    schema = {**content["schema"], "components": document()["components"]}
    jsonschema_rs.Draft202012Validator(schema).validate(told)
    assert told["error"]["code"] == code


def test_every_operation_promises_the_same_errors() -> None:
    for path, methods in document()["paths"].items():
        assert {"400", "401", "405", "413", "429", "431", "500", "503"} <= methods["get"]["responses"].keys(), path
