"""Holding a namespace to a number of keys, around any flow."""

from __future__ import annotations

import pytest

from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.flows.bounded import bounded
from django_dripcache.flows.steps import Command, Refused

from .script import play

INDEX = b"site:x:"
NAMES = [b"site:c:a", b"site:c:b"]
WRITE, BOUND = ("SET", b"site:c:a", b"1"), ("bound.lua", [INDEX], 10, *NAMES)
AWAY = CacheUnavailableError("Timeout reading from socket")


def writing():
    reply = yield Command(*WRITE)
    return reply == b"OK"


def nothing():
    return "result"
    yield


def test_the_bound_is_one_round_trip_after_the_flow_and_its_result_stays():
    assert play(bounded(writing(), INDEX, 10, NAMES), (WRITE, b"OK"), (BOUND, 3)) is True
    assert play(bounded(writing(), INDEX, 10, NAMES), (WRITE, None), (BOUND, 0)) is False


def test_a_flow_without_steps_is_bounded_as_well():
    assert play(bounded(nothing(), INDEX, 10, NAMES), (BOUND, 0)) == "result"


def test_what_was_written_counts_where_redis_goes_away_before_the_bound():
    assert play(bounded(writing(), INDEX, 10, NAMES), (WRITE, b"OK"), (BOUND, AWAY)) is True


def test_what_was_written_counts_where_the_index_is_of_another_type():
    refusal = Refused("WRONGTYPE Operation against a key holding the wrong kind of value")
    assert play(bounded(writing(), INDEX, 10, NAMES), (WRITE, b"OK"), (BOUND, refusal)) is True


@pytest.mark.parametrize("error", [AWAY, KeyboardInterrupt(), ValueError(), GeneratorExit()], ids=repr)
def test_a_flow_that_fails_is_not_bounded(error):
    with pytest.raises(type(error)) as caught:
        play(bounded(writing(), INDEX, 10, NAMES), (WRITE, error))
    assert caught.value is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError(), GeneratorExit()], ids=repr)
def test_an_interrupt_within_the_bound_comes_out(error):
    with pytest.raises(type(error)) as caught:
        play(bounded(writing(), INDEX, 10, NAMES), (WRITE, b"OK"), (BOUND, error))
    assert caught.value is error


def test_a_flow_that_handles_its_own_errors_still_does_so():
    def forgiving():
        try:
            yield Command(*WRITE)
        except CacheUnavailableError:
            return "fallback"

    assert play(bounded(forgiving(), INDEX, 10, NAMES), (WRITE, AWAY), (BOUND, 0)) == "fallback"
