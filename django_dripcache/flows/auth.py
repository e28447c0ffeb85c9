"""
Tokens, data of users and states: entries that hold as long as the stamps that they were written under.

One stamp is everybody's, and each user has one. To remove a stamp voids every entry under it at once, however many
there are: the next write makes another stamp, which no entry from before has. So a stamp that was lost, by eviction
say, voids entries as well, and never brings one back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import repeat
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from ..codecs import MISS
from ..exceptions import CacheUnavailableError, SerializationError
from . import nearby, scan
from .journalled import journalled
from .steps import Command, Encode, Pipeline, Refused, Script
from .values import discard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..eviction import Ticket
    from ..typing import Codec, Flow, NearCache, Opened

    Versions = tuple[tuple[bytes, bytes], ...]

_LINE: Final = re.compile(rb"([0-9a-f]+) ([0-9a-f]*) ([^\n]*)\n", re.IGNORECASE)


@dataclass(frozen=True)
class Token:
    """
    What is known of a token that is accepted.

    ``claims`` is what it was stored with, ``user`` the id of its user as text, ``expires`` when it ends, in UTC.
    """

    claims: dict[str, Any] | None = field(repr=False)
    user: str | None
    expires: datetime

    @classmethod
    def of(cls, claims: dict[str, Any] | None, user: str | None, ttl: int) -> Token:
        """Return a token that ends ``ttl`` milliseconds from now."""
        return cls(claims, user, datetime.now(timezone.utc) + timedelta(milliseconds=ttl))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthStats:
    """
    How many tokens, users with auth data and OAuth states hold now; not what is over or was cleared.

    They are counted, or estimated from a sample of a large database where ``exact`` is False. Where ``available`` is
    False the server did not answer, and all are 0.
    """

    available: bool
    tokens: int = 0
    users: int = 0
    states: int = 0
    exact: bool = True


def write(names: Sequence[bytes], stamps: Sequence[bytes], codec: Codec, value: Any, ttl: int) -> Flow[bool]:
    """
    Store ``value`` at the first of ``names``, for ``ttl`` milliseconds, and remove the others: one round trip.

    ``stamps`` are the names of everybody's and of the user's. A ttl of 0 is over at once: what is there is removed.
    """
    raw = yield Encode(codec, value, names[0])
    return (yield from journalled(_write(names, stamps, raw, ttl), names))


def _write(names: Sequence[bytes], stamps: Sequence[bytes], raw: bytes | None, ttl: int) -> Flow[bool]:
    if raw is None or ttl == 0:
        yield Command("UNLINK", *names)
        return False
    yield Script("auth_write", [*stamps, *names], len(stamps), raw, ttl, token_hex(16))
    return True


def add(name: bytes, stamp: bytes, codec: Codec, value: Any, ttl: int) -> Flow[None]:
    """Store ``value`` under a name that nobody used before. Raises SerializationError for one that is too large."""
    raw = yield Encode(codec, value, name)
    if raw is None:
        message = "The data of a state is larger than DRIPCACHE['MAX_VALUE_BYTES'] allows."
        raise SerializationError(message, kind=type(value).__name__)
    yield from _write([name], [stamp], raw, ttl)


def read(names: Sequence[bytes], stamp: bytes, codec: Codec, verb: str = "get", ttl: int = 0) -> Flow[Any]:
    """
    Return the value at the first of ``names`` that has one which holds, or MISS: one round trip.

    ``verb`` is ``"get"``, ``"take"`` to remove it in the same step, or ``"touch"`` to give it ``ttl`` milliseconds.
    What nobody of this site can read is removed, if it is still there then. ``stamp`` is the name of everybody's.
    """
    entries = yield Script("auth_read", [stamp, *names], verb, ttl)
    for name, raw in zip(names, _shaped(entries, names, bytes), strict=True):
        if raw is not None:
            value = codec.decode(raw.partition(b"\n")[2], name)
            if value is not MISS:
                return value
            yield from discard(name, raw, codec)
    return MISS


def read_near(
    names: Sequence[bytes], stamps: Sequence[bytes], codec: Codec, near: NearCache, *, fresh: bool = False
) -> Flow[Any]:
    """
    Return what ``read()`` does, and keep it near: no round trip where it is, else one; two for the first of a user.

    ``stamps`` are the names of everybody's and, where it is known whose entry it is, of the user's. With ``fresh``,
    Redis is asked whatever is near. That an entry is not there is not kept: who tries tokens would fill the memory.
    """
    if not fresh:
        value = _recall(names, codec, near)
        if value is not MISS:
            return value
    tickets = nearby.begin(stamps[0], [*stamps[1:], *names], near)
    if not all(name in tickets for name in (*stamps, *names)):
        return (yield from read(names, stamps[0], codec))
    entries = yield Script("auth_near", [stamps[0], *names])
    for at, (name, found) in enumerate(zip(names, _shaped(entries, names, list), strict=True)):
        if found is None:
            continue
        raw, left = found
        opened, versions = _open(raw, name, stamps[0], codec)
        if opened is None:
            yield from discard(name, raw, codec)
            continue
        if not (yield from _still(versions, near, tickets)):
            break
        _keep(names[:at], versions, near, tickets)
        nearby.put(tickets[name], opened, left, near, versions)
        return codec.revive(opened)
    near.forget(*names)
    return MISS


def _recall(names: Sequence[bytes], codec: Codec, near: NearCache) -> Any:
    """Return the value at the first of names that has one, as far as that is near, or MISS."""
    for name in names:
        value = nearby.find(name, codec, near)
        if value is not nearby.NOTHING:
            return value
    return MISS


def _open(raw: bytes, name: bytes, stamp: bytes, codec: Codec) -> tuple[Opened | None, Versions]:
    """Return what a codec has opened of an entry, or None, and the stamps that it was written under, by name."""
    line = _LINE.match(raw)
    if line is None:
        return None, ()
    of_all, of_user, user = line.groups()
    versions = ((stamp, of_all), (stamp + user, of_user)) if user else ((stamp, of_all),)
    return codec.open(raw[line.end() :], name), versions


def _still(versions: Versions, near: NearCache, tickets: dict[bytes, Ticket]) -> Flow[bool]:
    """Return whether the stamps of an entry that was read still are the same; take tickets of those that have none."""
    for stamp, version in versions:
        known = None if stamp in tickets else near.get(stamp)
        if stamp in tickets or (known is not None and known.value == version):
            continue
        tickets |= nearby.begin(stamp, [], near)
        try:
            found = yield Command("GET", stamp)
        except Refused:
            found = None
        if found != version:
            return False
    return True


def _keep(absent: Sequence[bytes], versions: Versions, near: NearCache, tickets: dict[bytes, Ticket]) -> None:
    """Keep near what an entry depends on: that there is none before it, and the stamps."""
    for name in absent:
        nearby.put_nothing(tickets[name], near)
    for stamp, version in versions:
        if stamp in tickets:
            near.fill(tickets[stamp], version, None)


def _shaped(entries: Any, names: Sequence[bytes], kind: type) -> list[Any]:
    """Return what Redis answered for names, if that is something of one kind, or None, for each."""
    fits = isinstance(entries, list) and all(entry is None or isinstance(entry, kind) for entry in entries)
    if not fits or len(entries) != len(names):
        message = f"Redis answered with {type(entries).__name__} of another shape than entries have"
        raise CacheUnavailableError(message)
    return list(entries)


def count(pattern: bytes, kinds: Sequence[bytes], stamp: bytes) -> Flow[AuthStats]:
    """
    Return how many entries hold of each of ``kinds``, prefixes of tokens, users and states: two round trips a page.

    ``pattern`` matches them all. A database of up to ``scan.EXACT_BELOW`` keys is walked through; of a larger one, a
    sample is.
    """
    total = int((yield Command("DBSIZE")))
    exact = total <= scan.EXACT_BELOW
    counts = [0 for _ in kinds]
    seen: set[bytes] = set()
    looked = cursor = 0
    for _ in repeat(None) if exact else range(scan.SAMPLE_PAGES):
        cursor, names = yield from scan.page(cursor, pattern if exact else b"*")
        looked += len(names)
        fresh = set(names) - seen
        seen |= {name for name in fresh if name.startswith(tuple(kinds))}
        pages = [[name for name in fresh if name.startswith(kind)] for kind in kinds]
        asked = [(at, Script("auth_read", [stamp, *page], "count")) for at, page in enumerate(pages) if page]
        if asked:
            replies = yield Pipeline([script for _, script in asked])
            for (at, _), standing in zip(asked, replies, strict=True):
                counts[at] += int(standing)
        if not cursor:
            break
    if not exact:
        counts = [round(total * found / looked) if looked else 0 for found in counts]
    tokens, users, states = counts
    return AuthStats(available=True, tokens=tokens, users=users, states=states, exact=exact)
