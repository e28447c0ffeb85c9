"""Responses as they are kept: which may be, for how long, and what is left of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from django.http import HttpResponse
from django.utils.cache import patch_cache_control, patch_response_headers
from django.utils.http import parse_http_date_safe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from django.http.response import HttpResponseBase

REFUSED: Final = ("private", "no-store", "no-cache")

_NOTES: Final = ("xframe_options_exempt", "_csp_config", "_csp_ro_config")
_OK: Final = 200


class Page:
    """
    A response of status 200: its headers, its body and what Django's decorators noted on it for the middleware.

    It is no dataclass: of a plain class, the cache takes instances alone, which only a signed pickle has. JSON, which
    anyone may have written to Redis, is never one.
    """

    __slots__ = ("body", "charset", "headers", "made", "notes")

    def __init__(self, response: HttpResponse) -> None:
        self.headers = tuple(response.items())
        self.body = response.content
        self.charset = response.charset
        self.notes = {name: getattr(response, name) for name in _NOTES if hasattr(response, name)}
        self.made = time.time()

    def response(self) -> HttpResponse:
        """Return a new response, which tells its age in seconds (RFC 9111, 5.1)."""
        response = HttpResponse(self.body, headers=dict(self.headers), charset=self.charset)
        if not any(name.lower() == "content-type" for name, _ in self.headers):
            del response.headers["Content-Type"]
        response.headers["Age"] = str(max(0, int(time.time() - self.made)))
        vars(response).update(self.notes)
        return response


def refusals(response: HttpResponseBase, varies: Collection[str]) -> Iterator[str]:
    """Yield why a response may not be kept; ``varies`` are the headers, in small letters, that its key is made of."""
    if response.status_code != _OK:
        yield f"its status is {response.status_code}"
    if response.streaming:
        yield "it is streamed"
    if response.cookies or response.has_header("Set-Cookie"):
        yield "it sets a cookie"
    for name in REFUSED:
        if name in _directives(response):
            yield f"its Cache-Control is {name}"
    others = [name for name in _parts(response, "Vary") if name.lower() not in varies]
    if others:
        yield f"it varies on {', '.join(others)}, which vary_on= does not have"
    if get_lifetime(response) == 0:
        yield "it says itself that it is over at once"


def get_lifetime(response: HttpResponseBase) -> int | None:
    """
    Return for how many seconds a response says that it is good, None if it does not say.

    ``s-maxage`` counts before ``max-age``, and that before ``Expires`` (RFC 9111, 4.2.1). What is not a number is 0.
    """
    directives = _directives(response)
    for name in ("s-maxage", "max-age"):
        if name in directives:
            value = directives[name]
            return int(value) if value.isdecimal() else 0
    if not response.has_header("Expires"):
        return None
    until = parse_http_date_safe(response["Expires"])
    return 0 if until is None else max(0, until - int(time.time()))


def tell_clients(response: HttpResponse, seconds: int, *, private: bool) -> None:
    """Tell clients for how long a page is good, unless it says so itself, and whether it is for one user alone."""
    if get_lifetime(response) is None:
        patch_response_headers(response, seconds)
    if private:
        patch_cache_control(response, private=True)


def _parts(response: HttpResponseBase, header: str) -> list[str]:
    return [part.strip() for part in str(response.get(header, "")).split(",") if part.strip()]


def _directives(response: HttpResponseBase) -> dict[str, Any]:
    pairs = [part.partition("=") for part in _parts(response, "Cache-Control")]
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
