"""
What a process keeps of what it has read: a bounded dict, and the tickets of what is being read.

What makes place for others is chosen so that what is read often stays, also while something reads everything once. It
is S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023): what is
new waits in a small queue, and moves to the main one if it is read there; what leaves the small queue unread leaves a
ghost, and goes to the main queue at once if it comes again. One bit says that an entry was read, so that a hit costs
one look into a dict and one store. The ghosts are a table of fingerprints, in which a newer one may take the place of
an older one.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from typing import Any, Final

OVERHEAD: Final = 200
"""What an entry is reckoned to cost beyond its name and its value, in bytes; tests/test_eviction.py measures it."""

SMALL: Final = 10
"""The small queue has one part in so many, and so has the largest entry that is taken."""

MAX_TICKETS: Final = 10_000
"""So many tickets there are at most: reads that failed leave theirs behind."""

_SMALL_VALUE: Final = 32
_SLACK: Final = 64
_FINGERPRINT: Final = 0xFFFFFFFF


class Entry:
    """What is kept of a name: a ``value``, and ``until`` when, by ``time.monotonic()``."""

    __slots__ = ("in_main", "until", "value", "visited")

    def __init__(self, value: Any, until: float) -> None:
        self.value = value
        self.until = until
        self.visited = False
        self.in_main = False


class Ticket:
    """The right to keep what a read that begins now will find."""

    __slots__ = ("began", "name")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.began = time.monotonic()


class Entries:
    """
    At most ``max_entries`` entries, of at most ``max_bytes`` bytes together.

    ``find(name)`` returns an entry or None, in any thread; who is given one sets its ``visited``. All that changes
    something is for one thread at a time. ``size`` is what they cost, in bytes; ``evictions`` counts what had to go.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.evictions = 0
        self._tickets: dict[bytes, Ticket] = {}
        self._entries: dict[bytes, Entry] = {}
        self.find = self._entries.get
        # The queues hold names. What was removed stays in them until it is its turn, or until they are swept.
        self._small: deque[bytes] = deque()
        self._main: deque[bytes] = deque()
        self._ghosts = array("I", bytes(4 << max_entries.bit_length()))
        self._reset()

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, name: bytes) -> Ticket:
        """Return the ticket of a name, which those share who read it at the same time."""
        if len(self._tickets) > MAX_TICKETS:
            self._tickets.clear()
        return self._tickets.setdefault(name, Ticket(name))

    def fill(self, ticket: Ticket, value: Any, ttl: float) -> None:
        """
        Keep a value that was read with ``ticket``, for ``ttl`` seconds from when the read began.

        Where the ticket is void, nobody knows which is newer, this value or another that is there or is being read:
        both are forgotten. One that is too large is not kept.
        """
        name = ticket.name
        if self._tickets.pop(name, None) is ticket:
            self._put(name, value, ticket.began + ttl)
        else:
            entry = self.find(name)
            if entry is not None and entry.value != value:
                self.remove(name)

    def remove(self, *names: bytes) -> None:
        """Forget names, and void their tickets."""
        for name in names:
            self._tickets.pop(name, None)
            entry = self._entries.pop(name, None)
            if entry is not None:
                self._count(name, entry, -1)
        if len(self._small) + len(self._main) > 2 * len(self._entries) + _SLACK:
            self._sweep()

    def clear(self) -> None:
        """Forget all names, and void all tickets."""
        self._tickets.clear()
        self._entries.clear()
        self._small.clear()
        self._main.clear()
        self._reset()

    def _put(self, name: bytes, value: Any, until: float) -> None:
        if reckon(name, value) * SMALL > self.max_bytes:
            self.remove(name)
            return
        old, entry = self._entries.get(name), Entry(value, until)
        if old is None:
            entry.in_main = self._had_ghost(name)
            (self._main if entry.in_main else self._small).append(name)
        else:
            entry.in_main, entry.visited = old.in_main, old.visited
            self._count(name, old, -1)
        self._entries[name] = entry
        self._count(name, entry, 1)
        while len(self._entries) > self.max_entries or self.size > self.max_bytes:
            self._evict()

    def _reset(self) -> None:
        self.size = self._small_entries = self._small_bytes = 0

    def _count(self, name: bytes, entry: Entry, sign: int) -> None:
        size = sign * reckon(name, entry.value)
        self.size += size
        if not entry.in_main:
            self._small_entries += sign
            self._small_bytes += size

    def _evict(self) -> None:
        """Let the entry whose turn it is move on, or go."""
        small = self._small_entries * SMALL > self.max_entries or self._small_bytes * SMALL > self.max_bytes
        queue = self._small if small or not self._main else self._main
        name = queue.popleft()
        entry = self._entries.get(name)
        if entry is None or entry.in_main is not (queue is self._main):
            return  # it was removed, and may have come again elsewhere
        if entry.visited:
            entry.visited = False
            self._count(name, entry, -1)
            entry.in_main = True
            self._count(name, entry, 1)
            self._main.append(name)
            return
        del self._entries[name]
        self._count(name, entry, -1)
        self.evictions += 1
        if not entry.in_main:
            place, fingerprint = self._ghost(name)
            self._ghosts[place] = fingerprint

    def _ghost(self, name: bytes) -> tuple[int, int]:
        """Return the place of a name among the ghosts, and its fingerprint, which is not 0."""
        hashed = hash(name)
        return hashed % len(self._ghosts), (hashed >> 24 & _FINGERPRINT) or 1

    def _had_ghost(self, name: bytes) -> bool:
        place, fingerprint = self._ghost(name)
        if self._ghosts[place] != fingerprint:
            return False
        self._ghosts[place] = 0
        return True

    def _sweep(self) -> None:
        """Take out of the queues what is no more."""
        for queue, main in ((self._small, False), (self._main, True)):
            names = dict.fromkeys(queue)
            queue.clear()
            for name in names:
                entry = self._entries.get(name)
                if entry is not None and entry.in_main is main:
                    queue.append(name)


def reckon(name: bytes, value: Any) -> int:
    """Return the bytes that an entry is reckoned to cost, without keeping that number with each of them."""
    return OVERHEAD + len(name) + _weigh(value)


def _weigh(value: Any) -> int:
    if isinstance(value, bytes | str):
        return len(value)
    return sum(map(_weigh, value)) if isinstance(value, tuple) else _SMALL_VALUE
