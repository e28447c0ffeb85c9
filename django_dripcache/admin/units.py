"""Numbers as people read them: 12.3k, 4.5 MiB, 1.2 ms, 98.7%; and texts of others, with what hides in them."""

from __future__ import annotations

import math
from typing import Final

from django.utils.formats import number_format
from django.utils.html import avoid_wrapping
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext_lazy

UNKNOWN: Final = "–"  # noqa: RUF001 - a dash, as stands for nothing in tables

_EXACT_BELOW: Final = 10_000
_SIZES: Final = (
    pgettext_lazy("unit", "B"),
    pgettext_lazy("unit", "KiB"),
    pgettext_lazy("unit", "MiB"),
    pgettext_lazy("unit", "GiB"),
    pgettext_lazy("unit", "TiB"),
)
_TIMES: Final = (
    (1e-3, "µs", 1e6),
    (1.0, "ms", 1e3),
    (120.0, "s", 1.0),
    (7200.0, "min", 1 / 60),
    (172_800.0, "h", 1 / 3600),
)


def amount(number: float | None) -> str:
    """Return how many: whole below 10,000, then with three digits and a k, M or G."""
    if number is None:
        return UNKNOWN
    if abs(number) < _EXACT_BELOW:
        return _digits(number) if number % 1 else number_format(int(number), 0, use_l10n=True, force_grouping=True)
    for unit in ("k", "M", "G", "T"):
        number /= 1000
        if abs(number) < 999.5 or unit == "T":  # noqa: PLR2004 - it would be rounded to four digits
            break
    return f"{_digits(number)}{unit}"


def size(count: float | None) -> str:
    """Return so many bytes, in B, KiB, MiB, GiB or TiB."""
    if count is None:
        return UNKNOWN
    unit = _SIZES[0]
    for unit in _SIZES:
        if abs(count) < 999.5 or unit == _SIZES[-1]:  # noqa: PLR2004
            break
        count /= 1024
    return f"{_digits(count)}\xa0{unit}"


def duration(seconds: float | None) -> str:
    """Return a length of time, from µs to days."""
    if seconds is None:
        return UNKNOWN
    if not seconds:
        return number_format(0)
    for below, unit, factor in _TIMES:
        if abs(seconds) < below:
            return f"{_digits(seconds * factor)}\xa0{unit}"
    days = seconds / 86_400
    return avoid_wrapping(ngettext("%(n)s day", "%(n)s days", math.ceil(days)) % {"n": _digits(days)})


def percent(part: float | None) -> str:
    """Return a part of one as a percentage; what is not all, or not nothing, is not rounded to it."""
    if part is None:
        return UNKNOWN
    hundredths = part * 100
    if 99.9 < hundredths < 100:  # noqa: PLR2004
        hundredths = 99.9
    elif 0 < hundredths < 0.1:  # noqa: PLR2004
        hundredths = 0.1
    rounded = round(hundredths, 1)
    return _("%(number)s%%") % {"number": number_format(rounded, 1 if rounded % 1 else 0, use_l10n=True)}


def shown(text: object) -> str:
    r"""Return a text with what is not printable as an escape: ``\n``, ``\u202e``, half of a character."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))


def _digits(number: float) -> str:
    """Return a number with three digits that count, or fewer where the others are noughts."""
    places = 0 if abs(number) >= 100 else 1 if abs(number) >= 10 else 2  # noqa: PLR2004
    number = round(number, places)
    while places and round(number, places - 1) == number:
        places -= 1
    return number_format(number, places, use_l10n=True)
