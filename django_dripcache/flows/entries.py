"""Values with tags and grace: read, written and voided by scripts that judge them where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..codecs import MISS
from ..entry import parse
from ..events import tell, tell_apart
from .journalled import journalled
from .steps import Command, Encode, Pipeline, Refused, Script
from .values import discard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..freshness import Freshness
    from ..typing import Codec, Flow
    from .steps import Step

_NO_KEY = -2


def get(key: bytes, codec: Codec, default: Any = None) -> Flow[Any]:
    """Return the value of ``key`` if it is fresh, or ``default``: one round trip. See values.get()."""
    try:
        raw = yield Script("read", [key])
    except Refused:
        raw = None
    value = MISS if raw is None else codec.decode(parse(raw).payload, key)
    if value is not MISS:
        tell("hit", key)
        return value
    tell("miss", key)
    if raw is not None:
        yield from discard(key, raw, codec)
    return default


def get_many(keys: Sequence[bytes], codec: Codec) -> Flow[list[Any]]:
    """
    Return the values of ``keys`` in their order, MISS where there is none that is fresh.

    One round trip, and another if some have tags or grace.
    """
    if not keys:
        return []
    found: list[bytes | None] = yield Command("MGET", *keys)
    unsure = [at for at, raw in enumerate(found) if raw is not None and parse(raw).depends]
    if unsure:
        replies = yield Pipeline([Script("read", [keys[at]]) for at in unsure])
        for at, raw in zip(unsure, replies, strict=True):
            found[at] = raw if isinstance(raw, bytes) else None
    values = [
        MISS if raw is None else codec.decode(parse(raw).payload, key) for key, raw in zip(keys, found, strict=True)
    ]
    tell_apart(keys, values, MISS)
    return values


def has(key: bytes) -> Flow[bool]:
    """Return whether ``key`` is there and fresh: one round trip."""
    return bool((yield from ttl(key)) != _NO_KEY)


def ttl(key: bytes) -> Flow[int]:
    """Return the milliseconds that ``key`` is fresh for; -1 for one without an end and -2 for none."""
    return int((yield Script("read", [key], "left")))


def touch(key: bytes, ttl: int | None) -> Flow[bool]:
    """Let what is fresh be fresh for ``ttl`` milliseconds (None: without end, 0: no more); return whether it was."""
    return bool((yield Script("touch", [key], -1 if ttl is None else ttl)))


def set(  # noqa: A001 - Django's verb
    key: bytes, lease: bytes, codec: Codec, value: Any, fresh: Freshness, tags: Sequence[bytes]
) -> Flow[bool]:
    """
    Store a value, void what is being computed for it, and return whether it was stored: one round trip.

    A ttl of 0 is over at once: what is there is removed.
    """
    raw = yield Encode(codec, value, key)
    if raw is None or fresh.ttl == 0:
        removed = yield from delete([key], [lease])
        return bool(removed) and raw is not None
    if tags or fresh.grace:
        args = ("", fresh.life, fresh.grace, 0, "", raw, *[""] * len(tags))
        write: Step = Script("store", [key, lease, *tags], *args)
    else:
        expiry = () if fresh.ttl is None else ("PX", fresh.ttl)
        # The lease goes first: between the two, who holds it could store an older value over this one.
        write = Pipeline([Command("UNLINK", lease), Command("SET", key, raw, *expiry)])
    try:
        reply = yield from journalled(_only(write), [key, lease])
    except Refused:
        return False  # larger than Redis takes
    return bool(reply) if isinstance(write, Script) else not isinstance(reply[1], Refused)


def delete(keys: Sequence[bytes], leases: Sequence[bytes]) -> Flow[int]:
    """Remove ``keys``, void what is being computed for them, and return how many there were: one round trip."""
    if not keys:
        return 0
    both = Pipeline([Command("UNLINK", *leases), Command("UNLINK", *keys)])
    _, removed = yield from journalled(_only(both), [*keys, *leases])
    tell("invalidated", *keys)
    return int(removed)


def invalidate(tags: Sequence[bytes]) -> Flow[int]:
    """Void every value that has one of ``tags``, and return how many were known: one command."""
    if not tags:
        return 0
    known = yield from journalled(_only(Script("invalidate", list(tags))), tags)
    tell("invalidated", *tags)
    return int(known)


def _only(step: Step) -> Flow[Any]:
    return (yield step)
