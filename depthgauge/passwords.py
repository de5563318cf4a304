"""User names and passwords against bcrypt hashes, so that neither time nor load tells a stranger anything."""

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import bcrypt

from depthgauge.secrets import Secret

MAX_PASSWORD: Final = 72
"""Bytes that bcrypt looks at; a longer password would be cut silently, so it is wrong."""
CACHED: Final = 100
"""Answers remembered, of the right and of the wrong ones each."""
WAIT: Final = 5.0
"""Seconds to wait for the one computation that runs at a time: a hash takes up to some tenths of a second."""
WAITING: Final = 8
"""Who may wait for it at a time: each holds one of the server's connections."""


class TooBusy(Exception):  # noqa: N818  it says what is the matter
    """Others' passwords are being checked, and the wait has been long enough."""


class Passwords:
    """Checks passwords; safe for several threads. ``salt`` keeps what is remembered useless to others."""

    def __init__(
        self,
        users: Sequence[tuple[str, Secret]],
        *,
        salt: bytes,
        wait: float = WAIT,
        check: Callable[[bytes, bytes], bool] = bcrypt.checkpw,
    ) -> None:
        self._hashes = {name: hashed.reveal().encode() for name, hashed in users}
        # An unknown user takes the same time as a known one.
        self._decoy = max(self._hashes.values(), key=lambda hashed: hashed[4:6], default=b"")
        self._salt = salt
        self._wait = wait
        self._check = check
        self._one = threading.Lock()
        self._places = threading.BoundedSemaphore(WAITING)
        self._lock = threading.Lock()
        self._known: dict[bool, OrderedDict[bytes, None]] = {True: OrderedDict(), False: OrderedDict()}

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def good(self, user: str, password: str) -> bool:
        """Say whether the user has this password; raise TooBusy."""
        raw = password.encode("utf-8", "surrogateescape")
        if not self._hashes or len(raw) > MAX_PASSWORD:
            return False
        hashed = self._hashes.get(user)
        key = self._key(user, hashed or self._decoy, raw)
        known = self._remembered(key)
        if known is None:
            if not self._places.acquire(blocking=False):
                raise TooBusy
            try:
                known = self._compute(key, raw, hashed)
            finally:
                self._places.release()
        return known

    def _compute(self, key: bytes, password: bytes, hashed: bytes | None) -> bool:
        if not self._one.acquire(timeout=self._wait):
            raise TooBusy
        try:
            # Another thread may have just found it out.
            known = self._remembered(key)
            if known is None:
                known = self._matches(password, hashed or self._decoy) and hashed is not None
                self._remember(key, good=known)
            return known
        finally:
            self._one.release()

    def _matches(self, password: bytes, hashed: bytes) -> bool:
        try:
            return self._check(password, hashed)
        except ValueError:
            # A password that bcrypt does not take is nobody's.
            return False

    def _key(self, user: str, hashed: bytes, password: bytes) -> bytes:
        parts = (user.encode("utf-8", "surrogateescape"), hashed, password)
        told = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.new(self._salt, told, hashlib.sha256).digest()

    def _remembered(self, key: bytes) -> bool | None:
        with self._lock:
            for good, table in self._known.items():
                if key in table:
                    table.move_to_end(key)
                    return good
        return None

    def _remember(self, key: bytes, *, good: bool) -> None:
        with self._lock:
            table = self._known[good]
            table[key] = None
            if len(table) > CACHED:
                table.popitem(last=False)
