"""Looking at keys as they are: which there are, what they are, and what is in one. Nothing is changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from ..contents import MEMBER_BYTES, MEMBERS, READ
from . import scan
from .steps import SCAN_COUNT, Pipeline, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..typing import Flow

PATIENCE: Final = 0.25
"""For how many seconds keys are looked for at a time: in half of what a request may cost, with time to show them."""

SAMPLE: Final = 5000
"""So many keys are weighed to find the largest."""

_PAGE: Final = 500
_NO_KEY: Final = -2


class Facts(NamedTuple):
    """What Redis tells of a key: its type, ``""`` if it may not be asked; milliseconds, -1 for no end; its size."""

    kind: str
    ttl: int
    size: int | None


class Examined(NamedTuple):
    """
    What is at a key: for how many milliseconds it is fresh, and the first bytes of a string, or some members.

    ``more`` is whether there are others.
    """

    fresh: int
    raw: bytes | None
    members: Sequence[bytes]
    more: bool


def find(
    pattern: bytes, accepts: Callable[[bytes], bool], cursor: int, count: int
) -> Flow[tuple[dict[bytes, Facts], int]]:
    """
    Return about ``count`` keys that match ``pattern`` and are accepted, and the next cursor (0: the end).

    It ends with fewer when its time is over, however many keys others have in the database. How many keys a page of
    SCAN looks at follows from how many there were among those before.
    """
    until = time.monotonic() + PATIENCE
    names: dict[bytes, None] = {}
    looked, size = 0, min(count, SCAN_COUNT)
    while True:
        cursor, found = yield from scan.page(cursor, pattern, size)
        names.update(dict.fromkeys(filter(accepts, found)))
        looked += size
        if not cursor or len(names) >= count or time.monotonic() >= until:
            break
        missing = count - len(names)
        size = min(SCAN_COUNT, missing * looked // len(names) + 1 if names else 2 * size)
    facts = yield from describe(list(names))
    return facts, cursor


def describe(names: Sequence[bytes]) -> Flow[dict[bytes, Facts]]:
    """Return the facts of those of ``names`` that are there: one round trip."""
    if not names:
        return {}
    pages = [names[at : at + _PAGE] for at in range(0, len(names), _PAGE)]
    replies = yield Pipeline([Script("describe", list(page)) for page in pages])
    found: dict[bytes, Facts] = {}
    for page, reply in zip(pages, replies, strict=True):
        found.update(zip(page, map(_read, reply), strict=True))
    return {name: facts for name, facts in found.items() if facts.ttl != _NO_KEY}


def examine(name: bytes) -> Flow[tuple[Facts, Examined] | None]:
    """Return the facts of a key, and what is at it, as much of it as is shown; None for no key: one round trip."""
    about, (fresh, found, more) = yield Pipeline(
        [Script("describe", [name]), Script("examine", [name], READ, MEMBERS, MEMBER_BYTES)]
    )
    facts = _read(about[0])
    if facts.ttl == _NO_KEY:
        return None
    if isinstance(found, bytes):
        return facts, Examined(fresh, found, (), more=False)
    return facts, Examined(fresh, None, found, more=bool(more))


def _read(reply: tuple[bytes, int, int]) -> Facts:
    kind, ttl, size = reply
    return Facts(kind.decode("utf-8", "replace"), ttl, None if size < 0 else size)


def largest(pattern: bytes, accepts: Callable[[bytes], bool], most: int = 5) -> Flow[list[tuple[bytes, int]]]:
    """Return the largest of a sample of the keys that find() finds, with their sizes; it takes a bounded time."""
    facts, _ = yield from find(pattern, accepts, 0, SAMPLE)
    sizes = [(name, fact.size) for name, fact in facts.items() if fact.size is not None]
    return sorted(sizes, key=lambda pair: -pair[1])[:most]
