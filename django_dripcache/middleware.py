"""Middleware: what the cache may cost a request, its reads as one batch, and how many requests there may be."""

from __future__ import annotations

from contextlib import nullcontext
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
    from contextlib import AbstractContextManager

    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase


class Middleware:
    """Middleware that serves threads and event loops alike."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)  # type: ignore[type-var]


class _Within(Middleware):
    """Middleware that answers each request within a block."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer a request within the block."""
        if self.is_async:
            return self.__acall__(request)
        with self._block():
            return self.get_response(request)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        with self._block():
            return await self.get_response(request)  # type: ignore[misc, no-any-return]

    def _block(self) -> AbstractContextManager[object]:
        """Return what a request is answered within."""
        raise NotImplementedError


class CacheBudgetMiddleware(_Within):
    """
    Bound the time that all cache calls of a request together may cost: ``DRIPCACHE["REQUEST_BUDGET"]``.

    Once it is spent, the cache answers with its fallbacks for the rest of the request. Calls that are answered within
    10 ms do not count. Put it first, before any middleware that uses the cache.
    """

    def _block(self) -> AbstractContextManager[object]:
        limit = get_settings().REQUEST_BUDGET
        return nullcontext() if limit is None else budget(to_seconds(limit))


class BatchMiddleware(_Within):
    """
    Let all batches of a request be one: what different parts of a page ask for is read in one round trip.

    It is sent when the first of its values is needed. What nobody has looked at when the response is there is not
    asked for. Put it after CacheBudgetMiddleware, and before any middleware that opens a batch.
    """

    def _block(self) -> AbstractContextManager[object]:
        return collecting()


class RateLimitMiddleware(Middleware):
    """
    Answer 429 to a request that a rule of ``DRIPCACHE["RATE_LIMITS"]`` denies.

    Rules that need no view are asked before any middleware that stands after this one, so also for paths that nothing
    answers; rules about a view, when Django has found it. Put it after AuthenticationMiddleware if a rule asks for the
    user, else as early as can be.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        super().__init__(get_response)
        if self.is_async:
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
