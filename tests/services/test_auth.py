"""Tokens that are revoked at once, data of users, and states of one use: on a real server, through both drivers."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings
from django.utils.functional import SimpleLazyObject
from django.views.debug import ExceptionReporter

from django_dripcache import CacheUnavailableError, InvalidKeyError, SerializationError, on_outage
from django_dripcache.flows import scan
from django_dripcache.secrecy import digest
from django_dripcache.services.auth import AuthCache, AuthStats, Token, _codec

from ..processes import UNREACHABLE, in_threads, needs_server, run_python, site, wait_for

pytestmark = needs_server

TOKEN = "a-token-that-nobody-may-see"
ROOT = b"dripcache:s.auth."
ALL = ROOT + b"stamps:"
USERS = [
    "alice",
    "Zoë",
    "a:b",
    "*",
    "[a-z]?",
    "{u:42}",
    "a b\nc",
    "%25",
    "a=b",
    'quote"\\',
    "\x00",
    "\ud800",
    "x" * 5000,
    -1,
    0,
    10**30,
    UUID(int=7),
]


@pytest.fixture
def auth(patient, drive):
    return drive(AuthCache())


def token_key(token=TOKEN):
    return ROOT + b"tokens:" + digest("auth.tokens", token).encode()


def state_key(state):
    return ROOT + b"states:" + digest("auth.states", state).encode()


@contextmanager
def monitored(raw):
    """Collect the commands that a server is sent, those of scripts included; not what a near cache asks."""
    commands = []
    ready = threading.Event()

    def listen():
        with raw.monitor() as monitor:
            ready.set()
            for command in monitor.listen():
                if command["command"] == "ECHO the end":
                    return
                commands.append(command["command"])

    thread = threading.Thread(target=listen)
    thread.start()
    ready.wait(10)
    wait_for(lambda: "monitor" in [client["cmd"] for client in raw.client_list()])
    try:
        yield commands
    finally:
        raw.echo("the end")
        thread.join(10)
        commands[:] = [command for command in commands if not command.startswith(("CLIENT LIST", "PING "))]


# Tokens


def test_a_token_is_known_with_its_claims_its_user_and_its_end(auth):
    before = datetime.now(timezone.utc)
    assert auth.set_token(TOKEN, {"scope": ["read"], "n": None}, 60, user=42) is True
    found = auth.get_token(TOKEN)
    assert isinstance(found, Token)
    assert (found.claims, found.user) == ({"scope": ["read"], "n": None}, "42")
    assert before + timedelta(seconds=59) < found.expires <= datetime.now(timezone.utc) + timedelta(seconds=60)
    assert found.expires.tzinfo is timezone.utc


def test_a_token_needs_neither_claims_nor_a_user(auth):
    assert auth.set_token(TOKEN)
    assert (auth.get_token(TOKEN).claims, auth.get_token(TOKEN).user) == (None, None)


@pytest.mark.parametrize("unknown", ["", "another", TOKEN.upper(), f"{TOKEN} ", "*", "\ud800", "x" * 10_000])
def test_a_token_that_was_not_stored_is_unknown(auth, unknown):
    auth.set_token(TOKEN)
    assert auth.get_token(unknown) is None
    assert auth.clear_token(unknown) is False


def test_a_token_may_be_any_text(auth):
    for token in ("ü", "a b\n\x00", "\ud800", "x" * 10_000_000):
        assert auth.set_token(token, {"length": len(token)})
        assert auth.get_token(token).claims == {"length": len(token)}


def test_a_token_that_is_stored_again_has_the_new_claims_alone(auth, raw):
    auth.set_token(TOKEN, {"old": 1}, 60, user=1)
    auth.set_token(TOKEN, {"new": 1}, 600)
    assert (auth.get_token(TOKEN).claims, auth.get_token(TOKEN).user) == ({"new": 1}, None)
    auth.clear(1)
    assert auth.get_token(TOKEN)
    assert raw.pttl(token_key()) > 500_000


def test_a_token_that_was_revoked_is_unknown_and_may_be_stored_again(auth):
    auth.set_token(TOKEN)
    assert auth.clear_token(TOKEN) is True
    assert auth.get_token(TOKEN) is None
    assert auth.clear_token(TOKEN) is False
    assert auth.set_token(TOKEN)
    assert auth.get_token(TOKEN)


@pytest.mark.parametrize("ttl", [0, -1, timedelta(0)])
def test_a_ttl_that_is_over_at_once_removes_the_token(auth, ttl):
    auth.set_token(TOKEN)
    assert auth.set_token(TOKEN, ttl=ttl) is False
    assert auth.get_token(TOKEN) is None


def test_every_key_expires_and_a_stamp_not_before_what_is_under_it(auth, raw):
    auth.set_token("long", ttl=timedelta(days=7), user=1)
    auth.set_token("short", ttl=5, user=1)
    auth.set(1, "data", 600)
    auth.create_state()
    names = list(raw.scan_iter())
    with raw.pipeline() as at_once:
        for name in names:
            at_once.pttl(name)
        left = dict(zip(names, at_once.execute(), strict=True))
    assert len(left) == 6
    assert min(left.values()) > 0
    assert min(left[ALL], left[ALL + b"1"]) >= left[token_key("long")] - 50
    assert auth.refresh(1, timedelta(days=30))
    assert min(raw.pttl(ALL), raw.pttl(ALL + b"1")) > 29 * 86_400_000


def test_a_stamp_that_somebody_made_endless_ends_again(auth, raw):
    auth.set_token(TOKEN, user=1)
    raw.persist(ALL)
    auth.set_token("another", user=1)
    assert raw.pttl(ALL) > 0
    assert auth.get_token(TOKEN)


@pytest.mark.parametrize("user", USERS[:11] + USERS[12:], ids=lambda user: repr(user)[:20])
def test_a_user_may_have_any_id(auth, user):
    assert auth.set_token(TOKEN, user=user)
    assert auth.set_token("of another", user="other")
    assert auth.get_token(TOKEN).user == str(user)
    auth.clear(user)
    assert auth.get_token(TOKEN) is None
    assert auth.get_token("of another")


def test_a_user_is_an_id_a_text_or_an_instance(auth):
    for user in (User(pk=42), SimpleLazyObject(lambda: User(pk=42)), SimpleNamespace(pk=42), "42", 42):
        auth.set_token(TOKEN, user=user)
        assert auth.get_token(TOKEN).user == "42"
        auth.clear(42)
        assert auth.get_token(TOKEN) is None


@pytest.mark.parametrize(
    "user", [AnonymousUser(), User(), True, 1.5, b"42", object(), ""], ids=lambda user: type(user).__name__
)
def test_what_is_no_user_is_refused_and_clears_nothing(auth, user):
    auth.set_token(TOKEN)
    for call in (
        lambda: auth.set_token("another", user=user),
        lambda: auth.set(user, 1),
        lambda: auth.get(user),
        lambda: auth.has(user),
        lambda: auth.refresh(user),
        lambda: auth.clear(user),
    ):
        with pytest.raises(InvalidKeyError, match=type(user).__name__):
            call()
    assert auth.get_token(TOKEN)


def test_data_of_nobody_is_refused(auth):
    for call in (lambda: auth.set(None, 1), lambda: auth.get(None), lambda: auth.refresh(None)):
        with pytest.raises(InvalidKeyError, match="NoneType"):
            call()


def test_what_is_no_token_is_refused_without_a_word_of_it(auth):
    with pytest.raises(InvalidKeyError, match="empty"):
        auth.set_token("")
    for wrong in (None, 7, TOKEN.encode()):
        for call in (auth.set_token, auth.get_token, auth.clear_token, auth.consume_state):
            with pytest.raises(InvalidKeyError) as caught:
                call(wrong)
            assert TOKEN not in f"{caught.value} {caught.value.key}"


def test_claims_are_a_mapping_that_json_has_a_form_for(auth):
    auth.set_token(TOKEN, {"kept": 1})
    with pytest.raises(TypeError, match="list"):
        auth.set_token(TOKEN, ["read"])
    with pytest.raises(SerializationError):
        auth.set_token(TOKEN, {"a": object()})
    with pytest.raises(TypeError, match="ttl"):
        auth.set_token(TOKEN, ttl=None)
    assert auth.get_token(TOKEN).claims == {"kept": 1}


def test_claims_that_are_too_large_are_not_stored_and_remove_the_old_ones(auth, broker, caplog):
    with site(broker.url, DRIPCACHE={"MAX_VALUE_BYTES": 1000}):
        auth.set_token(TOKEN, {"old": 1})
        assert auth.set_token(TOKEN, {"a": TOKEN * 1000}) is False
        assert auth.get_token(TOKEN) is None
    assert TOKEN not in caplog.text
    with site(broker.url, DRIPCACHE={"MAX_VALUE_BYTES": None}):
        claims = {"a": "x" * 10_000_000}
        assert auth.set_token(TOKEN, claims)
        assert auth.get_token(TOKEN).claims == claims
        assert auth.get_stats().tokens == 1


# Data of users


@pytest.mark.parametrize("user", USERS, ids=lambda user: repr(user)[:20])
def test_data_of_a_user_is_kept_until_it_is_cleared(auth, user):
    assert auth.get(user, "default") == "default"
    assert auth.has(user) is False
    assert auth.set(user, {"roles": ["editor"]}) is True
    assert auth.set("other", "other's") is True
    assert auth.get(user) == {"roles": ["editor"]}
    assert auth.has(user) is True
    auth.clear(user)
    assert auth.get(user) is None
    assert auth.get("other") == "other's"


@pytest.mark.parametrize("data", [None, False, 0, "", [], {}], ids=repr)
def test_nothing_is_data_too(auth, data):
    auth.set(1, data)
    assert auth.get(1, "default") == data
    assert auth.has(1)
    assert auth.refresh(1)


def test_refresh_gives_what_is_there_a_new_life_and_makes_nothing(auth, raw):
    auth.set(1, "data", 5)
    assert auth.refresh(1, 600) is True
    assert raw.pttl(ROOT + b"users:1") > 590_000
    assert auth.refresh(1, 10) is True
    assert raw.pttl(ROOT + b"users:1") <= 10_000
    assert auth.get(1) == "data"
    assert auth.refresh(2) is False
    auth.clear(1)
    assert auth.refresh(1) is False
    assert not auth.has(1)


def test_a_refresh_that_is_over_at_once_removes_the_data(auth):
    auth.set(1, "data")
    assert auth.refresh(1, 0) is True
    assert auth.refresh(1, 0) is False
    assert not auth.has(1)


# clear


def test_clear_of_a_user_leaves_the_others(auth):
    for user in (1, 11, None):
        auth.set_token(f"token of {user}", user=user)
    auth.set(1, "data")
    auth.set(11, "data")
    assert auth.clear(1) is None
    assert [bool(auth.get_token(f"token of {user}")) for user in (1, 11, None)] == [False, True, True]
    assert [auth.has(1), auth.has(11)] == [False, True]
    auth.clear("nobody")


def test_clear_without_a_user_is_of_everything(auth, raw):
    raw.rpush("celery", "a task")
    auth.set_token("with", user=1)
    auth.set_token("without")
    auth.set(1, "data")
    state = auth.create_state()
    auth.clear()
    assert auth.get_token("with") is None
    assert auth.get_token("without") is None
    assert auth.get(1) is None
    assert auth.consume_state(state) is None
    assert raw.llen("celery") == 1


def test_what_was_cleared_does_not_come_back_with_what_is_written_later(auth):
    auth.set_token("before", user=1)
    for clear in (lambda: auth.clear(1), auth.clear):
        auth.set_token("between", user=1)
        clear()
        auth.set_token("after", user=1)
        assert [bool(auth.get_token(token)) for token in ("before", "between", "after")] == [False, False, True]


@pytest.mark.parametrize("stamp", [ALL, ALL + b"1"])
def test_a_stamp_that_was_evicted_voids_what_is_under_it_for_good(auth, raw, stamp):
    auth.set_token(TOKEN, user=1)
    auth.set(1, "data")
    raw.delete(stamp)
    assert auth.get_token(TOKEN) is None
    assert not auth.has(1)
    auth.set_token("another", user=1)
    assert auth.get_token(TOKEN) is None
    assert not auth.refresh(1)
    assert auth.get_token("another")


def test_a_stamp_that_belongs_to_one_user_voids_nothing_of_others(auth, raw):
    auth.set_token("of 1", user=1)
    auth.set_token("of 2", user=2)
    auth.set_token("of nobody")
    raw.delete(ALL + b"1")
    assert [bool(auth.get_token(f"of {user}")) for user in (1, 2, "nobody")] == [False, True, True]


def test_clear_of_a_user_with_10000_tokens_is_one_command_about_one_key(patient, raw):
    auth = AuthCache()
    for number in range(10_000):
        auth.set_token(f"token {number}", user="many")
    auth.set_token("one token", user="one")
    keys = raw.dbsize()
    seen = {}
    for user in ("one", "many"):
        with monitored(raw) as seen[user]:
            auth.clear(user)
    assert seen["many"] == ["UNLINK dripcache:s.auth.stamps:many"]
    assert seen["one"] == ["UNLINK dripcache:s.auth.stamps:one"]
    assert raw.dbsize() == keys - 2  # the work is the same, and none of it is by token
    assert auth.get_token("token 9999") is None
    assert auth.get_stats() == AuthStats(available=True)
    with monitored(raw) as seen["all"]:
        auth.clear()
    assert seen["all"] == ["UNLINK dripcache:s.auth.stamps:"]


@pytest.mark.far("it counts round trips")
def test_a_verb_is_one_round_trip(patient, raw):
    auth = AuthCache()
    auth.set_token(TOKEN, user=1)
    auth.set(1, "data")
    auth.get_token(TOKEN)
    state = auth.create_state()
    auth.refresh(1)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older", "oldest"]):
        for call in (
            lambda: auth.set_token(TOKEN, user=1),
            lambda: auth.get_token(TOKEN),
            lambda: auth.clear_token(TOKEN),
            lambda: auth.set(1, "data"),
            lambda: auth.get(1),
            lambda: auth.has(1),
            lambda: auth.refresh(1),
            lambda: auth.clear(1),
            auth.create_state,
            lambda: auth.consume_state(state),
        ):
            raw.config_resetstat()
            call()
            sent = raw.info("commandstats")
            calls = sum(sent[name]["calls"] for name in ("cmdstat_evalsha", "cmdstat_unlink") if name in sent)
            inside = sent.get("cmdstat_unlink", {"calls": 0})["calls"] if "cmdstat_evalsha" in sent else 0
            assert calls - inside == 1


# Other processes

IN_ANOTHER_PROCESS = """
    import django, json
    django.setup()
    from django_dripcache.services.auth import AuthCache
    auth = AuthCache()
    seen = [bool(auth.get_token("first")), bool(auth.get_token("second")), auth.has(7)]
    auth.{verb}
    seen += [bool(auth.get_token("first")), bool(auth.get_token("second")), auth.has(7)]
    print(json.dumps(seen))
"""


@pytest.mark.parametrize(
    ("verb", "left"),
    [("clear_token('first')", [False, True, True]), ("clear(7)", [False] * 3), ("clear()", [False] * 3)],
)
def test_what_another_process_revokes_is_refused_here_at_once(patient, broker, verb, left):
    auth = AuthCache()
    auth.set_token("first", user=7)
    auth.set_token("second", user=7)
    auth.set(7, "data")
    assert all([auth.get_token("first"), auth.get_token("second"), auth.has(7)])
    seen = run_python(IN_ANOTHER_PROCESS.format(verb=verb), broker.url)
    assert seen == [True, True, True, *left]
    assert [bool(auth.get_token("first")), bool(auth.get_token("second")), auth.has(7)] == left


def test_a_token_that_is_stored_while_its_user_is_cleared_holds_or_does_not_but_never_comes_back(patient):
    auth = AuthCache()

    def work(number):
        for turn in range(50):
            if number % 2:
                auth.clear(1)
            else:
                auth.set_token(f"{number} {turn}", user=1)

    in_threads(8, work)
    auth.clear(1)
    assert not any(auth.get_token(f"{number} {turn}") for number in range(0, 8, 2) for turn in range(50))


# States


def test_a_state_is_used_once(auth):
    state = auth.create_state({"next": "/"})
    assert len(state) == 43
    assert auth.create_state() != state
    assert auth.consume_state(state) == {"next": "/"}
    assert auth.consume_state(state) is None


@pytest.mark.parametrize("unknown", ["", "unknown", "*", "\ud800"])
def test_a_state_that_nobody_made_is_unknown(auth, unknown):
    auth.create_state()
    assert auth.consume_state(unknown) is None


@pytest.mark.parametrize(
    ("data", "found"), [(None, {}), (False, False), (0, 0), ("", ""), ([], []), ({}, {})], ids=repr
)
def test_a_state_without_data_is_told_from_one_that_is_unknown(auth, data, found):
    assert auth.consume_state(auth.create_state(data)) == found


def test_a_state_expires(auth, raw):
    state = auth.create_state(ttl=timedelta(minutes=5))
    assert 290_000 < raw.pttl(state_key(state)) <= 300_000
    raw.pexpire(state_key(state), 1)
    wait_for(lambda: not raw.exists(state_key(state)))
    assert auth.consume_state(state) is None


def test_a_state_that_could_not_be_stored_is_not_handed_out(auth, broker):
    for ttl in (0, -5):
        with pytest.raises(ValueError, match="more than 0 seconds"):
            auth.create_state(ttl=ttl)
    with pytest.raises(SerializationError):
        auth.create_state(object())
    with (
        site(broker.url, DRIPCACHE={"MAX_VALUE_BYTES": 1000}),
        pytest.raises(SerializationError, match="MAX_VALUE_BYTES"),
    ):
        auth.create_state("x" * 1000)


def test_twenty_threads_use_a_state_once(patient):
    auth = AuthCache()
    for turn in range(10):
        state, start = auth.create_state({"turn": turn}), threading.Barrier(20)

        def use(_, state=state, start=start):
            start.wait(20)
            return auth.consume_state(state)

        assert [data for data in in_threads(20, use) if data is not None] == [{"turn": turn}]


# Secrets


def test_no_token_is_in_keys_values_commands_or_logs(patient, raw, caplog):
    caplog.set_level(logging.DEBUG)
    auth = AuthCache()
    tokens = [f"secret-{number:03}-of-somebody" for number in range(100)]
    raised = []
    with monitored(raw) as commands:
        for number, token in enumerate(tokens):
            auth.set_token(token, {"number": number}, user=number % 7)
            assert auth.get_token(token)
        states = [auth.create_state() for _ in range(10)]
        dumped = b"".join(name + raw.dump(name) + (raw.get(name) or b"") for name in raw.scan_iter())
        for token in tokens[::2]:
            auth.clear_token(token)
        for state in states[::2]:
            auth.consume_state(state)
    with site(UNREACHABLE, {}):
        for call in (auth.get_token, auth.clear_token, auth.consume_state):
            with pytest.raises(CacheUnavailableError) as caught:
                call(tokens[1])
            raised.append(f"{caught.value!r} {caught.value}")
        auth.set_token(tokens[1])
    everything = "\n".join([dumped.decode("latin-1"), *commands, caplog.text, *raised, repr(auth)])
    assert len(commands) > 300
    assert dumped.count(b"tokens:") == 100
    assert [secret for secret in (*tokens, *states) if secret in everything] == []
    assert "secret-" not in everything


def test_an_error_report_of_an_outage_shows_no_token(drive, settings):
    settings.DEBUG = False
    auth = drive(AuthCache())
    with site(UNREACHABLE, {}):
        for verb in ("get_token", "clear_token", "consume_state"):
            try:
                getattr(auth, verb)(TOKEN)
            except CacheUnavailableError as error:
                ours = error.__traceback__
                while "django_dripcache" not in ours.tb_frame.f_code.co_filename:
                    ours = ours.tb_next  # the frames of the test have it, of course
                report = ExceptionReporter(None, type(error), error.with_traceback(ours), ours)
                assert "cannot be used" in report.get_traceback_text()
                assert TOKEN not in report.get_traceback_html()


# Somebody else writes to Redis


def forged(value, key, *, raw, user=b"", kind=Token):
    """Return an entry under the stamps that are there, with a signature of this site."""
    line = b" ".join([raw.get(ALL), raw.get(ALL + user) or b"" if user else b"", user])
    return line + b"\n" + _codec(kind).encode(value, key)


def test_what_is_made_up_is_a_miss(auth, raw):
    auth.set_token(TOKEN, {"admin": False}, user=1)
    auth.set(1, {"admin": False})
    for key in (token_key(), ROOT + b"users:1"):
        real = raw.get(key)
        line, _, signed = real.partition(b"\n")
        for junk in (
            b"",
            b"{}",
            b'{"claims":{},"user":"1","expires":"2999-01-01T00:00:00Z"}',
            line,
            line + b"\n",
            line + b"\n{}",
            line + b'\n{"claims":{},"user":"1","expires":"2999-01-01T00:00:00Z"}',
            line + b'\n{"mac":"%s","value":{}}' % (b"0" * 64),
            signed,
            b"\n" + signed,
            real.replace(b"false", b"true"),
            real.replace(b'"mac":"', b'"mac":"0', 1),
            real[:-1],
            real + b" ",
            b"\xff" * 100,
            b"[" * 100_000,
            line + b'\n{"mac":"%s","value":%s}' % (b"0" * 64, b"[" * 100_000),
        ):
            raw.set(key, junk, px=60_000)
            assert auth.get_token(TOKEN) is None or key != token_key(), junk
            assert auth.get(1, "default") == "default" or key == token_key(), junk
        raw.set(key, real, px=60_000)
    assert auth.get_token(TOKEN)
    assert auth.has(1)


def test_what_cannot_be_read_is_removed(auth, raw):
    auth.set_token(TOKEN)
    real = raw.get(token_key())
    raw.set(token_key(), real[:-2] + b"!}", px=60_000)
    assert auth.get_token(TOKEN) is None
    assert not raw.exists(token_key())


def test_an_entry_that_is_copied_to_another_key_is_not_accepted(auth, raw):
    auth.set_token("mine", {"admin": True}, user=1)
    auth.set(1, {"admin": True})
    state = auth.create_state({"admin": True})
    entries = [raw.get(token_key("mine")), raw.get(ROOT + b"users:1"), raw.get(state_key(state))]
    for entry in entries:
        raw.set(token_key("made up"), entry, px=60_000)
        assert auth.get_token("made up") is None
        raw.set(ROOT + b"users:2", entry, px=60_000)
        assert auth.get(2) is None
        raw.set(state_key("made up"), entry, px=60_000)
        assert auth.consume_state("made up") is None
    assert auth.get_token("mine")


def test_a_token_does_not_outlive_its_end_where_somebody_gives_its_key_more_time(auth, raw):
    auth.set_token(TOKEN)
    now = datetime.now(timezone.utc)
    for seconds, known in ((60, True), (-1, False)):
        token = Token(None, None, now + timedelta(seconds=seconds))
        raw.set(token_key(), forged(token, token_key(), raw=raw))
        assert (auth.get_token(TOKEN) is not None) is known


@pytest.mark.parametrize("value", [{}, [], 7, None, {"claims": [], "user": 1, "expires": "never"}], ids=repr)
def test_a_token_of_another_release_that_does_not_fit_is_a_miss(auth, raw, value):
    auth.set_token(TOKEN)
    from typing import Any  # noqa: PLC0415 - what the codec of anything is asked by

    raw.set(token_key(), forged(value, token_key(), raw=raw, kind=Any), px=60_000)
    assert auth.get_token(TOKEN) is None


def test_a_value_of_another_type_is_a_miss_and_is_healed(auth, raw):
    for key in (token_key(), ROOT + b"users:1", ALL, ALL + b"1"):
        auth.set_token(TOKEN, user=1)
        auth.set(1, "data")
        raw.delete(key)
        raw.rpush(key, "a list")
        assert auth.get_token(TOKEN) is None or key == ROOT + b"users:1"
        assert auth.get(1) is None or key == token_key()
        assert auth.refresh(1) is (key == token_key())
        assert auth.get_stats().available
        assert auth.set_token(TOKEN, user=1)
        assert auth.set(1, "data")
        assert auth.get_token(TOKEN)
        assert auth.get(1) == "data"
        assert raw.pttl(key) > 0
    raw.rpush(state_key("a list"), "a list")
    assert auth.consume_state("a list") is None


@pytest.mark.parametrize("junk", [b"", b"no stamp", b"\n", b"*"])
def test_a_stamp_that_is_none_of_ours_voids_what_is_under_it_and_is_made_anew(auth, raw, junk):
    for stamp in (ALL, ALL + b"1"):
        auth.set_token(TOKEN, user=1)
        raw.set(stamp, junk)
        assert auth.get_token(TOKEN) is None
        assert auth.set_token("another", user=1)
        assert auth.get_token("another")
        assert auth.get_token(TOKEN) is None
        assert raw.pttl(stamp) > 0


# SECRET_KEY


def test_a_token_from_before_a_new_key_is_known_and_can_be_revoked(auth):
    auth.set_token("kept", {"a": 1}, user=1)
    auth.set_token("revoked")
    auth.set(1, "data")
    state = auth.create_state({"next": "/"})
    with override_settings(SECRET_KEY="a new key", SECRET_KEY_FALLBACKS=["one more", settings_key()]):
        assert auth.get_token("kept").claims == {"a": 1}
        assert auth.clear_token("revoked") is True
        assert auth.get(1) == "data"
        assert auth.consume_state(state) == {"next": "/"}
        assert auth.consume_state(state) is None
    assert auth.get_token("revoked") is None


def settings_key():
    from ..settings import SECRET_KEY  # noqa: PLC0415 - the fixture "settings" has this name in tests

    return SECRET_KEY


def test_a_token_that_is_stored_under_a_new_key_is_no_longer_there_under_the_old_one(auth, raw):
    auth.set_token(TOKEN, {"old": 1})
    with override_settings(SECRET_KEY="a new key", SECRET_KEY_FALLBACKS=[settings_key()]):
        auth.set_token(TOKEN, {"new": 1})
        assert auth.get_token(TOKEN).claims == {"new": 1}
        raw.delete(token_key())
        assert auth.get_token(TOKEN) is None


def test_without_the_old_key_nothing_from_before_is_accepted(auth):
    auth.set_token(TOKEN, user=1)
    auth.set(1, "data")
    state = auth.create_state()
    with override_settings(SECRET_KEY=b"a new key", SECRET_KEY_FALLBACKS=[]):
        assert auth.get_token(TOKEN) is None
        assert auth.get(1) is None
        assert auth.consume_state(state) is None


# Figures


def test_figures_count_what_holds(auth, raw):
    assert auth.get_stats() == AuthStats(available=True)
    for user in (1, 2):
        auth.set(user, "data")
        for number in range(3):
            auth.set_token(f"{user} {number}", user=user)
    auth.set_token("nobody's")
    states = [auth.create_state() for _ in range(4)]
    assert auth.get_stats() == AuthStats(available=True, tokens=7, users=2, states=4)
    auth.clear_token("1 0")
    auth.consume_state(states[0])
    raw.pexpire(token_key("2 0"), 1)
    wait_for(lambda: not raw.exists(token_key("2 0")))
    raw.rpush(ROOT + b"tokens:list", "a list")
    raw.set(ROOT + b"tokens:junk", "junk")
    raw.set("another:tokens:1", raw.get(token_key("2 1")))
    assert auth.get_stats() == AuthStats(available=True, tokens=5, users=2, states=3)
    auth.clear(1)
    assert auth.get_stats() == AuthStats(available=True, tokens=3, users=1, states=3)
    auth.clear()
    assert auth.get_stats() == AuthStats(available=True)
    auth.set_token(TOKEN)
    assert auth.get_stats() == AuthStats(available=True, tokens=1)


def test_figures_of_many_pages_are_right(patient, raw):
    auth = AuthCache()
    auth.set_token("0")
    entry = raw.get(token_key("0"))
    raw.mset({ROOT + b"tokens:%d" % number: entry for number in range(3000)})
    raw.mset({b"another:%d" % number: "x" for number in range(3000)})
    assert auth.get_stats() == AuthStats(available=True, tokens=3001)


def test_figures_of_a_large_database_say_that_they_are_estimated(auth, raw, monkeypatch):
    auth.set_token(TOKEN)
    monkeypatch.setattr(scan, "EXACT_BELOW", 1)
    assert auth.get_stats() == AuthStats(available=True, tokens=1, exact=False)


# Outages


@pytest.mark.parametrize("choice", ["fallback", "raise"])
def test_tokens_are_neither_accepted_nor_unknown_without_redis_whatever_on_outage_says(drive, choice):
    with site(UNREACHABLE, {"ON_OUTAGE": choice}):
        for auth in (drive(AuthCache()), drive(AuthCache(on_outage=choice))):
            for call in (
                lambda auth=auth: auth.get_token(TOKEN),
                lambda auth=auth: auth.clear_token(TOKEN),
                lambda auth=auth: auth.clear(1),
                lambda auth=auth: auth.clear(),
                lambda auth=auth: auth.create_state(),
                lambda auth=auth: auth.consume_state("state"),
            ):
                with pytest.raises(CacheUnavailableError):
                    call()


def test_other_verbs_answer_with_fallbacks_without_redis(drive):
    auth = drive(AuthCache())
    with site(UNREACHABLE, {}):
        assert auth.set_token(TOKEN) is False
        assert auth.set(1, "data") is False
        assert auth.get(1) is None
        assert auth.get(1, "default") == "default"
        assert auth.has(1) is False
        assert auth.refresh(1) is False
        assert auth.refresh(1, 0) is False
        assert auth.get_stats() == AuthStats(available=False)
        for call in (
            lambda: auth.set_token(TOKEN),
            lambda: auth.set(1, "data"),
            lambda: auth.get(1),
            lambda: auth.has(1),
            lambda: auth.refresh(1),
            auth.get_stats,
        ):
            with on_outage("raise"), pytest.raises(CacheUnavailableError):
                call()


REVOCATIONS = {
    "token": lambda auth: auth.clear_token(TOKEN),
    "user": lambda auth: auth.clear(1),
    "everything": lambda auth: auth.clear(),
    "replaced": lambda auth: auth.set_token(TOKEN, {"new": 1}) or raised(),
}


def raised():
    message = "set_token() answers False"
    raise CacheUnavailableError(message)


@pytest.mark.parametrize("revoke", REVOCATIONS.values(), ids=REVOCATIONS)
def test_what_could_not_be_revoked_is_revoked_when_redis_is_back(drive, start_server, revoke):
    server = start_server()
    auth = drive(AuthCache())
    with server.client() as owner, site(server.url):
        assert auth.set_token(TOKEN, user=1)
        owner.config_set("min-replicas-to-write", 1)
        with pytest.raises(CacheUnavailableError):
            revoke(auth)
        # The token can still be read, but not by the one who was told to revoke it.
        for _ in range(3):
            with pytest.raises(CacheUnavailableError):
                auth.get_token(TOKEN)
        owner.config_set("min-replicas-to-write", 0)
        assert wait_for(lambda: attempt(auth) == "unknown")


def attempt(auth):
    try:
        return "accepted" if auth.get_token(TOKEN) else "unknown"
    except CacheUnavailableError:
        return None


def test_others_are_known_while_a_revocation_waits(drive, start_server):
    server = start_server()
    auth = drive(AuthCache())
    with server.client() as owner, site(server.url):
        for user in (1, 2):
            auth.set_token(f"of {user}", user=user)
            auth.set(user, "data")
        owner.config_set("min-replicas-to-write", 1)
        with pytest.raises(CacheUnavailableError):
            auth.clear(1)
        assert auth.get_token("of 2")
        assert auth.get(2) == "data"
        assert auth.get(1) is None
        with on_outage("raise"), pytest.raises(CacheUnavailableError):
            auth.get(1)
        with pytest.raises(CacheUnavailableError):
            auth.get_token("of 1")


@pytest.mark.parametrize("revoke", list(REVOCATIONS.values())[:3], ids=list(REVOCATIONS)[:3])
def test_a_server_that_hangs_while_a_token_is_revoked_does_not_accept_it_afterwards(drive, start_server, revoke):
    server = start_server()
    auth = drive(AuthCache())
    with site(server.url, {}):
        wait_for(lambda: auth.set_token(TOKEN, user=1))
        server.pause()
        with pytest.raises(CacheUnavailableError):
            revoke(auth)
        server.resume()
        assert wait_for(lambda: attempt(auth)) == "unknown"


def test_a_revocation_that_an_open_breaker_holds_off_is_kept(drive, start_server):
    server = start_server()
    auth = drive(AuthCache())
    with site(server.url) as cache:
        auth.set_token(TOKEN, user=1)
        cache.client.server.breaker.trip()
        with pytest.raises(CacheUnavailableError):
            auth.clear(1)
        assert wait_for(lambda: attempt(auth)) == "unknown"


def test_a_script_that_may_not_ask_is_no_miss(drive, start_server):
    server = start_server()
    auth = drive(AuthCache())
    with server.client() as owner:
        owner.execute_command("ACL", "SETUSER", "shop", "on", ">password", "~*", "+@all", "-get")
        with site(f"redis://shop:password@127.0.0.1:{server.port}/0"):
            for call in (auth.get_token, auth.consume_state):
                with pytest.raises(CacheUnavailableError):
                    call(TOKEN)
            owner.set(ALL, "ab")
            assert auth.set_token(TOKEN) is False
            assert owner.get(ALL) == b"ab"


def test_a_read_only_server_still_tells_who_is_known(drive, start_server):
    server = start_server()
    auth = drive(AuthCache())
    with server.client() as owner, site(server.url):
        auth.set_token(TOKEN, user=1)
        owner.config_set("min-replicas-to-write", 1)
        assert auth.get_token(TOKEN)
        assert auth.get_token("another") is None
        assert auth.consume_state("unknown") is None
        assert auth.get_stats().tokens == 1
        with pytest.raises(CacheUnavailableError):
            auth.create_state()


def test_a_server_that_lost_everything_knows_no_token(drive, start_server):
    server = start_server()
    auth = drive(AuthCache())
    with site(server.url):
        auth.set_token(TOKEN, user=1)
        server.stop()
        server.start()
        assert wait_for(lambda: attempt(auth)) == "unknown"
        assert auth.set_token(TOKEN, user=1)
        assert auth.get_token(TOKEN)
