"""Counting with numbers that Redis cannot count with: what it asks, and what it makes of others who count too."""

from __future__ import annotations

import hashlib

import pytest

from django_dripcache.codecs import PickleCodec
from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.flows import counters
from django_dripcache.flows.steps import Refused

from .script import play

KEY = b"site:c:key"
CODEC = PickleCodec([b"secret"], compress_above=None, inflate_limit=2**20)
GET = ("GET", KEY)
WRONGTYPE = Refused("WRONGTYPE Operation against a key holding the wrong kind of value")
TOO_LARGE = 2**63 - 1


def stored(value):
    return CODEC.encode(value, KEY)


def entry(value, grace=0):
    """Return a value behind a header, which a loader's cost leaves, and grace."""
    rest = b" %d 7\n" % grace
    return b"\xde1 %06d" % (9 + len(rest)) + rest + stored(value)


def replacing(old, new):
    return ("replace.lua", [KEY], old, stored(new))


def setting(value, *expiry):
    return ("SET", KEY, stored(value), *expiry, "NX")


def discarding(junk):
    return ("discard.lua", [KEY], hashlib.sha1(junk).hexdigest())


# add


def test_add_replaces_a_number_if_nobody_else_did():
    assert play(counters.add(KEY, 2, CODEC), (GET, stored(1.5)), (replacing(stored(1.5), 3.5), 1)) == 3.5


def test_add_tries_again_where_another_was_first():
    lost = [(GET, stored(1.5)), (replacing(stored(1.5), 3.5), 0)]
    assert play(counters.add(KEY, 2, CODEC), *lost, (GET, stored(2.5)), (replacing(stored(2.5), 4.5), 1)) == 4.5
    with pytest.raises(CacheUnavailableError, match="2 others"):
        play(counters.add(KEY, 2, CODEC, attempts=2), *lost * 2)


@pytest.mark.parametrize("found", [None, WRONGTYPE, b"junk", entry(1)], ids=repr)
def test_add_makes_nothing_where_there_is_no_number(found):
    assert play(counters.add(KEY, 2, CODEC), (GET, found)) is None


# count


@pytest.mark.parametrize(("ttl", "expiry"), [(5000, ("PX", 5000)), (None, ())])
def test_count_begins_where_there_is_nothing_with_its_ttl(ttl, expiry):
    assert play(counters.count(KEY, 2, ttl, CODEC), (GET, None), (setting(2, *expiry), b"OK")) == 2


def test_count_of_what_is_over_at_once_stores_nothing():
    assert play(counters.count(KEY, 2, 0, CODEC), (GET, None)) == 2


@pytest.mark.parametrize("found", [stored(7), entry(7)], ids=["bare", "with the cost of its loader"])
def test_count_replaces_a_number_if_nobody_else_did(found):
    assert play(counters.count(KEY, 2, 5000, CODEC), (GET, found), (replacing(found, 9), 1)) == 9


def test_count_removes_what_nobody_can_read_and_begins_anew():
    exchanges = [(GET, b"junk"), (discarding(b"junk"), 1), (setting(2, "PX", 5000), b"OK")]
    assert play(counters.count(KEY, 2, 5000, CODEC), *exchanges) == 2


@pytest.mark.parametrize("refusal", [0, WRONGTYPE], ids=repr)
def test_count_tries_again_where_another_was_first(refusal):
    lost = [(GET, None), (setting(2), None), (GET, stored(7)), (replacing(stored(7), 9), refusal)]
    won = [(GET, stored(8)), (replacing(stored(8), 10), 1)]
    assert play(counters.count(KEY, 2, None, CODEC), *lost, *won) == 10
    with pytest.raises(CacheUnavailableError, match="2 others"):
        play(counters.count(KEY, 2, None, CODEC, attempts=2), *lost)


@pytest.mark.parametrize(
    "found", [WRONGTYPE, stored("7"), stored(7.0), stored(True), stored(TOO_LARGE), entry(7, grace=1)], ids=repr
)
def test_count_of_what_cannot_be_counted_is_a_value_error_and_changes_nothing(found):
    with pytest.raises(ValueError, match="cannot be counted with"):
        play(counters.count(KEY, 2, 5000, CODEC), (GET, found))


@pytest.mark.parametrize("delta", [1.5, True, "1", None])
def test_count_takes_integers_alone(delta):
    with pytest.raises(TypeError, match="changed by an int"):
        play(counters.count(KEY, delta, 5000, CODEC))
