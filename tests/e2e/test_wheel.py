"""The wheel, installed in a fresh environment without the source tree, passes the suite."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.plugins.repo import repo_root

pytestmark = [pytest.mark.needs("source-tree"), pytest.mark.timeout(600)]

SUITE = ("tests/unit", "tests/contract", "tests/migration/test_migrate.py", "tests/migration/test_partitions.py")
"""What runs beside the wheel: all that is quick, and what reads the SQL files out of it."""


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment}
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a source distribution as a publisher would build it."""
    folder = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source") / "depthgauge"
    left_out = shutil.ignore_patterns(
        ".git", ".venv", ".cache", "*.egg-info", "build", "__pycache__", ".*_cache", "node_modules"
    )
    shutil.copytree(repo_root(), source, ignore=left_out)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), cwd=source)
    (made,) = folder.glob("*.whl")
    return made


def test_everything_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    top = repo_root()
    for folder, packed in (("depthgauge",) * 2, ("exporter",) * 2, ("sink",) * 2, ("cli",) * 2, ("sql", "sink/sql")):
        for path in (top / folder).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                name = f"{packed}/{path.relative_to(top / folder)}"
                assert name in inside, f"{name} is not in the wheel"
    assert not [name for name in inside if name.startswith(("tests/", "docs/", "benchmarks/"))]


def test_the_installed_wheel_passes_the_suite(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    run(sys.executable, "-m", "venv", "--without-pip", str(environment), cwd=tmp_path)
    python = environment / "bin" / "python"
    (site,) = environment.glob("lib/python*/site-packages")
    # The libraries come from this environment, which has the locked versions; what it has of ours stays out of reach,
    # because an editable install is a hook, and hooks of folders named in a .pth file are not run.
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    run(
        *(sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install"),
        *("--no-deps", "--no-index", "--ignore-installed", str(wheel)),
        cwd=tmp_path,
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(
        repo_root() / "tests", elsewhere / "tests", ignore=shutil.ignore_patterns("__pycache__", "node_modules")
    )
    shutil.copy(repo_root() / "pyproject.toml", elsewhere)

    where = run(
        str(python), "-c", "import exporter, sink, cli, depthgauge, sink.sql as q; print(exporter.__file__, q.__file__)",
        cwd=elsewhere,
    )  # fmt: skip
    assert all(Path(path).is_relative_to(site) for path in where.split())
    required = os.environ.get("DEPTHGAUGE_TEST_REQUIRE", "")
    output = run(
        *(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITE),
        cwd=elsewhere,
        PYTHONDONTWRITEBYTECODE="1",
        # Only the source tree may be missing here.
        DEPTHGAUGE_TEST_REQUIRE="redis-server,promtool,postgres,timescaledb" if required == "all" else "",
    )
    skips = re.findall(r"^SKIPPED \[\d+\] .*?: (.*)$", output, re.MULTILINE)
    assert all("source-tree is missing" in reason or required != "all" for reason in skips), skips
