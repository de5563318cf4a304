"""docker/roles.py: what is wrong with a secret is said without the secret."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.plugins.repo import repo_root

pytestmark = pytest.mark.needs("source-tree")


@pytest.fixture
def roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compose_roles", repo_root() / "docker" / "roles.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SECRETS", tmp_path)
    return module


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresq://postgres:S3CRET@timescaledb:5432/depthgauge",
        "postgresql://postgres:S3 CRET@timescaledb:5432/depthgauge",
        "postgresql://timescaledb/S3CRET",
        "postgresql://S3CRET@timescaledb/depthgauge",
    ],
)
def test_a_connection_string_that_is_none_is_named_and_not_shown(roles: ModuleType, tmp_path: Path, dsn: str) -> None:
    (tmp_path / "owner_dsn").write_text(dsn)
    with pytest.raises(ValueError, match=r"secrets/owner_dsn is no connection string") as caught:
        roles.main()
    assert "CRET" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_good_one_is_taken_apart(roles: ModuleType, tmp_path: Path) -> None:
    dsn = "postgresql://depthgauge_writer:pass@timescaledb:5432/depthgauge"
    (tmp_path / "sink_dsn").write_text(f"{dsn}\n")
    assert roles.login_of("sink_dsn") == (dsn, "depthgauge_writer", "pass")
