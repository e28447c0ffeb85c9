"""While Redis cannot be used: every page says so within a second, and no act pretends to be done."""

from __future__ import annotations

import time

import pytest
from django.core.cache import caches
from django.test import override_settings

from django_dripcache import cache, flags
from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.services.flags import FeatureFlags
from tests.conftest import use_server

from .conftest import BASE, Desk
from .test_access import ACTS, SCREENS

pytestmark = pytest.mark.django_db

PAGES = [*SCREENS, "?live", "keys/?name=dripcache:c:a", "sessions/?user=7", "keys/?search=a"]
SAYS = "Redis does not answer"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_so_within_a_second(start_server, boss, path):
    server = start_server()
    with use_server(server.url):
        Desk(boss).look(path)
        server.pause()
        began = time.monotonic()
        page = Desk(boss).look(path)
        took = time.monotonic() - began
        server.resume()
    assert SAYS in page
    assert took < 1


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_so_where_nobody_listens(boss, path):
    with use_server("redis://127.0.0.1:1/0"):
        page = Desk(boss).look(path)
    assert page.count('role="alert"') == 1
    assert SAYS in page


def test_a_page_of_many_servers_that_hang_takes_no_longer(start_server, boss):
    servers = [start_server() for _ in range(4)]
    backend = "django_dripcache.backend.DripCache"
    places = {str(number): {"BACKEND": backend, "LOCATION": server.url} for number, server in enumerate(servers)}
    with use_server(servers[0].url), override_settings(CACHES={"default": {"BACKEND": backend}, **places}):
        Desk(boss).look()
        for server in servers:
            server.pause()
        began = time.monotonic()
        page = Desk(boss).look()
        took = time.monotonic() - began
        for server in servers:
            server.resume()
        for alias in places:
            caches[alias].client.server.close()
    assert page.count(SAYS) == 5
    assert took < 1


@pytest.mark.parametrize("path", ACTS)
def test_no_act_is_done_nor_noted_for_later(start_server, boss, path):
    server = start_server()
    with use_server(server.url):
        flags.set("checkout", enabled=True)
        cache.set("a", 1)
        server.pause()
        data = {
            "name": "checkout" if path.startswith("flags") else "dripcache:c:a",
            "enabled": "off",
            "seconds": "0",
            "user": "7",
            "digest": "0" * 32,
            "sent": '["a", null]' if path.startswith("tags") else '"checkout"',
            "typed": "default" if "django" in path else "cache",
        }
        told = Desk(boss).do(path, **data)
        server.resume()
        deadline = time.monotonic() + 5
        while cache.get("a") is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert told.startswith("Nothing was done: Redis does not answer.")
        assert flags.all() == {"checkout": True}
        assert cache.get("a") == 1
        assert Desk(boss).log == []


def test_an_outage_in_the_middle_is_told(broker, boss, monkeypatch):
    def fail(*args, **options):
        raise CacheUnavailableError("timeout")

    monkeypatch.setattr(FeatureFlags, "set", fail)
    assert "it is not known whether this was done" in Desk(boss).do("flags/set/", name="a", enabled="on")
    assert Desk(boss).log == []


def test_without_redis_the_flags_are_those_that_were_last_known(start_server, boss):
    server = start_server()
    with use_server(server.url):
        flags.set("checkout", enabled=True)
        server.pause()
        page = Desk(boss).look("flags/")
        server.resume()
    assert "checkout" in page
    assert "What this process last knew" in page


@pytest.mark.parametrize("path", PAGES)
def test_settings_that_cannot_work_are_told_on_every_page(boss, path):
    with use_server("amqp://user:hunter2@rabbit//"):
        page = Desk(boss).look(path)
    assert "not Redis" in page
    assert "hunter2" not in page


@pytest.mark.parametrize("path", [*PAGES])
def test_a_site_without_our_backend_is_told_so_on_every_page(boss, path):
    locmem = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    with override_settings(CACHES={"default": locmem}):
        assert "No alias of CACHES" in Desk(boss).look(path)


@pytest.mark.parametrize("path", PAGES)
def test_a_rule_that_cannot_work_breaks_no_page(broker, boss, path):
    with use_server(broker.url, RATE_LIMITS=[{"name": "a"}]):
        Desk(boss).look(path)


def test_a_bad_setting_is_told_and_breaks_no_page(broker, boss):
    with use_server(broker.url, NAMESPAC="a"):
        for path in PAGES:
            assert boss.get(BASE + path).status_code == 200
