"""
The lease of a key: taken in the round trip that reads, and given up in the one that stores.

After the leases of "Scaling Memcache at Facebook" (NSDI 2013). Whoever deletes, sets or clears removes the lease, so
that a loader which has read what was there before cannot store it afterwards; an invalidated tag has another version by
then.
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
from ..exceptions import CacheUnavailableError
from .nearby import begin as begin_near
from .nearby import keep as keep_near
from .nearby import read_again
from .steps import Encode, Load, Refused, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..freshness import Freshness
    from ..typing import Codec, Flow, Loader, NearCache

_WITH_LEFT = 2

logger = logging.getLogger("django_dripcache")


class Place(NamedTuple):
    """Where a value lives: its key, the key of its lease, how it is read, how tags are named, and what is near."""

    key: bytes
    lease: bytes
    codec: Codec
    tag: Callable[[str], bytes]
    near: NearCache | None = None


class Found(NamedTuple):
    """
    What a fetch brought: a value, or MISS; and, if that is not the end of it, who is to compute it anew.

    ``mine`` is whether that is the one who asked, ``holder`` is who has the lease, ``since`` when it was taken, and
    ``versions`` those that the tags had then.
    """

    value: Any
    mine: bool = False
    holder: bytes = b""
    since: bytes = b""
    versions: Sequence[bytes] = ()


def fetch(
    place: Place, fresh: Freshness, tags: Sequence[bytes], unusable: str = "", hurry: float | None = None
) -> Flow[Found]:
    """
    Read a key, and take its lease if there is nothing fresh: one round trip.

    With a near cache it is two, the first time, for a value whose loader has named tags.

    ``unusable`` is the SHA-1 of what is taken for nothing, and ``"*"`` stands for whatever there is. ``hurry`` is drawn
    if it was not; see Freshness.
    """
    owner = secrets.token_hex(8)
    while True:
        tickets = begin_near(place.key, tags, place.near) if place.near is not None else {}
        reply = yield Script(
            "fetch",
            [place.key, place.lease, *tags],
            owner,
            fresh.lease,
            f"{fresh.hurry if hurry is None else hurry:.6f}",
            fresh.tag_life,
            unusable,
            fresh.queued,
            "left" if tickets else "",
        )
        if isinstance(reply, list) and len(reply) == _WITH_LEFT:
            reply, left = reply
            if place.near is not None and not keep_near(reply, left, place.key, place.codec, place.near, tickets):
                # Its loader has named further tags, which are known only now.
                reply, _ = yield from read_again(place.key, reply, place.codec, place.near)
                if reply is None:
                    continue  # it was voided meanwhile
        elif place.near is not None:
            place.near.forget(place.key)
        if not isinstance(reply, bytes):
            return _found(place, *reply)
        value = place.codec.decode(parse(reply).payload, place.key)
        if value is not MISS:
            return Found(value)
        # Nobody of this site can read it: to be computed as if it were not there.
        unusable = sha1(reply, usedforsecurity=False).hexdigest()


def begin(place: Place, fresh: Freshness, tags: Sequence[bytes]) -> Flow[Found | None]:
    """Take the lease for what was put into a queue; None if it has been computed since, or is being, or was removed."""
    keys = [place.key, place.lease, *tags]
    reply = yield Script("begin", keys, secrets.token_hex(8), fresh.lease, fresh.tag_life)
    return None if reply is None else _found(place, *reply)


def _found(place: Place, raw: bytes, mine: int, holder: bytes | None, since: bytes, *versions: bytes) -> Found:
    value = place.codec.decode(parse(raw).payload, place.key) if raw else MISS
    return Found(value, bool(mine), holder or b"", since, versions)


def compute(place: Place, loader: Loader, fresh: Freshness, found: Found) -> Flow[tuple[Any, Context | None, int]]:
    """Call the loader; return its value, what it said (None: nothing is to be stored), and what it cost in ms."""
    context = Context(found.value)
    began = time.monotonic()
    try:
        value = yield Load(told(loader, context), key=place.key)
    except GeneratorExit:
        raise  # the flow was abandoned, and nobody would take a step of it
    except BaseException as error:
        if found.value is MISS or not isinstance(error, Exception):
            yield from release(place, found.holder)
            raise
        # Fail-safe: what was good a moment ago is better than an error, and the loader is given a rest.
        name = place.key.decode("utf-8", "replace")
        logger.warning("The loader of %r failed: its last value is served.", name, exc_info=error)
        yield from release(place, found.holder, fresh.backoff)
        return found.value, None, 0
    return (found.value if context.kept else value), context, round((time.monotonic() - began) * 1000)


def keep(
    place: Place,
    fresh: Freshness,
    tags: Sequence[bytes],
    found: Found,
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
        yield from release(place, found.holder)
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
    except CacheUnavailableError as error:
        if error.answered:
            yield from release(place, found.holder)  # it refused to store, as a full one does
        raise


def release(place: Place, owner: bytes, after: int = 0) -> Flow[None]:
    """Give up a lease, now or in ``after`` milliseconds."""
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


def told(loader: Loader, context: Context) -> Loader:
    """Return the loader with its context, if it takes one."""
    return (lambda: loader(context)) if _takes_context(loader) else loader  # type: ignore[call-arg]


def plain(loader: Loader) -> Loader:
    """Return a loader for a value that is not stored, so that its context has nothing to tell."""
    return told(loader, Context(MISS))
