"""What a site keeps for each of its users, and drops at once."""

from __future__ import annotations

import dataclasses
import json

import pytest
from django.contrib.auth.models import AnonymousUser, User

from django_dripcache import CacheUnavailableError, InvalidKeyError, UserCache, cache, on_outage, user_cache

from ..processes import UNREACHABLE, sent, site, wait_for


@dataclasses.dataclass
class Theme:
    name: str
    dark: bool = False


@pytest.fixture
def here(patient, raw):
    return raw


@pytest.fixture
def users(here, drive):
    return drive(user_cache)


def broken():
    raise AssertionError


def test_a_user_has_values(users):
    assert users.get(1, "theme") is None
    assert users.get(1, "theme", "light") == "light"
    assert users.set(1, "theme", "dark") is True
    assert users.get(1, "theme") == "dark"
    assert users.get(2, "theme") is None
    assert users.get_or_set(1, "theme", broken) == "dark"
    assert users.get_or_set(1, "cart", lambda: [1, 2]) == [1, 2]
    assert users.keys(1) == ["cart", "theme"]
    assert users.delete(1, "theme") is True
    assert users.delete(1, "theme") is False
    assert users.keys(1) == ["cart"]


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}], ids=repr)
def test_what_is_empty_is_a_value(users, value):
    users.set(1, "key", value)
    assert users.get(1, "key", "miss") == value


def test_a_value_of_another_type_is_a_miss_and_computed_anew(users):
    users.set(1, "theme", {"name": "dark", "dark": True})
    assert users.get(1, "theme", type=Theme) == Theme("dark", dark=True)
    users.set(1, "theme", [1])
    assert users.get(1, "theme", type=Theme) is None
    assert users.get_or_set(1, "theme", lambda: Theme("light"), type=Theme) == Theme("light")
    assert users.get(1, "theme") == {"name": "light", "dark": False}


def test_all_values_of_a_user_are_dropped_by_one_command_and_nobody_elses(users, here):
    for number in range(50):
        users.set(1, f"key{number}", number)
        users.set("1:0", f"key{number}", number)
    users.delete(99)  # the server has the script by now
    assert len(sent(here, lambda: users.delete(1))) == 1
    assert users.keys(1) == []
    assert users.get(1, "key7") is None
    assert len(users.keys("1:0")) == 50


def test_what_is_being_computed_for_a_user_is_not_stored_after_a_delete(users):
    for void in (lambda: user_cache.delete(1), lambda: user_cache.delete(1, "key")):
        users.get_or_set(1, "key", lambda void=void: [void(), "old"])
        assert users.get(1, "key") is None


@pytest.mark.far("it counts round trips")
def test_the_round_trips_are_one_for_a_hit_and_two_for_a_miss(patient, raw, drive):
    users = drive(user_cache)
    users.get_or_set(1, "warm", lambda: 1)
    users.get(1, "warm")
    assert len(sent(raw, lambda: users.get_or_set(1, "key", lambda: 1))) == 2
    assert len(sent(raw, lambda: users.get_or_set(1, "key", broken))) == 1
    assert len(sent(raw, lambda: users.get(1, "key"))) == 1


@pytest.mark.parametrize("user", ["*", "a:b", "{x}", "%3A", "ü" * 200, " ", "1" * 1000], ids=lambda user: user[:5])
def test_any_id_and_any_key_keep_to_themselves(users, user):
    keys = ["", ":", "*", "a:b", "{y}", "ü", "long" * 300]
    users.set("a", "b:c", "another's")
    for key in keys:
        users.set(user, key, key)
    assert [users.get(user, key) for key in keys] == keys
    assert users.get("a:b", "c") is None
    users.delete(user)
    assert [users.get(user, key) for key in keys] == [None] * len(keys)
    assert users.get("a", "b:c") == "another's"


def test_an_instance_is_its_pk(users):
    users.set(User(pk=7), "key", "value")
    assert users.get(7, "key") == users.get("7", "key") == "value"


@pytest.mark.parametrize("user", [None, True, AnonymousUser(), User(), 1.5], ids=lambda user: type(user).__name__)
def test_what_is_no_user_is_refused(users, user):
    for call in (lambda: users.get(user, "key"), lambda: users.set(user, "key", 1), lambda: users.delete(user)):
        with pytest.raises(InvalidKeyError):
            call()


def test_a_key_that_is_no_text_is_refused(users):
    with pytest.raises(InvalidKeyError):
        users.set(1, 2, 3)


def test_values_are_json_behind_their_tags_and_no_manager_reaches_them(users, here):
    users.set(1, "key", {"a": [1]})
    raw = here.get("dripcache:s.users:1:key")
    assert json.loads(raw[raw.index(b'{"') :]) == {"a": [1]}
    cache.clear()
    assert users.get(1, "key") == {"a": [1]}
    assert all(here.pttl(name) > 0 for name in here.scan_iter())


def test_hostile_bytes_are_a_miss(users, here):
    users.set(1, "key", "value")
    for junk in (b"junk", b"\xde1 000020 0 0\n{", b"\xdc" * 40, b"\xff"):
        here.set("dripcache:s.users:1:key", junk, px=60_000)
        assert users.get(1, "key", "miss") == "miss"
        assert users.get_or_set(1, "key", lambda: "new") == "new"


def test_without_redis_reads_are_misses_and_loaders_run(drive):
    with site(UNREACHABLE, {}):
        users = drive(user_cache)
        assert users.get_or_set(1, "key", lambda: "new") == "new"
        assert users.delete(1) is False
        with on_outage("raise"), pytest.raises(CacheUnavailableError):
            users.delete(1)
        strict = drive(UserCache(on_outage="raise"))
        with pytest.raises(CacheUnavailableError):
            strict.get(1, "key")


def test_what_could_not_be_dropped_is_dropped_when_redis_is_back(start_server, drive):
    server = start_server()
    with site(server.url, {"SOCKET_TIMEOUT": 0.3}):
        users = drive(user_cache)
        users.set(1, "key", "old")
        server.pause()
        assert users.delete(1) is False
        server.resume()
        wait_for(cache.test_connection, 5)
        assert users.get(1, "key") is None
