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


def tell(event: Event, name: bytes) -> None:
    """Tell of an event."""
    COUNTS.of_key(name)[_PLACES[event]] += 1
    if LISTENERS:
        _pass_on(event, [name])


def tell_all(event: Event, names: Sequence[bytes]) -> None:
    """Tell of an event that is the same for many names."""
    COUNTS.add(_PLACES[event], names)
    if LISTENERS and names:
        _pass_on(event, names)


def tell_apart(names: Iterable[bytes], found: Iterable[object], nothing: object) -> None:
    """Tell of many reads: those that found ``nothing`` are misses."""
    hits: list[bytes] = []
    misses: list[bytes] = []
    for name, value in zip(names, found, strict=True):
        (misses if value is nothing else hits).append(name)
    tell_all("hit", hits)
    tell_all("miss", misses)


def _pass_on(event: Event, names: Sequence[bytes]) -> None:
    for listen in LISTENERS:
        listen(event, names)
