"""Cache-aside for a page: take an answer from the cache, else compute and keep it, and be honest about which it was."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.conf import settings

from django_dripcache import cache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest

TTL = 600
BYPASS_HEADER = "X-Demo-Bypass"


class PageCache:
    """
    The cache as one page sees it.

    ``status`` is what the page's ``X-Cache`` header says: ``hit`` when every answer came from the cache, ``miss`` when
    one had to be computed, ``bypass`` when the cache was not asked. ``computed_ms`` is the time that computing took.
    """

    def __init__(self, request: HttpRequest) -> None:
        self.bypass = settings.DEMO and BYPASS_HEADER in request.headers
        self.status = "bypass" if self.bypass else "hit"
        self.computed_ms = 0.0

    def get(self, key: str, compute: Callable[[], Any], ttl: int = TTL) -> Any:
        """Return the value of a key; on a miss, compute it and keep it."""

        def load() -> Any:
            started = time.perf_counter()
            value = compute()
            self._computed(started)
            return value

        return load() if self.bypass else cache.get_or_set(key, load, ttl=ttl)

    async def aget(self, key: str, compute: Callable[[], Awaitable[Any]], ttl: int = TTL) -> Any:
        """See get()."""

        async def load() -> Any:
            started = time.perf_counter()
            value = await compute()
            self._computed(started)
            return value

        return await load() if self.bypass else await cache.aget_or_set(key, load, ttl=ttl)

    def get_many(
        self, keys: dict[str, str], compute: Callable[[list[str]], dict[str, Any]], ttl: int = TTL
    ) -> list[Any]:
        """
        Return the values of many keys, in one round trip; compute what is missing at once, and keep it in another.

        ``keys`` names the key of each item. ``compute`` takes the missing items and returns a value for each.
        """
        found = {} if self.bypass else cache.get_many(keys.values())
        missing = [item for item, key in keys.items() if key not in found]
        if missing:
            started = time.perf_counter()
            fresh = {keys[item]: value for item, value in compute(missing).items()}
            self._computed(started)
            if not self.bypass:
                cache.set_many(fresh, ttl=ttl)
            found = {**found, **fresh}
        return [found[key] for key in keys.values() if key in found]

    def _computed(self, started: float) -> None:
        self.computed_ms += (time.perf_counter() - started) * 1000
        if not self.bypass:
            self.status = "miss"
