"""
Times in a fixed number of counters: two for each doubling, from a microsecond to a minute and more.

The bounds are those of a logarithmic histogram with two steps an octave, as in HdrHistogram with one significant bit: a
quantile is at most 25 % off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

BUCKETS: Final = 52


def bucket(microseconds: int) -> int:
    """Return the counter of a time: 0 for less than 2 µs, then two for each doubling."""
    bits = microseconds.bit_length()
    if bits < 2:  # noqa: PLR2004 - a number of bits
        return 0
    place = 2 * bits - 3 + (microseconds >> (bits - 2) & 1)
    return place if place < BUCKETS else BUCKETS - 1


def bounds(place: int) -> tuple[int, int]:
    """Return the microseconds from which, and below which, times are in a counter."""
    if place == 0:
        return 0, 2
    octave, half = divmod(place - 1, 2)
    least = 2 ** (octave + 1)
    return least + half * least // 2, least + (half + 1) * least // 2


def quantile(counters: Sequence[int], part: float) -> float | None:
    """Return the seconds within which so large a part of all times are, 0.5 for the median; None without any."""
    left = sum(counters) * part
    if not left:
        return None
    for place, count in enumerate(counters):
        if count and left <= count:
            low, high = bounds(place)
            return (low + (high - low) * left / count) / 1e6
        left -= count
    return bounds(BUCKETS - 1)[1] / 1e6
