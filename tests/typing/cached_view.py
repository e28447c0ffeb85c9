# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
# ruff: noqa: INP001 - type checkers read it, nobody imports it
"""What type checkers see of views whose pages are kept."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View
from typing_extensions import assert_type

from django_dripcache.decorators import cached_view


class UserRequest(HttpRequest):
    member: str


@cached_view(60, tags=["airport:{pk}"])
def airport(request: HttpRequest, pk: int, name: str = "") -> JsonResponse:
    return JsonResponse({"pk": pk, "name": name})


@cached_view(60, per_user=True)
def dashboard(request: UserRequest) -> HttpResponse:
    return HttpResponse(request.member)


@cached_view(60)
async def news(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.path)


@method_decorator(cached_view(60), name="dispatch")
class Page(View):
    @method_decorator(cached_view(60))
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return HttpResponse(str(pk))


request = HttpRequest()
assert_type(airport(request, 7, name="a"), HttpResponseBase)
asked = assert_type(news(request), Coroutine[Any, Any, HttpResponseBase])
airport(request, "7")  # type: ignore[arg-type]
dashboard(request)  # type: ignore[arg-type]
cached_view("60")  # type: ignore[arg-type]
cached_view(60, lease=5)  # type: ignore[call-arg]
view: Callable[..., HttpResponseBase] = cached_view(60)(Page.as_view())
