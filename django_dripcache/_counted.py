"""What a driver counts of an exchange with the server, and of a loader of the site; and who else is told of it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .counts import COUNTS, ERROR
from .exceptions import CacheUnavailableError
from .flows.steps import Command, Pipeline, Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from .flows.steps import Exchange
    from .typing import Link

logger = logging.getLogger("django_dripcache")

_NOTHING: Final = Command("")


class Exchanged(NamedTuple):
    """
    An exchange that is over: its ``step``, the ``link`` that it was made on, the ``error`` that it ended with.

    ``seconds`` is how long it took, all waits included.
    """

    step: Exchange
    link: Any
    seconds: float
    error: BaseException | None

    @property
    def was_asked(self) -> bool:
        """Whether the server was asked: it is not while the breaker is open, nor when the budget is spent."""
        return not isinstance(self.error, CacheUnavailableError) or self.error.__cause__ is not None


WATCHERS: Final[list[Callable[[Exchanged], None]]] = []
"""Those who are told of each exchange, for as long as they are in it, in its thread or task, and right after it."""


class Exchanging:
    """Counts how long an exchange took, or that Redis could not be asked."""

    __slots__ = ("_began", "_link", "_step")

    def __init__(self, step: Exchange, link: Link | None = None) -> None:
        self._step = step
        self._link = link
        self._began = time.perf_counter()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if error is None:
            COUNTS.exchanged(subject(self._step), self._began)
        elif isinstance(error, CacheUnavailableError):
            COUNTS.of_key(subject(self._step))[ERROR] += 1
        if WATCHERS:
            _tell(Exchanged(self._step, self._link, time.perf_counter() - self._began, error))


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


def subject(step: Exchange) -> bytes:
    """Return the first name that an exchange is about, or nothing."""
    first = next(iter(step.steps), _NOTHING) if isinstance(step, Pipeline) else step
    if isinstance(first, Script):
        return first.keys[0] if first.keys else b""
    name = first.args[1] if len(first.args) > 1 else b""
    return name if isinstance(name, bytes) else b""


def _tell(exchanged: Exchanged) -> None:
    for watch in WATCHERS:
        try:
            watch(exchanged)
        except Exception:
            logger.exception("An exchange with Redis could not be told to %r.", watch)
