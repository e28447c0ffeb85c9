"""Walking over the keys of one prefix, and no others: SCAN of a large COUNT, and UNLINK; never KEYS, never FLUSHDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .journalled import journalled
from .steps import SCAN_COUNT, Command, Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..typing import Flow

EXACT_BELOW = 100_000
"""A database of up to this many keys is counted key by key; of a larger one, a sample is."""

SAMPLE_PAGES = 50


class Count(NamedTuple):
    """How many keys there are, and whether each was counted (else it is an estimate from a sample)."""

    keys: int
    exact: bool


def page(cursor: int, pattern: bytes, size: int = SCAN_COUNT) -> Flow[tuple[int, list[bytes]]]:
    """Return the next cursor (0: the end) and the keys of one page; a key may come twice, as SCAN has it."""
    following, names = yield Command("SCAN", cursor, "MATCH", pattern, "COUNT", size)
    return int(following), names


def remove(
    pattern: bytes,
    size: int = SCAN_COUNT,
    progress: Callable[[int], None] | None = None,
    index: bytes | None = None,
    first: bytes | None = None,
) -> Flow[int]:
    """
    Remove what matches ``pattern`` and return how many keys that were: one round trip a page.

    The keys of a page are removed in the same round trip that reads the next one. ``progress`` is called after each
    page with the number removed so far. ``index`` is the sorted set that bounds the namespace, if it has one. What
    matches ``first`` is removed before, in a walk of its own, and not counted: leases, since who holds one could store
    a value again where the walk has been.
    """
    patterns = [pattern] if first is None else [first, pattern]
    return (yield from journalled(_walks(first, pattern, size, progress, index), patterns=patterns))


def _walks(
    first: bytes | None, pattern: bytes, size: int, progress: Callable[[int], None] | None, index: bytes | None
) -> Flow[int]:
    if first is not None:
        yield from sweep(first, size)
    return (yield from sweep(pattern, size, progress, index))


def sweep(
    pattern: bytes,
    size: int = SCAN_COUNT,
    progress: Callable[[int], None] | None = None,
    index: bytes | None = None,
) -> Flow[int]:
    """Do what remove() does in one walk, and note nothing if it fails."""
    removed = 0
    cursor, names = yield from page(0, pattern, size)
    while True:
        steps = []
        if names:
            steps.append(Command("UNLINK", *names))
            if index is not None:
                steps.append(Command("ZREM", index, *names))
        if cursor:
            steps.append(Command("SCAN", cursor, "MATCH", pattern, "COUNT", size))
        if not steps:
            return removed
        replies = yield Pipeline(steps)
        if names:
            removed += int(replies[0])
            if progress is not None:
                progress(removed)
        if not cursor:
            return removed
        cursor, names = int(replies[-1][0]), replies[-1][1]


def count(pattern: bytes, prefix: bytes) -> Flow[Count]:
    """Return how many keys match; above ``EXACT_BELOW`` keys in the database, an estimate from a bounded sample."""
    total = int((yield Command("DBSIZE")))
    if total <= EXACT_BELOW:
        seen: set[bytes] = set()
        cursor = 0
        while True:
            cursor, names = yield from page(cursor, pattern)
            seen.update(names)
            if not cursor:
                return Count(len(seen), exact=True)
    looked = ours = cursor = 0
    for _ in range(SAMPLE_PAGES):
        cursor, names = yield from page(cursor, b"*")
        looked += len(names)
        ours += sum(name.startswith(prefix) for name in names)
        if not cursor:
            break
    return Count(round(total * ours / looked) if looked else 0, exact=False)
