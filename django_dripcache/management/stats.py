"""Tell what the caches of the site have done, over all its processes."""

from __future__ import annotations

from dataclasses import asdict
from time import sleep
from typing import TYPE_CHECKING, Any

from ..exceptions import CacheUnavailableError
from ..recorder import home
from ..traffic import PERIODS, get_traffic
from .console import WELL
from .tables import length, number, percent, size, table

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from ..traffic import KeyFigures, Period, Traffic
    from .console import Console

NAMES: dict[Period, str] = {"1h": "hour", "6h": "6 hours", "24h": "24 hours", "30d": "30 days"}

_HEADS = ("group", "reads", "hit rate", "near", "misses", "stale", "errors", "writes", "size", "median", "99%", "saved")


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    add_period(parser)
    parser.add_argument(
        "--watch", type=float, metavar="SECONDS", help="Tell it again after so many seconds, until it is interrupted."
    )


def add_period(parser: ArgumentParser) -> None:
    """Add the argument that chooses a period."""
    parser.add_argument("--period", choices=list(PERIODS), default="1h", help="Since when; 1h by default.")


def run(console: Console, *, period: Period, watch: float | None = None, **_: Any) -> int:
    """Tell it once, or again and again; the exit code is 0."""
    console.tell(*describe(traffic_of(period)), streams=watch is not None)
    while watch is not None:
        try:
            sleep(max(watch, 0.1))
            found = describe(traffic_of(period))
            console.wipe()
            console.tell(*found, streams=True)
        except KeyboardInterrupt:
            break
        except CacheUnavailableError as error:
            console.tell({"error": str(error)}, [str(error)], streams=True)
    return WELL


def traffic_of(period: Period) -> Traffic:
    """Return the figures of a period. Raises CacheUnavailableError if they cannot be read."""
    traffic = get_traffic(period)
    if not traffic.available:
        raise CacheUnavailableError(home()[0].trouble or "it does not answer")
    return traffic


def describe(traffic: Traffic) -> tuple[dict[str, Any], list[str]]:
    """Return the figures as JSON has them, and as lines."""
    data = {
        "period": traffic.period,
        "total": _figures(traffic.total),
        "groups": {name: _figures(figures) for name, figures in traffic.groups.items()},
        "limits": {name: asdict(figures) for name, figures in traffic.limits.items()},
        "tasks": {name: asdict(figures) for name, figures in traffic.tasks.items()},
    }
    if not traffic.groups and not traffic.limits and not traffic.tasks:
        return data, [f"Nothing was counted in the last {NAMES[traffic.period]}."]
    rows = [*traffic.groups.items(), ("all", traffic.total)]
    lines = [f"The last {NAMES[traffic.period]}, of all processes", ""]
    lines += table(_HEADS, [_row(name, figures) for name, figures in rows])
    if traffic.limits:
        limits = [(name, one.allowed, one.denied, one.degraded) for name, one in traffic.limits.items()]
        lines += ["", *_counts(("limit", "allowed", "denied", "without Redis"), limits)]
    if traffic.tasks:
        tasks = [
            (name, one.ran, one.cached, one.dropped, one.delayed, one.refreshed) for name, one in traffic.tasks.items()
        ]
        lines += ["", *_counts(("task", "ran", "cached", "dropped", "delayed", "refreshed"), tasks)]
    return data, lines


def _counts(heads: tuple[str, ...], rows: list[Any]) -> list[str]:
    return table(heads, [(name, *map(number, counts)) for name, *counts in rows])


def _row(name: str, figures: KeyFigures) -> list[str]:
    return [
        name,
        number(figures.reads),
        percent(figures.hit_rate),
        percent(figures.near_rate),
        number(figures.misses),
        number(figures.stale),
        number(figures.errors),
        number(figures.sets),
        size(figures.mean_size),
        length(figures.median),
        length(figures.p99),
        length(figures.saved_seconds),
    ]


def _figures(figures: KeyFigures) -> dict[str, Any]:
    data = asdict(figures)
    del data["times"]
    derived = ("reads", "hit_rate", "near_rate", "mean_size", "median", "p99", "saved_seconds")
    return data | {name: getattr(figures, name) for name in derived}
