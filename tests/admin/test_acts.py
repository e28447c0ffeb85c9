"""What the pages do: asked before, done then, told, and written to the log."""

from __future__ import annotations

import json
import re
from importlib import import_module

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.test import Client

from django_dripcache import CacheManager, cache, flags, rate_limiter, session_cache, user_cache
from django_dripcache.deadline import BUDGET
from django_dripcache.limiter import RateLimiter
from django_dripcache.rules import get_rules
from django_dripcache.stats import CacheStats
from django_dripcache.whom import get_counted
from tests.conftest import use_server

from .conftest import BASE, Desk

pytestmark = pytest.mark.django_db

RULES = [
    {"name": "login", "rate": "2/m", "key": "ip", "path": "/login/"},
    {"name": "search", "rate": "2/m, 9/h", "key": "user", "path": "/search/", "algorithm": "fixed-window"},
    {"name": "api", "rate": "2/m", "key": "header:X-Api-Key", "path": "/api/*"},
]


def name_of(raw, part):
    (found,) = [name for name in raw.scan_iter(count=1000) if part in name]
    return found.decode()


# Asking


def test_nothing_is_done_before_it_is_confirmed(desk):
    flags.set("checkout", enabled=True)
    response = desk.ask("flags/delete/", name="checkout")
    page = response.content.decode()
    assert response.status_code == 200
    assert "Delete the flag “checkout”?" in page
    assert 'name="confirmed"' in page
    assert flags.get("checkout") is True
    assert desk.log == []


def test_the_form_of_the_question_says_all_that_was_said(desk):
    page = desk.ask("flags/set/", name='a"b', enabled="on", back="alias=default").content.decode()
    sent = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    sent.pop("csrfmiddlewaretoken", None)
    assert sent == {
        "alias": "default",
        "name": "a&quot;b",
        "enabled": "on",
        "back": "alias=default",
        "confirmed": "yes",
    }


def test_an_act_leads_back_to_where_it_was_asked_for(desk):
    response = desk.ask("flags/set/", name="a", enabled="on", back="alias=default&x=1", confirmed="yes")
    assert response["Location"] == f"{BASE}flags/?alias=default&x=1"


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "\r\nSet-Cookie: a=b", "x=\r\n1"])
def test_no_way_back_leads_elsewhere(desk, back):
    response = desk.ask("flags/set/", name="a", enabled="on", back=back, confirmed="yes")
    assert response["Location"].startswith(f"{BASE}flags/?")
    assert "Set-Cookie: a" not in str(response.headers)


def test_an_alias_that_is_not_ours_is_refused(desk):
    assert desk.do("flags/set/", alias="other", name="a", enabled="on") == "There is no such cache."
    assert flags.all() == {}


# Flags


def test_a_flag_is_made_and_switched(desk):
    assert desk.do("flags/set/", name="checkout", enabled="on") == "The flag “checkout” is on."
    assert flags.get("checkout") is True
    assert desk.do("flags/set/", sent=json.dumps("checkout"), enabled="off") == "The flag “checkout” is off."
    assert flags.get("checkout", default=True) is False
    assert desk.log == [("flag “checkout”", "Switched on."), ("flag “checkout”", "Switched off.")]


def test_a_flag_is_deleted_once(desk):
    flags.set("checkout", enabled=True)
    assert desk.do("flags/delete/", name="checkout") == "The flag “checkout” was deleted."
    assert flags.all() == {}
    assert desk.do("flags/delete/", name="checkout") == "There is no flag “checkout”."
    assert desk.log == [("flag “checkout”", "Deleted.")]


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "\ud800", " a ", "{{ 7 }}", "a:b%20"])
def test_a_flag_of_any_name_is_switched_from_the_list(desk, name):
    flags.set(name, enabled=True)
    sent = re.search(r'name="sent" value="([^"]*)"', desk.look("flags/"))[1].replace("&quot;", '"')
    desk.do("flags/set/", sent=sent, enabled="off")
    assert flags.all() == {name: False}


@pytest.mark.parametrize(
    "data",
    [
        {"name": "", "enabled": "on"},
        {"name": "x" * 201, "enabled": "on"},
        {"name": "a"},
        {"name": "a", "enabled": "maybe"},
        {"sent": "{", "enabled": "on"},
        {"sent": "5", "enabled": "on"},
        {"sent": "[]", "enabled": "on"},
    ],
)
def test_what_is_no_flag_is_refused(desk, data):
    assert desk.do("flags/set/", **data)
    assert flags.all() == {}
    assert desk.log == []


# Limits


@pytest.fixture
def limited(redis_server, raw, boss):
    with use_server(redis_server.url, RATE_LIMITS=RULES):
        yield Desk(boss)


def hit(rule, who, times):
    limiter = RateLimiter(algorithm=rule.get("algorithm", "sliding-window"))
    return [bool(limiter.hit(f"{rule['name']}:{who}", rule["rate"])) for _ in range(times)]


@pytest.mark.parametrize(
    ("rule", "typed", "counted"),
    [(0, "203.0.113.7", "ip:203.0.113.7"), (0, " 2001:db8::7 ", "ip:2001:db8::/64"), (1, "7", "user:7")],
)
def test_a_limit_is_reset_for_one(limited, rule, typed, counted):
    rule = RULES[rule]
    assert hit(rule, counted, 3) == [True, True, False]
    told = limited.do("limits/reset/", rule=rule["name"], who=typed)
    who = counted.partition(":")[2]
    assert told == f"The rule “{rule['name']}” counts {who} anew."
    assert hit(rule, counted, 1) == [True]
    assert limited.log == [(f"limit “{rule['name']}”", f"Reset for {who}.")]


def test_a_key_that_is_typed_is_told_nowhere(limited, caplog):
    rule = next(rule for rule in get_rules().by_path if rule.name == "api")
    assert hit(RULES[2], get_counted(rule, "hunter2"), 3) == [True, True, False]
    told = limited.do("limits/reset/", rule="api", who="hunter2")
    assert "counts one who is not named here anew" in told
    assert hit(RULES[2], get_counted(rule, "hunter2"), 1) == [True]
    assert "hunter2" not in f"{told}{limited.log}{caplog.text}"


def test_one_of_whom_nothing_was_counted_is_told_of(limited):
    assert limited.do("limits/reset/", rule="login", who="203.0.113.7").endswith("had counted nothing of 203.0.113.7.")
    assert limited.log == []


@pytest.mark.parametrize(
    ("rule", "who", "told"),
    [
        ("nothing", "203.0.113.7", "There is no rule"),
        ("login", "", "Type one."),
        ("login", "not an address", "'not an address' is none"),
    ],
)
def test_what_a_rule_cannot_count_is_refused(limited, rule, who, told):
    assert told in limited.do("limits/reset/", rule=rule, who=who)


# Sessions


def test_a_session_is_ended_and_the_others_go_on(desk):
    for number in range(3):
        session_cache.set(f"id-{number}", {}, user=7, about={"agent": f"browser {number}"})
    page = desk.look("sessions/", user="7")
    digest = next(info.digest for info in session_cache.list_for_user(7) if info.about["agent"] == "browser 1")
    assert digest in page
    assert desk.do("sessions/logout/", user="7", digest=digest) == "The session of 7 has ended."
    assert {info.about["agent"] for info in session_cache.list_for_user(7)} == {"browser 0", "browser 2"}
    assert desk.do("sessions/logout/", user="7", digest=digest).endswith("has ended before.")
    assert desk.log == [("sessions of 7", "Ended one session.")]


def test_all_sessions_of_a_user_are_ended(desk, django_user_model):
    user = django_user_model.objects.create_user("eve")
    for number in range(2):
        session_cache.set(f"id-{number}", {}, user=user)
    session_cache.set("other", {}, user=999)
    assert desk.do("sessions/logout_all/", user=str(user.pk)) == "2 sessions of eve have ended."
    assert session_cache.list_for_user(user) == []
    assert len(session_cache.list_for_user(999)) == 1
    assert desk.do("sessions/logout_all/", user=str(user.pk)) == "eve had no session."


@pytest.mark.parametrize("data", [{}, {"user": "7"}, {"digest": "0" * 32}])
def test_a_session_that_was_not_said_is_refused(desk, data):
    assert "It was not said" in desk.do("sessions/logout/", **data)
    assert desk.log == []


@pytest.mark.parametrize("engine", ["sessions", "sessions_db"])
def test_the_sessions_of_the_site_are_listed_and_ended(desk, with_settings, engine):
    with_settings(SESSION_ENGINE=f"django_dripcache.contrib.{engine}")
    store = import_module(f"django_dripcache.contrib.{engine}").SessionStore
    user = get_user_model().objects.create(username="eve", is_staff=True, is_superuser=True)
    client, other = Client(), Client()
    client.force_login(user)
    other.force_login(user)
    page = client.get(f"{BASE}sessions/", {"user": "eve"}).content.decode()
    assert page.count("this one") == 1
    assert page.count('name="digest"') == 2
    digest = next(
        info.digest
        for info in store().sessions.list_for_user(user, current=client.session.session_key)
        if not info.current
    )
    data = {"alias": "default", "user": str(user.pk), "digest": digest, "confirmed": "yes"}
    assert client.post(f"{BASE}sessions/logout/", data).status_code == 302
    assert other.get(BASE).status_code == 302
    assert client.get(BASE).status_code == 200


def test_one_is_told_that_the_session_here_ends_too(desk, with_settings):
    with_settings(SESSION_ENGINE="django_dripcache.contrib.sessions")
    user = get_user_model().objects.create(username="eve", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(user)
    page = client.post(f"{BASE}sessions/logout_all/", {"alias": "default", "user": user.pk}).content.decode()
    assert "your session here ends, too" in page


# Keys and tags


def test_a_key_is_deleted(desk, raw):
    cache.set("report", 1)
    name = name_of(raw, b"report")
    assert desk.do("keys/delete/", name=name) == f"The key “{name}” was deleted."
    assert cache.get("report") is None
    assert desk.do("keys/delete/", name=name) == f"The key “{name}” was not there."
    assert desk.log == [(f"key “{name}”", "Deleted.")]


def test_a_key_is_given_an_end(desk, raw):
    cache.set("report", 1, ttl=1000)
    name = name_of(raw, b"report")
    assert desk.do("keys/expire/", name=name, seconds="60").endswith("ends in 60 seconds.")
    assert 50 < raw.ttl(name) <= 60
    assert desk.log == [(f"key “{name}”", "Set to end in 60 seconds.")]


@pytest.mark.parametrize("seconds", ["", "-1", "1.5", "soon", "9" * 30, "²"])
def test_what_is_no_time_is_refused(desk, raw, seconds):
    cache.set("report", 1, ttl=1000)
    assert "whole number of seconds" in desk.do("keys/expire/", name=name_of(raw, b"report"), seconds=seconds)
    assert desk.log == []


@pytest.mark.parametrize("act", ["delete", "expire"])
@pytest.mark.parametrize("name", ["celery", "", "unacked", "*", "dripcache", "x" * 9999])
def test_a_key_that_is_not_the_sites_is_left_alone(desk, raw, act, name):
    raw.set(name or "empty", "task")
    assert desk.do(f"keys/{act}/", name=name, seconds="0")
    assert raw.get(name or "empty") == b"task"
    assert desk.log == []


def test_values_with_a_tag_are_voided(desk):
    cache.set("page", 1, tags=["airport:7"])
    cache.set("other", 1, tags=["airport:8"])
    CacheManager(namespace="reports").set("page", 1, tags=["airport:7"])
    sent = json.dumps(["airport:7", None])
    assert sent.replace('"', "&quot;") in desk.look("tags/")
    assert desk.do("tags/invalidate/", sent=sent) == "All values with the tag “airport:7” are void."
    assert cache.get("page") is None
    assert cache.get("other") == 1
    assert CacheManager(namespace="reports").get("page") == 1
    assert desk.log == [("tag “airport:7” of cache", "Invalidated.")]


@pytest.mark.parametrize("sent", ["", "5", "[]", '["a"]', '["a", 5]', "[5, null]", "{"])
def test_what_is_no_tag_is_refused(desk, sent):
    cache.set("page", 1, tags=["a"])
    assert desk.do("tags/invalidate/", sent=sent)
    assert cache.get("page") == 1
    assert desk.log == []


# Clear


def fill(raw):
    caches["default"].set("django", 1)
    cache.set("ours", 1)
    CacheManager(namespace="reports").set("report", 1)
    user_cache.set(1, "prefs", {})
    flags.set("checkout", enabled=True)
    rate_limiter.hit("key", "5/m")
    raw.rpush("celery", "task")
    return {name.decode() for name in raw.scan_iter(count=1000)}


CLEARED = [
    ("django", {}, "default", "dripcache:d:"),
    ("cache", {}, "cache", "dripcache:c:"),
    ("cache", {"namespace": "reports"}, "reports", "dripcache:c.reports:"),
]


@pytest.mark.parametrize(("act", "data", "typed", "start"), CLEARED)
def test_what_is_cleared_is_that_and_nothing_else(desk, raw, act, data, typed, start):
    before = fill(raw)
    assert "was cleared" in desk.do(f"clear/{act}/", **data, typed=typed)
    after = {name.decode() for name in raw.scan_iter(count=1000)}
    gone = before - after
    assert {name for name in gone if name.startswith(start)}
    assert not [name for name in after if name.startswith(start)]
    assert all(name.startswith((start, start.replace(":c", ":t"), start.replace(":c", ":l"))) for name in gone)
    assert "celery" in after
    assert [entry for _, entry in desk.log] == ["Cleared."]


@pytest.mark.parametrize(("act", "data", "typed", "start"), CLEARED)
@pytest.mark.parametrize("wrong", ["", "Default", "yes", "default ", "caches"])
def test_nothing_is_cleared_before_its_name_is_typed(desk, raw, act, data, typed, start, wrong):
    before = fill(raw)
    page = desk.ask(f"clear/{act}/", **data, typed=wrong, confirmed="yes").content.decode()
    assert "That is not the name" in page
    assert f"<code>{typed}</code>" in page
    assert {name.decode() for name in raw.scan_iter(count=1000)} >= before
    assert desk.log == []


def test_the_question_says_how_many_keys_go(desk):
    cache.bulk_set({str(number): number for number in range(12)})
    assert "There are 12 keys." in desk.ask("clear/cache/").content.decode()


def test_of_many_keys_the_question_says_what_else_can_be_done(desk, monkeypatch):
    stats = CacheStats(available=True, keys=1_200_000, keys_exact=False)
    monkeypatch.setattr(CacheManager, "get_stats", lambda _: stats)
    page = desk.ask("clear/cache/").content.decode()
    assert "about 1.2M keys" in page
    assert "manage.py dripcache clear" in page


def test_an_act_is_not_cut_short_by_the_budget_of_the_request(desk, monkeypatch):
    budgets = []
    monkeypatch.setattr(CacheManager, "clear", lambda _: budgets.append(BUDGET.get()) or 12)
    assert desk.do("clear/cache/", typed="cache") == "“cache” was cleared of 12 keys."
    assert budgets == [None]
