"""
What a response tells of rate limits, and the response to a request that one of them denies.

The fields ``RateLimit-Policy`` and ``RateLimit`` and the problem types are those of
draft-ietf-httpapi-ratelimit-headers-10; their syntax is RFC 9651, a problem is RFC 9457.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext, ngettext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from .rates import Decision, Rate

TEMPLATE: Final = "django_dripcache/429.html"
STYLESHEET: Final = "django_dripcache/429.css"
PROBLEMS: Final = "https://iana.org/assignments/http-problem-types"

_MINUTE: Final = 60
_HOUR: Final = 3600
_PRINTABLE: Final = " !#$%&'()*+,/:;<=>?@[]^`{|}~"
"""The signs that stand for themselves in a String of RFC 9651, beside those that quote() keeps."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request stands with a limit: the ``name`` of its policy, its ``rate``, and the ``decision``."""

    name: str
    rate: Rate
    decision: Decision


def tell(response: HttpResponseBase, standings: Sequence[Standing]) -> None:
    """
    Put into a response how its request stands: all policies, and what is left of them.

    Of a request that was denied, it is what is left of those that deny it, so that nothing in there comes after
    ``Retry-After``.
    """
    if standings:
        told = _denying(standings) or standings
        response["RateLimit-Policy"] = ", ".join(
            f"{_quoted(one.name)};q={one.rate.limit};w={one.rate.window}" for one in standings
        )
        response["RateLimit"] = ", ".join(
            f"{_quoted(one.name)};r={min(one.decision.remaining, one.rate.limit)};t={_wait(one.decision)}"
            for one in told
        )


def refuse(request: HttpRequest, standings: Sequence[Standing]) -> HttpResponse:
    """Return the response 429 to a request that at least one of these limits denies, in a form that it accepts."""
    denying = _denying(standings)
    seconds = max(_wait(one.decision) for one in denying)
    accepted = _accepted(request)
    response = None
    if accepted == "html":
        response = _page(request, seconds)
    elif accepted == "json":
        response = _problem(denying, seconds)
    if response is None:
        text = f"{gettext('Too many requests')}. {_advice(seconds)}\n"
        response = HttpResponse(text, content_type="text/plain; charset=utf-8", status=429)
    response["Retry-After"] = str(seconds)
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["Accept"])
    tell(response, standings)
    return response


def _denying(standings: Sequence[Standing]) -> list[Standing]:
    return [one for one in standings if not one.decision]


def _wait(decision: Decision) -> int:
    """Return in how many whole seconds there is more: at least one after a denial."""
    return math.ceil(decision.reset_after) if decision else max(math.ceil(decision.retry_after), 1)


def _quoted(name: str) -> str:
    plain = quote(name, safe=_PRINTABLE + '"\\')
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _accepted(request: HttpRequest) -> str:
    """Return which form a request prefers: ``"html"``, ``"json"`` or ``"text"``, which is for any."""
    try:
        kinds = request.accepted_types
    except ValueError:
        return "text"  # Django refuses to read it
    for kind in kinds:
        if kind.sub_type in {"html", "xhtml+xml"}:
            return "html"
        if kind.sub_type == "json" or kind.sub_type.endswith("+json"):
            return "json"
        if kind.main_type in {"*", "text"}:
            return "text"
    return "text"


def _page(request: HttpRequest, seconds: int) -> HttpResponse | None:
    context = {"advice": _advice(seconds), "retry_after": seconds, "stylesheet": _stylesheet()}
    try:
        return HttpResponse(render_to_string(TEMPLATE, context, request), status=429)
    except TemplateDoesNotExist as error:
        if str(error) != TEMPLATE:
            raise  # one that a site's own template extends
        return None  # the site's engines do not look into apps


def _stylesheet() -> str:
    try:
        return static(STYLESHEET)
    except (ImproperlyConfigured, ValueError):
        return ""  # the site has not collected its static files, or does without them


def _problem(denying: Sequence[Standing], seconds: int) -> HttpResponse:
    reduced = any(one.decision.degraded for one in denying)
    problem: dict[str, Any] = {
        "type": f"{PROBLEMS}#{'temporary-reduced-capacity' if reduced else 'quota-exceeded'}",
        "title": gettext("Too many requests"),
        "status": 429,
        "detail": _advice(seconds),
        "violated-policies": [one.name for one in denying],
    }
    return HttpResponse(json.dumps(problem), content_type="application/problem+json", status=429)


def _advice(seconds: int) -> str:
    """Return when to try again, in a unit of which there are two or more, but for seconds."""
    if seconds < 2 * _MINUTE:
        return ngettext("Try again in %(n)d second.", "Try again in %(n)d seconds.", seconds) % {"n": seconds}
    if seconds < 2 * _HOUR:
        n = math.ceil(seconds / _MINUTE)
        return ngettext("Try again in %(n)d minute.", "Try again in %(n)d minutes.", n) % {"n": n}
    n = math.ceil(seconds / _HOUR)
    return ngettext("Try again in %(n)d hour.", "Try again in %(n)d hours.", n) % {"n": n}
