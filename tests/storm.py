"""
Cut 60,000 gets at any moment: ``python -m tests.storm [gets]``, half by real signals, half by cancelled tasks.

No get may return another key's value, nothing may be written to another database, no connection may be lost, and at the
end the cache answers as ever.
"""

from __future__ import annotations

import asyncio
import collections
import os
import random
import signal
import sys
import time

import django

from django_dripcache.testing.server import RedisServer

PEOPLE = ("alice", "bob", "carol")


class CutError(Exception):
    """What the signal raises."""


def cut(*_: object) -> None:
    raise CutError


def by_signals(gets: int, backend: object, count: collections.Counter[str], at: random.Random) -> None:
    signal.signal(signal.SIGALRM, cut)
    for turn in range(gets):
        person = PEOPLE[turn % 3]
        try:
            signal.setitimer(signal.ITIMER_REAL, at.uniform(1e-6, 300e-6))
            try:
                value = backend.get(person, "miss")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except CutError:
            count["cut"] += 1
        else:
            count["right" if value == person else value if value == "miss" else "wrong"] += 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)


async def by_cancelling(gets: int, backend: object, count: collections.Counter[str], at: random.Random) -> None:
    for turn in range(gets):
        person = PEOPLE[turn % 3]
        task = asyncio.create_task(backend.aget(person, "miss"))
        for _ in range(at.randrange(8)):
            await asyncio.sleep(0)
        task.cancel()
        try:
            value = await task
        except asyncio.CancelledError:
            count["cut"] += 1
        else:
            count["right" if value == person else value if value == "miss" else "wrong"] += 1


def main(gets: int) -> None:
    at, began = random.Random(5), time.monotonic()
    with RedisServer() as server:
        os.environ["DRIPCACHE_TEST_URL"] = server.url[:-1] + "3"
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
        django.setup()
        from django.core.cache import caches  # noqa: PLC0415 - settings are ready by now

        backend = caches["default"]
        backend.set_many(dict.fromkeys(PEOPLE), 3600)
        for person in PEOPLE:
            backend.set(person, person, 3600)
        signals: collections.Counter[str] = collections.Counter()
        cancelled: collections.Counter[str] = collections.Counter()
        by_signals(gets // 2, backend, signals, at)
        asyncio.run(by_cancelling(gets // 2, backend, cancelled, at))
        assert [backend.get(person) for person in PEOPLE] == list(PEOPLE)
        assert signals["wrong"] == cancelled["wrong"] == 0
        assert backend.client.server.pool.lent == 0
        with server.client() as look:
            assert look.dbsize() == 0
            open_now = len(look.client_list())
        assert open_now <= 22
    print(f"signals: {dict(signals)}; cancelled: {dict(cancelled)}; {time.monotonic() - began:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60_000)
