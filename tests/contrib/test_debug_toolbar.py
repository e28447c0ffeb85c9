"""The panel of django-debug-toolbar: it shows what a request did with the cache, that request alone, and no secret."""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
import threading
import time
import weakref
from html import unescape

import pytest
from django.apps import apps
from django.conf import settings
from django.core.cache import caches
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path, reverse
from django.utils.translation import override

pytest.importorskip("debug_toolbar")

from django_dripcache import auth_cache, cache, memoize, session_cache
from django_dripcache._counted import WATCHERS
from django_dripcache.backend import get_alias_server
from django_dripcache.contrib import debug_toolbar
from django_dripcache.contrib.debug_toolbar import RECORDING, DripCachePanel, Recording, Row, _describe
from django_dripcache.events import LISTENERS
from tests.conftest import use_server
from tests.processes import UNREACHABLE, in_threads, needs_server, run_python, site, wait_for

PANEL = "django_dripcache.contrib.debug_toolbar.DripCachePanel"
PAGE = "<html><body>A page.</body></html>"


class Site:
    """What the view of the site does, which a test puts here."""

    work = staticmethod(lambda: None)


def view(request):
    Site.work()
    return HttpResponse(PAGE)


async def aview(request):
    await Site.work()
    return HttpResponse(PAGE)


@pytest.fixture
def toolbar():
    together = {
        "DEBUG": True,
        "MIDDLEWARE": ["debug_toolbar.middleware.DebugToolbarMiddleware"],
        "DEBUG_TOOLBAR_PANELS": [PANEL],
        "DEBUG_TOOLBAR_CONFIG": {"SHOW_TOOLBAR_CALLBACK": f"{__name__}.always"},
        "INSTALLED_APPS": [*settings.INSTALLED_APPS, "debug_toolbar"],
    }
    with override_settings(**together):
        # Its models can be imported now.
        from debug_toolbar.toolbar import DebugToolbar  # noqa: PLC0415

        pages = (path("", view), path("async/", aview), path("__debug__/", include("debug_toolbar.urls")))
        with override_settings(ROOT_URLCONF=pages):
            DebugToolbar._panel_classes = None
            apps.get_app_config("debug_toolbar").ready()
            yield
    DebugToolbar._panel_classes = None
    LISTENERS.remove(debug_toolbar._hear)
    WATCHERS.remove(debug_toolbar._watch)


def always(request):
    return True


def content(page):
    """Return what the toolbar shows in the panel, of a response."""
    found = re.search(r'data-request-id="(\w+)"', page)
    url = reverse("djdt:render_panel")
    answer = Client().get(url, {"request_id": found[1], "panel_id": "DripCachePanel"})
    assert answer.status_code == 200
    assert answer.json()["scripts"] == []
    return answer.json()["content"]


def cells(html):
    """Return the cells of the tables of the panel, a list a row: the summary, and the calls."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    texts = [
        [re.sub(r"<.*?>", "", cell).strip() for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL)]
        for row in rows
    ]
    summary, *calls = [[unescape(text) for text in row] for row in texts if row]
    return summary, calls


def visit(work):
    """Let a view do some work, and return what the panel shows of it."""
    Site.work = staticmethod(work)
    return content(Client().get("/").content.decode())


def avisit(work):
    """See visit(), on an event loop."""
    Site.work = staticmethod(work)

    async def ask():
        return await AsyncClient().get("/async/")

    return content(asyncio.run(ask()).content.decode())


def test_each_call_is_shown_with_what_came_of_it(broker, toolbar):
    def work():
        cache.set("page:1:body", "text")
        cache.get("page:1:body")
        cache.get("page:2:body")
        cache.get_or_set("page:3:body", lambda: 1)
        caches["default"].get_many(["a", "b", "c", "d", "e"])
        cache.delete("page:1:body")

    summary, calls = cells(visit(work))
    assert summary[:3] == ["6", "7", "0"]
    assert re.fullmatch(r"\d+\.\d\d ms", summary[3])
    assert [call[:6] for call in calls] == [
        ["set", "page:#", "page:1:body", "network", "", "1"],
        ["get", "page:#", "page:1:body", "network", "hit", "1"],
        ["get", "page:#", "page:2:body", "network", "miss", "1"],
        ["get_or_set", "page:#", "page:3:body", "network", "miss", "2"],
        ["get_many", "(no prefix)", ":1:a, :1:b, :1:c, …", "network", "miss (5)", "1"],
        ["delete", "page:#", "page:1:body", "network", "invalidated", "1"],
    ]
    assert all(float(call[6].removesuffix(" ms")) > 0 for call in calls)


def test_it_is_so_on_an_event_loop_too(broker, toolbar):
    async def work():
        await cache.aset("page:1:body", "text")
        await asyncio.gather(*(cache.aget(f"page:{number}:body") for number in (1, 2)))
        await caches["default"].aget("a")

    summary, calls = cells(avisit(work))
    assert summary[:3] == ["4", "4", "0"]
    assert [call[0] for call in calls] == ["aset", "aget", "aget", "aget"]
    assert sorted((call[2], call[4]) for call in calls[1:]) == [
        (":1:a", "miss"),
        ("page:1:body", "hit"),
        ("page:2:body", "miss"),
    ]


@needs_server
def test_near_hits_are_shown_as_such(redis_server, raw, toolbar):
    with site(redis_server.url, {"NEAR": {}}):
        for target in (cache, caches["default"]):
            assert target.set("key", 1)
            assert target.get("key") == 1
        near = get_alias_server("default").near
        wait_for(lambda: near.stats().status == "live")
        wait_for(lambda: cache.get("key") == caches["default"].get("key") == 1 and near.stats().entries == 2)

        def work():
            cache.get("key")
            caches["default"].get("key")
            caches["default"].get_many(["key"])
            cache.get_or_set("key", lambda: 2)

        summary, calls = cells(visit(work))
    assert summary == ["4", "0", "4", "0.00 ms"]
    assert {tuple(call[3:]) for call in calls} == {("near", "near hit", "0", "0.00 ms")}
    assert [call[0] for call in calls] == ["get", "get", "get_many", "get_or_set"]


def test_a_loader_that_asks_the_cache_has_calls_of_its_own(broker, toolbar):
    def work():
        cache.get_or_set("outer", lambda: cache.get_or_set("inner", lambda: 1))

    _, calls = cells(visit(work))
    assert [call[:6] for call in calls] == [
        ["get_or_set", "(no prefix)", "outer", "network", "miss", "2"],
        ["get_or_set", "(no prefix)", "inner", "network", "miss", "2"],
    ]


def test_a_stale_value_and_what_is_computed_beside_are_shown(broker, toolbar):
    cache.set("key", "old", 0.001, grace=60)

    time.sleep(0.02)
    _, calls = cells(visit(lambda: cache.get_or_set("key", lambda: "new", 60, grace=60, hard_timeout=10)))
    assert [call[:6] for call in calls] == [
        ["get_or_set", "(no prefix)", "key", "network", "stale", "1"],
        ["in the background", "(no prefix)", "key", "network", "", "1"],
    ]


def test_a_memoized_function_is_shown_by_its_key(broker, toolbar):
    @memoize(60, key="report:{year}")
    def report(year):
        return year

    _, calls = cells(visit(lambda: report(2026)))
    assert calls[0][0] == "memo"
    assert calls[0][2] == "report:2026"


def test_an_outage_is_shown(start_server, toolbar):
    server = start_server()
    with use_server(server.url):
        cache.get("key")
        server.kill()
        summary, calls = cells(visit(lambda: [cache.get("key") for _ in range(10)]))
    assert summary[0] == "10"
    assert 1 <= int(summary[1]) < 10
    assert calls[0][3:6] == ["network", "error", "1"]
    assert calls[-1][3:] == ["not asked", "error", "0", "0.00 ms"]


def test_a_request_that_does_without_says_so(broker, toolbar):
    html = visit(lambda: None)
    assert "This request did not use the cache." in html
    assert cells(html) == (["0", "0", "0", "0.00 ms"], [])


@pytest.mark.far("it is about what Redis is sent")
def test_requests_at_the_same_time_do_not_mix(broker, toolbar):
    numbers, together = itertools.count(), threading.Barrier(4)

    def work():
        number = next(numbers)
        for turn in range(20):
            if turn % 10 == 5:
                together.wait(10)
            cache.get(f"mine:{number}:a")

    Site.work = staticmethod(work)
    pages = in_threads(4, lambda _: Client().get("/").content.decode())
    found = [cells(content(page)) for page in pages]
    assert [summary[:2] for summary, _ in found] == [["20", "20"]] * 4
    keys = [{call[2] for call in calls} for _, calls in found]
    assert [len(one) for one in keys] == [1] * 4
    assert len(set.union(*keys)) == 4


def test_requests_of_one_event_loop_do_not_mix(broker, toolbar):
    numbers = itertools.count()

    async def work():
        number = next(numbers)
        for _ in range(5):
            await cache.aget(f"mine:{number}:a")
            await asyncio.sleep(0)

    Site.work = staticmethod(work)

    async def ask():
        return await asyncio.gather(*(AsyncClient().get("/async/") for _ in range(4)))

    pages = [content(answer.content.decode()) for answer in asyncio.run(ask())]
    found = [{call[2] for call in cells(page)[1]} for page in pages]
    assert sorted(map(len, found)) == [1] * 4
    assert len(set.union(*found)) == 4


def test_nothing_is_kept_outside_of_a_request(broker, toolbar):
    visit(lambda: cache.get("key"))
    assert RECORDING.get() is None
    cache.get("key")
    assert cells(visit(lambda: None))[0][0] == "0"


def test_what_a_call_held_is_let_go_with_the_request(broker, toolbar):
    class Value:
        pass

    held = []

    def load():
        value = Value()
        held.append(weakref.ref(value))
        return value.__class__.__name__

    visit(lambda: cache.get_or_set("key", load))
    gc.collect()
    assert [one() for one in held] == [None]
    recording = Recording()
    recording.hear("hit", (b"dripcache:c:a",))
    assert [row.verb for row in recording.end()]
    assert recording.end() == []


def test_it_listens_once(broker, toolbar):
    assert (LISTENERS.count(debug_toolbar._hear), WATCHERS.count(debug_toolbar._watch)) == (1, 1)
    DripCachePanel.ready()
    for config in apps.get_app_configs():
        if config.name == "debug_toolbar":
            config.ready()
    assert (LISTENERS.count(debug_toolbar._hear), WATCHERS.count(debug_toolbar._watch)) == (1, 1)


# What is in it, and what is not


def test_no_secret_is_shown(broker, toolbar):
    def work():
        auth_cache.set_token("token-of-ada", user="ada-7")
        auth_cache.get_token("token-of-ada")
        auth_cache.set("ada-7", {"staff": True})
        auth_cache.get("ada-7")
        auth_cache.consume_state(auth_cache.create_state({"name": "value-of-ada"}))
        session_cache.set("session-of-ada", {"name": "value-of-ada"}, user="ada-7")
        session_cache.get("session-of-ada")
        session_cache.list_for_user("ada-7")
        with cache.lock("lock-of-ada", 10):
            pass
        cache.set("plain", "value-of-ada")

    html = visit(work)
    _, calls = cells(html)
    assert {call[1] for call in calls} >= {"auth_cache", "session_cache"}
    assert {call[2] for call in calls} == {"", "plain"}
    assert "ada" not in html
    assert not re.search(r"[0-9a-f]{32}", html), "a digest of a secret"


HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\x00\x1b[2J", "\udcff", "\u202e", "'", "é"]


def test_hostile_keys_are_shown_as_texts(broker, toolbar):
    html = visit(lambda: [cache.get(f"{text}:{text}") for text in HOSTILE])
    assert "<script" not in html
    assert "<img" not in html
    assert not re.search("[\x00\x1b\u202e]", html)
    _, calls = cells(html)
    assert len(calls) == len(HOSTILE)
    assert calls[-1][2] == "é:é"


def test_it_needs_no_script_and_no_style(broker, toolbar):
    html = visit(lambda: cache.get("key"))
    assert not re.search(r"<script|<style|style=|\son\w+=|javascript:", html)


def test_a_long_key_is_cut_and_a_foreign_name_is_not_shown():
    long, foreign = Row("get", [b"dripcache:c:" + b"a" * 400]), Row("get", [b"celery"])
    assert len(_describe(long)["keys"][0]) == 200
    assert (_describe(foreign)["keys"], _describe(foreign)["groups"]) == ([], "")


@pytest.mark.far("it is about what Redis is sent")
@pytest.mark.parametrize(("count", "told"), [(1, "1 round trip"), (2, "2 round trips")])
def test_the_server_timing_and_the_side_bar_tell_the_sum(broker, toolbar, count, told):
    Site.work = staticmethod(lambda: [cache.get("key") for _ in range(count)])
    answer = Client().get("/")
    assert "DripCachePanel_redis;dur=" in answer["Server-Timing"]
    assert f'"DripCache, {told}"' in answer["Server-Timing"]
    assert re.search(rf"{count} calls?, 0 near, {told} in \d+\.\d\d ms", answer.content.decode())


@pytest.mark.far("it is about what Redis is sent")
def test_the_side_bar_counts_and_writes_numbers_as_the_language_does(broker, toolbar):
    Site.work = staticmethod(lambda: cache.get("key"))
    with override("de"):
        page = Client().get("/").content.decode()
    assert re.search(r"1 Aufruf, 0 nah, 1 Roundtrip in \d+,\d\d ms", page)


def test_without_the_package_the_error_says_what_to_install():
    code = """
        import json, sys, django
        django.setup()
        sys.modules["debug_toolbar.panels"] = None
        try:
            from django_dripcache.contrib import debug_toolbar
        except django.core.exceptions.ImproperlyConfigured as error:
            print(json.dumps(str(error)))
    """
    assert "pip install django-debug-toolbar" in run_python(code, UNREACHABLE)
