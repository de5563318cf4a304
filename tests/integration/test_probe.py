"""Probed URLs, against real HTTP and HTTPS servers: what counts as up, how fast, and what may go wrong."""

import base64
import logging
import math
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest

from depthgauge.errors import SourceError
from depthgauge.secrets import Secret
from exporter.settings import ProbeSettings
from exporter.sources.http_get import Answer
from exporter.sources.probe import ProbeSource
from tests.plugins.certificates import Authority
from tests.plugins.ports import free_port
from tests.plugins.site import MakeSite
from tests.plugins.waiting import wait_for

MakeProbe: TypeAlias = Callable[..., ProbeSource]


@pytest.fixture
def make_probe() -> Iterator[MakeProbe]:
    """Give a function that makes sources; options are settings, ``patience`` is what a collect may take."""
    sources: list[ProbeSource] = []

    def make(url: str, *, patience: float = 5.0, **settings: Any) -> ProbeSource:
        told = ProbeSettings(name="site", url=Secret(url), **settings)
        sources.append(ProbeSource(told, clock=lambda: datetime.now(UTC), timeout=patience))
        return sources[-1]

    yield make
    for source in sources:
        source.close()


# What is asked, and what counts as up


def test_a_site_that_answers(make_site: MakeSite, make_probe: MakeProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    site = make_site()
    source = make_probe(f"http://127.0.0.1:{site.port}/a%20b/é?q=ü&x=1")
    part = source.collect()
    assert (source.kind, source.target, part.name) == ("probe", "site", "site")
    assert (part.up, part.status, part.error, part.certificate_expires_at) == (True, 200, None, None)
    assert part.response.current is not None
    assert 0 < part.response.current < 2
    assert (part.response.slot.count, part.response.total.count, part.response.failures) == (1, 1, 0)
    ((path, headers),) = site.requests
    assert path == "/a%20b/%C3%A9?q=%C3%BC&x=1"
    assert headers["Host"] == f"127.0.0.1:{site.port}"
    assert headers["User-Agent"].startswith("depthgauge/")
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("status", "up"), [(204, True), (302, True), (399, True), (400, False), (404, False), (503, False)]
)
def test_which_statuses_are_up(status: int, up: bool, make_site: MakeSite, make_probe: MakeProbe) -> None:
    site = make_site(status=status, body=b"" if status == 204 else b"x")
    site.headers["Location"] = "http://127.0.0.1:1/elsewhere"
    part = make_probe(site.url).collect()
    assert (part.up, part.status, part.error) == (up, status, None)
    assert len(site.requests) == 1, "a redirect is not followed"
    assert (part.response.slot.count, part.response.failures) == (1, 0), "an error is an answer, too"


def test_user_and_password_go_to_the_server_only(
    make_site: MakeSite, make_probe: MakeProbe, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    source = make_probe(f"http://me%40home:hun%3Ater2@127.0.0.1:{site.port}/up?token=hunter3")
    assert source.collect().up
    login = base64.b64encode(b"me@home:hun:ter2").decode()
    assert site.requests[0][1]["Authorization"] == f"Basic {login}"
    site.status = 500
    site.body = b""
    with caplog.at_level(logging.DEBUG):
        source.collect()
        site.close()
        assert source.collect().error == "refused"
    assert len(caplog.records) == 2
    told = caplog.text + repr(source.__dict__)
    assert not any(word in told for word in ("hun", "me@home", login, "token"))
    assert f"http://127.0.0.1:{site.port}/up" in caplog.text


# TLS


def test_the_certificate_and_when_it_ends(authority: Authority, make_site: MakeSite, make_probe: MakeProbe) -> None:
    ends = (datetime.now(UTC) + timedelta(days=20)).replace(microsecond=0)
    site = make_site(authority.context("127.0.0.1", not_after=ends))
    source = make_probe(site.url, ca_file=authority.ca_file)
    part = source.collect()
    assert (part.up, part.status, part.certificate_expires_at) == (True, 200, ends)
    site.close()
    part = source.collect()
    assert (part.up, part.status, part.error) == (False, None, "refused")
    assert part.certificate_expires_at == ends, "known from before"


@pytest.mark.parametrize("wrong", ["authority", "name", "expired", "plain"])
def test_a_certificate_that_is_not_to_be_trusted(
    wrong: str, authority: Authority, make_site: MakeSite, make_probe: MakeProbe
) -> None:
    now = datetime.now(UTC)
    context = authority.context(
        "elsewhere.example" if wrong == "name" else "127.0.0.1",
        not_after=now - timedelta(days=1) if wrong == "expired" else now + timedelta(days=9),
    )
    site = make_site(None if wrong == "plain" else context)
    url = site.url.replace("http:", "https:")
    part = make_probe(url, ca_file=None if wrong == "authority" else authority.ca_file).collect()
    assert (part.up, part.status, part.error) == (False, None, "tls")
    assert site.requests == []


# Again and again


def test_percentiles_of_a_slow_server(make_site: MakeSite, make_probe: MakeProbe) -> None:
    site = make_site()
    delays = [0.005] * 90 + [0.05] * 6 + [0.2] * 4
    site.delays = delays[::2] + delays[1::2]
    source = make_probe(site.url, every=0.001)
    real: list[float] = []
    ask = source._get.ask

    def recorded(timeout: float) -> Answer:
        answer = ask(timeout)
        real.append(answer.seconds)
        if len(real) == 100:
            source.close()
        return answer

    source._get.ask = recorded  # type: ignore[method-assign]
    source.start()
    wait_for(lambda: len(real) == 100, 60, what="100 attempts")
    assert source._sampler is not None
    source._sampler._thread.join(10)
    response = source.collect().response
    assert (response.slot.count, response.total.count, response.failures) == (100, 100, 0)
    real_sorted, bucket = sorted(real), 2**0.25
    for told, part, least in ((response.p95, 0.95, 0.05), (response.p99, 0.99, 0.2)):
        exact = real_sorted[math.ceil(part * 100) - 1]
        assert told is not None
        assert exact >= least
        assert exact / bucket <= told <= exact * bucket
    assert response.max == max(real)
    assert response.min == min(real) >= 0.005
    assert response.avg == pytest.approx(sum(real) / 100)
    assert response.current == real[-1]
    again = source.collect().response
    assert (again.slot.count, again.total.count) == (0, 100), "each sample is in one slot only"
    assert again.p99 == response.p99


def test_it_asks_between_collections_and_tells_changes_once(
    make_site: MakeSite, make_probe: MakeProbe, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    source = make_probe(site.url, every=0.02)
    with caplog.at_level(logging.INFO):
        source.start()
        source.start()
        assert source.collect().up, "it waits for the first attempt"
        wait_for(lambda: len(site.requests) > 10, what="it asks by itself")
        site.status = 503
        wait_for(lambda: not source.collect().up, what="it is down")
        failed = source.collect()
        assert (failed.status, failed.error) == (503, None)
        before = len(site.requests)
        wait_for(lambda: len(site.requests) > before + 5)
        site.status = 200
        wait_for(lambda: source.collect().up, what="it is up again")
        source.close()
    shown = f"http://127.0.0.1:{site.port}/up"
    assert [record.getMessage() for record in caplog.records if record.name.startswith("exporter")] == [
        f"probe site: {shown} answers 503",
        f"probe site: {shown} answers 200 again",
    ]
    wait_for(lambda: not any(thread.name == "sample:probe:site" for thread in threading.enumerate()))


def test_an_attempt_that_lasts_longer_than_a_collection(make_probe: MakeProbe, make_site: MakeSite) -> None:
    site = make_site()
    site.delays = [1.0]
    source = make_probe(site.url, patience=0.1, every=0.05, timeout=0.1)
    source._settings = ProbeSettings(name="site", url=Secret(site.url), every=0.05, timeout=3)
    source.start()
    with pytest.raises(SourceError, match="the first attempt has not ended yet"):
        source.collect()
    assert wait_for(lambda: source._asked.is_set() and source.collect()).up
    source.close()
    wait_for(lambda: _is_stale(source), what="what was found becomes too old")


def _is_stale(source: ProbeSource) -> bool:
    try:
        source.collect()
    except SourceError as exc:
        return "no attempt has ended for" in str(exc)
    return False


def test_failures_are_counted_and_no_samples(make_probe: MakeProbe) -> None:
    source = make_probe(f"http://127.0.0.1:{free_port()}/")
    source.collect()
    part = source.collect()
    assert (part.up, part.status, part.error) == (False, None, "refused")
    assert (part.response.failures, part.response.total.count, part.response.current) == (2, 0, None)
