"""Counting with numbers that are not digits in Redis, so that Redis itself cannot count with them."""

from __future__ import annotations

from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final

from ..codecs import MISS
from ..entry import parse
from ..exceptions import CacheUnavailableError
from .steps import Command, Encode, Refused, Script

if TYPE_CHECKING:
    from ..typing import Codec, Flow

ATTEMPTS: Final = 50
"""How many times a change is tried, while others change the same number."""

_INT64: Final = range(-(2**63), 2**63)


def add(key: bytes, delta: Any, codec: Codec, *, attempts: int = ATTEMPTS) -> Flow[Any]:
    """
    Add ``delta`` to a number that is there and return the sum; None if there is none.

    The number is replaced if nobody changed it meanwhile, and it is tried again if somebody did: two round trips, or
    more. The ttl stays. Raises TypeError for a value that is no number.
    """
    for _ in range(attempts):
        try:
            raw = yield Command("GET", key)
        except Refused:
            return None
        value: Any = MISS if raw is None else codec.decode(raw, key)
        if value is MISS:
            return None
        total = value + delta
        encoded = yield Encode(codec, total, key)
        if encoded is None:
            return None
        if (yield from _replace(key, raw, encoded)):
            return total
    raise _contended(attempts)


def count(key: bytes, delta: int, ttl: int | None, codec: Codec, *, attempts: int = ATTEMPTS) -> Flow[int]:
    """
    Add ``delta`` to a counter and return the sum: two round trips, or more. See values.count().

    What nobody can read is no counter: it begins anew, at 0. Raises ValueError for a value that is no integer or has
    tags or grace, and for a sum beyond 64 bits.
    """
    check_delta(delta)
    for _ in range(attempts):
        try:
            raw = yield Command("GET", key)
        except Refused as refusal:
            raise _no_counter() from refusal
        entry = parse(raw or b"")
        value: Any = MISS if raw is None else codec.decode(entry.payload, key)
        kind = type(value)
        if value is not MISS and (kind is not int or entry.depends):
            raise _no_counter()
        total = delta if value is MISS else value + delta
        if total not in _INT64:
            raise _no_counter()
        encoded = yield Encode(codec, total, key)
        if encoded is None:
            raise _no_counter()
        if value is not MISS:
            done = yield from _replace(key, raw, encoded)
        else:
            if raw is not None:
                yield Script("discard", [key], sha1(raw, usedforsecurity=False).hexdigest())
            done = yield from _begin(key, encoded, ttl)
        if done:
            return total
    raise _contended(attempts)


def check_delta(delta: object) -> None:
    """Raise TypeError for what a counter cannot be changed by."""
    if type(delta) is not int:
        message = f"A counter is changed by an int, not by {delta!r} ({type(delta).__name__})."
        raise TypeError(message)


def _replace(key: bytes, raw: Any, encoded: bytes) -> Flow[bool]:
    try:
        return bool((yield Script("replace", [key], raw, encoded)))
    except Refused:
        return False  # it is of another type by now


def _begin(key: bytes, encoded: bytes, ttl: int | None) -> Flow[bool]:
    if ttl == 0:
        return True  # it is over at once
    expiry = () if ttl is None else ("PX", ttl)
    return (yield Command("SET", key, encoded, *expiry, "NX")) is not None


def _contended(attempts: int) -> CacheUnavailableError:
    return CacheUnavailableError(f"{attempts} others changed the value at the same time")


def _no_counter() -> ValueError:
    message = "What is there cannot be counted with: it is no integer, has tags or grace, or the sum is beyond 64 bits."
    return ValueError(message)
