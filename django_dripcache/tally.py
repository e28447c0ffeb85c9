"""Rate limits of one process: what was denied a moment ago, and a stand-in for when Redis cannot be used."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from .rates import decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rates import Decision, Rate

MOST: Final = 10_000
"""So many keys are remembered, and as many tallied; the one that was used longest ago is forgotten first."""

_SLOTS: Final = 64

Names = tuple[bytes, ...]


class _Denial(NamedTuple):
    until: float
    heard: float
    cost: int
    decision: Decision


class Denials:
    """
    What was denied, until it may be allowed.

    A denied hit stays denied for so long, whoever else asks, unless the limit is reset; and so does a dearer one.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Names, _Denial] = OrderedDict()
        self._lock = threading.Lock()

    def recall(self, names: Names, cost: int) -> Decision | None:
        """Return the decision that still stands, with the time that is left, or None."""
        found = self._known.get(names)
        if found is None or cost < found.cost:
            return None
        now = time.monotonic()
        return _later(found.decision, now - found.heard) if now < found.until else None

    def remember(self, names: Names, cost: int, decision: Decision, since: float) -> None:
        """Remember a denial by the server, which was asked at ``since`` of ``time.monotonic()``."""
        with self._lock:
            # The server decided at some time between: nobody is denied for longer, nor told to come back too early.
            self._known[names] = _Denial(since + decision.retry_after, time.monotonic(), cost, decision)
            self._known.move_to_end(names)
            while len(self._known) > MOST:
                self._known.popitem(last=False)

    def forget(self, names: Names) -> None:
        """Forget a denial."""
        with self._lock:
            self._known.pop(names, None)


class Tallies:
    """
    A sliding window for each rate of each key, in the memory of this process.

    As lua/limit_sliding_window.lua, with two differences: each limit is divided among ``workers`` processes, and a hit
    that costs more than such a part is allowed where there was none in the window.
    """

    def __init__(self) -> None:
        self._logs: OrderedDict[bytes, list[tuple[float, int]]] = OrderedDict()
        self._lock = threading.Lock()

    def hit(self, names: Names, rates: Sequence[Rate], cost: int, workers: int, *, counts: bool) -> Decision:
        """Count a hit if it fits all rates, or only look; return what was decided."""
        parts = tuple(replace(rate, limit=max(rate.limit // workers, 1)) for rate in rates)
        with self._lock:
            now = time.monotonic()
            replies = [self._judge(name, rate, cost, now) for name, rate in zip(names, parts, strict=True)]
            if counts and not any(retry for _, _, retry in replies):
                replies = [self._count(name, rate, cost, now) for name, rate in zip(names, parts, strict=True)]
            while len(self._logs) > MOST:
                self._logs.popitem(last=False)
        return decide(parts, replies, None, degraded=True)

    def _judge(self, name: bytes, rate: Rate, cost: int, now: float) -> list[int]:
        log = [(at, hits) for at, hits in self._logs.get(name, ()) if at > now - rate.window]
        if not log:
            self._logs.pop(name, None)
            return [0, 0, 0]
        self._logs[name] = log
        used = left = sum(hits for _, hits in log)
        retry = 0.0
        for at, hits in log:
            if left + cost <= rate.limit or left == 0:
                break
            left -= hits
            retry = at + rate.window - now
        return [used, _microseconds(log[-1][0] + rate.window - now), _microseconds(retry)]

    def _count(self, name: bytes, rate: Rate, cost: int, now: float) -> list[int]:
        log = self._logs.setdefault(name, [])
        self._logs.move_to_end(name)
        if len(log) >= _SLOTS and now - log[-1][0] < rate.window / _SLOTS:
            log[-1] = now, log[-1][1] + cost
        else:
            log.append((now, cost))
        return [sum(hits for _, hits in log), rate.window * 1_000_000, 0]


def _later(decision: Decision, seconds: float) -> Decision:
    """Return what a decision comes to when so many seconds have gone by."""
    return replace(
        decision,
        retry_after=max(decision.retry_after - seconds, 0.0),
        reset_after=max(decision.reset_after - seconds, 0.0),
        rates=tuple(_later(one, seconds) for one in decision.rates),
    )


def _microseconds(seconds: float) -> int:
    return max(round(seconds * 1e6), 1) if seconds > 0 else 0
