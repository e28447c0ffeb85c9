"""Decorators of views."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from django.http import HttpRequest

from .client import CacheClient
from .exceptions import InvalidKeyError
from .freshness import Freshness
from .kept import KeptView, Rules
from .limiting import rate_limit as rate_limit  # noqa: PLC0414 - it is for others
from .manager import CacheManager
from .policy import to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from django.http.response import HttpResponseBase

    from .typing import Seconds

P = ParamSpec("P")
Request = TypeVar("Request", bound=HttpRequest)


class CachedView(Protocol):
    """What ``cached_view()`` returns: a decorator."""

    @overload
    def __call__(
        self, view: Callable[Concatenate[Request, P], Coroutine[Any, Any, HttpResponseBase]], /
    ) -> Callable[Concatenate[Request, P], Coroutine[Any, Any, HttpResponseBase]]: ...

    @overload
    def __call__(
        self, view: Callable[Concatenate[Request, P], HttpResponseBase], /
    ) -> Callable[Concatenate[Request, P], HttpResponseBase]: ...


def cached_view(
    ttl: Seconds,
    *,
    vary_on: Iterable[str] = (),
    tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    per_user: bool = False,
    grace: Seconds = 0,
    key: Callable[..., Any] | None = None,
    using: str = "default",
) -> CachedView:
    """
    Return a decorator that keeps the pages of a view, or of a coroutine function, for ``ttl``.

    A page is kept for its view, method, address, query string, language and time zone, for the values of the request's
    headers ``vary_on``, and with ``per_user`` for one user. ``key`` takes what the view takes, and what it returns
    counts in the place of path and query string. ``tags`` are templates over the arguments of the URL, such as
    ``"airport:{pk}"``, or a callable that takes what the view takes. ``grace`` is for how long a stale page is shown
    while one caller makes it anew, and if that fails. ``using`` is an alias of CACHES.

    A page that is for one visitor alone, or says that it is not to be kept, is given to who asked and not kept.
    """
    for option, given in (("vary_on", vary_on), ("tags", tags)):
        if isinstance(given, str):
            message = f"cached_view({option}={given!r}) is one text. Allowed are several, as in {option}=[{given!r}]."
            raise TypeError(message)
    milliseconds = to_milliseconds(ttl)
    Freshness.of(milliseconds, grace=grace)  # what is out of range is told at once
    headers = {name.lower(): name for name in vary_on}
    if headers.keys() & {"*", "authorization", "cookie"}:
        message = (
            f"cached_view(vary_on={[*headers.values()]}) has a header that tells each visitor from all others. "
            "Allowed are such as 'Accept'. For pages of users there is per_user=True."
        )
        raise ValueError(message)
    rules = Rules(
        ttl=milliseconds / 1000,
        grace=grace,
        headers=headers,
        tags=tags if callable(tags) else functools.partial(_fill, tuple(tags)),
        per_user=per_user,
        key=key,
        pages=CacheClient(CacheManager(using), "view"),
    )
    return cast("CachedView", lambda view: KeptView(view, rules).decorated())


def _fill(templates: tuple[str, ...], request: HttpRequest, /, *_: object, **kwargs: object) -> list[str]:
    fields = {"request": request, **kwargs}
    try:
        return [template.format_map(fields) for template in templates]
    except KeyError as error:
        message = f"cached_view(tags={[*templates]}) has a field {error}. Allowed are: {', '.join(fields)}."
        raise InvalidKeyError(message, key=templates) from None
