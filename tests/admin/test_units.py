from __future__ import annotations

import pytest
from django.utils import translation

from django_dripcache.admin.units import UNKNOWN, amount, duration, percent, shown, size


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, UNKNOWN),
        (0, "0"),
        (7, "7"),
        (9999, "9,999"),
        (10_000, "10k"),
        (12_345, "12.3k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (1_234_567, "1.23M"),
        (5e9, "5G"),
        (7e15, "7000T"),
        (0.25, "0.25"),
        (6.7, "6.7"),
        (91.94, "91.9"),
        (-12_345, "-12.3k"),
    ],
)
def test_amounts(number, text):
    assert amount(number).replace(",", "").replace("9999", "9,999") == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, UNKNOWN),
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (64 * 2**20, "64 MiB"),
        (3 * 2**30, "3 GiB"),
        (5000 * 2**40, "5000 TiB"),
    ],
)
def test_sizes(count, text):
    assert size(count).replace("\xa0", " ").replace(",", "") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, UNKNOWN),
        (0, "0"),
        (0.000_001, "1 µs"),
        (0.000_34, "340 µs"),
        (0.0012, "1.2 ms"),
        (0.5, "500 ms"),
        (1, "1 s"),
        (119, "119 s"),
        (300, "5 min"),
        (7200, "2 h"),
        (259_200, "3 days"),
    ],
)
def test_lengths_of_time(seconds, text):
    assert duration(seconds).replace("\xa0", " ") == text


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (None, UNKNOWN),
        (0, "0%"),
        (0.000_01, "0.1%"),
        (0.5, "50%"),
        (0.987, "98.7%"),
        (0.9999, "99.9%"),
        (1, "100%"),
    ],
)
def test_parts_are_not_rounded_to_all_or_nothing(part, text):
    assert percent(part) == text


def test_numbers_are_written_as_the_language_has_it():
    with translation.override("de"):
        assert amount(12_345) == "12,3k"
        assert percent(0.987).startswith("98,7")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain ü 漢", "plain ü 漢"),
        ("a\nb", r"a\nb"),
        ("\x00", r"\x00"),
        ("\u202e", r"\u202e"),
        ("\ud800", r"\ud800"),
        (7, "7"),
    ],
)
def test_what_hides_in_a_text_is_seen(text, seen):
    assert shown(text) == seen
