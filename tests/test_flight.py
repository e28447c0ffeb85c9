"""Single flight: what many want at once is computed once."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from django_dripcache import CacheManager
from django_dripcache.flight import Flights

from .processes import UNREACHABLE, in_threads, site, wait_for


class BrokenError(Exception):
    pass


@pytest.fixture
def flights():
    found = Flights()
    yield found
    assert not found._flights


class Slow:
    """A loader that ends when it is told to, and counts how often it began."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes) or ["value"]
        self.begun = 0
        self.entered = threading.Event()
        self.go = threading.Event()
        self.lock = threading.Lock()

    def __call__(self):
        with self.lock:
            self.begun += 1
            outcome = self.outcomes[min(self.begun, len(self.outcomes)) - 1]
        self.entered.set()
        assert self.go.wait(10)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def waiting(flights, count):
    """Wait until so many threads wait for a flight."""
    flight = next(iter(flights._flights.values()))
    wait_for(lambda: len(flight.landed._cond._waiters) >= count, 5)


def fly(flights, loader, count, key=b"key"):
    """Let one thread lead and the others wait for it; return what each got or raised."""

    def one(_):
        try:
            return flights.run(key, loader)
        except BaseException as error:  # noqa: BLE001
            return error

    results = []

    def all_of_them():
        results.extend(in_threads(count, one))

    runner = threading.Thread(target=all_of_them)
    runner.start()
    assert loader.entered.wait(5)
    waiting(flights, count - 1)
    loader.go.set()
    runner.join(10)
    return results


def test_fifty_threads_compute_once_and_all_have_the_value(flights):
    value = object()
    loader = Slow(value)
    assert fly(flights, loader, 50) == [value] * 50
    assert loader.begun == 1


def test_an_error_of_the_one_that_computes_is_everybodys(flights):
    error = BrokenError()
    loader = Slow(error)
    assert fly(flights, loader, 10) == [error] * 10
    assert loader.begun == 1


def test_an_interruption_of_the_one_that_computes_is_its_own_and_another_one_computes(flights):
    interrupt = KeyboardInterrupt()
    loader = Slow(interrupt, "value")
    results = fly(flights, loader, 10)
    assert results.count(interrupt) == 1
    assert results.count("value") == 9
    # Those who were handed over to may have come one after another, each to an empty flight.
    assert 2 <= loader.begun <= 10


def test_what_comes_after_a_flight_computes_anew(flights):
    assert [flights.run(b"key", iter([1, 2, 3]).__next__) for _ in range(1)] == [1]
    counter = iter(range(10))
    assert [flights.run(b"key", lambda: next(counter)) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(BrokenError):
        flights.run(b"key", raising)
    assert flights.run(b"key", lambda: "after") == "after"


def raising():
    raise BrokenError


def test_other_keys_do_not_wait(flights):
    loader = Slow()
    leader = threading.Thread(target=lambda: flights.run(b"key", loader))
    leader.start()
    assert loader.entered.wait(5)
    began = time.monotonic()
    assert flights.run(b"other", lambda: "at once") == "at once"
    assert time.monotonic() - began < 1
    loader.go.set()
    leader.join(5)


def test_a_loader_that_asks_for_its_own_key_does_not_wait_for_itself(flights):
    def loader(depth=3):
        return depth if depth == 0 else flights.run(b"key", lambda: loader(depth - 1)) + 1

    done = []
    thread = threading.Thread(target=lambda: done.append(flights.run(b"key", loader)), daemon=True)
    thread.start()
    thread.join(5)
    assert done == [3]


def test_one_that_is_interrupted_before_it_begins_to_compute_keeps_nobody_waiting(monkeypatch):
    """As Celery's soft time limit does, between any two steps."""
    flights = Flights()

    class Interrupting(dict):
        def setdefault(self, key, mine):
            super().setdefault(key, mine)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flights, "_flights", interrupting := Interrupting())
        with pytest.raises(KeyboardInterrupt):
            flights.run(b"key", lambda: "never")
    flights._flights.update(interrupting)
    done = []
    thread = threading.Thread(target=lambda: done.append(flights.run(b"key", lambda: "value")), daemon=True)
    thread.start()
    thread.join(5)
    assert done == ["value"]


# Tasks


def test_fifty_tasks_compute_once_and_all_have_the_value(flights):
    begun = []

    async def loader():
        begun.append(1)
        await asyncio.sleep(0.05)
        return "value"

    async def main():
        return await asyncio.wait_for(asyncio.gather(*(flights.arun(b"key", loader) for _ in range(50))), 5)

    assert asyncio.run(main()) == ["value"] * 50
    assert len(begun) == 1


def test_a_plain_loader_serves_tasks_too(flights):
    assert asyncio.run(flights.arun(b"key", lambda: "plain")) == "plain"


def test_an_error_of_the_task_that_computes_is_everybodys(flights):
    begun = []

    async def loader():
        begun.append(1)
        await asyncio.sleep(0.02)
        raise BrokenError

    async def main():
        calls = (flights.arun(b"key", loader) for _ in range(10))
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)

    results = asyncio.run(main())
    assert len(results) == 10
    assert all(type(result) is BrokenError for result in results)
    assert len(begun) == 1


def test_when_the_task_that_computes_is_cancelled_another_one_computes(flights):
    begun = []

    async def loader():
        begun.append(1)
        await asyncio.sleep(0.05)
        return len(begun)

    async def main():
        tasks = [asyncio.create_task(flights.arun(b"key", loader)) for _ in range(10)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)

    first, *others = asyncio.run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert others == [2] * 9
    assert len(begun) == 2


def test_a_task_that_waits_and_is_cancelled_disturbs_nobody(flights):
    async def loader():
        await asyncio.sleep(0.05)
        return "value"

    async def main():
        tasks = [asyncio.create_task(flights.arun(b"key", loader)) for _ in range(5)]
        await asyncio.sleep(0.01)
        tasks[3].cancel()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)

    results = asyncio.run(main())
    assert isinstance(results.pop(3), asyncio.CancelledError)
    assert results == ["value"] * 4


def test_a_task_that_asks_for_its_own_key_does_not_wait_for_itself(flights):
    async def inner():
        return "inner"

    async def loader():
        return await flights.arun(b"key", inner)

    async def main():
        return await asyncio.wait_for(flights.arun(b"key", loader), 5)

    assert asyncio.run(main()) == "inner"


def test_two_event_loops_do_not_wait_for_each_other(flights):
    def one(number):
        async def loader():
            await asyncio.sleep(0.05)
            return number

        return asyncio.run(asyncio.wait_for(flights.arun(b"key", loader), 5))

    assert in_threads(4, one) == [0, 1, 2, 3]


# Over a server that is away


def test_with_redis_down_a_cold_key_under_fifty_threads_runs_its_loader_once():
    begun = []
    together = threading.Barrier(50)

    def loader():
        begun.append(1)
        time.sleep(0.5)
        return "value"

    with site(UNREACHABLE, {}):
        manager = CacheManager()
        for _ in range(3):
            manager.get("key")

        def ask(_):
            together.wait(10)
            return manager.get_or_set("key", loader)

        assert in_threads(50, ask) == ["value"] * 50
    assert len(begun) == 1


def test_with_redis_down_a_cold_key_under_fifty_tasks_runs_its_loader_once():
    begun = []

    async def loader():
        begun.append(1)
        await asyncio.sleep(0.3)
        return "value"

    async def main():
        manager = CacheManager()
        for _ in range(3):
            await manager.aget("key")
        return await asyncio.wait_for(asyncio.gather(*(manager.aget_or_set("key", loader) for _ in range(50))), 5)

    with site(UNREACHABLE, {}):
        assert asyncio.run(main()) == ["value"] * 50
    assert len(begun) == 1
