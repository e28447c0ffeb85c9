"""Sessions: kept by their ids, listed and ended by user, and right through rotations, races and outages."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
import uuid
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from types import MappingProxyType, SimpleNamespace
from unittest import mock

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings
from django.utils.functional import SimpleLazyObject

import django_dripcache
from django_dripcache import CacheUnavailableError, InvalidKeyError, SerializationError, on_outage
from django_dripcache.backend import get_alias_server
from django_dripcache.codecs import JSON
from django_dripcache.flows import sessions as flows
from django_dripcache.flows.sessions import MAX_SESSIONS, Place
from django_dripcache.flows.steps import Refused
from django_dripcache.keys import Keyspace
from django_dripcache.server import Server
from django_dripcache.services.sessions import SessionCache, SessionInfo, session_cache
from tests.flows.script import play
from tests.processes import UNREACHABLE, in_threads, needs_server, run_python, site, wait_for

PREFIX, USERS = b"dripcache:s.sessions:", b"dripcache:s.sessions.users:"
ODD_IDS = [" ", "*", "a:b", "{slot}", "%7B", "~", "line\nline", "\x00", "ключ", "\udc80", "users:42", "𝄞" * 10_000]
COMMANDS = "evalsha time hmget hset get pexpire pexpireat unlink zadd zcard zrem zremrangebyscore zrevrange zscore info"
AWAY = CacheUnavailableError("away")


@contextmanager
def away():
    """Redis cannot be used, and nobody waits to find out."""
    with mock.patch.object(Server, "call", side_effect=AWAY):
        yield


def handles(user, **options):
    return {info.digest for info in session_cache.list_for_user(user, **options)}


def name_of(raw, session_id):
    """Return the name of a session that is alone in Redis, or the one of an id."""
    return session_cache._names_of(session_id)[0]


# One session


def test_a_session_comes_back_and_falsy_data_is_data(broker, drive):
    for data in (None, False, 0, "", [], {"cart": [1, 2]}):
        assert drive(session_cache).set("id", data) is True
        assert drive(session_cache).get("id", "default") == data
    assert drive(session_cache).get("other", "default") == "default"
    assert drive(session_cache).get("other") is None


def test_a_deleted_session_is_gone(broker, raw, drive):
    drive(session_cache).set("id", {"a": 1}, user=42)
    assert drive(session_cache).delete("id") is True
    assert drive(session_cache).delete("id") is False
    assert drive(session_cache).get("id") is None
    assert list(raw.scan_iter()) == []


@pytest.mark.parametrize("session_id", ODD_IDS, ids=lambda text: ascii(text[:10]))
def test_an_id_may_be_any_text(broker, drive, session_id):
    drive(session_cache).set(session_id[:-1] + "x", "another", user="a user")
    assert drive(session_cache).set(session_id, "data", user="a user") is True
    assert drive(session_cache).get(session_id) == "data"
    assert drive(session_cache).touch(session_id) is True
    assert len(drive(session_cache).list_for_user("a user")) == 2
    assert drive(session_cache).delete(session_id) is True
    assert drive(session_cache).get(session_id[:-1] + "x") == "another"


@pytest.mark.parametrize("session_id", ["", None, b"hidden", 4711])
def test_what_cannot_be_an_id_is_refused_and_not_told(broker, drive, session_id):
    for call in ("get", "touch", "delete"):
        with pytest.raises(InvalidKeyError) as caught:
            getattr(drive(session_cache), call)(session_id)
        assert "hidden" not in f"{caught.value!r} {vars(caught.value)}"
    with pytest.raises(InvalidKeyError):
        drive(session_cache).set(session_id, {})


def test_an_id_is_in_no_key_and_no_value(broker, raw, drive, caplog):
    caplog.set_level(logging.DEBUG)
    drive(session_cache).set("a-very-secret-id", {"a": 1}, user=42, about={"agent": "x"})
    drive(session_cache).get("a-very-secret-id")
    drive(session_cache).set("a-very-secret-id", "x" * 2_000_000)
    drive(session_cache).set("a-very-secret-id", {"a": 1}, user=42)
    with pytest.raises(SerializationError) as caught:
        drive(session_cache).set("a-very-secret-id", object())
    (info,) = drive(session_cache).list_for_user(42)
    kept = [str(raw.dump(name)) for name in raw.scan_iter()]
    shown = [str(list(raw.scan_iter())), *kept, repr(session_cache), repr(info), str(caught.value), caplog.text]
    assert not any("secret-id" in text for text in shown)


def test_every_key_expires_with_what_it_is_about(broker, raw, drive):
    drive(session_cache).set("id", {}, user=42)
    drive(session_cache).set("long", {}, timedelta(days=7), user=42)
    drive(session_cache).set("short", {}, 60, user=43)
    drive(session_cache).set("nobody's", {}, 60)
    ttls = sorted(raw.ttl(name) for name in raw.scan_iter())
    assert ttls == pytest.approx([60, 60, 60, 86_400, 7 * 86_400, 7 * 86_400], abs=5)


def test_a_session_lives_for_its_ttl(broker, drive):
    drive(session_cache).set("id", {}, 0.05, user=42)
    wait_for(lambda: session_cache.get("id") is None)
    assert drive(session_cache).touch("id") is False
    assert drive(session_cache).delete("id") is False
    assert drive(session_cache).list_for_user(42) == []


@pytest.mark.parametrize("ttl", [0, -1, timedelta(0), -math.inf])
def test_a_ttl_of_zero_or_less_is_over_at_once(broker, raw, drive, ttl):
    drive(session_cache).set("id", {}, user=42)
    assert drive(session_cache).set("id", {}, ttl, user=42) is True
    assert drive(session_cache).set("new", {}, ttl, user=42) is True
    assert list(raw.scan_iter()) == []
    drive(session_cache).set("id", {}, user=42)
    assert drive(session_cache).touch("id", ttl) is True
    assert drive(session_cache).touch("id", ttl) is False
    assert list(raw.scan_iter()) == []


@pytest.mark.parametrize(
    ("ttl", "error"), [(None, TypeError), ("1", TypeError), (True, TypeError), (math.nan, ValueError)]
)
def test_what_is_no_ttl_is_refused(broker, drive, ttl, error):
    with pytest.raises(error):
        drive(session_cache).set("id", {}, ttl)


def test_a_ttl_without_end_is_cut_to_ten_years(broker, raw, drive):
    assert drive(session_cache).set("id", {}, math.inf, user=42) is True
    assert all(0 < raw.ttl(name) < 11 * 366 * 86_400 for name in raw.scan_iter())
    assert len(drive(session_cache).list_for_user(42)) == 1


def test_a_touch_begins_the_life_anew(broker, raw, drive):
    drive(session_cache).set("id", {"a": 1}, 500, user=42)
    assert drive(session_cache).touch("id", timedelta(seconds=900)) is True
    assert sorted(raw.ttl(name) for name in raw.scan_iter()) == pytest.approx([900, 900], abs=5)
    for name in raw.scan_iter():
        raw.expire(name, 100)
    assert drive(session_cache).touch("id") is True
    assert sorted(raw.ttl(name) for name in raw.scan_iter()) == pytest.approx([900, 900], abs=5)
    assert drive(session_cache).get("id") == {"a": 1}
    assert drive(session_cache).touch("other") is False


def test_what_has_no_json_form_is_refused_and_changes_nothing(broker, drive):
    drive(session_cache).set("id", {"a": 1})
    for data in (object(), {"a": object()}, {1: lambda: None}):
        with pytest.raises(SerializationError):
            drive(session_cache).set("id", data)
    with pytest.raises(SerializationError):
        drive(session_cache).set("id", {}, about={"address": object()})
    assert drive(session_cache).get("id") == {"a": 1}
    assert len(get_alias_server("default").journal) == 0


def test_data_that_is_too_large_is_not_stored_and_the_old_is_not_read_any_more(broker, drive, caplog):
    drive(session_cache).set("id", {"a": 1}, user=42)
    assert drive(session_cache).set("id", "x" * 10_000_000, user=42) is False
    assert drive(session_cache).get("id") is None
    assert drive(session_cache).list_for_user(42) == []
    assert "MAX_VALUE_BYTES" in caplog.text


def test_each_verb_is_one_round_trip(broker, raw):
    session_cache.set("id", {}, user=42)
    session_cache.list_for_user(42)
    before = raw.info("commandstats")

    def calls(stats):
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))

    session_cache.set("id", {}, user=42)
    session_cache.get("id")
    session_cache.touch("id")
    session_cache.list_for_user(42)
    session_cache.delete_by_digest(42, "0" * 32)
    session_cache.delete_for_user(42)
    session_cache.delete("id")
    after = raw.info("commandstats")
    assert calls(after) - calls(before) == 7
    assert {name for name in after if after[name]["calls"] > before.get(name, {"calls": 0})["calls"]} <= {
        f"cmdstat_{name}" for name in COMMANDS.split()
    }


# Users


def test_a_user_is_an_id_a_text_or_an_instance(broker, drive):
    user = User(pk=42, username="alice")
    for number, given in enumerate((42, "42", user, SimpleLazyObject(lambda: user), SimpleNamespace(pk=42))):
        drive(session_cache).set(f"id{number}", {}, user=given)
        assert len(drive(session_cache).list_for_user(given)) == number + 1
    assert drive(session_cache).delete_for_user(user) == 5


@pytest.mark.parametrize("user", ["a:b", "{42}", "*", "~", "", "ключ", "x" * 1000, uuid.UUID(int=7), 0, -1], ids=ascii)
def test_users_are_told_apart(broker, drive, user):
    if user == "":
        with pytest.raises(InvalidKeyError):
            drive(session_cache).set("id", {}, user=user)
        return
    drive(session_cache).set("id", {"whose": "theirs"}, user=user)
    drive(session_cache).set("other", {}, user=f"{user}x")
    assert len(drive(session_cache).list_for_user(user)) == 1
    assert drive(session_cache).delete_for_user(user) == 1
    assert drive(session_cache).get("id") is None
    assert drive(session_cache).get("other") == {}


@pytest.mark.parametrize(
    "user", [AnonymousUser(), User(username="new"), True, b"42", None], ids=lambda user: type(user).__name__
)
def test_what_is_no_user_is_refused(broker, drive, user):
    for call in ("list_for_user", "delete_for_user"):
        with pytest.raises(InvalidKeyError):
            getattr(drive(session_cache), call)(user)
    with pytest.raises(InvalidKeyError):
        drive(session_cache).delete_by_digest(user, "0" * 32)
    if user is not None:
        with pytest.raises(InvalidKeyError):
            drive(session_cache).set("id", {}, user=user)


def test_a_list_tells_the_facts_of_each_session(broker, drive):
    about = {"address": "2001:db8::1", "agent": "Mozilla/5.0 <script>"}
    drive(session_cache).set("id", {"hidden": 1}, 500, user=42, about=about)
    drive(session_cache).set("other", {}, user=43)
    (info,) = drive(session_cache).list_for_user(42)
    assert info.about == about
    now = datetime.now(timezone.utc)
    assert abs(now - info.created) < timedelta(seconds=60)
    assert info.last_used == info.created
    assert info.expires - info.created == timedelta(seconds=500)
    assert info.created.tzinfo is timezone.utc
    assert not info.current
    assert "hidden" not in repr(info)
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.about = {}


def test_the_last_used_comes_first_and_the_current_one_is_marked(broker, raw, drive):
    for session_id in ("a", "b", "c"):
        drive(session_cache).set(session_id, {}, user=42)
        time.sleep(0.002)
    drive(session_cache).touch("b")
    infos = drive(session_cache).list_for_user(42, current="c")
    names = [name_of(raw, session_id)[len(PREFIX) :].decode() for session_id in ("b", "c", "a")]
    assert [info.digest for info in infos] == names
    assert [info.current for info in infos] == [False, True, False]
    assert infos[0].last_used > infos[0].created


def test_user_and_about_stay_until_others_are_given_and_created_stays(broker, drive):
    drive(session_cache).set("id", {"a": 1}, user=42, about={"agent": "x"})
    (first,) = drive(session_cache).list_for_user(42)
    time.sleep(0.002)
    drive(session_cache).set("id", {"a": 2})
    drive(session_cache).touch("id")
    (info,) = drive(session_cache).list_for_user(42)
    assert (info.digest, info.created, info.about) == (first.digest, first.created, {"agent": "x"})
    assert info.last_used > first.last_used
    drive(session_cache).set("id", {"a": 3}, about=MappingProxyType({}))
    assert drive(session_cache).list_for_user(42)[0].about == {}
    drive(session_cache).set("id", {"a": 3}, user=43)
    assert drive(session_cache).list_for_user(42) == []
    assert len(drive(session_cache).list_for_user(43)) == 1
    assert drive(session_cache).delete_for_user(42) == 0
    assert drive(session_cache).get("id") == {"a": 3}


def test_a_session_that_goes_over_to_another_user_is_that_users_alone(broker, raw, drive):
    drive(session_cache).set("id", {"a": 1}, user=42)
    drive(session_cache).set("id", {"a": 2}, user=43)
    assert raw.exists(USERS + b"42") == 0
    assert drive(session_cache).delete_for_user(42) == 0
    assert drive(session_cache).get("id") == {"a": 2}
    assert drive(session_cache).delete_for_user(43) == 1


def test_log_out_everywhere(broker, raw, drive):
    for number in range(5):
        drive(session_cache).set(f"id{number}", {}, user=42)
    drive(session_cache).set("other's", {}, user=43)
    drive(session_cache).set("nobody's", {})
    assert drive(session_cache).delete_for_user(42) == 5
    assert drive(session_cache).delete_for_user(42) == 0
    assert [drive(session_cache).get(f"id{number}") for number in range(5)] == [None] * 5
    assert drive(session_cache).get("other's") == drive(session_cache).get("nobody's") == {}
    assert len(list(raw.scan_iter())) == 3


def test_log_out_everywhere_else(broker, drive):
    for number in range(5):
        drive(session_cache).set(f"id{number}", number, user=42)
    drive(session_cache).set("other's", {}, user=43)
    assert drive(session_cache).delete_for_user(42, keep="id3") == 4
    assert [drive(session_cache).get(f"id{number}") for number in range(5)] == [None, None, None, 3, None]
    assert drive(session_cache).delete_for_user(42, keep="other's") == 1
    assert drive(session_cache).get("other's") == {}


def test_one_session_is_ended_by_its_digest_and_only_by_its_user(broker, drive):
    drive(session_cache).set("a", {}, user=42)
    drive(session_cache).set("b", {}, user=42)
    other = drive(session_cache).list_for_user(42, current="b")
    (handle,) = [info.digest for info in other if not info.current]
    assert len(handle) == 32
    assert drive(session_cache).delete_by_digest(43, handle) is False
    assert drive(session_cache).get("a") == {}
    assert drive(session_cache).delete_by_digest(42, handle) is True
    assert drive(session_cache).delete_by_digest(42, handle) is False
    assert drive(session_cache).get("a") is None
    assert drive(session_cache).get("b") == {}


@pytest.mark.parametrize("digest", ["", "*", "a" * 31, "A" * 32, "a" * 33, "a" * 32 + "\n", "users:42", "ключ"])
def test_what_is_no_digest_ends_nothing(broker, raw, drive, digest):
    drive(session_cache).set("id", {}, user=42)
    assert drive(session_cache).delete_by_digest(42, digest) is False
    assert len(list(raw.scan_iter())) == 2


def test_the_list_is_exact_when_sessions_expire_by_themselves(broker, raw, drive):
    drive(session_cache).set("long", {}, 500, user=42)
    for number in range(20):
        drive(session_cache).set(f"short{number}", {}, 0.02, user=42)
    wait_for(lambda: raw.dbsize() == 2)
    assert len(drive(session_cache).list_for_user(42)) == 1
    assert raw.zcard(USERS + b"42") == 1


def test_writing_trims_what_has_expired(broker, raw, drive):
    for number in range(20):
        drive(session_cache).set(f"short{number}", {}, 0.02, user=42)
    time.sleep(0.03)
    drive(session_cache).set("long", {}, 500, user=42)
    assert raw.zcard(USERS + b"42") == 1
    assert drive(session_cache).delete_for_user(42) == 1
    assert list(raw.scan_iter()) == []


def test_a_session_that_redis_lost_leaves_the_list(broker, raw, drive):
    drive(session_cache).set("evicted", {}, user=42)
    drive(session_cache).set("kept", {}, user=42)
    raw.unlink(name_of(raw, "evicted"))
    assert len(drive(session_cache).list_for_user(42)) == 1
    assert raw.zcard(USERS + b"42") == 1
    assert drive(session_cache).delete_for_user(42) == 1


def test_an_index_that_redis_lost_ends_its_sessions_and_none_comes_back(broker, raw, drive):
    drive(session_cache).set("id", {}, user=42)
    raw.unlink(USERS + b"42")
    assert drive(session_cache).get("id") is None
    assert drive(session_cache).touch("id") is False
    drive(session_cache).set("new", {}, user=42)
    assert drive(session_cache).get("id") is None
    assert drive(session_cache).delete("id") is False
    assert handles(42) == {name_of(raw, "new")[len(PREFIX) :].decode()}


def test_a_user_has_a_bounded_number_of_sessions(broker, raw):
    with mock.patch.object(flows, "MAX_SESSIONS", 5):
        for number in range(8):
            assert session_cache.set(f"id{number}", number, 1000 - number, user=42) is True
        # Those that would expire first went, and each new one is there whatever its ttl.
        assert [session_cache.get(f"id{number}") for number in range(8)] == [0, 1, 2, 3, None, None, None, 7]
        assert session_cache.set("id0", "again", user=42) is True
        assert len(session_cache.list_for_user(42)) == 5
    assert len(list(raw.scan_iter())) == 6


def test_a_user_with_many_sessions_is_logged_out_at_once(broker, raw):
    in_threads(4, lambda thread: [session_cache.set(f"{thread}:{n}", {}, user=42) for n in range(MAX_SESSIONS // 4)])
    assert len(session_cache.list_for_user(42)) == MAX_SESSIONS
    session_cache.set("one more", {}, user=42)
    assert len(session_cache.list_for_user(42)) == MAX_SESSIONS
    assert session_cache.delete_for_user(42, keep="one more") == MAX_SESSIONS - 1
    assert len(list(raw.scan_iter())) == 2


# Rotation of SECRET_KEY


@contextmanager
def keys(*secrets):
    with override_settings(SECRET_KEY=secrets[0], SECRET_KEY_FALLBACKS=list(secrets[1:])):
        yield


def test_sessions_outlive_a_change_of_the_key(broker, drive):
    with keys("older"):
        drive(session_cache).set("id", {"a": 1}, user=42, about={"agent": "x"})
    with keys("new", "old", "older"):
        assert drive(session_cache).get("id") == {"a": 1}
        assert drive(session_cache).touch("id") is True
        (info,) = drive(session_cache).list_for_user(42, current="id")
        assert info.current
        assert drive(session_cache).delete_for_user(42, keep="id") == 0
        assert drive(session_cache).delete_by_digest(42, info.digest) is True
        assert drive(session_cache).get("id") is None


def test_a_delete_finds_what_was_stored_under_an_old_key(broker, raw, drive):
    with keys("old"):
        drive(session_cache).set("id", {"a": 1}, user=42)
    with keys("new", "old"):
        assert drive(session_cache).delete("id") is True
    assert list(raw.scan_iter()) == []


def test_a_write_moves_a_session_under_the_new_key(broker, raw, drive):
    with keys("old"):
        drive(session_cache).set("id", {"a": 1}, user=42, about={"agent": "x"})
        (before,) = drive(session_cache).list_for_user(42)
    with keys("new", "old"):
        drive(session_cache).set("id", {"a": 2})
        (after,) = drive(session_cache).list_for_user(42)
    assert after.digest != before.digest
    assert (after.created, after.about) == (before.created, before.about)
    assert len(list(raw.scan_iter())) == 2
    with keys("new"):
        assert drive(session_cache).get("id") == {"a": 2}
        assert drive(session_cache).delete_for_user(42) == 1
    with keys("old"):
        assert drive(session_cache).get("id") is None


def test_without_the_fallback_a_session_is_gone(broker, drive):
    with keys("old"):
        drive(session_cache).set("id", {"a": 1})
    with keys("new"):
        assert drive(session_cache).get("id") is None


# Redis in other hands


def test_data_that_this_site_did_not_write_there_is_a_miss(broker, raw, drive):
    drive(session_cache).set("mine", {"user": "mallory"})
    drive(session_cache).set("theirs", {"user": "alice"}, user=42)
    mine, theirs = name_of(raw, "mine"), name_of(raw, "theirs")
    forgeries = [raw.hget(theirs, "data"), b'{"user":"alice"}', b"\xdc\x00junk", b"", b"[" * 100_000, b"\xff" * 100]
    for forged in forgeries:
        raw.hset(mine, "data", forged)
        assert drive(session_cache).get("mine", "default") == "default"
    assert drive(session_cache).set("mine", {"a": 1}) is True
    assert drive(session_cache).get("mine") == {"a": 1}


@pytest.mark.parametrize("kind", ["string", "list", "zset", "set", "empty hash"])
def test_a_session_of_another_type_is_a_miss_and_heals(broker, raw, drive, kind):
    drive(session_cache).set("other", {}, user=42)
    name = name_of(raw, "id")

    def put():
        raw.unlink(name)
        {
            "string": lambda: raw.set(name, b"x"),
            "list": lambda: raw.rpush(name, b"x"),
            "zset": lambda: raw.zadd(name, {b"x": 1}),
            "set": lambda: raw.sadd(name, b"x"),
            "empty hash": lambda: raw.hset(name, "x", "y"),
        }[kind]()
        raw.zadd(USERS + b"42", {name[len(PREFIX) :]: (raw.time()[0] + 500) * 1000})

    put()
    assert drive(session_cache).get("id", "default") == "default"
    assert drive(session_cache).touch("id") is False
    assert len(drive(session_cache).list_for_user(42)) == 1
    put()
    assert drive(session_cache).delete("id") is False
    assert not raw.exists(name)
    put()
    assert drive(session_cache).set("id", {"a": 1}, user=42) is True
    assert drive(session_cache).get("id") == {"a": 1}
    assert raw.ttl(name) > 0


def test_an_index_of_another_type_is_no_index_and_heals(broker, raw, drive):
    drive(session_cache).set("id", {}, user=42)
    raw.set(USERS + b"42", b"x")
    assert drive(session_cache).get("id") is None
    assert drive(session_cache).delete("id") is False
    assert drive(session_cache).list_for_user(42) == []
    raw.set(USERS + b"42", b"x")
    assert drive(session_cache).delete_for_user(42) == 0
    raw.set(USERS + b"42", b"x")
    assert drive(session_cache).set("id", {"a": 1}, user=42) is True
    assert drive(session_cache).get("id") == {"a": 1}
    assert len(drive(session_cache).list_for_user(42)) == 1


@pytest.mark.parametrize("field", ["created", "used", "ttl", "about", "user"])
@pytest.mark.parametrize(
    "value", [b"", b"\xff\xfe", b"nan", b"inf", b"1e400", b"-5", b"9" * 40, b"[1]", b'{"a":1}', b"\x00"]
)
def test_odd_facts_break_no_verb(broker, raw, drive, field, value):
    drive(session_cache).set("id", {"a": 1}, user=42)
    drive(session_cache).set("other", {}, user=42)
    raw.hset(name_of(raw, "id"), field, value)
    assert drive(session_cache).get("id") in ({"a": 1}, None)
    infos = drive(session_cache).list_for_user(42)
    assert len(infos) in (1, 2)
    assert all(isinstance(info.about, dict) for info in infos)
    assert drive(session_cache).touch("id") in (True, False)
    assert drive(session_cache).set("id", {"a": 2}, user=42) is True
    assert drive(session_cache).get("id") == {"a": 2}
    assert drive(session_cache).delete_for_user(42) == 2


@pytest.mark.parametrize("score", [math.inf, 1e308, 1e17])
def test_odd_scores_break_no_verb(broker, raw, drive, score):
    drive(session_cache).set("id", {}, user=42)
    raw.zadd(USERS + b"42", {name_of(raw, "id")[len(PREFIX) :]: score, b"\xff\xfe": score, b"celery": score})
    assert drive(session_cache).get("id") == {}
    assert drive(session_cache).set("other", {}, user=42) is True
    assert 0 < raw.ttl(USERS + b"42") < 11 * 366 * 86_400
    assert len(drive(session_cache).list_for_user(42)) in (1, 2)
    assert drive(session_cache).delete_for_user(42) in (1, 2)


def test_whoever_writes_into_an_index_cannot_make_us_touch_keys_that_are_not_ours(broker, raw, drive):
    raw.rpush("celery", "task")
    drive(session_cache).set("id", {}, user=42)
    raw.zadd(USERS + b"42", {b"celery": (raw.time()[0] + 50) * 1000, b"../celery": (raw.time()[0] + 50) * 1000})
    drive(session_cache).list_for_user(42)
    raw.zadd(USERS + b"42", {b"celery": (raw.time()[0] + 50) * 1000})
    drive(session_cache).delete_for_user(42)
    assert raw.lrange("celery", 0, -1) == [b"task"]


# Races


def test_sessions_of_many_threads_are_all_in_the_list(broker, raw):
    def work(thread):
        for number in range(25):
            assert session_cache.set(f"{thread}:{number}", {}, user=42)
            assert session_cache.touch(f"{thread}:{number}", 500)
            if number % 5 == 0:
                assert session_cache.delete(f"{thread}:{number}")

    in_threads(8, work)
    assert len(session_cache.list_for_user(42)) == 8 * 20
    assert session_cache.delete_for_user(42) == 8 * 20
    assert list(raw.scan_iter()) == []


def test_whoever_is_logged_out_stays_so_however_many_write_meanwhile(broker):
    for number in range(8):
        session_cache.set(f"id{number}", 0, user=42)

    def work(thread):
        if thread == 8:
            time.sleep(0.005)
            return session_cache.delete_for_user(42)
        return [session_cache.touch(f"id{thread}") for _ in range(50)]

    *touched, ended = in_threads(9, work)
    assert ended == 8
    assert session_cache.list_for_user(42) == []
    for seen in touched:
        assert seen == sorted(seen, reverse=True), "a session came back"


@needs_server
def test_another_process_sees_and_ends_them(redis_server, broker):
    session_cache.set("id", {"a": 1}, user=42)
    code = """
        import django, json
        django.setup()
        from tests.processes import be_patient
        be_patient()
        from django_dripcache.services.sessions import session_cache
        seen = session_cache.get("id"), len(session_cache.list_for_user(42)), session_cache.delete_for_user(42)
        print(json.dumps(seen))
    """
    assert run_python(code, redis_server.url) == [{"a": 1}, 1, 1]
    assert session_cache.get("id") is None


# Outages

OUTCOMES = {
    "set": (lambda target: target.set("id", {}), False),
    "get": (lambda target: target.get("id", "default"), "default"),
    "touch": (lambda target: target.touch("id"), False),
    "delete": (lambda target: target.delete("id"), False),
    "list_for_user": (lambda target: target.list_for_user(42), []),
    "delete_for_user": (lambda target: target.delete_for_user(42), 0),
    "delete_by_digest": (lambda target: target.delete_by_digest(42, "0" * 32), False),
}


@pytest.mark.parametrize("verb", list(OUTCOMES))
def test_while_redis_is_away_a_verb_answers_with_its_fallback_or_raises(drive, verb):
    call, answer = OUTCOMES[verb]
    with site(UNREACHABLE):
        assert call(drive(session_cache)) == answer
        assert type(call(drive(session_cache))) is type(answer)
        with on_outage("raise"), pytest.raises(CacheUnavailableError):
            call(drive(session_cache))
        with pytest.raises(CacheUnavailableError):
            call(drive(SessionCache(on_outage="raise")))
    with site(UNREACHABLE, {"ON_OUTAGE": "raise"}):
        with pytest.raises(CacheUnavailableError):
            call(drive(session_cache))
        assert call(drive(SessionCache(on_outage="fallback"))) == answer


def test_a_set_that_failed_ends_the_session_of_before(broker, drive):
    drive(session_cache).set("id", {"a": 1}, user=42)
    drive(session_cache).set("other", {}, user=42)
    with away():
        assert drive(session_cache).set("id", {"a": 2}) is False
    assert drive(session_cache).get("id") is None
    assert len(drive(session_cache).list_for_user(42)) == 1


def test_a_delete_that_failed_is_made_good(broker, drive):
    drive(session_cache).set("id", {"a": 1}, user=42)
    drive(session_cache).set("other", {}, user=42)
    handle = drive(session_cache).list_for_user(42)[0].digest
    with away():
        assert drive(session_cache).delete_by_digest(42, handle) is False
    assert len(drive(session_cache).list_for_user(42)) == 1
    with away():
        assert drive(session_cache).delete("id") is False
        assert drive(session_cache).delete("other") is False
    assert drive(session_cache).get("id") is drive(session_cache).get("other") is None


def test_a_log_out_everywhere_that_failed_is_made_good_before_anything_is_read(broker, drive):
    for number in range(3):
        drive(session_cache).set(f"id{number}", {}, user=42)
    drive(session_cache).set("other's", {}, user=43)
    with away():
        assert drive(session_cache).delete_for_user(42, keep="id2") == 0
    assert [drive(session_cache).get(f"id{number}") for number in range(3)] == [None] * 3
    assert drive(session_cache).list_for_user(42) == []
    assert drive(session_cache).get("other's") == {}
    drive(session_cache).set("new", {"a": 1}, user=42)
    assert drive(session_cache).get("new") == {"a": 1}
    assert len(drive(session_cache).list_for_user(42)) == 1


def test_a_log_out_that_redis_refuses_is_no_session_for_this_process_meanwhile(start_server, drive):
    server = start_server()
    with site(server.url), server.client() as client:
        drive(session_cache).set("theirs", {}, user=42)
        drive(session_cache).set("other's", {"a": 1}, user=43)
        client.replicaof("127.0.0.1", "1")  # it serves what it has, and refuses to change it
        assert drive(session_cache).delete_for_user(42) == 0
        assert drive(session_cache).get("theirs", "default") == "default"
        with pytest.raises(CacheUnavailableError):
            drive(SessionCache(on_outage="raise")).get("theirs")
        assert drive(session_cache).list_for_user(42) == []
        assert drive(session_cache).get("other's") == {"a": 1}
        client.replicaof("NO", "ONE")
        wait_for(lambda: session_cache.touch("other's") and not get_alias_server("default").journal.dirty)
        assert drive(session_cache).get("theirs", "default") == "default"
        assert drive(session_cache).get("other's") == {"a": 1}


def test_a_touch_that_failed_ends_nothing(broker, drive):
    drive(session_cache).set("id", {"a": 1}, user=42)
    with away():
        assert drive(session_cache).touch("id") is False
    assert drive(session_cache).get("id") == {"a": 1}


def test_sessions_are_read_and_ended_while_redis_is_full(start_server, drive):
    server = start_server(maxmemory="4mb", maxmemory_policy="noeviction")
    with site(server.url), server.client() as client:
        drive(session_cache).set("id", {"a": 1}, user=42)
        drive(session_cache).set("other", {}, user=42)
        client.config_set("maxmemory", "1")
        assert drive(session_cache).set("new", {}, user=42) is False
        assert drive(session_cache).get("id") == {"a": 1}
        assert len(drive(session_cache).list_for_user(42)) == 2
        assert drive(session_cache).delete("id") is True
        assert drive(session_cache).delete_for_user(42) == 1


def test_a_user_who_may_not_run_a_command_is_an_outage_and_no_log_out(start_server, drive):
    server = start_server()
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "narrow", "on", ">x", "~*", "+@all", "-hmget")
    with site(f"redis://narrow:x@127.0.0.1:{server.port}/0"), pytest.raises(CacheUnavailableError):
        drive(SessionCache(on_outage="raise")).get("id")


@needs_server
def test_a_killed_server_takes_its_sessions_with_it_and_a_frozen_one_does_not(start_server):
    server = start_server()
    with site(server.url, {"SOCKET_TIMEOUT": 1, "POOL_WAIT": 1}):
        wait_for(lambda: session_cache.set("id", {"a": 1}, user=42))
        server.pause()
        assert session_cache.get("id", "away") == "away"
        server.resume()
        wait_for(lambda: session_cache.get("id") == {"a": 1})
        server.kill()
        assert session_cache.get("id", "away") == "away"
        server.start()
        wait_for(lambda: session_cache.set("new", {}, user=42))
        assert session_cache.get("id", "gone") == "gone"
        assert len(session_cache.list_for_user(42)) == 1


# The flow, without a server

PLACE = Place(Keyspace("s:"), Keyspace("u:"))
ONE, ALL = ("session_one.lua", [b"s:a"], b"s:", b"u:"), ("session_all.lua", [b"u:42"], b"s:")


@pytest.mark.parametrize("reply", [b"x", 1, [], [1, b"x"], [2, b"x", 0, b"", b""], [b"1", b"x", 0, b"", b""]])
def test_a_reply_of_another_shape_is_an_outage(reply):
    with pytest.raises(CacheUnavailableError, match="shape"):
        play(flows.read(PLACE, [b"s:a"]), ((*ONE, "get"), reply))


@pytest.mark.parametrize("reply", [b"x", None, []])
def test_a_write_believes_no_reply_of_another_shape(reply):
    noted = []
    with pytest.raises(CacheUnavailableError, match="shape"):
        play(flows.end(PLACE, [b"s:a"]), ((*ONE, "end", 0, "~"), reply), noted=noted)
    with pytest.raises(CacheUnavailableError, match="shape"):
        play(flows.end_all(PLACE, b"u:42"), ((*ALL, "end", 0), reply), noted=noted)
    assert noted == [([b"s:a"], []), ([b"u:42"], [])]


def test_a_list_believes_no_reply_of_another_shape(broker, drive):
    with pytest.raises(CacheUnavailableError, match="shape"):
        play(flows.list_all(PLACE, b"u:42"), ((*ALL, "list", "42"), b"x"))
    odd = [None, b"x", [], [b"a"], [b"a", b"1", b"1", b"1", b"{}", b"more"], [None] * 5, [1, 2, 3, 4, 5]]
    fine = [b"a" * 32, b"1000", b"2000", b"3000", b"{}"]
    with mock.patch.object(flows, "list_all", side_effect=lambda *_: answered([*odd, fine])):
        (info,) = drive(session_cache).list_for_user(42)
    moments = [datetime.fromtimestamp(second, timezone.utc) for second in (1, 2, 3)]
    assert info == SessionInfo("a" * 32, *moments)


def answered(answer):
    """A flow that takes no step."""
    return answer
    yield


def test_what_redis_refuses_is_not_done():
    assert play(flows.touch(PLACE, [b"s:a"], 5), ((*ONE, "touch", 5, "~"), Refused("no integer"))) is False


@pytest.mark.parametrize(("only", "noted"), [("", True), ("XX", True), ("NX", False)])
def test_only_what_may_replace_something_is_journalled(only, noted):
    notes = []
    step = (*ONE, "set", only, b"{}", 5, "~", "~", MAX_SESSIONS)
    with pytest.raises(CacheUnavailableError):
        play(flows.write(PLACE, [b"s:a"], JSON, {}, 5, only=only), (step, AWAY), noted=notes)
    assert bool(notes) is noted
    with pytest.raises(CacheUnavailableError):
        play(flows.write(PLACE, [b"s:a"], JSON, {}, 5, only=only, noted=False), (step, AWAY), noted=[])


def test_a_new_session_that_is_over_at_once_replaces_none():
    found = [1, b"{}", 0, b"", b""]
    assert play(flows.write(PLACE, [b"s:a"], JSON, {}, 0, only="NX"), ((*ONE, "get"), found)) is False
    assert play(flows.write(PLACE, [b"s:a"], JSON, {}, 0, only="NX"), ((*ONE, "get"), None)) is True
    assert play(flows.write(PLACE, [b"s:a"], JSON, {}, 0, only="XX"), ((*ONE, "end", 0, "~"), 0)) is False
    assert play(flows.write(PLACE, [b"s:a"], JSON, {}, 0), ((*ONE, "end", 0, "~"), 0)) is True


# Beside the rest


def test_sessions_live_beside_what_is_cached_and_outlive_a_clear(broker, drive):
    drive(session_cache).set("id", {"a": 1}, user=42)
    django_dripcache.cache.set("id", "price")
    django_dripcache.cache.clear()
    assert drive(session_cache).get("id") == {"a": 1}
    assert len(drive(session_cache).list_for_user(42)) == 1
