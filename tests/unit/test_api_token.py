"""The token that the exporter makes itself."""

import stat
from pathlib import Path

import pytest

from depthgauge.secrets import Secret
from depthgauge.settings import WebSettings
from exporter.api_token import FILE, ApiTokens

NONE = WebSettings(listen=())


def made(number: int) -> str:
    return f"made-for-the-test-{number}"


def tokens(folder: Path | None, number: int = 1) -> ApiTokens:
    return ApiTokens(folder, random=lambda: made(number))


def test_one_that_is_set_is_taken(tmp_path: Path) -> None:
    settings = WebSettings(listen=(), tokens=(Secret("x" * 16),))
    assert tokens(tmp_path).complete(settings) == settings
    assert list(tmp_path.iterdir()) == []


def test_one_is_made_kept_and_nothing_is_left_beside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    folder = tmp_path / "new" / "state"
    assert tokens(folder, 1).complete(NONE).tokens == tokens(folder, 2).complete(NONE).tokens == (Secret(made(1)),)
    assert [path.name for path in folder.iterdir()] == [FILE]
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert made(1) not in caplog.text
    assert str(folder / FILE) in caplog.text


def test_what_another_exporter_has_put_there_meanwhile_counts(tmp_path: Path) -> None:
    def random() -> str:
        (tmp_path / FILE).write_text(f"{made(7)}\n")
        return made(1)

    assert ApiTokens(tmp_path, random=random).complete(NONE).tokens == (Secret(made(7)),)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_without_a_folder_it_stays_the_same_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    some = tokens(None)
    assert some.complete(NONE).tokens == some.complete(NONE).tokens == (Secret(made(1)),)
    assert len(caplog.records) == 1
    assert "DEPTHGAUGE_API_TOKEN_FILE" in caplog.text
    assert made(1) not in caplog.text


@pytest.mark.parametrize("content", ["", "short", "two words and more of it", "ä" * 20])
def test_a_file_that_holds_none(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert tokens(tmp_path).complete(NONE).tokens == (Secret(made(1)),)
    assert (tmp_path / FILE).read_text() == content
    assert "cannot be kept in" in caplog.text


def test_a_file_that_others_may_read_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_text(made(3))
    (tmp_path / FILE).chmod(0o644)
    assert tokens(tmp_path).complete(NONE).tokens == (Secret(made(3)),)
    assert f"chmod 600 {tmp_path / FILE}" in caplog.text
