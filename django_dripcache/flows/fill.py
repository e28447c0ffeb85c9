"""
Computing a value once: a lease a key, for all processes.

After the leases of "Scaling Memcache at Facebook" (NSDI 2013). A miss takes the lease in the round trip that reads, and
gives it up in the one that stores. Whoever deletes, sets or clears removes the lease, so that a loader which has read
what was there before cannot store it afterwards; an invalidated tag has another version by then.
"""

from __future__ import annotations

import inspect
import logging
import secrets
import time
from hashlib import sha1
from typing import TYPE_CHECKING, Any, NamedTuple

from ..codecs import MISS
from ..context import Context
from ..entry import parse
from ..exceptions import CacheUnavailableError, LoaderTimeoutError
from ..flight import OWN
from .steps import Encode, Load, Note, Once, Refused, Script, Spawn, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..freshness import Freshness
    from ..typing import Codec, Flow, Loader

logger = logging.getLogger("django_dripcache")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25
_ANY = "*"


class Place(NamedTuple):
    """Where a value lives: its key, the key of its lease, how it is read, and how tags are named there."""

    key: bytes
    lease: bytes
    codec: Codec
    tag: Callable[[str], bytes]


class _Found(NamedTuple):
    """What a fetch brought: a value, or MISS; and, if that is not the end of it, who is to compute it anew."""

    value: Any
    mine: bool = False
    holder: bytes = b""
    since: bytes = b""
    versions: Sequence[bytes] = ()


def get_or_set(
    place: Place, loader: Loader, fresh: Freshness, tags: Sequence[bytes] = (), *, strict: bool = False
) -> Flow[Any]:
    """
    Return the value of a key; without one that is fresh, let one caller compute it and the others wait or go stale.

    A hit is one round trip, a miss two. While Redis cannot be used, the loader runs and its value is returned; with
    ``strict`` that raises CacheUnavailableError.
    """
    try:
        found = yield from _seek(place, loader, fresh, tags)
    except Refused:
        return (yield Load(_plain(loader)))  # there is a key of another type
    except CacheUnavailableError:
        if strict:
            raise
        return (yield Load(_plain(loader), once=place.key))
    if not found.mine:
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
        found = yield from _fetch(place, fresh, tags, _ANY)
    except Refused:
        return (yield Load(_plain(loader)))
    except CacheUnavailableError:
        yield Note([place.key, place.lease])
        if strict:
            raise
        return (yield Load(_plain(loader)))
    return (yield from _fill_patiently(place, loader, fresh, tags, found, strict=strict, replaces=True))


def _fill_patiently(
    place: Place,
    loader: Loader,
    fresh: Freshness,
    tags: Sequence[bytes],
    found: _Found,
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
    found: _Found,
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
    found: _Found,
    *,
    strict: bool,
    replaces: bool,
) -> Flow[tuple[Any, bool]]:
    """Return a value, and whether it was good when all was done: nothing had voided it meanwhile."""
    value, context, cost = yield from _compute(place, loader, fresh, found)
    good = False
    if context is not None:
        try:
            good = yield from _keep(place, fresh, tags, found, value, context, cost)
        except CacheUnavailableError:
            if replaces:
                yield Note([place.key, place.lease])
            if strict:
                raise
    return value, good


def _seek(place: Place, loader: Loader, fresh: Freshness, tags: Sequence[bytes]) -> Flow[_Found]:
    """Return a value, fresh or stale, or the lease to compute it."""
    began, pause = time.monotonic(), _FIRST_PAUSE
    while True:
        found = yield from _fetch(place, fresh, tags)
        if found.mine or found.value is not MISS:
            return found
        left = fresh.wait - (time.monotonic() - began)
        landed: Any = OWN if left <= 0 else (yield Wait(found.holder, min(pause, left), left))
        if landed is OWN:
            # It has waited long enough; or it asks for its own key, and would wait for itself.
            return _Found((yield Load(_plain(loader), once=place.key)))
        if landed is not MISS and landed[1]:
            return _Found(landed[0])
        pause = min(pause * 2, _LONGEST_PAUSE)


def _fetch(place: Place, fresh: Freshness, tags: Sequence[bytes], unusable: str = "") -> Flow[_Found]:
    owner = secrets.token_hex(8)
    while True:
        reply = yield Script(
            "fetch",
            [place.key, place.lease, *tags],
            owner,
            fresh.lease,
            f"{fresh.hurry:.6f}",
            fresh.tag_life,
            unusable,
        )
        if isinstance(reply, bytes):
            value = place.codec.decode(parse(reply).payload, place.key)
            if value is not MISS:
                return _Found(value)
            # Nobody of this site can read it: to be computed as if it were not there.
            unusable = sha1(reply, usedforsecurity=False).hexdigest()
            continue
        raw, mine, holder, since, *versions = reply
        value = place.codec.decode(parse(raw).payload, place.key) if raw else MISS
        return _Found(value, bool(mine), holder or b"", since, versions)


def _compute(place: Place, loader: Loader, fresh: Freshness, found: _Found) -> Flow[tuple[Any, Context | None, int]]:
    """Call the loader; return its value, what it said (None: nothing is to be stored), and what it cost in ms."""
    context = Context(found.value)
    began = time.monotonic()
    try:
        value = yield Load(_told(loader, context))
    except GeneratorExit:
        raise  # the flow was abandoned, and nobody would take a step of it
    except BaseException as error:
        if found.value is MISS or not isinstance(error, Exception):
            yield from _release(place, found.holder)
            raise
        # Fail-safe: what was good a moment ago is better than an error, and the loader is given a rest.
        name = place.key.decode("utf-8", "replace")
        logger.warning("The loader of %r failed: its last value is served.", name, exc_info=error)
        yield from _release(place, found.holder, fresh.backoff)
        return found.value, None, 0
    return (found.value if context.kept else value), context, round((time.monotonic() - began) * 1000)


def _keep(
    place: Place,
    fresh: Freshness,
    tags: Sequence[bytes],
    found: _Found,
    value: Any,
    context: Context,
    cost: int,
) -> Flow[bool]:
    """Store a value, if it is to be stored; return whether the lease and the tags were still good then."""
    if context.ttl is not None:
        fresh = fresh.lasting(context.ttl)
    try:
        late = [tag for tag in dict.fromkeys(map(place.tag, context.tags)) if tag not in tags]
        raw = yield Encode(place.codec, value, place.key)
    except GeneratorExit:
        raise
    except BaseException:
        yield from _release(place, found.holder)
        raise
    stores = raw is not None and not context.skipped and fresh.ttl != 0
    if not fresh.beta or not raw or (raw.lstrip(b"-").isdigit() and not tags and not late and not fresh.grace):
        cost = 0  # bare digits, so that INCR can count with them
    life = fresh.life if stores else 0
    args = (found.holder, life, fresh.grace, cost, found.since, raw or b"", *found.versions, *[""] * len(late))
    try:
        return bool((yield Script("store", [place.key, place.lease, *tags, *late], *args)))
    except Refused:
        return True  # larger than Redis takes


def _release(place: Place, owner: bytes, after: int = 0) -> Flow[None]:
    try:
        yield Script("release", [place.lease], owner, after)
    except (CacheUnavailableError, Refused):
        return  # it ends by itself


def _takes_context(loader: Loader) -> bool:
    try:
        parameters = inspect.signature(loader).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
        and parameter.default is parameter.empty
        for parameter in parameters
    )


def _told(loader: Loader, context: Context) -> Loader:
    """Return the loader with its context, if it takes one."""
    return (lambda: loader(context)) if _takes_context(loader) else loader  # type: ignore[call-arg]


def _plain(loader: Loader) -> Loader:
    return _told(loader, Context(MISS))
