"""The status page's files: what is served, how, and what can never be."""

import gzip
import re
from collections.abc import Mapping

import pytest

from depthgauge.httpd import Request, Response
from exporter.web.static import POLICY, StatusPage, read_files

PAGE = StatusPage(interval=15, telemetry_path='/met"rics')


def get(path: str, **headers: str) -> Response:
    request = Request("GET", path, "", {name.replace("_", "-"): value for name, value in headers.items()})
    route = PAGE.route(request)
    assert route is not None
    return route(request)


def asset(name: str) -> str:
    return f"/static/{PAGE.version}/{name}"


def index() -> str:
    return get("/").body.decode()


def test_the_page_has_a_strict_policy_and_is_asked_for_anew() -> None:
    response = get("/")
    assert response.status == 200
    assert response.content_type == "text/html; charset=utf-8"
    assert response.headers["Content-Security-Policy"] == POLICY
    assert response.headers["Cache-Control"] == "no-cache"
    assert "unsafe" not in POLICY


def test_what_is_filled_in_is_escaped_and_nothing_is_left_open() -> None:
    assert 'href="met&quot;rics"' in index()
    assert 'data-interval="15"' in index()
    assert "{{" not in index()


def test_every_file_that_the_page_names_is_served() -> None:
    named = re.findall(r'(?:src|href)="(static/[^"]+)"', index())
    imported = [
        asset(target)
        for name, body in read_files().items()
        if name.endswith(".js")
        for target in re.findall(r'from "\./([^"]+)"', body.decode())
    ]
    assert len(named) == 4
    assert {f"/{name}" for name in named} | set(imported) <= PAGE.paths


def test_files_are_kept_for_ever_under_an_address_of_their_content() -> None:
    response = get(asset("app.js"))
    assert response.content_type == "text/javascript; charset=utf-8"
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.gzipped is not None
    assert gzip.decompress(response.gzipped) == response.body == read_files()["app.js"]
    changed = {**read_files(), "app.js": b"other"}
    assert StatusPage(interval=15, telemetry_path="/metrics", files=changed).version != PAGE.version


def test_the_licence_of_what_is_not_ours_is_beside_it() -> None:
    response = get(asset("uplot/LICENSE"))
    assert response.content_type == "text/plain; charset=utf-8"
    assert b"MIT License" in response.body
    assert b"v1.6.32" in get(asset("uplot/uPlot.iife.min.js")).body[:80]


@pytest.mark.parametrize("path", ["/", asset("style.css")])
def test_what_is_known_is_not_sent_again(path: str) -> None:
    tag = get(path).headers["ETag"]
    zipped = get(path, accept_encoding="gzip").headers["ETag"]
    assert tag != zipped
    assert not tag.startswith("W/")
    for known in (tag, zipped, f"W/{tag}", f'"other", {tag}', "*"):
        response = get(path, if_none_match=known)
        assert (response.status, response.body) == (304, b"")
        assert response.headers["Content-Security-Policy"] == POLICY
    assert get(path, if_none_match='"other"').status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/app.js",
        "/static/0000000000000000/app.js",
        asset(""),
        asset("../static.py"),
        asset("..\\static.py"),
        asset("./app.js"),
        asset("uplot"),
        asset("uplot/../app.js"),
        asset("app.js\0"),
        asset("index.html"),
        "/static/../../../etc/passwd",
        "/static//etc/passwd",
    ],
)
def test_only_the_table_is_served(path: str) -> None:
    assert get(path).status == 404


def test_other_paths_are_not_the_pages_to_answer() -> None:
    assert PAGE.route(Request("GET", "/metrics", "", {})) is None
    assert PAGE.route(Request("GET", "/index.html", "", {})) is None


def ours() -> Mapping[str, str]:
    return {name: body.decode() for name, body in read_files().items() if not name.startswith("uplot/")}


def test_nothing_is_inline() -> None:
    page = ours()["index.html"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == ["", ""]


def test_text_is_only_ever_put_in_as_text() -> None:
    ways = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc")
    assert [name for name, source in ours().items() if ways.search(source)] == []


def test_nothing_comes_from_elsewhere() -> None:
    for name, source in ours().items():
        found = set(re.findall(r"https?://[^\s\"'`)]+", source)) - {"http://www.w3.org/2000/svg"}
        assert not found, f"{name} names {found}"


def test_addresses_are_relative_so_that_a_proxy_may_put_the_page_under_a_path() -> None:
    assert not re.search(r'(?:src|href)="/', index())
    assert not [name for name, source in ours().items() if re.search(r"""["'`]/(?:api|static|-)/""", source)]


def test_modules_of_the_page_are_short_and_say_what_they_are_for() -> None:
    for name, source in ours().items():
        assert source.count("\n") <= 350, name
        if name.endswith(".js"):
            assert source.startswith("// "), name
