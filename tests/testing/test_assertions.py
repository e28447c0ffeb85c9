"""What a test can assert of its caches, and what it is told if that does not hold."""

from __future__ import annotations

import asyncio
import threading
import time
from unittest import mock

import pytest
from celery import Celery
from django.core.cache import cache as django_cache
from django.test import override_settings

from django_dripcache import CacheClient, CacheManager, CacheUnavailableError, cache, memoize
from django_dripcache.contrib.sessions_db import SessionStore
from tests.processes import in_threads

BACKEND = "django_dripcache.backend.DripCache"


@memoize(60)
def double(number):
    return number * 2


@memoize(60)
async def triple(number):
    return number * 3


@memoize(60, grace=60, refresh="celery")
def queued(number):
    return number * 2


def send():
    return "a loader of this name"


def broken():
    raise ZeroDivisionError


# Values


def test_a_value_is_cached_or_not(sandbox):
    cache.set("key", {"a": 1})
    cache.set("nothing", None)
    sandbox.assert_cached("key")
    sandbox.assert_cached("key", {"a": 1})
    sandbox.assert_cached("nothing")
    sandbox.assert_cached("nothing", None)
    sandbox.assert_not_cached("other")
    with pytest.raises(AssertionError, match=r"^'key' in <CacheClient .*> is {'a': 1}, not {'a': 2}\.$"):
        sandbox.assert_cached("key", {"a": 2})
    with pytest.raises(AssertionError, match=r"^'key' in .* is {'a': 1}, not None\.$"):
        sandbox.assert_cached("key", None)
    with pytest.raises(AssertionError, match=r"^'nothing' in .* is None, not 1\.$"):
        sandbox.assert_cached("nothing", 1)
    with pytest.raises(AssertionError, match=r"^'key' is in .*: {'a': 1}\.$"):
        sandbox.assert_not_cached("key")
    with pytest.raises(AssertionError, match=r"^'nothing' is in .*: None\.$"):
        sandbox.assert_not_cached("nothing")


def test_who_looks_in_the_wrong_place_is_told_what_there_is(sandbox):
    with pytest.raises(AssertionError, match=r"There is nothing at all\.$"):
        sandbox.assert_cached("key")
    django_cache.set("key", 1)
    with pytest.raises(AssertionError, match=r"^'key' is not in <CacheClient .*>\. There are d::1:key\.$"):
        sandbox.assert_cached("key")
    cache.set_many({f"{number:02}": 1 for number in range(30)})
    with pytest.raises(AssertionError, match=r"There are c:00, .*, c:19, and 11 more\.$"):
        sandbox.assert_cached("key")


def test_it_is_looked_for_where_the_test_says(sandbox):
    reports = CacheManager(namespace="reports")
    shop = CacheClient(prefix="shop")
    reports.set("key", 1)
    shop.set("key", 2)
    django_cache.set("key", 3)
    sandbox.assert_not_cached("key")
    sandbox.assert_cached("key", 1, manager=reports)
    sandbox.assert_cached("key", 2, manager=shop)
    sandbox.assert_cached("key", 3, alias="default")
    with pytest.raises(AssertionError, match=r"^'other' is not in caches\['default'\]\."):
        sandbox.assert_cached("other", alias="default")
    with pytest.raises(TypeError, match="Allowed is one of them"):
        sandbox.assert_cached("key", manager=reports, alias="default")


def test_a_result_that_is_kept_is_found_by_its_key(sandbox):
    double(2)
    sandbox.assert_cached(double.key(2), 4)
    sandbox.assert_not_cached(double.key(3))


def test_what_is_stale_or_void_is_not_cached(sandbox):
    cache.set("stale", 1, ttl=60, grace=60)
    cache.set("void", 1, ttl=60, tags=["tag"])
    sandbox.assert_cached("stale")
    sandbox.assert_cached("void")
    sandbox.travel(61)
    cache.set("void", 1, ttl=60, tags=["tag"])
    cache.invalidate_tags("tag")
    sandbox.assert_not_cached("stale")
    sandbox.assert_not_cached("void")


def test_during_an_outage_nobody_knows(sandbox):
    cache.set("key", 1)
    with sandbox.outage():
        for ask in (sandbox.assert_cached, sandbox.assert_not_cached):
            with pytest.raises(CacheUnavailableError):
                ask("key")
            with pytest.raises(CacheUnavailableError):
                ask("key", alias="default")
    sandbox.assert_cached("key", 1)


# Calls of loaders


def test_calls_of_loaders_are_counted_wherever_they_come_from(sandbox):
    with sandbox.assert_loader_calls(4) as calls:
        cache.get_or_set("key", lambda: 1)
        cache.get_or_set("key", lambda: 1)
        assert calls.count == 1
        double(1)
        double(1)
        cache.get_or_set_many(["a", "b"], lambda keys: dict.fromkeys(keys, 1))
        django_cache.get_or_set("key", lambda: 2)
        django_cache.get_or_set("key", lambda: 2)
    with sandbox.assert_loader_calls(0):
        double(1)
    with sandbox.assert_loader_calls(3):
        double.refresh(1)
        cache.get_or_set("send", send)
        with pytest.raises(ZeroDivisionError):
            cache.get_or_set("broken", broken)


@pytest.mark.parametrize("calls", [0, 2])
def test_another_number_of_calls_fails(sandbox, calls):
    message = rf"^There were 1 calls of loaders, not {calls}\.$"
    with pytest.raises(AssertionError, match=message), sandbox.assert_loader_calls(calls):
        double(1)


def test_the_error_of_a_block_comes_before_its_numbers(sandbox):
    for expectation in (sandbox.assert_loader_calls(1), sandbox.assert_round_trips(1)):
        with pytest.raises(ZeroDivisionError), expectation:
            raise ZeroDivisionError

    async def fail():
        async with sandbox.assert_loader_calls(1):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(fail())


def test_blocks_within_each_other_count_each_for_itself(sandbox):
    with sandbox.assert_loader_calls(2):
        double(1)
        with sandbox.assert_loader_calls(1):
            double(2)


def test_calls_in_threads_are_counted(sandbox):
    with sandbox.assert_loader_calls(1):
        in_threads(8, lambda _: double(1))
    with sandbox.assert_loader_calls(8):
        in_threads(8, lambda number: double(number + 10))


def test_a_loader_that_works_beside_the_page_is_waited_for(sandbox):
    started, done = threading.Event(), []

    def slowly():
        started.set()
        time.sleep(0.2)
        done.append(1)
        return "new"

    cache.set("key", "old", ttl=60, grace=60)
    sandbox.travel(61)
    with sandbox.assert_loader_calls(1):
        assert cache.get_or_set("key", slowly, 60, grace=60, refresh="thread") == "old"
    assert started.is_set()
    assert done == [1]
    sandbox.assert_cached("key", "new")


def test_on_an_event_loop_it_is_waited_for_as_well(sandbox):
    async def slowly():
        await asyncio.sleep(0.2)
        return "new"

    async def test():
        await cache.aset("key", "old", ttl=60, grace=60)
        sandbox.travel(61)
        async with sandbox.assert_loader_calls(1), sandbox.assert_round_trips(2):
            assert await cache.aget_or_set("key", slowly, 60, grace=60, refresh="thread") == "old"
        sandbox.assert_cached("key", "new")
        with sandbox.assert_loader_calls(1):
            assert await triple(2) == 6
        with sandbox.assert_loader_calls(0):
            assert await triple(2) == 6

    asyncio.run(test())


def test_loaders_of_an_outage_are_counted(sandbox):
    with sandbox.outage(), sandbox.assert_loader_calls(3):
        for _ in range(3):
            assert double(1) == 2


def test_a_task_that_computes_is_one_call_and_who_asks_for_it_is_none(sandbox):
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True
    with override_settings(DRIPCACHE={"CELERY_APP": "celery.app.base:shop"}):
        with mock.patch("celery.app.base.shop", app, create=True), sandbox.assert_loader_calls(2):
            assert queued(1) == 2
            sandbox.travel(61)
            assert queued(1) == 2
        sandbox.assert_cached(queued.key(1), 2)


def test_the_row_of_a_session_is_no_call_of_a_loader(sandbox, db):
    store = SessionStore()
    store["a"] = 1
    store.save()
    sandbox.travel(10**8)
    with sandbox.assert_loader_calls(0):
        assert SessionStore(store.session_key)["a"] == 1


def test_threads_still_share_one_call_during_an_outage(sandbox):
    def slowly():
        time.sleep(0.3)
        return 1

    with sandbox.outage():
        for _ in range(3):
            cache.get("key")
        with sandbox.assert_loader_calls(1):
            assert in_threads(4, lambda _: cache.get_or_set("key", slowly)) == [1] * 4


# Round trips


def test_round_trips_are_counted_as_the_pages_say(sandbox):
    with sandbox.assert_round_trips(2):
        double(1)
    with sandbox.assert_round_trips(1):
        double(1)
    with sandbox.assert_round_trips(1):
        cache.set_many({str(number): number for number in range(100)})
    with sandbox.assert_round_trips(1):
        django_cache.sadd("set", 1)
    with pytest.raises(AssertionError, match=r"^There were 2 round trips, not 1\.$"), sandbox.assert_round_trips(1):
        double(2)

    async def test():
        async with sandbox.assert_round_trips(1):
            await cache.aget("a")

    asyncio.run(test())


def test_what_the_breaker_holds_back_is_no_round_trip(sandbox):
    with sandbox.outage(), sandbox.assert_round_trips(3):
        for _ in range(10):
            cache.get("key")


def test_round_trips_of_every_alias_are_counted(sandbox):
    both = {alias: {"BACKEND": BACKEND, "LOCATION": f"redis://{alias}/"} for alias in ("default", "other")}
    with override_settings(CACHES=both), sandbox.assert_round_trips(2):
        cache.get("key")
        CacheManager("other").get("key")
