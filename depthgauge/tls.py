"""TLS of a server: contexts made from settings, and made anew when the files of a certificate change."""

import contextlib
import ipaddress
import logging
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from depthgauge.settings import Pem, TlsSettings

log = logging.getLogger(__name__)

VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}

_Signature = tuple[tuple[int, int, int] | None, ...]


class TlsError(Exception):
    """A certificate, key or list of CAs that cannot be used; ``part`` is ``cert``, ``key`` or ``client_ca``."""

    def __init__(self, part: str, message: str) -> None:
        self.part = part
        super().__init__(message)


def make_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return a server's context; raise TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[settings.min_version]
    context.maximum_version = VERSIONS[settings.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not settings.prefer_server_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.ciphers:
        context.set_ciphers(":".join(settings.ciphers))
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, settings)
    if settings.client_ca is not None:
        _load_authorities(context, settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if settings.client_required else ssl.CERT_OPTIONAL
    return context


def _load_pair(context: ssl.SSLContext, settings: TlsSettings) -> None:
    with _file_of(settings.cert) as cert, _file_of(settings.key) as key:
        for part, path in (("cert", cert), ("key", key)):
            _try_to_read(part, path)
        try:
            # An encrypted key would make OpenSSL ask the terminal for its password.
            context.load_cert_chain(cert, key, password=_no_password)
        except ssl.SSLError as exc:
            reason = exc.reason or str(exc)
            part = "key" if reason == "KEY_VALUES_MISMATCH" else "cert"
            told = "the key does not belong to the certificate" if part == "key" else _no_pem(reason)
            raise TlsError(part, told) from exc
        except (OSError, ValueError) as exc:
            raise TlsError("key", f"cannot be loaded: {exc}") from exc


def _no_password() -> str:
    raise ValueError("the key is encrypted; write it without a password, readable for this user only")


def _no_pem(reason: str) -> str:
    return f"certificate or key is no PEM that OpenSSL takes ({reason})"


def _load_authorities(context: ssl.SSLContext, pem: Pem) -> None:
    try:
        text = pem.text.reveal() if pem.text is not None else Path(str(pem.path)).read_text(encoding="ascii")
        context.load_verify_locations(cadata=text)
    except ssl.SSLError as exc:
        raise TlsError("client_ca", f"no certificates in PEM ({exc.reason or exc})") from exc
    except (OSError, ValueError) as exc:
        raise TlsError("client_ca", f"cannot be read: {_reason(exc)}") from exc


def _try_to_read(part: str, path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as exc:
        raise TlsError(part, f"cannot be read: {_reason(exc)}") from exc


def _reason(exc: Exception) -> str:
    return exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)


@contextlib.contextmanager
def _file_of(pem: Pem) -> Iterator[Path]:
    """Give a file that holds it: the ssl module takes nothing else."""
    if pem.text is None:
        yield Path(str(pem.path))
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="depthgauge-") as file:
        file.write(pem.text.reveal())
        file.flush()
        yield Path(file.name)


def may_enter(certificate: object, sans: tuple[str, ...]) -> bool:
    """Judge a client's certificate (as ``getpeercert`` gives it) by its alternative names; without names all may."""
    if not sans:
        return True
    names = certificate.get("subjectAltName", ()) if isinstance(certificate, dict) else ()
    wanted = set(sans) | {address for each in sans if (address := _address(each)) is not None}
    return any(value in wanted or (kind == "IP Address" and _address(value) in wanted) for kind, value in names)


def _address(text: str) -> str | None:
    """Return an IP address in its one canonical form: OpenSSL writes those of IPv6 out in full."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


class TlsContexts:
    """The context for the next handshake; a changed file is loaded, a broken one keeps what was good."""

    def __init__(self, settings: TlsSettings) -> None:
        self.settings = settings
        parts = (settings.cert, settings.key, settings.client_ca)
        self._paths = [pem.path for pem in parts if pem is not None and pem.path is not None]
        self._lock = threading.Lock()
        self._tried = self._signature()
        self._context = make_context(settings)
        self.errors = 0
        """Changed files that could not be loaded."""

    def current(self) -> ssl.SSLContext:
        """Return the context; looks at the files each time."""
        signature = self._signature()
        with self._lock:
            if signature != self._tried:
                self._tried = signature
                self._load()
            return self._context

    def _load(self) -> None:
        files = ", ".join(map(str, self._paths))
        try:
            self._context = make_context(self.settings)
        except TlsError as exc:
            self.errors += 1
            log.error("TLS goes on with the certificate it has: %s of %s: %s", exc.part, files, exc)  # noqa: TRY400  the sentence says it all
        else:
            log.info("certificate loaded again from %s", files)

    def _signature(self) -> _Signature:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        # It is told when it is loaded.
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
