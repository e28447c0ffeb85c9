from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from django_dripcache.admin.chart import Chart, Series
from django_dripcache.admin.units import UNKNOWN, amount, duration, percent

BEGAN = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def utc(settings):
    settings.TIME_ZONE = "UTC"


def chart(*series, step=timedelta(minutes=1), **options):
    times = [BEGAN + step * place for place in range(len(series[0]))]
    many = [Series(f"label {place}", f"kind{place}", values) for place, values in enumerate(series)]
    return Chart(name="name", title="title", times=times, series=many, **{"unit": amount, **options})


def test_a_line_goes_through_its_points_from_the_bottom_up():
    ((kind, path),) = chart([0, 5, 10], most=10).lines
    assert (kind, path) == ("kind0", "M5 100L15 50L25 0")


def test_a_line_has_a_gap_where_nothing_is_known():
    ((_, path),) = chart([1, 1, None, 1, 1], most=1).lines
    assert path == "M5 0L15 0M35 0L45 0"


def test_a_point_that_stands_alone_is_a_dot():
    (_, path), (kind, dots) = chart([None, 1, None], most=1).lines
    assert path == dots == "M15 0h0"
    assert kind == "kind0 dot"


def test_what_is_above_the_top_stays_in_the_chart():
    ((_, path),) = chart([3, 3], most=1).lines
    assert path == "M5 0L15 0"


def test_columns_stand_on_each_other():
    bars = chart([1, 0], [3, 4], stacked=True).bars
    assert [(bar.kind, bar.x, bar.y, bar.height) for bar in bars] == [
        ("kind0", "1", "80", "20"),
        ("kind1", "1", "20", "60"),
        ("kind1", "11", "20", "80"),
    ]


@pytest.mark.parametrize(
    ("highest", "top"),
    [(0, 1), (1, 1), (1.1, 2), (2.1, 2.5), (3, 5), (6, 10), (99, 100), (100, 100), (101, 200), (0.0003, 0.0005)],
)
def test_the_top_is_a_round_number(highest, top):
    assert chart([highest, 0]).top == pytest.approx(top)


def test_the_top_of_columns_is_above_their_sum():
    assert chart([60, 0], [60, 1], stacked=True).top == 200


def test_it_tells_whether_there_is_anything_to_show():
    assert chart([None, 0], [0, None]).empty
    assert not chart([None, 0], [0, 1]).empty


def test_it_has_a_scale_and_times():
    each = chart([0.25] * 61, unit=percent, most=1.0)
    assert each.ticks == ["100%", "50%", "0%"]
    assert each.labels == ["12:00", "12:15", "12:30", "12:45", "13:00"]
    assert chart([1] * 5, step=timedelta(days=1), by_day=True).labels[0] == "1 May"


def test_its_table_says_the_same():
    each = chart([0.001, None], [0.25, 2], unit=duration)
    assert each.rows == [["12:00", "1\xa0ms", "250\xa0ms"], ["12:01", UNKNOWN, "2\xa0s"]]
    assert each.spots[0].text == "12:00\nlabel 0: 1\xa0ms\nlabel 1: 250\xa0ms"


def test_its_numbers_are_svgs_in_any_language(settings):
    settings.LANGUAGE_CODE = "de"
    each = chart([1 / 3, 2 / 3], [0, 1 / 7], most=1)
    drawn = [path for _, path in each.lines] + [str(tuple(bar)) for bar in chart([1 / 3], stacked=True, most=1).bars]
    assert all(re.fullmatch(r"[\w .'(),]*", text) and not re.search(r"\d,\d", text) for text in drawn)


def test_times_are_those_of_the_site(settings):
    settings.TIME_ZONE = "Europe/Zurich"
    assert chart([1, 2]).rows[0][0] == "14:00"
