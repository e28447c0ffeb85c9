"""
Rate limits, beside those of limits, django-ratelimit and Django REST framework.

All of them are given the same Redis, which is started for the run. It takes less than a minute.
"""

from __future__ import annotations

import argparse
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import django
from django.conf import settings

from benchmarks.rounds import alone, interleave, machine, require_redis, say, spread, table, together
from django_dripcache.connections import close_all
from django_dripcache.testing.server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from benchmarks.limiters import Hit, Make

THREADS = 8
CROWD = 50
CROWDS = 10
LIMIT = 10

HITS = 40
"""So many hits are a turn, all of one client."""

BESIDE = ("limits", "django-ratelimit", "djangorestframework", "django-redis", "redis", "hiredis")


class Case(NamedTuple):
    """What is measured: hits at some rates, all of which are allowed or all denied."""

    name: str
    rates: tuple[str, ...]
    denied: bool = False


ALLOWED = Case("allowed", ("100/m",))
DENIED = Case("denied", (f"{LIMIT}/h",), denied=True)
SEVERAL = Case("3 rates, allowed", ("100/m", "1000/h", "5000/d"))
CASES = (ALLOWED, DENIED, SEVERAL)


class Turn:
    """One turn of a limiter: it is given clients that it has not met, and the time of a hit is measured."""

    def __init__(self, hit: Hit, case: Case, threads: ThreadPoolExecutor | None) -> None:
        self.hit = hit
        self.case = case
        self.threads = threads
        self.number = 0

    def __call__(self) -> float:
        """Return the seconds of a hit. Raises RuntimeError if one is not decided as the case says."""
        self.number += 1
        client = f"{id(self)}:{self.number}"
        while self.case.denied and self.hit(client):
            pass
        work = partial(self._decide, client)
        return alone(work, HITS) if self.threads is None else together(work, HITS, self.threads, THREADS)

    def _decide(self, client: str) -> None:
        if self.hit(client) is self.case.denied:
            message = f"A hit was decided otherwise than {self.case.name}."
            raise RuntimeError(message)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=(__doc__ or "").strip())
    parser.add_argument("--seconds", type=float, default=40.0, help="how long to measure the times (default: 40)")
    seconds = parser.parse_args().seconds
    require_redis()
    with RedisServer() as server, server.client() as client:
        configure(server.url)
        from benchmarks.limiters import LIMITERS  # noqa: PLC0415 - it needs the settings

        say(machine(client.info("server")["redis_version"]))
        say(", ".join(f"{name} {version(name)}" for name in ("django", *BESIDE)) + ".")
        show_times(LIMITERS, seconds)
        show_crowds(LIMITERS)
        show_costs(LIMITERS, client)
        close_all()


def configure(url: str) -> None:
    """Give everybody the same Redis. Ours has as many connections as threads, and waits rather than gives up."""
    patience = {"MAX_CONNECTIONS": CROWD, "SOCKET_TIMEOUT": 5, "POOL_WAIT": 5}
    settings.configure(
        SECRET_KEY="a key for the benchmarks alone, of more than fifty characters",  # noqa: S106 - it guards nothing
        CACHES={
            "default": {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": url, "OPTIONS": patience},
            "django-redis": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url},
        },
        RATELIMIT_USE_CACHE="django-redis",
    )
    django.setup()


def show_times(limiters: dict[str, Make], seconds: float) -> None:
    """Print how long a hit takes, in one thread and in several."""
    with ThreadPoolExecutor(THREADS) as threads:
        measured = interleave(
            {
                (name, case, among): Turn(make(case.rates), case, threads if among > 1 else None)
                for name, make in limiters.items()
                for case in CASES
                for among in (1, THREADS)
            },
            seconds,
        )
    ours = next(iter(limiters))
    for among in (1, THREADS):
        rounds, widest = len(measured[ours, ALLOWED, among]), max(spread(measured[ours, case, among]) for case in CASES)
        how = "one after the other" if among == 1 else f"in {among} threads: from the end of one to that of the next"
        say("", f"Microseconds a hit, {how}.")
        say(f"In brackets: how many times as long as {ours}.")
        say(
            f"Medians of {rounds} rounds of {HITS} hits; in half of them, ours is within {widest:.0%} of its median.",
            "",
        )
        rows = []
        for name in limiters:
            times = [(median(measured[name, case, among]), median(measured[ours, case, among])) for case in CASES]
            rows.append([name, *(f"{own * 1e6:.0f} ({own / other:.2f})" for own, other in times)])
        say(table(["limiter", *(case.name for case in CASES)], rows))


def show_crowds(limiters: dict[str, Make]) -> None:
    """Print how many of a crowd are admitted that comes at once."""
    rows = []
    for name, make in limiters.items():
        hit = make(DENIED.rates)
        admitted = sorted(crowd(hit, f"crowd:{name}:{number}") for number in range(CROWDS))
        rows.append([name, str(admitted[0]), f"{median(admitted):g}", str(admitted[-1])])
    say("", f"Admitted of {CROWD} hits at once, in {CROWD} threads, where {LIMIT} are allowed: {CROWDS} times.", "")
    say(table(["limiter", "fewest", "median", "most"], rows))


def crowd(hit: Hit, client: str) -> int:
    """Return how many hits are allowed of a crowd's."""
    barrier = threading.Barrier(CROWD)

    def come(_: int) -> bool:
        barrier.wait(timeout=30)
        return hit(client)

    with ThreadPoolExecutor(CROWD) as threads:
        return sum(threads.map(come, range(CROWD)))


def show_costs(limiters: dict[str, Make], client: redis.Redis) -> None:
    """Print what is sent for a hit, and what is kept of a client."""
    rows = []
    for name, make in limiters.items():
        sent = []
        for case in CASES:
            hit, key = make(case.rates), f"cost:{name}:{case.name}"
            while hit(key) and case.denied:
                pass
            sent.append(str(len(commands(client, lambda hit=hit, key=key: hit(key)))))
        hit, before = make((f"{HITS}/m",)), set(client.scan_iter(count=1000))
        for _ in range(HITS):
            hit(f"kept:{name}")
        kept = sum(client.memory_usage(key, samples=0) or 0 for key in set(client.scan_iter(count=1000)) - before)
        rows.append([name, *sent, str(kept)])
    say("", f"Commands sent for a hit, and bytes in Redis of a client that has used up {HITS} hits a minute.", "")
    say(table(["limiter", *(case.name for case in CASES), "bytes"], rows))


def commands(client: redis.Redis, call: Callable[[], Any]) -> list[str]:
    """Return the commands that a call sends, but for those that a script of it runs."""
    with client.monitor() as monitor:
        call()
        client.echo("the end")
        sent = []
        for line in monitor.listen():
            if "the end" in line["command"]:
                break
            if line["client_type"] != "lua":
                sent.append(line["command"].split(" ", 1)[0])
        return sent


if __name__ == "__main__":
    main()
