"""What ``depthgauge check`` says of the spool."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cli.aspects import spool
from cli.aspects.finding import Status
from exporter.settings import ExporterSettings
from tests.plugins.findings import only
from tests.plugins.spools import Spools, put


def test_a_spool_that_is_used_and_one_that_is_not_there_yet(spools: Spools) -> None:
    settings = ExporterSettings(host="web-1", state_dir=spools.folder.parent)
    finding = only(spool.look(settings))
    assert (finding.status, finding.message) == (Status.WARNING, "exporter.state_dir is not there")
    spools.folder.parent.mkdir()
    assert only(spool.look(settings)).message == "may be written to, 0 MiB of 256 MiB used"
    assert list(spools.folder.parent.iterdir()) == []

    opened = spools.open()
    put(opened, spools.record(1, size=1 << 19))
    # To see that it is held it must be tried, and given back.
    for _ in range(2):
        finding = only(spool.look(settings))
        assert finding.status is Status.OK
        assert "an exporter has it now" in finding.message
    spools.end(opened)
    finding = only(spool.look(settings))
    assert (finding.status, finding.message) == (Status.OK, "may be written to, 0.5 MiB of 256 MiB used")
    spools.open()


def test_a_disk_that_is_too_small_for_it(tmp_path: Path) -> None:
    settings = ExporterSettings(host="web-1", state_dir=tmp_path)
    settings = replace(settings, spool_max_bytes=shutil.disk_usage(tmp_path).total + 1)
    finding = only(spool.look(settings))
    assert (finding.status, finding.hint) == (Status.WARNING, "make room, or set exporter.spool_max_bytes lower")


def test_no_state_dir() -> None:
    finding = only(spool.look(ExporterSettings(host="web-1")))
    assert (finding.status, finding.hint) == (Status.WARNING, "set exporter.state_dir")


@pytest.mark.needs("root")
def test_a_folder_of_somebody_else(spools: Spools) -> None:
    spools.open()
    settings = ExporterSettings(host="web-1", state_dir=spools.folder.parent)
    for each in (spools.folder.parent, *spools.folder.parents):
        each.chmod(each.stat().st_mode | 0o055)
    me = os.geteuid()
    os.seteuid(65534)
    try:
        finding = only(spool.look(settings))
    finally:
        os.seteuid(me)
    assert finding.status is Status.ERROR
    assert finding.hint is not None
