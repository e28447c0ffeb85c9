"""How long a value is fresh, and what happens when it is not: the options of get_or_set() and memoize()."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, get_args

from .policy import MAX_TTL, to_milliseconds, to_seconds

if TYPE_CHECKING:
    from .typing import Seconds

_random: Final = SystemRandom().random

_LONGEST_DRAW: Final = 53 * math.log(2)
"""No draw of an exponential distribution is longer that is made of 53 random bits."""

_MOST: Final = int(MAX_TTL * 1000)


Refresh: TypeAlias = Literal["inline", "thread", "celery"]

_IN_QUEUE: Final = 60_000
"""For so long nobody else is asked for a value that a task is to compute, in milliseconds. A task may get lost."""


class Options(TypedDict, total=False):
    """
    What get_or_set() and memoize() take beside the ttl.

    - ``grace``: how long a value is kept when its ttl is over. It is then stale: given to those who would have to wait
      while one caller computes it anew, and to all if that fails. Seconds or timedelta, 0 by default.
    - ``jitter``: which part of the ttl may be taken away at random, so that what was stored together does not expire
      together. 0 to 1, 0 by default.
    - ``beta``: how early a value may be computed anew, at random, by how long its loader took. 1.0 by default, 0 never.
    - ``lease``: how long a loader may take until another caller may try. 10 seconds by default.
    - ``wait``: how long others wait for it, until they call their own. 5 seconds by default.
    - ``refresh``: who computes a stale value anew: ``"inline"``, the first who finds it, or ``"thread"``, a thread (on
      an event loop: a task) beside it, while it is given the stale value, too; or ``"celery"``, a task of Celery. That
      is for memoize(), since the task is told the function's name and arguments.
    - ``soft_timeout``: how long the one that computes waits, where there is a stale value. The loader goes on beside
      it, in a thread or a task, and its value is stored. None by default.
    - ``hard_timeout``: how long it waits in any case. LoaderTimeoutError is raised then. None by default.
    - ``backoff``: how long no loader is called after one failed and a stale value was given. 10 seconds by default.
    """

    grace: Seconds
    jitter: float
    beta: float
    lease: Seconds
    wait: Seconds
    backoff: Seconds
    refresh: Refresh
    soft_timeout: Seconds | None
    hard_timeout: Seconds | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Times are in milliseconds, but for ``wait`` in seconds; ``ttl`` is None for a value without an end."""

    ttl: int | None
    grace: int = 0
    jitter: float = 0.0
    beta: float = 1.0
    lease: int = 10_000
    wait: float = 5.0
    backoff: int = 10_000
    refresh: Refresh = "inline"
    soft_timeout: float | None = None
    hard_timeout: float | None = None

    @classmethod
    @lru_cache(maxsize=256, typed=True)
    def of(
        cls,
        ttl: int | None,
        *,
        grace: Seconds = 0,
        jitter: float = 0.0,
        beta: float = 1.0,
        lease: Seconds = 10,
        wait: Seconds = 5,
        backoff: Seconds = 10,
        refresh: Refresh = "inline",
        soft_timeout: Seconds | None = None,
        hard_timeout: Seconds | None = None,
    ) -> Freshness:
        """Return what a caller gave. Raises ValueError for what is out of range, TypeError for what is no number."""
        _check("jitter", jitter, 0 <= jitter <= 1, "0 to 1, a part of the ttl")
        _check("beta", beta, 0 <= beta < math.inf, "0 (never early) or more")
        _check("lease", lease, to_seconds(lease) > 0, "more than 0 seconds")
        _check("wait", wait, to_seconds(wait) >= 0, "0 seconds or more")
        _check("refresh", refresh, refresh in get_args(Refresh), " or ".join(map(repr, get_args(Refresh))))
        for name, timeout in (("soft_timeout", soft_timeout), ("hard_timeout", hard_timeout)):
            _check(name, timeout, timeout is None or to_seconds(timeout) > 0, "more than 0 seconds, or None")
        return cls(
            ttl=ttl,
            grace=to_milliseconds(grace),
            jitter=jitter,
            beta=beta,
            lease=to_milliseconds(lease),
            wait=to_seconds(wait),
            backoff=to_milliseconds(backoff),
            refresh=refresh,
            soft_timeout=None if soft_timeout is None else to_seconds(soft_timeout),
            hard_timeout=None if hard_timeout is None else to_seconds(hard_timeout),
        )

    def patience(self, *, stale: bool) -> float | None:
        """Return for how many seconds a loader is waited for; None: as long as it takes, in the caller's thread."""
        if not stale:
            return self.hard_timeout
        limits = [limit for limit in (self.soft_timeout, self.hard_timeout) if limit is not None]
        return 0.0 if self.refresh == "thread" else min(limits, default=None)

    @property
    def queued(self) -> int | str:
        """How long a lease is for a value that a task is to compute, ``""`` where none does."""
        return max(self.lease, _IN_QUEUE) if self.refresh == "celery" else ""

    @property
    def life(self) -> int:
        """How long the key of a value lives, fresh and stale, with some of the jitter taken away; -1 is without end."""
        if self.ttl is None:
            return -1
        fresh = self.ttl - int(self.ttl * self.jitter * _random()) if self.jitter else self.ttl
        return min(max(fresh, 1) + self.grace, _MOST)

    @property
    def tag_life(self) -> int:
        """How long a tag has to live at least, so that it outlives a value that is about to be computed."""
        return min((self.ttl or 0) + self.grace + self.lease, _MOST)

    @property
    def hurry(self) -> float:
        """
        How many times its cost a value has to have left, at least, not to be computed early: a new draw each time.

        After "Optimal Probabilistic Cache Stampede Prevention", Vattani, Chierichetti and Lowenstein, VLDB 2015.
        """
        return -self.beta * math.log(1.0 - _random()) if self.beta else 0.0

    @property
    def most_hurry(self) -> float:
        """What no draw of ``hurry`` is above."""
        return self.beta * _LONGEST_DRAW

    def lasting(self, ttl: int | None) -> Freshness:
        """Return the same with another ttl."""
        return replace(self, ttl=ttl)


def _check(name: str, given: Any, holds: bool, allowed: str) -> None:  # noqa: FBT001 - what it checks
    if not holds:
        message = f"{name}={given!r} is out of range. Allowed is {allowed}."
        raise ValueError(message)
