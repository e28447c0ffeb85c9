"""A view whose pages are kept, and are shown to nobody whom they are not for."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from ._drive import arun, run
from .arguments import canonical
from .backend import get_alias_client
from .codecs import MISS
from .exceptions import ConfigurationError
from .flows.steps import Load
from .pages import Page, get_lifetime, refusals, tell_clients
from .secrecy import digest
from .watch import PASSING, SIGNS, Watch, has_credentials, has_read_session, identify, is_plain, seen_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .client import CacheClient
    from .context import Context
    from .typing import Flow, Link, Seconds

logger = logging.getLogger("django_dripcache")

_ANSWERS: Final = (BadRequest, Http404, PermissionDenied, SuspiciousOperation)
_BROKEN: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What ``cached_view()`` was given."""

    ttl: float
    grace: Seconds
    headers: Mapping[str, str]
    tags: Callable[..., Iterable[str]]
    per_user: bool
    key: Callable[..., Any] | None
    pages: CacheClient


class _ViewError(Exception):
    """An error of a view on its way through the cache: who meets another's asks the view for an answer of their own."""


class _Own:
    """What came of the call of the view that was made for this request."""

    response: Any = MISS
    error: Exception | None = None

    def result(self) -> Any:
        """Return the response or raise the error."""
        if self.error is not None:
            raise self.error
        return self.response


class KeptView:
    """A view, and the rules by which its pages are kept."""

    def __init__(self, view: Any, rules: Rules) -> None:
        self._view, self._rules = view, rules
        method = getattr(view, "func", view)  # method_decorator() binds methods in partials
        owner = type(method.__self__) if hasattr(method, "__self__") else None
        self._awaited = iscoroutinefunction(view) or getattr(owner, "view_is_async", False)
        named: Any = owner or getattr(view, "view_class", view if hasattr(view, "__qualname__") else type(view))
        self._name = f"{named.__module__}.{named.__qualname__}"

    def decorated(self) -> Callable[..., Any]:
        """Return what is to be called in the place of the view."""

        def kept(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return run(self._answer(request, args, kwargs), self._link)

        async def akept(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return await arun(self._answer(request, args, kwargs), self._link)

        return functools.wraps(self._view)(akept if self._awaited else kept)

    @property
    def _link(self) -> Link:
        return get_alias_client(self._rules.pages.alias, "cached_view(using=...)").server

    def _answer(self, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow[Any]:
        """Return the page that is kept, or what the view answers."""
        _check(request)
        rules, view = self._rules, functools.partial(self._view, request, *args, **kwargs)
        if not is_plain(request):
            return self._varied((yield Load(view)))
        nameless = has_credentials(request) or (rules.per_user and has_read_session(request))
        who = (yield from self._identify(request)) if rules.per_user else None
        if nameless and not who:
            return self._varied((yield Load(view)))
        own, tags = _Own(), [*rules.tags(request, *args, **kwargs)]

        def load(context: Context) -> Any:
            drive: Any = arun if self._awaited else run
            return drive(self._make(request, view, who, own, context, tagged=bool(tags)), self._link)

        ask: Any = rules.pages.aget_or_set if self._awaited else rules.pages.get_or_set
        key = self._key(request, args, kwargs, who)
        try:
            page = yield Load(lambda: ask(key, load, rules.ttl, type=Page | None, tags=tags, grace=rules.grace))
        except _ViewError:
            page = None
        if own.response is not MISS or (own.error is not None and (page is None or settings.DEBUG)):
            return (yield Load(own.result))  # a step of its own, in which no other error is being handled
        return self._varied((yield Load(view))) if page is None else page.response()

    def _varied(self, response: Any) -> Any:
        """Return a response of the view that says what it varies on, whether it is kept or not."""
        if self._rules.headers and isinstance(response, HttpResponseBase):
            patch_vary_headers(response, self._rules.headers.values())
        return response

    def _make(
        self,
        request: HttpRequest,
        view: Callable[[], Any],
        who: str | None,
        own: _Own,
        context: Context,
        *,
        tagged: bool,
    ) -> Flow[Page | None]:
        """
        Call the view and return the page that is to be kept, or None.

        Others may be waiting for what is returned, and are given it. So what is for one visitor stays in ``own``.
        """
        try:
            with Watch(request) as watch:
                response = yield Load(view)
                render = getattr(response, "render", None)
                if callable(render):
                    response = yield Load(sync_to_async(render) if self._awaited else render)
        except _ANSWERS as error:
            own.error = error
            reason: str | None = f"it is the answer to {type(error).__name__}"
        except Exception as error:
            own.error = error
            raise _ViewError from error
        else:
            if getattr(response, "status_code", 0) >= _BROKEN and context.stale is not None:
                message = f"The view answered {response.status_code}."
                raise _ViewError(message)
            own.response = self._varied(response)
            reason = next(self._refusals(request, response, who, watch), None)
        if reason is None:
            return self._keep(own.response, context, tagged=tagged)
        _tell(self._name, reason)
        context.set(ttl=min(PASSING, self._rules.ttl))
        return None

    def _keep(self, response: Any, context: Context, *, tagged: bool) -> Page:
        rules, lifetime = self._rules, get_lifetime(response)
        if lifetime is not None:
            context.set(ttl=min(lifetime, rules.ttl))
        # Nobody can tell a browser that a tag was invalidated: it has to ask.
        tell_clients(response, 0 if tagged else int(rules.ttl), private=rules.per_user)
        return Page(response)

    def _refusals(self, request: HttpRequest, response: Any, who: str | None, watch: Watch) -> Iterator[str]:
        """Yield why a response is not to be kept."""
        if not isinstance(response, HttpResponseBase):
            yield "it is no response"
            return
        yield from refusals(response, {*self._rules.headers, *(["cookie"] if who else [])})
        allowed = {"token"} if who is None else {"token", "session"}
        yield from (told for sign, told in SIGNS.items() if sign in watch.within | (watch.before - allowed))
        user = seen_user(request)
        if user is not None and identify(user) != (who or ""):
            yield "it was made for another user than was known before"

    def _key(self, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any], who: str | None) -> str:
        """Return the key of a page. What it is made of may be secret, and is a digest in it."""
        rules = self._rules
        page = [request.path, request.META.get("QUERY_STRING", "")]
        about = (
            request.method,
            request.scheme,
            request.get_host(),
            page if rules.key is None else canonical("key", rules.key(request, *args, **kwargs)),
            get_language(),
            get_current_timezone_name(),
            [(name, request.headers.get(name)) for name in sorted(rules.headers)],
            who,
        )
        return f"{self._name}:{digest('view', repr(about))}"

    def _identify(self, request: Any) -> Flow[str]:
        if not hasattr(request, "user"):
            message = f"cached_view(per_user=True) of {self._name} found no request.user. Add AuthenticationMiddleware."
            raise ConfigurationError(message)
        find = getattr(request, "auser", None) if self._awaited else None
        return identify((yield Load(find)) if find else request.user)


def _check(request: object) -> None:
    if not isinstance(request, HttpRequest):
        message = (
            f"A cached_view() was called with {type(request).__qualname__}. Allowed is an HttpRequest. On a method, "
            "write @method_decorator(cached_view(...)), and on a class of REST framework write that above the class, "
            'with name="dispatch".'
        )
        raise TypeError(message)


@functools.lru_cache(maxsize=1024)
def _tell(name: str, reason: str) -> None:
    """Write to the log why pages of a view are not kept, once for each reason."""
    logger.info("A page of %s is not kept: %s.", name, reason)
