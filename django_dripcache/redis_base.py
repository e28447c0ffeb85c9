"""
What django-redis' client becomes here: its keys are ours, its connections are the process'.

This part has the names, the connections and the verbs that django-redis adds to Django's contract.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.core.cache.backends.base import DEFAULT_TIMEOUT, MEMCACHE_MAX_KEY_LENGTH, BaseCache, default_key_func
from django_redis.util import CacheKey
from redis import Redis

from .broker import namespace_root
from .conf import get_settings
from .connections import locate
from .exceptions import InvalidKeyError
from .flows import scan, values
from .flows.server import facts
from .flows.steps import SCAN_COUNT
from .keys import area, escape, escape_glob, escape_glob_text
from .lent import Lent
from .members import MembersClient
from .nearness import Nearness
from .policy import to_milliseconds
from .services.nearness import find_patterns
from .stats import CacheStats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    from .near import Near
    from .typing import Flow, Link, Seconds

T = TypeVar("T")

_UNPORTABLE: Final = re.compile(r"[\x00-\x20\x7f]")
_NO_KEY: Final = -2

_ODD: Final = re.compile(r"[^!-$&-z|]")
"""What makes a key one to be escaped, or warned of."""

_SHORT: Final = 100
_MOST_STARTS: Final = 100


class BaseClient(MembersClient):
    """The names, the connections and the further verbs of one cache alias."""

    def __init__(self, server: object, params: dict[str, Any], backend: BaseCache) -> None:
        options = {name: value for name, value in params.get("OPTIONS", {}).items() if name != "CLIENT_CLASS"}
        self.server = locate(server, options)
        super().__init__(server or "celery", params, backend)
        settings = get_settings()
        self.encrypts = options.get("ENCRYPT", False)
        self._raising = options.get("ON_OUTAGE", settings.ON_OUTAGE) == "raise"
        self.forever = None if settings.FOREVER_TTL is None else to_milliseconds(settings.FOREVER_TTL)
        self.root = namespace_root()
        self._keyspace = area(self.root, "d")
        self._validates = type(backend).validate_key is not BaseCache.validate_key
        own = type(backend).make_key is not BaseCache.make_key or backend.key_func is not default_key_func
        self._plain = not own and not self._validates
        self._starts: dict[tuple[str, int], bytes] = {}
        if options.get("NEAR") is not None:
            nearness = Nearness.of(options["NEAR"])
            self.server.keep_near(self._near_patterns(nearness.keys), nearness)

    # Names

    def name(self, key: Any, version: int | None = None) -> bytes:
        """Return the name in Redis of a key of the site."""
        if type(key) is str and self._plain and len(key) <= _SHORT and not _ODD.search(key):
            # What most keys are like: the same name as below, found with less ado.
            start = self._start(version)
            if start:
                return start + key.encode()
        if isinstance(key, CacheKey):
            if not key.startswith(self._keyspace.prefix):
                prefix = self._keyspace.prefix
                message = f"The ready-made key {key!r} is not one of this cache's, which begin with {prefix!r}."
                raise InvalidKeyError(message, key=key)
            return str.encode(key)
        made = self._backend.make_key(key, version)
        if self._validates or len(made) > MEMCACHE_MAX_KEY_LENGTH or _UNPORTABLE.search(made):
            self._backend.validate_key(made)
        return self._keyspace.name(made)

    def names(self, keys: Sequence[Any], version: int | None = None) -> list[bytes]:
        """Return the names in Redis of keys of the site, in their order. See name()."""
        if self._plain and {*map(type, keys)} == {str} and max(map(len, keys)) <= _SHORT:
            start = self._start(version)
            if start and not _ODD.search("".join(keys)):
                return [start + key.encode() for key in keys]
        return [self.name(key, version) for key in keys]

    def _start(self, version: int | None) -> bytes:
        """Return what the names of plain keys begin with; nothing where each key is to be looked at."""
        place = self._backend.key_prefix, self._backend.version if version is None else version
        if type(place[1]) is not int:  # True and 1.0 are equal to 1, and are other versions
            return b""
        return self._starts.get(place) or self._find_start(*place)

    def _find_start(self, prefix: str, version: int) -> bytes:
        made = self._backend.make_key("", version)
        if len(made) > _SHORT or _ODD.search(made):
            return b""
        if len(self._starts) >= _MOST_STARTS:
            self._starts.clear()
        start = self._starts[prefix, version] = self._keyspace.name(made)
        return start

    def make_key(self, key: Any, version: int | None = None, prefix: str | None = None) -> CacheKey:
        """Return a key as django-redis' own verbs take it; the prefix is the alias' ``KEY_PREFIX`` if not given."""
        if prefix is None or isinstance(key, CacheKey):
            return CacheKey(self.name(key, version).decode())
        made = self._backend.key_func(key, prefix, self._backend.version if version is None else version)
        return CacheKey(self._keyspace.name(made).decode())

    def make_pattern(self, pattern: str, version: int | None = None, prefix: str | None = None) -> CacheKey:
        """Return the pattern in Redis for a glob over the keys of one version and prefix."""
        prefix = self._backend.key_prefix if prefix is None else prefix
        version = self._backend.version if version is None else version
        plain = (escape_glob_text(str(part)) for part in (prefix, version))
        return CacheKey(self._keyspace.pattern(self._backend.key_func(pattern, *plain)).decode())

    def _key_of(self, name: bytes, version: int | None) -> str:
        made = self._keyspace.key(name)
        if self._params.get("REVERSE_KEY_FUNCTION"):
            return self.reverse_key(made)  # type: ignore[no-any-return]
        version = self._backend.version if version is None else version
        return made.removeprefix(self._backend.key_func("", self._backend.key_prefix, version))

    def _ttl(self, timeout: Seconds | object | None) -> int | None:
        if timeout is DEFAULT_TIMEOUT:
            timeout = self._backend.default_timeout
        return self.forever if timeout is None else to_milliseconds(timeout)  # type: ignore[arg-type]

    def _near_patterns(self, globs: Iterable[str]) -> Iterator[bytes]:
        """Yield what the names match that are near: of keys of this alias, of managers and services, and of tags."""
        root = escape_glob(self.root.encode())
        for glob in globs:
            escaped = escape(glob).encode()
            yield self.make_pattern(glob).encode()
            yield root + b"c:" + escaped
            yield root + b"c.*:" + escaped
            yield from find_patterns(self.root, glob)
        yield root + b"t:*"
        yield root + b"t.*:*"

    @property
    def near(self) -> Near | None:
        """The near cache, if there is one; what is encrypted is not kept in clear."""
        return None if self.encrypts else self.server.near

    # Running

    def _link(self, client: Redis | None = None) -> Link:
        return self.server if client is None else Lent(client)

    @property
    def default_ttl(self) -> int | None:
        """The alias' TIMEOUT in milliseconds, or None for no end."""
        return self._ttl(DEFAULT_TIMEOUT)

    # What django-redis adds

    def delete_pattern(
        self,
        pattern: str,
        version: int | None = None,
        prefix: str | None = None,
        client: Redis | None = None,
        itersize: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """
        Remove the keys that match a glob and return how many there were.

        ``progress`` is called with the number removed so far, after each page of ``itersize`` (1000) keys.
        """
        raw = self.make_pattern(pattern, version, prefix).encode()
        return self._run(scan.remove(raw, itersize or SCAN_COUNT, progress), 0, client)

    async def adelete_pattern(
        self,
        pattern: str,
        version: int | None = None,
        prefix: str | None = None,
        itersize: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """See delete_pattern()."""
        raw = self.make_pattern(pattern, version, prefix).encode()
        return await self._arun(scan.remove(raw, itersize or SCAN_COUNT, progress), 0)

    def iter_keys(
        self, search: str, itersize: int | None = None, client: Redis | None = None, version: int | None = None
    ) -> Iterator[str]:
        """Yield the keys that match a glob, page by page; one may come twice, as SCAN has it."""
        pattern = self.make_pattern(search, version).encode()
        cursor = -1
        while cursor:
            flow = scan.page(max(cursor, 0), pattern, itersize or SCAN_COUNT)
            cursor, names = self._run(flow, (0, []), client)
            for name in names:
                yield self._key_of(name, version)

    async def aiter_keys(
        self, search: str, itersize: int | None = None, version: int | None = None
    ) -> AsyncIterator[str]:
        """See iter_keys()."""
        pattern = self.make_pattern(search, version).encode()
        cursor = -1
        while cursor:
            cursor, names = await self._arun(scan.page(max(cursor, 0), pattern, itersize or SCAN_COUNT), (0, []))
            for name in names:
                yield self._key_of(name, version)

    def keys(self, search: str, version: int | None = None, client: Redis | None = None) -> list[str]:
        """Return the keys that match a glob. It walks with SCAN: KEYS would stop the server for Celery, too."""
        return list(dict.fromkeys(self.iter_keys(search, client=client, version=version)))

    async def akeys(self, search: str, version: int | None = None) -> list[str]:
        """See keys()."""
        return list(dict.fromkeys([key async for key in self.aiter_keys(search, version=version)]))

    def ttl(self, key: Any, version: int | None = None, client: Redis | None = None) -> int | None:
        """Return the seconds a key has left, rounded up: 0 for no key, None for one without an end."""
        left = self.pttl(key, version, client)
        return left and -(-left // 1000)

    async def attl(self, key: Any, version: int | None = None) -> int | None:
        """See ttl()."""
        left = await self.apttl(key, version)
        return left and -(-left // 1000)

    def pttl(self, key: Any, version: int | None = None, client: Redis | None = None) -> int | None:
        """Return the milliseconds a key has left: 0 for no key, None for one without an end."""
        return _left(self._run(values.ttl(self.name(key, version)), _NO_KEY, client))

    def get_stats(self) -> CacheStats:
        """Return figures of the server and of all keys of the site on it, whichever alias or manager they are of."""
        return self._run(self._stats(), CacheStats(available=False))

    async def aget_stats(self) -> CacheStats:
        """See get_stats()."""
        return await self._arun(self._stats(), CacheStats(available=False))

    def _stats(self) -> Flow[CacheStats]:
        about = yield from facts()
        root = self.root.encode()
        count = yield from scan.count(escape_glob(root) + b"*", root)
        return CacheStats.of(about, count, self.server.pool)

    async def apttl(self, key: Any, version: int | None = None) -> int | None:
        """See pttl()."""
        return _left(await self._arun(values.ttl(self.name(key, version)), _NO_KEY))

    def persist(self, key: Any, version: int | None = None, client: Redis | None = None) -> bool:
        """Give a key the longest life that the site allows, ``DRIPCACHE["FOREVER_TTL"]``."""
        return self._run(values.touch(self.name(key, version), self.forever), fallback=False, client=client)

    def lock(
        self,
        key: Any,
        version: int | None = None,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,  # noqa: FBT001, FBT002 - django-redis' signature
        blocking_timeout: float | None = None,
        client: Redis | None = None,
        thread_local: bool = True,  # noqa: FBT001, FBT002
    ) -> Any:
        """Return redis-py's lock. One without a ``timeout`` ends with ``DRIPCACHE["FOREVER_TTL"]``."""
        if timeout is None and self.forever is not None:
            timeout = self.forever / 1000
        return super().lock(key, version, timeout, sleep, blocking, blocking_timeout, client, thread_local)

    # Connections

    def connect(self, index: int = 0) -> Redis:  # noqa: ARG002 - there is one server
        """Return a client of redis-py over the process' pool."""
        return Redis(connection_pool=self.server.pool)

    def disconnect(self, index: int = 0, client: Redis | None = None) -> None:
        """Leave the pool alone: it serves the whole process, and outlives requests."""


def _left(milliseconds: int) -> int | None:
    return None if milliseconds == -1 else max(milliseconds, 0)
