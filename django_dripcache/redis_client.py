"""
Django's cache contract, each verb a flow with an async twin.

This is the other half of what django-redis' backend talks to; BaseClient has the names, the connections and the verbs
that django-redis adds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from ._drive import arun, run
from .codecs import DAMAGE, MISS, UNPICKLE
from .events import tell
from .flows import counters, nearby, scan, values
from .keys import escape_glob_text
from .redis_base import BaseClient

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from redis import Redis

    from .typing import Flow

T = TypeVar("T")


class DripClient(BaseClient):
    """The client of one cache alias; its server and pool are the process'."""

    def get(self, key: Any, default: Any = None, version: int | None = None, client: Redis | None = None) -> Any:
        """Return the value of ``key``, or ``default``."""
        name, near = self.name(key, version), self.near
        if near is None or client is not None:
            return self._run(values.get(name, self.codec, default), default, client)
        entry = near.get(name)
        if entry is not None and entry.value is not None:
            kept = entry.value
            try:
                value = UNPICKLE(kept) if type(kept) is bytes else kept[0](kept[1])
            except DAMAGE:
                pass  # it could be made of it when it was kept, and cannot any more: as any other damage
            else:
                tell("near", name)
                return value
        return self._run(nearby.get(name, self.codec, default, near), default)

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """See get()."""
        return await self._arun(self._get(key, default, version), default)

    def _get(self, key: Any, default: Any, version: int | None) -> Flow[Any]:
        name, near = self.name(key, version), self.near
        return values.get(name, self.codec, default) if near is None else nearby.get(name, self.codec, default, near)

    def set(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        client: Redis | None = None,
        nx: bool = False,  # noqa: FBT001, FBT002 - django-redis' signature
        xx: bool = False,  # noqa: FBT001, FBT002
    ) -> bool:
        """Store a value; ``nx`` only where there is none, ``xx`` only over another. Return whether it was stored."""
        return self._run(self._set(key, value, timeout, version, nx=nx, xx=xx), fallback=False, client=client)

    async def aset(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, **only: bool
    ) -> bool:
        """See set()."""
        return await self._arun(self._set(key, value, timeout, version, **only), fallback=False)

    def _set(
        self, key: Any, value: Any, timeout: Any, version: int | None, *, nx: bool = False, xx: bool = False
    ) -> Flow[bool]:
        only = "NX" if nx else "XX" if xx else ""
        return values.set(self.name(key, version), self.codec, value, self._ttl(timeout), only=only)

    def touch(
        self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, client: Redis | None = None
    ) -> bool:
        """Give a key a new timeout and return whether there was one."""
        return self._run(values.touch(self.name(key, version), self._ttl(timeout)), fallback=False, client=client)

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """See touch()."""
        return await self._arun(values.touch(self.name(key, version), self._ttl(timeout)), fallback=False)

    def delete(
        self, key: Any, version: int | None = None, prefix: str | None = None, client: Redis | None = None
    ) -> int:
        """Remove a key and return how many there were."""
        name = self.name(key, version) if prefix is None else self.make_key(key, version, prefix).encode()
        return self._run(values.delete([name]), 0, client)

    async def adelete(self, key: Any, version: int | None = None) -> int:
        """See delete()."""
        return await self._arun(values.delete([self.name(key, version)]), 0)

    def get_many(
        self, keys: Collection[Any], version: int | None = None, client: Redis | None = None
    ) -> dict[Any, Any]:
        """Return the values that there are, by key."""
        near = self.near
        if near is not None and client is None:
            keys = list(keys)
            names = self.names(keys, version)
            found = near.get_many(names)
            if None not in found:
                kept = [entry.value for entry in found if entry is not None]
                try:
                    known = {
                        key: UNPICKLE(own) if type(own) is bytes else own[0](own[1])
                        for key, own in zip(keys, kept, strict=True)
                        if own is not None
                    }
                except DAMAGE:
                    pass
                else:
                    tell("near", *[name for name, own in zip(names, kept, strict=True) if own is not None])
                    tell("miss", *[name for name, own in zip(names, kept, strict=True) if own is None])
                    return known
        return self._run(self._get_many(keys, version), {}, client)

    async def aget_many(self, keys: Collection[Any], version: int | None = None) -> dict[Any, Any]:
        """See get_many()."""
        return await self._arun(self._get_many(keys, version), {})

    def _get_many(self, keys: Iterable[Any], version: int | None) -> Flow[dict[Any, Any]]:
        asked, near = list(dict.fromkeys(keys)), self.near
        names = self.names(asked, version)
        found = yield from (
            values.get_many(names, self.codec) if near is None else nearby.get_many(names, self.codec, near)
        )
        return {key: value for key, value in zip(asked, found, strict=True) if value is not MISS}

    def set_many(  # pyright: ignore[reportIncompatibleMethodOverride] - Django's contract
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        client: Redis | None = None,
    ) -> list[Any]:
        """Store all values and return the keys that were not stored."""
        return self._run(self._set_many(data, timeout, version), list(data), client)

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """See set_many()."""
        return await self._arun(self._set_many(data, timeout, version), list(data))

    def _set_many(self, data: Mapping[Any, Any], timeout: Any, version: int | None) -> Flow[list[Any]]:
        names = dict(zip(self.names(list(data), version), data, strict=True))
        entries = {name: data[key] for name, key in names.items()}
        refused = yield from values.set_many(entries, self.codec, self._ttl(timeout))
        return [names[name] for name in refused]

    def delete_many(  # pyright: ignore[reportIncompatibleMethodOverride] - Django's contract
        self, keys: Iterable[Any], version: int | None = None, client: Redis | None = None
    ) -> None:
        """Remove all keys."""
        self._run(values.delete(self.names(list(keys), version)), 0, client)

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """See delete_many()."""
        await self._arun(values.delete(self.names(list(keys), version)), 0)

    def has_key(self, key: Any, version: int | None = None, client: Redis | None = None) -> bool:
        """Return whether the key is there."""
        return self._run(values.has(self.name(key, version)), fallback=False, client=client)

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        """See has_key()."""
        return await self._arun(values.has(self.name(key, version)), fallback=False)

    def get_or_set(self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> Any:
        """Return the value of ``key``; without one, store ``default`` (called, if it can be) and return it."""
        return run(self._get_or_set(key, default, timeout, version), self.server)

    async def aget_or_set(
        self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        """See get_or_set(). ``default`` may be a coroutine function."""
        return await arun(self._get_or_set(key, default, timeout, version), self.server)

    def _get_or_set(self, key: Any, default: Any, timeout: Any, version: int | None) -> Flow[Any]:
        loader = default if callable(default) else lambda: default
        name, near, ttl = self.name(key, version), self.near, self._ttl(timeout)
        if near is None:
            return values.get_or_set(name, self.codec, loader, ttl, strict=self.raises)
        return nearby.get_or_set(name, self.codec, loader, ttl, near, strict=self.raises)

    def incr(
        self,
        key: Any,
        delta: int = 1,
        version: int | None = None,
        client: Redis | None = None,
        ignore_key_check: bool = False,  # noqa: FBT001, FBT002 - django-redis' signature
    ) -> int:
        """Add to a number and return the sum. Raises ValueError if there is none, unless ``ignore_key_check``."""
        return run(self._increment(key, delta, version, create=ignore_key_check), self._link(client))

    async def aincr(
        self, key: Any, delta: int = 1, version: int | None = None, *, ignore_key_check: bool = False
    ) -> int:
        """See incr()."""
        return await arun(self._increment(key, delta, version, create=ignore_key_check), self.server)

    def _increment(self, key: Any, delta: int, version: int | None, *, create: bool) -> Flow[int]:
        name = self.name(key, version)
        flow: Flow[Any]
        if self.encrypts:
            codec = self.codec
            flow = counters.count(name, delta, self.default_ttl, codec) if create else counters.add(name, delta, codec)
        else:
            flow = values.count(name, delta, self.default_ttl) if create else values.increment(name, delta, self.codec)
        return values.required(flow, key, strict=self.raises)

    def decr(self, key: Any, delta: int = 1, version: int | None = None, client: Redis | None = None) -> int:
        """Subtract from a number and return the difference. Raises ValueError if there is none."""
        return self.incr(key, -delta, version, client)

    def incr_version(self, key: Any, delta: int = 1, version: int | None = None, client: Redis | None = None) -> int:
        """Move a value to another version of its key and return that version. Raises ValueError if there is none."""
        return run(self._incr_version(key, delta, version), self._link(client))

    async def aincr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """See incr_version()."""
        return await arun(self._incr_version(key, delta, version), self.server)

    def _incr_version(self, key: Any, delta: int, version: int | None) -> Flow[int]:
        old: int = self._backend.version if version is None else version
        moved = values.rename(self.name(key, old), self.name(key, old + delta), self.codec)
        yield from values.required(moved, key, strict=self.raises)
        return old + delta

    def clear(self, client: Redis | None = None) -> None:
        """
        Remove every key of this alias, of all versions.

        That is every key of its KEY_PREFIX: another alias is cleared too if its prefix is the same, or is this one's
        and a colon and more. With a KEY_FUNCTION of the site's, it is every key of the site's aliases.
        """
        self._run(scan.remove(self._whole()), 0, client)

    async def aclear(self) -> None:
        """See clear()."""
        await self._arun(scan.remove(self._whole()), 0)

    def _whole(self) -> bytes:
        """Return the pattern of all keys of this alias; a KEY_FUNCTION of the site's may put them anywhere."""
        made = self._backend.key_func("", self._backend.key_prefix, "")
        prefix = escape_glob_text(self._backend.key_prefix)
        if made == f"{self._backend.key_prefix}::":
            return self._keyspace.pattern(f"{prefix}:*")
        return self._keyspace.pattern("*")
