"""What flows tell of the keys that they read and void: it is counted, and told to those who listen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from .counts import COUNTS, DELETE, HIT, MISS, NEAR, STALE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Event = Literal["hit", "near", "miss", "stale", "invalidated"]

_PLACES: Final[dict[Event, int]] = {"hit": HIT, "near": NEAR, "miss": MISS, "stale": STALE, "invalidated": DELETE}


LISTENERS: Final[list[Callable[[Event, Sequence[bytes]], None]]] = []
"""Those who are told of an event and the names in Redis that it is about. They have to be quick, and may not raise."""

of_key: Final = COUNTS.of_key


def tell(event: Event, *names: bytes) -> None:
    """Tell of an event."""
    place = _PLACES[event]
    for name in names:
        of_key(name)[place] += 1
    if LISTENERS and names:
        for listen in LISTENERS:
            listen(event, names)


def tell_apart(names: Iterable[bytes], found: Iterable[object], nothing: object) -> None:
    """Tell of many reads: those that found ``nothing`` are misses."""
    hits: list[bytes] = []
    misses: list[bytes] = []
    for name, value in zip(names, found, strict=True):
        (misses if value is nothing else hits).append(name)
    tell("hit", *hits)
    tell("miss", *misses)
