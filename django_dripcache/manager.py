"""
The site's own interface to the cache: values, counters and patterns of one namespace.

It works over one alias of CACHES, with its server, its pool and its default timeout. Its keys live beside those of the
Django backend, never among them.
"""
# ruff: noqa: SLF001 - what a verb has here is itself, for one call

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ._drive import arun, run
from .batch import ManagerBatch
from .flows import entries
from .flows.server import ping
from .locks import Funnel, Lock
from .namespace import Namespace
from .policy import to_milliseconds
from .stats import CacheStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from typing_extensions import Unpack

    from .freshness import Options
    from .typing import Loader, Seconds

_NO_KEY = -2


class CacheManager(Namespace):
    """
    Values, counters and patterns of one namespace.

    ``alias`` names a DripCache of CACHES. ``namespace`` sets this manager's keys apart from all others; two managers
    of one namespace share them. ``default_ttl`` is by default the alias' TIMEOUT. ``max_keys`` bounds the namespace:
    beyond it, the keys that would expire soonest are removed, at the price of a second round trip of each write.
    ``on_outage`` is ``"fallback"`` or ``"raise"``, by default the alias'; ``encrypt`` is whether values are encrypted,
    by default as the alias says.

    A ttl is in seconds or a timedelta; left out, it is the default. A value is any Python object that can be pickled,
    and JSON that others have written is read as well. While Redis cannot be used, reads are misses, loaders run, and
    writes return that nothing was done; with ``"raise"`` that is a CacheUnavailableError. An alias that DripCache does
    not serve raises ConfigurationError on first use.
    """

    # Values

    def get(self, key: str, default: Any = None, *, type: Any = None) -> Any:  # noqa: A002 - the name that reads best
        """Return the value of ``key``, or ``default``; with ``type``, a value that does not fit it is a miss."""
        here = self._here
        return here._run(here._get(key, default, here._codec(type)), default)

    async def aget(self, key: str, default: Any = None, *, type: Any = None) -> Any:  # noqa: A002
        """See get()."""
        here = self._here
        return await here._arun(here._get(key, default, here._codec(type)), default)

    def set(
        self, key: str, value: Any, ttl: Seconds | None = None, *, tags: Iterable[str] = (), grace: Seconds = 0
    ) -> bool:
        """Store a value, with ``tags`` that can void it and a ``grace`` in which it is stale; return whether it was."""
        here = self._here
        return here._run(here._set(key, value, ttl, here._codec(), tags=tags, grace=grace), fallback=False)

    async def aset(
        self, key: str, value: Any, ttl: Seconds | None = None, *, tags: Iterable[str] = (), grace: Seconds = 0
    ) -> bool:
        """See set()."""
        here = self._here
        return await here._arun(here._set(key, value, ttl, here._codec(), tags=tags, grace=grace), fallback=False)

    def get_or_set(
        self,
        key: str,
        loader: Loader,
        ttl: Seconds | None = None,
        *,
        type: Any = None,  # noqa: A002
        tags: Iterable[str] = (),
        **options: Unpack[Options],
    ) -> Any:
        """
        Return the value of ``key``; without a fresh one, call ``loader``, store what it returns, and return that.

        Of all processes, one calls its loader. The others are given the value that is stale, if ``grace`` left one, or
        wait. A loader with one argument is given a Context. See Options, and the page on stampedes.
        """
        here = self._here
        return run(here._get_or_set(key, loader, ttl, type, tags, **options), here._link())

    async def aget_or_set(
        self,
        key: str,
        loader: Loader,
        ttl: Seconds | None = None,
        *,
        type: Any = None,  # noqa: A002
        tags: Iterable[str] = (),
        **options: Unpack[Options],
    ) -> Any:
        """See get_or_set(). ``loader`` may be a coroutine function."""
        here = self._here
        return await arun(here._get_or_set(key, loader, ttl, type, tags, **options), here._link())

    def invalidate_tags(self, *tags: str) -> int:
        """Void every value of this namespace that has one of ``tags``; return how many of these were in use."""
        return self._run(entries.invalidate(self._tags(tags)), 0)

    async def ainvalidate_tags(self, *tags: str) -> int:
        """See invalidate_tags()."""
        return await self._arun(entries.invalidate(self._tags(tags)), 0)

    def delete(self, key: str) -> bool:
        """Remove a key and return whether it was there."""
        return bool(self._run(self._delete([key]), 0))

    async def adelete(self, key: str) -> bool:
        """See delete()."""
        return bool(await self._arun(self._delete([key]), 0))

    def has(self, key: str) -> bool:
        """Return whether a key is there."""
        return self._run(entries.has(self._name(key)), fallback=False)

    async def ahas(self, key: str) -> bool:
        """See has()."""
        return await self._arun(entries.has(self._name(key)), fallback=False)

    # Many values

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values that there are, by key, in one round trip."""
        here = self._here
        return here._run(here._get_many(keys, here._codec()), {})

    async def aget_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """See get_many()."""
        here = self._here
        return await here._arun(here._get_many(keys, here._codec()), {})

    def set_many(self, data: Mapping[str, Any], ttl: Seconds | None = None) -> list[str]:
        """Store all values in one round trip and return the keys that were not stored."""
        return self._run(self._set_many(data, ttl, self._codec()), list(data))

    async def aset_many(self, data: Mapping[str, Any], ttl: Seconds | None = None) -> list[str]:
        """See set_many()."""
        return await self._arun(self._set_many(data, ttl, self._codec()), list(data))

    def get_or_set_many(
        self,
        keys: Iterable[str],
        loader: Callable[[list[str]], Any],
        ttl: Seconds | None = None,
        *,
        type: Any = None,  # noqa: A002
    ) -> dict[str, Any]:
        """
        Return the values of all keys in their order; call ``loader`` once, with the list of those that are missing.

        It returns a dict, and what it has no value for is left out here too. One round trip reads and one stores.
        Others that miss at the same time call their loaders as well.
        """
        return run(self._get_or_set_many(keys, loader, ttl, type), self._client.server)

    async def aget_or_set_many(
        self,
        keys: Iterable[str],
        loader: Callable[[list[str]], Any],
        ttl: Seconds | None = None,
        *,
        type: Any = None,  # noqa: A002
    ) -> dict[str, Any]:
        """See get_or_set_many(). ``loader`` may be a coroutine function."""
        return await arun(self._get_or_set_many(keys, loader, ttl, type), self._client.server)

    def delete_many(self, keys: Iterable[str]) -> int:
        """Remove all keys in one round trip and return how many were there."""
        return self._run(self._delete(list(keys)), 0)

    async def adelete_many(self, keys: Iterable[str]) -> int:
        """See delete_many()."""
        return await self._arun(self._delete(list(keys)), 0)

    def batch(self) -> ManagerBatch:
        """Return a block whose reads go in one round trip: ``with manager.batch() as batch``. See Batch."""
        return ManagerBatch(self)

    # Counters and lifetimes

    def incr(self, key: str, delta: int = 1, ttl: Seconds | None = None) -> int:
        """
        Add to a counter and return the sum; a counter that is not there begins at 0 and gets ``ttl`` in the same step.

        Raises ValueError for a value that is no integer, and while Redis cannot be used: CacheUnavailableError, then,
        where ``on_outage`` is ``"raise"``.
        """
        return run(self._count(key, delta, ttl), self._client.server)

    async def aincr(self, key: str, delta: int = 1, ttl: Seconds | None = None) -> int:
        """See incr()."""
        return await arun(self._count(key, delta, ttl), self._client.server)

    def decr(self, key: str, delta: int = 1, ttl: Seconds | None = None) -> int:
        """Subtract from a counter and return the difference. See incr()."""
        return self.incr(key, -delta, ttl)

    async def adecr(self, key: str, delta: int = 1, ttl: Seconds | None = None) -> int:
        """See decr()."""
        return await self.aincr(key, -delta, ttl)

    def touch(self, key: str, ttl: Seconds | None = None) -> bool:
        """Begin a key's life anew, of ``ttl``, and return whether it was there."""
        return self._run(self._touch(key, self._ttl(ttl)), fallback=False)

    async def atouch(self, key: str, ttl: Seconds | None = None) -> bool:
        """See touch()."""
        return await self._arun(self._touch(key, self._ttl(ttl)), fallback=False)

    def expire(self, key: str, ttl: Seconds = 0) -> bool:
        """Let a key end in ``ttl``, by default now, and return whether it was there."""
        return self._run(self._touch(key, to_milliseconds(ttl)), fallback=False)

    async def aexpire(self, key: str, ttl: Seconds = 0) -> bool:
        """See expire()."""
        return await self._arun(self._touch(key, to_milliseconds(ttl)), fallback=False)

    def ttl(self, key: str) -> timedelta | None:
        """Return how long a key has left; None for no key, ``timedelta.max`` for one without an end."""
        return _left(self._run(entries.ttl(self._name(key)), _NO_KEY))

    async def attl(self, key: str) -> timedelta | None:
        """See ttl()."""
        return _left(await self._arun(entries.ttl(self._name(key)), _NO_KEY))

    # Locks

    def lock(self, name: str, ttl: Seconds, *, wait: Seconds = 0, owner: str | None = None) -> Lock:
        """
        Return a lock that one holder at a time has, of all processes, for ``ttl`` at most. See Lock.

        ``with`` takes it, and waits for at most ``wait``. With the ``owner`` of another's lock, it is that lock.
        """
        return Lock(self, name, ttl, wait=wait, owner=owner)

    def funnel(self, name: str, limit: int, ttl: Seconds, *, wait: Seconds = 0, owner: str | None = None) -> Funnel:
        """Return a place among at most ``limit`` holders at a time. See lock()."""
        return Funnel(self, name, limit, ttl, wait=wait, owner=owner)

    # The namespace

    def clear(self, progress: Callable[[int], None] | None = None) -> int:
        """Remove every key of this namespace, and no other; return how many there were. See delete_pattern()."""
        return self.delete_pattern("*", progress)

    async def aclear(self, progress: Callable[[int], None] | None = None) -> int:
        """See clear()."""
        return await self.adelete_pattern("*", progress)

    def delete_pattern(self, pattern: str, progress: Callable[[int], None] | None = None) -> int:
        """
        Remove the keys that match a glob (``*``, ``?``, ``[...]``, backslash) and return how many there were.

        ``progress`` is called after each page of 1000 keys with the number removed so far. Of a key longer than
        512 bytes, the first 256 take part in the match.
        """
        return self._run(self._remove(pattern, progress), 0)

    async def adelete_pattern(self, pattern: str, progress: Callable[[int], None] | None = None) -> int:
        """See delete_pattern()."""
        return await self._arun(self._remove(pattern, progress), 0)

    def get_stats(self) -> CacheStats:
        """Return figures of the namespace and of its server. See CacheStats."""
        return self._run(self._stats(), CacheStats(available=False))

    async def aget_stats(self) -> CacheStats:
        """See get_stats()."""
        return await self._arun(self._stats(), CacheStats(available=False))

    def test_connection(self) -> bool:
        """Return whether Redis answers now; it never raises for an outage."""
        return run(ping(), self._client.server)

    async def atest_connection(self) -> bool:
        """See test_connection()."""
        return await arun(ping(), self._client.server)


def _left(milliseconds: int) -> timedelta | None:
    if milliseconds == _NO_KEY:
        return None
    return timedelta.max if milliseconds < 0 else timedelta(milliseconds=milliseconds)
