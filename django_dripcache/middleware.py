"""Middleware: what the cache may cost a request, its reads as one batch, and how many requests there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from .conf import get_settings
from .deadline import budget
from .later import collecting
from .limiting import acheck, check, show
from .policy import to_seconds
from .rules import find_by_path, find_by_view, get_rules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest, HttpResponse
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


class BatchMiddleware:
    """
    Let all batches of a request be one: what different parts of a page ask for is read in one round trip.

    It is sent when the first of its values is needed. What nobody has looked at when the response is there is not
    asked for. Put it after CacheBudgetMiddleware, and before any middleware that opens a batch.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer a request within one batch."""
        if self.is_async:
            return self.__acall__(request)
        with collecting():
            return self.get_response(request)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        with collecting():
            return await self.get_response(request)  # type: ignore[misc, no-any-return]


class RateLimitMiddleware:
    """
    Answer 429 to a request that a rule of ``DRIPCACHE["RATE_LIMITS"]`` denies.

    Rules that need no view are asked before any middleware that stands after this one, so also for paths that nothing
    answers; rules about a view, when Django has found it. Put it after AuthenticationMiddleware if a rule asks for the
    user, else as early as can be.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)
            self.process_view = self.aprocess_view  # type: ignore[assignment,method-assign]
        get_rules()  # a rule that cannot work is told when the site starts

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer a request, or deny it by the rules that need no view."""
        if self.is_async:
            return self.__acall__(request)
        response = check(request, find_by_path(request))
        return show(request, self.get_response(request) if response is None else response)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        response = await acheck(request, find_by_path(request))
        return show(request, await self.get_response(request) if response is None else response)  # type: ignore[misc]

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        """Deny a request by the rules about its view. It is called by Django."""
        return check(request, find_by_view(request))

    async def aprocess_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        """See process_view()."""
        return await acheck(request, find_by_view(request))
