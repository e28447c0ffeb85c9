"""
What the near caches of a fleet cost the server: memory for each process, and its processor for each write.

Redis is started for the run. It takes about a minute.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import redis

from benchmarks.rounds import machine, require_redis, say, table
from django_dripcache.address import Route
from django_dripcache.broker import from_url
from django_dripcache.pools import PoolOptions, make_pool
from django_dripcache.testing.server import RedisServer
from django_dripcache.tracker import TICK, Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PREFIX = b"dripcache:d:"
NAMES = 10_000
VALUE = b"x" * 100
PROCESSES = (0, 10, 50, 100)
RATES = (100, 1000)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking", description=(__doc__ or "").strip())
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to measure each case (default: 5)")
    seconds = parser.parse_args().seconds
    require_redis()
    with RedisServer() as server, server.client() as client:
        say(machine(client.info("server")["redis_version"]), "")
        count = PROCESSES[-1]
        say(f"Memory of the server for each of {count} processes that are told of changes: {memory(server, count)} KB.")
        say("", "Processor time of the server, in percent of one core, while others write.", "")
        rows = []
        for processes in PROCESSES:
            with tracking(server, processes) as trackers:
                found = [busy(server, client, trackers, rate, seconds) for rate in RATES]
            rows.append([str(processes), *(f"{part:.1%}" for part in found)])
        say(table(["processes", *(f"{rate} writes a second" for rate in RATES)], rows))


@contextmanager
def tracking(server: RedisServer, count: int) -> Iterator[list[Tracker]]:
    """Connect as so many processes would, until the block ends."""
    broker, options = from_url(server.url, "the benchmark"), PoolOptions()
    pool = make_pool(broker, options, Route(broker.addresses))
    with ExitStack() as stack:
        trackers = [Tracker(pool, [PREFIX], "benchmark:near", 5) for _ in range(count)]
        for tracker in trackers:
            stack.enter_context(closing(tracker))
        deadline = time.monotonic() + 10
        while not all(tracker.until for tracker in trackers):
            receive(trackers)
            if time.monotonic() > deadline:
                sys.exit("The server does not track.")
        yield trackers


def receive(trackers: Sequence[Tracker]) -> int:
    """Receive what there is, and return how many names that were."""
    return sum(len(tracker.receive() or ()) for tracker in trackers)


def memory(server: RedisServer, count: int) -> int:
    """Return the kilobytes that the server needs for each of so many connections that are idle."""
    with server.client() as client:
        before = client.info("memory")["used_memory"]
        with tracking(server, count):
            return round((client.info("memory")["used_memory"] - before) / count / 1000)


def busy(server: RedisServer, client: redis.Redis, trackers: Sequence[Tracker], rate: int, seconds: float) -> float:
    """Return which part of a core the server needs while a process writes ``rate`` times a second."""
    writer = multiprocessing.get_context("spawn").Process(target=write, args=(server.port, rate), daemon=True)
    writer.start()
    try:
        written(client, more=rate // 10, trackers=trackers)  # it has begun
        began, used, before = time.monotonic(), processor(client), writes(client)
        told = 0
        while time.monotonic() < began + seconds:
            told += receive(trackers)
            time.sleep(TICK)
        elapsed, done = time.monotonic() - began, writes(client) - before
        part = (processor(client) - used) / elapsed
    finally:
        writer.kill()
        writer.join()
    if not 0.9 * rate < done / elapsed < 1.1 * rate or told < 0.8 * done * len(trackers):
        sys.exit(f"This machine is too busy: {done / elapsed:.0f} writes a second, {told} names told of.")
    return part


def write(port: int, rate: int) -> None:
    """Write ``rate`` times a second, one command at a time, until somebody ends this."""
    chance, client = random.Random(0), redis.Redis(port=port, protocol=2)  # noqa: S311 - the same names in every run
    turn = time.monotonic()
    while True:
        client.set(PREFIX + b"%d" % chance.randrange(NAMES), VALUE, ex=300)
        turn += 1 / rate
        time.sleep(max(0.0, turn - time.monotonic()))


def written(client: redis.Redis, more: int, trackers: Sequence[Tracker]) -> None:
    """Wait until so many values were written."""
    goal, deadline = writes(client) + more, time.monotonic() + 30
    while writes(client) < goal:
        receive(trackers)
        if time.monotonic() > deadline:
            sys.exit("The process that writes did not begin.")
        time.sleep(TICK)


def writes(client: Any) -> int:
    """Return how many SETs the server has done."""
    return int(client.info("commandstats").get("cmdstat_set", {}).get("calls", 0))


def processor(client: Any) -> float:
    """Return the seconds of processor time that the server has used."""
    used = client.info("cpu")
    return float(used["used_cpu_sys"] + used["used_cpu_user"])


if __name__ == "__main__":
    main()
