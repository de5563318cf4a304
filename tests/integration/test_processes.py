"""Process resources of real programs under real supervisords."""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from depthgauge.snapshot import Process, Resources, Supervisor
from exporter.command_lines.reader import Variable
from exporter.places import Place
from exporter.settings import SupervisorSettings
from exporter.sources.processes import ResourceReader
from exporter.sources.supervisor import SupervisorSource
from exporter.sources.supervisor_rpc import Timeouts
from exporter.workers import WorkerMap
from tests.plugins.proxy import MakeProxy
from tests.plugins.supervisord import MakeSupervisord, Program, python
from tests.plugins.waiting import wait_for

BURN = "import time\ndef burn(s):\n    end = time.process_time() + s\n    while time.process_time() < end: pass\n"


class Watch:
    """A source and a resource reader, as the collect loop puts them together."""

    def __init__(self, url: str) -> None:
        self.source = SupervisorSource(
            SupervisorSettings(name="main", url=url),
            timeouts=Timeouts(),
            clock=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
        )
        self.reader = ResourceReader(ticks=os.sysconf("SC_CLK_TCK"), page_size=os.sysconf("SC_PAGE_SIZE"))

    def look(self) -> Supervisor:
        seen = self.source.collect()
        (filled,) = self.reader.read([seen], {"main": self.source.peer_pid})
        return filled

    def process(self, name: str) -> Process:
        (found,) = (each for each in self.look().processes if each.name == name)
        return found

    def resources(self, name: str) -> Resources:
        found = self.process(name).resources
        assert found is not None, f"{name} has no resources"
        return found


def run(code: str) -> str:
    """Return a command for Python code of several lines: supervisord.conf has one line a command."""
    return python(f"exec({code!r})")


def test_figures_agree_with_psutil(make_supervisord: MakeSupervisord) -> None:
    import psutil

    code = "import threading, time\nfor _ in range(3): threading.Thread(target=time.sleep, args=(600,)).start()\n"
    files = "files = [open('/dev/null') for _ in range(7)]\nopen('ready', 'w').close()\ntime.sleep(600)\n"
    daemon = make_supervisord([Program("worker", run(code + files))])
    wait_for((daemon.folder / "ready").exists)
    seen = Watch(daemon.unix_url).resources("worker")
    real = psutil.Process(daemon.info("worker")["pid"])
    assert seen.threads == real.num_threads() == 4
    assert seen.open_fds == real.num_fds() >= 10
    assert seen.children == 0
    assert seen.resident_memory_bytes == pytest.approx(real.memory_info().rss, rel=0.2)
    times = real.cpu_times()
    assert seen.cpu_seconds == pytest.approx(times.user + times.system, abs=0.1)


def test_cpu_of_a_forking_worker_never_falls_and_is_the_kernels_sum(make_supervisord: MakeSupervisord) -> None:
    """Each job burns in a child of its own: a sum over living children alone would fall after every job."""
    code = BURN + (
        "import os, signal\n"
        "while not os.path.exists('stop'):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        burn(0.05)\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "open('stopped', 'w').close()\n"
        "signal.pause()\n"
    )
    daemon = make_supervisord([Program("worker", run(code))])
    daemon.wait_for_state("worker", "RUNNING")
    watch = Watch(daemon.unix_url)
    seen = [watch.resources("worker").cpu_seconds or 0.0]
    while seen[-1] < 1.0:
        seen.append(watch.resources("worker").cpu_seconds or 0.0)
    assert len(seen) > 10
    assert seen == sorted(seen)
    (daemon.folder / "stop").touch()
    wait_for((daemon.folder / "stopped").exists)
    last = watch.resources("worker")
    assert last.children == 0
    fields = Path(f"/proc/{daemon.info('worker')['pid']}/stat").read_text().rpartition(")")[2].split()
    assert last.cpu_seconds == pytest.approx(sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"), abs=0.03)


def test_cpu_of_children_that_nobody_waits_for_is_not_lost(make_supervisord: MakeSupervisord) -> None:
    code = BURN + (
        "import os, signal\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "for job in range(3):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        burn(0.2)\n"
        "        open(f'burnt-{job}', 'w').close()\n"
        "        signal.pause()\n"
        "    while not os.path.exists(f'seen-{job}'): time.sleep(0.01)\n"
        "    os.kill(pid, 9)\n"
        "    while os.path.exists(f'/proc/{pid}'): time.sleep(0.01)\n"
        "open('done', 'w').close()\n"
        "signal.pause()\n"
    )
    daemon = make_supervisord([Program("worker", run(code))])
    watch = Watch(daemon.unix_url)
    seen = []
    for job in range(3):
        wait_for((daemon.folder / f"burnt-{job}").exists)
        found = watch.resources("worker")
        assert found.children == 1
        seen.append(found.cpu_seconds or 0.0)
        (daemon.folder / f"seen-{job}").touch()
    wait_for((daemon.folder / "done").exists)
    last = watch.resources("worker")
    assert last.children == 0
    assert (last.cpu_seconds or 0.0) >= seen[-1] >= 0.55
    assert seen == sorted(seen)


def test_restart_begins_anew(make_supervisord: MakeSupervisord) -> None:
    daemon = make_supervisord([Program("worker", run(BURN + "burn(0.5); open('ready', 'w').close(); time.sleep(600)"))])
    wait_for((daemon.folder / "ready").exists)
    watch = Watch(daemon.unix_url)
    assert (watch.resources("worker").cpu_seconds or 0) >= 0.5
    daemon.rpc.stopProcess("worker")
    assert watch.process("worker").resources is None
    daemon.rpc.startProcess("worker")
    assert (watch.resources("worker").cpu_seconds or 0) < 0.5


@pytest.mark.parametrize("daemonize", [False, True])
def test_local_by_socket_and_by_loopback_also_as_a_daemon(make_supervisord: MakeSupervisord, daemonize: bool) -> None:
    """A supervisord that makes itself a daemon opens its socket first: the socket's peer is then its late parent."""
    daemon = make_supervisord([Program("worker", "sleep 600")], tcp=True, daemonize=daemonize)
    daemon.wait_for_state("worker", "RUNNING")
    for url in (daemon.unix_url, daemon.tcp_url):
        watch = Watch(url)
        assert watch.resources("worker").threads == 1
    by_socket = Watch(daemon.unix_url)
    by_socket.look()
    assert (by_socket.source.peer_pid == daemon.pid) is not daemonize


def test_socket_that_another_process_serves_is_not_trusted(
    make_supervisord: MakeSupervisord, make_proxy: MakeProxy
) -> None:
    """The proxy is this test, which is older than supervisord: what it forwards could be any host's pids."""
    daemon = make_supervisord([Program("worker", "sleep 600")])
    daemon.wait_for_state("worker", "RUNNING")
    watch = Watch(f"unix://{make_proxy(str(daemon.socket_path)).path}")
    assert watch.process("worker").pid is not None
    assert watch.process("worker").resources is None


class Sleeper:
    """Takes ``sleep N`` for a worker of queue N."""

    system = "naps"

    def serves(self, argv: Sequence[str], variable: Variable) -> Sequence[str] | None:
        return argv[1:] if argv[:1] == ("sleep",) else None


def test_command_lines_lead_to_queues(make_supervisord: MakeSupervisord) -> None:
    daemon = make_supervisord(
        [
            Program("plain", "sleep 601"),
            Program("wrapped", "bash -c 'sleep 602; true'"),
            Program("other", "tail -f /dev/null"),
        ]
    )
    for name in ("plain", "wrapped", "other"):
        daemon.wait_for_state(name, "RUNNING")
    workers = WorkerMap(
        rules={},
        command_lines=[Sleeper()],
        places=[Place("default", frozenset(("naps",)))],
        known=lambda _redis: None,
    )
    watch = Watch(daemon.unix_url)

    def served() -> dict[str, int]:
        (filled,) = workers.fill([watch.look()], watch.reader)
        return {each.queue: each.processes for each in filled.workers}

    wait_for(lambda: served() == {"601": 1, "602": 1}, what="both sleepers are seen")
    daemon.rpc.stopProcess("wrapped")
    assert served() == {"601": 1, "602": 0}
