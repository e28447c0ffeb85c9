"""Times in counters, two for each doubling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_dripcache.histogram import BUCKETS, bounds, bucket, quantile


@given(st.integers(0, 2**30))
def test_a_time_is_within_the_bounds_of_its_counter(microseconds):
    place = bucket(microseconds)
    low, high = bounds(place)
    assert low <= microseconds
    assert microseconds < high or place == BUCKETS - 1


def test_the_counters_leave_no_gap_and_do_not_overlap():
    edges = [bounds(place) for place in range(BUCKETS)]
    assert edges[0][0] == 0
    assert [high for _, high in edges[:-1]] == [low for low, _ in edges[1:]]


def test_a_time_beyond_all_bounds_is_in_the_last_counter():
    assert bucket(2**62) == BUCKETS - 1


@given(st.lists(st.integers(2, 10**7), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_in_the_counter_of_the_true_one(times, part):
    counters = [0] * BUCKETS
    for time in times:
        counters[bucket(time)] += 1
    rank = next(place for place in range(len(times)) if place + 1 >= len(times) * part)
    low, high = bounds(bucket(sorted(times)[rank]))
    assert low <= quantile(counters, part) * 1e6 <= high


@pytest.mark.parametrize("counters", [[], [0] * BUCKETS])
def test_without_times_there_is_no_quantile(counters):
    assert quantile(counters, 0.5) is None
