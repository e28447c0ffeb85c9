"""A trace of what a real system has asked for, asked of each cache in the same order; see data/README.rst."""

from __future__ import annotations

import lzma
import struct
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.calls import SMALL, calls_of
from benchmarks.contenders import NEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

    from benchmarks.contenders import Contender

CUT = Path(__file__).parent / "data" / "orm-night-500k.trace.xz"

SLICE = 500
"""So many accesses are a turn."""


class Replayed(NamedTuple):
    """How many accesses there were in so many seconds, how many of them loaded, and how many asked Redis."""

    accesses: int
    seconds: float
    loaded: int
    asked: int | None


def trace(path: Path, accesses: int) -> Sequence[int]:
    """Return the keys of the first accesses of a file: xz over big-endian unsigned numbers of 32 bits."""
    with lzma.open(path) as file:
        data = file.read(4 * accesses)
    return struct.unpack(f">{len(data) // 4}I", data)


def replay(contenders: Sequence[Contender], keys: Sequence[int], client: redis.Redis) -> dict[str, Replayed]:
    """
    Ask each cache for each key, with ``get_or_set()``, beginning with nothing; return what it took, by cache.

    They take turns, a slice of the trace each. With each name that a near cache asks for, it asks how long it lives.
    """
    order = random_order(contenders)
    taken = dict.fromkeys((contender.name for contender in contenders), 0.0)
    loaded = dict.fromkeys(taken, 0)
    asked = 0
    for first in range(0, len(keys), SLICE):
        part = keys[first : first + SLICE]
        for contender in order():
            before = calls_of(client, "pttl") if contender.name == NEAR else 0
            seconds, misses = _slice(contender.cache, part)
            taken[contender.name] += seconds
            loaded[contender.name] += misses
            if contender.name == NEAR:
                asked += calls_of(client, "pttl") - before
    return {
        name: Replayed(len(keys), seconds, loaded[name], asked if name == NEAR else None)
        for name, seconds in taken.items()
    }


def random_order(contenders: Sequence[Contender]) -> Any:
    """Return a function that returns them in another order each time, the same in every run."""
    chance, names = Random(0), list(contenders)  # noqa: S311 - it is not a secret

    def order() -> Sequence[Contender]:
        chance.shuffle(names)
        return names

    return order


def _slice(cache: Any, keys: Sequence[int]) -> tuple[float, int]:
    misses = 0

    def load() -> Any:
        nonlocal misses
        misses += 1
        return SMALL

    began = time.perf_counter()
    for key in keys:
        cache.get_or_set(f"row:{key}", load)
    return time.perf_counter() - began, misses
