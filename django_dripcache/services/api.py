"""Answers of other services' APIs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from .._drive import arun, run
from .owned import OwnedCache

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from ..freshness import Options
    from ..typing import Flow, Loader, Seconds

_ALL = "*"


class ApiCache(OwnedCache):
    """
    Answers of APIs by their address and parameters, over ``alias``; see EncryptableService for the other arguments.

    ``path`` is any text that tells one address from another, such as a URL. ``params`` is what a query may have: their
    order does not matter, and ``{"id": 7}`` is ``{"id": "7"}``. Answers are JSON; with ``type``, what does not fit it
    is a miss. A ttl is seconds or a timedelta, 5 minutes by default.
    """

    area: ClassVar[str] = "api"

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        default: Any = None,
        *,
        type: Any = None,  # noqa: A002
    ) -> Any:
        """Return an answer that is kept, or ``default``."""
        return self._run(self._get(path, _query(params), default, type), default)

    async def aget(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        default: Any = None,
        *,
        type: Any = None,  # noqa: A002
    ) -> Any:
        """See get()."""
        return await self._arun(self._get(path, _query(params), default, type), default)

    def set(self, path: str, data: Any, params: Mapping[str, Any] | None = None, ttl: Seconds = 300) -> bool:
        """Keep an answer and return whether it was stored."""
        return self._run(self._set(path, _query(params), data, ttl, [f"path:{path}", _ALL]), fallback=False)

    async def aset(self, path: str, data: Any, params: Mapping[str, Any] | None = None, ttl: Seconds = 300) -> bool:
        """See set()."""
        return await self._arun(self._set(path, _query(params), data, ttl, [f"path:{path}", _ALL]), fallback=False)

    def get_or_set(
        self,
        path: str,
        loader: Loader,
        params: Mapping[str, Any] | None = None,
        ttl: Seconds = 300,
        *,
        type: Any = None,  # noqa: A002
        **options: Unpack[Options],
    ) -> Any:
        """
        Return an answer; without a fresh one, let one caller ask for it. See CacheManager.get_or_set().

        ``grace`` keeps the last answer for when the API is down. A loader that takes a Context can ask with the last
        answer's ETag, and keep that answer with ``not_modified()``.
        """
        return run(self._load(path, params, loader, ttl, type, **options), self._link())

    async def aget_or_set(
        self,
        path: str,
        loader: Loader,
        params: Mapping[str, Any] | None = None,
        ttl: Seconds = 300,
        *,
        type: Any = None,  # noqa: A002
        **options: Unpack[Options],
    ) -> Any:
        """See get_or_set(). ``loader`` may be a coroutine function."""
        return await arun(self._load(path, params, loader, ttl, type, **options), self._link())

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> bool:
        """Drop one answer of a path, or all of them without ``params``; return whether there was one, or had been."""
        return bool(self._run(self._remove(path, params), 0))

    async def adelete(self, path: str, params: Mapping[str, Any] | None = None) -> bool:
        """See delete()."""
        return bool(await self._arun(self._remove(path, params), 0))

    def clear(self) -> None:
        """Drop all answers, by one command."""
        self._run(self._drop(_ALL), 0)

    async def aclear(self) -> None:
        """See clear()."""
        await self._arun(self._drop(_ALL), 0)

    def _load(
        self, path: str, params: Mapping[str, Any] | None, loader: Loader, ttl: Seconds, kind: Any, **options: Any
    ) -> Flow[Any]:
        return self._get_or_set(path, _query(params), loader, ttl, kind, [f"path:{path}", _ALL], **options)

    def _remove(self, path: str, params: Mapping[str, Any] | None) -> Flow[int]:
        return self._drop(f"path:{path}") if params is None else self._delete(path, _query(params))


def _query(params: Mapping[str, Any] | None) -> str:
    return urlencode(sorted((params or {}).items()), doseq=True)


api_cache = ApiCache()
"""The answers of the alias ``default``; it may be imported before settings are ready."""
