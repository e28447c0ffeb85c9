"""
Removing and ending single keys by their names in Redis, each in the way of the part of the package that keeps it.

So what is being computed for a key is void, a session leaves its user's list, a flag the list of flags; and what could
not be removed is removed when Redis is back.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from ._drive import run
from .areas import find_area, to_name
from .backend import get_alias_client
from .exceptions import CacheUnavailableError
from .flows import entries, flags, limits, sessions, values
from .flows.flags import State
from .flows.sessions import Place
from .flows.steps import Command, Refused, Script
from .keys import area
from .policy import to_milliseconds

if TYPE_CHECKING:
    from .areas import Area
    from .redis_client import DripClient
    from .typing import Flow, Seconds

T = TypeVar("T")


def delete_key(name: str, *, alias: str = "default") -> bool:
    """
    Remove a key by its name in Redis, as KeyInfo has it, and return whether it was there.

    False may mean that Redis cannot be used: it is removed when Redis is back. The index of a user's sessions ends them
    all, and a stamp of auth revokes what was stored under it. Raises InvalidKeyError for a name that is not the site's.
    """
    client, raw, found = _locate(name, alias, "delete_key")
    return bool(ask(client, _delete(client, raw, found), 0))


def expire_key(name: str, seconds: Seconds, *, alias: str = "default") -> bool:
    """
    Let a key end in so many seconds, or as a timedelta says, and return whether it was there.

    With grace, that is when it is stale. With 0 or less it is over at once. Raises InvalidKeyError for a name that is
    not the site's.
    """
    client, raw, found = _locate(name, alias, "expire_key")
    milliseconds = to_milliseconds(seconds)
    return bool(ask(client, _expire(client, raw, found, milliseconds), fallback=False))


def invalidate_tag(tag: str, namespace: str | None = None, *, alias: str = "default") -> bool:
    """
    Void all values that have a tag, as TagInfo has it, and return whether it was in use.

    ``"user_cache"`` and ``"api_cache"`` are the tags of these services, and of a namespace that has such a name.
    """
    client = get_alias_client(alias, f"invalidate_tag(alias={alias!r})")
    spaces = [area(client.root, "t", namespace)]
    if namespace in {"user_cache", "api_cache"}:
        spaces.append(area(client.root, "s", "users.tags" if namespace == "user_cache" else "api.tags"))
    return bool(ask(client, entries.invalidate([space.name(tag) for space in spaces]), 0))


def ask(client: DripClient, flow: Flow[T], fallback: T) -> T:
    """Run a flow on the server of an alias, and return what it does, or ``fallback`` where that cannot be known."""
    try:
        return run(flow, client.server)
    except (CacheUnavailableError, Refused):
        return fallback


def _locate(name: str, alias: str, verb: str) -> tuple[DripClient, bytes, Area]:
    client = get_alias_client(alias, f"{verb}(alias={alias!r})")
    raw = to_name(name)
    return client, raw, find_area(client.root, raw)


def _delete(client: DripClient, name: bytes, found: Area) -> Flow[int | bool]:
    if found.role == "entry":
        return (yield from _delete_entry(name, found))
    if found.role in {"session", "sessions"}:
        place = _get_place(client, found)
        if found.role == "session":
            return (yield from sessions.end(place, [name]))
        return (yield from sessions.end_all(place, name))
    if found.role == "flag":
        return (yield from flags.delete(name, *_get_flags(client)))
    if found.role == "limit":
        return (yield from limits.reset([name]))
    return (yield from values.delete([name]))


def _delete_entry(name: bytes, found: Area) -> Flow[int]:
    lease = found.lease(name)
    removed = yield from entries.delete([name], [] if lease is None else [lease])
    if found.index is not None:
        with suppress(CacheUnavailableError, Refused):  # it is removed, and the index forgets it by and by
            yield Command("ZREM", found.index, name)
    return removed


def _expire(client: DripClient, name: bytes, found: Area, milliseconds: int) -> Flow[bool]:
    if found.role == "entry":
        return (yield from entries.touch(name, milliseconds))
    if found.role == "session":
        return (yield from sessions.touch(_get_place(client, found), [name], milliseconds))
    if found.role == "flag":
        state = yield from flags.get(name)
        return state is not None and (
            yield from flags.set(name, *_get_flags(client), State(state.enabled, milliseconds))
        )
    if found.role == "auth" and milliseconds:
        stamp = area(client.root, "s", "auth.stamps").raw
        (entry,) = yield Script("auth_read", [stamp, name], "touch", milliseconds)
        return entry is not None
    return (yield from values.touch(name, milliseconds))


def _get_place(client: DripClient, found: Area) -> Place:
    """Return where the sessions are that a session, or an index of sessions, is of."""
    part = "sessions.db" if ".db" in found.names.prefix.removeprefix(client.root) else "sessions"
    return Place(area(client.root, "s", part), area(client.root, "s", f"{part}.users"))


def _get_flags(client: DripClient) -> tuple[bytes, bytes]:
    return area(client.root, "s", "flags.index").raw, area(client.root, "s", "flags").raw
