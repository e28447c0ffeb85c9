"""Computing a value once: of all processes, who has the lease of its key computes, and the others wait or go stale."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from ..codecs import MISS
from ..events import tell
from ..exceptions import CacheUnavailableError, LoaderTimeoutError, SerializationError
from ..flight import OWN
from .lease import Found, begin, compute, fetch, keep, plain, release
from .lease import Place as Place  # noqa: PLC0414 - it is for others
from .nearby import recall_timely
from .steps import Load, Note, Once, Refused, Spawn, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..freshness import Freshness
    from ..typing import Flow, Loader

logger = logging.getLogger("django_dripcache")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25
_ANY = "*"


class Sendable:
    """
    A loader that a worker may call instead.

    ``send`` asks a worker for it, and returns False if what the loader is called with cannot be sent.
    """

    def __init__(self, loader: Loader, send: Callable[[], Any]) -> None:
        self._loader, self.send = loader, send

    def __call__(self) -> Any:
        """Call the loader here."""
        return self._loader()


def get_or_set(
    place: Place, loader: Loader, fresh: Freshness, tags: Sequence[bytes] = (), *, strict: bool = False
) -> Flow[Any]:
    """
    Return the value of a key; without one that is fresh, let one caller compute it and the others wait or go stale.

    A hit is one round trip, a miss two. While Redis cannot be used, the loader runs and its value is returned; with
    ``strict`` that raises CacheUnavailableError.
    """
    if fresh.queued and not isinstance(loader, Sendable):
        message = (
            "refresh='celery' is for memoize(), since a task is told the name of a function. Allowed here are 'inline' "
            "and 'thread'."
        )
        raise ValueError(message)
    try:
        found = yield from _seek(place, loader, fresh, tags)
    except Refused:
        return (yield Load(plain(loader), key=place.key))  # there is a key of another type
    except CacheUnavailableError:
        if strict:
            raise
        return (yield Load(plain(loader), once=place.key, key=place.key))
    if not found.mine or (yield from _queued(place, loader, fresh, found)):
        return found.value
    return (yield from _fill_patiently(place, loader, fresh, tags, found, strict=strict))


def refresh(
    place: Place, loader: Loader, fresh: Freshness, tags: Sequence[bytes] = (), *, strict: bool = False
) -> Flow[Any]:
    """
    Call the loader whatever is there, put its value in that place, and return it: two round trips.

    What others compute is void, and so is this if it is deleted or invalidated meanwhile. Until it is stored, others
    find what is there. What could not be replaced is noted for the journal.
    """
    try:
        found = yield from fetch(place, fresh, tags, _ANY)
    except Refused:
        return (yield Load(plain(loader), key=place.key))
    except GeneratorExit:
        raise
    except BaseException as error:
        yield Note([place.key, place.lease])
        if strict or not isinstance(error, CacheUnavailableError):
            raise
        return (yield Load(plain(loader), key=place.key))
    return (yield from _fill_patiently(place, loader, fresh, tags, found, strict=strict, replaces=True))


def compute_queued(
    place: Place, loader: Loader, fresh: Freshness, tags: Sequence[bytes] = (), *, strict: bool = False
) -> Flow[bool]:
    """
    Compute and store what get_or_set() has put into a queue, and return whether it was this caller's to do.

    Of those who were asked for one value, whoever begins first computes it. Two round trips.
    """
    try:
        found = yield from begin(place, fresh, tags)
    except Refused:
        return False
    except CacheUnavailableError:
        if strict:
            raise
        return False
    if found is None:
        return False
    yield from _fill(place, loader, fresh, tags, found, strict=strict, replaces=False)
    return True


def _queued(place: Place, loader: Loader, fresh: Freshness, found: Found) -> Flow[bool]:
    """Ask a worker for what is stale, and return whether that is all there is to do."""
    if found.value is MISS or not isinstance(loader, Sendable) or not fresh.queued:
        return False
    try:
        return (yield Load(loader.send)) is not False
    except Exception as error:
        name = place.key.decode("utf-8", "replace")
        logger.warning("No worker could be asked for %r: its last value is served.", name, exc_info=error)
        yield from release(place, found.holder, fresh.backoff)
        return True


def _fill_patiently(
    place: Place,
    loader: Loader,
    fresh: Freshness,
    tags: Sequence[bytes],
    found: Found,
    *,
    strict: bool,
    replaces: bool = False,
) -> Flow[Any]:
    filling = _fill(place, loader, fresh, tags, found, strict=strict, replaces=replaces)
    patience = fresh.patience(stale=found.value is not MISS)
    if patience is None:
        return (yield from filling)
    value = yield Spawn(filling, patience)
    if value is not MISS:
        return value
    if found.value is MISS:
        raise LoaderTimeoutError(place.key, patience)
    return found.value


def _fill(
    place: Place,
    loader: Loader,
    fresh: Freshness,
    tags: Sequence[bytes],
    found: Found,
    *,
    strict: bool,
    replaces: bool,
) -> Flow[Any]:
    flow = _compute_and_keep(place, loader, fresh, tags, found, strict=strict, replaces=replaces)
    value, _ = yield Once(found.holder, flow)
    return value


def _compute_and_keep(
    place: Place,
    loader: Loader,
    fresh: Freshness,
    tags: Sequence[bytes],
    found: Found,
    *,
    strict: bool,
    replaces: bool,
) -> Flow[tuple[Any, bool]]:
    """
    Return a value, and whether it was good when all was done: nothing had voided it meanwhile.

    What was stored is not kept near; the next read does that. Redis tells of our write before it answers, and only once
    of several writes that come together. So its message may be about another's write, after ours: whoever keeps what he
    has stored in spite of it keeps what is overwritten, and whoever heeds it has nothing to keep.
    """
    value, context, cost = yield from compute(place, loader, fresh, found)
    good = False
    if context is not None:
        try:
            good = yield from keep(place, fresh, tags, found, value, context, cost)
        except (GeneratorExit, SerializationError):
            raise
        except BaseException as error:
            if replaces:
                yield Note([place.key, place.lease])
            if strict or not isinstance(error, CacheUnavailableError):
                raise
    return value, good


def _seek(place: Place, loader: Loader, fresh: Freshness, tags: Sequence[bytes]) -> Flow[Found]:
    """Return a value, fresh or stale, or the lease to compute it."""
    hurry = None
    if place.near is not None:
        value, hurry = recall_timely(place.key, place.codec, place.near, fresh)
        if value is not MISS:
            return Found(value)
    began, pause = time.monotonic(), _FIRST_PAUSE
    found = yield from fetch(place, fresh, tags, hurry=hurry)
    tell("miss" if found.value is MISS else "stale" if found.holder else "hit", place.key)
    while found.value is MISS and not found.mine:
        left = fresh.wait - (time.monotonic() - began)
        landed: Any = OWN if left <= 0 else (yield Wait(found.holder, min(pause, left), left))
        if landed is OWN:
            # It has waited long enough; or it asks for its own key, and would wait for itself.
            return Found((yield Load(plain(loader), once=place.key, key=place.key)))
        if landed is not MISS and landed[1]:
            return Found(landed[0])
        pause = min(pause * 2, _LONGEST_PAUSE)
        found = yield from fetch(place, fresh, tags)
    return found
