"""Tables of text, and numbers with their units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOTHING: Final = "-"
"""What stands for a number that is not known."""

_SHORT: Final = 0.001
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> list[str]:
    """Return the lines of a table: the first ``left`` columns begin in line, the others end in line."""
    lines = [list(heads), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def number(value: float | None) -> str:
    """Return a whole number: ``12,345``."""
    return NOTHING if value is None else f"{value:,.0f}"


def percent(part: float | None) -> str:
    """Return a part: ``93.1 %``."""
    return NOTHING if part is None else f"{100 * part:.1f} %"


def size(count: float | None) -> str:
    """Return bytes: ``812 B``, ``1.4 KiB``."""
    if count is None:
        return NOTHING
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:  # noqa: PLR2004
            return f"{count:.0f} B" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"


def length(seconds: float | None) -> str:
    """Return a length of time: ``310 us``, ``4.2 ms``, ``12.0 s``, ``5 min``, ``3.2 h``, ``9.0 d``."""
    if not seconds:
        return NOTHING if seconds is None else "0 s"
    if seconds < _SHORT:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.1f} d"
