"""Process resources out of a /proc that the test writes: locality, reuse of pids, trees, and what cannot be read."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from depthgauge.snapshot import Process, ProcessState, Resources, Supervisor
from exporter.sources.processes import MAX_ENVIRONMENT, ResourceReader, parse_stat

TICKS = 100
PAGE = 4096
BOOT = 1_700_000_000
NOW = datetime.fromtimestamp(BOOT + 10_000, UTC)
DAEMON = 50
"""Pid of supervisord, started 100 s after boot."""


class FakeProc:
    """A /proc with what the reader reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.boot(BOOT)
        self.put(1, parent=0, start=0, name="systemd")
        self.put(DAEMON, parent=1, start=100, name="supervisord")

    def boot(self, moment: int) -> None:
        (self.folder / "stat").write_text(f"cpu  1 2 3\nbtime {moment}\nprocesses 3\n")

    def put(
        self,
        pid: int,
        *,
        parent: int = DAEMON,
        start: float = 1000,
        cpu: tuple[int, int, int, int] = (0, 0, 0, 0),
        threads: int = 1,
        pages: int = 10,
        state: str = "S",
        name: str = "worker",
        argv: tuple[str, ...] = ("worker",),
        fds: int | None = 3,
    ) -> None:
        place = self.folder / str(pid)
        place.mkdir(exist_ok=True)
        times = " ".join(map(str, cpu))
        (place / "stat").write_text(
            f"{pid} ({name}) {state} {parent} 1 1 0 -1 4194560 9 9 9 9 {times} 20 0 {threads} 0 {int(start * TICKS)}"
            f" 123456 {pages} 18446744073709551615 1 1 0 0 0 0 0\n"
        )
        (place / "cmdline").write_bytes(b"".join(part.encode() + b"\0" for part in argv))
        if fds is not None:
            shutil.rmtree(place / "fd", ignore_errors=True)
            (place / "fd").mkdir()
            for number in range(fds):
                (place / "fd" / str(number)).touch()

    def end(self, pid: int) -> None:
        shutil.rmtree(self.folder / str(pid))


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


@pytest.fixture
def reader(proc: FakeProc) -> ResourceReader:
    return ResourceReader(proc.folder, ticks=TICKS, page_size=PAGE)


def supervisor(*processes: Process, name: str = "main", pid: int | None = DAEMON) -> Supervisor:
    return Supervisor(observed_at=NOW, name=name, now=NOW, state=1, pid=pid, processes=processes)


def process(pid: int | None, *, start: float | None = 1000, state: int = ProcessState.RUNNING) -> Process:
    moment = None if start is None else datetime.fromtimestamp(int(BOOT + start), UTC)
    return Process(group="g", name=f"p{pid}", state=state, start=moment, pid=pid)


def resources(
    reader: ResourceReader, one: Process, *, peer: int | None = DAEMON, pid: int = DAEMON
) -> Resources | None:
    (filled,) = reader.read([supervisor(one, pid=pid)], {"main": peer})
    return filled.processes[0].resources


@pytest.mark.parametrize("name", ["worker", "a b", "(sd-pam)", ") S 1 (", "a\nb", "x) R 7 7"])
def test_stat_line_with_any_command_name(proc: FakeProc, name: str) -> None:
    proc.put(100, name=name, cpu=(1, 2, 4, 8), threads=5, pages=77, start=12.34, state="R")
    stat = parse_stat((proc.folder / "100/stat").read_bytes())
    assert (stat.zombie, stat.parent, stat.own, stat.waited, stat.threads) == (False, DAEMON, 3, 12, 5)
    assert (stat.start, stat.rss) == (1234, 77)


@pytest.mark.parametrize("line", [b"", b"1 worker S 1", b"1 (x) S 1 2 3", b"1 (x) S one" + b" x" * 50])
def test_stat_line_that_is_none(line: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        parse_stat(line)


def test_one_process(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, cpu=(100, 50, 25, 25), threads=4, pages=7, fds=9)
    assert resources(reader, process(100)) == Resources(
        cpu_seconds=2.0, resident_memory_bytes=7 * PAGE, threads=4, open_fds=9, children=0
    )


def test_tree_is_summed_but_open_files_are_the_process_own(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, cpu=(100, 0, 100, 0), threads=1, pages=1, fds=5)
    proc.put(101, parent=100, start=2000, cpu=(50, 50, 0, 0), threads=2, pages=2)
    proc.put(102, parent=101, start=2001, cpu=(0, 100, 0, 0), threads=3, pages=4)
    proc.put(103, parent=101, start=2002, cpu=(100, 0, 0, 0), threads=1, pages=0, state="Z")
    proc.put(200, parent=1, start=2002, cpu=(999, 0, 0, 0), threads=7, pages=99)
    assert resources(reader, process(100)) == Resources(
        cpu_seconds=5.0, resident_memory_bytes=7 * PAGE, threads=6, open_fds=5, children=2
    )
    assert list(reader.descendants(100)) == [101, 102, 103] or list(reader.descendants(100)) == [101, 103, 102]


def test_not_running_or_not_there(proc: FakeProc, reader: ResourceReader) -> None:
    assert resources(reader, process(None, state=ProcessState.STOPPED)) is None
    assert resources(reader, process(100)) is None
    proc.put(100)
    assert resources(reader, process(100, start=None)) is None


def test_pid_of_another_parent_is_not_ours(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, parent=1)
    assert resources(reader, process(100)) is None


@pytest.mark.parametrize(
    ("told", "real", "ours"),
    [
        (1000, 1000.9, True),
        (1000, 1004.9, True),
        (1000, 995.1, True),
        (1000, 1005.1, False),
        (1000, 5000, False),
        (1000, 994.9, False),
    ],
)
def test_reused_pid_has_another_start(
    proc: FakeProc, reader: ResourceReader, told: float, real: float, ours: bool
) -> None:
    proc.put(100, start=real)
    assert (resources(reader, process(100, start=told)) is not None) is ours


def test_reused_pid_begins_anew(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, cpu=(5000, 0, 0, 0))
    first = resources(reader, process(100))
    proc.put(100, start=3000, cpu=(10, 0, 0, 0))
    assert resources(reader, process(100)) is None
    second = resources(reader, process(100, start=3000))
    assert first is not None
    assert second is not None
    assert (first.cpu_seconds, second.cpu_seconds) == (50.0, 0.1)


def test_clock_that_is_set_while_watching_does_not_lose_a_process(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100)
    assert resources(reader, process(100)) is not None
    proc.boot(BOOT + 3600)
    assert resources(reader, process(100)) is not None


@pytest.mark.parametrize(
    ("peer", "ours"),
    [
        (DAEMON, True),
        (None, True),
        (0, False),  # in another pid namespace, or at the other end of a network
        (1, False),  # a process older than the supervisord of that pid: not the same host's pids
        (49, True),  # gone: the parent of a supervisord that made itself a daemon
        (300, True),  # the same, its pid in use again by something younger
    ],
)
def test_who_answered_must_agree(proc: FakeProc, reader: ResourceReader, peer: int | None, ours: bool) -> None:
    proc.put(100)
    proc.put(300, parent=1, start=5000)
    assert (resources(reader, process(100), peer=peer) is not None) is ours


def test_supervisord_that_is_not_here_or_unknown(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, parent=999)
    assert resources(reader, process(100), peer=None, pid=999) is None
    (filled,) = reader.read([supervisor(process(100), pid=None)], {})
    assert filled.processes[0].resources is None


def test_one_walk_serves_all_supervisors(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(60, parent=1, start=200)
    proc.put(100)
    proc.put(101, parent=60)
    one, two = reader.read(
        [supervisor(process(100), name="one"), supervisor(process(101), process(100), name="two", pid=60)],
        {"one": DAEMON, "two": 60},
    )
    assert one.processes[0].resources is not None
    assert [each.resources is not None for each in two.processes] == [True, False]


def cpu(reader: ResourceReader) -> float:
    found = resources(reader, process(100))
    assert found is not None
    assert found.cpu_seconds is not None
    return found.cpu_seconds


def test_cpu_of_waited_for_children_is_counted_once(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, cpu=(100, 0, 0, 0))
    proc.put(101, parent=100, start=2000, cpu=(200, 0, 0, 0))
    assert cpu(reader) == 3.0
    proc.end(101)
    proc.put(100, cpu=(110, 0, 250, 0))
    assert cpu(reader) == pytest.approx(3.6)


def test_cpu_of_children_that_nobody_waits_for_is_kept(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, cpu=(100, 0, 0, 0))
    for number in range(5):
        proc.put(101 + number, parent=100, start=2000 + number, cpu=(100, 0, 0, 0))
        assert cpu(reader) == 2.0 + number
        proc.end(101 + number)
        assert cpu(reader) == 2.0 + number


def test_cpu_survives_a_cycle_without_this_supervisor(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, cpu=(100, 0, 0, 0))
    proc.put(101, parent=100, start=2000, cpu=(300, 0, 0, 0))
    assert cpu(reader) == 4.0
    reader.read([], {})
    proc.end(101)
    assert cpu(reader) == 4.0


def test_state_of_vanished_processes_is_forgotten(proc: FakeProc, reader: ResourceReader) -> None:
    for pid in range(100, 150):
        proc.put(pid)
    reader.read([supervisor(*map(process, range(100, 150)))], {"main": DAEMON})
    reader.command_lines(range(100, 150))
    for pid in range(100, 150):
        proc.end(pid)
    reader.read([], {})
    assert not reader._trees
    assert not reader._lines


def test_without_permission_for_fd_the_rest_is_known(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, fds=None)
    found = resources(reader, process(100))
    assert found is not None
    assert (found.open_fds, found.children) == (None, 0)


def test_without_proc_resources_are_absent(tmp_path: Path) -> None:
    reader = ResourceReader(tmp_path / "none", ticks=TICKS, page_size=PAGE)
    assert resources(reader, process(100)) is None
    assert reader.command_lines([100]) == {}
    assert reader.unreadable == 0


def test_unreadable_entries_are_counted_and_harm_nobody_else(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100)
    proc.put(101)
    (proc.folder / "101/stat").write_text("101 (worker S garbage")
    proc.put(102)
    (proc.folder / "102/stat").unlink()
    (proc.folder / "102/stat").mkdir()
    proc.put(103)
    (proc.folder / "103/stat").unlink()
    assert resources(reader, process(100)) is not None
    assert reader.unreadable == 2


def test_command_lines(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, argv=("php", "artisan", "queue:work", "--queue=hö,x", ""))
    proc.put(101, argv=())
    reader.read([], {})
    # An empty last argument cannot be told from the padding of a rewritten title.
    assert reader.command_lines([100, 101, 102]) == {100: ("php", "artisan", "queue:work", "--queue=hö,x"), 101: ()}


def test_children_and_starts_are_those_of_the_latest_walk(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, start=1000)
    proc.put(101, parent=100, start=1001)
    proc.put(102, parent=101)
    assert (list(reader.children(100)), reader.start(100)) == ([], None)
    reader.read([], {})
    assert (list(reader.children(100)), reader.start(101)) == ([101], 1001 * TICKS)
    proc.end(101)
    reader.read([], {})
    assert (list(reader.children(100)), reader.start(101)) == ([], None)


def test_variables_of_an_environment(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100)
    (proc.folder / "100/environ").write_bytes(b"A=1\0QUEUE=high,h\xc3\xb6\0QUEUES=\0XQUEUE=x\0EMPTY\0")
    assert reader.variable(100, "QUEUE") is None, "not of the latest walk"
    reader.read([], {})
    assert reader.variable(100, "QUEUE") == "high,hö"
    assert reader.variable(100, "QUEUES") == ""
    assert [reader.variable(100, name) for name in ("QUEU", "EMPTY", "B")] == [None, None, None]
    (proc.folder / "100/environ").write_bytes(b"A=" + b"x" * MAX_ENVIRONMENT + b"\0QUEUE=far\0")
    assert reader.variable(100, "QUEUE") is None
    (proc.folder / "100/environ").unlink()
    assert reader.variable(100, "A") is None
    (proc.folder / "100/environ").mkdir()
    assert reader.variable(100, "A") is None
    assert reader.unreadable == 0, "other users' environments are not readable by design"


def test_command_lines_are_kept_and_read_again_more_rarely(proc: FakeProc, reader: ResourceReader) -> None:
    proc.put(100, argv=("supervisord",))
    fresh = []
    for number in range(1, 65):
        proc.put(100, argv=(str(number),))
        reader.read([], {})
        fresh.append(reader.command_lines([100])[100] == (str(number),))
    assert [number for number, is_fresh in enumerate(fresh, 1) if is_fresh] == [1, 2, 4, 8, 16, 32, 48, 64]
    proc.put(100, start=4000, argv=("successor",))
    reader.read([], {})
    assert reader.command_lines([100])[100] == ("successor",)
