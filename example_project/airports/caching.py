"""Cache-aside for a page: take an answer from the cache, else compute and keep it, and be honest about which it was."""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.dispatch import receiver

from django_dripcache import CacheClient, cache
from django_dripcache.signals import cache_stale

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from django.http import HttpRequest

    from django_dripcache import Memoized

TTL = 600
# The tables that an answer is computed from. An airport is compared with all others: so an edit of any of them voids
# the answers about all of them, by one command. airports.apps connects the tables with their tags.
TAGS = ("airports", "countries")
BYPASS_HEADER = "X-Demo-Bypass"

_page: ContextVar[PageCache | None] = ContextVar("page", default=None)


class PageCache:
    """
    The cache as one page sees it.

    ``status`` is what the page's ``X-Cache`` header says: ``hit`` when every answer came from the cache, ``stale`` when
    one of these is past its time and a worker computes it anew, ``miss`` when one had to be computed, ``bypass`` when
    the cache was not asked. ``computed_ms`` is the time that computing took.
    """

    def __init__(self, request: HttpRequest) -> None:
        self.bypass = settings.DEMO and BYPASS_HEADER in request.headers
        self.status = "bypass" if self.bypass else "hit"
        self.computed_ms = 0.0
        _page.set(self)  # for computing() and note_stale(), in this request's thread or task

    def get(self, key: str, compute: Callable[[], Any]) -> Any:
        """Return the value of a key; on a miss, compute it and keep it."""
        return compute() if self.bypass else cache.get_or_set(key, compute, ttl=TTL, tags=TAGS)

    async def aget(self, key: str, compute: Callable[[], Awaitable[Any]]) -> Any:
        """See get()."""
        return await compute() if self.bypass else await cache.aget_or_set(key, compute, ttl=TTL, tags=TAGS)

    def get_many(self, prefix: str, keys: list[str], compute: Callable[[list[str]], dict[str, Any]]) -> dict[str, Any]:
        """Return the values of many keys in one round trip; compute what is missing at once, and keep it in another."""
        return compute(keys) if self.bypass else CacheClient(prefix=prefix).get_or_set_many(keys, compute, ttl=TTL)

    def call(self, memoized: Memoized[..., Any, Any], *args: Any) -> Any:
        """Call a memoized function, or past the cache the function itself."""
        return memoized.__wrapped__(*args) if self.bypass else memoized(*args)


@contextmanager
def computing() -> Iterator[None]:
    """Tell the page that something is computed for it, if it is for a page: a worker and a command have none."""
    started = time.perf_counter()
    try:
        yield
    finally:
        page = _page.get()
        if page is not None:
            page.computed_ms += (time.perf_counter() - started) * 1000
            page.status = "bypass" if page.bypass else "miss"


@receiver(cache_stale)
def note_stale(**_: Any) -> None:
    """Tell the page that it was given something that is past its time."""
    page = _page.get()
    if page is not None and page.status == "hit":
        page.status = "stale"
