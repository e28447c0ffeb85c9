"""Feature flags, without a server: what is asked, and how often."""

from __future__ import annotations

from hashlib import sha1

import pytest

from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.flows import flags
from django_dripcache.flows.flags import MAX_FLAGS, NO_END, State
from django_dripcache.flows.steps import Refused

from .script import play

PREFIX, INDEX = b"site:s.flags:", b"site:s.flags.index:"
KEY = PREFIX + b"sale"
READ = [("GET", KEY), ("PTTL", KEY)]
REMOVE = [("ZREM", INDEX, b"sale"), ("UNLINK", KEY)]
LIST = ("flag_all.lua", [INDEX], PREFIX, MAX_FLAGS)
AWAY = CacheUnavailableError("Timeout reading from socket")
ODD = Refused("WRONGTYPE Operation against a key holding the wrong kind of value")


def store(raw=b"1", left=5000):
    return ("flag_set.lua", [KEY, INDEX], PREFIX, raw, left, MAX_FLAGS)


def discard(raw):
    return ("discard.lua", [KEY], sha1(raw).hexdigest())


def test_a_flag_is_read_in_one_round_trip():
    assert play(flags.get(KEY), (READ, [b"1", 5000])) == State(True, 5000)
    assert play(flags.get(KEY), (READ, [b"0", NO_END])) == State(False, NO_END)
    assert play(flags.get(KEY), (READ, [None, -2])) is None


def test_a_key_of_another_type_is_no_flag():
    assert play(flags.get(KEY), (READ, [ODD, NO_END])) is None


@pytest.mark.parametrize("raw", [b"", b"2", b"11", b"true", b"\xff" * 100, b'{"a": 1}'])
def test_what_is_no_state_is_no_flag_and_is_removed(raw):
    assert play(flags.get(KEY), (READ, [raw, NO_END]), (discard(raw), 1)) is None


@pytest.mark.parametrize("error", [AWAY, ODD])
def test_what_cannot_be_removed_is_no_flag_all_the_same(error):
    assert play(flags.get(KEY), (READ, [b"x", NO_END]), (discard(b"x"), error)) is None


def test_a_flag_is_set_in_one_round_trip():
    assert play(flags.set(KEY, INDEX, PREFIX, State(True, 5000)), (store(), 1)) is True
    assert play(flags.set(KEY, INDEX, PREFIX, State(False, NO_END)), (store(b"0", NO_END), 1)) is True
    assert play(flags.set(KEY, INDEX, PREFIX, State(True, 5000)), (store(), 0)) is False


def test_a_flag_with_nothing_left_is_removed():
    assert play(flags.set(KEY, INDEX, PREFIX, State(True, 0)), (REMOVE, [0, 0])) is True


def test_a_flag_is_removed_in_one_round_trip():
    assert play(flags.delete(KEY, INDEX, PREFIX), (REMOVE, [1, 1])) is True
    assert play(flags.delete(KEY, INDEX, PREFIX), (REMOVE, [1, 0])) is False
    assert play(flags.delete(KEY, INDEX, PREFIX), (REMOVE, [ODD, 1])) is True


@pytest.mark.parametrize("error", [AWAY, KeyboardInterrupt()], ids=repr)
def test_a_write_that_fails_notes_its_flag_and_no_other_and_not_the_index(error):
    for flow, step in (
        (flags.set(KEY, INDEX, PREFIX, State(True, 5000)), store()),
        (flags.set(KEY, INDEX, PREFIX, State(True, 0)), REMOVE),
        (flags.delete(KEY, INDEX, PREFIX), REMOVE),
    ):
        noted = []
        with pytest.raises(type(error)):
            play(flow, (step, error), noted=noted)
        assert noted == [([KEY], [])]


def test_all_flags_are_read_in_one_round_trip():
    reply = [b"sale", b"1", 5000, b"beta", b"0", NO_END]
    assert play(flags.all(INDEX, PREFIX), (LIST, reply)) == {KEY: State(True, 5000), PREFIX + b"beta": State(False, -1)}
    assert play(flags.all(INDEX, PREFIX), (LIST, [])) == {}


def test_an_index_of_another_type_lists_no_flags():
    assert play(flags.all(INDEX, PREFIX), (LIST, ODD)) == {}


@pytest.mark.parametrize("reply", [None, 7, b"text", [b"sale"], [1, 2, 3], [b"sale", b"1", None], [[], [], []]])
def test_what_is_no_list_of_flags_is_an_outage(reply):
    with pytest.raises(CacheUnavailableError):
        play(flags.all(INDEX, PREFIX), (LIST, reply))
