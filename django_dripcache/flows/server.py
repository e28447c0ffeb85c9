"""Asking a server about itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..exceptions import CacheUnavailableError
from .scan import page
from .steps import Command, Pipeline

if TYPE_CHECKING:
    from ..typing import Flow


def ping() -> Flow[bool]:
    """Return whether the server answers."""
    try:
        yield Command("PING")
    except CacheUnavailableError:
        return False
    return True


def facts() -> Flow[dict[str, str]]:
    """Return what INFO says of the server and of its memory, by field; nothing where INFO may not be asked."""
    try:
        replies = yield Pipeline([Command("INFO", "server"), Command("INFO", "memory")])
    except CacheUnavailableError as error:
        if not error.answered:
            raise
        return {}
    lines = [
        line for reply in replies if isinstance(reply, bytes) for line in reply.decode("utf-8", "replace").splitlines()
    ]
    return dict(line.split(":", 1) for line in lines if ":" in line)


def clients() -> Flow[tuple[list[dict[str, str]] | None, int]]:
    """
    Return the fields of each connection to the server, and how many there may be (0: not known).

    None in the place of the list where CLIENT LIST may not be asked.
    """
    listed, about = yield Pipeline([Command("CLIENT", "LIST"), Command("INFO", "clients")])
    most = re.search(rb"^maxclients:(\d+)", about, re.MULTILINE) if isinstance(about, bytes) else None
    if not isinstance(listed, bytes):
        return None, 0
    lines = listed.decode("utf-8", "replace").splitlines()
    fields = [dict(part.split("=", 1) for part in line.split(" ") if "=" in part) for line in lines if line]
    return fields, int(most[1]) if most else 0


def without_ttl(pattern: bytes, *, sample: int = 1000, pages: int = 20) -> Flow[list[bytes]]:
    """Return the keys that would never expire, of a sample of the matching ones from so many pages of SCAN."""
    names: list[bytes] = []
    cursor = 0
    for _ in range(pages):
        cursor, found = yield from page(cursor, pattern)
        names += found
        if not cursor or len(names) >= sample:
            break
    if not names:
        return []
    left = yield Pipeline([Command("PTTL", name) for name in names])
    return [name for name, milliseconds in zip(names, left, strict=True) if milliseconds == -1]
