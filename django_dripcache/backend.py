"""
The cache backend: ``CACHES = {"default": {"BACKEND": "django_dripcache.backend.DripCache"}}``.

It is django-redis' backend, with everything that it offers, over Celery's Redis. It keeps Django's cache contract to
the letter, and its async verbs are asynchronous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.utils.module_loading import import_string
from django_redis.cache import RedisCache

from .batch import BackendBatch
from .connections import locate
from .exceptions import ConfigurationError
from .flows.steps import SCAN_COUNT
from .pools import PoolOptions, check_options
from .redis_client import DripClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from redis import Redis

    from .address import Broker
    from .server import Server
    from .stats import CacheStats


class DripCache(RedisCache[DripClient]):  # type: ignore[misc]
    """
    A cache in the Redis that Celery's broker uses.

    ``LOCATION`` is left out or ``"celery"`` for Celery's broker, or a URL. Values are Python objects in signed pickles,
    integers are Redis' own; with ``ENCRYPT`` in ``OPTIONS``, all are encrypted. A timeout of None is
    ``DRIPCACHE["FOREVER_TTL"]``. See DripClient for the verbs.
    """

    if TYPE_CHECKING:

        @property
        def client(self) -> DripClient: ...  # noqa: D102 - for type checkers alone

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        check_options(params.get("OPTIONS", {}))
        options = {**params.get("OPTIONS", {}), "CLIENT_CLASS": "django_dripcache.redis_client.DripClient"}
        super().__init__(server, {**params, "OPTIONS": options})
        self._default_scan_itersize = getattr(settings, "DJANGO_REDIS_SCAN_ITERSIZE", SCAN_COUNT)

    # The verbs that a page calls most go straight to the client: it never raises what django-redis' own wrap them for.

    def get(self, key: Any, default: Any = None, version: int | None = None, client: Redis | None = None) -> Any:
        """See DripClient.get()."""
        return self.client.get(key, default, version, client)

    def set(  # pyright: ignore[reportIncompatibleVariableOverride] - django-redis has a wrapped one
        self, *args: Any, **kwargs: Any
    ) -> bool:
        """See DripClient.set()."""
        return self.client.set(*args, **kwargs)

    def incr(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, *args: Any, **kwargs: Any
    ) -> int:
        """See DripClient.incr()."""
        return self.client.incr(*args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """See DripClient.get_many()."""
        return self.client.get_many(*args, **kwargs)

    def get_or_set(self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> Any:
        """See DripClient.get_or_set()."""
        return self.client.get_or_set(key, default, timeout, version)

    async def aadd(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """See add()."""
        return await self.client.aset(key, value, timeout, version, nx=True)

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """See get()."""
        return await self.client.aget(key, default, version)

    async def aset(  # pyright: ignore[reportIncompatibleMethodOverride] - as django-redis' set(), it tells
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, **only: bool
    ) -> bool:
        """See set()."""
        return await self.client.aset(key, value, timeout, version, **only)

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """See touch()."""
        return await self.client.atouch(key, timeout, version)

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        """See delete()."""
        return bool(await self.client.adelete(key, version))

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """See get_many()."""
        return await self.client.aget_many(list(keys), version)

    async def aget_or_set(
        self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        """See get_or_set(). ``default`` may be a coroutine function."""
        return await self.client.aget_or_set(key, default, timeout, version)

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        """See has_key()."""
        return await self.client.ahas_key(key, version)

    async def aincr(
        self, key: Any, delta: int = 1, version: int | None = None, *, ignore_key_check: bool = False
    ) -> int:
        """See incr()."""
        return await self.client.aincr(key, delta, version, ignore_key_check=ignore_key_check)

    async def adecr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """See decr()."""
        return await self.client.aincr(key, -delta, version)

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """See set_many()."""
        return await self.client.aset_many(data, timeout, version)

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """See delete_many()."""
        await self.client.adelete_many(keys, version)

    async def aclear(self) -> None:
        """See clear()."""
        await self.client.aclear()

    async def aincr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """See incr_version()."""
        return await self.client.aincr_version(key, delta, version)

    async def adecr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """See decr_version()."""
        return await self.client.aincr_version(key, -delta, version)

    async def adelete_pattern(self, pattern: str, version: int | None = None, **options: Any) -> int:
        """See delete_pattern()."""
        return await self.client.adelete_pattern(pattern, version, **options)

    def aiter_keys(self, search: str, **options: Any) -> AsyncIterator[str]:
        """See iter_keys()."""
        return self.client.aiter_keys(search, **options)

    async def akeys(self, search: str, version: int | None = None) -> list[str]:
        """See keys()."""
        return await self.client.akeys(search, version)

    async def attl(self, key: Any, version: int | None = None) -> int | None:
        """See ttl()."""
        return await self.client.attl(key, version)

    def get_stats(self) -> CacheStats:
        """See DripClient.get_stats()."""
        return self.client.get_stats()

    async def aget_stats(self) -> CacheStats:
        """See DripClient.get_stats()."""
        return await self.client.aget_stats()

    def batch(self) -> BackendBatch:
        """Return a block whose reads go in one round trip: ``with cache.batch() as batch``. See Batch."""
        return BackendBatch(self.client)

    async def aclose(self, **kwargs: Any) -> None:
        """See close()."""


def configured_aliases() -> Iterator[str]:
    """Yield the aliases of CACHES that this backend, or a subclass of it, serves."""
    for alias, params in caches.settings.items():
        try:
            backend = import_string(params["BACKEND"])
        except ImportError:
            continue  # Django tells of it when the alias is used
        if isinstance(backend, type) and issubclass(backend, DripCache):
            yield alias


def get_alias_client(alias: str, who: str) -> DripClient:
    """
    Return the client of an alias. Raises ConfigurationError in the name of ``who`` if DripCache does not serve it.

    Django keeps one backend a thread or task. What serves them all has to ask each time.
    """
    backend = caches[alias]
    if not isinstance(backend, DripCache):
        message = (
            f"{who}: CACHES[{alias!r}] is served by {type(backend).__name__}. "
            "Allowed is an alias with 'BACKEND': 'django_dripcache.backend.DripCache'."
        )
        raise ConfigurationError(message)
    return backend.client


def get_alias_server(alias: str) -> Server:
    """Return the server of an alias. Raises ConfigurationError if there is no such server to be found."""
    params = caches.settings[alias]
    return locate(params.get("LOCATION", ""), params.get("OPTIONS", {}))


def encrypts(alias: str) -> bool:
    """Return whether an alias encrypts its values."""
    return bool(caches.settings[alias].get("OPTIONS", {}).get("ENCRYPT", False))


def pool_options(broker: Broker, alias: str) -> PoolOptions:
    """Return the pool options that an alias asks for; where it shares a server, another alias may have come first."""
    return PoolOptions.of(broker, caches.settings[alias].get("OPTIONS", {}))
