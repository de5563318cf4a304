"""Making configurations in tests."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from cli.discover import Places
from cli.inputs import Inputs

NOWHERE = Places(configs=(), sockets=())

MakeInputs: TypeAlias = Callable[..., Inputs]


@pytest.fixture
def make_inputs(tmp_path: Path) -> MakeInputs:
    """Give a function from a TOML text (and environment, flags) to inputs that see nothing of the machine."""

    def make(
        text: str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        flags: Mapping[str, Sequence[str]] | None = None,
        places: Places = NOWHERE,
    ) -> Inputs:
        file = tmp_path / "depthgauge.toml"
        if text is not None:
            file.write_text(text, encoding="utf-8")
        return Inputs(
            hostname="web-1",
            pid=4711,
            environ=environ or {},
            flags=flags or {},
            file=file if text is not None else None,
            default_file=tmp_path / "absent.toml",
            places=places,
        )

    return make
