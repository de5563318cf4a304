"""The gallery: its pictures are those of the committed dashboards, and the docs show each."""

import struct

import pytest

from tests.plugins.gallery import boards, picture_of
from tests.plugins.repo import repo_root

pytestmark = pytest.mark.needs("source-tree")


def test_every_dashboard_has_its_picture_and_the_docs_show_it() -> None:
    pages = "".join(path.read_text() for path in (repo_root() / "docs").glob("dashboards*.md"))
    made = boards()
    assert len(made) == 7
    for board in made:
        path = picture_of(board)
        head = (repo_root() / path).read_bytes()[:24]
        width, height = struct.unpack(">II", head[16:24])
        assert head.startswith(b"\x89PNG"), path
        assert (width > 1000, height > 300) == (True, True), path
        assert f"]({path.removeprefix('docs/')})" in pages, f"docs/dashboards*.md do not show {path}"


def test_no_picture_is_left_of_a_dashboard_that_is_gone() -> None:
    have = {f"docs/images/{path.name}" for path in (repo_root() / "docs/images").glob("depthgauge-*.png")}
    assert have == {picture_of(board) for board in boards()}
