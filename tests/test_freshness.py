"""How long a value is fresh: what a caller gave, and the draws of how early it is computed anew."""

from __future__ import annotations

import math

import pytest

from django_dripcache import freshness
from django_dripcache.freshness import Freshness


def test_what_is_out_of_range_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(ValueError, match=r"jitter=1\.5 is out of range"):
            Freshness.of(1000, jitter=1.5)


def test_equal_options_are_looked_at_once():
    assert Freshness.of(1000, grace=5, wait=1) is Freshness.of(1000, grace=5, wait=1)
    assert Freshness.of(1000, grace=5) != Freshness.of(1000, grace=6)


def test_the_draws_are_new_ones_each_time():
    fresh = Freshness.of(1_000_000, jitter=1)
    assert len({fresh.life for _ in range(20)}) > 1
    assert len({fresh.hurry for _ in range(20)}) > 1


@pytest.mark.parametrize("beta", [0, 1.0, 7.5])
def test_no_draw_is_longer_than_the_longest(monkeypatch, beta):
    fresh = Freshness.of(1000, beta=beta)
    monkeypatch.setattr(freshness, "_random", lambda: math.nextafter(1.0, 0.0))
    assert fresh.hurry <= fresh.most_hurry
    assert fresh.hurry == pytest.approx(fresh.most_hurry)
