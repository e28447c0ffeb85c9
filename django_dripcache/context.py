"""What a loader may know and say: the last value, another ttl, more tags, or that there is nothing to store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .codecs import MISS
from .policy import to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .typing import Seconds


class Context:
    """
    What a loader with one argument is given.

    ``stale`` is the last value, or None where there is none; ``has_stale`` tells that from a None that was stored.
    """

    def __init__(self, stale: Any = MISS) -> None:
        self._stale = stale
        self.ttl: int | None = None
        self.tags: list[str] = []
        self.skipped = False
        self.kept = False

    @property
    def has_stale(self) -> bool:
        """Whether there is a last value."""
        return self._stale is not MISS

    @property
    def stale(self) -> Any:
        """The last value, which is not fresh any more, or None."""
        return None if self._stale is MISS else self._stale

    def set(self, *, ttl: Seconds | None = None, tags: Iterable[str] = ()) -> None:
        """Let this value live for another ``ttl`` than was asked for, and carry these tags as well."""
        if ttl is not None:
            self.ttl = to_milliseconds(ttl)
        self.tags += tags

    def skip(self) -> None:
        """Do not store what the loader returns; the caller gets it all the same."""
        self.skipped = True

    def not_modified(self) -> None:
        """Keep the last value for another ttl, as after a 304 of HTTP; what the loader returns does not count."""
        if not self.has_stale:
            message = "not_modified() was called where there is no last value. Look at has_stale first."
            raise ValueError(message)
        self.kept = True
