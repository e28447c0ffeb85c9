"""
What this process has counted since it began: by group of keys, by rule of limits, and by task.

A counter only grows, in one operation of the interpreter, which no other thread of it comes between. What was taken to
be stored is remembered beside it, so that nothing is counted twice, and nothing is lost between two.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from .histogram import BUCKETS, bucket

if TYPE_CHECKING:
    from collections.abc import Callable

HIT, NEAR, MISS, STALE, ERROR, SET, DELETE, BYTES, MICROSECONDS, LOADS, LOADING = range(11)
"""Places in the counters of a group of keys; the histogram of its times comes after them."""

TIMES: Final = 11

ALLOWED, DENIED, DEGRADED = range(3)
"""Places in the counters of a limit."""

RAN, CACHED, DROPPED, DELAYED, REFRESHED = range(5)
"""Places in the counters of a task."""

MOST: Final = {"k": 80, "l": 200, "t": 200}
"""So many labels of each kind are told apart; the rest is counted under ``other``."""

SIZES: Final = {"k": TIMES + BUCKETS, "l": 3, "t": 5}

MOST_STARTS: Final = 4096
MOST_DENIED: Final = 1000

Cell = list[int]


class Label(NamedTuple):
    """What is counted: ``kind`` is ``"k"`` for a group of keys, ``"l"`` for a limit, ``"t"`` for a task."""

    kind: str
    name: str


class Counts:
    """All counters of a process."""

    def __init__(self) -> None:
        self.group: Callable[[bytes], str | None] = lambda _: None
        self.wake: Callable[[], None] = lambda: None
        self.renew()

    def renew(self) -> None:
        """Begin anew, as after a fork: what the parent has counted is the parent's to tell."""
        self.cells: dict[Label, Cell] = {}
        self.denied: dict[tuple[str, str], Cell] = {}
        self._starts: dict[bytes, Cell] = {}
        self._taken: dict[Label, Cell] = {}
        self._lock = threading.RLock()

    def of_key(self, name: bytes) -> Cell:
        """Return the counters of the group of a name in Redis."""
        start = name[: name.rfind(b":")]
        cell = self._starts.get(start)
        return self._find(start) if cell is None else cell

    def of(self, kind: str, name: str) -> Cell:
        """Return the counters of a limit or a task."""
        cell = self.cells.get(Label(kind, name))
        return self._open(kind, name) if cell is None else cell

    def exchanged(self, name: bytes, began: float) -> None:
        """Count the time of an exchange with Redis about a name, since a moment of ``time.perf_counter()``."""
        spent = int((time.perf_counter() - began) * 1e6)
        cell = self.of_key(name)
        cell[MICROSECONDS] += spent
        cell[TIMES + bucket(spent)] += 1

    def loaded(self, name: bytes, began: float) -> None:
        """Count the time of a loader of the site."""
        spent = int((time.perf_counter() - began) * 1e6)
        cell = self.of_key(name)
        cell[LOADING] += spent
        cell[LOADS] += 1

    def stored(self, name: bytes, size: int) -> None:
        """Count a value that is sent to be stored."""
        cell = self.of_key(name)
        cell[SET] += 1
        cell[BYTES] += size

    def deny(self, rule: str, who: str) -> None:
        """Count whom a limit denied; of more than MOST_DENIED between two takes, nobody is told."""
        key = rule, who
        cell = self.denied.get(key)
        if cell is None and len(self.denied) < MOST_DENIED:
            cell = self.denied.setdefault(key, [0])
        if cell is not None:
            cell[0] += 1

    def take(self) -> tuple[dict[Label, Cell], dict[tuple[str, str], int]]:
        """Return what was counted since the last time, by label, and how often whom a limit denied."""
        with self._lock:
            grown = {}
            for label, cell in list(self.cells.items()):
                before, now = self._taken.get(label), list(cell)
                if before != now:
                    self._taken[label] = now
                    grown[label] = now if before is None else [a - b for a, b in zip(now, before, strict=True)]
            denied, self.denied = self.denied, {}
            return {label: cell for label, cell in grown.items() if any(cell)}, {
                key: cell[0] for key, cell in denied.items()
            }

    def give_back(self, grown: dict[Label, Cell], denied: dict[tuple[str, str], int]) -> None:
        """Take it next time: it was not sent."""
        with self._lock:
            for label, cell in grown.items():
                self._taken[label] = [a - b for a, b in zip(self._taken[label], cell, strict=True)]
            for key, count in denied.items():
                if key in self.denied or len(self.denied) < MOST_DENIED:
                    self.denied.setdefault(key, [0])[0] += count

    def regroup(self) -> None:
        """Look for the groups of all names anew."""
        self._starts.clear()

    def _find(self, start: bytes) -> Cell:
        group = self.group(start)
        cell = [0] * SIZES["k"] if group is None else self.of("k", group)
        if len(self._starts) >= MOST_STARTS:
            self._starts.clear()
        self._starts[start] = cell
        return cell

    def _open(self, kind: str, name: str) -> Cell:
        with self._lock:
            if sum(label.kind == kind for label in self.cells) >= MOST[kind]:
                name = "other"
            cell = self.cells.setdefault(Label(kind, name), [0] * SIZES[kind])
        self.wake()
        return cell


COUNTS: Final = Counts()
"""Those of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=COUNTS.renew)
