"""Services with a near cache: what is read once costs no round trip, and what is revoked or changed is seen at once."""

from __future__ import annotations

import dataclasses
import os
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from hashlib import sha1
from unittest import mock

import pytest
from django.core.cache import caches
from django.test import override_settings

from django_dripcache import (
    CacheUnavailableError,
    api_cache,
    auth_cache,
    flags,
    on_outage,
    session_cache,
    user_cache,
)
from django_dripcache.codecs import MISS
from django_dripcache.connections import close_all
from django_dripcache.flows.auth import read, read_near
from django_dripcache.flows.steps import Refused
from django_dripcache.server import Server
from django_dripcache.services import flags as flags_module
from django_dripcache.services.auth import Token, _codec
from django_dripcache.services.nearness import find_patterns
from django_dripcache.tracker import LEASE

from ..flows.script import play
from ..processes import in_threads, interpreter, needs_server, run_python, wait_for
from ..services.test_auth import ALL, TOKEN, USERS, settings_key, token_key
from ..services.test_auth import ROOT as AUTH
from ..services.test_flags import away
from ..test_nearby import OURS, PATIENT, asks_nobody, calls_of, live, near, nearby

pytestmark = [
    needs_server,
    pytest.mark.skipif("DRIPCACHE_TEST_ACL" in os.environ, reason="The least rights are those without a near cache."),
]


@dataclasses.dataclass
class Theme:
    name: str


@pytest.fixture
def here(redis_server, raw):
    with nearby(redis_server.url):
        yield redis_server


@pytest.fixture
def other(here):
    """Run a line in another process of the site."""
    with interpreter(here.url) as do:
        yield do


@contextmanager
def counted():
    """Count the round trips of a block."""
    trips, call = [], Server.call
    with mock.patch.object(Server, "call", lambda server: trips.append(1) or call(server)):
        yield trips


def accepted(auth, token=TOKEN, **how):
    try:
        return auth.get_token(token, **how) is not None
    except CacheUnavailableError:
        return "nobody knows"


def keep(drive, token=TOKEN, user=1):
    """Let a token be read until it is near."""
    with counted() as trips:

        def quiet():
            trips.clear()
            assert accepted(drive(auth_cache), token)
            return not trips

        wait_for(quiet)


# What costs nothing the second time


@pytest.mark.parametrize("user", [None, 1, "a b\nc", "*"], ids=repr)
def test_a_token_that_was_checked_is_checked_again_without_asking(here, raw, drive, user):
    auth = drive(auth_cache)
    auth.set_token(TOKEN, {"scope": ["read"]}, user=user)
    first = auth.get_token(TOKEN)

    def again():
        for _ in range(20):
            found = auth.get_token(TOKEN)
            assert found == first
            found.claims["scope"].append("write")  # of this one alone

    assert asks_nobody(raw, again)


@pytest.mark.parametrize("user", USERS, ids=lambda user: repr(user)[:20])
def test_data_of_a_user_is_read_again_without_asking(here, raw, drive, user):
    auth = drive(auth_cache)
    auth.set(user, {"roles": ["editor"]})

    def again():
        assert auth.get(user) == {"roles": ["editor"]}
        assert auth.has(user)

    assert asks_nobody(raw, again)


@pytest.mark.parametrize("state", [True, False, None])
def test_a_flag_is_read_again_without_asking(here, raw, drive, state):
    if state is not None:
        drive(flags).set("sale", state)

    def again():
        for _ in range(20):
            assert drive(flags).get("sale") is bool(state)
            assert drive(flags).get("sale", default=True) is (state is not False)

    assert asks_nobody(raw, again)


def test_values_of_users_and_answers_of_apis_are_read_again_without_asking(here, raw, drive):
    drive(user_cache).set(1, "theme", {"name": "dark"})
    drive(api_cache).set("/rates", {"EUR": 1.1}, {"day": 1})
    drive(api_cache).set("/text", "plain")

    def again():
        assert drive(user_cache).get(1, "theme") == {"name": "dark"}
        assert drive(user_cache).get(1, "theme", type=Theme) == Theme("dark")
        assert drive(user_cache).get(1, "none", "default") == "default"
        assert drive(user_cache).get_or_set(1, "theme", lambda: "another") == {"name": "dark"}
        assert drive(api_cache).get("/rates", {"day": "1"}) == {"EUR": 1.1}
        assert drive(api_cache).get_or_set("/text", lambda: "another") == "plain"

    assert asks_nobody(raw, again)


def test_the_first_token_of_a_user_takes_two_round_trips_and_the_next_ones_take_one(here, drive):
    auth = drive(auth_cache)
    for token in ("first", "second"):
        auth.set_token(token, user=1)
    auth.set_token("nobody's")
    auth.set(2, "data")
    for check, most in (
        (lambda: auth.get_token("nobody's"), 1),
        (lambda: auth.get_token("first"), 2),
        (lambda: auth.get_token("second"), 1),
        (lambda: auth.get(2), 1),
        (lambda: auth.get_token("unknown"), 1),
    ):
        with counted() as trips:
            check()
        assert len(trips) == most


def test_a_token_of_one_user_leaves_what_others_have_near(here, raw, drive):
    auth = drive(auth_cache)
    auth.set_token(TOKEN, user=1, ttl=1000)
    left = raw.pttl(ALL)
    assert 1_400_000 < left <= 1_500_000
    auth.set_token("another", user=2, ttl=1000)
    assert raw.pttl(ALL) <= left
    auth.set_token("longer", user=2, ttl=2000)
    assert 2_900_000 < raw.pttl(ALL) <= 3_000_000


def test_who_tries_tokens_fills_no_memory(here, drive):
    keep_none = drive(auth_cache)
    entries = near().stats().entries
    for number in range(50):
        assert keep_none.get_token(f"guess {number}") is None
        assert keep_none.get(f"user {number}") is None
    assert near().stats().entries == entries


# Who else writes

REVOCATIONS = {
    "token": f"auth_cache.clear_token({TOKEN!r})",
    "user": "auth_cache.clear(1)",
    "everything": "auth_cache.clear()",
    "over at once": f"auth_cache.set_token({TOKEN!r}, ttl=0)",
}
WHO = pytest.mark.parametrize("who", ["another process", "this process"])


def doing(who, other):
    """Return what runs a line: in the other process, or in this one."""
    if who == "another process":
        return other
    site = {"auth_cache": auth_cache, "flags": flags, "user_cache": user_cache, "api_cache": api_cache}
    return lambda line: exec(line, site)


@WHO
@pytest.mark.parametrize("revoke", REVOCATIONS.values(), ids=REVOCATIONS)
def test_a_token_that_is_revoked_is_refused_with_the_next_check(other, drive, who, revoke):
    do = doing(who, other)
    for number in range(5):
        auth_cache.set_token(TOKEN, {"number": number}, user=1)
        auth_cache.set_token("another", user=1)
        keep(drive)
        keep(drive, "another")
        do(revoke)
        assert drive(auth_cache).get_token(TOKEN) is None
        assert accepted(drive(auth_cache), "another") is ("another" not in revoke and "(1)" not in revoke) or (
            "clear()" in revoke
        )


@WHO
def test_a_token_that_is_stored_again_has_its_new_claims_with_the_next_check(other, drive, who):
    do = doing(who, other)
    for number in range(20):
        do(f"auth_cache.set_token({TOKEN!r}, {{'number': {number}}}, user={number % 2})")
        for _ in range(3):
            found = drive(auth_cache).get_token(TOKEN)
            assert (found.claims, found.user) == ({"number": number}, str(number % 2))


@WHO
def test_a_user_whose_stamp_is_made_anew_has_none_of_the_tokens_from_before(other, drive, who):
    do = doing(who, other)
    for number in range(5):
        auth_cache.set_token(TOKEN, user=1)
        keep(drive)
        do(f"auth_cache.clear(1); auth_cache.set_token('new {number}', user=1)")
        assert drive(auth_cache).get_token(f"new {number}")
        assert drive(auth_cache).get_token(TOKEN) is None


@WHO
def test_data_of_a_user_is_what_it_was_set_to_or_nothing(other, raw, drive, who):
    do, auth = doing(who, other), drive(auth_cache)
    for number in range(10):
        for end in ("auth_cache.clear(1)", "auth_cache.clear()", "auth_cache.refresh(1, 0)"):
            do(f"auth_cache.set(1, {number})")
            for _ in range(3):
                assert auth.get(1) == number
            do(end)
            assert auth.get(1) is None
            assert not auth.has(1)


@WHO
def test_a_flag_is_what_it_was_set_to_with_the_next_read(other, drive, who):
    do = doing(who, other)
    for state in [True, False, None] * 10:
        do("flags.delete('sale')" if state is None else f"flags.set('sale', {state})")
        for _ in range(3):
            assert drive(flags).get("sale", default=True) is (state is not False)
            assert drive(flags).get("sale") is bool(state)


@WHO
def test_values_that_are_changed_or_dropped_are_not_read_any_more(other, drive, who):
    do, users, apis = doing(who, other), drive(user_cache), drive(api_cache)
    for number in range(5):
        for drop in ("user_cache.delete(1)", "user_cache.delete(1, 'theme')"):
            do(f"user_cache.set(1, 'theme', {number})")
            for _ in range(3):
                assert users.get(1, "theme") == number
            do(drop)
            assert users.get(1, "theme") is None
        for drop in ("api_cache.delete('/rates', {'a': 1})", "api_cache.delete('/rates')", "api_cache.clear()"):
            do(f"api_cache.set('/rates', {number}, {{'a': 1}})")
            for _ in range(3):
                assert apis.get("/rates", {"a": 1}) == number
            do(drop)
            assert apis.get("/rates", {"a": 1}) is None


def test_a_stamp_that_is_evicted_ends_what_is_near_under_it(here, raw, drive):
    for stamp in (ALL, ALL + b"1"):
        auth_cache.set_token(TOKEN, user=1)
        auth_cache.set(1, "data")
        keep(drive)
        raw.delete(stamp)
        assert drive(auth_cache).get_token(TOKEN) is None
        assert drive(auth_cache).get(1) is None


def test_what_somebody_else_made_up_is_refused_though_a_token_was_near(here, raw, drive):
    auth_cache.set_token(TOKEN, {"admin": False}, user=1)
    keep(drive)
    key = token_key()
    raw.set(key, raw.get(key).replace(b"false", b"true"), px=60_000)
    assert drive(auth_cache).get_token(TOKEN) is None
    assert not raw.exists(key)
    raw.rpush(key, "a list")
    assert drive(auth_cache).get_token(TOKEN) is None
    auth_cache.set(1, "data")
    drive(auth_cache).get(1)
    raw.set(AUTH + b"users:1", raw.get(AUTH + b"users:1")[:-2], px=60_000)
    assert drive(auth_cache).get(1) is None
    raw.set(ALL + b"1", "ab", px=60_000)
    assert drive(auth_cache).get(1) is None


def test_a_flag_that_is_no_state_any_more_is_the_default(here, raw, drive):
    for junk in (lambda key: raw.set(key, "junk"), lambda key: raw.delete(key) and raw.rpush(key, "a list")):
        flags.set("sale", True)
        for _ in range(3):
            assert drive(flags).get("sale")
        junk(b"dripcache:s.flags:sale")
        for _ in range(3):
            assert drive(flags).get("sale", default=True) is True
            assert drive(flags).get("sale") is False


def test_threads_that_check_while_others_revoke_accept_nothing_that_was_revoked(here):
    revoked = [-1]

    def work(number):
        if number == 0:
            for turn in range(150):
                auth_cache.set_token(TOKEN, {"turn": turn}, user=1)
                auth_cache.clear(1) if turn % 2 else auth_cache.clear_token(TOKEN)
                revoked[0] = turn
            revoked[0] = None
            return 0
        reads = 0
        while (least := revoked[0]) is not None:
            found = auth_cache.get_token(TOKEN)
            assert found is None or found.claims["turn"] > least
            reads += 1
        return reads

    assert sum(in_threads(4, work, 60)) > 0


FORKED = """
    import django, json, os, time
    from django.test import override_settings
    from django_dripcache import auth_cache, flags
    import redis
    django.setup()
    alias = {"BACKEND": "django_dripcache.backend.DripCache", "OPTIONS": {"NEAR": {}, "SOCKET_TIMEOUT": 5}}
    override_settings(CACHES={"default": alias}).enable()
    auth_cache.set_token("token", user=1)
    flags.set("sale", True)
    from django.core.cache import caches
    near = caches["default"].client.server.near
    while near.stats().entries < 4:
        assert auth_cache.get_token("token") and flags.get("sale")
        time.sleep(0.01)
    raw = redis.Redis.from_url(os.environ["DRIPCACHE_TEST_URL"])
    raw.unlink("dripcache:s.auth.stamps:1", "dripcache:s.flags:sale")
    raw.close()
    out, into = os.pipe()
    if not os.fork():
        os.write(into, json.dumps([auth_cache.get_token("token") is None, flags.get("sale")]).encode())
        os._exit(0)
    seen = json.loads(os.read(out, 100))
    os.wait()
    print(json.dumps(seen + [auth_cache.get_token("token") is None, flags.get("sale")]))
"""


def test_a_forked_child_knows_nothing_of_what_its_parent_had_near(redis_server, raw):
    assert run_python(FORKED, redis_server.url) == [True, False, True, False]


# How long


def test_what_is_near_ends_with_its_key(here, drive):
    auth, seconds = drive(auth_cache), 0.4
    auth.set_token(TOKEN, ttl=seconds, user=1)
    auth.set(1, "data", seconds)
    drive(flags).set("sale", True, ttl=seconds)
    drive(user_cache).set(1, "theme", "dark", seconds)
    began = time.monotonic()
    while time.monotonic() < began + seconds + 0.01:
        auth.get_token(TOKEN), auth.get(1), drive(flags).get("sale"), drive(user_cache).get(1, "theme")
    assert auth.get_token(TOKEN) is None
    assert auth.get(1) is None
    assert drive(flags).get("sale") is False
    assert drive(user_cache).get(1, "theme") is None


def test_a_token_ends_at_its_end_though_its_key_was_given_more_time(here, raw, drive):
    auth_cache.set_token(TOKEN, ttl=0.5)
    end = time.monotonic() + 0.51
    raw.persist(token_key())
    raw.persist(ALL)
    while time.monotonic() < end:
        accepted(drive(auth_cache))
    assert raw.exists(token_key())
    assert drive(auth_cache).get_token(TOKEN) is None


@pytest.mark.parametrize("stamp", [ALL, ALL + b"1"])
def test_what_is_near_ends_with_its_stamps(here, raw, drive, stamp):
    raw.config_set("hz", 1)  # expired keys are looked for once a second: until then nobody is told
    auth_cache.set_token(TOKEN, user=1)
    auth_cache.set(1, "data")
    raw.pexpire(stamp, 300)
    end = time.monotonic() + 0.31
    while time.monotonic() < end:
        accepted(drive(auth_cache)), drive(auth_cache).get(1)
    seen = drive(auth_cache).get_token(TOKEN), drive(auth_cache).get(1)
    raw.config_set("hz", 10)
    assert seen == (None, None)


def test_a_near_flag_is_remembered_for_outages_as_if_it_had_been_asked_for(here, raw, drive, monkeypatch):
    flags.set("sale", True, 1000)
    assert asks_nobody(raw, lambda: drive(flags).get("sale"))
    now = time.monotonic()
    clock = mock.Mock(monotonic=lambda: now)
    monkeypatch.setattr(flags_module, "time", clock)
    for _ in range(4):
        now += 200
        assert calls_of(raw, lambda: drive(flags).get("sale")) == 0
    with away():
        assert drive(flags).get("sale") is True
        now += 150  # it was believed for longer, and has not so long to live
        assert drive(flags).get("sale") is True
        now += 60
        assert drive(flags).get("sale") is False


def test_a_near_flag_whose_place_was_taken_is_not_remembered(here, raw, drive):
    flags.set("sale", True, 1000)
    assert asks_nobody(raw, lambda: drive(flags).get("sale"))
    flags._memory._places.clear()
    assert drive(flags).get("sale") is True
    with away():
        assert drive(flags).get("sale") is False


def test_a_near_flag_that_is_not_set_is_remembered_as_none(here, raw, drive):
    assert asks_nobody(raw, lambda: drive(flags).get("sale"))
    with away():
        assert drive(flags).get("sale", True) is True


# Asking whatever is near


def test_a_fresh_check_asks_and_what_it_finds_is_near(here, raw, drive):
    auth = drive(auth_cache)
    auth.set_token(TOKEN, {"a": 1}, user=1)
    for _ in range(3):
        assert calls_of(raw, lambda: auth.get_token(TOKEN, fresh=True)) > 0
    assert asks_nobody(raw, lambda: auth.get_token(TOKEN))
    assert calls_of(raw, lambda: auth.get_token(TOKEN, fresh=True)) > 0
    auth_cache.clear(1)
    assert auth.get_token(TOKEN, fresh=True) is None


@pytest.mark.parametrize("revoke", ["token", "stamp"])
def test_a_fresh_check_forgets_what_is_not_true_any_more(here, raw, drive, revoke):
    auth_cache.set_token(TOKEN, user=1)
    keep(drive)
    with mock.patch.object(near()._tracker, "receive", return_value=[]):  # nothing is told
        near()._until = time.monotonic() + 60
        near()._readable = bool
        raw.delete(token_key() if revoke == "token" else ALL + b"1")
        assert drive(auth_cache).get_token(TOKEN)
        assert drive(auth_cache).get_token(TOKEN, fresh=True) is None
        assert drive(auth_cache).get_token(TOKEN) is None


def test_a_fresh_check_is_one_without_a_near_cache_too(broker, drive):
    drive(auth_cache).set_token(TOKEN)
    assert drive(auth_cache).get_token(TOKEN, fresh=True)


# SECRET_KEY


def test_a_token_from_before_a_new_key_is_near_and_gives_way_to_one_of_the_new_key(here, raw, drive):
    auth_cache.set_token(TOKEN, {"old": 1}, user=1)
    with override_settings(SECRET_KEY="a new key", SECRET_KEY_FALLBACKS=["one more", settings_key()]):
        assert asks_nobody(raw, lambda: drive(auth_cache).get_token(TOKEN))
        assert drive(auth_cache).get_token(TOKEN).claims == {"old": 1}
        auth_cache.set_token("another", user=1)
        with override_settings(SECRET_KEY_FALLBACKS=[]):
            auth_cache.set_token(TOKEN, {"new": 1}, user=1)  # and the old one is still there
        keep(drive, "another")  # and the stamps are near
        assert len(list(raw.scan_iter(AUTH + b"tokens:*"))) == 3
        for _ in range(3):
            assert drive(auth_cache).get_token(TOKEN).claims == {"new": 1}
        assert asks_nobody(raw, lambda: drive(auth_cache).get_token(TOKEN))
        auth_cache.clear_token(TOKEN)
        assert drive(auth_cache).get_token(TOKEN) is None


def test_a_token_from_before_a_new_key_is_refused_when_it_is_revoked_under_the_old_one(here, raw, drive):
    auth_cache.set_token(TOKEN, user=1)
    old = token_key()
    with override_settings(SECRET_KEY="a new key", SECRET_KEY_FALLBACKS=[settings_key()]):
        assert asks_nobody(raw, lambda: drive(auth_cache).get_token(TOKEN))
        raw.delete(old)
        assert drive(auth_cache).get_token(TOKEN) is None


# Without Redis

FAILING = {
    "token": lambda auth: auth.clear_token(TOKEN),
    "user": lambda auth: auth.clear(1),
    "everything": lambda auth: auth.clear(),
}


@pytest.mark.parametrize("revoke", FAILING.values(), ids=FAILING)
def test_a_near_token_is_not_accepted_where_its_revocation_waits_in_the_journal(drive, start_server, revoke):
    server = start_server()
    auth = drive(auth_cache)
    with server.client() as owner, nearby(server.url):
        auth_cache.set_token(TOKEN, user=1)
        auth_cache.set(1, "data")
        auth_cache.set_token("of another", user=2)
        for token in (TOKEN, "of another"):
            keep(drive, token)
        assert auth.get(1) == "data"
        owner.config_set("min-replicas-to-write", 1)
        with pytest.raises(CacheUnavailableError):
            revoke(auth)
        for _ in range(5):
            assert accepted(auth) == "nobody knows"
            assert accepted(auth, fresh=True) == "nobody knows"
        if revoke is not FAILING["everything"]:
            assert accepted(auth, "of another") is True
        if revoke is not FAILING["token"]:
            with on_outage("raise"), pytest.raises(CacheUnavailableError):
                auth.get(1)
        owner.config_set("min-replicas-to-write", 0)
        assert wait_for(lambda: accepted(auth) is False)
        for _ in range(5):
            assert accepted(auth) is False


def test_nothing_is_accepted_from_near_while_the_journal_has_something(drive, start_server):
    server = start_server()
    auth = drive(auth_cache)
    with server.client() as owner, nearby(server.url):
        auth_cache.set_token(TOKEN, user=1)
        keep(drive)
        owner.config_set("min-replicas-to-write", 1)
        caches["default"].client.server.journal.note([b"dripcache:d:another"])
        for _ in range(3):
            with counted() as trips:
                assert accepted(auth) is True
            assert trips


def test_a_near_token_is_not_accepted_while_the_breaker_is_open(here, raw, drive):
    auth = drive(auth_cache)
    auth.set_token(TOKEN, user=1)
    auth.set(1, "data")
    keep(drive)
    auth.get(1)
    server = caches["default"].client.server
    with mock.patch.object(server.breaker, "allows", return_value=False), opened(server):
        assert accepted(auth) == "nobody knows"
        assert auth.get(1) is None
    assert wait_for(lambda: accepted(auth) is True)


@contextmanager
def opened(server):
    with mock.patch.object(type(server), "available", new_callable=mock.PropertyMock, return_value=False):
        yield


def test_a_near_token_is_accepted_no_longer_than_the_lease_by_one_who_hears_nothing(drive, start_server):
    server = start_server()
    auth = drive(auth_cache)
    with nearby(server.url):
        auth_cache.set_token(TOKEN, user=1)
        keep(drive)
        server.pause()
        try:
            paused, last = time.monotonic(), 0.0
            while True:
                began = time.monotonic()
                if accepted(auth) is not True:
                    break
                last = began
            assert last < paused + LEASE
            for _ in range(3):
                assert accepted(auth) == "nobody knows"
        finally:
            server.resume()
        assert wait_for(lambda: accepted(auth) is True)


def test_a_near_token_ends_with_the_server(drive, start_server):
    server = start_server()
    auth = drive(auth_cache)
    with nearby(server.url):
        auth_cache.set_token(TOKEN, user=1)
        keep(drive)
        server.kill()
        wait_for(lambda: accepted(auth) == "nobody knows")
        for _ in range(20):
            assert accepted(auth) == "nobody knows"
        server.start()
        assert wait_for(lambda: accepted(auth) is False)


# What is near


def test_what_is_encrypted_is_never_near(redis_server, raw, drive):
    options = {**PATIENT, "NEAR": {}, "ENCRYPT": True}
    alias = {"BACKEND": OURS, "LOCATION": redis_server.url, "OPTIONS": options}
    with override_settings(CACHES={"default": alias}, DRIPCACHE={"ENCRYPTION_KEYS": ["k" * 43]}):
        wait_for(live)
        drive(auth_cache).set_token(TOKEN, {"a": 1}, user=1)
        drive(auth_cache).set(1, "data")
        drive(user_cache).set(1, "theme", "dark")
        drive(api_cache).set("/rates", {"EUR": 1})
        for _ in range(3):
            assert drive(auth_cache).get_token(TOKEN).claims == {"a": 1}
            assert drive(auth_cache).get(1) == "data"
            assert drive(user_cache).get(1, "theme") == "dark"
            assert drive(user_cache).get_or_set(1, "theme", lambda: "light") == "dark"
            assert drive(api_cache).get("/rates") == {"EUR": 1}
        assert near().stats().entries == 0
        close_all()


def test_sessions_are_not_near(here, raw, drive):
    drive(session_cache).set("id", {"a": 1}, user=1)
    for _ in range(3):
        assert calls_of(raw, lambda: drive(session_cache).get("id")) > 0
    assert near().stats().entries == 0


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (["*"], {"flags", "flag of payments", "theme", "rates", "token", "data"}),
        (["product:*"], set()),
        (["flags:*"], {"flags", "flag of payments"}),
        (["flags:pay*"], {"flag of payments"}),
        (["user_cache:1:*"], {"theme"}),
        (["api_cache:*"], {"rates"}),
        (["auth_cache:*", "user_cache:*"], {"token", "data", "theme"}),
        (["auth_cache:1"], {"data"}),
        (["sessions:*", "session_cache:*", "s.sessions:*", "users:*", "flag?:*"], set()),
    ],
    ids=range(9),
)
def test_services_are_near_that_a_pattern_names(redis_server, raw, drive, globs, expected):
    with nearby(redis_server.url, KEYS=globs):
        flags.set("sale", True)
        flags.set("payments", True)
        user_cache.set(1, "theme", "dark")
        api_cache.set("/rates", 1)
        auth_cache.set_token(TOKEN, user=1)
        auth_cache.set(1, "data")
        reads = {
            "flags": lambda: drive(flags).get("sale"),
            "flag of payments": lambda: drive(flags).get("payments"),
            "theme": lambda: drive(user_cache).get(1, "theme"),
            "rates": lambda: drive(api_cache).get("/rates"),
            "token": lambda: drive(auth_cache).get_token(TOKEN),
            "data": lambda: drive(auth_cache).get(1),
        }
        for name, read in reads.items():
            assert read()
            if name in expected:
                assert asks_nobody(raw, read), name
            else:
                for _ in range(2):
                    with counted() as trips:
                        assert read()
                    assert len(trips) == 1, name


def test_no_more_of_redis_is_told_of_than_what_may_be_near(here):
    services = [prefix for prefix in near().prefixes if prefix.startswith(b"dripcache:s")]
    assert services == sorted(
        b"dripcache:s.%b:" % part
        for part in (
            b"flags",
            b"users",
            b"users.tags",
            b"api",
            b"api.tags",
            b"auth.tokens",
            b"auth.users",
            b"auth.stamps",
        )
    )
    assert not any(b"dripcache:".startswith(prefix) for prefix in near().prefixes)


def test_a_site_with_an_odd_name_has_patterns_of_its_own():
    assert list(find_patterns("a*[b]:", "flags:{x}*")) == [rb"a\*\[b\]:s.flags:%7Bx%7D*"]
    assert list(find_patterns("a:", "product:*")) == []


# What the flow makes of each answer

FRESH = Token({"a": 1}, "1", datetime.now(timezone.utc) + timedelta(days=1))
CODEC = _codec(Token)
NAME, STAMP = AUTH + b"tokens:one", ALL + b"1"


def entry(line=b"aa bb 1", left=50_000):
    return [line + b"\n" + CODEC.encode(FRESH, NAME), left]


def asked(reply):
    return ("auth_near.lua", [ALL, NAME]), reply


@pytest.mark.parametrize("found", [b"cc", None, b"", Refused("WRONGTYPE")], ids=repr)
def test_a_token_whose_user_was_cleared_between_two_round_trips_is_refused(here, found):
    flow = read_near([NAME], [ALL], CODEC, near())
    assert play(flow, asked([entry()]), (("GET", STAMP), found)) is MISS
    assert near().get(NAME) is None
    flow = read_near([NAME], [ALL], CODEC, near())
    assert play(flow, asked([entry()]), (("GET", STAMP), b"bb")) == FRESH
    assert play(read_near([NAME], [ALL], CODEC, near())) == FRESH
    near().forget(STAMP)
    assert play(read_near([NAME], [ALL], CODEC, near()), asked([None])) is MISS


def test_what_nobody_can_read_is_removed(here):
    for raw in (b"", b"no line", b"aa bb 1\n", b"aa bb 1\n{}", b"\n{}", b"aa  \n" + entry()[0]):
        discarding = ("discard.lua", [NAME], sha1(raw).hexdigest())
        flow = read_near([NAME], [ALL], CODEC, near())
        assert play(flow, asked([[raw, 50_000]]), (discarding, 1)) is MISS


@pytest.mark.parametrize("reply", [None, 7, b"", [], [b"entry"], [7], [entry(), None]], ids=range(7))
def test_what_has_another_shape_than_entries_have_is_no_answer(here, reply):
    with pytest.raises(CacheUnavailableError, match="another shape"):
        play(read_near([NAME], [ALL], CODEC, near()), asked(reply))
    for verb in ("get", "touch"):
        with pytest.raises(CacheUnavailableError, match="another shape"):
            play(read([NAME], ALL, CODEC, verb), (("auth_read.lua", [ALL, NAME], verb, 0), [reply, reply, reply]))
