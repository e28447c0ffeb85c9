"""While Redis cannot be used: every page says so within a second, and no act pretends to be done."""

from __future__ import annotations

import math
import time
from pkgutil import resolve_name

import pytest
from django.test import override_settings

from django_dripcache import cache, flags
from django_dripcache.connections import close_all
from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.services.sessions import SessionCache
from tests.conftest import use_server

from .conftest import BASE, Desk
from .test_access import ACTS, SCREENS

pytestmark = pytest.mark.django_db

PAGES = [*SCREENS, "?live", "keys/?name=dripcache:c:a", "sessions/?user=7", "keys/?search=a"]
SAYS = "Redis does not answer"


def time_without_redis(desk, path):
    """Return a page, and how long it took: of three times the shortest, since others use this machine, too."""
    shortest, page = math.inf, ""
    for _ in range(3):
        close_all()  # and with it what is known of the outage
        began = time.monotonic()
        page = desk.look(path)
        shortest = min(shortest, time.monotonic() - began)
        if shortest < 1:
            break
    return page, shortest


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_so_within_a_second(start_server, boss, path):
    server = start_server()
    with use_server(server.url):
        Desk(boss).look(path)
        server.pause()
        page, took = time_without_redis(Desk(boss), path)
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
        page, took = time_without_redis(Desk(boss), "")
        for server in servers:
            server.resume()
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


@pytest.mark.parametrize(
    ("path", "data", "verb"),
    [
        ("flags/set/", {"name": "checkout", "enabled": "on"}, "services.flags.FeatureFlags.set"),
        ("flags/delete/", {"name": "checkout"}, "services.flags.FeatureFlags.delete"),
        ("keys/delete/", {"name": "dripcache:c:a"}, "admin.keys.delete_key"),
        ("keys/expire/", {"name": "dripcache:c:a", "seconds": "1"}, "admin.keys.expire_key"),
        ("tags/invalidate/", {"tag": "a"}, "admin.tags.invalidate_tag"),
        ("sessions/logout/", {"user": "7", "digest": "0" * 32}, "services.sessions.SessionCache.delete_by_digest"),
        ("sessions/logout_all/", {"user": "7"}, "services.sessions.SessionCache.delete_for_user"),
        ("clear/django/", {"typed": "default"}, "backend.DripCache.clear"),
        ("clear/cache/", {"typed": "cache"}, "manager.CacheManager.clear"),
    ],
)
def test_an_outage_in_the_middle_of_an_act_is_told(start_server, boss, monkeypatch, path, data, verb):
    server = start_server()
    real = resolve_name(f"django_dripcache.{verb}")

    def hang(*args, **options):
        server.pause()
        return real(*args, **options)

    monkeypatch.setattr(f"django_dripcache.{verb}", hang)
    with use_server(server.url):
        told = Desk(boss).do(path, **data)
        server.resume()
        assert "it is not known whether this was done" in told
        assert Desk(boss).log == []


def test_an_outage_in_the_middle_of_a_page_breaks_nothing(broker, boss, monkeypatch, with_settings):
    def fail(*args, **options):
        raise CacheUnavailableError("timeout")

    with_settings(SESSION_ENGINE="django.contrib.sessions.backends.db")
    monkeypatch.setattr(SessionCache, "list_for_user", fail)
    assert "There is no session" in Desk(boss).look("sessions/?user=7")


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
