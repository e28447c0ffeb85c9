"""Time that has passed for what is cached, and for nothing else."""

from __future__ import annotations

import re
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache as django_cache
from django.core.cache import caches

from django_dripcache import (
    CacheManager,
    RateLimiter,
    auth_cache,
    cache,
    flags,
    rate_limiter,
    session_cache,
    user_cache,
)
from django_dripcache.flows.steps import Script, source
from django_dripcache.services import flags as remembering
from django_dripcache.testing import Sandbox
from django_dripcache.testing.clock import Clock
from tests.test_architecture import SCRIPTS

SECOND = timedelta(seconds=1)


def near(length, seconds):
    """Return whether a time to live is so many seconds, but for what the test itself took."""
    return timedelta(seconds=seconds - 10) < length <= timedelta(seconds=seconds)


# Values


@pytest.mark.parametrize("hour", [3600, 3600.0, timedelta(hours=1)])
def test_a_value_has_so_much_less_to_live(sandbox, hour):
    cache.set("key", 1, ttl=3700)
    django_cache.set("key", 1, timeout=3700)
    sandbox.travel(hour)
    assert near(cache.ttl("key"), 100)
    assert django_cache.ttl("key") in range(91, 101)
    sandbox.travel(100)
    assert cache.get("key") is None
    assert django_cache.get("key") is None
    assert sandbox.names() == []


def test_a_value_of_afterwards_has_all_its_life(sandbox):
    sandbox.travel(3600)
    cache.set("key", 1, ttl=100, tags=["tag"], grace=100)
    assert near(cache.ttl("key"), 100)
    sandbox.travel(50)
    sandbox.assert_cached("key", 1)
    assert near(cache.ttl("key"), 50)


def test_a_value_without_an_end_has_none_after_it(sandbox, settings):
    settings.DRIPCACHE = {"FOREVER_TTL": None}
    django_cache.set("key", 1, timeout=None)
    sandbox.travel(10**8)
    sandbox.assert_cached("key", 1, alias="default")
    assert django_cache.ttl("key") is None


def test_many_values_age_each_once(sandbox):
    cache.set_many({str(number): number for number in range(3000)}, ttl=100)
    sandbox.travel(40)
    assert all(near(cache.ttl(str(number)), 60) for number in range(0, 3000, 97))
    sandbox.travel(61)
    assert sandbox.names() == []


def test_grace_follows_the_ttl(sandbox):
    cache.get_or_set("key", lambda: "old", 60, grace=600)
    sandbox.travel(61)
    sandbox.assert_not_cached("key")
    with sandbox.assert_loader_calls(1):
        assert cache.get_or_set("key", lambda: 1 / 0, 60, grace=600) == "old"
    sandbox.travel(600)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_set("key", lambda: 1 / 0, 60, grace=600)


def test_a_rest_after_a_failure_is_over(sandbox):
    cache.set("key", "old", ttl=60, grace=600)
    sandbox.travel(61)
    for calls, seconds in ((1, 5), (0, 6), (1, 0)):
        with sandbox.assert_loader_calls(calls):
            assert cache.get_or_set("key", lambda: 1 / 0, 60, grace=600, backoff=10) == "old"
        sandbox.travel(seconds)


def test_tags_void_what_they_did_and_nothing_else(sandbox):
    cache.set("key", 1, ttl=1000, tags=["tag"])
    cache.get_or_set("loaded", lambda: 1, 1000, tags=["tag"])
    sandbox.travel(500)
    sandbox.assert_cached("key")
    sandbox.assert_cached("loaded")
    cache.set("other", 1, ttl=1000, tags=["tag"])
    assert cache.invalidate_tags("tag") == 1
    for key in ("key", "loaded", "other"):
        sandbox.assert_not_cached(key)
    cache.set("key", 2, ttl=1000, tags=["tag"])
    sandbox.travel(999)
    sandbox.assert_cached("key", 2)
    assert cache.invalidate_tags("tag") == 1


def test_a_lease_ends(sandbox):
    inner = []

    def loader():
        sandbox.travel(11)
        inner.append(cache.get_or_set("key", lambda: "second", lease=10, wait=0))
        return "first"

    assert cache.get_or_set("key", loader, lease=10) == "first"
    assert inner == ["second"]


def test_counters_end(sandbox):
    assert cache.incr("hits", ttl=60) == 1
    sandbox.travel(59)
    assert cache.incr("hits", ttl=60) == 2
    sandbox.travel(2)
    assert cache.incr("hits", ttl=60) == 1


def test_a_bounded_namespace_removes_what_would_end_first(sandbox):
    small = CacheManager(namespace="small", max_keys=2)
    small.set("long", 1, ttl=1000)
    sandbox.travel(900)
    small.set("new", 1, ttl=200)
    small.set("newer", 1, ttl=300)
    assert sorted(small.get_many(["long", "new", "newer"])) == ["new", "newer"]


# Holds


def test_locks_end(sandbox):
    lock = cache.lock("key", ttl=60)
    assert lock.acquire()
    sandbox.travel(59)
    assert not cache.lock("key", ttl=60).acquire()
    sandbox.travel(1)
    assert cache.lock("key", ttl=60).acquire()
    assert not lock.release()


def test_places_of_a_funnel_end_each_in_its_time(sandbox):
    assert cache.funnel("key", 2, ttl=60).acquire()
    sandbox.travel(30)
    assert cache.funnel("key", 2, ttl=60).acquire()
    assert not cache.funnel("key", 2, ttl=60).acquire()
    sandbox.travel(31)
    assert cache.funnel("key", 2, ttl=60).acquire()
    assert not cache.funnel("key", 2, ttl=60).acquire()


# Services


def test_sessions_end_and_tell_of_their_times(sandbox):
    session_cache.set("id", {"a": 1}, ttl=1000, user=7)
    session_cache.set("long", {"a": 2}, ttl=9000, user=7)
    sandbox.travel(600)
    assert session_cache.touch("long")
    first, second = sorted(session_cache.list_for_user(7), key=lambda info: info.last_used)
    assert near(second.last_used - first.last_used, 600) or second.last_used - first.last_used < 610 * SECOND
    sandbox.travel(500)
    assert session_cache.get("id") is None
    assert len(session_cache.list_for_user(7)) == 1
    sandbox.travel(9000)
    assert session_cache.list_for_user(7) == []


def test_tokens_and_states_end(sandbox):
    auth_cache.set_token("token", {"scope": "all"}, ttl=1000, user=7)
    state = auth_cache.create_state({"next": "/"}, ttl=1000)
    sandbox.travel(999)
    assert auth_cache.get_token("token").claims == {"scope": "all"}
    sandbox.travel(1)
    assert auth_cache.get_token("token") is None
    assert auth_cache.consume_state(state) is None


def test_flags_end(sandbox):
    flags.set("sale", True, ttl=100)
    flags.set("always", True)
    sandbox.travel(50)
    assert flags.all() == {"always": True, "sale": True}
    sandbox.travel(50)
    assert flags.all() == {"always": True}


@pytest.mark.parametrize("algorithm", ["fixed-window", "sliding-window", "gcra"])
def test_a_limit_allows_again(sandbox, algorithm):
    limiter = RateLimiter(algorithm=algorithm)
    assert [limiter.hit("key", "2/m").allowed for _ in range(3)] == [True, True, False]
    sandbox.travel(25)
    assert limiter.hit("key", "2/m").allowed is False
    before = limiter.peek("key", "2/m").retry_after
    sandbox.travel(before)
    assert limiter.hit("key", "2/m").allowed
    sandbox.travel(60)
    assert [limiter.hit("key", "2/m").allowed for _ in range(3)] == [True, True, False]
    assert before < 36


def test_a_limit_without_redis_allows_again(sandbox):
    with sandbox.outage():
        assert [rate_limiter.hit("key", "1/m").allowed for _ in range(2)] == [True, False]
        sandbox.travel(61)
        assert rate_limiter.hit("key", "1/m").allowed


def test_values_of_a_user_end(sandbox):
    user_cache.set(User(pk=7), "theme", "dark", ttl=100)
    sandbox.travel(100)
    assert user_cache.get(7, "theme") is None


def test_what_a_flag_was_last_known_to_be_is_forgotten_after_its_time(sandbox):
    flags.set("sale", True)
    for seconds, known in ((200, True), (99, True), (2, False)):
        sandbox.travel(seconds)
        with sandbox.outage():
            assert flags.get("sale") is known
    assert flags.get("sale") is True


# The clock


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_reads_the_time_in_a_way_of_its_own(name):
    clock = Clock()
    clock.ahead = 1000
    ours = re.sub(rb"--[^\n]*", b"", clock.script(name))
    assert len(re.findall(rb"\bTIME\b", ours)) == 1
    assert ours.count(b"ahead()") == 1 + source(name).count(b"redis.call('TIME')")


def test_scripts_see_the_time_ahead_to_the_microsecond(sandbox):
    flags.set("sale", True, ttl=1000)  # its index has the moment of its end
    at = time.time()
    sandbox.travel(3600)
    sandbox.travel(0.001)
    flags.set("sale", True, ttl=1000)
    index = caches["default"].client.get_client().zscore(caches["default"].client.root + "s.flags.index:", "sale")
    assert at - 2 < index / 1000 - 4600.001 < time.time() + 2


def test_nobody_elses_clock_is_ahead(kind):
    genuine = dict(vars(Script))
    with Sandbox() as sandbox:
        sandbox.travel(3600)
        assert dict(vars(Script)) != genuine
        assert remembering.time is not time
        flags.set("sale", True)
    assert dict(vars(Script)) == genuine
    assert remembering.time is time
    with Sandbox():
        assert cache.set("key", 1, ttl=100, tags=["tag"])
        assert cache.invalidate_tags("tag") == 1


def test_time_does_not_go_back(sandbox):
    cache.set("key", 1, ttl=100)
    with pytest.raises(ValueError, match=r"travel\(-1\) goes back in time\. Allowed is 0 seconds or more\."):
        sandbox.travel(-1)
    sandbox.travel(0)
    sandbox.travel(timedelta(0))
    assert near(cache.ttl("key"), 100)
    with pytest.raises(TypeError):
        sandbox.travel("60")


def test_time_passes_during_an_outage_too(sandbox):
    cache.set("key", 1, ttl=100)
    with sandbox.outage():
        assert cache.get("key") is None
        sandbox.travel(60)
    assert near(cache.ttl("key"), 40)
