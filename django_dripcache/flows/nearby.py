"""
Reading with a near cache: from the process if it is there, else from Redis, to be there the next time.

What the near cache has of a name is None for a known miss, the pickle of a value, or else a function, what to call it
with for the value, the tags that the value depends on, with their versions, and what it cost to compute, in
milliseconds. Of a tag it has the version. To auth, its stamps are tags.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..codecs import MISS, UNPICKLE
from ..entry import parse, parse_tags
from ..events import tell
from . import values
from .steps import Command, Pipeline, Refused, Script
from .together import together
from .values import discard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..eviction import Ticket
    from ..freshness import Freshness
    from ..typing import Codec, Flow, Loader, NearCache, Opened

    Reading = Callable[[bytes, Codec, NearCache], Flow[tuple[bytes | None, Any]]]

NOTHING = object()
"""What is told of a key of which it is known that there is no value."""

_NO_END = -1
_COST = 3


def recall(key: bytes, codec: Codec, near: NearCache) -> Any:
    """Return the value of a key that is near, and tell of that hit. See find()."""
    value = find(key, codec, near)
    if value is not MISS and value is not NOTHING:
        tell("near", key)
    return value


def recall_timely(key: bytes, codec: Codec, near: NearCache, fresh: Freshness) -> tuple[Any, float | None]:
    """
    Return the value of a key that is near, and tell of that hit; or MISS where it is time to ask the server.

    With MISS comes the draw by which it is early to compute the value anew, if it is; see Freshness.hurry. The server
    is asked with it, since it knows how long the value is fresh: what is near may end before.
    """
    entry = near.get(key)
    value = _value(entry, codec, near)
    if value is MISS or value is NOTHING:
        return MISS, None
    if type(entry.value) is tuple and (cost := entry.value[_COST]):
        left = (entry.until - time.monotonic()) * 1000
        if left <= cost * fresh.most_hurry and left <= cost * (hurry := fresh.hurry):
            return MISS, hurry
    tell("near", key)
    return value, None


def find(key: bytes, codec: Codec, near: NearCache) -> Any:
    """Return the value of a key that is near, NOTHING for a known miss, or MISS if nothing is known."""
    return _value(near.get(key), codec, near)


def _value(entry: Any, codec: Codec, near: NearCache) -> Any:
    if entry is None:
        return MISS
    if entry.value is None:
        return NOTHING
    loads, data, tags, _ = (UNPICKLE, entry.value, (), 0) if type(entry.value) is bytes else entry.value
    for tag, version in tags:
        known = near.get(tag)
        if known is None or known.value != version:
            return MISS
    return codec.revive((loads, data))


def get(key: bytes, codec: Codec, default: Any, near: NearCache) -> Flow[Any]:
    """See values.get()."""
    return _get(key, codec, default, near, read)


def read(key: bytes, codec: Codec, near: NearCache) -> Flow[tuple[bytes | None, Any]]:
    """Return what Redis has under ``key``, and the value that it is, or MISS; keep it near: one round trip."""
    ticket = near.begin(key)
    raw, left = yield Pipeline([Command("GET", key), Command("PTTL", key)])
    if isinstance(raw, Refused):
        near.forget(key)
        return None, MISS
    return raw, _keep(raw, left, key, codec, near, ticket)


def get_or_set(
    key: bytes, codec: Codec, loader: Loader, ttl: int | None, near: NearCache, *, strict: bool = False
) -> Flow[Any]:
    """See values.get_or_set()."""
    value = recall(key, codec, near)
    if value is MISS or value is NOTHING:
        reading = (lambda: read(key, codec, near)) if value is MISS else None
        return (yield from values.get_or_set(key, codec, loader, ttl, strict=strict, reading=reading))
    return value


def get_many(keys: Sequence[bytes], codec: Codec, near: NearCache) -> Flow[list[Any]]:
    """
    See values.get_many() and entries.get_many().

    One round trip, and another if some have tags or grace. What has neither is fresh as long as it is there.
    """
    found = {key: recall(key, codec, near) for key in keys}
    away = [key for key, value in found.items() if value is MISS]
    if away:
        tickets = near.begin_many(away)
        asked = [key for key, ticket in zip(away, tickets, strict=True) if ticket is not None]
        raws, *left = yield Pipeline([Command("MGET", *away), *(Command("PTTL", key) for key in asked)])
        ends, unsure = dict(zip(asked, left, strict=True)), {}
        for key, raw, ticket in zip(away, raws, tickets, strict=True):
            if raw is not None and parse(raw).depends:
                unsure[key] = raw
            else:
                found[key] = _keep(raw, ends.get(key, _NO_END), key, codec, near, ticket)
        judged = yield from together([read_again(key, raw, codec, near) for key, raw in unsure.items()])
        for key, (answer, error) in zip(unsure, judged, strict=True):
            if error is not None:
                raise error
            found[key] = answer[1]
        for key in away:
            tell("miss" if found[key] is MISS else "hit", key)
    return [_known(key, found[key]) for key in keys]


def get_entry(key: bytes, codec: Codec, default: Any, near: NearCache) -> Flow[Any]:
    """See entries.get(): one round trip, or two for a value with tags that is read for the first time."""
    return _get(key, codec, default, near, _read_entry)


def begin(key: bytes, tags: Sequence[bytes], near: NearCache) -> dict[bytes, Ticket]:
    """Return tickets for a key and its tags, before they are read."""
    names = [key, *tags]
    return {name: ticket for name, ticket in zip(names, near.begin_many(names), strict=True) if ticket is not None}


def keep(raw: bytes, left: int, key: bytes, codec: Codec, near: NearCache, tickets: Mapping[bytes, Ticket]) -> bool:
    """
    Keep near what was read fresh with tickets for the key and for all of its tags; else forget it.

    Nobody is to read near what is older than what he was just told. Return False if it only lacked tickets for tags.
    """
    tags = parse_tags(raw)
    if key in tickets and all(tag in tickets for tag, _ in tags):
        _keep(raw, left, key, codec, near, tickets[key], tags)
        for tag, version in tags:
            near.fill(tickets[tag], version, None)
        return True
    near.forget(key)
    return key not in tickets


def _get(key: bytes, codec: Codec, default: Any, near: NearCache, reading: Reading) -> Flow[Any]:
    value = recall(key, codec, near)
    if value is MISS:
        raw, value = yield from reading(key, codec, near)
        tell("miss" if value is MISS else "hit", key)
        if value is MISS and raw is not None:
            yield from discard(key, raw, codec)
    elif value is NOTHING:
        tell("miss", key)
    return default if value is MISS or value is NOTHING else value


def _read_entry(key: bytes, codec: Codec, near: NearCache) -> Flow[tuple[bytes | None, Any]]:
    ticket = near.begin(key)
    raw, left = yield Pipeline(_reading(key))
    if isinstance(raw, Refused):
        near.forget(key)
        return None, MISS
    if ticket is not None and raw is not None and parse(raw).tagged:
        return (yield from read_again(key, raw, codec, near))
    return raw, _keep(raw, left, key, codec, near, ticket)


def read_again(key: bytes, raw: bytes, codec: Codec, near: NearCache) -> Flow[tuple[bytes | None, Any]]:
    """
    Read what the server has to judge with tickets for its tags, too, which are known by now: one round trip.

    Return what is there, or None where nothing fresh is, and the value.
    """
    tickets = begin(key, [tag for tag, _ in parse_tags(raw)], near)
    again, left = yield Pipeline(_reading(key))
    if isinstance(again, bytes):
        keep(again, left, key, codec, near, tickets)
        return again, codec.decode(parse(again).payload, key)
    if again is None and key in tickets:
        put_nothing(tickets[key], near)
    else:
        near.forget(key)
    return None, MISS


def _known(key: bytes, value: Any) -> Any:
    if value is not NOTHING:
        return value
    tell("miss", key)
    return MISS


def _reading(key: bytes) -> list[Script]:
    return [Script("read", [key]), Script("read", [key], "left")]


def _keep(
    raw: bytes | None,
    left: int,
    key: bytes,
    codec: Codec,
    near: NearCache,
    ticket: Ticket | None,
    tags: tuple[tuple[bytes, bytes], ...] = (),
) -> Any:
    """Keep near what was read, if there is a ticket; return the value, or MISS."""
    if raw is None:
        if ticket is not None:
            put_nothing(ticket, near)
        return MISS
    entry = parse(raw)
    if ticket is None:
        return codec.decode(entry.payload, key)
    opened = codec.open(entry.payload, key)
    if opened is None:
        near.forget(key)
        return MISS
    if isinstance(left, int):
        put(ticket, opened, left, near, tags, entry.cost)
    return codec.revive(opened)


def put(
    ticket: Ticket,
    opened: Opened,
    left: int,
    near: NearCache,
    tags: tuple[tuple[bytes, bytes], ...] = (),
    cost: int = 0,
) -> None:
    """Keep near what a codec has opened, for at most the ``left`` milliseconds (-1: no end), while its tags hold."""
    plain = opened[0] is UNPICKLE and not tags and not cost
    near.fill(ticket, opened[1] if plain else (*opened, tags, cost), None if left == _NO_END else max(left, 0))


def put_nothing(ticket: Ticket, near: NearCache) -> None:
    """Keep near that there is nothing."""
    near.fill(ticket, None, None)
