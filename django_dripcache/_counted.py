"""What a driver counts of an exchange with the server, and of a loader of the site."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from .counts import COUNTS, ERROR
from .exceptions import CacheUnavailableError
from .flows.steps import Command, Pipeline, Script

if TYPE_CHECKING:
    from .flows.steps import Exchange


_NOTHING: Final = Command("")


class Exchanging:
    """Counts how long an exchange took, or that Redis could not be asked."""

    __slots__ = ("_began", "_step")

    def __init__(self, step: Exchange) -> None:
        self._step = step
        self._began = time.perf_counter()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if error is None:
            COUNTS.exchanged(_subject(self._step), self._began)
        elif isinstance(error, CacheUnavailableError):
            COUNTS.of_key(_subject(self._step))[ERROR] += 1


class Loading:
    """Counts how long a loader took that returned, if it is for a key."""

    __slots__ = ("_began", "_key")

    def __init__(self, key: bytes | None) -> None:
        self._key = key
        self._began = time.perf_counter()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if self._key is not None and error is None:
            COUNTS.loaded(self._key, self._began)


def _subject(step: Exchange) -> bytes:
    """Return the first name that an exchange is about, or nothing."""
    first = next(iter(step.steps), _NOTHING) if isinstance(step, Pipeline) else step
    if isinstance(first, Script):
        return first.keys[0] if first.keys else b""
    name = first.args[1] if len(first.args) > 1 else b""
    return name if isinstance(name, bytes) else b""
