"""How a cache is: health_check(), and the view for load balancers."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path

from django_dripcache import CacheClient, CacheManager, views
from django_dripcache.backend import get_alias_server
from django_dripcache.breaker import CONSECUTIVE
from django_dripcache.stats import SLOW

from .faults.proxy import Proxy
from .processes import UNREACHABLE, in_threads, site, wait_for

SECRET = "the-secret-password"

urlpatterns = [
    path("cache/", include("django_dripcache.urls")),
    path("page/", lambda request: HttpResponse("page")),
]


@pytest.fixture(autouse=True)
def fresh():
    """Let nothing that the view remembers go from one test to another."""
    views._last.clear()
    yield
    views._last.clear()


@pytest.fixture
def wire(start_server):
    with Proxy(start_server().port) as proxy:
        yield proxy


@pytest.fixture
def client():
    with override_settings(ROOT_URLCONF=__name__):
        yield Client(raise_request_exception=True)


# The method


def test_a_server_that_answers_is_healthy(drive, start_server):
    server = start_server(maxmemory="64mb", maxmemory_policy="volatile-lru")
    with site(server.url, {}):
        health = wait_for(lambda: (found := drive(CacheClient()).health_check()).status == "healthy" and found)
    assert 0 < health.latency_ms < SLOW
    assert (health.breaker, health.opened, health.failures, health.pending) == ("closed", 0, 0, 0)
    assert health.memory_used > 0
    assert health.memory_max == 64 * 1024 * 1024
    assert health.eviction_policy == "volatile-lru"


def test_a_server_that_is_not_there_is_unhealthy_and_nothing_is_raised(drive):
    with site(UNREACHABLE, {}):
        health = drive(CacheClient(CacheManager(on_outage="raise"))).health_check()
    assert health.status == "unhealthy"
    assert health.latency_ms is None
    assert health.failures >= 1
    assert (health.memory_used, health.memory_max, health.eviction_policy) == (0, 0, "")


def test_a_server_that_is_frozen_is_unhealthy_within_the_time_of_a_call(drive, wire):
    with site(wire.url, {}):
        client = CacheClient()
        assert client.set("key", 1)
        wire.become("silent")
        began = time.monotonic()
        assert drive(client).health_check().status == "unhealthy"
        assert time.monotonic() - began < 0.6


def test_an_open_breaker_is_told_and_asks_nobody():
    with site(UNREACHABLE, {}):
        client = CacheClient()
        for _ in range(CONSECUTIVE):
            client.get("key")
        began = time.monotonic()
        health = [client.health_check() for _ in range(20)][-1]
        assert time.monotonic() - began < 0.2
    assert (health.status, health.breaker, health.opened) == ("unhealthy", "open", 1)
    assert health.failures == CONSECUTIVE


def test_a_server_that_answers_late_is_degraded(drive, wire):
    with site(wire.url, {}):
        client = CacheClient()
        assert client.set("key", 1)
        drive(client).get("key")
        wire.become("latency", 0.13)
        health = drive(client).health_check()
    assert health.status == "degraded"
    assert health.latency_ms >= 120


def test_writes_that_are_still_to_be_made_good_are_degraded_and_counted(start_server):
    server = start_server()
    with site(server.url, {}), server.client() as raw:
        client = CacheClient()
        assert client.set("key", 1)
        raw.replicaof("127.0.0.1", 1)
        assert not client.set("key", 2)
        assert not client.delete("other")
        health = client.health_check()
        raw.replicaof("NO", "ONE")
        assert health.status != "healthy"
        assert health.pending == 4  # two keys, and the leases of who may be computing them
        assert client.get("key") is None
        assert wait_for(lambda: client.health_check().status == "healthy", 3)
        assert client.health_check().pending == 0


def test_a_server_that_recovers_is_healthy_again_by_itself(wire):
    with site(wire.url, {}):
        client = CacheClient()
        assert client.set("key", 1)
        wire.become("silent")
        for _ in range(CONSECUTIVE):
            client.get("key")
        assert client.health_check().breaker == "open"
        wire.become("pass")
        health = wait_for(lambda: (found := client.health_check()).status == "healthy" and found, 3)
    assert (health.breaker, health.opened) == ("closed", 1)


def test_a_server_whose_info_may_not_be_asked_is_healthy_without_figures(start_server):
    server = start_server()
    with server.client() as raw:
        raw.execute_command("ACL", "SETUSER", "site", "on", ">pw", "~*", "+@all", "-info")
    with site(f"redis://site:pw@127.0.0.1:{server.port}/0", {}):
        health = wait_for(lambda: (found := CacheClient().health_check()).latency_ms and found)
    assert health.status == "healthy"
    assert health.memory_used == 0


def test_no_password_is_in_what_is_told(caplog, start_server):
    server = start_server()
    with server.client() as raw:
        raw.config_set("requirepass", SECRET + "-of-the-server")
    with site(f"redis://:{SECRET}@127.0.0.1:{server.port}/0", {}):
        client = CacheClient()
        for _ in range(CONSECUTIVE + 1):
            health = client.health_check()
        found = get_alias_server("default")
        assert health.status == "unhealthy"
        for text in (repr(health), repr(found), found.trouble, repr(found.broker), str(found.broker), caplog.text):
            assert SECRET not in text
        assert "cannot be used" in caplog.text


# The view


def test_a_healthy_cache_is_a_200_and_says_no_more_than_that(client, start_server):
    with site(start_server().url, {}):
        wait_for(lambda: CacheClient().health_check().status == "healthy")
        response = client.get("/cache/health/")
    assert response.status_code == 200
    assert json.loads(response.content) == {"status": "healthy"}
    assert response["Content-Type"] == "application/json"
    assert "no-store" in response["Cache-Control"]


def test_a_degraded_cache_is_a_200(client, wire):
    with site(wire.url, {}):
        assert CacheClient().set("key", 1)
        wire.become("latency", 0.13)
        response = client.get("/cache/health/")
    assert response.status_code == 200
    assert json.loads(response.content) == {"status": "degraded"}


def test_an_unhealthy_cache_is_a_503_in_a_bounded_time_and_tells_no_secret(client, wire):
    with site(wire.url.replace("//", f"//:{SECRET}@"), {}):
        wire.become("silent")
        began = time.monotonic()
        response = client.get("/cache/health/")
        seconds = time.monotonic() - began
    assert response.status_code == 503
    assert json.loads(response.content) == {"status": "unhealthy"}
    assert seconds < 0.6
    whole = response.serialize().decode()
    assert SECRET not in whole
    assert "127.0.0.1" not in whole
    assert "imeout" not in whole


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_it_can_only_be_read(client, method):
    with site(UNREACHABLE, {}):
        assert getattr(client, method)("/cache/health/").status_code == 405


def test_a_head_request_has_the_status_and_no_body(client):
    with site(UNREACHABLE, {}):
        response = client.head("/cache/health/")
    assert response.status_code == 503
    assert response.content == b""


def test_however_often_it_is_asked_redis_is_asked_once_a_second(client, monkeypatch):
    asked = []
    monkeypatch.setattr(CacheClient, "health_check", lambda _: asked.append(1) or _Unhealthy)
    for _ in range(50):
        assert client.get("/cache/health/").status_code == 503
    assert len(asked) == 1
    views._last[0] = (views._last[0][0] - views.FRESH - 0.1, {"status": "healthy"})
    assert client.get("/cache/health/").status_code == 503
    assert len(asked) == 2


class _Unhealthy:
    status = "unhealthy"


def test_threads_that_ask_at_the_same_time_ask_redis_once(client, monkeypatch):
    asked = []

    def slow(_):
        asked.append(1)
        time.sleep(0.2)
        return _Unhealthy

    monkeypatch.setattr(CacheClient, "health_check", slow)
    statuses = in_threads(10, lambda _: Client().get("/cache/health/").status_code)
    assert statuses == [503] * 10
    assert len(asked) == 1


def test_it_answers_under_an_async_server_too(client):
    with site(UNREACHABLE, {}):
        response = asyncio.run(AsyncClient().get("/cache/health/"))
    assert response.status_code == 503
    assert json.loads(response.content) == {"status": "unhealthy"}
