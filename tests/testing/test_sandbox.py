"""A place of its own: what is isolated from what, for how long, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from contextlib import contextmanager

import pytest
from asgiref.sync import sync_to_async
from celery import Celery
from django.core.cache import cache as django_cache
from django.core.cache import caches
from django.core.signals import setting_changed
from django.test import override_settings

from django_dripcache import CacheManager, cache, connections, user_cache
from django_dripcache.exceptions import ConfigurationError
from django_dripcache.testing import Sandbox
from django_dripcache.testing.home import Home, get_home
from tests.conftest import use_server
from tests.processes import in_threads, wait_for

BACKEND = "django_dripcache.backend.DripCache"
SITE = "redis://127.0.0.1:1/0"


@contextmanager
def aliases(**locations):
    with override_settings(
        CACHES={alias: {"BACKEND": BACKEND, "LOCATION": location} for alias, location in locations.items()}
    ):
        yield


def clients():
    """Return clients of all databases of the home."""
    return list(get_home()._clients.values())


def left_behind():
    """Return what is in the databases of the home."""
    return [name for client in clients() for name in client.scan_iter(count=1000)]


# Apart from others


def test_a_sandbox_begins_empty_and_leaves_nothing(kind):
    for _ in range(2):
        with Sandbox() as sandbox:
            sandbox.assert_not_cached("key")
            cache.set("key", 1, tags=["tag"])
            django_cache.set("key", 2)
            user_cache.set(7, "theme", "dark")
            assert len(sandbox.names()) == len(left_behind()) == 5
        assert left_behind() == []


def test_the_sites_own_server_is_never_asked(kind, start_server):
    own = start_server()  # which nobody else has ever asked, who may be late
    with use_server(own.url), own.client() as raw:
        cache.set("key", "the site's")
        before = raw.info("stats")["total_commands_processed"]
        with Sandbox():
            assert cache.get("key") is None
            cache.set("key", "the test's")
            cache.clear()
            django_cache.clear()
            cache.delete_pattern("*")
        assert raw.info("stats")["total_commands_processed"] == before + 1
        assert cache.get("key") == "the site's"


def test_one_sandbox_in_another_has_a_place_of_its_own(sandbox):
    cache.set("key", "outer")
    with Sandbox() as inner:
        assert cache.get("key") is None
        cache.set("key", "inner")
        assert inner.names() == ["c:key"]
        cache.clear()
    assert cache.get("key") == "outer"
    assert sandbox.names() == ["c:key"]


def test_all_threads_see_the_sandbox_and_threads_of_the_past_do_not_disturb_it(sandbox):
    cache.set("key", 1)
    assert in_threads(8, lambda number: (cache.get("key"), cache.set(f"of {number}", 1))) == [(1, True)] * 8
    assert len(sandbox.names()) == 9
    late = caches["default"].client
    with Sandbox() as inner:
        late.set("key", "late")
        assert inner.names() == []


def test_a_cache_that_was_got_hold_of_before_is_in_the_sandbox_too(kind, broker, raw):
    captured, used = caches["default"], caches["default"]
    used.set("key", "the site's")
    with Sandbox() as sandbox:
        assert captured.get("key") is None
        captured.set("key", "the test's")
        sandbox.assert_cached("key", "the test's", alias="default")
    assert captured.get("key") == "the site's"


def test_a_cache_that_was_got_hold_of_within_is_the_sites_after_it(kind, broker, raw):
    with Sandbox():
        captured = caches["default"]
        captured.set("key", "the test's")
    assert captured.get("key") is None
    captured.set("key", "the site's")
    assert raw.exists("dripcache:d::1:key")


def test_caches_of_other_backends_are_left_alone(kind):
    local = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "apart"}
    with override_settings(CACHES={"default": local}):
        django_cache.set("key", 1)
        with Sandbox() as sandbox:
            assert django_cache.get("key") == 1
            assert sandbox.names() == []


def test_a_sandbox_in_which_nothing_is_cached_starts_no_server(kind, monkeypatch):
    monkeypatch.setattr("django_dripcache.testing.isolation.get_home", None)
    with Sandbox() as sandbox:
        sandbox.travel(60)
        assert sandbox.names() == []
        with sandbox.outage(), sandbox.assert_round_trips(0), sandbox.assert_loader_calls(0):
            pass


# Several places


def test_two_places_of_the_site_are_two_places_in_a_sandbox_and_one_is_one(sandbox):
    with aliases(default=SITE, same="redis://localhost:1/0", other="redis://127.0.0.1:1/1", third="redis://elsewhere/"):
        for alias in ("default", "other", "third"):
            CacheManager(alias).set("key", alias)
        assert [CacheManager(alias).get("key") for alias in caches] == ["default", "default", "other", "third"]
        assert sandbox.names() == ["c:key"] * 3
        CacheManager("other").clear()
        assert [CacheManager(alias).get("key") for alias in caches] == ["default", "default", None, "third"]
        assert connections.locate(SITE, {}) is not connections.locate("redis://elsewhere/", {})
    assert sandbox.names() == ["c:key"] * 2


def test_a_place_stays_the_same_from_test_to_test(kind):
    databases = set()
    for _ in range(3):
        with Sandbox(), aliases(default=SITE, other="redis://elsewhere/"):
            databases.add(tuple(str(connections.locate(url, {}).broker) for url in (SITE, "redis://elsewhere/")))
    assert len(databases) == 1


@pytest.mark.parametrize("url", ["memory://", "amqp://guest@localhost//", None])
def test_a_site_whose_tests_have_no_redis_for_a_broker_has_caches(kind, url, monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    with override_settings(CELERY_BROKER_URL=url), aliases(default="celery", other=""), Sandbox():
        assert cache.set("key", 1)
        assert CacheManager("other").get("key") == 1


def test_a_location_that_is_wrong_is_an_error_as_ever(sandbox):
    with aliases(default="http://localhost/"), pytest.raises(ConfigurationError, match="http"):
        cache.get("key")
    with aliases(default="redis://localhost/0?unknown=1"), pytest.raises(ConfigurationError, match="unknown"):
        cache.get("key")


# Settings that a test overrides


def test_settings_that_are_overridden_within_change_no_place(sandbox):
    cache.set("key", 1)
    with use_server("redis://127.0.0.1:1/0"):
        assert cache.get("key") == 1
        django_cache.set("django", 2)
    sandbox.assert_cached("django", 2, alias="default")
    with override_settings(CACHES={"default": {"BACKEND": BACKEND, "TIMEOUT": 7, "KEY_PREFIX": "mine"}}):
        assert django_cache.get("django") is None
        django_cache.set("django", 3)
        assert django_cache.ttl("django") in range(5, 8)


def test_another_namespace_is_another_place_and_is_removed_as_well(kind):
    with Sandbox() as sandbox:
        cache.set("key", 1)
        with use_server(SITE, NAMESPACE="other"):
            assert cache.get("key") is None
            cache.set("key", 2)
        assert cache.get("key") == 1
        assert sandbox.names() == ["c:key", "c:key"]
    assert left_behind() == []


def test_settings_that_are_overridden_around_hold_within(kind):
    with override_settings(CACHES={"default": {"BACKEND": BACKEND, "LOCATION": SITE, "TIMEOUT": 7}}), Sandbox():
        django_cache.set("key", 1)
        assert django_cache.ttl("key") in range(5, 8)
    with use_server(SITE, MAX_VALUE_BYTES=100), Sandbox():
        assert cache.set("key", "x" * 1000) is False


@pytest.mark.parametrize(("asked", "given"), [(0.001, 5), (60, 60)])
def test_a_call_has_more_time_than_in_production(sandbox, asked, given):
    times = dict.fromkeys(("SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT", "POOL_WAIT"), asked)
    with override_settings(CACHES={"default": {"BACKEND": BACKEND, "OPTIONS": times}}):
        assert cache.set("key", 1)
        options = caches["default"].client.server.options
    assert (options.socket_timeout, options.socket_connect_timeout, options.wait) == (given,) * 3


# How it ends


class TheTestsOwnError(Exception):
    pass


def test_the_error_of_a_test_passes_and_all_is_as_before(kind, broker, raw):
    with pytest.raises(TheTestsOwnError), Sandbox() as sandbox, sandbox.outage():
        raise TheTestsOwnError
    assert cache.set("key", 1)
    assert raw.exists("dripcache:c:key")
    assert left_behind() == []


def test_a_server_that_is_gone_fails_no_test_at_its_end(kind, caplog, monkeypatch):
    def gone(*_, **__):
        raise OSError("gone")

    with Sandbox():
        cache.set("key", 1)
        for client in clients():
            monkeypatch.setattr(client.connection_pool, "get_connection", gone)
    assert [record.message for record in caplog.records if "is left there: " in record.message]
    monkeypatch.undo()
    with Sandbox():
        assert cache.get("key") is None
    for client in clients():
        client.delete(*client.scan_iter(count=1000), "none")


def test_a_sandbox_that_cannot_begin_changes_nothing(kind, broker, raw):
    def refuse(**_):
        raise TheTestsOwnError

    before = connections.discover, connections.Server
    setting_changed.connect(refuse)
    try:
        with pytest.raises(TheTestsOwnError):
            Sandbox().__enter__()
    finally:
        setting_changed.disconnect(refuse)
    assert (connections.discover, connections.Server) == before
    assert cache.set("key", 1)
    assert raw.exists("dripcache:c:key")


def test_a_sandbox_that_cannot_be_removed_is_left_all_the_same(kind, broker, raw, monkeypatch):
    monkeypatch.setattr(Home, "remove", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), Sandbox():
        cache.set("key", 1)
    monkeypatch.undo()
    assert cache.get("key") is None
    assert cache.set("key", 2)
    assert raw.exists("dripcache:c:key")
    for client in clients():
        client.delete(*client.scan_iter(count=1000), "none")


# Event loops, tasks, children


def connected(kind):
    """Return how many connections of this process' pools the server has."""
    if kind == "fakeredis":
        return sum("process_request" in thread.name for thread in threading.enumerate())
    return len([client for client in clients()[0].client_list() if client["name"].startswith("dripcache:")])


def test_connections_of_a_long_event_loop_do_not_grow_with_its_tests(kind):
    async def test():
        with Sandbox():
            await cache.aset("key", 1)
            assert await cache.aget("key") == 1
            assert await sync_to_async(cache.get)("key") == 1

    async def session():
        for _ in range(20):
            await test()
        assert connected(kind) == before

    with Sandbox():
        cache.set("key", 1)
    before = connected(kind) + 1

    asyncio.run(session())


def test_each_of_many_event_loops_closes_its_connections(kind):
    with Sandbox():
        cache.set("key", 1)
    before = connected(kind)
    for _ in range(20):
        with Sandbox():
            asyncio.run(cache.aset("key", 1))
            assert cache.get("key") == 1
    wait_for(lambda: connected(kind) == before)


def test_a_task_that_runs_eagerly_is_in_the_sandbox(sandbox):
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True

    @app.task(shared=False)
    def work():
        return cache.get("key"), cache.set("done", True)

    cache.set("key", 1)
    assert work.delay().get() == (1, True)
    sandbox.assert_cached("done")


def test_a_forked_child_is_in_the_sandbox_and_leaves_its_server_alone(kind):
    with Sandbox() as sandbox:
        cache.set("key", 1)
        child = os.fork()
        if not child:
            try:
                well = cache.get("key") == 1 and cache.set("child", 1)
                get_home().stop()
                os._exit(0 if well else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        sandbox.assert_cached("child")


def test_no_breaker_of_a_test_goes_on_asking_after_it(kind, caplog):
    caplog.set_level(logging.INFO, "django_dripcache")
    with Sandbox() as sandbox:
        with sandbox.outage():
            for _ in range(3):
                cache.get("key")
            server = caches["default"].client.server
            assert server.breaker.is_open
        assert not server.breaker.is_open
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
