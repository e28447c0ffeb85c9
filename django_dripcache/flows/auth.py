"""
Tokens, data of users and states: entries that hold as long as the stamps that they were written under.

One stamp is everybody's, and each user has one. To remove a stamp voids every entry under it at once, however many
there are: the next write makes another stamp, which no entry from before has. So a stamp that was lost, by eviction
say, voids entries as well, and never brings one back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import repeat
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from ..codecs import MISS
from ..exceptions import CacheUnavailableError, SerializationError
from . import scan
from .journalled import journalled
from .steps import Command, Encode, Pipeline, Script
from .values import discard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..typing import Codec, Flow


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
    if not isinstance(entries, list) or len(entries) != len(names):
        message = f"Redis answered with {type(entries).__name__} of another shape than entries have"
        raise CacheUnavailableError(message)
    for name, raw in zip(names, entries, strict=True):
        if raw is not None:
            value = codec.decode(raw.partition(b"\n")[2], name)
            if value is not MISS:
                return value
            yield from discard(name, raw, codec)
    return MISS


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
