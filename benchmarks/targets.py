"""What must be reached, and whether a run has reached it."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import crowds
from benchmarks.calls import FILL, GET, GET_MANY, INCR, SET, SET_MANY, Call
from benchmarks.contenders import LOCMEM, NEAR, OURS, THEIRS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.replay import Replayed

ENTRY = 200


@dataclass
class Found:
    """What a run has measured: seconds by cache and by what was measured, what was replayed, and bytes an entry."""

    calls: Mapping[tuple[str, str], Sequence[float]] = field(default_factory=dict)
    loop: Mapping[tuple[str, str], Sequence[float]] = field(default_factory=dict)
    replayed: Mapping[str, Replayed] = field(default_factory=dict)
    entry: float = 0.0

    def of(self, call: Call, own: str, other: str = THEIRS) -> float:
        """Return how many times as long as another cache takes for a call."""
        return median(self.calls[own, call.name]) / median(self.calls[other, call.name])


def judge(found: Found) -> list[list[str]]:
    """Return a row for each: what it is, what is allowed, what was found, and whether that is reached."""
    hundred = median(found.loop[OURS, crowds.MANY]) / median(found.loop[THEIRS, crowds.MANY])
    trace = found.replayed[NEAR].seconds / found.replayed[THEIRS].seconds
    goals = [
        (f"{NEAR}: get, of {LOCMEM}", 1.0, found.of(GET, NEAR, LOCMEM)),
        (f"{NEAR}: get, of {THEIRS}", 1 / 30, found.of(GET, NEAR)),
        (f"{NEAR}: get_many(100), of {LOCMEM}", 0.6, found.of(GET_MANY, NEAR, LOCMEM)),
        (f"{OURS}: get, of {THEIRS}", 0.9, found.of(GET, OURS)),
        (f"{OURS}: set, of {THEIRS}", 0.8, found.of(SET, OURS)),
        (f"{OURS}: incr, of {THEIRS}", 0.85, found.of(INCR, OURS)),
        (f"{OURS}: get_or_set miss, of {THEIRS}", 0.6, found.of(FILL, OURS)),
        (f"{OURS}: get_many(100), of {THEIRS}", 0.5, found.of(GET_MANY, OURS)),
        (f"{OURS}: set_many(100), of {THEIRS}", 0.3, found.of(SET_MANY, OURS)),
        (f"{OURS}: {crowds.AT_ONCE} aget at once, of {THEIRS}", 0.1, hundred),
        (f"{NEAR}: seconds of the replay, of {THEIRS}", 1 / 15, trace),
    ]
    rows = [[what, f"{most:.3f}", f"{ratio:.3f}", _said(ratio <= most)] for what, most, ratio in goals]
    return [*rows, [f"{NEAR}: bytes an entry", str(ENTRY), f"{found.entry:.0f}", _said(found.entry <= ENTRY)]]


def _said(is_reached: bool) -> str:  # noqa: FBT001 - it is what is said
    return "yes" if is_reached else "no"
