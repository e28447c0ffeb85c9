"""What the figures of a group of keys say about it: what to do, and what it may gain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from .measures import KeyFigures

ENOUGH: Final = 100
"""So many reads, or writes, say something about a group."""

LOW: Final = 0.5
"""Below this part of reads that found a value, a group is asked why it is kept."""

LARGE: Final = 102_400
"""From this mean size of a value on, in bytes, its time is the network's."""

FAILING: Final = 0.01
"""From this part of reads without an answer on, a group is told."""


def advise(figures: KeyFigures) -> list[str]:
    """Return what to do about a group of keys, the gravest first; nothing where all is well."""
    found = []
    asked = figures.reads + figures.errors
    if figures.errors and figures.errors >= FAILING * asked:
        found.append(_("Calls fail: look at the log, and at the server."))
    if figures.sets >= ENOUGH and not asked:
        found.append(_("Never read: do not store it, or store it where it is first read."))
    elif figures.reads >= ENOUGH and figures.hit_rate is not None and figures.hit_rate < LOW:
        if figures.sets < figures.misses / 2:
            found.append(_("Low hit rate, and most misses store nothing: keep the absence, too, or do not ask."))
        else:
            found.append(_("Low hit rate: a longer ttl, or keys that vary less."))
    if figures.mean_size is not None and figures.mean_size >= LARGE:
        found.append(_("Large values: store less in each, or compress more."))
    return found
