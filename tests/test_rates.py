"""Rates are read strictly, and several decisions become one."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_dripcache.exceptions import RateLimitExceededError
from django_dripcache.rates import Decision, Rate, decide, parse


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("10/s", [(10, 1)]),
        ("100/m", [(100, 60)]),
        ("1000/h", [(1000, 3600)]),
        ("1/d", [(1, 86_400)]),
        ("5/15m", [(5, 900)]),
        ("10/30s", [(10, 30)]),
        (" 10/s , 1000/h ", [(10, 1), (1000, 3600)]),
        ("1000/h,10/s", [(10, 1), (1000, 3600)]),
        ("999999999/366d", [(999_999_999, 366 * 86_400)]),
    ],
)
def test_a_rate_is_a_number_in_a_length_of_time(text, rates):
    assert [(rate.limit, rate.window) for rate in parse(text)] == rates


@pytest.mark.parametrize(
    "text",
    [
        *("", "10", "/s", "10/", "10/month", "10/minute", "10/M", "0/s", "-1/s", "1.5/s", "10 / s", "10/0s", "10/s,"),
        *("10/s;5/m", "01/s", "10/s 5/m", "1e3/s", "10/s\n", "\uff11/s", "10/367d", "9999999999/s", "10//s", "10/-5s"),
    ],
)
def test_what_is_no_rate_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match=r"Allowed is a number, a slash and a length of time in s, m, h or d"):
        parse(text)


def test_two_limits_for_one_window_are_refused():
    with pytest.raises(ValueError, match="two limits for one window"):
        parse("10/m, 20/60s")


@pytest.mark.parametrize("given", [None, 10, b"10/s", ["10/s"]])
def test_what_is_no_text_is_refused(given):
    with pytest.raises(TypeError):
        parse(given)


@given(st.integers(1, 999_999_999), st.integers(1, 366 * 86_400))
def test_a_rate_is_written_as_it_is_read(limit, window):
    rate = Rate(limit, window)
    if window < 1_000_000 or window % 60 == 0:
        assert parse(str(rate)) == (rate,)


def test_a_rate_is_written_with_the_largest_unit():
    assert [str(Rate(5, window)) for window in (1, 60, 90, 900, 3600, 86_400)] == [
        *("5/s", "5/m", "5/90s", "5/15m", "5/h", "5/d")
    ]


def test_the_tightest_rate_decides():
    rates = parse("10/s, 100/m")
    both = decide(rates, [[5, 500_000, 0], [90, 30_000_000, 0]], None)
    assert both
    assert (both.limit, both.count, both.remaining, both.reset_after, both.retry_after) == (100, 90, 10, 30.0, 0.0)
    assert [one.remaining for one in both.rates] == [5, 10]
    denied = decide(rates, [[10, 500_000, 250_000], [90, 30_000_000, 0]], None)
    assert not denied
    assert (denied.limit, denied.remaining, denied.retry_after) == (10, 0, 0.25)
    assert [one.allowed for one in denied.rates] == [False, True]


def test_the_error_says_what_and_when_and_survives_a_pickle():
    decision = Decision(False, 10, 10, 0, 30.0, 12.5, Rate(10, 60))
    error = pickle.loads(pickle.dumps(RateLimitExceededError(decision)))
    assert error.decision == decision
    assert str(error) == "The limit of 10/m is reached. Try again in 12.5 seconds."
