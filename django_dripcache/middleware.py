"""Middleware: a bound for what the cache may cost a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from .conf import get_settings
from .deadline import budget
from .policy import to_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class CacheBudgetMiddleware:
    """
    Bound the time that all cache calls of a request together may cost: ``DRIPCACHE["REQUEST_BUDGET"]``.

    Once it is spent, the cache answers with its fallbacks for the rest of the request. Calls that are answered within
    10 ms do not count. Put it first, before any middleware that uses the cache.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer a request within the budget."""
        if self.is_async:
            return self.__acall__(request)
        limit = get_settings().REQUEST_BUDGET
        if limit is None:
            return self.get_response(request)
        with budget(to_seconds(limit)):
            return self.get_response(request)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        limit = get_settings().REQUEST_BUDGET
        if limit is None:
            return await self.get_response(request)  # type: ignore[misc, no-any-return]
        with budget(to_seconds(limit)):
            return await self.get_response(request)  # type: ignore[misc, no-any-return]
