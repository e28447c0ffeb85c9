"""
Django signals of what the cache does, and the lines of it that the log has at DEBUG.

A receiver is a plain function. It is called in the thread of the call, or on its event loop, with ``event``, a frozen
dataclass, and has to be quick; an error of it goes to the log, never to the call. What a receiver itself does with the
cache is not told. Where nobody listens, no event is made.

    @receiver(cache_miss)
    def count(event, **kwargs):
        misses[event.key] += 1
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import iscoroutinefunction
from django.dispatch import Signal

from .events import LISTENERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .events import Event
    from .rates import Decision

logger = logging.getLogger("django_dripcache")


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """What happened to one key: ``key`` is its name in Redis, such as ``"dripcache:c.reports:2026"``."""

    key: str


@dataclass(frozen=True, slots=True)
class InvalidationEvent:
    """What was asked to be removed or voided: ``names`` in Redis, of keys and of tags, or a pattern of them."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """Why Redis could not be asked, or refused: the ``server``, without its password, and the ``reason``."""

    server: str
    reason: str


@dataclass(frozen=True, slots=True)
class LimitEvent:
    """A hit that was denied: ``key`` is the name of its first limit in Redis, and ``decision`` the Decision."""

    key: str
    decision: Decision


class CacheSignal(Signal):
    """A signal for plain functions: a coroutine function is refused with a TypeError, since nobody would await it."""

    def connect(self, receiver: Any, *args: Any, **options: Any) -> None:
        """Connect a receiver. See django.dispatch.Signal."""
        if iscoroutinefunction(receiver) or iscoroutinefunction(getattr(receiver, "__call__", None)):  # noqa: B004
            message = f"{receiver!r} is a coroutine function. Allowed are plain functions, which are called at once."
            raise TypeError(message)
        super().connect(receiver, *args, **options)


cache_hit: Final = CacheSignal()
"""A value was found, and is fresh. ``event`` is a KeyEvent."""

cache_miss: Final = CacheSignal()
"""There was no value, or none that could be read. ``event`` is a KeyEvent."""

cache_stale: Final = CacheSignal()
"""``get_or_set()`` found a value that is to be computed anew. ``event`` is a KeyEvent."""

cache_error: Final = CacheSignal()
"""Redis could not be asked, or refused. ``event`` is an ErrorEvent."""

invalidated: Final = CacheSignal()
"""Keys were deleted, or tags invalidated, or a namespace cleared. ``event`` is an InvalidationEvent."""

rate_limited: Final = CacheSignal()
"""A hit was denied by a rate limit. ``event`` is a LimitEvent."""

_KEYS: Final = {"hit": cache_hit, "near": cache_hit, "miss": cache_miss, "stale": cache_stale}
_TELLING: Final[ContextVar[bool]] = ContextVar("dripcache_telling", default=False)


def tell_error(server: object, reason: str) -> None:
    """Send ``cache_error``."""
    if cache_error.receivers:
        _send(cache_error, ErrorEvent(str(server), reason))


def tell_limited(name: bytes, decision: Decision) -> None:
    """Send ``rate_limited``."""
    if rate_limited.receivers:
        _send(rate_limited, LimitEvent(name.decode("utf-8", "replace"), decision))


def _hear(event: Event, names: Iterable[bytes]) -> None:
    signal = _KEYS.get(event, invalidated)
    debugs = logger.isEnabledFor(logging.DEBUG)
    if not signal.receivers and not debugs:
        return
    texts = tuple(name.decode("utf-8", "replace") for name in names)
    if debugs:
        logger.debug("%s: %s", event, ", ".join(texts))
    if signal is invalidated:
        _send(signal, InvalidationEvent(texts))
    else:
        for text in texts:
            _send(signal, KeyEvent(text))


def _send(signal: Signal, event: object) -> None:
    if not signal.receivers or _TELLING.get():
        return
    token = _TELLING.set(True)
    try:
        signal.send_robust(type(event), event=event)
    finally:
        _TELLING.reset(token)


LISTENERS.append(_hear)
