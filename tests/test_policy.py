"""Lifetimes, in what a site writes and in what Redis takes."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_dripcache.policy import MAX_TTL, to_milliseconds

LONGEST = int(MAX_TTL * 1000)


@pytest.mark.parametrize(
    ("ttl", "milliseconds"),
    [
        (1, 1000),
        (300, 300_000),
        (0.5, 500),
        (0.25, 250),
        (2.3, 2300),
        (0.0001, 1),
        (5e-324, 1),
        (timedelta(seconds=1), 1000),
        (timedelta(milliseconds=1), 1),
        (timedelta(microseconds=1), 1),
        (timedelta(days=1, microseconds=1), 86_400_001),
    ],
)
def test_seconds_and_timedeltas_become_milliseconds_rounded_up(ttl, milliseconds):
    assert to_milliseconds(ttl) == milliseconds


@pytest.mark.parametrize(
    "ttl",
    [
        0,
        0.0,
        -0.0,
        -1,
        -0.001,
        -math.inf,
        pytest.param(-(10**400), id="huge"),
        timedelta(0),
        -timedelta(1),
        timedelta.min,
    ],
)
def test_zero_and_less_is_over_at_once(ttl):
    assert to_milliseconds(ttl) == 0


@pytest.mark.parametrize(
    "ttl",
    [
        MAX_TTL,
        MAX_TTL + 1,
        2**63,
        2**64,
        pytest.param(10**400, id="huge"),
        1e300,
        math.inf,
        timedelta.max,
        timedelta(days=36_500),
    ],
)
def test_what_is_longer_than_the_longest_is_cut(ttl):
    assert to_milliseconds(ttl) == LONGEST


@given(st.floats(min_value=0, max_value=MAX_TTL, exclude_min=True) | st.integers(1, int(MAX_TTL)))
def test_a_ttl_is_never_shorter_than_asked_and_at_most_two_milliseconds_longer(ttl):
    exact = Fraction(ttl) * 1000
    assert 1 <= to_milliseconds(ttl) <= LONGEST
    assert exact - Fraction(1, 1000) <= to_milliseconds(ttl) <= exact + 2


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=3649)))
def test_a_timedelta_and_its_seconds_are_the_same(ttl):
    assert to_milliseconds(ttl) == to_milliseconds(ttl.total_seconds())


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_longer_ttl_is_never_shorter_in_milliseconds(one, other):
    shorter, longer = sorted((one, other))
    assert to_milliseconds(shorter) <= to_milliseconds(longer)


@pytest.mark.parametrize("ttl", [None, "60", b"60", True, False, Decimal(1), Fraction(1), [1], 1j, object()])
def test_what_is_no_time_is_refused_with_what_was_received(ttl):
    with pytest.raises(TypeError, match="A ttl is a number of seconds or a timedelta, not") as caught:
        to_milliseconds(ttl)
    assert type(ttl).__name__ in str(caught.value)


@pytest.mark.parametrize("ttl", [math.nan, -math.nan])
def test_nan_is_refused(ttl):
    with pytest.raises(ValueError, match="NaN"):
        to_milliseconds(ttl)


def test_redis_takes_the_longest_and_the_shortest(raw):
    assert raw.set("longest", "1", px=to_milliseconds(math.inf))
    assert raw.pttl("longest") > LONGEST - 60_000
    assert raw.set("shortest", "1", px=to_milliseconds(5e-324))
