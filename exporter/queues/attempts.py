"""Completed jobs, of two stored counters: attempts that ended, and those of them that failed (Sidekiq, Resque)."""

from typing import Final

from depthgauge.resp import Reply

_DIGITS: Final = 15


def counter(reply: Reply) -> int | None:
    """Return a counter that is stored as text, 0 where the key does not exist; None for anything else."""
    if reply is None:
        return 0
    return int(reply) if isinstance(reply, bytes) and reply.isdigit() and len(reply) <= _DIGITS else None


class Attempts:
    """Remembers the last difference by key, because it must not fall: a fall looks like a counter that began anew.

    The two counters are not written in one step (Resque: a failure first counts as failed, later as processed; Sidekiq: a
    failure during a beat may be spread over two), so that the difference falls for a moment.
    """

    def __init__(self) -> None:
        self._last: dict[bytes, tuple[int, int]] = {}

    def completed(self, key: bytes, processed: int | None, failed: int | None) -> int | None:
        """Return processed minus failed, or the last result while that would be less; None while either is unknown.

        A ``processed`` that has fallen was reset, and counting begins anew with it.
        """
        if processed is None or failed is None:
            return None
        done = max(0, processed - failed)
        last_processed, last_done = self._last.get(key, (processed, done))
        if processed >= last_processed:
            done = max(done, last_done)
        self._last[key] = (processed, done)
        return done
