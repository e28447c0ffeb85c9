"""
Charts, as the coordinates of an SVG that the server writes: no script draws them, and no style is in them.

A chart is 100 high and 10 wide a point, and is stretched to where it is shown; its texts stand beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

HEIGHT: Final = 100.0
STEP: Final = 10.0
_GAP: Final = 1.0
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_LABELS: Final = 5


@dataclass(frozen=True, slots=True)
class Series:
    """What is shown over the time: ``kind`` is its colour, ``values`` has None where nothing is known."""

    label: str
    kind: str
    values: Sequence[float | None]
    told: str = ""


class Bar(NamedTuple):
    """A part of a column."""

    kind: str
    x: str
    y: str
    width: str
    height: str


class Spot(NamedTuple):
    """The column that shows a point's values when it is pointed at."""

    x: str
    width: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """
    One chart, of lines, or with ``stacked`` of columns.

    ``unit`` writes a value. ``most`` is what the top stands for, by default a round number above the highest value.
    """

    name: str
    title: str
    times: Sequence[datetime]
    series: Sequence[Series]
    unit: Callable[[float | None], str]
    by_day: bool = False
    stacked: bool = False
    most: float | None = None
    note: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not any(value for one in self.series for value in one.values)

    @property
    def width(self) -> str:
        """How wide its coordinates are."""
        return _plain(STEP * max(len(self.times), 1))

    @property
    def top(self) -> float:
        """What its upper edge stands for."""
        if self.most is not None:
            return self.most
        columns = zip(*(one.values for one in self.series), strict=True)
        heights = [sum(value or 0 for value in column) if self.stacked else _highest(column) for column in columns]
        return _round_up(max(heights, default=0.0))

    @property
    def ticks(self) -> list[str]:
        """What stands beside it: at its top, in the middle, at the bottom."""
        return [self.unit(self.top * part) for part in (1, 0.5, 0)]

    @property
    def labels(self) -> list[str]:
        """What stands below it."""
        last = len(self.times) - 1
        places = sorted({round(last * part / (_LABELS - 1)) for part in range(_LABELS)}) if last > 0 else []
        return [self._short(self.times[place]) for place in places]

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The kind and the path of each series; what stands alone is a dot."""
        if self.stacked:
            return []
        runs = [(one.kind, list(_runs(self._points(one)))) for one in self.series]
        lines = [(kind, "".join(map(_path, found))) for kind, found in runs]
        dots = [(f"{kind} dot", "".join(_path(run) for run in found if len(run) == 1)) for kind, found in runs]
        return [(kind, path) for kind, path in lines + dots if path]

    @property
    def bars(self) -> list[Bar]:
        """The parts of all columns, from the bottom up."""
        if not self.stacked:
            return []
        found = []
        for place in range(len(self.times)):
            base = HEIGHT
            for one in self.series:
                height = (one.values[place] or 0) / self.top * HEIGHT
                if height:
                    base -= height
                    x = _plain(place * STEP + _GAP)
                    found.append(Bar(one.kind, x, _plain(base), _plain(STEP - 2 * _GAP), _plain(height)))
        return found

    @property
    def spots(self) -> list[Spot]:
        """What is told of each point."""
        found = []
        for place, row in enumerate(self.rows):
            told = zip(self.series, row[1:], strict=True)
            values = [_("%(label)s: %(value)s") % {"label": one.label, "value": value} for one, value in told]
            found.append(Spot(_plain(place * STEP), _plain(STEP), "\n".join([row[0], *values])))
        return found

    @property
    def rows(self) -> list[list[str]]:
        """The same as a table: the time, and the value of each series."""
        return [
            [self._long(at), *(self.unit(one.values[place]) for one in self.series)]
            for place, at in enumerate(self.times)
        ]

    def _points(self, series: Series) -> Iterator[tuple[float, float] | None]:
        for place, value in enumerate(series.values):
            y = None if value is None else HEIGHT - min(value / self.top, 1) * HEIGHT
            yield None if y is None else ((place + 0.5) * STEP, y)

    def _short(self, at: datetime) -> str:
        if not self.by_day:
            return _time(at)
        # Translators: for Django's filter "date"; short, since five of them stand below a narrow chart.
        return date_format(timezone.localtime(at), pgettext("format of a day", "j M"))

    def _long(self, at: datetime) -> str:
        if not self.by_day:
            return _time(at)
        # Translators: for Django's filter "date".
        return date_format(timezone.localtime(at), pgettext("format of a day and time", "j M H:i"))


def _time(at: datetime) -> str:
    # Translators: for Django's filter "date"; short, since five of them stand below a narrow chart.
    return date_format(timezone.localtime(at), pgettext("format of a time", "H:i"))


def _highest(column: Sequence[float | None]) -> float:
    return max((value or 0 for value in column), default=0.0)


def _round_up(value: float) -> float:
    """Return the next round number: 1, 2, 2.5 or 5, and powers of ten of these; 1 for nothing."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in _STEPS if power * step >= value * (1 - 1e-9))


def _runs(points: Iterable[tuple[float, float] | None]) -> Iterator[list[tuple[float, float]]]:
    """Yield the points that follow each other, up to where one is missing."""
    run: list[tuple[float, float]] = []
    for point in points:
        if point is not None:
            run.append(point)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _path(run: Sequence[tuple[float, float]]) -> str:
    # A line of no length is seen, since its ends are round.
    first, *others = (f"{_plain(x)} {_plain(y)}" for x, y in run)
    return f"M{first}" + ("".join(f"L{other}" for other in others) or "h0")


def _plain(number: float) -> str:
    """Return a number as SVG has it, whatever the language."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
