"""Finding supervisord without being told."""

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.config import load, load_exporter
from cli.discover import Found, Places, find_supervisor
from cli.schema import Role
from depthgauge.secrets import Secret
from exporter.sources.supervisor import SupervisorSource
from exporter.sources.supervisor_rpc import Timeouts
from tests.plugins.settings import MakeInputs
from tests.plugins.supervisord import MakeSupervisord

MakeSocket = Callable[[str], Path]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder with a name short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="depthgauge-find-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def make_socket(folder: Path) -> Iterator[MakeSocket]:
    made: list[socket.socket] = []

    def make(name: str) -> Path:
        sock = socket.socket(socket.AF_UNIX)
        made.append(sock)
        sock.bind(str(folder / name))
        return folder / name

    yield make
    for sock in made:
        sock.close()


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def find(*configs: Path, sockets: tuple[Path, ...] = (), environ: dict[str, str] | None = None) -> Found:
    return find_supervisor(Places(configs=configs, sockets=sockets, environ=environ or {}))


def test_a_real_supervisord_is_found_by_its_configuration_and_read(
    make_supervisord: MakeSupervisord, make_inputs: MakeInputs
) -> None:
    running = make_supervisord(username="me", password="se%cret")
    places = Places(configs=(Path("/nowhere/supervisord.conf"), running.folder / "s.conf"), sockets=())
    made = load(make_inputs(places=places), frozenset({Role.EXPORTER}))
    assert made.exporter is not None
    (settings,) = made.exporter.supervisors
    assert (settings.name, settings.url, settings.username) == ("main", running.unix_url, "me")
    assert f"no [[supervisor]] is configured, using {running.unix_url} found by {running.folder}/s.conf" in made.notes
    source = SupervisorSource(settings, timeouts=Timeouts(), clock=lambda: datetime.now(UTC), monotonic=time.monotonic)
    assert source.collect().pid == running.pid


def test_expansions_comments_and_relative_paths(folder: Path) -> None:
    config = write(
        folder / "s.conf",
        "[unix_http_server]\nfile = %(here)s/%(ENV_NAME)s.sock ; a comment\nusername = u\npassword = a%%b%(ENV_NAME)s\n",
    )
    found = find(config, environ={"NAME": "x"})
    assert (found.url, found.username, found.password) == (f"unix://{folder}/x.sock", "u", Secret("a%bx"))
    write(config, "[unix_http_server]\nfile=run/s.sock\n")
    assert find(config).url == f"unix://{folder}/run/s.sock"


@pytest.mark.parametrize(
    ("port", "url"),
    [
        ("9001", "http://127.0.0.1:9001/RPC2"),
        ("*:9001", "http://127.0.0.1:9001/RPC2"),
        (":9001", "http://127.0.0.1:9001/RPC2"),
        ("0.0.0.0:9001", "http://127.0.0.1:9001/RPC2"),
        ("10.0.0.1:9001", "http://10.0.0.1:9001/RPC2"),
        ("127.0.0.1:x", None),
        ("0", None),
    ],
)
def test_a_tcp_server(port: str, url: str | None, folder: Path) -> None:
    found = find(write(folder / "s.conf", f"[inet_http_server]\nport={port}\n"))
    assert found.url == url
    if url is None:
        assert f"{folder}/s.conf: port in [inet_http_server] is not understood" in found.warnings


def test_a_hashed_password_is_taken_from_the_clients_section(folder: Path) -> None:
    text = "[inet_http_server]\nport=9001\nusername=u\npassword={SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d\n"
    config = write(folder / "s.conf", text)
    found = find(config)
    assert (found.username, found.password) == (None, None)
    assert found.warnings == (f"{config} holds only a hash of the password; put the password into [[supervisor]]",)
    write(config, text + "[supervisorctl]\nusername=u\npassword=thepassword\n")
    found = find(config)
    assert (found.username, found.password, found.warnings) == ("u", Secret("thepassword"), ())


def test_an_included_file_counts(folder: Path) -> None:
    (folder / "conf.d").mkdir()
    write(folder / "conf.d" / "http.conf", f"[unix_http_server]\nfile={folder}/inner.sock\n")
    config = write(folder / "s.conf", "[supervisord]\n[include]\nfiles = %(here)s/none/*.conf conf.d/*.conf\n")
    assert find(config).url == f"unix://{folder}/inner.sock"


def test_a_socket_that_is_there_goes_before_one_that_is_not(folder: Path, make_socket: MakeSocket) -> None:
    first = write(folder / "a.conf", f"[unix_http_server]\nfile={folder}/absent.sock\n")
    second = write(folder / "b.conf", f"[unix_http_server]\nfile={folder}/there.sock\n")
    known = make_socket("known.sock")
    assert find(first, second, sockets=(known,)).url == f"unix://{known}"
    make_socket("there.sock")
    assert find(first, second, sockets=(known,)).url == f"unix://{folder}/there.sock"
    assert find(first, sockets=()).url == f"unix://{folder}/absent.sock"
    assert find(sockets=(folder / "a.conf", known)).url == f"unix://{known}"


def test_what_cannot_be_read_is_said_and_is_no_error(folder: Path, make_inputs: MakeInputs) -> None:
    broken = write(folder / "broken.conf", "password=hunter2\n")
    binary = folder / "binary.conf"
    binary.write_bytes(b"[unix_http_server]\nfile=\xff\n")
    (folder / "a-folder").mkdir()
    (folder / "loop").symlink_to(folder / "loop")
    configs = (broken, binary, folder / "a-folder", folder / "absent", broken / "below", folder / "loop")
    found = find(*configs)
    assert found.url is None
    assert [warning.split(" (")[0] for warning in found.warnings] == [
        f"{broken} cannot be read",
        f"{binary} cannot be read",
        f"{folder}/a-folder cannot be read",
        f"{folder}/loop cannot be read",
        "no supervisord was found",
    ]
    assert "hunter2" not in "".join(found.warnings)
    settings = load_exporter(make_inputs(places=Places(configs=configs, sockets=())))
    assert settings.supervisors == ()


def test_a_file_of_another_user_is_said_to_be_closed(folder: Path) -> None:
    config = write(folder / "s.conf", "[unix_http_server]\nfile=/s.sock\n")
    folder.chmod(0o755)
    config.chmod(0)
    me = os.geteuid()
    if me == 0:
        # Root may read everything: look as nobody.
        os.seteuid(65534)
    try:
        found = find(config)
    finally:
        os.seteuid(me)
    assert f"{config} cannot be read (Permission denied)" in found.warnings


def test_the_places_of_this_machine_are_absolute_and_not_the_working_directory() -> None:
    places = Places()
    assert all(path.is_absolute() for path in (*places.configs, *places.sockets))
    assert Path("/etc/supervisor/supervisord.conf") in places.configs
    find_supervisor(places)
