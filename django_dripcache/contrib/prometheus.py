"""
Metrics for Prometheus, in the registries of its own client.

    from django_dripcache.contrib.prometheus import register

    register()

What this process has counted is read when it is asked for, and costs a call of the cache nothing. With ``fleet=True``
it is what all processes have counted today, as they told Redis.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from ..exceptions import CacheUnavailableError, ConfigurationError

try:
    from prometheus_client import REGISTRY
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.metrics_core import SummaryMetricFamily
    from prometheus_client.registry import Collector
except ImportError as missing:
    _MESSAGE = (
        "django_dripcache.contrib.prometheus needs the package prometheus-client, which is not installed. "
        "Install it: pip install django-dripcache[prometheus]"
    )
    raise ConfigurationError(_MESSAGE) from missing

from .. import counts
from .._drive import run
from ..areas import to_text
from ..backend import configured_aliases, get_alias_server
from ..counts import COUNTS, SIZES, TIMES, Label
from ..deadline import BUDGET
from ..flows import figures
from ..flows.figures import ALL, HOUR
from ..histogram import BUCKETS, bounds
from ..recorder import home

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from ..server import Server

__all__ = ["CacheCollector", "FleetCollector", "register"]

DAY: Final = 24 * HOUR

CALLS: Final = {
    "hit": counts.HIT,
    "near": counts.NEAR,
    "miss": counts.MISS,
    "stale": counts.STALE,
    "error": counts.ERROR,
    "set": counts.SET,
    "delete": counts.DELETE,
}
DECISIONS: Final = {"allowed": counts.ALLOWED, "denied": counts.DENIED}
TASKS: Final = {
    "ran": counts.RAN,
    "cached": counts.CACHED,
    "dropped": counts.DROPPED,
    "delayed": counts.DELAYED,
    "refreshed": counts.REFRESHED,
}
"""The values of the label ``outcome``, and the places of their counters."""

BOUNDS: Final = {
    place: bounds(place)[1] for place in range(BUCKETS) if bounds(place)[1] in {2**n for n in range(6, 23)}
}
"""The microseconds of the buckets, from 64 µs to 4 s, by the last counter in each: those of every doubling."""


def register(registry: CollectorRegistry = REGISTRY, *, fleet: bool = False) -> Collector:
    """
    Add the metrics of this process to a registry, or with ``fleet`` those of all processes, and return the collector.

    Raises ConfigurationError for those of one process in the multiprocess mode of prometheus_client, where whichever
    process is asked answers for all; ValueError of prometheus_client for a registry that has them.
    """
    if not fleet and "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        message = (
            "register() tells of one process, and PROMETHEUS_MULTIPROC_DIR says that one answers for several. "
            "Allowed is register(registry, fleet=True) there; or unset it, and let Prometheus ask each process."
        )
        raise ConfigurationError(message)
    collector: Collector = FleetCollector() if fleet else CacheCollector()
    registry.register(collector)
    return collector


class CacheCollector(Collector):
    """What this process has counted since it began, and how its servers are."""

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values."""
        return [*_count("dripcache", "this process", {}), *_look({})]

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. Nothing is asked of Redis."""
        yield from _count("dripcache", "this process", dict(COUNTS.cells))
        yield from _look(_servers())


class FleetCollector(Collector):
    """
    What all processes have counted since 00:00 UTC, as far as they have told Redis: one round trip.

    The figures of a day are kept for longer than that, so that a counter only grows, and begins anew with the day.
    Where Redis does not answer in time, there are none.
    """

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values."""
        return self._families(None)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        now, token = time.time(), BUDGET.set(None)  # it is no request's call
        try:
            server, space = home()
            hours = run(figures.read(space, HOUR, now // DAY * DAY, now), server)
        except (CacheUnavailableError, ConfigurationError):
            hours = None
        finally:
            BUDGET.reset(token)
        yield from self._families(hours)

    def _families(self, hours: Iterable[figures.Figures] | None) -> Iterator[Metric]:
        yield from _count("dripcache_fleet", "all processes since 00:00 UTC", _sum(hours or ()))
        up = GaugeMetricFamily("dripcache_fleet_up", "Whether Redis told what all processes have counted.")
        up.add_metric([], float(hours is not None))
        yield up


def _sum(hours: Iterable[figures.Figures]) -> dict[Label, list[int]]:
    total: dict[Label, list[int]] = {}
    for _, cells in hours:
        for label, cell in cells.items():
            size = 0 if label.name == ALL else SIZES.get(label.kind, 0)
            into = total.setdefault(label, [0] * size) if size else []
            for place, number in cell.items():
                if place < size:
                    into[place] += number
    return total


def _count(prefix: str, who: str, cells: Mapping[Label, Sequence[int]]) -> Iterator[Metric]:
    """Yield what was counted."""
    of = f"by {who}"
    calls = CounterMetricFamily(
        f"{prefix}_calls", f"Keys that were read, set or deleted {of}, by what came of it.", labels=["group", "outcome"]
    )
    stored = CounterMetricFamily(f"{prefix}_stored_bytes", f"Bytes of the values set {of}.", labels=["group"])
    waits = HistogramMetricFamily(f"{prefix}_call_seconds", f"Exchanges with Redis {of}.", labels=["group"])
    loads = SummaryMetricFamily(f"{prefix}_load_seconds", f"Loaders of the site, run {of}.", labels=["group"])
    decisions = CounterMetricFamily(
        f"{prefix}_limit_decisions", f"Decisions of rate limits {of}.", labels=["limit", "outcome"]
    )
    degraded = CounterMetricFamily(
        f"{prefix}_limit_degraded",
        f"Those decisions of rate limits {of} that were made without Redis.",
        labels=["limit"],
    )
    tasks = CounterMetricFamily(
        f"{prefix}_tasks", f"Tasks of Celery {of}, by what became of them.", labels=["task", "outcome"]
    )
    for label, cell in sorted(cells.items()):
        name = _shown(label.name)
        if label.kind == "k":
            _add(calls, name, cell, CALLS)
            stored.add_metric([name], cell[counts.BYTES])
            waits.add_metric([name], _buckets(cell), cell[counts.MICROSECONDS] / 1e6)
            loads.add_metric([name], cell[counts.LOADS], cell[counts.LOADING] / 1e6)
        elif label.kind == "l":
            _add(decisions, name, cell, DECISIONS)
            degraded.add_metric([name], cell[counts.DEGRADED])
        else:
            _add(tasks, name, cell, TASKS)
    yield from (calls, stored, waits, loads, decisions, degraded, tasks)


def _add(family: CounterMetricFamily, name: str, cell: Sequence[int], outcomes: Mapping[str, int]) -> None:
    for outcome, place in outcomes.items():
        family.add_metric([name, outcome], cell[place])


def _shown(name: str) -> str:
    """Return a name as a text that every exporter takes; two names never become one."""
    return to_text(name.encode("utf-8", "surrogatepass"))


def _buckets(cell: Sequence[int]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    total = 0
    for place, number in enumerate(cell[TIMES:]):
        total += number
        if place in BOUNDS:
            found.append((repr(BOUNDS[place] / 1e6), total))
    return [*found, ("+Inf", total)]


def _servers() -> dict[str, Server]:
    """Return the servers of the aliases, by their addresses without passwords."""
    servers = {}
    for alias in configured_aliases():
        try:
            server = get_alias_server(alias)
        except ConfigurationError:
            continue  # the checks tell of it
        servers[str(server.broker)] = server
    return servers


def _look(servers: Mapping[str, Server]) -> Iterator[Metric]:
    """Yield how servers are, as this process sees them."""
    place = ["server"]
    is_open = GaugeMetricFamily("dripcache_breaker_open", "Whether the breaker is open.", labels=place)
    opened = CounterMetricFamily("dripcache_breaker_openings", "How often the breaker has opened.", labels=place)
    failed = CounterMetricFamily("dripcache_failures", "Exchanges that found no answer.", labels=place)
    pending = GaugeMetricFamily("dripcache_journal_pending", "Writes that are to be made good.", labels=place)
    lent = GaugeMetricFamily(
        "dripcache_connections", "Connections of the threads' pool, by state.", labels=["server", "state"]
    )
    most = GaugeMetricFamily("dripcache_connections_max", "The most connections of that pool.", labels=place)
    live = GaugeMetricFamily("dripcache_near_live", "Whether the near cache is coherent, and read.", labels=place)
    entries = GaugeMetricFamily("dripcache_near_entries", "Entries in the near cache.", labels=place)
    size = GaugeMetricFamily("dripcache_near_bytes", "Bytes of the entries in the near cache.", labels=place)
    evicted = CounterMetricFamily("dripcache_near_evictions", "Entries that the near cache evicted.", labels=place)
    told = CounterMetricFamily("dripcache_near_invalidations", "Changes the near cache was told of.", labels=place)
    for name, server in servers.items():
        is_open.add_metric([name], float(server.breaker.is_open))
        opened.add_metric([name], server.breaker.opened)
        failed.add_metric([name], server.failures)
        pending.add_metric([name], len(server.journal))
        lent.add_metric([name, "in_use"], server.pool.lent)
        lent.add_metric([name, "idle"], server.pool.idle)
        most.add_metric([name], server.pool.max_connections)
        if server.near is not None:
            near = server.near.stats()
            live.add_metric([name], float(near.status == "live"))
            entries.add_metric([name], near.entries)
            size.add_metric([name], near.bytes)
            evicted.add_metric([name], near.evictions)
            told.add_metric([name], near.invalidations)
    yield from (is_open, opened, failed, pending, lent, most, live, entries, size, evicted, told)
