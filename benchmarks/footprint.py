"""What is kept costs memory, and what is told costs the server's processor."""

from __future__ import annotations

import gc
import pickle
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

from benchmarks.calls import SMALL
from benchmarks.tracking import NAMES, PREFIX, VALUE, processor, receive, tracking

if TYPE_CHECKING:
    import redis

    from benchmarks.contenders import Contender
    from django_dripcache.testing.server import RedisServer

ENTRIES = 4_000
PROCESSES = (0, 1, 10, 50)
DRAIN = 50
"""After so many writes the processes receive what they were told."""


def near_entry(contender: Contender) -> float:
    """Return the bytes of memory that an entry of the near cache takes beyond its name and its pickle."""
    cache, near = contender.cache, contender.near
    names = _names()
    cache.set_many(dict.fromkeys(names, SMALL))

    def read() -> None:
        for name in names:
            cache.get(name)

    read()  # what does not grow with the entries is there before
    near.clear()
    size, kept = _traced(read), near.stats().entries
    if kept != ENTRIES:
        message = f"{kept} of {ENTRIES} entries were kept."
        raise RuntimeError(message)
    return size / ENTRIES - _content(cache.client.name(names[0]))


def locmem_entry(contender: Contender) -> float:
    """Return the bytes of memory that an entry of LocMemCache takes beyond its name and its pickle."""
    cache = contender.cache
    cache.clear()
    names = _names()
    size = _traced(lambda: cache.set_many(dict.fromkeys(names, SMALL)))
    return size / ENTRIES - _content(cache.make_key(names[0]).encode())


def _names() -> list[str]:
    return [f"entry:{number:05}" for number in range(ENTRIES)]


def _content(name: bytes) -> int:
    return len(name) + len(pickle.dumps(SMALL, pickle.HIGHEST_PROTOCOL))


def _traced(work: Any) -> int:
    """Return by how many bytes the memory has grown that Python has allocated."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def server_seconds(server: RedisServer, client: redis.Redis, processes: int, writes: int) -> float:
    """Return the seconds of the server's processor for a thousand writes of which so many processes are told."""
    with tracking(server, processes) as trackers:
        receive(trackers)
        before, told = processor(client), 0
        for number in range(writes):
            client.set(PREFIX + b"%d" % (number % NAMES), VALUE, ex=300)
            if number % DRAIN == DRAIN - 1:
                told += receive(trackers)
        used = processor(client) - before
        deadline = time.monotonic() + 1
        while told < writes * processes and time.monotonic() < deadline:
            told += receive(trackers)
    if told < writes * processes:
        message = f"{told} names were told of, not {writes * processes}."
        raise RuntimeError(message)
    return used / writes * 1000
