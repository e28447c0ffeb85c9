"""What comes at once: calls on an event loop, and threads that all want what is not there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.calls import SMALL
from benchmarks.contenders import NEAR, OURS
from benchmarks.rounds import interleave

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from benchmarks.contenders import Contender

CROWD = 50
AT_ONCE = 100
LOADING = 0.1
"""For how many seconds a loader computes what is not there."""

CALLS = 20

ONE, MANY = "one aget after another", f"{AT_ONCE} aget at once"


def measure_async(contenders: Sequence[Contender], seconds: float) -> dict[tuple[str, str], list[float]]:
    """Return the seconds of an ``aget()`` alone, and of a hundred at once, by cache and by which of the two."""
    loop = asyncio.new_event_loop()
    try:
        turns: dict[tuple[str, str], Callable[[], float]] = {}
        for contender in contenders:
            for name, coroutine in ((ONE, _one), (MANY, _many)):
                turns[contender.name, name] = _on(loop, coroutine, contender)
        return interleave(turns, seconds)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def _on(
    loop: asyncio.AbstractEventLoop, coroutine: Callable[[Contender], Coroutine[Any, Any, float]], contender: Contender
) -> Callable[[], float]:
    return lambda: loop.run_until_complete(coroutine(contender))


async def _one(contender: Contender) -> float:
    cache = contender.cache
    await cache.aset("hit", SMALL)
    await cache.aget("hit")
    taken = []
    for _ in range(CALLS):
        began = time.perf_counter()
        value = await cache.aget("hit")
        taken.append(time.perf_counter() - began)
    _check(contender, [value])
    return median(taken)


async def _many(contender: Contender) -> float:
    cache = contender.cache
    await cache.aset("hit", SMALL)
    await cache.aget("hit")
    began = time.perf_counter()
    values = await asyncio.gather(*(cache.aget("hit") for _ in range(AT_ONCE)))
    taken = time.perf_counter() - began
    _check(contender, values)
    return taken


def _check(contender: Contender, values: Sequence[Any]) -> None:
    if any(value != SMALL for value in values):
        message = f"{contender.name}: aget() gave another value."
        raise RuntimeError(message)


class Stampede(NamedTuple):
    """How often a loader was called for one key, at the most, and the seconds until all had its value, the median."""

    calls: int
    seconds: float


def stampedes(contenders: Sequence[Contender], times: int) -> dict[str, Stampede]:
    """Let threads come at once for a key that is not there, so many times for each cache."""
    ways: dict[str, Callable[[str, Callable[[], Any]], Any]] = {}
    for contender in contenders:
        ways[f"{contender.name}, get_or_set"] = contender.proxy.get_or_set
        if contender.name in {OURS, NEAR}:
            ways[f"{contender.name}, memoize"] = _memoized(contender)
    found: dict[str, list[Stampede]] = {name: [] for name in ways}
    with ThreadPoolExecutor(CROWD) as threads:
        for number in range(-1, times):  # in the first one they connect
            for name, way in ways.items():
                stampede = _stampede(way, f"cold:{name.replace(' ', '')}:{number}", threads)
                if number >= 0:
                    found[name].append(stampede)
    return {
        name: Stampede(max(one.calls for one in each), median(one.seconds for one in each))
        for name, each in found.items()
    }


def _memoized(contender: Contender) -> Callable[[str, Callable[[], Any]], Any]:
    loaders: dict[str, Callable[[], Any]] = {}

    def load(key: str) -> Any:
        return loaders[key]()

    function = contender.memoize(load, "{key}")

    def way(key: str, loader: Callable[[], Any]) -> Any:
        loaders[key] = loader
        return function(key)

    return way


def _stampede(way: Callable[[str, Callable[[], Any]], Any], key: str, threads: ThreadPoolExecutor) -> Stampede:
    calls: Counter[str] = Counter()
    lock, began = threading.Lock(), []
    barrier = threading.Barrier(CROWD, lambda: began.append(time.perf_counter()))

    def load() -> Any:
        with lock:
            calls[key] += 1
        time.sleep(LOADING)
        return SMALL

    def come(_: int) -> float:
        barrier.wait(timeout=30)
        if way(key, load) != SMALL:
            message = f"{key} had another value."
            raise RuntimeError(message)
        return time.perf_counter()

    ended = max(threads.map(come, range(CROWD)))
    return Stampede(calls[key], ended - began[0])
