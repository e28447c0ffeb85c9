"""Many keys at a time: a round trip a page, and loaders side by side that do not stop each other."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from django_dripcache import CacheClient, CacheManager, CacheUnavailableError, InvalidKeyError, cache, on_outage
from django_dripcache.bulk import Warmed

from .conftest import use_server
from .processes import UNREACHABLE, run_python, site, verbs_sent


@pytest.fixture
def here(redis_server, raw):
    """A patient site over the server of this process."""
    with site(redis_server.url):
        yield raw


@pytest.fixture
def shared(here, drive):
    return drive(cache)


# bulk_get, bulk_set


@pytest.mark.far("it counts round trips")
def test_a_thousand_keys_are_one_round_trip_each_way(shared, here):
    shared.get("warm")
    data = {f"key:{number}": number for number in range(1000)}
    assert shared.bulk_set(data) == []
    assert verbs_sent(here, lambda: shared.bulk_get(data)) == ["MGET"]
    assert shared.bulk_get(data) == data
    assert len(here.execute_command("MGET", *(f"dripcache:c:{key}" for key in data))) == 1000


def test_every_key_is_answered_in_its_order_with_its_value_or_the_default(shared):
    shared.bulk_set([("b", None), ("a", 0)], ttl=60)
    assert list(shared.bulk_get(["c", "a", "b"], "none").items()) == [("c", "none"), ("a", 0), ("b", None)]
    assert shared.bulk_get([]) == {}
    assert 0 < shared.ttl("a").total_seconds() <= 60


def test_what_does_not_fit_the_type_is_a_miss(shared):
    shared.bulk_set({"a": 1, "b": "text"})
    assert shared.bulk_get(["a", "b"], type=int) == {"a": 1, "b": None}


def test_more_than_a_page_is_taken_from_a_generator_and_told_page_by_page(shared):
    taken, told = [], []

    def items():
        for number in range(2500):
            taken.append(number)
            yield str(number), number

    def progress(count):
        told.append((count, len(taken)))

    assert shared.bulk_set(items(), progress=progress) == []
    assert told == [(1000, 1000), (2000, 2000), (2500, 2500)]
    assert sum(shared.bulk_get(map(str, range(2500))).values()) == sum(range(2500))


def test_bulk_set_voids_what_is_being_computed(shared):
    assert shared.get_or_set("key", lambda: cache.bulk_set({"key": "newer"}) or "old") == "old"
    assert shared.get("key") == "newer"


def test_bulk_verbs_keep_to_the_prefix_and_the_namespace(here, drive):
    client = drive(CacheClient(CacheManager(namespace="reports"), "year"))
    client.bulk_set({"2026": 1})
    assert client.bulk_get(["2026"]) == {"2026": 1}
    assert list(here.scan_iter(count=1000)) == [b"dripcache:c.reports:year:2026"]


def test_what_is_too_large_is_told(here, redis_server, drive):
    with site(redis_server.url, DRIPCACHE={"MAX_VALUE_BYTES": 1000, "COMPRESS_ABOVE": None}):
        assert drive(cache).bulk_set({"small": 1, "large": bytes(2000)}) == ["large"]


def test_during_an_outage_nothing_is_found_and_nothing_stored(drive):
    with use_server(UNREACHABLE):
        assert drive(cache).bulk_get(["a", "b"], 0) == {"a": 0, "b": 0}
        assert drive(cache).bulk_set({"a": 1, "b": 2}) == ["a", "b"]
        assert drive(cache).bulk_set((str(number), 1) for number in range(2500)) == [str(n) for n in range(2500)]
        with on_outage("raise"):
            for call in (lambda: drive(cache).bulk_get(["a"]), lambda: drive(cache).bulk_set({"a": 1})):
                with pytest.raises(CacheUnavailableError):
                    call()


# warm


def test_warm_loads_what_is_missing_and_leaves_what_is_there(shared):
    shared.set("there", "kept")
    assert shared.warm({"there": lambda: "new", "a": lambda: 1, "b": lambda: None}, ttl=60) == Warmed(3, {})
    assert shared.get_many(["there", "a", "b"]) == {"there": "kept", "a": 1, "b": None}
    assert 0 < shared.ttl("a").total_seconds() <= 60


def test_warm_takes_pairs_tags_and_the_options_of_get_or_set(shared):
    shared.warm([("a", lambda: 1)], tags=["airports"], grace=60)
    shared.expire("a")
    assert shared.get_or_set("a", lambda: 1 / 0, grace=60) == 1
    shared.invalidate_tags("airports")
    assert shared.get("a") is None


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_loader_that_fails_is_told_and_stops_no_other(shared, at_once):
    warmed = shared.warm({"a": lambda: 1, "b": lambda: 1 / 0, "c": lambda: 3}, at_once=at_once)
    assert warmed.done == 2
    assert [(key, type(error)) for key, error in warmed.failed.items()] == [("b", ZeroDivisionError)]
    assert shared.get_many(["a", "b", "c"]) == {"a": 1, "c": 3}


def test_an_error_that_is_a_value_is_no_failure(shared):
    assert shared.warm({"a": lambda: LookupError("kept")}).failed == {}
    assert isinstance(shared.get("a"), LookupError)


def test_so_many_loaders_run_side_by_side_and_no_more(here):
    inside, most, lock, together = 0, 0, threading.Lock(), threading.Barrier(3)

    def load():
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        together.wait(10)  # it takes three to go on
        with lock:
            inside -= 1

    assert cache.warm({str(number): load for number in range(9)}, at_once=3).failed == {}
    assert most == 3


async def test_so_many_coroutines_run_side_by_side_and_no_more(here):
    inside = most = 0

    async def load():
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.01)
        inside -= 1
        return inside

    warmed = await cache.awarm({str(number): load for number in range(9)}, at_once=3)
    assert warmed == Warmed(9, {})
    assert most == 3


def test_one_at_a_time_stays_in_the_callers_thread(here):
    threads = set()
    cache.warm({str(number): lambda: threads.add(threading.get_ident()) for number in range(3)}, at_once=1)
    assert threads == {threading.get_ident()}


def test_progress_is_told_after_each(shared):
    told = []
    shared.warm({str(number): lambda: 1 for number in range(5)}, progress=told.append, at_once=2)
    assert told == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("at_once", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_is_refused_before_anything_runs(shared, at_once):
    called = []
    with pytest.raises(ValueError, match=r"at_once=.* Allowed is a number from 1 up"):
        shared.warm({"a": lambda: called.append(1)}, at_once=at_once)
    assert called == []


def test_a_key_that_is_none_is_refused_before_anything_runs(shared):
    called = []
    with pytest.raises(InvalidKeyError):
        shared.warm({"a": lambda: called.append(1), 5: lambda: 1})
    assert called == []


def test_warm_says_what_it_could_not_store(drive):
    with use_server(UNREACHABLE):
        warmed = drive(cache).warm({"a": lambda: 1, "b": lambda: 2})
    assert warmed.done == 0
    assert {key: type(error) for key, error in warmed.failed.items()} == dict.fromkeys("ab", CacheUnavailableError)


def test_threads_leave_no_connection_to_a_database_behind(here, monkeypatch):
    loaded, finished = [], []
    monkeypatch.setattr("django_dripcache.server.connections.close_all", lambda: finished.append(threading.get_ident()))
    cache.warm({str(number): lambda: loaded.append(threading.get_ident()) for number in range(4)}, at_once=2)
    assert sorted(finished) == sorted(loaded)
    assert threading.get_ident() not in finished


async def test_a_cancelled_warm_leaves_no_loader_running(here):
    ended = []

    async def load():
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(1)

    task = asyncio.create_task(cache.awarm({str(number): load for number in range(4)}, at_once=2))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(ended) == 2


def test_an_interrupted_warm_begins_nothing_more(redis_server, raw):
    result = run_python(
        """
        import json, os, signal, threading, time
        import django; django.setup()
        from django_dripcache import cache
        from tests.processes import be_patient
        be_patient()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is begun without it
        began = []
        def load():
            began.append(1)
            if len(began) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)
        try:
            cache.warm({str(number): load for number in range(50)}, at_once=2)
        except KeyboardInterrupt:
            print(json.dumps(len(began)))
        """,
        redis_server.url,
    )
    assert result <= 4


def test_time_is_spent_side_by_side(here):
    began = time.monotonic()
    cache.warm({str(number): lambda: time.sleep(0.2) for number in range(8)}, at_once=8)
    assert time.monotonic() - began < 8 * 0.2
