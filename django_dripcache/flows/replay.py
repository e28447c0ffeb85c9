"""Removing what could not be written while Redis was away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import scan
from .steps import Command

if TYPE_CHECKING:
    from ..journal import Journal
    from ..typing import Flow

CHUNK: Final = 1000


def replay(journal: Journal) -> Flow[int]:
    """Remove what is noted and return how many keys that were; what cannot be removed is noted again."""
    names, patterns = journal.take()
    removed = 0
    try:
        for start in range(0, len(names), CHUNK):
            removed += int((yield Command("UNLINK", *names[start : start + CHUNK])))
        for pattern in patterns:
            removed += yield from scan.sweep(pattern)
    except BaseException:
        journal.note(names, patterns)
        raise
    return removed
