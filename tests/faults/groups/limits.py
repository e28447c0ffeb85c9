"""Rate limits: while Redis cannot be used, the process decides alone."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django_dripcache import RateLimiter, RateLimitExceededError
from django_dripcache.rates import parse

from ..verbs import Group, Raises, Spot, keep, verb

OVER: Final = Raises((RateLimitExceededError,))

RATE, TIGHT = "10/h", "1/h"

_SPOILED: Final = (("there", RATE), ("full", TIGHT))


def _made(decision: Any) -> tuple[bool, bool, int]:
    """Return whether a hit was allowed, whether this process decided alone, and how many were counted."""
    return decision.allowed, decision.degraded, decision.count


def _count(limiter: Any, key: str) -> int | None:
    """Return how many hits Redis has counted, None for nothing."""
    decision = limiter.peek(key, RATE)
    return None if decision.degraded else decision.count or None


def _hit(limiter: Any, key: str, rate: str, hits: int) -> bool:
    """Hit until so many are counted: a hit that was not answered may have been, too."""
    return limiter.peek(key, rate).count >= hits or (limiter.hit(key, rate) and False)


def _store(limiter: Any) -> None:
    keep(
        lambda: _hit(limiter, "there", RATE, 2),
        lambda: _hit(limiter, "other", RATE, 1),
        lambda: _hit(limiter, "full", TIGHT, 1),
    )
    limiter._memory.denials.forget(limiter._limits("full", parse(TIGHT), None))  # or Redis would not be asked


LIMITS: Final = Group(
    title="rate_limiter",
    make=lambda alias, _: RateLimiter(alias),
    store=_store,
    reads=lambda limiter: {key: partial(_count, limiter, key) for key in ("there", "other")},
    stored={"there": 2, "other": 1},
    spots=lambda limiter: [Spot(limiter._limits(key, parse(rate), None)[0]) for key, rate in _SPOILED],
    spoiled=frozenset({"there"}),
    verbs={
        **{
            name: verb(
                call,
                "grows",
                (True, False, 3),
                (True, True, 1),
                (True, False, 1),
                (True, False, 1),
                (True, True, 1),
                see=_made,
                writes={"there": 3},
                fills={"there": 1},
                noted=False,
            )
            for name, call in {
                "hit": lambda c: c.hit("there", RATE),
                "enforce": lambda c: c.enforce("there", RATE),
            }.items()
        },
        "hit, one too many": verb(
            lambda c: c.hit("full", TIGHT),
            "reads",
            (False, False, 1),
            (True, True, 1),
            (True, False, 1),
            (True, False, 1),
            (True, True, 1),
            see=_made,
        ),
        "enforce, one too many": verb(
            lambda c: c.enforce("full", TIGHT),
            "reads",
            OVER,
            (True, True, 1),
            (True, False, 1),
            (True, False, 1),
            (True, True, 1),
            see=_made,
        ),
        "peek": verb(
            lambda c: c.peek("there", RATE),
            "reads",
            (True, False, 2),
            (True, True, 0),
            (True, False, 0),
            (True, False, 0),
            (True, True, 0),
            see=_made,
        ),
        "reset": verb(
            lambda c: c.reset("there", RATE), "removes", True, False, False, True, True, writes={"there": None}
        ),
    },
)
