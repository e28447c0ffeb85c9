"""What the flows of auth ask, in how many round trips, and what they make of each answer."""

from __future__ import annotations

import hashlib

import pytest

from django_dripcache.codecs import JSON, MISS
from django_dripcache.exceptions import CacheUnavailableError, SerializationError
from django_dripcache.flows import auth, scan
from django_dripcache.flows.auth import AuthStats, Token
from django_dripcache.signed import SignedJsonCodec

from .script import play

ALL, USER = b"site:stamps:", b"site:stamps:42"
KEY, OLDER = b"site:tokens:new", b"site:tokens:old"
CODEC = SignedJsonCodec([b"secret"])
STRANGER = SignedJsonCodec([b"another secret"])
AWAY = CacheUnavailableError("Timeout reading from socket")
STAMP = "ab" * 16
READ = ("auth_read.lua", [ALL, KEY, OLDER], "get", 0)


@pytest.fixture(autouse=True)
def known_stamp(monkeypatch):
    monkeypatch.setattr(auth, "token_hex", lambda _: STAMP)


def stored(value, key=KEY, codec=CODEC, line=b"aa bb 42"):
    return line + b"\n" + codec.encode(value, key)


def writing(value=7, ttl=500, stamps=(ALL, USER)):
    raw = CODEC.encode(value, KEY)
    return ("auth_write.lua", [*stamps, KEY, OLDER], len(stamps), raw, ttl, STAMP)


# write


def test_a_write_is_one_round_trip_that_removes_what_is_under_older_digests():
    assert play(auth.write([KEY, OLDER], [ALL, USER], CODEC, 7, 500), (writing(), 1)) is True
    assert play(auth.write([KEY, OLDER], [ALL], CODEC, 7, 500), (writing(stamps=[ALL]), 1)) is True


def test_what_is_over_at_once_removes_what_is_there():
    assert play(auth.write([KEY, OLDER], [ALL], CODEC, 7, 0), (("UNLINK", KEY, OLDER), 1)) is False


class Bounded(SignedJsonCodec):
    """A driver answers None for a value that is larger than the site allows; here the codec does."""

    def encode(self, value, key):
        return None


def test_a_value_that_is_too_large_removes_what_is_there():
    assert play(auth.write([KEY], [ALL], Bounded([b""]), 7, 500), (("UNLINK", KEY), 1)) is False


@pytest.mark.parametrize("error", [AWAY, KeyboardInterrupt()], ids=repr)
def test_a_write_that_fails_is_noted_with_all_of_its_names(error):
    noted = []
    with pytest.raises(type(error)):
        play(auth.write([KEY, OLDER], [ALL, USER], CODEC, 7, 500), (writing(), error), noted=noted)
    assert noted == [([KEY, OLDER], [])]


def test_what_has_no_form_in_json_changes_nothing_and_is_not_noted():
    noted = []
    with pytest.raises(SerializationError):
        play(auth.write([KEY], [ALL], CODEC, object(), 500), noted=noted)
    assert noted == []


# add


def test_a_new_state_that_fails_leaves_nothing_to_be_made_good():
    noted = []
    with pytest.raises(CacheUnavailableError):
        play(
            auth.add(KEY, ALL, CODEC, 7, 500),
            (("auth_write.lua", [ALL, KEY], 1, CODEC.encode(7, KEY), 500, STAMP), AWAY),
            noted=noted,
        )
    assert noted == []


def test_a_new_state_that_is_too_large_is_said_to_be():
    with pytest.raises(SerializationError, match="MAX_VALUE_BYTES"):
        play(auth.add(KEY, ALL, Bounded([b""]), 7, 500))


# read


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, {"a": [1, None]}], ids=repr)
def test_a_read_is_one_round_trip_for_all_digests(value):
    assert play(auth.read([KEY, OLDER], ALL, CODEC), (READ, [stored(value), None])) == value
    assert play(auth.read([KEY, OLDER], ALL, CODEC), (READ, [None, stored(value, OLDER)])) == value


def test_the_first_digest_comes_first():
    assert play(auth.read([KEY, OLDER], ALL, CODEC), (READ, [stored(1), stored(2, OLDER)])) == 1


def test_what_does_not_stand_is_a_miss():
    assert play(auth.read([KEY, OLDER], ALL, CODEC), (READ, [None, None])) is MISS


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"aa bb 42\n",
        b"aa bb 42",
        b"aa bb 42\n" + JSON.encode(7, KEY),
        stored(7, OLDER),
        stored(7, codec=STRANGER),
        stored(7)[:-1],
        stored(7).replace(b":7}", b":8}"),
    ],
    ids=repr,
)
def test_what_this_site_did_not_store_there_is_removed_if_it_is_still_that(raw):
    discarding = ("discard.lua", [KEY], hashlib.sha1(raw).hexdigest())
    assert play(auth.read([KEY, OLDER], ALL, CODEC), (READ, [raw, None]), (discarding, 1)) is MISS
    assert play(auth.read([KEY, OLDER], ALL, CODEC), (READ, [raw, stored(2, OLDER)]), (discarding, 1)) == 2


@pytest.mark.parametrize("reply", [None, 1, b"text", [], [None], [None] * 3], ids=repr)
def test_an_answer_of_another_shape_is_no_answer(reply):
    with pytest.raises(CacheUnavailableError, match="shape"):
        play(auth.read([KEY, OLDER], ALL, CODEC), (READ, reply))


def test_a_read_that_fails_is_not_a_miss():
    with pytest.raises(CacheUnavailableError):
        play(auth.read([KEY, OLDER], ALL, CODEC), (READ, AWAY))


# count

KINDS = [b"site:tokens:", b"site:users:", b"site:states:"]


def counting(*names):
    return ("auth_read.lua", [ALL, *names], "count")


def test_figures_are_two_round_trips_a_page_and_count_no_key_twice():
    flow = auth.count(b"site:*", KINDS, ALL)
    found = play(
        flow,
        (("DBSIZE",), 3),
        (("SCAN", 0, "MATCH", b"site:*", "COUNT", 1000), [b"9", [b"site:tokens:a"]]),
        ([counting(b"site:tokens:a")], [1]),
        (("SCAN", 9, "MATCH", b"site:*", "COUNT", 1000), [b"8", [b"site:tokens:a", b"site:stamps:"]]),
        (("SCAN", 8, "MATCH", b"site:*", "COUNT", 1000), [b"0", [b"site:states:a", b"site:users:a"]]),
        ([counting(b"site:users:a"), counting(b"site:states:a")], [0, 1]),
    )
    assert found == AuthStats(available=True, tokens=1, users=0, states=1)


def test_figures_of_a_large_database_are_estimated_from_a_sample(monkeypatch):
    monkeypatch.setattr(scan, "EXACT_BELOW", 100)
    monkeypatch.setattr(scan, "SAMPLE_PAGES", 1)
    names = [b"site:tokens:a", b"celery", b"site:tokens:a", b"other"]
    found = play(
        auth.count(b"site:*", KINDS, ALL),
        (("DBSIZE",), 400),
        (("SCAN", 0, "MATCH", b"*", "COUNT", 1000), [b"9", names]),
        ([counting(b"site:tokens:a")], [1]),
    )
    assert found == AuthStats(available=True, tokens=100, exact=False)


def test_figures_of_a_sample_that_showed_nothing_are_none(monkeypatch):
    monkeypatch.setattr(scan, "EXACT_BELOW", 100)
    page = ("SCAN", 0, "MATCH", b"*", "COUNT", 1000)
    found = play(auth.count(b"site:*", KINDS, ALL), (("DBSIZE",), 400), (page, [b"0", []]))
    assert found == AuthStats(available=True, exact=False)


# Tokens


def test_a_token_shows_no_claims_in_its_repr():
    assert "hidden" not in repr(Token.of({"refresh_token": "hidden"}, "42", 1000))
