"""The first page: how the cache is, what it did, and what is wrong with its servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.core.cache import caches
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .._drive import run
from ..checks import check_server
from ..conf import get_settings
from ..flows.evictions import evicted
from ..traffic import get_traffic
from .chart import Chart, Series
from .doctor import make_finding
from .period import NAMES, SPOKEN, find_period
from .place import find_places
from .screen import TEMPLATES, Screen
from .tile import make_tiles
from .units import amount, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.http import HttpRequest

    from ..traffic import Traffic
    from .place import Place

APP: Final = "the Celery app "
ORIGINS: Final[dict[str, Any]] = {
    "CACHES['LOCATION']": gettext_lazy("from CACHES['LOCATION']"),
    "the setting CELERY_BROKER_URL": gettext_lazy("from the setting CELERY_BROKER_URL"),
    "the environment's REDIS_URL": gettext_lazy("from REDIS_URL in the environment"),
}
"""Where a Broker's address comes from, as its ``origin`` has it for exceptions, in the language of a page."""

FULL_AT: Final = 0.9
"""From this part of its memory limit on, a server is shown as full."""


class OverviewScreen(Screen):
    """Figures, charts, servers and findings; with ``?live`` in the address, the part that refreshes by itself."""

    name = "overview"
    title = gettext_lazy("Overview")
    kept: ClassVar[tuple[str, ...]] = ("period",)

    @property
    def route(self) -> str:
        """It is the first page."""
        return ""

    @classmethod
    def url_name(cls, act: str = "") -> str:  # noqa: ARG003 - there is none
        """Return the name that the admin's index links to."""
        return "django_dripcache_overview_changelist"

    def get_template(self, request: HttpRequest) -> str:
        """Return that of the whole page, or of a part."""
        return f"{TEMPLATES}/overview_live.html" if "live" in request.GET else self.template

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:  # noqa: ARG002 - it shows all of them
        """Return all that is shown."""
        period = find_period(request)
        traffic = get_traffic(period)
        places = find_places()
        working = all(one.answers for one in places)
        return {
            "period": period,
            "periods": NAMES,
            "spoken": SPOKEN[period],
            "traffic": traffic,
            "counts": get_settings().STATS_INTERVAL is not None,
            "tiles": list(make_tiles(traffic)),
            "charts": list(make_charts(traffic)),
            "reports": [_report(one) for one in places],
            "findings": list(map(make_finding, check_server())) if working and "live" not in request.GET else [],
        }


def make_charts(traffic: Traffic) -> Iterator[Chart]:
    """Yield the charts of a period."""
    points, total = traffic.points, traffic.total
    keys = [point.keys for point in points]
    shared: Mapping[str, Any] = {"times": [point.at for point in points], "by_day": traffic.period == "30d"}
    rate = [Series(_("Hit rate"), "hit", [each.hit_rate for each in keys], percent(total.hit_rate))]
    yield Chart(name="rate", title=_("Hit rate"), series=rate, unit=percent, most=1.0, **shared)
    outcomes = [
        Series(_("Hits"), "hit", [each.hits for each in keys], amount(total.hits)),
        Series(_("Near hits"), "near", [each.near_hits for each in keys], amount(total.near_hits)),
        Series(_("Stale"), "stale", [each.stale for each in keys], amount(total.stale)),
        Series(_("Misses"), "miss", [each.misses for each in keys], amount(total.misses)),
        Series(_("Errors"), "error", [each.errors for each in keys], amount(total.errors)),
    ]
    yield Chart(name="reads", title=_("Reads by outcome"), series=outcomes, unit=amount, stacked=True, **shared)
    waits = [
        Series(_("Median"), "hit", [each.median for each in keys], duration(total.median)),
        Series(_("99th percentile"), "stale", [each.p99 for each in keys], duration(total.p99)),
    ]
    yield Chart(name="latency", title=_("Latency of Redis"), series=waits, unit=duration, **shared)
    denied = sum(point.denied for point in points)
    refreshed = sum(point.refreshed for point in points)
    work = [
        Series(_("Denied by limits"), "error", [point.denied for point in points], amount(denied)),
        Series(_("Refreshed by tasks"), "near", [point.refreshed for point in points], amount(refreshed)),
    ]
    yield Chart(name="work", title=_("Denials and refreshes"), series=work, unit=amount, stacked=True, **shared)


def _report(place: Place) -> dict[str, Any]:
    origin = _tell_origin(place.server.broker.origin) if place.server is not None else ""
    if place.server is None or not place.answers:
        return {"place": place, "origin": origin, "stats": None}
    cache: Any = caches[place.alias]
    stats = cache.get_stats()
    used = stats.memory_used / stats.memory_max if stats.memory_max else None
    return {
        "place": place,
        "origin": origin,
        "stats": stats if stats.available else None,
        "memory_part": used,
        "full": used is not None and used >= FULL_AT,
        "evicted": run(evicted(), place.server) if stats.available else None,
        "pending": len(place.server.journal),
    }


def _tell_origin(origin: str) -> str:
    if origin.startswith(APP):
        return _("from the Celery app %(name)s") % {"name": origin.removeprefix(APP)}
    return str(ORIGINS.get(origin, origin))
