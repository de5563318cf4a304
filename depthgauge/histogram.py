"""Response times as a histogram whose bounds never change, so that any number of them can be added up.

Bucket ``i`` (from 0) counts samples of at most ``BOUNDS[i]`` seconds and more than the bound before it; the last one, which
has no bound, counts all above. A bound is a quarter of a doubling above the one before it: a quantile is right to 19 %.
The database's ``response_histogram`` and ``depthgauge.histogram_quantile()`` use the same bounds and the same rule.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct

BOUNDS: Final = tuple(0.001 * 2 ** (n / 4) for n in range(65))
"""Seconds: 1 ms to 65.5 s."""
BUCKETS: Final = len(BOUNDS) + 1


class Histogram(Struct, frozen=True, kw_only=True):
    """Samples of one response time, in seconds."""

    count: int = 0
    sum: float = 0.0
    max: float | None = None
    """None without samples."""
    buckets: tuple[int, ...] = (0,) * BUCKETS


def histogram_of(samples: Iterable[float]) -> Histogram:
    """Return the histogram of some samples in seconds."""
    buckets = [0] * BUCKETS
    known = list(samples)
    for seconds in known:
        buckets[bisect_left(BOUNDS, seconds)] += 1
    return Histogram(count=len(known), sum=sum(known), max=max(known, default=None), buckets=tuple(buckets))


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Return all samples of several histograms as one."""
    each = list(histograms)
    return Histogram(
        count=sum(one.count for one in each),
        sum=sum(one.sum for one in each),
        max=max((one.max for one in each if one.max is not None), default=None),
        buckets=tuple(map(sum, zip(*(one.buckets for one in each), strict=True))) or (0,) * BUCKETS,
    )


def quantile(buckets: Sequence[int], part: float) -> float | None:
    """Return the seconds below which this part (0 to 1) of the samples lies; None without samples.

    Within a bucket samples are taken to lie evenly, as Prometheus does; above the last bound there is nothing to say but it.
    """
    counts = list(accumulate(buckets))
    if not counts or not counts[-1]:
        return None
    rank = part * counts[-1]
    index = next(n for n, upto in enumerate(counts) if buckets[n] and upto >= rank)
    if index == len(buckets) - 1:
        return BOUNDS[min(index, len(BOUNDS)) - 1]
    low = BOUNDS[index - 1] if index else 0.0
    before = counts[index] - buckets[index]
    return low + (BOUNDS[index] - low) * (rank - before) / buckets[index]
