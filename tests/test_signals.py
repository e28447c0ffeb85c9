"""What the cache tells of itself: signals with plain data, lines at DEBUG, and nothing where nobody listens."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

import pytest
from django.core.cache import caches

from django_dripcache import CacheManager, cache, signals, user_cache
from django_dripcache.events import LISTENERS
from django_dripcache.signals import cache_error, cache_hit, cache_miss, cache_stale, invalidated

from .conftest import use_server
from .processes import UNREACHABLE

ALL = {"hit": cache_hit, "miss": cache_miss, "stale": cache_stale, "error": cache_error, "invalidated": invalidated}


@pytest.fixture
def heard(broker):
    """Every event from now on, by the name of its signal."""
    events = []
    receivers = {}
    for name, signal in ALL.items():

        def receive(event, name=name, **_):
            events.append((name, *dataclasses.astuple(event)))

        receivers[name] = receive
        signal.connect(receive)
    yield events
    for name, signal in ALL.items():
        signal.disconnect(receivers[name])


def test_reads_are_hits_and_misses_with_the_names_in_redis(heard, drive):
    manager = drive(CacheManager(namespace="reports"))
    manager.get("a b")
    manager.set("a b", 1)
    manager.get("a b")
    manager.get_many(["a b", "c"])
    manager.get_or_set("a b", lambda: 1)
    manager.get_or_set("d", lambda: 1)
    assert heard == [
        ("miss", "dripcache:c.reports:a%20b"),
        ("hit", "dripcache:c.reports:a%20b"),
        ("hit", "dripcache:c.reports:a%20b"),
        ("miss", "dripcache:c.reports:c"),
        ("hit", "dripcache:c.reports:a%20b"),
        ("miss", "dripcache:c.reports:d"),
    ]


def test_the_django_backend_and_the_services_tell_too(heard, drive):
    django_cache, users = drive(caches["default"]), drive(user_cache)
    django_cache.get("a")
    django_cache.get_or_set("a", 1)
    django_cache.get_many(["a", "b"])
    users.get(7, "theme")
    assert [event[0] for event in heard] == ["miss", "miss", "hit", "miss", "miss"]
    assert heard[0] == ("miss", "dripcache:d::1:a")
    assert heard[-1][1].startswith("dripcache:s.users:7")


def test_what_cannot_be_read_is_a_miss(heard, raw, drive):
    raw.set("dripcache:c:key", b"\xdc garbage")
    raw.rpush("dripcache:c:list", 1)
    assert drive(cache).get("key") is drive(cache).get("list") is None
    assert heard == [("miss", "dripcache:c:key"), ("miss", "dripcache:c:list")]


def test_a_stale_value_is_told_apart(heard, drive):
    drive(cache).get_or_set("key", lambda: 1, grace=60)
    drive(cache).expire("key")
    drive(cache).get_or_set("key", lambda: 2, grace=60)
    assert [event[0] for event in heard] == ["miss", "stale"]


def test_what_is_removed_and_voided_is_told_once_it_is(heard, drive):
    drive(cache).delete("a")
    drive(cache).delete_many(["a", "b"])
    drive(cache).invalidate_tags("airports", "users")
    drive(caches["default"]).delete("a")
    assert heard == [
        ("invalidated", ("dripcache:c:a",)),
        ("invalidated", ("dripcache:c:a", "dripcache:c:b")),
        ("invalidated", ("dripcache:t:airports", "dripcache:t:users")),
        ("invalidated", ("dripcache:d::1:a",)),
    ]


def test_an_outage_is_an_error_and_no_miss(heard):
    with use_server(UNREACHABLE.replace("//", "//user:secret@")):
        assert cache.get("key", "mine") == "mine"
        assert cache.delete("key") is False
    assert {event[0] for event in heard} == {"error"}
    assert "secret" not in str(heard)
    assert "127.0.0.1:1" in heard[0][1]
    assert "refused" in heard[0][2]


def test_a_receiver_that_fails_or_uses_the_cache_disturbs_nobody(broker, drive):
    calls = []

    def curious(event, **_):
        calls.append(event)
        assert cache.get("another") is None
        raise LookupError

    cache_miss.connect(curious)
    try:
        assert drive(cache).get("key", "mine") == "mine"
        assert drive(cache).get_or_set("key", lambda: 5) == 5
    finally:
        cache_miss.disconnect(curious)
    assert [event.key for event in calls] == ["dripcache:c:key"] * 2


def test_events_are_frozen(heard):
    assert all(
        dataclasses.is_dataclass(event) and event.__dataclass_params__.frozen
        for event in (signals.KeyEvent, signals.ErrorEvent, signals.InvalidationEvent)
    )


def test_a_coroutine_function_cannot_listen():
    async def listen(**_):
        await asyncio.sleep(0)

    class Listener:
        async def __call__(self, **_):
            await asyncio.sleep(0)

    for receiver in (listen, Listener()):
        with pytest.raises(TypeError, match="Allowed are plain functions"):
            cache_hit.connect(receiver)


def test_where_nobody_listens_no_event_is_made(broker, monkeypatch):
    monkeypatch.setattr(signals, "_send", None)
    monkeypatch.setattr(signals, "KeyEvent", None)
    assert cache.get("key") is None
    assert cache.set("key", 1)
    assert cache.get_many(["key"]) == {"key": 1}
    assert cache.delete("key")


def test_the_log_has_hits_and_misses_at_debug(broker, caplog, drive):
    caplog.set_level(logging.DEBUG, "django_dripcache")
    drive(cache).get("key")
    drive(cache).set("key", 1)
    drive(cache).get("key")
    drive(cache).delete("key")
    assert [record.getMessage() for record in caplog.records] == [
        "miss: dripcache:c:key",
        "hit: dripcache:c:key",
        "invalidated: dripcache:c:key",
    ]


def test_the_flows_tell_the_signals(broker):
    assert LISTENERS.count(signals._hear) == 1
