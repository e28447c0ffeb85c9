"""A manager with a prefix and JSON: the ``cache`` that most of a site's code imports."""
# ruff: noqa: SLF001 - what a verb has here is itself, for one call

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ._drive import arun, run
from .batch import ClientBatch
from .bulk import BulkManager
from .codecs import JSON, TypedJsonCodec
from .flows import fill
from .memo import Memoized
from .namespace import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from typing_extensions import Unpack

    from .freshness import Options
    from .manager import CacheManager
    from .memo import Memoize
    from .stats import Health
    from .typing import Codec, Loader, Seconds


class CacheClient(BulkManager):
    """
    A CacheManager's verbs for the keys that begin with ``prefix``, and JSON.

    A prefix is no more than the beginning of its keys: ``CacheClient(manager, "prefs").get("7")`` is
    ``manager.get("prefs:7")``. ``clear()``, ``delete_pattern()`` and the figures stay within it. Without a manager,
    the client works over the alias ``default``.
    """

    def __init__(self, manager: CacheManager | None = None, prefix: str = "") -> None:
        manager = BulkManager() if manager is None else manager
        super().__init__(
            manager.alias,
            namespace=manager.namespace,
            default_ttl=manager.default_ttl,
            max_keys=manager.max_keys,
            on_outage=manager.on_outage,
            encrypt=manager.encrypt,
        )
        check_name("CacheClient(prefix=...)", prefix)
        self.prefix = f"{manager.prefix}{prefix}:" if prefix else manager.prefix
        check_name("CacheClient(prefix=...)", self.prefix)

    def batch(self) -> ClientBatch:
        """Return a block whose reads go in one round trip: ``with cache.batch() as batch``. See Batch."""
        return ClientBatch(self)

    def memoize(
        self,
        ttl: Seconds | None = None,
        *,
        key: str | Callable[..., str] | None = None,
        tags: Iterable[str] = (),
        type: Any = None,  # noqa: A002
        **options: Unpack[Options],
    ) -> Memoize:
        """
        Return a decorator that keeps the results of a function or a coroutine function, by its arguments.

        ``key`` is a template over the arguments, such as ``"report:{user.pk}"``, or a callable that takes them and
        returns a key; by default it is the function's name and all arguments. ``tags`` are templates. ``type`` is what
        a result has to fit. See Options for the others, and Memoized for what the function can do then.
        """
        if callable(cast("object", ttl)):
            message = "memoize is called with a ttl: @cache.memoize(60), or @cache.memoize() for the default."
            raise TypeError(message)
        return cast("Memoize", lambda function: Memoized(self, function, ttl, key, tags, type, options))

    def refresh(
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
        Call ``loader`` whatever is there, store what it returns in that place, and return it. See get_or_set().

        Meanwhile others get what is there. If the key is deleted or a tag invalidated meanwhile, nothing is stored.
        """
        return run(self._get_or_set(key, loader, ttl, type, tags, fill.refresh, **options), self._client.server)

    async def arefresh(
        self,
        key: str,
        loader: Loader,
        ttl: Seconds | None = None,
        *,
        type: Any = None,  # noqa: A002
        tags: Iterable[str] = (),
        **options: Unpack[Options],
    ) -> Any:
        """See refresh(). ``loader`` may be a coroutine function."""
        return await arun(self._get_or_set(key, loader, ttl, type, tags, fill.refresh, **options), self._client.server)

    def health_check(self) -> Health:
        """Ask the server how it is, and tell what this process has seen of it; it never raises for an outage."""
        return run(self._health(), self._client.server)

    async def ahealth_check(self) -> Health:
        """See health_check()."""
        return await arun(self._health(), self._client.server)

    def get_json(self, key: str, default: Any = None, *, type: Any = None) -> Any:  # noqa: A002 - the name that reads best
        """
        Return the value that JSON describes, or ``default``.

        With ``type`` (anything that msgspec decodes into: a dataclass, a Struct, a TypedDict, ``list[int]`` ...) the
        value is one of it, and what does not fit is a miss.
        """
        here = self._here
        return here._run(here._get(key, default, here._json(type)), default)

    async def aget_json(self, key: str, default: Any = None, *, type: Any = None) -> Any:  # noqa: A002
        """See get_json()."""
        here = self._here
        return await here._arun(here._get(key, default, here._json(type)), default)

    def set_json(self, key: str, value: Any, ttl: Seconds | None = None) -> bool:
        """Store a value as JSON, for any Redis client to read unless it is encrypted; return whether it was stored."""
        return self._run(self._set(key, value, ttl, self._json()), fallback=False)

    async def aset_json(self, key: str, value: Any, ttl: Seconds | None = None) -> bool:
        """See set_json()."""
        return await self._arun(self._set(key, value, ttl, self._json()), fallback=False)

    def get_many_json(self, keys: Iterable[str], *, type: Any = None) -> dict[str, Any]:  # noqa: A002
        """Return the values that JSON describes, by key, in one round trip. See get_json()."""
        here = self._here
        return here._run(here._get_many(keys, here._json(type)), {})

    async def aget_many_json(self, keys: Iterable[str], *, type: Any = None) -> dict[str, Any]:  # noqa: A002
        """See get_many_json()."""
        here = self._here
        return await here._arun(here._get_many(keys, here._json(type)), {})

    def set_many_json(self, data: Mapping[str, Any], ttl: Seconds | None = None) -> list[str]:
        """Store all values as JSON in one round trip and return the keys that were not stored."""
        return self._run(self._set_many(data, ttl, self._json()), list(data))

    async def aset_many_json(self, data: Mapping[str, Any], ttl: Seconds | None = None) -> list[str]:
        """See set_many_json()."""
        return await self._arun(self._set_many(data, ttl, self._json()), list(data))

    def _json(self, kind: Any = None) -> Codec:
        return self._sealed(JSON if kind is None else TypedJsonCodec(kind))
