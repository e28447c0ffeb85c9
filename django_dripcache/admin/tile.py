"""The figures that stand above the charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .units import amount, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..measures import KeyFigures
    from ..traffic import Traffic

Tone: TypeAlias = Literal["", "good", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure: what it is called, what it is, and what to know of it."""

    label: str
    value: str
    note: str = ""
    tone: Tone = ""


def make_tiles(traffic: Traffic) -> Iterator[Tile]:
    """Yield the figures of a period."""
    total = traffic.total
    yield Tile(_("Hit rate"), percent(total.hit_rate), _found(total))
    near = ngettext("%(n)s answered in the process", "%(n)s answered in the process", total.near_hits)
    near %= {"n": amount(total.near_hits)}
    yield Tile(_("Near rate"), percent(total.near_rate), near if total.reads else "")
    yield _calls(traffic)
    slow = _("99%% within %(time)s") % {"time": duration(total.p99)}
    yield Tile(_("Median latency"), duration(total.median), slow if total.p99 is not None else "")
    saved = [figures.saved_seconds for figures in traffic.groups.values() if figures.saved_seconds is not None]
    yield Tile(_("Time saved"), duration(sum(saved) if saved else None), _("of loaders that did not run"))
    calls = _calls_of(total)
    part = _("%(part)s of the calls") % {"part": percent(total.errors / calls if calls else 0.0)}
    yield Tile(_("Errors"), amount(total.errors), part, "bad" if total.errors else "")
    denied = sum(limit.denied for limit in traffic.limits.values())
    asked = denied + sum(limit.allowed for limit in traffic.limits.values())
    requests = ngettext("of %(n)s request", "of %(n)s requests", asked)
    yield Tile(_("Denied by limits"), amount(denied), requests % {"n": amount(asked)})
    refreshed = sum(task.refreshed for task in traffic.tasks.values())
    yield Tile(_("Refreshed by tasks"), amount(refreshed), _("stale values, computed anew"))


def _found(total: KeyFigures) -> str:
    if not total.reads:
        return _("nothing was read")
    told = ngettext("%(found)s of %(reads)s read", "%(found)s of %(reads)s reads", total.reads)
    return told % {"found": amount(total.found), "reads": amount(total.reads)}


def _calls(traffic: Traffic) -> Tile:
    """Return how busy the cache was since the first call of the period, and in its busiest step."""
    seconds = traffic.step.total_seconds()
    calls = [_calls_of(point.keys) for point in traffic.points]
    first = next((place for place, number in enumerate(calls) if number), len(calls))
    steps = len(calls) - first
    if not steps:
        return Tile(_("Calls per second"), amount(0))
    most = _("at most %(n)s") % {"n": amount(_rounded(max(calls) / seconds))}
    return Tile(_("Calls per second"), amount(_rounded(sum(calls) / (steps * seconds))), most)


def _calls_of(figures: KeyFigures) -> int:
    return figures.reads + figures.errors + figures.sets + figures.deletes


def _rounded(number: float) -> float:
    return round(number, 2)
