"""Redis is away for a while: what a site sees then, and that all is well after it."""

from __future__ import annotations

import asyncio

import pytest
from django.core.cache import cache as django_cache
from django.core.cache import caches
from django.test import override_settings
from redis.exceptions import ConnectionError as RedisConnectionError

from django_dripcache import (
    CacheManager,
    CacheUnavailableError,
    LockTimeoutError,
    auth_cache,
    cache,
    flags,
    on_outage,
    session_cache,
)
from django_dripcache.testing import Sandbox
from tests.processes import in_threads


def test_every_call_is_answered_with_its_fallback(sandbox):
    cache.set("key", 1)
    flags.set("sale", True)
    session_cache.set("id", {"a": 1})
    raw = caches["default"].client.get_client()
    raw.ping()
    with sandbox.outage():
        for _ in range(5):
            assert cache.get("key") is None
            assert cache.get_or_set("key", lambda: "loaded") == "loaded"
            assert django_cache.get("key", "default") == "default"
            assert flags.get("sale") is True
            assert not cache.test_connection()
            assert cache.health_check().status == "unhealthy"
            assert session_cache.get("id") is None
            with pytest.raises(CacheUnavailableError):
                auth_cache.get_token("token")
            with pytest.raises(LockTimeoutError), cache.lock("lock", ttl=10):
                pass
            with on_outage("raise"), pytest.raises(CacheUnavailableError):
                cache.get("key")
            with pytest.raises(RedisConnectionError):
                raw.ping()
    assert cache.get("key") == 1
    assert session_cache.get("id") == {"a": 1}
    assert raw.ping()
    assert cache.health_check().status == "healthy"


def test_what_could_not_be_written_is_gone_at_once(sandbox):
    cache.set_many({"set": "old", "deleted": "old", "tagged": "old"})
    cache.set("tagged", "old", tags=["tag"])
    with sandbox.outage():
        assert cache.set("set", "new") is False
        assert cache.delete("deleted") is False
        assert cache.invalidate_tags("tag") == 0
    for key in ("set", "deleted", "tagged"):
        sandbox.assert_not_cached(key)


def test_threads_and_event_loops_have_the_outage_too(sandbox):
    async def ask():
        await cache.aset("key", 1)
        assert await cache.aget("key") == 1
        with sandbox.outage():
            return [await cache.aget("key") for _ in range(5)] + [await cache.aset("other", 1)]

    assert asyncio.run(ask()) == [None] * 5 + [False]
    assert cache.get("key") == 1
    with sandbox.outage():
        assert in_threads(8, lambda _: cache.get("key")) == [None] * 8
    assert in_threads(8, lambda _: cache.get("key")) == [1] * 8


def test_every_alias_has_it_and_those_that_come_later(sandbox):
    backend = "django_dripcache.backend.DripCache"
    with override_settings(
        CACHES={alias: {"BACKEND": backend, "LOCATION": f"redis://{alias}/"} for alias in ("default", "other", "late")}
    ):
        assert CacheManager("other").set("key", 1)
        with sandbox.outage():
            assert not cache.set("key", 1)
            assert CacheManager("other").get("key") is None
            assert not CacheManager("late").set("key", 1)
        assert CacheManager("other").get("key") == 1
        assert CacheManager("late").set("key", 1)


def test_settings_that_are_overridden_within_end_no_outage(sandbox):
    cache.set("key", 1)
    with sandbox.outage(), override_settings(DRIPCACHE={"MAX_VALUE_BYTES": 100}):
        assert cache.get("key") is None
        assert not cache.set("key", 2)
    assert cache.get("key") is None
    assert cache.set("key", 3)


def test_an_outage_within_an_outage_is_one(sandbox):
    cache.set("key", 1)
    with sandbox.outage():
        with sandbox.outage():
            assert cache.get("key") is None
        assert cache.get("key") is None
    assert cache.get("key") == 1


def test_an_outage_ends_with_its_test(kind):
    with Sandbox() as sandbox:
        outage = sandbox.outage()
        outage.__enter__()
        assert not cache.set("key", 1)
    with Sandbox():
        assert cache.set("key", 1)


def test_an_outage_that_nobody_notices_leaves_nothing(sandbox):
    with sandbox.outage():
        pass
    assert cache.set("key", 1)
    assert caches["default"].client.server.failures == 0
