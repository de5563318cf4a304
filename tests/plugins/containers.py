"""Services of the compose file run as processes, for machines without a container engine: root, and namespaces of the kernel.

Each runs on this machine's own files in place of its image's, in a mount namespace of its own: with its command, user,
environment, mounts and secrets at the very places that the compose file says, on a read-only root, without capabilities. All
share one network namespace, in which every service's name is a name of the loopback address, and one of processes, which ends
with the test run however that ends.
"""

import contextlib
import ctypes
import graphlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import psutil

from tests.plugins.compose import SECRETS, Compose, Service
from tests.plugins.dockerfile import load_dockerfile
from tests.plugins.repo import repo_root
from tests.plugins.waiting import wait_for

T = TypeVar("T")

STOP_SECONDS: Final = 20.0
_NEW_NETWORK: Final = 0x40000000
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENTRYPOINTS: Final[Mapping[str, tuple[str, ...]]] = {
    "prom/prometheus": ("/bin/prometheus",),
    "prom/alertmanager": ("/bin/alertmanager",),
}
"""What images of others start; this machine's own programs stand in their places."""
DEBIAN: Final[Mapping[str, str]] = {"alertmanager": "prometheus-alertmanager"}
"""Programs that Debian calls otherwise."""
PREFIX: Final = "/opt/depthgauge"
"""Where our images have their Python environment; here it is the one of the tests."""

_LOOPBACK_UP: Final = """
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
    fcntl.ioctl(link, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))
"""


class Network:
    """A network namespace with nothing in it but a loopback device that is up, and a namespace of processes."""

    def __init__(self) -> None:
        bound = ("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--pid", "--fork", "--kill-child=KILL")
        self._keeper = subprocess.Popen([*bound, "sleep", "infinity"], stdin=subprocess.DEVNULL)
        (first,) = wait_for(lambda: psutil.Process(self._keeper.pid).children(), what="the namespaces' first process")
        wait_for(lambda: first.name() == "sleep", what="the namespaces' first process is itself")
        self._folder = Path(f"/proc/{first.pid}/ns")
        subprocess.run([*self.enter, sys.executable, "-c", _LOOPBACK_UP], check=True)
        self._inside = ThreadPoolExecutor(max_workers=1, initializer=self._enter)
        self._first = first.pid

    @property
    def path(self) -> Path:
        return self._folder / "net"

    @property
    def enter(self) -> tuple[str, ...]:
        """The words before a command that runs it in here, as a child of what they start."""
        return ("nsenter", f"--net={self.path}", f"--pid={self._folder / 'pid'}", "--")

    def _enter(self) -> None:
        # One thread of this process has its sockets in the namespace. (os.setns is there from Python 3.12 on.)
        with self.path.open("rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _NEW_NETWORK) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def ask(self, question: Callable[[], T]) -> T:
        """Return what a call returns whose connections are made in here."""
        return self._inside.submit(question).result(60)

    def pids(self) -> list[int]:
        """Return the processes in here, the first one aside."""
        inside = self.path.stat().st_ino
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if entry.name.isdecimal() and (entry / "ns" / "net").stat().st_ino == inside:
                    found.append(int(entry.name))
        return [pid for pid in found if pid != self._first]

    def close(self) -> None:
        self._inside.shutdown()
        self._keeper.kill()
        self._keeper.wait(STOP_SECONDS)


class Container:
    """One service as a process; ``folder`` keeps what it is given and its log."""

    def __init__(self, service: Service, network: Network, folder: Path, *, top: Path, hosts: Path) -> None:
        self.service = service
        self.log = folder / f"{service.name}.log"
        self._network = network
        self._folder = folder
        self._top = top
        self._hosts = hosts
        self._stage = load_dockerfile()[service.target] if service.target else None
        self._process: subprocess.Popen[bytes] | None = None
        self._main = 0

    @property
    def pid(self) -> int:
        """Its main process, by its number outside."""
        assert self._main, f"{self.service.name} is not started"
        return self._main

    @property
    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text(errors="replace")

    @property
    def environment(self) -> dict[str, str]:
        """Its whole environment: the image's, then the file's."""
        image = self._stage.environment if self._stage else {}
        return {
            "PATH": PATH,
            "HOME": "/",
            **{name: value.replace("$PATH", PATH) for name, value in image.items()},
            **self.service.environment,
        }

    def command(self) -> tuple[str, ...]:
        """Return what is run: the file's entrypoint or the image's, then the file's command."""
        image = self.service.image.partition(":")[0]
        own = self._stage.entrypoint if self._stage else ENTRYPOINTS.get(image, ())
        return (*(self.service.entrypoint if self.service.entrypoint is not None else own), *self.service.command)

    def start(self) -> "Container":
        self.log.touch()
        os.chown(self.log, self.service.uid, self.service.gid)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._network.enter, "unshare", "--mount", "sh", "-c", self._script()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        process = psutil.Process(self._process.pid)
        (main,) = wait_for(process.children, what=f"{self.service.name} is a process of its own")
        self._main = main.pid
        return self

    def _as_user(self, command: Sequence[str]) -> list[str]:
        given = [f"{name}={value}" for name, value in self.environment.items()]
        user = [f"--reuid={self.service.uid}", f"--regid={self.service.gid}", "--clear-groups"]
        bounds = ["--bounding-set=-all", "--inh-caps=-all"] if self.service.raw["cap_drop"] == ["ALL"] else []
        bounds += ["--no-new-privs"] if "no-new-privileges:true" in self.service.raw["security_opt"] else []
        return ["setpriv", *user, *bounds, "--pdeathsig=KILL", "--", "env", "-i", *given, *command]

    def _script(self) -> str:
        """Return the shell's lines that make its file system and then become its process."""
        root = f"{self._folder}/{self.service.name}"
        Path(root).mkdir(exist_ok=True)
        lines = [
            "set -e",
            f"mount -t tmpfs -o mode=755 tmpfs {root}",
            f"mkdir {root}/upper {root}/work {root}/root",
            f"mount -t overlay -o lowerdir=/,upperdir={root}/upper,workdir={root}/work overlay {root}/root",
            f"root={root}/root",
            'mount --rbind /dev "$root/dev"',
            'mount -t proc proc "$root/proc"',
            'mount --rbind /sys "$root/sys"',
        ]
        for path in needed():
            lines.append(f'mkdir -p "$root{path}" && mount --rbind {path} "$root{path}"')
            # What is root's alone on this machine is anybody's in an image.
            lines += [f'chmod o+x "$root{parent}"' for parent in Path(path).parents if parent != Path("/")]
        lines += [f'mkdir -p "$root{PREFIX}" && mount --bind {sys.prefix} "$root{PREFIX}"'] if self._stage else []
        lines += [f'ln -sf {own} "$root/usr/bin/{name}"' for name, own in DEBIAN.items()]
        lines += [f'mount --bind {self._hosts} "$root/etc/hosts"', f'rm -rf "$root{SECRETS}"']
        for source, target, read_only in self._mounts():
            lines.append(
                f'mkdir -p "$root{target}"'
                if source.is_dir()
                else f'mkdir -p "$root{Path(target).parent}" && : >"$root{target}"'
            )
            lines.append(f'mount --bind {source} "$root{target}"')
            lines += [f'mount -o remount,bind,ro "$root{target}"'] if read_only else []
        for text in self.service.tmpfs:
            target, _, options = text.partition(":")
            lines.append(f'mkdir -p "$root{target}" && mount -t tmpfs -o mode=1777,{options} tmpfs "$root{target}"')
        lines += ['mount -o remount,ro "$root"'] if self.service.raw["read_only"] else []
        lines.append(f'cd / && exec chroot "$root" {shlex.join(self._as_user(self.command()))}')
        return "\n".join(lines)

    def _mounts(self) -> Iterator[tuple[Path, str, bool]]:
        for mount in self.service.mounts:
            yield (
                self._folder / "volumes" / mount.source if mount.is_volume else self._top / mount.source,
                mount.target,
                mount.read_only,
            )
        for secret in self.service.secrets:
            yield self._top / "secrets" / secret, f"{SECRETS}/{secret}", True

    def run(
        self, command: Sequence[str], *, timeout: float = 30.0, alone: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its user: ``docker compose exec``. ``alone``: among no processes but its own."""
        inside = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--root", "--wd", "--"]
        inside += ["unshare", "--pid", "--fork", "--mount-proc"] if alone else []
        return subprocess.run(
            [*inside, *self._as_user(command)], check=False, capture_output=True, text=True, timeout=timeout
        )

    def is_healthy(self, command: Sequence[str] | None = None) -> bool:
        """Run its health check as written."""
        assert self._process is not None
        assert self._process.poll() is None, f"{self.service.name} ended with {self._process.returncode}:\n{self.text}"
        return self.run(command or self.service.healthcheck).returncode == 0

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for the end of a one-shot; return its status."""
        assert self._process is not None
        return self._process.wait(timeout)

    def stop(self) -> int:
        """SIGTERM, as an engine does; return its status."""
        assert self._process is not None
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        return self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it, and whatever it has left behind."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_SECONDS)


def needed() -> list[str]:
    """Return the folders that our Python needs, where this machine has them in mounts or behind closed doors."""
    return sorted({sys.base_prefix, sys.prefix, str(repo_root())} - {"/usr"})


class Stack:
    """All services of a compose file, their volumes and secrets, in one folder."""

    def __init__(self, compose: Compose, folder: Path) -> None:
        self.compose = compose
        self.folder = folder
        self.network = Network()
        self.containers: dict[str, Container] = {}
        self._hosts = folder / "hosts"
        self._hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *compose.services)))
        (folder / "volumes").mkdir()
        owned = {folder.path: folder for stage in load_dockerfile().values() for folder in stage.folders}
        for service in compose.services.values():
            for mount in service.mounts:
                volume = folder / "volumes" / mount.source
                if not mount.is_volume or volume.exists():
                    continue
                volume.mkdir()
                image = owned.get(mount.target)
                os.chown(volume, image.uid if image else service.uid, image.gid if image else service.gid)
                volume.chmod(image.mode if image else 0o755)

    def order(self) -> list[str]:
        """Return the services in an order that `depends_on` allows; fail where there is none."""
        waits = {name: set(service.depends_on) for name, service in self.compose.services.items()}
        return list(graphlib.TopologicalSorter(waits).static_order())

    def make(self, name: str) -> Container:
        """Return a service, not yet started; what its files name is in ``top``."""
        made = Container(
            self.compose.services[name], self.network, self.folder, top=self.folder / "top", hosts=self._hosts
        )
        self.containers[name] = made
        return made

    def up(self, name: str, timeout: float = 60.0, check: Sequence[str] | None = None) -> Container:
        """Start a service and wait until it is healthy, or done."""
        made = self.make(name).start()
        if made.service.is_one_shot:
            status = made.wait(timeout)
            assert status == 0, f"{name} ended with {status}:\n{made.text}"
        else:
            wait_for(lambda: made.is_healthy(check), timeout, what=f"{name} is healthy; {made.log}", step=0.2)
        return made

    def close(self) -> None:
        for container in reversed(self.containers.values()):
            container.kill()
        self.network.close()


def copy_mounted(compose: Compose, top: Path) -> None:
    """Copy what the compose file mounts out of the checkout, where other users could not reach it."""
    for service in compose.services.values():
        for mount in service.mounts:
            source, target = repo_root() / mount.source, top / mount.source
            if mount.is_volume or target.exists() or not source.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
