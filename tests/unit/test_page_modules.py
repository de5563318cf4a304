"""The page's own modules that need no browser, tested by node's test runner on the files as they are packed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from depthgauge.errors import ErrorKind
from exporter.web.static import read_files

TESTS = Path(__file__).resolve().parents[1] / "js"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The modules and their tests, where node takes ``.js`` for modules."""
    top = tmp_path_factory.mktemp("js")
    (top / "package.json").write_text('{"type": "module"}')
    (top / "static").mkdir()
    for name, body in read_files().items():
        if "/" not in name:
            (top / "static" / name).write_bytes(body)
    shutil.copytree(TESTS, top / "tests")
    return top


@pytest.mark.needs("node")
@pytest.mark.parametrize("name", sorted(path.name for path in TESTS.glob("*.test.js")))
def test_modules(folder: Path, name: str) -> None:
    command = ["node", "--test", f"tests/{name}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    assert "# pass 0" not in done.stdout


def test_the_page_has_words_for_every_error() -> None:
    words = set(re.findall(rb"^  (\w+): \"", read_files()["words.js"], re.MULTILINE))
    assert {kind.value.encode() for kind in ErrorKind} <= words


def test_no_link_leads_to_what_a_browser_cannot_open() -> None:
    links = re.findall(rb'<a [^>]*href="([^"]*)"', read_files()["index.html"])
    # A link carries no token, so the API would answer 401.
    assert links
    assert not [each for each in links if b"api/" in each]
