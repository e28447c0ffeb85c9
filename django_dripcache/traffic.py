"""
What the caches of a site have done: over all its processes, for the last hour, six hours, day, or thirty days.

Processes tell of what they counted every few seconds, ``DRIPCACHE["STATS_INTERVAL"]``, so the last minute is not yet
whole. Counters are exact. Times are put into classes, and quantiles are at most 25 % off.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from ._drive import arun, run
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
    Label,
)
from .exceptions import CacheUnavailableError
from .flows import figures
from .flows.figures import ALL, HOUR, MINUTE
from .histogram import BUCKETS, quantile
from .recorder import home

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .keys import Keyspace
    from .typing import Flow

Period: TypeAlias = Literal["1h", "6h", "24h", "30d"]


class _Shape(NamedTuple):
    length: int
    seconds: int
    step: int


PERIODS: Final[dict[Period, _Shape]] = {
    "1h": _Shape(MINUTE, HOUR, MINUTE),
    "6h": _Shape(MINUTE, 6 * HOUR, 5 * MINUTE),
    "24h": _Shape(MINUTE, 24 * HOUR, 20 * MINUTE),
    "30d": _Shape(HOUR, 30 * 24 * HOUR, 6 * HOUR),
}
"""Of each period: which buckets are read, how long it is, and how long one point of it, in seconds."""

MOST_DENIED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigures:
    """
    What was done with a group of keys.

    ``hits`` were found in Redis, ``near_hits`` in the process; ``stale`` were served while they were computed anew;
    ``errors`` found no answer. ``bytes`` are those of the values that were sent to be stored, of which there were
    ``sets``. ``seconds`` were spent waiting for Redis, ``load_seconds`` in the site's own loaders, of which ``loads``
    returned. ``times`` is a histogram of the waits, see histogram.py.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """One that a limit denied: the ``rule``, ``who``, a digest or an address, and how many ``times``."""

    rule: str
    who: str
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What was done in one step of a period, from ``at`` on."""

    at: datetime
    keys: KeyFigures
    denied: int = 0
    refreshed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """
    What was done in a period, in all and in each ``step`` of it.

    ``groups``, ``limits`` and ``tasks`` are by their names, ``denied`` those that limits denied most in the last day.
    The ``times`` of a group are those of the hours that the period is a part of. Where ``available`` is False Redis did
    not answer, and all is empty.
    """

    available: bool
    period: Period
    step: timedelta
    total: KeyFigures = field(default_factory=KeyFigures)
    points: tuple[Point, ...] = ()
    groups: Mapping[str, KeyFigures] = field(default_factory=dict)
    limits: Mapping[str, LimitFigures] = field(default_factory=dict)
    tasks: Mapping[str, TaskFigures] = field(default_factory=dict)
    denied: tuple[Denied, ...] = ()


def get_traffic(period: Period = "1h") -> Traffic:
    """
    Return what the caches did in the last ``"1h"``, ``"6h"``, ``"24h"`` or ``"30d"``.

    Raises ValueError for another period, and ConfigurationError where no alias is served by DripCache.
    """
    server, space = home()
    try:
        return run(_read(_shape(period), period, time.time(), space), server)
    except CacheUnavailableError:
        return _nothing(period)


async def aget_traffic(period: Period = "1h") -> Traffic:
    """See get_traffic()."""
    server, space = home()
    try:
        return await arun(_read(_shape(period), period, time.time(), space), server)
    except CacheUnavailableError:
        return _nothing(period)


def _shape(period: Period) -> _Shape:
    if period not in PERIODS:
        message = f"period={period!r}. Allowed are {', '.join(map(repr, PERIODS))}."
        raise ValueError(message)
    return PERIODS[period]


def _nothing(period: Period) -> Traffic:
    return Traffic(available=False, period=period, step=timedelta(seconds=PERIODS[period].step))


def _read(shape: _Shape, period: Period, now: float, space: Keyspace) -> Flow[Traffic]:
    first = int(now - shape.seconds) // shape.step * shape.step + shape.step
    buckets = yield from figures.read(space, shape.length, first, now)
    hours = [] if shape.length == HOUR else (yield from figures.read(space, HOUR, first, now))
    denied = yield from figures.most_denied(space, 24, now, MOST_DENIED)
    cells = _sum(bucket.cells for bucket in buckets)
    # Times are kept by the minute for all keys together, and by the hour for each group.
    times = _sum(bucket.cells for bucket in hours)
    points: dict[int, list[figures.Figures]] = {start: [] for start in range(first, int(now) + 1, shape.step)}
    for bucket in buckets:
        points[first + (bucket.since - first) // shape.step * shape.step].append(bucket)
    groups = {
        label.name: _keys(cell, times.get(label, {}) if hours else cell)
        for label, cell in cells.items()
        if label.kind == "k" and label.name != ALL
    }
    return Traffic(
        available=True,
        period=period,
        step=timedelta(seconds=shape.step),
        total=_total(cells),
        points=tuple(_point(start, _sum(one.cells for one in within)) for start, within in points.items()),
        groups=dict(sorted(groups.items(), key=lambda pair: -pair[1].reads)),
        limits={label.name: _limit(cell) for label, cell in sorted(cells.items()) if label.kind == "l"},
        tasks={label.name: _task(cell) for label, cell in sorted(cells.items()) if label.kind == "t"},
        denied=tuple(Denied(rule=rule, who=who, times=times) for rule, who, times in denied),
    )


def _sum(several: Iterable[Mapping[Label, Mapping[int, int]]]) -> dict[Label, dict[int, int]]:
    total: dict[Label, dict[int, int]] = {}
    for cells in several:
        for label, cell in cells.items():
            into = total.setdefault(label, {})
            for place, number in cell.items():
                into[place] = into.get(place, 0) + number
    return total


def _total(cells: Mapping[Label, Mapping[int, int]]) -> KeyFigures:
    whole: dict[int, int] = {}
    for label, cell in cells.items():
        for place, number in cell.items():
            if label.kind == "k" and place < TIMES:
                whole[place] = whole.get(place, 0) + number
    return _keys(whole, cells.get(Label("k", ALL), {}))


def _keys(cell: Mapping[int, int], times: Mapping[int, int]) -> KeyFigures:
    return KeyFigures(
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


def _limit(cell: Mapping[int, int]) -> LimitFigures:
    return LimitFigures(allowed=cell.get(ALLOWED, 0), denied=cell.get(DENIED, 0), degraded=cell.get(DEGRADED, 0))


def _task(cell: Mapping[int, int]) -> TaskFigures:
    return TaskFigures(
        ran=cell.get(RAN, 0),
        cached=cell.get(CACHED, 0),
        dropped=cell.get(DROPPED, 0),
        delayed=cell.get(DELAYED, 0),
        refreshed=cell.get(REFRESHED, 0),
    )


def _point(start: int, cells: Mapping[Label, Mapping[int, int]]) -> Point:
    return Point(
        at=datetime.fromtimestamp(start, timezone.utc),
        keys=_total(cells),
        denied=sum(cell.get(DENIED, 0) for label, cell in cells.items() if label.kind == "l"),
        refreshed=sum(cell.get(REFRESHED, 0) for label, cell in cells.items() if label.kind == "t"),
    )
