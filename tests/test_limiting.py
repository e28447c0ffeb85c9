"""The decorator, on views of every kind, and what all limits of requests have in common."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from django_dripcache import ConfigurationError, limiter, limiting
from django_dripcache.limiting import rate_limit
from django_dripcache.secrecy import digest
from django_dripcache.signals import rate_limited

from .conftest import use_server
from .processes import UNREACHABLE, site, verbs_sent

MINE = "203.0.113.7"


class FromAfar(AsyncClient):
    """A client of another address, which is a part of the scope and not a header; and with the path as it is."""

    def __init__(self, **scope):
        super().__init__()
        self.scope = scope

    async def request(self, **request):
        return await super().request(**{**request, **self.scope})


class Asker:
    """A visitor: what it asks for goes through all of Django, as over WSGI or as over ASGI."""

    def ask(self, target, method="get", *, address=MINE, **options):
        return getattr(Client(REMOTE_ADDR=address), method)(target, **options)

    async def aask(self, target, method="get", *, address=MINE, **options):
        return await getattr(FromAfar(client=[address, 80]), method)(target, **options)


@pytest.fixture
def here(redis_server, raw):
    """A patient site with the URLs of this module, which remembers no denial."""
    limiter._memories.clear()
    with site(redis_server.url, ROOT_URLCONF=__name__, MIDDLEWARE=[]):
        yield raw


@pytest.fixture
def ask(drive):
    return drive(Asker()).ask


def names(raw):
    return sorted(name.decode() for name in raw.scan_iter(count=1000))


# Views


@rate_limit("2/h", key="ip")
def plain(request, **kwargs):
    """A view."""
    return HttpResponse("done")


@rate_limit("2/h", key="ip")
async def plain_async(request, **kwargs):
    await asyncio.sleep(0)
    return HttpResponse("done")


class Page(View):
    @method_decorator(rate_limit("2/h", key="ip"))
    def get(self, request):
        return HttpResponse("done")

    def post(self, request):
        return HttpResponse("done")


class AsyncPage(View):
    @method_decorator(rate_limit("2/h", key="ip"))
    async def get(self, request):
        await asyncio.sleep(0)
        return HttpResponse("done")

    async def post(self, request):
        return HttpResponse("done")


@method_decorator(rate_limit("2/h", key="ip"), name="dispatch")
class Whole(View):
    def get(self, request):
        return HttpResponse("done")


@method_decorator(rate_limit("2/h", key="ip"), name="dispatch")
class OtherWhole(Whole):
    pass


class Third(Whole):
    pass


@method_decorator(rate_limit("2/h", key="ip"), name="dispatch")
class AsyncWhole(View):
    async def get(self, request):
        await asyncio.sleep(0)
        return HttpResponse("done")


class Bare(View):
    def get(self, request):
        return HttpResponse("done")


class AsyncBare(View):
    async def get(self, request):
        return HttpResponse("done")


@rate_limit("3/h", key="ip", group="mail")
def send(request):
    return HttpResponse("done")


@rate_limit("3/h", key="ip", group="mail", cost=2)
def send_all(request):
    return HttpResponse("done")


@csrf_exempt
@rate_limit("1/h", key="ip", methods=["POST"])
def form(request):
    return HttpResponse("done")


@rate_limit("1/h", key="ip", methods=("GET",))
async def reading(request):
    return HttpResponse("done")


@rate_limit("1/h", key=lambda request: request.GET.get("who"), exempt=lambda request: "free" in request.GET)
def asked(request):
    return HttpResponse("done")


@rate_limit("1/h", key="header:X-Api-Key")
def api(request):
    return HttpResponse("done")


@rate_limit("1/h", key="ip", group="inner")
@rate_limit("2/h", key="ip", group="outer")
def twice(request):
    return HttpResponse("done")


@rate_limit("1/h", key="ip")
def nothing(request):
    return None


@rate_limit("1/h", key="ip", on_outage="open")
def opened(request):
    return HttpResponse("done")


@rate_limit("1/h", key="ip", on_outage="closed")
def closed(request):
    return HttpResponse("done")


urlpatterns = [
    path("plain/", plain),
    path("plain-async/", plain_async),
    path("kw/<int:number>/", plain),
    path("page/", Page.as_view()),
    path("page-async/", AsyncPage.as_view()),
    path("whole/", Whole.as_view()),
    path("other-whole/", OtherWhole.as_view()),
    path("third/", Third.as_view()),
    path("whole-async/", AsyncWhole.as_view()),
    path("as-view/", rate_limit("2/h", key="ip")(Bare.as_view())),
    path("as-view-async/", rate_limit("2/h", key="ip")(AsyncBare.as_view())),
    path("send/", send),
    path("send-all/", send_all),
    path("form/", form),
    path("reading/", reading),
    path("asked/", asked),
    path("api/", api),
    path("twice/", twice),
    path("opened/", opened),
    path("closed/", closed),
]

EVERY_KIND = ["plain", "plain-async", "page", "page-async", "whole", "whole-async", "as-view", "as-view-async"]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_view_of_any_kind_is_limited(here, ask, kind):
    assert [ask(f"/{kind}/").status_code for _ in range(4)] == [200, 200, 429, 429]
    assert ask(f"/{kind}/", address="203.0.113.8").status_code == 200
    assert len(names(here)) == 2


def test_a_view_is_called_with_what_django_gives(here, ask):
    assert ask("/kw/5/").content == b"done"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("plain", "plain"),
        ("page", "Page.get"),
        ("whole", "Whole.dispatch"),
        ("third", "Third.dispatch"),
        ("whole-async", "AsyncWhole.dispatch"),
        ("as-view", "Bare"),
        ("as-view-async", "AsyncBare"),
    ],
)
def test_a_view_is_counted_under_its_own_name(here, ask, kind, name):
    ask(f"/{kind}/")
    assert names(here) == [f"dripcache:s.limits.sliding-window:2/h:{__name__}.{name}:ip:{MINE}"]


def test_a_class_that_is_derived_and_decorated_again_counts_for_itself(here, ask):
    # It is decorated twice: its own dispatch is around that of its base.
    assert [ask("/other-whole/").status_code for _ in range(3)] == [200, 429, 429]
    assert ask("/whole/").status_code == 200


def test_other_methods_of_a_class_are_not_limited(here, ask):
    for kind in ("page", "page-async"):
        assert {ask(f"/{kind}/", "post").status_code for _ in range(4)} == {200}


def test_views_of_one_group_share_a_limit_and_may_cost_more(here, ask):
    assert ask("/send-all/").status_code == 200
    assert ask("/send-all/").status_code == 429
    assert ask("/send/").status_code == 200
    assert ask("/send/").status_code == 429
    assert len(names(here)) == 1


def test_only_the_methods_that_are_named_count_and_head_is_get(here, ask):
    assert {ask("/form/").status_code for _ in range(3)} == {200}
    assert [ask("/form/", "post").status_code for _ in range(2)] == [200, 429]
    assert ask("/form/").status_code == 200
    assert [ask("/reading/", method).status_code for method in ("head", "get", "head", "post")] == [200, 429, 429, 200]
    overridden = {"headers": {"x-http-method-override": "POST"}}
    assert ask("/form/", **overridden).status_code == 429


def test_a_key_of_the_site_says_who_is_counted_and_who_is_not(here, ask):
    assert [ask(f"/asked/?who={who}").status_code for who in "aabb"] == [200, 429, 200, 429]
    assert {ask("/asked/").status_code for _ in range(3)} == {200}
    assert {ask("/asked/?who=a&free").status_code for _ in range(3)} == {200}


def test_a_secret_is_in_no_name_no_log_and_no_repr(here, ask, caplog):
    caplog.set_level(logging.DEBUG)
    heard = []

    def listen(event, **_):
        heard.append(repr(event))

    rate_limited.connect(listen)
    try:
        codes = [ask("/api/", headers={"x-api-key": key}).status_code for key in ("s3cret", "s3cret", "other")]
    finally:
        rate_limited.disconnect(listen)
    assert codes == [200, 429, 200]
    assert f"dripcache:s.limits.sliding-window:1/h:{__name__}.api:header:{digest('limits', 's3cret')}" in names(here)
    assert len(heard) == 1
    values = b"".join(here.get(name) for name in here.scan_iter())
    for text in (*names(here), *heard, caplog.text, values.decode()):
        assert "s3cret" not in text


def test_two_limits_on_one_view_both_hold(here, ask):
    assert [ask("/twice/").status_code for _ in range(3)] == [200, 429, 429]
    counted = {name.split(":")[-3]: int(here.get(name).split()[1]) for name in names(here)}
    assert counted == {"inner": 1, "outer": 1}


def test_the_response_tells_what_is_left_if_the_site_wants_it(redis_server, raw, ask):
    limiter._memories.clear()
    with site(redis_server.url, ROOT_URLCONF=__name__, MIDDLEWARE=[], DRIPCACHE={"RATE_LIMIT_HEADERS": True}):
        for kind in ("plain", "plain-async"):
            first = ask(f"/{kind}/")
            name = f"{__name__}.{kind.replace('-', '_')}"
            assert first["RateLimit-Policy"] == f'"{name}";q=2;w=3600'
            assert first["RateLimit"] == f'"{name}";r=1;t=3600'
            assert "Retry-After" not in first
            ask(f"/{kind}/")
            assert ask(f"/{kind}/")["RateLimit"].startswith(f'"{name}";r=0;t=3')
        both = ask("/twice/")
        assert both["RateLimit-Policy"] == '"inner";q=1;w=3600, "outer";q=2;w=3600'


def test_without_that_only_a_denial_tells(here, ask):
    assert "RateLimit" not in ask("/twice/")
    denied = ask("/twice/")
    assert denied["RateLimit-Policy"] == '"inner";q=1;w=3600'
    assert 3590 < int(denied["Retry-After"]) <= 3600


def test_what_was_decided_is_there_for_the_view(here):
    @rate_limit("5/h", key="ip", group="seen")
    def look(request):
        return [(one.name, one.decision.remaining) for one in request.rate_limits]

    assert look(RequestFactory().get("/")) == [("seen", 4)]


def test_what_a_view_returns_or_raises_is_djangos_matter(here):
    assert nothing(RequestFactory().get("/")) is None

    @rate_limit("5/h", key="ip", group="failing")
    def fail(request):
        raise LookupError

    with pytest.raises(LookupError):
        fail(RequestFactory().get("/"))
    with override_settings(DRIPCACHE={"RATE_LIMIT_HEADERS": True}):
        assert nothing(RequestFactory(REMOTE_ADDR="203.0.113.9").get("/")) is None


class Wrapped:
    """A request around Django's own, as Django REST framework has it."""

    def __init__(self, request):
        self._request = request
        self.user = User(pk=7)

    def __getattr__(self, name):
        return getattr(self._request, name)


def test_a_request_around_another_has_a_user_of_its_own_and_tells_the_other(here):
    inner = RequestFactory().get("/", headers={"accept": "application/json"})
    limited = rate_limit("1/h", key="user", group="wrapped")(lambda request: HttpResponse("done"))
    assert [limited(Wrapped(inner)).status_code for _ in range(2)] == [200, 429]
    assert names(here) == ["dripcache:s.limits.sliding-window:1/h:wrapped:user:7"]
    assert [one.name for one in inner.rate_limits] == ["wrapped", "wrapped"]


def test_the_request_may_be_given_by_its_name(here):
    assert plain(request=RequestFactory().get("/")).content == b"done"


# What a decorated view is


def test_a_decorated_view_looks_like_the_view():
    assert plain.__name__ == "plain"
    assert plain.__doc__ == "A view."
    assert inspect.signature(plain) == inspect.signature(inspect.unwrap(plain))
    assert form.csrf_exempt is True
    assert rate_limit("1/h")(Bare.as_view()).view_class is Bare
    assert iscoroutinefunction(plain_async)
    assert not iscoroutinefunction(plain)
    assert iscoroutinefunction(rate_limit("1/h")(AsyncBare.as_view()))


@pytest.mark.parametrize("kind", ["plain-async", "page-async", "whole-async", "as-view-async"])
def test_a_view_that_is_awaited_blocks_no_loop(here, drive, kind, monkeypatch):
    def blocking(flow, link):
        raise AssertionError

    monkeypatch.setattr(limiting, "run", blocking)
    assert drive(Asker()).ask(f"/{kind}/").status_code == 200


def test_a_dispatch_that_answers_at_once_in_a_class_of_async_views_is_taken_as_it_is(here):
    class Closed(AsyncBare):
        @method_decorator(rate_limit("1/h", key="ip"))
        def dispatch(self, request):
            return HttpResponse("closed")

    async def main():
        return [(await Closed.as_view()(AsyncRequestFactory().get("/"))).status_code for _ in range(2)]

    assert asyncio.run(main()) == [200, 429]


# What is refused


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"rate": "5 a minute"}, r"rate_limit\(rate=\.\.\.\) is wrong\. The rate '5 a minute' cannot be read"),
        ({"key": "usr"}, r"rate_limit\(key=\.\.\.\) is 'usr'.*did you mean 'user'"),
        ({"key": None}, r"rate_limit\(key=\.\.\.\) is None"),
        ({"methods": "POST"}, r"rate_limit\(methods=\.\.\.\) is 'POST'"),
        ({"methods": ["post"]}, r"rate_limit\(methods=\.\.\.\)"),
        ({"methods": []}, r"rate_limit\(methods=\.\.\.\)"),
        ({"group": ""}, r"rate_limit\(group=\.\.\.\) is ''"),
        ({"group": "a:b"}, r"rate_limit\(group=\.\.\.\) is 'a:b'"),
        ({"algorithm": "leaky"}, r"rate_limit\(algorithm=\.\.\.\) is 'leaky'"),
        ({"on_outage": "raise"}, r"rate_limit\(on_outage=\.\.\.\) is 'raise'"),
        ({"cost": 0}, r"rate_limit\(cost=\.\.\.\) is 0\. Allowed are 1 to 5"),
        ({"cost": 6}, r"rate_limit\(cost=\.\.\.\) is 6\. Allowed are 1 to 5"),
        ({"cost": True}, r"rate_limit\(cost=\.\.\.\) is True"),
        ({"exempt": "staf"}, r"rate_limit\(exempt=\.\.\.\).*did you mean 'staff'"),
    ],
)
def test_what_cannot_work_is_told_when_the_view_is_defined(wrong, told):
    with pytest.raises(ConfigurationError, match=told):
        rate_limit(**{"rate": "5/m", **wrong})


def test_views_without_a_name_of_their_own_need_a_group():
    with pytest.raises(TypeError, match="Give rate_limit\\(\\) a group="):
        rate_limit("5/m")(lambda request: None)
    assert rate_limit("5/m", group="mine")(lambda request: None)


def test_a_class_is_not_a_view():
    with pytest.raises(TypeError, match="Write @method_decorator"):
        rate_limit("5/m")(Bare)


def test_a_method_that_is_decorated_as_a_function_is_told():
    class Wrong(View):
        @rate_limit("5/m", key="ip")
        def get(self, request):
            return HttpResponse()

    with pytest.raises(TypeError, match="was called with Wrong in the place of a request"):
        Wrong.as_view()(RequestFactory().get("/"))


# What it costs, and what is told


@pytest.mark.far("it counts round trips")
def test_a_request_costs_one_round_trip_and_a_denied_one_none(here, ask):
    ask("/plain/")
    assert verbs_sent(here, lambda: ask("/plain/")) == ["EVALSHA"]
    ask("/plain/")

    def hammer():
        assert {ask("/plain/").status_code for _ in range(50)} == {429}

    assert verbs_sent(here, hammer) == []


def test_what_is_not_counted_costs_nothing(here, ask):
    assert verbs_sent(here, lambda: [ask("/form/"), ask("/api/"), ask("/asked/")]) == []


def test_the_time_to_wait_gets_shorter(here, ask):
    for _ in range(2):
        ask("/plain/")
    first = int(ask("/plain/")["Retry-After"])
    time.sleep(1.1)
    assert int(ask("/plain/")["Retry-After"]) < first


def test_a_denial_is_told_once_by_its_name(here, ask):
    heard = []

    def listen(event, **_):
        heard.append((event.key, event.decision.allowed, event.decision.retry_after > 3500))

    rate_limited.connect(listen)
    try:
        for _ in range(4):
            ask("/plain/")
    finally:
        rate_limited.disconnect(listen)
    name = f"dripcache:s.limits.sliding-window:2/h:{__name__}.plain:ip:{MINE}"
    assert heard == [(name, False, True)] * 2


# Without Redis


def test_without_redis_a_view_does_as_it_was_told(ask):
    limiter._memories.clear()
    with use_server(UNREACHABLE, WORKERS=2), override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[]):
        assert [ask("/plain/").status_code for _ in range(3)] == [200, 429, 429]
        assert [ask("/opened/").status_code for _ in range(3)] == [200, 200, 200]
        denied = [ask("/closed/", headers={"accept": "application/json"}) for _ in range(2)]
    assert [one.status_code for one in denied] == [429, 429]
    assert denied[0]["Retry-After"] == "1"
    assert denied[0].json()["type"].endswith("#temporary-reduced-capacity")
