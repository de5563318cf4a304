"""Who may come in."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace

import bcrypt
import pytest

from depthgauge.gate import ATTEMPT_BURST, ATTEMPT_INTERVAL, Gate
from depthgauge.http_message import Request, Response, text
from depthgauge.secrets import Secret
from depthgauge.settings import RateLimit, WebConfig, WebSettings

TOKEN = "token-of-the-first-1"
OTHER = "token-of-the-second-2"
HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
USERS = WebConfig(users=(("ann", Secret(HASH)),))
OPEN = ("/metrics", "/", "/static/page.js", "/-/healthy", "/-/ready")
API = ("/api/system/queues", "/api", "/api/", "/api/nothing")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def app(request: Request) -> Response:
    return text(200, f"served {request.path}", {"Vary": "X-Own"})


def make(clock: Clock | None = None, **settings: object) -> Gate:
    told = {"listen": (), "tokens": (Secret(TOKEN), Secret(OTHER)), **settings}
    gate = Gate(WebSettings(**told), monotonic=clock or Clock())  # type: ignore[arg-type]  # the caller names fields
    gate.reload = lambda: text(200, "reloaded")
    return gate


def ask(
    gate: Gate,
    path: str,
    authorization: str | None = None,
    *,
    method: str = "GET",
    client: str = "192.0.2.1",
    headers: Mapping[str, str] | None = None,
) -> Response:
    told = {**(headers or {}), **({"authorization": authorization} if authorization else {})}
    return gate.answer(Request(method, path, "", told, client), app)


def bearer(token: str) -> str:
    return f"Bearer {token}"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("path", OPEN)
def test_open_without_basic_auth(path: str) -> None:
    assert ask(make(), path).status == 200


@pytest.mark.parametrize("path", [*OPEN, *API])
def test_basic_auth_holds_for_everything_and_a_token_does_too(path: str) -> None:
    gate = make(config=USERS)
    assert ask(gate, path).status == 401
    assert ask(gate, path, basic("ann", "wrong")).status == 401
    assert ask(gate, path, basic("ann", "secret")).status == 200
    assert ask(gate, path, bearer(OTHER)).status == 200


@pytest.mark.parametrize("path", API)
def test_the_api_wants_a_token(path: str) -> None:
    gate = make()
    answer = ask(gate, path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="depthgauge"'
    assert json.loads(answer.body)["error"]["code"] == "unauthorized"
    assert ask(gate, path, bearer(TOKEN)).status == ask(gate, path, f"bearer  {OTHER}").status == 200
    for wrong in (
        bearer(TOKEN[:-1]),
        bearer(TOKEN + "x"),
        bearer(""),
        "Bearer",
        TOKEN,
        "Basic %%%",
        "Basic YQ==",
        "Digest x",
    ):
        assert ask(gate, path, wrong, client=f"192.0.2.{len(wrong)}").status == 401, wrong


def test_without_a_token_nobody_is_let_in() -> None:
    gate = make(tokens=())
    assert ask(gate, "/api/x", bearer("")).status == 401
    assert ask(gate, "/api/x", bearer("x")).status == 401


def test_a_reload_wants_a_token_also_from_a_user() -> None:
    gate = make(config=USERS)
    assert ask(gate, "/-/reload", method="POST").status == 401
    assert ask(gate, "/-/reload", basic("ann", "secret"), method="POST").status == 401
    answer = ask(gate, "/-/reload", bearer(TOKEN), method="POST")
    assert (answer.status, answer.body) == (200, b"reloaded\n")
    for method in ("GET", "HEAD", "PUT"):
        refused = ask(gate, "/-/reload", bearer(TOKEN), method=method)
        assert (refused.status, refused.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "OPTIONS"])
def test_methods(method: str) -> None:
    gate = make()
    assert ask(gate, "/metrics", method=method).headers["Allow"] == "GET, HEAD"
    if method != "OPTIONS":
        refused = ask(gate, "/api/x", bearer(TOKEN), method=method)
        assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
        assert json.loads(refused.body)["error"]["code"] == "method_not_allowed"


def test_wrong_credentials_are_counted_and_slowed_down() -> None:
    clock = Clock()
    gate = make(clock)
    for _ in range(ATTEMPT_BURST):
        assert ask(gate, "/api/x", bearer("wrong")).status == 401
    held = ask(gate, "/api/x", bearer("wrong"))
    assert (held.status, held.headers["Retry-After"]) == (429, str(int(ATTEMPT_INTERVAL)))
    # A right one says nothing any more either, or guessing would go on.
    assert ask(gate, "/api/x", bearer(TOKEN)).status == 429
    assert ask(gate, "/api/x", bearer(TOKEN), client="192.0.2.2").status == 200
    assert ask(gate, "/metrics").status == 200
    clock.now += ATTEMPT_INTERVAL
    assert ask(gate, "/api/x", bearer(TOKEN)).status == 200
    assert gate.refused == {
        **dict.fromkeys(gate.refused, 0),
        "credentials": ATTEMPT_BURST,
        "attempts": 2,
    }


def test_one_client_may_ask_only_so_often() -> None:
    clock = Clock()
    gate = make(clock, rate_limit=2, rate_burst=3)
    statuses = [ask(gate, "/api/x", bearer(TOKEN)).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert ask(gate, "/", client="127.0.0.1").status == 200
    assert [ask(gate, path).status for path in ("/metrics", "/-/healthy")] * 10 == [200, 200] * 10
    clock.now += 0.5
    assert ask(gate, "/").status == 200
    gate.apply(replace(gate._rules.settings, telemetry_path="/elsewhere"))
    assert [ask(gate, "/metrics").status for _ in range(9)] == [200] * 9, "it is served there until a restart"
    refused = ask(gate, "/api/x", bearer(TOKEN))
    assert refused.headers["Retry-After"] == "1"
    assert json.loads(refused.body)["error"]["code"] == "too_many_requests"
    assert gate.refused["rate"] == 3
    free = make(clock, rate_limit=0)
    assert {ask(free, "/").status for _ in range(1000)} == {200}


def test_the_limit_of_the_web_config_is_for_all_and_everything() -> None:
    gate = make(config=WebConfig(rate_limit=RateLimit(interval=60, burst=2)))
    statuses = [ask(gate, "/metrics", client=f"192.0.2.{number}").status for number in range(3)]
    assert statuses == [200, 200, 429]
    assert gate.refused["total_rate"] == 1


def test_other_origins() -> None:
    gate = make(cors_origins=("https://a.example",))
    asked = {"origin": "https://a.example", "access-control-request-method": "GET"}
    preflight = ask(gate, "/api/x", method="OPTIONS", headers=asked)
    assert (preflight.status, preflight.body) == (204, b"")
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    real = ask(gate, "/api/x", bearer(TOKEN), headers=asked)
    assert real.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert real.headers["Vary"] == "X-Own, Origin"
    # Also that a token is missing may be read.
    assert ask(gate, "/api/x", headers=asked).headers["Access-Control-Allow-Origin"] == "https://a.example"
    for answer in (
        ask(gate, "/api/x", bearer(TOKEN), headers={"origin": "https://a.example.evil"}),
        ask(gate, "/api/x", bearer(TOKEN), headers={"origin": "null"}),
        ask(gate, "/api/x", bearer(TOKEN)),
        ask(gate, "/api/x", method="OPTIONS", headers={"origin": "https://b.example"}),
        ask(make(), "/api/x", bearer(TOKEN), headers=asked),
        ask(gate, "/metrics", headers=asked),
    ):
        assert not [name for name in answer.headers if name.startswith("Access-Control-")]
    assert "Access-Control-Allow-Credentials" not in real.headers


def test_settings_are_exchanged_while_it_works() -> None:
    gate = make()
    assert ask(gate, "/api/x", bearer(TOKEN)).status == 200
    gate.apply(
        WebSettings(listen=(), tokens=(Secret(OTHER),), config=WebConfig(headers=(("X-Frame-Options", "sameorigin"),)))
    )
    assert ask(gate, "/api/x", bearer(TOKEN)).status == 401
    assert ask(gate, "/api/x", bearer(OTHER)).status == 200
    assert gate.headers["X-Frame-Options"] == "sameorigin"
    assert gate.headers["Referrer-Policy"] == "no-referrer"
