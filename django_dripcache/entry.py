r"""
What stands before a value that has more to it than a ttl: its tags, how long it may be stale, what it cost to compute.

An entry is a header and then the bytes of a codec::

    \xDE 1 <size of the header> <grace in ms> <cost in ms> \n   and for each tag   <size of its name> <version> <name>

Headers are made and judged by the scripts in ``lua/``, in the round trip that reads or writes. A value without any of
this is stored bare, for INCR and for other clients.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAGIC: Final = 0xDE
_HEAD: Final = re.compile(rb"\xde1 (\d{1,9}) (\d{1,15}) (\d{1,15})\n")


class Entry(NamedTuple):
    """The parts of what is stored. ``payload`` is what a codec reads; ``grace`` and ``cost`` are in milliseconds."""

    payload: bytes
    grace: int = 0
    tagged: bool = False
    cost: int = 0

    @property
    def depends(self) -> bool:
        """Whether it takes more than being there for the value to be fresh."""
        return self.tagged or self.grace > 0


_TAG: Final = re.compile(rb"(\d{1,6}) (\d{1,20}) ")


def parse_tags(raw: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the names of the tags of an entry, with the versions that they had."""
    head = _HEAD.match(raw) if raw[:1] == b"\xde" else None
    tags: list[tuple[bytes, bytes]] = []
    at = head.end() if head else 0
    while head and at < int(head[1]):
        found = _TAG.match(raw, at)
        if found is None:
            return ()
        at = found.end() + int(found[1])
        tags.append((raw[found.end() : at], found[2]))
    return tuple(tags)


def parse(raw: bytes) -> Entry:
    """Return the parts of an entry; what has no header of ours is all payload."""
    head = _HEAD.match(raw) if raw[:1] == b"\xde" else None
    if head is None:
        return Entry(raw)
    size = int(head[1])
    if not head.end() <= size <= len(raw):
        return Entry(raw)
    return Entry(raw[size:], int(head[2]), size > head.end(), int(head[3]))
