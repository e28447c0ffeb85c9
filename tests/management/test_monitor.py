"""``manage.py dripcache monitor``."""

from __future__ import annotations

from unittest import mock

from django_dripcache import cache
from django_dripcache.counts import COUNTS, HIT, MISS, Label
from django_dripcache.management import monitor
from django_dripcache.management.monitor import grown_since
from django_dripcache.recorder import RECORDER
from tests.conftest import use_server
from tests.processes import wait_for

from .asking import ask, ask_lines


def acting(*acts):
    """Let something happen while the command sleeps, one thing each time, and interrupt it then."""
    left = list(acts)

    def sleep(_):
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    return mock.patch.object(monitor, "sleep", side_effect=sleep)


def work():
    cache.set("user:1", 1, 60)
    cache.get("user:1")
    cache.get("user:2")
    assert RECORDER.flush()


def test_it_tells_what_has_changed_and_nothing_of_before(broker):
    COUNTS.take()
    work()
    with acting(work, lambda: None, work):
        code, told = ask_lines("monitor")
    assert code == 0
    assert [{name: number for name, number in one.items() if name not in {"at", "bytes"}} for one in told] == [
        {"name": "user", "hits": 1, "misses": 1, "writes": 1},
        {"name": "user", "hits": 1, "misses": 1, "writes": 1},
    ]
    with acting(work):
        text = ask("monitor")[1]
    assert "user                            hits 1, misses 1, writes 1" in text


def test_an_outage_is_told_once_and_its_end_too(start_server, broker):
    server = start_server()
    with use_server(server.url):
        away = [server.pause, lambda: None, lambda: None]
        with acting(*away, server.resume, _wait):
            code, told = ask_lines("monitor")
    assert code == 0
    assert "cannot be used" in told[0]["error"]
    assert told[1:] == [{"error": None}]


def _wait():
    wait_for(cache.test_connection)


USER, PAGE, TASK = Label("k", "user"), Label("k", "page"), Label("t", "task")


def test_what_has_grown():
    last = {60: {USER: {HIT: 5}}, 120: {USER: {HIT: 1}}}
    assert grown_since(last, last) == {}
    assert grown_since(last, {120: {USER: {HIT: 4, MISS: 2}}, 180: {USER: {HIT: 1}, PAGE: {HIT: 1}}}) == {
        USER: {HIT: 4, MISS: 2},
        PAGE: {HIT: 1},
    }
    assert grown_since({}, {60: {TASK: {0: 1}}}) == {}
    assert grown_since(last, {120: {USER: {1000: 3}}}) == {}
