"""What flows tell of the keys that they read and void, to the one who listens; nobody does at first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Event: TypeAlias = Literal["hit", "miss", "stale", "invalidated"]


class Ear:
    """The one who listens: called with an event and the names in Redis that it is about."""

    __slots__ = ("hear",)

    def __init__(self) -> None:
        self.hear: Callable[[Event, Iterable[bytes]], None] | None = None


EAR = Ear()


def tell(event: Event, *names: bytes) -> None:
    """Tell of an event."""
    if EAR.hear is not None:
        EAR.hear(event, names)


def tell_apart(names: Iterable[bytes], found: Iterable[object], nothing: object) -> None:
    """Tell of many reads: those that found ``nothing`` are misses."""
    if EAR.hear is not None:
        for name, value in zip(names, found, strict=True):
            EAR.hear("miss" if value is nothing else "hit", (name,))
