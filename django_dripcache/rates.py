"""
Rates: how much in how long, written as ``"100/m"``; and what is decided about a hit.

A rate is a number, a slash, and a length of time: ``s``, ``m``, ``h`` or ``d``, or a number of these. Several rates are
separated by commas, and all of them hold: ``"10/s, 1000/h"``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, TypeAlias, get_args

Algorithm: TypeAlias = Literal["fixed-window", "sliding-window", "gcra"]
"""How hits are counted; see the page on rate limits."""

ALGORITHMS: Final[tuple[str, ...]] = get_args(Algorithm)

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RATE: Final = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,5})?([smhd])", re.ASCII)
_LONGEST: Final = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Rate:
    """``limit`` hits in a ``window`` of so many seconds."""

    limit: int
    window: int

    def __str__(self) -> str:
        length, unit = next((self.window // size, unit) for unit, size in _LARGEST_FIRST if self.window % size == 0)
        return f"{self.limit}/{'' if length == 1 else length}{unit}"


_LARGEST_FIRST: Final = sorted(_UNITS.items(), key=lambda item: -item[1])


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What was decided about a hit.

    It is true if the hit is ``allowed``. ``limit`` is how much the rate allows, ``count`` how much was used, this hit
    included if it was counted, and ``remaining`` what is left. In ``reset_after`` seconds all of the limit is there
    again; ``retry_after`` is 0.0, or after how many seconds the same hit may be allowed. Of several rates, these are
    those of the one that is tightest, and ``rates`` has one decision for each. ``degraded`` is whether Redis could not
    be asked, and the limiter's ``on_outage`` decided.
    """

    allowed: bool
    limit: int
    count: int
    remaining: int
    reset_after: float
    retry_after: float
    rate: Rate
    degraded: bool = False
    rates: tuple[Decision, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return self.allowed

    def __str__(self) -> str:
        return f"{self.remaining} of {self.limit}"


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Rate, ...]:
    """
    Return the rates of a text such as ``"100/m"`` or ``"10/s, 1000/h"``, the shortest window first.

    Raises ValueError for what is none.
    """
    if not isinstance(text, str):
        message = f"A rate is a text such as '100/m', not {text!r} ({type(text).__name__})."  # type: ignore[unreachable]
        raise TypeError(message)
    rates = []
    for part in text.split(","):
        found = _RATE.fullmatch(part.strip(" "))
        window = int(found[2] or 1) * _UNITS[found[3]] if found else 0
        if found is None or window > _LONGEST:
            message = (
                f"The rate {text!r} cannot be read. Allowed is a number, a slash and a length of time in s, m, h or d, "
                "at most 366d: '10/s', '100/m', '5/15m', or several, as in '10/s, 1000/h'."
            )
            raise ValueError(message)
        rates.append(Rate(int(found[1]), window))
    if len({rate.window for rate in rates}) < len(rates):
        message = f"The rate {text!r} has two limits for one window. Leave the higher one out."
        raise ValueError(message)
    return tuple(sorted(rates, key=lambda rate: rate.window))


def decide(rates: tuple[Rate, ...], replies: list[list[int]], burst: int | None, *, degraded: bool = False) -> Decision:
    """
    Return the decision that a script's replies stand for.

    There is one for each rate: how much was used, and in how many microseconds all of it is there again, and the hit
    may be tried again.
    """
    allowed = not any(retry for _, _, retry in replies)
    found = []
    for rate, (used, reset, retry) in zip(rates, replies, strict=True):
        limit = burst or rate.limit
        left = max(limit - used, 0)
        found.append(Decision(not retry, limit, used, left, reset / 1e6, retry / 1e6, rate, degraded))
    tightest = max(found, key=lambda one: (one.retry_after, -one.remaining / one.limit))
    if len(found) == 1:
        return tightest
    return Decision(
        allowed,
        tightest.limit,
        tightest.count,
        tightest.remaining,
        tightest.reset_after,
        tightest.retry_after,
        tightest.rate,
        degraded,
        tuple(found),
    )
