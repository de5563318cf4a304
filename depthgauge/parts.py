"""What all parts of a snapshot have in common."""

from datetime import datetime

from msgspec import Struct


class Part(Struct, frozen=True, kw_only=True):
    """Anything that was observed at a moment."""

    observed_at: datetime
