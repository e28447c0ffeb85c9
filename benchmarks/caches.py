"""
The caches, beside those of others: calls, payloads, threads, event loops, stampedes, a trace, and what they cost.

All of them are given the same Redis, which is started for the run. It takes about three minutes, and with --quick
half a minute.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings

from benchmarks import crowds, footprint
from benchmarks.calls import CALLS, FILL, GET, GET_MANY, PAYLOADS, SET, SMALL, THREADS, Turn
from benchmarks.contenders import LOCMEM, NEAR, THEIRS, PlainSocket, contenders, settings_of, wait_for
from benchmarks.replay import CUT, replay, trace
from benchmarks.rounds import interleave, machine, require_redis, say, spread, table
from benchmarks.targets import Found, judge
from django_dripcache.connections import close_all
from django_dripcache.testing.server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import redis

    from benchmarks.contenders import Contender

BESIDE = ("django", "django-redis", "django-valkey", "redis", "hiredis")
PARTS = {"calls": 0.4, "payloads": 0.25, "threads": 0.2, "async": 0.15}
"""Which part of the time each table has that is measured for a time."""

STAMPEDES = 3
WRITES = 2_000


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.caches", description=(__doc__ or "").strip())
    parser.add_argument("--quick", action="store_true", help="half a minute: the same tables, of fewer rounds")
    parser.add_argument("--seconds", type=float, help="how long to measure calls (default: 90, or 8 with --quick)")
    parser.add_argument("--accesses", type=int, help="how many of the trace (default: 30,000, or 4,000 with --quick)")
    parser.add_argument("--trace", type=Path, default=CUT, help="a file as benchmarks/data/README.rst describes it")
    given = parser.parse_args()
    seconds = (8.0 if given.quick else 90.0) if given.seconds is None else given.seconds
    accesses = given.accesses or (4_000 if given.quick else 30_000)
    require_redis()
    with RedisServer() as server, server.client() as client:
        settings.configure(
            SECRET_KEY="a key for the benchmarks alone, of more than fifty characters",  # noqa: S106 - it guards nothing
            INSTALLED_APPS=["django_dripcache"],
            CELERY_BROKER_URL=server.url,
            CACHES=settings_of(server.url, crowds.AT_ONCE),
        )
        django.setup()
        say(machine(client.info("server")["redis_version"]))
        say(", ".join(versions()) + ".")
        caches = contenders()
        near = next(contender for contender in caches if contender.name == NEAR)
        wait_for(near.near)
        found = Found()
        plain = PlainSocket(server.port)
        show_calls([*caches, plain], client, seconds, found)
        plain.cache.close()
        show_payloads(caches, client, seconds)
        show_threads(caches, client, seconds)
        show_async(caches, seconds, found)
        show_stampedes(caches)
        show_replay(caches, trace(given.trace, accesses), client, found)
        show_footprint(caches, near, found)
        show_server(server, client)
        say("", "What must be reached.", "")
        say(table(["what", "at most", "found", "reached"], judge(found)))
        close_all()


def versions() -> list[str]:
    """Return the names and versions of what is compared."""
    known = []
    for name in BESIDE:
        try:
            known.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            known.append(f"no {name}")
    return known


def show_calls(caches: Sequence[Contender], client: redis.Redis, seconds: float, found: Found) -> None:
    """Print how long each call takes with a small dict, in one thread."""
    turns = {
        (cache.name, call.name): Turn(cache, call, SMALL, client)
        for call in CALLS
        for cache in caches
        if cache.has(call.verb)
    }
    found.calls = measured = interleave(turns, seconds * PARTS["calls"])
    say("", "Microseconds a call, one after another, a small dict.")
    show(measured, [cache.name for cache in caches], [call.name for call in CALLS], "call")


def show_payloads(caches: Sequence[Contender], client: redis.Redis, seconds: float) -> None:
    """Print how long it takes to get and to set values of some sizes."""
    turns = {
        (cache.name, f"{call.verb} {size}"): Turn(cache, call._replace(count=call.count // 4), value, client)
        for call in (GET, SET)
        for size, value in PAYLOADS.items()
        for cache in caches
    }
    measured = interleave(turns, seconds * PARTS["payloads"])
    say("", "Microseconds a call, one after another, values of some sizes when they are pickled.")
    show(
        measured, [cache.name for cache in caches], [f"{call.verb} {size}" for call in (GET, SET) for size in PAYLOADS]
    )


def show_threads(caches: Sequence[Contender], client: redis.Redis, seconds: float) -> None:
    """Print how long a call takes if several threads call."""
    calls = (GET, SET, FILL, GET_MANY)
    with ThreadPoolExecutor(THREADS) as threads:
        turns = {
            (cache.name, call.name): Turn(
                cache, call._replace(count=max(call.count // 4, 2) * THREADS), SMALL, client, threads
            )
            for call in calls
            for cache in caches
        }
        measured = interleave(turns, seconds * PARTS["threads"])
    say("", f"Microseconds from the end of one call to that of the next, in {THREADS} threads, a small dict.")
    show(measured, [cache.name for cache in caches], [call.name for call in calls], "call")


def show_async(caches: Sequence[Contender], seconds: float, found: Found) -> None:
    """Print how long it takes on an event loop."""
    caches = [cache for cache in caches if cache.has("aget")]
    found.loop = measured = crowds.measure_async(caches, seconds * PARTS["async"])
    say("", f"Microseconds on an event loop: of a call, and until {crowds.AT_ONCE} have their values.")
    show(measured, [cache.name for cache in caches], [crowds.ONE, crowds.MANY])


def show(
    measured: Mapping[tuple[str, str], Sequence[float]], names: Sequence[str], cases: Sequence[str], head: str = ""
) -> None:
    """Print a table of medians, a case a row and a cache a column."""
    base = [measured[THEIRS, case] for case in cases if (THEIRS, case) in measured]
    widest = max(spread(rounds) for rounds in base)
    say(f"In brackets: how many times as long as {THEIRS}.")
    say(f"Medians of {len(base[0])} rounds; in half of them, {THEIRS} is within {widest:.0%} of its median.", "")
    rows = []
    for case in cases:
        theirs = median(measured[THEIRS, case]) if (THEIRS, case) in measured else None
        rows.append([case, *(_cell(measured.get((name, case)), theirs) for name in names)])
    say(table([head, *names], rows))


def _cell(rounds: Sequence[float] | None, theirs: float | None) -> str:
    if rounds is None:
        return "-"
    own = median(rounds)
    micros = own * 1e6
    shown = f"{micros:.1f}" if micros < 10 else f"{micros:.0f}"  # noqa: PLR2004 - two digits are enough
    return shown if theirs is None else f"{shown} ({own / theirs:.2f})"


def show_stampedes(caches: Sequence[Contender]) -> None:
    """Print how often a loader is called if many want what is not there."""
    found = crowds.stampedes(caches, STAMPEDES)
    say(
        "",
        f"{crowds.CROWD} threads at once want what is not there, which takes {crowds.LOADING * 1000:.0f} ms to load.",
    )
    say(f"The most loader calls of {STAMPEDES} times, and the median of the milliseconds until all had it.", "")
    rows = [[name, str(one.calls), f"{one.seconds * 1000:.0f}"] for name, one in found.items()]
    say(table(["cache", "loader calls", "ms"], rows))


def show_replay(caches: Sequence[Contender], keys: Sequence[int], client: redis.Redis, found: Found) -> None:
    """Print how fast a trace is replayed, and what was not loaded."""
    found.replayed = replayed = replay(caches, keys, client)
    theirs = replayed[THEIRS]
    say(
        "",
        f"{len(keys):,} accesses of the trace orm-night, to {len(set(keys)):,} keys, from an empty Redis and process.",
    )
    say(f"get_or_set() with a loader that takes no time. In brackets: times the throughput of {THEIRS}.", "")
    rows = []
    for name, one in replayed.items():
        near = "-" if one.asked is None else f"{1 - one.asked / one.accesses:.1%}"
        rate = f"{one.accesses / one.seconds:,.0f} ({theirs.seconds / one.seconds:.2f})"
        rows.append([name, rate, f"{1 - one.loaded / one.accesses:.1%}", near])
    say(table(["cache", "accesses a second", "not loaded", "without Redis"], rows))


def show_footprint(caches: Sequence[Contender], near: Contender, found: Found) -> None:
    """Print what an entry costs in memory."""
    found.entry = footprint.near_entry(near)
    locmem = footprint.locmem_entry(next(cache for cache in caches if cache.name == LOCMEM))
    say("", f"Bytes of memory of an entry beyond its name and its pickle, of {footprint.ENTRIES:,} entries.", "")
    say(table(["cache", "bytes"], [[NEAR, f"{found.entry:.0f}"], [LOCMEM, f"{locmem:.0f}"]]))


def show_server(server: RedisServer, client: redis.Redis) -> None:
    """Print what near caches cost the server."""
    say("", "Milliseconds of the server's processor for 1,000 writes of keys that are near.", "")
    rows = []
    alone: Any = None
    for processes in footprint.PROCESSES:
        used = footprint.server_seconds(server, client, processes, WRITES)
        alone = alone or used
        rows.append([str(processes), f"{used * 1000:.1f} ({used / alone:.2f})"])
    say(table(["processes with a near cache", "ms"], rows))


if __name__ == "__main__":
    main()
