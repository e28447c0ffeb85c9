"""What was done in a while with a group of keys, by a limit, and with a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .counts import (
    ALLOWED,
    BYTES,
    CACHED,
    DEGRADED,
    DELAYED,
    DELETE,
    DENIED,
    DROPPED,
    ERROR,
    HIT,
    LOADING,
    LOADS,
    MICROSECONDS,
    MISS,
    NEAR,
    RAN,
    REFRESHED,
    SET,
    STALE,
    TIMES,
)
from .histogram import BUCKETS, quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigures:
    """
    What was done with a group of keys.

    ``hits`` were found in Redis, ``near_hits`` in the process; ``stale`` were served while they were computed anew;
    ``errors`` found no answer. ``bytes`` are those of the values that were sent to be stored, of which there were
    ``sets``. ``seconds`` were spent waiting for Redis, ``load_seconds`` in the site's own loaders, of which ``loads``
    returned. ``times`` is a histogram of the waits; see the module histogram.
    """

    hits: int = 0
    near_hits: int = 0
    misses: int = 0
    stale: int = 0
    errors: int = 0
    sets: int = 0
    deletes: int = 0
    bytes: int = 0
    seconds: float = 0.0
    loads: int = 0
    load_seconds: float = 0.0
    times: tuple[int, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, cell: Mapping[int, int], times: Mapping[int, int]) -> Self:
        """Return the figures of some counters, and of others for the ``times``."""
        return cls(
            hits=cell.get(HIT, 0),
            near_hits=cell.get(NEAR, 0),
            misses=cell.get(MISS, 0),
            stale=cell.get(STALE, 0),
            errors=cell.get(ERROR, 0),
            sets=cell.get(SET, 0),
            deletes=cell.get(DELETE, 0),
            bytes=cell.get(BYTES, 0),
            seconds=cell.get(MICROSECONDS, 0) / 1e6,
            loads=cell.get(LOADS, 0),
            load_seconds=cell.get(LOADING, 0) / 1e6,
            times=tuple(times.get(TIMES + place, 0) for place in range(BUCKETS)),
        )

    @property
    def reads(self) -> int:
        """How often a value was asked for, and there was an answer."""
        return self.found + self.misses

    @property
    def found(self) -> int:
        """How often there was a value: in Redis, in the process, or a stale one."""
        return self.hits + self.near_hits + self.stale

    @property
    def hit_rate(self) -> float | None:
        """Which part of the reads found a value; None without any."""
        return self.found / self.reads if self.reads else None

    @property
    def near_rate(self) -> float | None:
        """Which part of the reads found a value in the process; None without any."""
        return self.near_hits / self.reads if self.reads else None

    @property
    def median(self) -> float | None:
        """The median wait for Redis in seconds; None if none is known."""
        return quantile(self.times, 0.5)

    @property
    def p99(self) -> float | None:
        """The wait in seconds that 99 % of the exchanges with Redis kept within; None if none is known."""
        return quantile(self.times, 0.99)

    @property
    def mean_size(self) -> float | None:
        """The mean bytes of a value that was stored; None without any."""
        return self.bytes / self.sets if self.sets else None

    @property
    def saved_seconds(self) -> float | None:
        """An estimate of the time saved: what was found, had it been loaded, less the waits. None without a loader."""
        return max(self.found * self.load_seconds / self.loads - self.seconds, 0.0) if self.loads else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFigures:
    """What a rate limit decided; ``degraded`` are the decisions made without Redis."""

    allowed: int = 0
    denied: int = 0
    degraded: int = 0

    @classmethod
    def of(cls, cell: Mapping[int, int]) -> Self:
        """Return the figures of some counters."""
        return cls(allowed=cell.get(ALLOWED, 0), denied=cell.get(DENIED, 0), degraded=cell.get(DEGRADED, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFigures:
    """
    What became of a task.

    ``ran`` were run, ``cached`` were answered with a kept result, ``dropped`` were there already, ``delayed`` were over
    a limit, and ``refreshed`` computed a stale value anew.
    """

    ran: int = 0
    cached: int = 0
    dropped: int = 0
    delayed: int = 0
    refreshed: int = 0

    @classmethod
    def of(cls, cell: Mapping[int, int]) -> Self:
        """Return the figures of some counters."""
        return cls(
            ran=cell.get(RAN, 0),
            cached=cell.get(CACHED, 0),
            dropped=cell.get(DROPPED, 0),
            delayed=cell.get(DELAYED, 0),
            refreshed=cell.get(REFRESHED, 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """One that a limit denied: the ``rule``, ``who``, a digest or an address, and how many ``times``."""

    rule: str
    who: str
    times: int
