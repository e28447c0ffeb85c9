"""A value is computed once for all, served stale meanwhile, and never stored after it was voided."""

from __future__ import annotations

import asyncio
import collections
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import timedelta

import pytest
import redis

from django_dripcache import (
    CacheClient,
    CacheManager,
    CacheUnavailableError,
    Context,
    LoaderTimeoutError,
    SerializationError,
    auth_cache,
    beside,
    cache,
    on_outage,
    user_cache,
)
from django_dripcache.entry import parse

from .processes import ROOT, UNREACHABLE, environment, in_threads, needs_server, run_python, sent, site, wait_for


class BrokenError(Exception):
    """What a loader raises."""


def broken(*_):
    raise BrokenError


@pytest.fixture
def here(redis_server, raw):
    """A patient site over the server of this process."""
    with site(redis_server.url):
        yield raw


@pytest.fixture
def shared(here, drive):
    return drive(cache)


def stale(target, key="key", value="old", **options):
    """Leave a value that is stale."""
    target.set(key, value, 0.02, grace=60, **options)
    wait_for(lambda: not target.has(key))


# A miss, a hit


def test_a_miss_calls_the_loader_and_a_hit_does_not(shared):
    assert shared.get_or_set("key", lambda: "new") == "new"
    assert shared.get_or_set("key", broken) == "new"
    assert shared.get("key") == "new"


@pytest.mark.parametrize("value", [None, False, 0, "", [], b"\xde1 000020 0 0\n", "x" * 100_000], ids=repr)
def test_any_value_comes_back_as_it_was(shared, value):
    assert shared.get_or_set("key", lambda: value, tags=["tag"], grace=5) == value
    assert shared.get_or_set("key", broken) == value
    assert shared.get("key", "miss") == value
    assert shared.get_many(["key"]) == {"key": value}
    assert shared.has("key")


def test_a_number_stays_one_to_count_with(shared, here):
    assert shared.get_or_set("key", lambda: 7) == 7
    assert here.get("dripcache:c:key") == b"7"
    assert shared.incr("key") == 8


def test_no_key_is_left_without_an_end(shared, here):
    shared.get_or_set("key", lambda: "new", 60, tags=["a", "b"], grace=60)
    shared.set("other", 1, 60, tags=["c"])
    shared.set("third", 1, 0.05, tags=["c"])
    names = set(here.scan_iter())
    values = [b"dripcache:c:%s" % key for key in (b"key", b"other", b"third")]
    assert names == {*values, *(b"dripcache:t:%s" % tag for tag in (b"a", b"b", b"c"))}
    assert all(here.pttl(name) > 0 for name in names)
    assert here.pttl("dripcache:t:a") > here.pttl("dripcache:c:key")
    assert here.pttl("dripcache:t:c") > here.pttl("dripcache:c:other")


@pytest.mark.far("it counts round trips")
@pytest.mark.parametrize("options", [{}, {"tags": ["a", "b"], "grace": 5}], ids=["plain", "with tags and grace"])
def test_the_round_trips_are_one_for_a_hit_and_two_for_a_miss(shared, here, options):
    shared.get("warm")
    shared.get_or_set("warm", lambda: "x", tags=["w"])
    shared.invalidate_tags("w")  # the server has every script by now
    assert len(sent(here, lambda: shared.get_or_set("key", lambda: "new", **options))) == 2
    assert len(sent(here, lambda: shared.get_or_set("key", broken, **options))) == 1
    assert len(sent(here, lambda: shared.get("key"))) == 1
    assert len(sent(here, lambda: shared.has("key"))) == 1
    assert len(sent(here, lambda: shared.ttl("key"))) == 1
    assert len(sent(here, lambda: shared.get_many(["key"]))) == (2 if options else 1)
    assert len(sent(here, lambda: shared.get_or_set_many(["a", "b"], dict.fromkeys))) == 1 + 3
    assert len(sent(here, lambda: shared.invalidate_tags("a", "b"))) == 1


@pytest.mark.far("it counts round trips")
def test_many_values_are_read_loaded_and_stored_together(shared, here):
    shared.set("b", 2)
    asked = []

    def load(missing):
        asked.append(missing)
        return {key: key * 2 for key in missing if key != "d"}

    assert shared.get_or_set_many(["c", "b", "d", "a", "c"], load) == {"c": "cc", "b": 2, "a": "aa"}
    assert asked == [["c", "d", "a"]]
    assert list(shared.get_or_set_many(["a", "b", "c"], broken)) == ["a", "b", "c"]
    assert shared.get_or_set_many([], broken) == {}
    thousand = [str(number) for number in range(1000)]
    assert len(sent(here, lambda: shared.get_or_set_many(thousand, dict.fromkeys))) == 2 + 1000
    assert len(sent(here, lambda: shared.get_or_set_many(thousand, broken))) == 1


def test_what_the_loader_raises_is_the_callers_and_the_next_one_may_try(shared, here):
    with pytest.raises(BrokenError):
        shared.get_or_set("key", broken)
    assert here.keys("dripcache:l:*") == []
    assert shared.get_or_set("key", lambda: "new") == "new"


def test_what_cannot_be_stored_is_told_and_the_next_one_may_try(shared, here):
    with pytest.raises(SerializationError):
        shared.get_or_set("key", threading.Lock)
    assert here.keys("dripcache:l:*") == []


def test_a_value_that_is_too_large_is_returned_and_not_stored(shared, here):
    assert shared.get_or_set("key", lambda: os.urandom(2**20 + 1)) != b""
    assert here.keys("*") == []


def test_a_ttl_of_nothing_stores_nothing(shared, here):
    assert shared.get_or_set("key", lambda: "new", 0) == "new"
    assert here.keys("*") == []


def test_what_nobody_can_read_is_computed_anew(shared, here):
    for junk in (
        b"junk",
        b"\xde",
        b"\xde1 000020 0 0\n",
        b"\xde1 999999 0 0\nx",
        b"\xde1 000030 5 5\n99 1 x",
        b"\xdc" * 40,
    ):
        here.set("dripcache:c:key", junk, px=60_000)
        assert shared.get("key", "miss") == "miss"
        here.set("dripcache:c:key", junk, px=60_000)
        assert shared.get_or_set("key", lambda: "new") == "new"
        assert shared.get("key") == "new"


def test_a_key_of_another_type_is_left_alone(shared, here):
    here.rpush("dripcache:c:key", 1)
    assert shared.get_or_set("key", lambda: "new") == "new"
    assert shared.get("key") is None
    assert shared.has("key")
    assert here.lrange("dripcache:c:key", 0, -1) == [b"1"]


def test_a_value_of_another_type_than_asked_for_is_computed_anew(shared):
    shared.set("key", "text")
    assert shared.get_or_set("key", lambda: 7, type=int) == 7
    assert shared.get_or_set("key", broken, type=int) == 7


# One lease


COLD = """
    import json, sys, threading, time
    import django; django.setup()
    from tests.processes import be_patient; be_patient()
    from django_dripcache import cache
    import redis, os

    notes = redis.Redis.from_url(os.environ["DRIPCACHE_TEST_NOTES"])
    def load():
        notes.incr("calls")
        time.sleep(0.3)
        return "new"

    def ask(number):
        ready.wait()
        began = time.monotonic()
        answers.append((cache.get_or_set("cold", load, 60, lease=2), time.monotonic() - began))

    ready, answers = threading.Barrier(50), []
    notes.incr("ready")
    while int(notes.get("ready")) < 4:
        time.sleep(0.005)
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(json.dumps([sorted({value for value, _ in answers}), max(took for _, took in answers)]))
"""


def test_four_processes_of_fifty_threads_call_the_loader_once(redis_server, raw):
    notes = f"redis://127.0.0.1:{redis_server.port}/0"  # of the server's owner, not of the site
    answers = in_threads(4, lambda _: run_python(COLD, redis_server.url, DRIPCACHE_TEST_NOTES=notes), 60)
    assert [values for values, _ in answers] == [["new"]] * 4
    assert int(raw.get("calls")) == 1


def test_the_leader_is_killed_and_one_other_computes_when_the_lease_is_over(redis_server, raw):
    leader = """
        import os, time
        import django; django.setup()
        from django_dripcache import cache
        def load():
            print("in", flush=True)
            time.sleep(60)
        cache.get_or_set("cold", load, 60, lease=1.5)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(leader)],
        env=environment(redis_server.url),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"in\n"
        process.send_signal(signal.SIGKILL)
    calls = collections.Counter()

    def load():
        calls["load"] += 1
        return "new"

    with site(redis_server.url):
        began = time.monotonic()
        assert set(in_threads(20, lambda _: cache.get_or_set("cold", load, 60, lease=1.5))) == {"new"}
        assert time.monotonic() - began < 4
    assert calls["load"] == 1


def test_tasks_of_one_event_loop_wait_for_each_other(here):
    calls = collections.Counter()

    async def load():
        calls["load"] += 1
        await asyncio.sleep(0.05)
        return "new"

    async def main():
        return await asyncio.gather(*[cache.aget_or_set("cold", load) for _ in range(50)])

    assert set(asyncio.run(main())) == {"new"}
    assert calls["load"] == 1


def test_the_error_of_the_one_is_the_error_of_those_who_wait_in_this_process(here):
    started = threading.Event()

    def load():
        started.set()
        time.sleep(0.2)
        raise BrokenError

    def ask(number):
        if number:
            started.wait()
        with pytest.raises(BrokenError):
            cache.get_or_set("cold", load)

    in_threads(5, ask)


def test_who_has_waited_long_enough_calls_its_own_loader(here, drive):
    here.set("dripcache:l:cold", "somebody", px=60_000)
    began = time.monotonic()
    assert drive(cache).get_or_set("cold", lambda: "mine", wait=0.2) == "mine"
    assert 0.15 < time.monotonic() - began < 3
    assert here.get("dripcache:c:cold") is None


def test_who_waits_for_another_process_takes_its_value(here, drive):
    here.set("dripcache:l:cold", "somebody", px=60_000)
    threading.Timer(0.1, lambda: cache.set("cold", "theirs")).start()
    assert drive(cache).get_or_set("cold", broken) == "theirs"


def test_a_loader_that_asks_for_its_own_key_does_not_wait_for_itself(shared):
    def load():
        return "inner" if depth.append(1) or len(depth) > 1 else cache.get_or_set("key", load)

    depth = []
    began = time.monotonic()
    assert cache.get_or_set("key", load) == "inner"
    assert time.monotonic() - began < 2


def test_an_interrupted_loader_gives_up_its_lease(shared, here):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get_or_set("key", interrupted)
    assert here.keys("dripcache:l:*") == []


def test_a_cancelled_loader_gives_up_its_lease(here):
    async def main():
        task = asyncio.create_task(cache.aget_or_set("key", lambda: asyncio.sleep(60)))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert here.keys("dripcache:l:*") == []


# Void


VOIDS = {
    "delete": lambda: cache.delete("key"),
    "delete_many": lambda: cache.delete_many(["other", "key"]),
    "clear": cache.clear,
    "delete_pattern": lambda: cache.delete_pattern("k*"),
    "invalidate_tags": lambda: cache.invalidate_tags("tag"),
}


@pytest.mark.parametrize("void", VOIDS.values(), ids=VOIDS)
@pytest.mark.parametrize("before", ["nothing", "something"])
def test_a_loader_that_began_before_an_invalidation_cannot_store_its_value_after_it(shared, void, before):
    row = ["old"]

    def load():
        value = row[0]
        row[0] = "new"
        void()
        return value

    if before == "something":
        stale(cache, tags=["tag"])
    assert shared.get_or_set("key", load, tags=["tag"]) == "old"
    assert shared.get("key") is None
    assert shared.get_or_set("key", lambda: row[0], tags=["tag"]) == "new"


def test_the_lease_goes_before_the_value_since_a_loader_may_end_between_two_commands(shared, here):
    shared.get("key")
    for call in (lambda: shared.delete("key"), lambda: shared.set("key", 1), lambda: shared.set_many({"key": 1})):
        first, second = sent(here, call)
        assert first == "UNLINK dripcache:l:key"
        assert " dripcache:c:key" in second


@pytest.mark.parametrize("verb", ["set", "set_json", "set_many", "set_many_json", "set with tags"])
def test_a_loader_cannot_overwrite_what_was_set_since(shared, verb):
    sets = {
        "set": lambda: cache.set("key", "newer"),
        "set_json": lambda: cache.set_json("key", "newer"),
        "set_many": lambda: cache.set_many({"key": "newer"}),
        "set_many_json": lambda: cache.set_many_json({"key": "newer"}),
        "set with tags": lambda: cache.set("key", "newer", tags=["tag"]),
    }

    def load():
        sets[verb]()
        return "old"

    assert shared.get_or_set("key", load) == "old"
    assert shared.get("key") == "newer"


def test_a_tag_that_the_loader_names_is_void_too_if_it_was_invalidated_since(shared):
    def load(context):
        context.set(tags=["late"])
        cache.invalidate_tags("late")
        return "old"

    cache.set("other", 1, tags=["late"])
    assert shared.get_or_set("key", load) == "old"
    assert shared.get("key") is None


def test_who_asks_after_an_invalidation_is_not_given_what_was_read_before_it(here):
    row, entered, go = ["old"], threading.Event(), threading.Event()

    def load():
        value = row[0]
        entered.set()
        go.wait(10)
        return value

    def later():
        entered.wait(10)
        row[0] = "new"
        cache.invalidate_tags("tag")
        threading.Timer(0.1, go.set).start()
        return cache.get_or_set("key", load, tags=["tag"])

    asks = [lambda: cache.get_or_set("key", load, tags=["tag"]), later]
    assert in_threads(2, lambda number: asks[number]()) == ["old", "new"]
    assert cache.get("key") == "new"


@pytest.mark.parametrize("say", [{"ttl": 0}, None], ids=["a ttl of nothing", "skip"])
def test_what_is_not_stored_is_given_to_all_who_wait_for_it(here, say):
    calls = []

    def load(context):
        calls.append(1)
        time.sleep(0.3)
        context.set(**say) if say else context.skip()
        return "new"

    assert in_threads(10, lambda _: cache.get_or_set("key", load)) == ["new"] * 10
    assert len(calls) < 4  # who came when it was over calls again
    assert here.keys("*") == []


# Tags


def test_an_invalidated_tag_voids_all_that_carry_it_and_nothing_else(shared):
    shared.set("a", 1, tags=["red"])
    shared.set("b", 2, tags=["red", "blue"])
    shared.get_or_set("c", lambda: 3, tags=["blue"])
    shared.set("d", 4)
    assert shared.invalidate_tags("red") == 1
    assert shared.get_many(["a", "b", "c", "d"]) == {"c": 3, "d": 4}
    assert [shared.get(key) for key in "abcd"] == [None, None, 3, 4]
    assert [shared.has(key) for key in "abcd"] == [False, False, True, True]
    assert shared.ttl("a") is None
    assert shared.touch("a", 60) is False
    assert shared.get("a") is None


def test_an_invalidated_value_is_not_served_stale_either(shared):
    shared.set("key", "old", 60, tags=["tag"], grace=60)
    shared.invalidate_tags("tag")
    assert shared.get_or_set("key", lambda: "new", tags=["tag"]) == "new"
    shared.invalidate_tags("tag")
    with pytest.raises(BrokenError):
        shared.get_or_set("key", broken, tags=["tag"])


def test_a_tag_that_redis_lost_voids_its_values(shared, here):
    shared.set("key", "old", tags=["tag"])
    here.delete("dripcache:t:tag")
    assert shared.get("key") is None
    shared.set("other", "new", tags=["tag"])
    assert shared.get("key") is None
    assert shared.get("other") == "new"


def test_a_tag_can_be_invalidated_again_and_again_within_a_microsecond(shared, here):
    for number in range(50):
        shared.set("key", number, tags=["tag"])
        here.set("dripcache:t:tag", 10**16 - 1, keepttl=True)  # the clock was put back
        shared.set("key", number, tags=["tag"])
        assert shared.get("key") == number
        shared.invalidate_tags("tag")
        assert shared.get("key") is None


def test_a_tag_of_another_namespace_is_another_tag(shared):
    other = CacheManager(namespace="other")
    other.set("key", 1, tags=["tag"])
    shared.invalidate_tags("tag")
    assert other.get("key") == 1


def test_tags_may_have_any_name(shared):
    tags = ["*", "{a}", "a b", "ü" * 300, "", "1 2 3", "\n"]
    shared.set("key", 1, tags=tags)
    assert shared.get("key") == 1
    for tag in tags:
        shared.set("key", 1, tags=tags)
        assert shared.invalidate_tags(tag) == 1
        assert shared.get("key") is None


def test_one_text_in_the_place_of_several_tags_is_refused(shared):
    with pytest.raises(TypeError, match="tags='tag' is one text"):
        shared.set("key", 1, tags="tag")


def test_a_hundred_thousand_values_under_a_tag_are_voided_by_one_command(here):
    for start in range(0, 100_000, 1000):
        if start == 0:
            cache.set("0", 0, tags=["tag"])
            entry = here.get("dripcache:c:0")
            header = entry[: len(entry) - len(parse(entry).payload)]
        here.mset({f"dripcache:c:{number}": header + b"%d" % number for number in range(start, start + 1000)})
    assert cache.get("99999") == 99999
    cache.invalidate_tags("warm")
    assert len(sent(here, lambda: cache.invalidate_tags("tag"))) == 1
    assert cache.get("99999") is None
    assert cache.get_many([str(number) for number in range(0, 100_000, 997)]) == {}


@pytest.mark.parametrize("spoil", ["another type", "no version"])
def test_a_tag_that_is_none_of_ours_is_made_anew_and_voids_nothing_else(shared, here, spoil):
    def spoiled():
        here.delete("dripcache:t:tag")
        if spoil == "another type":
            here.rpush("dripcache:t:tag", 1)
        else:
            here.set("dripcache:t:tag", "garbage")

    spoiled()
    assert shared.set("key", "value", tags=["tag", "other"]) is True
    assert shared.get("key") == "value"
    spoiled()
    assert shared.get("key") is None
    assert shared.get_or_set("key", lambda: "new", tags=["tag", "other"]) == "new"
    assert shared.get("key") == "new"
    spoiled()
    assert shared.invalidate_tags("tag") == 0
    assert shared.invalidate_tags("other") == 1


@needs_server
def test_a_full_server_refuses_what_a_script_would_store(start_server, drive):
    server = start_server(maxmemory_policy="noeviction")
    with site(server.url), server.client() as look:
        target = drive(cache)
        target.get_or_set("key", lambda: "old", tags=["tag"])
        look.config_set("maxmemory", "200kb")  # less than it has by now
        with pytest.raises(redis.ResponseError, match="used memory"):
            look.lpush("celery", "a task")
        assert target.set("key", "new", tags=["tag"]) is False
        assert target.set("key", "new", grace=60) is False
        assert target.get_or_set("another", lambda: "computed") == "computed"
        assert target.refresh("key", lambda: "newer", tags=["tag"]) == "newer"
        assert drive(user_cache).set(1, "key", "value") is False
        assert drive(auth_cache).set_token("token", {"a": 1}) is False
        assert list(look.scan_iter("dripcache:l:*")) == []


@needs_server
def test_what_a_tag_was_to_void_is_not_read_while_that_cannot_be_done(start_server, drive):
    server = start_server()
    with site(server.url), server.client() as look:
        drive(cache).set("key", "old", tags=["tag"])
        drive(user_cache).set(1, "key", "old")
        look.replicaof("127.0.0.1", 1)  # now it takes no writes
        assert drive(cache).get("key") == "old"
        assert drive(cache).invalidate_tags("tag") == 0
        assert drive(cache).get("key") is None
        look.replicaof("NO", "ONE")
        wait_for(lambda: drive(cache).set("new", 1))
        assert drive(cache).get("key") is None


# Stale


def test_a_stale_value_is_a_miss_for_those_who_do_not_compute(shared):
    stale(shared)
    assert shared.get("key") is None
    assert shared.get_many(["key"]) == {}
    assert not shared.has("key")
    assert shared.ttl("key") is None


def test_a_stale_value_is_served_while_another_computes(shared, here):
    stale(shared)
    here.set("dripcache:l:key", "somebody", px=60_000)
    began = time.monotonic()
    assert len(sent(here, lambda: shared.get_or_set("key", broken))) == 1
    assert shared.get_or_set("key", broken) == "old"
    assert time.monotonic() - began < 3


def test_a_stale_value_is_served_when_the_loader_fails_and_the_loader_is_given_a_rest(shared):
    stale(shared)
    calls = collections.Counter()

    def load():
        calls["load"] += 1
        raise BrokenError

    for _ in range(5):
        assert shared.get_or_set("key", load, 60, grace=60, backoff=0.4) == "old"
    assert calls["load"] == 1
    wait_for(lambda: shared.get_or_set("key", load, 60, grace=60, backoff=60) == "old" and calls["load"] == 2)
    assert shared.get_or_set("key", lambda: "new") == "old"


def test_grace_is_over_in_the_end(shared):
    shared.set("key", "old", 0.02, grace=0.05)
    wait_for(lambda: shared.get_or_set("other", lambda: 1) and not shared.has("key"))
    time.sleep(0.1)
    with pytest.raises(BrokenError):
        shared.get_or_set("key", broken)


def test_expire_keeps_the_fallback_and_delete_does_not(shared, caplog):
    shared.set("key", "old", 60, grace=60)
    assert shared.expire("key")
    assert shared.get("key") is None
    assert shared.get_or_set("key", broken, backoff=0.001) == "old"
    assert "BrokenError" in caplog.text
    shared.delete("key")
    wait_for(lambda: not shared.has("key"))
    with pytest.raises(BrokenError):
        shared.get_or_set("key", broken)


def test_ttl_and_touch_are_about_being_fresh(shared, here):
    shared.set("key", "old", 60, grace=100)
    assert timedelta(seconds=59) < shared.ttl("key") <= timedelta(seconds=60)
    assert shared.touch("key", 30)
    assert timedelta(seconds=29) < shared.ttl("key") <= timedelta(seconds=30)
    assert here.pttl("dripcache:c:key") > 120_000


def test_a_loader_that_rests_after_a_failure_does_not_hold_up_who_finds_nothing(shared, here):
    for void in (lambda: shared.invalidate_tags("tag"), lambda: here.delete("dripcache:c:key")):  # as if it were over
        stale(shared, tags=["tag"])
        assert shared.get_or_set("key", broken, grace=60, tags=["tag"]) == "old"
        assert here.get("dripcache:l:key").startswith(b"r")
        assert shared.get_or_set("key", broken, grace=60, tags=["tag"]) == "old"  # it is not called again
        void()
        wait_for(lambda: shared.get("key") is None)
        began = time.monotonic()
        assert shared.get_or_set("key", lambda: "new", tags=["tag"], wait=30) == "new"
        assert time.monotonic() - began < 20
        assert shared.get("key") == "new"
        shared.delete("key")


# Early and jitter


def test_a_value_that_was_dear_is_computed_early_by_one_at_random(shared, monkeypatch):
    shared.get_or_set("key", lambda: time.sleep(0.05) or "old", 60)
    assert shared.get_or_set("key", lambda: "new", 60, beta=0) == "old"
    assert shared.get_or_set("key", lambda: "new", 60, beta=1e9) == "new"


def test_an_early_loader_that_fails_costs_nothing(shared):
    shared.get_or_set("key", lambda: time.sleep(0.02) or "old", 60)
    assert shared.get_or_set("key", broken, 60, beta=1e9) == "old"
    assert shared.get("key") == "old"


def test_jitter_takes_some_of_the_ttl_away_and_adds_nothing(shared, here):
    lives = set()
    for number in range(30):
        shared.get_or_set(str(number), lambda: "x", 100, jitter=0.5)
        lives.add(here.pttl(f"dripcache:c:{number}") // 1000)
    assert len(lives) > 5
    assert min(lives) >= 49
    assert max(lives) <= 100


@pytest.mark.parametrize(
    ("option", "value"),
    [("jitter", 2), ("jitter", -1), ("beta", -1), ("lease", 0), ("wait", -1), ("beta", float("nan"))],
)
def test_an_option_that_is_out_of_range_is_refused_at_once(shared, option, value):
    with pytest.raises(ValueError, match=f"{option}="):
        shared.get_or_set("key", broken, **{option: value})


# The loader's context


def test_a_loader_may_choose_its_ttl_and_its_tags(shared):
    def load(context):
        assert not context.has_stale
        context.set(ttl=5, tags=["tag"])
        return "new"

    cache.set("other", 1, tags=["tag"])
    assert shared.get_or_set("key", load, 60) == "new"
    assert shared.ttl("key") <= timedelta(seconds=5)
    shared.invalidate_tags("tag")
    assert shared.get("key") is None


def test_a_loader_may_have_its_value_not_stored(shared, here):
    assert shared.get_or_set("key", lambda context: context.skip() or "new") == "new"
    assert here.keys("*") == []


def test_a_loader_may_keep_the_stale_value(shared):
    stale(shared)

    def load(context):
        assert context.stale == "old"
        context.not_modified()

    assert shared.get_or_set("key", load, 60, grace=60) == "old"
    assert shared.get("key") == "old"


def test_there_is_nothing_to_keep_without_a_stale_value(shared):
    with pytest.raises(ValueError, match="has_stale"):
        shared.get_or_set("key", Context.not_modified)


# Without Redis


def test_without_redis_the_loader_runs_and_nothing_raises(drive):
    with site(UNREACHABLE, {}):
        target = drive(cache)
        assert target.get_or_set("key", lambda: "new", tags=["tag"], grace=5) == "new"
        assert target.get_or_set("key", lambda context: context.set(ttl=5) or "new") == "new"
        assert target.invalidate_tags("tag") == 0
        with on_outage("raise"), pytest.raises(CacheUnavailableError):
            target.get_or_set("key", broken)
        with on_outage("raise"), pytest.raises(CacheUnavailableError):
            target.invalidate_tags("tag")


def test_tags_that_could_not_be_invalidated_are_void_when_redis_is_back(start_server, drive):
    server = start_server()
    with site(server.url, {"SOCKET_TIMEOUT": 0.3}):
        target = drive(cache)
        target.set("key", "old", tags=["tag"])
        server.pause()
        assert target.invalidate_tags("tag") == 0
        server.resume()
        wait_for(target.test_connection, 5)
        assert target.get("key") is None


def test_a_store_that_fails_still_returns_the_value(start_server, drive):
    server = start_server()
    with site(server.url, {"SOCKET_TIMEOUT": 0.3}):
        target = drive(cache)

        def load():
            server.pause()
            return "new"

        target.get("warm")
        assert target.get_or_set("key", load) == "new"
        server.resume()


# Clients


def test_a_prefix_is_a_part_of_the_lease_and_not_of_the_tag(here):
    prefs = CacheClient(prefix="prefs")
    assert prefs.get_or_set("7", lambda: cache.delete("prefs:7") or "old") == "old"
    assert prefs.get("7") is None
    prefs.set("7", "new", tags=["tag"])
    cache.invalidate_tags("tag")
    assert prefs.get("7") is None


def test_bounded_namespaces_compute_once_too(here):
    few = CacheManager(namespace="few", max_keys=2)
    for number in range(5):
        assert few.get_or_set(str(number), lambda: "new", 60 + number, tags=["tag"]) == "new"
    assert sum(few.has(str(number)) for number in range(5)) == 2
    assert json.dumps(sorted(few.get_many(["3", "4"]))) == '["3", "4"]'


# Beside


def test_a_thread_computes_a_stale_value_while_all_are_given_it(here):
    stale(cache)
    calls, go = [], threading.Event()

    def load():
        calls.append(threading.current_thread().name)
        go.wait(10)
        return "new"

    assert [cache.get_or_set("key", load, 60, grace=60, refresh="thread") for _ in range(3)] == ["old"] * 3
    go.set()
    wait_for(lambda: cache.get("key") == "new")
    assert calls == ["dripcache-beside"]


def test_a_task_computes_a_stale_value_while_all_are_given_it(here):
    stale(cache)
    calls = []

    async def main():
        async def load():
            calls.append(1)
            await go.wait()
            return "new"

        go = asyncio.Event()
        answers = [await cache.aget_or_set("key", load, 60, grace=60, refresh="thread") for _ in range(3)]
        go.set()
        await asyncio.gather(*beside._tasks)
        return answers

    assert asyncio.run(asyncio.wait_for(main(), 10)) == ["old"] * 3
    assert calls == [1]
    assert cache.get("key") == "new"


def test_without_a_stale_value_the_caller_computes_whatever_refresh_says(shared):
    assert shared.get_or_set("key", lambda: "new", refresh="thread") == "new"


def test_what_fails_beside_is_told_in_the_log_and_leaves_the_stale_value(here, caplog):
    stale(cache)
    for load, told in ((broken, "failed: its last value is served"), (threading.Lock, "in the background")):
        assert cache.get_or_set("key", load, 60, grace=60, refresh="thread", backoff=0.001) == "old"
        wait_for(lambda told=told: any(told in record.getMessage() for record in caplog.records))
        wait_for(lambda: not here.exists("dripcache:l:key"))
    assert cache.get_or_set("key", lambda: "new", 60, grace=60) == "new"


async def _slowly(seconds):
    await asyncio.sleep(seconds)
    return "new"


def slow(target, seconds=0.5):
    """Return a loader that takes its time, for threads or for an event loop."""
    return (lambda: time.sleep(seconds) or "new") if target._loop is None else (lambda: _slowly(seconds))


def test_a_soft_timeout_gives_up_waiting_where_there_is_a_stale_value_and_the_loader_goes_on(here):
    stale(cache)
    began = time.monotonic()
    load = lambda: time.sleep(0.5) or "new"  # noqa: E731
    assert cache.get_or_set("key", load, 60, grace=60, soft_timeout=0.05) == "old"
    assert time.monotonic() - began < 0.45
    wait_for(lambda: cache.get("key") == "new")


def test_a_soft_timeout_is_not_for_those_without_a_stale_value(shared):
    assert shared.get_or_set("key", slow(shared, 0.1), soft_timeout=0.01) == "new"


def test_a_loader_that_is_fast_enough_is_waited_for(shared):
    stale(shared)
    assert shared.get_or_set("key", lambda: "new", 60, grace=60, soft_timeout=5, hard_timeout=5) == "new"
    assert shared.get("key") == "new"


def test_a_hard_timeout_is_an_error_without_a_stale_value(shared):
    with pytest.raises(LoaderTimeoutError, match=r"0\.05 seconds") as caught:
        shared.get_or_set("key", slow(shared), hard_timeout=0.05)
    assert isinstance(caught.value, TimeoutError)


def test_a_hard_timeout_gives_the_stale_value_where_there_is_one(shared):
    stale(shared)
    assert shared.get_or_set("key", slow(shared), 60, grace=60, hard_timeout=0.05) == "old"


def test_an_error_of_a_loader_with_a_timeout_is_the_callers(shared):
    with pytest.raises(BrokenError):
        shared.get_or_set("key", broken, hard_timeout=5)

    def late():
        raise TimeoutError

    with pytest.raises(TimeoutError) as caught:
        shared.get_or_set("key", late, hard_timeout=5)
    assert not isinstance(caught.value, LoaderTimeoutError)


def test_when_every_place_beside_is_taken_the_caller_computes_itself(here, monkeypatch):
    monkeypatch.setattr(beside, "_places", threading.BoundedSemaphore(1))
    beside._places.acquire()
    seen = []
    assert cache.get_or_set("key", lambda: seen.append(threading.current_thread()) or "new", hard_timeout=5) == "new"
    assert seen == [threading.current_thread()]


def test_the_choice_of_a_block_holds_beside_it(here):
    with on_outage("raise"):
        assert cache.get_or_set("key", lambda: cache.raises, hard_timeout=5) is True
