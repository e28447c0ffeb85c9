"""Groups of keys, by which the cache is counted: a bounded number of them, however many keys there are."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from .keys import unescape

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST: Final = 64
"""So many groups there are at most; what comes later is counted under OTHER."""

MOST_TEXT: Final = 80
"""The longest name of a group."""

OTHER: Final = "other"
PLAIN: Final = "(no prefix)"
"""The group of the keys that have no ``:``."""

SERVICES: Final = {
    "users": "user_cache",
    "sessions": "session_cache",
    "auth": "auth_cache",
    "api": "api_cache",
    "flags": "flags",
    "limits": "rate_limiter",
}

_VARYING: Final = re.compile(r"[0-9a-f]{8,}(?:-[0-9a-f]{4,}){0,4}|\d+", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\d")


class Groups:
    """
    The groups of the names below one root.

    ``patterns`` are the site's own: a glob for the name of each group, over keys up to their last ``:``. Other keys are
    grouped by their service, or by the text before their last ``:`` with numbers and digests folded to ``#``.
    """

    def __init__(self, root: str, patterns: Mapping[str, str]) -> None:
        self._root = root.encode()
        self._patterns = dict(patterns)
        self._known: set[str] = set()

    def find(self, start: bytes) -> str | None:
        """Return the group of the names that begin so, up to their last ``:``; None for what is not counted."""
        if not start.startswith(self._root):
            return None
        place, _, text = start[len(self._root) :].decode("utf-8", "replace").partition(":")
        letter, _, name = place.partition(".")
        if letter == "s":
            part = name.partition(".")[0]
            return SERVICES.get(part)
        if letter == "t":
            return self._bounded("tags")
        if letter == "d":
            text = text.split(":", 2)[2] if text.count(":") > 1 else ""
        return self._bounded(self._group(unescape(text), unescape(name)))

    def _group(self, text: str, namespace: str) -> str:
        for group, pattern in self._patterns.items():
            if fnmatchcase(f"{text}:", pattern):
                return group
        folded = _VARYING.sub(lambda found: "#" if _DIGITS.search(found[0]) else found[0], text)
        return ":".join(part for part in (namespace, folded) if part)[:MOST_TEXT] or PLAIN

    def _bounded(self, group: str) -> str:
        if group in self._known:
            return group
        if len(self._known) >= MOST:
            return OTHER
        self._known.add(group)
        return group
