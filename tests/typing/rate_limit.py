# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
# ruff: noqa: INP001 - type checkers read it, nobody imports it
"""What type checkers see of limited views; an ignored error that is none is an error, too."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from typing_extensions import assert_type

from django_dripcache.limiting import rate_limit
from django_dripcache.visitors import get_client_address


@rate_limit("5/m", key="ip", methods=["POST"], group="mail", algorithm="gcra", on_outage="open", cost=2)
def send(request: HttpRequest, number: int, *, to: str = "") -> JsonResponse:
    return JsonResponse({"number": number, "to": to})


@rate_limit("5/m", key=get_client_address, exempt=["staff", lambda request: False])
async def receive(request: HttpRequest, slug: str) -> HttpResponse:
    return HttpResponse(slug)


class Page(View):
    @method_decorator(rate_limit("5/m"))
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


request = HttpRequest()
assert_type(send(request, 1, to="you"), JsonResponse)
assert_type(get_client_address(request), str)

send(request, "1")  # type: ignore[arg-type]
send(request)  # type: ignore[call-arg]
rate_limit(5)  # type: ignore[arg-type]
rate_limit("5/m", algorithm="leaky")  # type: ignore[arg-type]
rate_limit("5/m", on_outage="raise")  # type: ignore[arg-type]


async def ask() -> None:
    assert_type(await receive(request, "a"), HttpResponse)
    await receive(request, 1)  # type: ignore[arg-type]
