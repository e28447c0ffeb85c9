"""Looking at keys: in how many round trips, and how much is looked at in one."""

from __future__ import annotations

import pytest

from django_dripcache.contents import MEMBER_BYTES, MEMBERS, READ
from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.flows import inspection
from django_dripcache.flows.inspection import Examined, Facts
from django_dripcache.flows.steps import SCAN_COUNT

from .script import play

PATTERN = b"site:*"
A, B, C, D = (b"site:c:" + letter for letter in (b"a", b"b", b"c", b"d"))
STRING = [b"string", 5000, 3]
FACTS = Facts("string", 5000, 3)


def scanning(cursor, size):
    return ("SCAN", cursor, "MATCH", PATTERN, "COUNT", size)


def describing(*names):
    return [("describe.lua", list(names))]


def find(*exchanges, count=2, cursor=0, accepts=lambda _: True):
    return play(inspection.find(PATTERN, accepts, cursor, count), *exchanges)


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(inspection.time, "monotonic", lambda: now[0])
    return now


# find


def test_a_page_is_two_round_trips():
    found = find((scanning(7, 2), [b"9", [A, B]]), (describing(A, B), [[STRING, STRING]]), cursor=7)
    assert found == ({A: FACTS, B: FACTS}, 9)


def test_an_empty_database_is_one():
    assert find((scanning(0, 2), [b"0", []])) == ({}, 0)


def test_it_looks_at_more_keys_at_a_time_where_it_finds_none_and_never_at_more_than_a_page_of_scan(clock):
    sizes = [600, 1000, 1000]
    exchanges = [(scanning(at, size), [b"%d" % (at + 1), []]) for at, size in enumerate([300, *sizes])]
    exchanges[-1] = (exchanges[-1][0], [b"0", []])
    assert find(*exchanges, count=300) == ({}, 0)
    assert max(sizes) == SCAN_COUNT


def test_it_looks_at_as_many_keys_as_the_rest_of_the_page_should_take():
    # One of ten was found: the other is among ten more.
    exchanges = [
        (scanning(0, 2), [b"1", []]),
        (scanning(1, 4), [b"2", []]),
        (scanning(2, 8), [b"3", [A]]),
        (scanning(3, 15), [b"4", [B, C]]),
        (describing(A, B, C), [[STRING, STRING, STRING]]),
    ]
    assert list(find(*exchanges)[0]) == [A, B, C]


def test_it_ends_when_its_time_is_over_and_can_go_on_from_there(clock):
    def accepts(name):
        clock[0] += inspection.PATIENCE
        return name != B

    found = find((scanning(0, 3), [b"5", [A, B]]), (describing(A), [[STRING]]), count=3, accepts=accepts)
    assert found == ({A: FACTS}, 5)


def test_what_comes_twice_is_told_once():
    found = find((scanning(0, 2), [b"0", [A, A]]), (describing(A), [[STRING]]))
    assert found == ({A: FACTS}, 0)


def test_what_was_gone_meanwhile_is_not_told():
    found = find((scanning(0, 2), [b"0", [A, B]]), (describing(A, B), [[[b"none", -2, -1], STRING]]))
    assert found == ({B: FACTS}, 0)


def test_an_outage_is_raised():
    with pytest.raises(CacheUnavailableError):
        find((scanning(0, 2), CacheUnavailableError("away")))


# describe


def test_many_keys_are_described_in_one_round_trip_of_several_scripts():
    names = [b"site:%d" % at for at in range(1001)]
    steps = [("describe.lua", names[:500]), ("describe.lua", names[500:1000]), ("describe.lua", names[1000:])]
    replies = [[[b"set", -1, -1]] * 500, [[b"", 7, 9]] * 500, [STRING]]
    found = play(inspection.describe(names), (steps, replies))
    assert list(found) == names
    assert found[names[0]] == Facts("set", -1, None)
    assert found[names[600]] == Facts("", 7, 9)
    assert found[names[-1]] == FACTS


def test_no_keys_are_no_round_trip():
    assert play(inspection.describe([])) == {}


# examine

EXAMINING = [("describe.lua", [A]), ("examine.lua", [A], READ, MEMBERS, MEMBER_BYTES)]


def test_a_key_is_examined_in_one_round_trip():
    found = play(inspection.examine(A), (EXAMINING, [[STRING], [4000, b"abc", 0]]))
    assert found == (FACTS, Examined(4000, b"abc", (), more=False))


def test_of_another_type_members_are_told():
    found = play(inspection.examine(A), (EXAMINING, [[[b"set", -1, 90]], [-1, [b"a", b"b"], 1]]))
    assert found == (Facts("set", -1, 90), Examined(-1, None, [b"a", b"b"], more=True))


def test_a_key_that_is_not_there_is_none():
    assert play(inspection.examine(A), (EXAMINING, [[[b"none", -2, -1]], [-2, b"", 0]])) is None


# largest


def test_of_a_sample_the_largest_are_told():
    replies = [[b"string", 1, 10], [b"hash", -1, 900], [b"", 7, -1], [b"set", 7, 50]]
    exchanges = [(scanning(0, SCAN_COUNT), [b"7", [A, B, C, D]]), (describing(A, B, C, D), [replies])]
    exchanges.insert(1, (scanning(7, SCAN_COUNT), [b"0", []]))
    found = play(inspection.largest(PATTERN, lambda _: True, 2), *exchanges)
    assert found == [(B, 900), (D, 50)]
