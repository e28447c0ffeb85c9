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
from .counts import DENIED, REFRESHED, TIMES, Label
from .exceptions import CacheUnavailableError
from .flows import figures
from .flows.figures import ALL, HOUR, MINUTE
from .measures import Denied as Denied  # noqa: PLC0414 - it is for others, and so are these
from .measures import KeyFigures as KeyFigures  # noqa: PLC0414
from .measures import LimitFigures as LimitFigures  # noqa: PLC0414
from .measures import TaskFigures as TaskFigures  # noqa: PLC0414
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
        label.name: KeyFigures.of(cell, times.get(label, {}) if hours else cell)
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
        limits={label.name: LimitFigures.of(cell) for label, cell in sorted(cells.items()) if label.kind == "l"},
        tasks={label.name: TaskFigures.of(cell) for label, cell in sorted(cells.items()) if label.kind == "t"},
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
    return KeyFigures.of(whole, cells.get(Label("k", ALL), {}))


def _point(start: int, cells: Mapping[Label, Mapping[int, int]]) -> Point:
    return Point(
        at=datetime.fromtimestamp(start, timezone.utc),
        keys=_total(cells),
        denied=sum(cell.get(DENIED, 0) for label, cell in cells.items() if label.kind == "l"),
        refreshed=sum(cell.get(REFRESHED, 0) for label, cell in cells.items() if label.kind == "t"),
    )
