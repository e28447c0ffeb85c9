"""How long an entry lives: times to live in the units that Redis takes."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .typing import Seconds

MAX_TTL: Final = 10 * 365 * 86_400.0
"""The longest ttl in seconds, ten years: far below the largest expiry time that Redis can hold."""


def to_seconds(length: Seconds) -> float:
    """Return a length of time in seconds."""
    return length.total_seconds() if isinstance(length, timedelta) else length


def to_milliseconds(ttl: Seconds) -> int:
    """
    Return a ttl in whole milliseconds, rounded up so that a tiny ttl is not none.

    Zero and negative values mean "already over" and give 0. What is longer than ``MAX_TTL`` is cut to it. Raises
    TypeError for what is neither a number nor a timedelta, and ValueError for NaN.
    """
    ttl = to_seconds(ttl)
    if not isinstance(ttl, (int, float)) or isinstance(ttl, bool):
        message = f"A ttl is a number of seconds or a timedelta, not {ttl!r} ({type(ttl).__name__})."
        raise TypeError(message)
    if isinstance(ttl, float) and math.isnan(ttl):
        message = "A ttl is a number of seconds, not NaN."
        raise ValueError(message)
    if ttl <= 0:
        return 0
    if ttl >= MAX_TTL:
        return int(MAX_TTL * 1000)
    return math.ceil(ttl * 1000)
