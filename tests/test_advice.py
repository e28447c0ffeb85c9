from __future__ import annotations

import pytest

from django_dripcache.advice import ENOUGH, LARGE, advise
from django_dripcache.measures import KeyFigures


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({}, []),
        ({"hits": 90, "misses": 10, "sets": 10, "bytes": 1000}, []),
        ({"sets": ENOUGH}, ["Never read"]),
        ({"sets": ENOUGH - 1}, []),
        ({"sets": ENOUGH, "near_hits": 1}, []),
        ({"hits": 49, "misses": 51, "sets": 51}, ["Low hit rate: a longer ttl"]),
        ({"hits": 50, "misses": 50, "sets": 50}, []),
        ({"hits": 4, "misses": 90, "sets": 90}, []),
        ({"hits": 10, "misses": 90, "sets": 10}, ["Low hit rate, and most misses store nothing"]),
        ({"hits": 10, "sets": 2, "bytes": 2 * LARGE}, ["Large values"]),
        ({"hits": 10, "sets": 2, "bytes": 2 * LARGE - 2}, []),
        ({"hits": 99, "errors": 1}, ["Calls fail"]),
        ({"hits": 100, "errors": 1}, []),
        ({"sets": ENOUGH, "errors": 5}, ["Calls fail"]),
        (
            {"hits": 10, "misses": 90, "sets": 90, "bytes": 90 * LARGE, "errors": 50},
            ["Calls fail", "Low hit rate", "Large values"],
        ),
    ],
)
def test_advice_is_about_what_the_figures_say(figures, told):
    advice = advise(KeyFigures(**figures))
    assert len(advice) == len(told)
    assert all(line.startswith(start) for line, start in zip(advice, told, strict=True))
