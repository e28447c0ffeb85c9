"""Reading and writing values, one key or many."""

from __future__ import annotations

from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..codecs import MISS
from ..events import tell, tell_apart
from ..exceptions import CacheUnavailableError
from .counters import ATTEMPTS, add, check_delta
from .journalled import journalled
from .steps import Command, Encode, EncodeMany, Load, Pipeline, Refused, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..typing import Codec, Flow, Loader
    from .steps import Argument, Step

T = TypeVar("T")


_NO_END: Final = -1
"""What PTTL answers for a key that never expires."""


def get(key: bytes, codec: Codec, default: Any = None) -> Flow[Any]:
    """
    Return the value of ``key``, or ``default``: one round trip.

    What nobody of this site can read is removed, if it is still there then.
    """
    try:
        raw = yield Command("GET", key)
    except Refused:
        raw = None  # there is a key of another type
    if raw is not None:
        value = codec.decode(raw, key)
        if value is not MISS:
            tell("hit", key)
            return value
        yield from discard(key, raw, codec)
    tell("miss", key)
    return default


def discard(key: bytes, raw: bytes, codec: Codec) -> Flow[None]:
    """Remove what nobody can read, if it is still there."""
    if codec.discards:
        yield Script("discard", [key], sha1(raw, usedforsecurity=False).hexdigest())


def _read(key: bytes, codec: Codec) -> Flow[tuple[bytes | None, Any]]:
    """Return what is stored under ``key``, and the value that it is, or MISS."""
    try:
        raw = yield Command("GET", key)
    except Refused:
        return None, MISS
    return raw, MISS if raw is None else codec.decode(raw, key)


def get_many(keys: Sequence[bytes], codec: Codec) -> Flow[list[Any]]:
    """Return the values of ``keys`` in their order, MISS where there is none: one round trip."""
    if not keys:
        return []
    replies = yield Command("MGET", *keys)
    found = [MISS if raw is None else codec.decode(raw, key) for key, raw in zip(keys, replies, strict=True)]
    tell_apart(keys, found, MISS)
    return found


def _set(key: bytes, raw: bytes, ttl: int | None, *flags: str) -> Command:
    expiry: tuple[Argument, ...] = () if ttl is None else ("PX", ttl)
    return Command("SET", key, raw, *expiry, *flags)


def set(  # noqa: A001 - Django's verb
    key: bytes, codec: Codec, value: Any, ttl: int | None, *, only: str = ""
) -> Flow[bool]:
    """
    Store ``value`` for ``ttl`` milliseconds (None: without end) and return whether it was stored: one round trip.

    ``only`` is ``"NX"`` to store where there is no value yet, ``"XX"`` to replace one. A ttl of 0 is over at once: what
    is there is removed, and with ``"NX"`` nothing is done.
    """
    raw = yield Encode(codec, value, key)
    if only == "NX":
        # What is there stays, whether this fails or not: nothing is to be noted.
        return (yield from _add_raw(key, raw, ttl))
    return (yield from journalled(_replace(key, raw, ttl, only), [key]))


def _add_raw(key: bytes, raw: bytes | None, ttl: int | None) -> Flow[bool]:
    if raw is None or ttl == 0:
        return not (yield Command("EXISTS", key)) and raw is not None
    try:
        return (yield _set(key, raw, ttl, "NX")) is not None
    except Refused:
        return False  # larger than Redis takes


def _replace(key: bytes, raw: bytes | None, ttl: int | None, only: str) -> Flow[bool]:
    if raw is None or ttl == 0:
        # Too large, or over at once: the old value is not the one to read from now on.
        removed = yield Command("UNLINK", key)
        return bool(removed) and raw is not None
    try:
        return (yield _set(key, raw, ttl, *([only] if only else []))) is not None
    except Refused:
        return False


def set_many(
    entries: Mapping[bytes, Any], codec: Codec, ttl: int | None, leases: Sequence[bytes] = ()
) -> Flow[list[bytes]]:
    """
    Store all ``entries`` for ``ttl`` milliseconds and return the keys that were refused: one round trip.

    ``leases`` of what is being computed are void by it.
    """
    if not entries:
        return []
    raws = yield EncodeMany(codec, entries)
    if ttl == 0:
        yield from delete([*entries, *leases])
        return []
    pairs = list(zip(entries, raws, strict=True))
    too_large = [key for key, raw in pairs if raw is None]
    steps = [Command("UNLINK", key) if raw is None else _set(key, raw, ttl) for key, raw in pairs]
    first = [Command("UNLINK", *leases)] if leases else []
    replies = yield from journalled(_only(Pipeline([*first, *steps])), [*entries, *leases])
    refused = [key for key, reply in zip(entries, replies[len(first) :], strict=True) if isinstance(reply, Refused)]
    return too_large + refused


def get_or_set(
    key: bytes,
    codec: Codec,
    loader: Loader,
    ttl: int | None,
    *,
    strict: bool = False,
    reading: Callable[[], Flow[tuple[bytes | None, Any]]] | None = None,
) -> Flow[Any]:
    """
    Return the value of ``key``; without one, load it, store it, and return it.

    Where another caller stored a value meanwhile, that one is returned. A hit is one round trip, a miss two. While
    Redis cannot be used the loader runs and its value is returned; with ``strict`` that raises CacheUnavailableError.
    ``reading`` is another way to read what is there.
    """
    try:
        _, value = yield from (_read(key, codec) if reading is None else reading())
    except CacheUnavailableError:
        if strict:
            raise
        return (yield Load(loader, once=key, key=key))
    tell("miss" if value is MISS else "hit", key)
    if value is MISS:
        value = yield Load(loader, key=key)
        if ttl != 0:
            try:
                value = yield from _add(key, codec, value, ttl)
            except Refused:
                pass  # larger than Redis takes
            except CacheUnavailableError:
                if strict:
                    raise
    return value


def _add(key: bytes, codec: Codec, value: Any, ttl: int | None) -> Flow[Any]:
    """Store a value where there is none, and return the one that is there then."""
    raw = yield Encode(codec, value, key)
    if raw is None:
        return value
    stored, other = yield Pipeline([_set(key, raw, ttl, "NX"), Command("GET", key)])
    if stored is not None or other is None:
        return value
    winner = codec.decode(other, key) if isinstance(other, bytes) else MISS
    if winner is not MISS:
        return winner
    # What is there cannot be read, by this site at least: the loaded value heals it.
    yield _set(key, raw, ttl)
    return value


def delete(keys: Sequence[bytes]) -> Flow[int]:
    """Remove ``keys`` and return how many there were: one round trip, none for no keys."""
    if not keys:
        return 0
    removed = yield from journalled(_only(Command("UNLINK", *keys)), keys)
    tell("invalidated", *keys)
    return int(removed)


def _only(step: Step) -> Flow[Any]:
    return (yield step)


def has(key: bytes) -> Flow[bool]:
    """Return whether ``key`` is there: one round trip, whatever the size of its value."""
    return bool((yield Command("EXISTS", key)))


def touch(key: bytes, ttl: int | None) -> Flow[bool]:
    """Give ``key`` a new ttl in milliseconds (None: without end, 0: over) and return whether there was one."""
    if ttl == 0:
        return bool((yield from delete([key])))
    if ttl is None:
        # PERSIST answers 0 both for a key without an end and for no key.
        _, exists = yield Pipeline([Command("PERSIST", key), Command("EXISTS", key)])
        return bool(exists)
    return bool((yield Command("PEXPIRE", key, ttl)))


def ttl(key: bytes) -> Flow[int]:
    """Return the milliseconds that ``key`` has left; -1 for one without an end and -2 for no key, as PTTL does."""
    return int((yield Command("PTTL", key)))


def rename(old: bytes, new: bytes, codec: Codec) -> Flow[bool | None]:
    """
    Move a value to another key with the ttl it has left, and return True; None if there was none.

    The value is signed anew, since a signature holds for one key.
    """
    raw, left = yield Pipeline([Command("GET", old), Command("PTTL", old)])
    value = codec.decode(raw, old) if isinstance(raw, bytes) else MISS
    if value is MISS:
        return None
    resigned = yield Encode(codec, value, new)
    if resigned is None:
        return None
    move = Pipeline([_set(new, resigned, None if left == _NO_END else max(left, 1)), Command("UNLINK", old)])
    yield from journalled(_only(move), [old, new])
    return True


def increment(key: bytes, delta: int, codec: Codec, *, attempts: int = ATTEMPTS) -> Flow[int | None]:
    """
    Add ``delta`` to a number that is there and return the sum; None if there is none: one round trip for integers.

    Other numbers (floats, what exceeds 64 bits) are replaced if nobody changed them meanwhile, and tried again if
    somebody did. The ttl stays. Raises TypeError for a value that is no number.
    """
    if type(delta) is int and -(2**63) <= delta < 2**63:
        try:
            counted = yield Script("increment", [key], delta)
        except Refused:
            pass  # a number that Redis cannot count with; or no number
        else:
            return None if counted is None else int(counted)
    total: int | None = yield from add(key, delta, codec, attempts=attempts)
    return total


def required(flow: Flow[T | None], key: object, *, strict: bool) -> Flow[T]:
    """Run a flow that needs a value at ``key``: without one, or without Redis unless ``strict``, it is a ValueError."""
    try:
        found = yield from flow
    except CacheUnavailableError as error:
        if strict:
            raise
        message = f"Key {key!r} cannot be changed: {error.reason}"
        raise ValueError(message) from error
    if found is None:
        message = f"Key {key!r} not found"
        raise ValueError(message)
    return found


def count(key: bytes, delta: int, ttl: int | None) -> Flow[int]:
    """
    Add ``delta`` to a counter and return the sum: one round trip.

    A counter that is not there begins at 0 and gets ``ttl`` milliseconds (None: no end) in the same step; one that is
    there keeps the time it has left. Raises ValueError for a value that is no integer, or a sum beyond 64 bits.
    """
    check_delta(delta)
    try:
        return int((yield Script("count", [key], delta, -1 if ttl is None else ttl)))
    except Refused as refusal:
        message = "What is there cannot be counted with: it is no integer, or the sum is beyond 64 bits."
        raise ValueError(message) from refusal
