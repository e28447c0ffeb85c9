"""
What could not be written while Redis was away.

The value from before an outage would be read after it, had a set or a delete failed in between. So the names are kept,
and removed from Redis before this process reads it again. The journal is this process' memory: what a crashed process
had in it is lost, and such a value lives as long as its ttl.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from .keys import escape_glob

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT: Final = 10_000

REST: Final = 0.25
"""How long, in seconds, nobody tries again what did not work."""

CLAIM: Final = 2.0
"""A claim is over after so many seconds: who made it may have been interrupted before it could give it up."""


class Journal:
    """
    Names and patterns to be removed.

    Beyond ``limit`` of them, all of the area that has the most of them is removed instead, such as ``dripcache:d:*``:
    none of its values is to be trusted any more. Areas begin with ``root``. ``dirty`` is whether there is something to
    remove, or someone is at it.
    """

    def __init__(self, root: bytes = b"", limit: int = LIMIT) -> None:
        self.dirty = False
        self._root = root
        self._limit = limit
        self._lock = threading.Lock()
        self._claimed = 0.0
        self._resting = 0.0
        self._names: dict[bytes, None] = {}
        self._patterns: dict[bytes, None] = {}
        self._has_tags = False

    def __len__(self) -> int:
        return len(self._names) + len(self._patterns)

    def note(self, names: Iterable[bytes] = (), patterns: Iterable[bytes] = ()) -> bool:
        """Keep what a write that failed was about, and return whether it takes a walk over the keys to make it good."""
        with self._lock:
            noted = dict.fromkeys(names)
            self._names.update(noted)
            self._has_tags = self._has_tags or any(map(self._is_tag, noted))
            self._patterns.update(dict.fromkeys(patterns))
            while len(self) > self._limit:
                self._collapse()
            self.dirty = len(self) > 0 or self._claimed > 0
            return bool(self._patterns)

    def _collapse(self) -> None:
        areas = Counter(map(self._area, self._names))
        if not areas:
            self._patterns = {escape_glob(self._root) + b"*": None}
            return
        area = areas.most_common(1)[0][0]
        self._names = {name: None for name in self._names if self._area(name) != area}
        self._patterns[escape_glob(area) + b"*"] = None

    def _area(self, name: bytes) -> bytes:
        return name[: name.find(b":", len(self._root)) + 1] if name.startswith(self._root) else self._root

    def _is_tag(self, name: bytes) -> bool:
        """Return whether a name is that of a tag: of a manager, or of a service."""
        area = self._area(name)[len(self._root) :]
        return area.startswith((b"t:", b"t.")) or area.endswith(b".tags:")

    def claim(self) -> bool:
        """Return whether the caller is the one to remove what is noted; whoever is has to call ``settle()``."""
        now = time.monotonic()
        with self._lock:
            if now - self._claimed < CLAIM:
                return False
            self._claimed = now
            return True

    def settle(self, *, rest: bool = False) -> None:
        """End a claim; with ``rest``, because it did not work, nobody tries again for a while."""
        with self._lock:
            self._claimed = 0.0
            self._resting = time.monotonic() + REST if rest else 0.0
            self.dirty = len(self) > 0

    def rests(self) -> bool:
        """Return whether the last try did not work, and was a moment ago."""
        return self._resting > time.monotonic()

    def covers(self, names: Iterable[object]) -> bool:
        """Return whether one of ``names`` is to be removed, or may be: any may have a tag that is."""
        with self._lock:
            return bool(self._patterns) or self._has_tags or any(name in self._names for name in names)

    def renew(self) -> None:
        """Begin anew in a forked child, with what is noted: the parent may have held the lock, or a claim."""
        self._lock = threading.Lock()
        self._claimed = 0.0

    def take(self) -> tuple[list[bytes], list[bytes]]:
        """Return the names and the patterns, and forget them: note them again if they cannot be removed."""
        with self._lock:
            taken = list(self._names), list(self._patterns)
            self._names, self._patterns, self._has_tags = {}, {}, False
        return taken
