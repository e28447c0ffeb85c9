"""A cache whose sync methods are its async ones, so that Django's sync tests try those as well."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Protocol

from asgiref.sync import async_to_sync
from django.core.cache import BaseCache

if TYPE_CHECKING:
    from collections.abc import Callable

TWINNED = frozenset(name for name in dir(BaseCache) if hasattr(BaseCache, f"a{name}"))
CALL_TIMEOUT = 30.0


class Driver(Protocol):
    """How an async method is called from a sync test."""

    def start(self) -> None:
        """Get ready for a class of tests."""

    def stop(self) -> None:
        """Leave nothing behind."""

    def wrap(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls the method and waits for its result."""
        ...


class LoopACall:
    """Every call on an event loop of its own, as ``async_to_sync`` makes it in a sync view."""

    def start(self) -> None:
        """Nothing to get ready."""

    def stop(self) -> None:
        """Nothing is left: each loop ended with its call."""

    def wrap(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """See Driver.wrap()."""
        return async_to_sync(method)


class OneLoop:
    """Every call on one running event loop, in a thread of its own, as an ASGI server has it."""

    def start(self) -> None:
        """Start the loop."""
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self._started.wait(CALL_TIMEOUT)

    def stop(self) -> None:
        """End the loop as a server ends it, closing what its async generators hold."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(CALL_TIMEOUT)

    def wrap(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """See Driver.wrap()."""

        def call(*args: Any, **kwargs: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(method(*args, **kwargs), self._loop).result(CALL_TIMEOUT)

        return call

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        await self._stopping.wait()


class AsyncFace:
    """Stands for ``cache``: ``get()`` calls its ``aget()``, and so on; all else passes through."""

    def __init__(self, cache: Any, driver: Driver) -> None:
        vars(self).update(_cache=cache, _driver=driver)

    def __getattr__(self, name: str) -> Any:
        if name in TWINNED:
            return self._driver.wrap(getattr(self._cache, f"a{name}"))
        return getattr(self._cache, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._cache, name, value)

    def __contains__(self, key: str) -> bool:
        return bool(self.has_key(key))


class AsyncFaces:
    """Stands for ``caches``."""

    def __init__(self, caches: Any, driver: Driver) -> None:
        self._caches, self._driver = caches, driver

    def __getitem__(self, alias: str) -> AsyncFace:
        return AsyncFace(self._caches[alias], self._driver)
