"""Pages that are kept: what tells them apart, which are not kept, and that nobody is given another's."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import logging
import pickle
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib import messages
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.exceptions import BadRequest, ImproperlyConfigured, PermissionDenied, SuspiciousOperation
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponsePermanentRedirect,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.middleware.csrf import get_token
from django.template import Context as TemplateContext
from django.template import Engine, engines
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path, re_path
from django.utils import timezone, translation
from django.utils.asyncio import async_unsafe
from django.utils.decorators import method_decorator
from django.utils.http import http_date, parse_http_date
from django.views import View
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.vary import vary_on_cookie, vary_on_headers
from django.views.generic import TemplateView

from django_dripcache import CacheUnavailableError, ConfigurationError, InvalidKeyError, cache, kept, watch
from django_dripcache import pages as pages_module
from django_dripcache.decorators import cached_view
from django_dripcache.pages import Page

from .processes import UNREACHABLE, in_threads, site, wait_for

HERE = __name__
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


class Users:
    """Users without a database."""

    def get_user(self, pk):
        return User(pk=pk, username=f"user{pk}")

    async def aget_user(self, pk):
        return self.get_user(pk)


class BrokenError(Exception):
    """What a view raises."""


@pytest.fixture(autouse=True)
def _tell_anew():
    kept._tell.cache_clear()


@pytest.fixture
def here(redis_server, raw, settings):
    """A patient site over the server of this process, without a database."""
    settings.MIDDLEWARE = MIDDLEWARE
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    settings.AUTHENTICATION_BACKENDS = [f"{HERE}.Users"]
    with site(redis_server.url):
        yield raw


class Site:
    """A site of views, asked as threads do or on an event loop."""

    def __init__(self, loop, settings):
        self.loop, self.settings = loop, settings
        self.calls = collections.Counter()

    def serve(self, view, *args, route="page/", **options):
        """Mount a view whose pages are kept."""
        self.mount(cached_view(*(args or (60,)), **options)(self.counted(view)), route)

    def mount(self, view, route="page/"):
        self.settings.ROOT_URLCONF = (path(route, view),)

    def counted(self, view):
        """Return the view as one that counts its calls: of this kind, a function or a coroutine function."""

        @functools.wraps(view)
        def counting(request, *args, **kwargs):
            self.calls["view"] += 1
            return view(request, *args, **kwargs)

        @functools.wraps(view)
        async def acounting(request, *args, **kwargs):
            answer = counting(request, *args, **kwargs)
            return await answer if asyncio.iscoroutine(answer) else answer

        return acounting if self.loop else counting

    @property
    def count(self):
        return self.calls["view"]

    def client(self, user=None, **defaults):
        client = (AsyncClient if self.loop else Client)(raise_request_exception=True, **defaults)
        if user is not None:
            sign_in(client, user)
        return client

    def call(self, view, request=None, *args, **kwargs):
        """Call a view without a site around it."""
        answer = view(RequestFactory().get("/page/") if request is None else request, *args, **kwargs)
        return self.loop.run_until_complete(answer) if self.loop else answer

    def get(self, address="/page/", client=None, *, method="get", **more):
        answer = getattr(client or self.client(), method)(address, **more)
        return self.loop.run_until_complete(answer) if self.loop else answer


def sign_in(client, pk, **data):
    session = SessionStore()
    session.update({SESSION_KEY: str(pk), BACKEND_SESSION_KEY: f"{HERE}.Users", **data})
    session[HASH_SESSION_KEY] = User(pk=pk).get_session_auth_hash()
    session.save()
    client.cookies["sessionid"] = session.session_key


@pytest.fixture
def pages(here, drive, settings):
    return Site(drive(None)._loop, settings)


def number(pages):
    """Return a view whose page is the number of its calls."""
    return lambda request, **_: HttpResponse(str(pages.count))


# What is kept


def test_a_page_is_made_once_and_shown_to_all(pages):
    pages.serve(number(pages))
    first, second = pages.get(), pages.get()
    assert (first.content, second.content, pages.count) == (b"1", b"1", 1)
    assert second.status_code == 200
    assert second["Content-Type"] == first["Content-Type"] == "text/html; charset=utf-8"


def test_a_kept_page_has_the_headers_and_the_body_that_were_made(pages):
    body = bytes(range(256)) * 16

    def view(request):
        response = HttpResponse(body, content_type="image/x-odd", headers={"X-Odd": "ü=1; a, b", "ETag": '"7"'})
        response["Last-Modified"] = "Mon, 05 Jan 2026 10:00:00 GMT"
        return response

    pages.serve(view)
    first, second = pages.get(), pages.get()
    assert second.content == first.content == body
    ours = {name: value for name, value in second.items() if name != "Age"}
    assert ours == dict(first.items())
    assert ours["Content-Type"] == "image/x-odd"
    assert "ü" in pages.get().headers["X-Odd"] or "=?utf-8?" in pages.get().headers["X-Odd"]
    assert pages.count == 1


def test_another_charset_stays_the_bodys(pages):
    pages.serve(lambda request: HttpResponse("ü", charset="latin-1"))
    pages.get()
    answer = pages.get()
    assert (answer.content, answer.charset, answer.text) == (b"\xfc", "latin-1", "ü")
    assert pages.count == 1


def test_a_page_without_a_content_type_gets_none(pages):
    def view(request):
        response = HttpResponse("a")
        del response["Content-Type"]
        return response

    pages.serve(view)
    pages.get()
    assert not pages.get().has_header("Content-Type")
    assert pages.count == 1


def test_json_is_kept_as_what_it_is(pages):
    pages.serve(lambda request: JsonResponse({"a": ["ü", 1]}))
    pages.get()
    assert pages.get().json() == {"a": ["ü", 1]}
    assert pages.count == 1


def test_a_large_page_comes_back_whole_and_one_that_is_too_large_is_not_kept(pages, here):
    pages.serve(lambda request: HttpResponse("<li>ü</li>" * 300_000))
    assert pages.get().content == pages.get().content == "<li>ü</li>".encode() * 300_000
    assert pages.count == 1
    noise = b"".join(bytes([byte * 7919 % 251 ^ byte % 7]) for byte in range(400_000))
    with site_with(here, COMPRESS_ABOVE=None, MAX_VALUE_BYTES=100_000):
        pages.serve(lambda request: HttpResponse(noise), route="large/")
        assert pages.get("/large/").content == pages.get("/large/").content == noise
    assert pages.count == 3


def site_with(raw, **dripcache):
    port = raw.connection_pool.connection_kwargs["port"]
    number = raw.connection_pool.connection_kwargs.get("db", 0)
    return site(f"redis://127.0.0.1:{port}/{number}", DRIPCACHE=dripcache)


def test_a_page_ends_with_its_ttl(pages):
    pages.serve(number(pages), timedelta(milliseconds=20))
    pages.get()
    wait_for(lambda: pages.get().content != b"1")


@pytest.mark.far("it counts round trips")
def test_a_page_that_is_kept_is_one_round_trip_and_one_that_is_made_two(pages, here):
    pages.serve(number(pages), tags=["a"], grace=60)
    pages.get("/page/?warm")
    for trips in (2, 1, 1):
        here.config_resetstat()
        pages.get()
        assert here.info("commandstats")["cmdstat_evalsha"]["calls"] == trips


def test_every_key_of_a_page_ends(pages, here):
    pages.serve(number(pages), 60, tags=["a"])
    pages.get()
    names = list(here.scan_iter())
    assert len(names) == 2
    assert all(here.pttl(name) > 0 for name in names)


# The key of a page


def asked(pages, *requests):
    """Return the pages that these requests get, and again."""
    first = [pages.get(**request).content for request in requests]
    assert [pages.get(**request).content for request in requests] == first
    return first


@pytest.mark.parametrize(
    "addresses",
    [
        ["/page/", "/page/?", "/page/?a=1", "/page/?a=1&b=2", "/page/?b=2&a=1", "/page/?a=2", "/page/?a=1%26b=2"],
        ["/page/?a=%C3%BC", "/page/?a=%FC", "/page/?a=u"],
        ["/page/?q=../x", "/page/?q=x", "/page/?" + "a" * 5000, "/page/?" + "a" * 5001],
    ],
)
def test_every_query_string_has_a_page_of_its_own(pages, addresses):
    pages.serve(lambda request: HttpResponse(f"{pages.count} {request.GET.dict()!r}"))
    answers = asked(pages, *[{"address": address} for address in addresses])
    alone = len(set(addresses)) - ("/page/?" in addresses)  # an empty query string is none
    assert len(set(answers)) == alone == pages.count


def test_every_path_has_a_page_of_its_own(pages):
    kept_view = cached_view(60)(pages.counted(lambda request, name: HttpResponse(f"{pages.count} {name}")))
    pages.settings.ROOT_URLCONF = (re_path(r"^(?P<name>.*)$", kept_view),)
    addresses = [
        "/a",
        "/a/",
        "/A",
        "/ä",
        "/%E4",
        "/a%2Fb",
        "/%2525",
        "/%25",
        "/x/../a",
        "/./a",
        "/日本/",
        "/a:b",
        "/a%3Fb",
    ]
    assert len(set(asked(pages, *[{"address": address} for address in addresses]))) == len(addresses) == pages.count


def test_an_address_that_climbs_is_not_the_page_that_it_climbs_to(pages):
    kept_view = cached_view(60)(pages.counted(lambda request, name: HttpResponse(name)))
    pages.settings.ROOT_URLCONF = (re_path(r"^(?P<name>.*)$", kept_view),)
    assert pages.get("/open/../secret").content == b"open/../secret"
    assert pages.get("/secret").content == b"secret"


def test_hosts_and_schemes_have_pages_of_their_own(pages, settings):
    settings.ALLOWED_HOSTS = ["a.test", "b.test"]
    view = cached_view(60)(pages.counted(lambda request: HttpResponse(request.build_absolute_uri())))
    places = [(host, secure) for host in ("a.test", "b.test", "a.test:8000") for secure in (False, True)]
    requests = [RequestFactory().get("/", headers={"host": host}, secure=secure) for host, secure in places]
    answers = [pages.call(view, request).content for request in requests * 2]
    assert answers[:6] == answers[6:]
    assert len(set(answers)) == pages.count == 6
    with pytest.raises(SuspiciousOperation):
        pages.call(view, RequestFactory().get("/", headers={"host": "evil.test"}))
    assert pages.count == 6


def test_an_answer_to_head_is_never_shown_for_get(pages):
    def view(request):
        return HttpResponse("" if request.method == "HEAD" else "whole")

    pages.serve(view)
    assert pages.get(method="head").content == b""
    assert pages.get().content == b"whole"
    assert pages.get(method="head").content == b""
    assert pages.get().content == b"whole"
    assert pages.count == 2


def test_other_methods_are_the_views(pages, here):
    pages.serve(lambda request: HttpResponse(f"{request.method} {pages.count}"))
    for count, method in enumerate(["post", "put", "patch", "delete", "options", "post"], 1):
        assert pages.get(method=method).content == f"{method.upper()} {count}".encode()
    assert here.keys("*") == []


def test_a_get_with_a_body_is_not_asked_of_the_cache(pages, here):
    pages.serve(lambda request: HttpResponse(request.body + str(pages.count).encode()))
    bodies = [pages.get(method="generic", address="GET", path="/page/", data=data) for data in ("a", "b")]
    assert [answer.content for answer in bodies] == [b"a1", b"b2"]
    assert here.keys("*") == []
    assert pages.get().content == b"3"


def test_a_get_whose_body_comes_in_chunks_is_not_asked_of_the_cache(pages, here):
    view = cached_view(60)(pages.counted(number(pages)))
    request = RequestFactory().get("/page/", headers={"Transfer-Encoding": "chunked"})
    assert [pages.call(view, request).content for _ in range(2)] == [b"1", b"2"]
    assert here.keys("*") == []


def test_languages_and_time_zones_have_pages_of_their_own(pages):
    def view(request):
        return HttpResponse(f"{translation.get_language()} {timezone.get_current_timezone_name()}")

    view = cached_view(60)(pages.counted(view))
    for language, zone in [("en", "UTC"), ("de", "UTC"), ("en", "Europe/Zurich"), ("de", "Europe/Zurich")] * 2:
        with translation.override(language), timezone.override(zone):
            assert pages.call(view).content == f"{language} {zone}".encode()
    assert pages.count == 4


def test_the_headers_that_it_varies_on_have_pages_of_their_own(pages):
    pages.serve(lambda request: HttpResponse(str(pages.count)), vary_on=["Accept", "X-Shop"])
    requests = [
        {"headers": headers}
        for headers in [
            {},
            {"Accept": ""},
            {"Accept": "text/html"},
            {"Accept": "TEXT/html"},
            {"X-Shop": "text/html"},
            {"Accept": "a", "X-Shop": "b"},
            {"Accept": "b", "X-Shop": "a"},
            {"Accept": "a', ('x-shop', 'b"},
            {"Accept": "x" * 10_000},
        ]
    ]
    assert len(set(asked(pages, *requests))) == len(requests) == pages.count
    assert pages.get(headers={"X-Other": "a"}).content == pages.get().content
    assert pages.get()["Vary"] == "Accept, X-Shop"


@pytest.mark.parametrize("method", ["get", "post"])
def test_what_is_not_kept_says_all_the_same_what_it_varies_on(pages, method):
    pages.serve(vary_on_headers("X-Shop")(cookie) if not pages.loop else cookie, vary_on=["Accept"])
    for _ in range(2):
        assert "Accept" in pages.get(method=method)["Vary"].split(", ")


def test_two_views_at_one_address_have_pages_of_their_own(pages):
    def one(request):
        return HttpResponse("one")

    def two(request):
        return HttpResponse("two")

    for view in (one, two, one, two):
        pages.serve(view)
        assert pages.get().content == view.__name__.encode()
    assert pages.count == 2


def test_a_key_of_ones_own_stands_for_the_address_and_for_nothing_else(pages):
    pages.serve(number(pages), key=lambda request, pk: [pk], route="page/<int:pk>/", vary_on=["Accept"])
    assert pages.get("/page/7/?utm=1").content == pages.get("/page/7/?utm=2").content == b"1"
    assert pages.get("/page/8/").content == b"2"
    assert pages.get("/page/8/", headers={"Accept": "a"}).content == b"3"
    assert pages.get("/page/8/", method="head").headers
    assert pages.count == 4


def test_a_key_of_ones_own_that_is_no_key_is_refused(pages):
    pages.serve(number(pages), key=lambda request: object())
    with pytest.raises(TypeError, match="No key can be made of the argument key"):
        pages.get()


def test_what_a_page_was_asked_with_cannot_be_read_in_redis(pages, here):
    pages.serve(number(pages), vary_on=["X-Token"])
    pages.get("/page/?token=a-secret", headers={"X-Token": "another-secret"})
    (name,) = here.scan_iter()
    assert name.startswith(b"dripcache:c:view:tests.test_decorators.number.")
    assert b"secret" not in name
    assert b"page" not in name
    assert cache.delete_pattern("view:tests.test_decorators.*") == 1


# What is not kept


def cookie(request):
    response = HttpResponse("a")
    response.set_cookie("name", "value")
    return response


def deleted_cookie(request):
    response = HttpResponse("a")
    response.delete_cookie("name")
    return response


def with_headers(**headers):
    return lambda request: HttpResponse("a", headers={name.replace("_", "-"): value for name, value in headers.items()})


def rendered(text):
    """Return a view of a template that has the context processors of the site."""
    return lambda request: HttpResponse(engines["django"].from_string(text).render({}, request))


def message_added(request):
    messages.info(request, "Saved.")
    return HttpResponse("a")


def nonced(request):
    request._csp_nonce = "a nonce"
    return HttpResponse("a")


def later(request):
    return TemplateResponse(request, engines["django"].from_string("{% csrf_token %}"))


REFUSED = {
    "a cookie": (cookie, "it sets a cookie"),
    "a cookie that goes": (deleted_cookie, "it sets a cookie"),
    "a Set-Cookie header": (with_headers(Set_Cookie="a=b"), "it sets a cookie"),
    "private": (with_headers(Cache_Control="private"), "Cache-Control is private"),
    "private in capitals": (with_headers(Cache_Control="max-age=60 , PRIVATE"), "Cache-Control is private"),
    "private for a header": (with_headers(Cache_Control='private="Set-Cookie, X"'), "Cache-Control is private"),
    "no-store": (with_headers(Cache_Control="public,no-store"), "Cache-Control is no-store"),
    "no-cache": (with_headers(Cache_Control="no-cache"), "Cache-Control is no-cache"),
    "never_cache": (never_cache(with_headers()), "Cache-Control is private"),
    "max-age=0": (with_headers(Cache_Control="max-age=0"), "over at once"),
    "max-age=soon": (with_headers(Cache_Control="max-age=soon"), "over at once"),
    "s-maxage=0": (with_headers(Cache_Control="max-age=60, s-maxage=0"), "over at once"),
    "expired": (with_headers(Expires="Mon, 05 Jan 2026 10:00:00 GMT"), "over at once"),
    "expired somehow": (with_headers(Expires="0"), "over at once"),
    "Vary: *": (with_headers(Vary="*"), "varies on *, which"),
    "Vary: * in a list": (with_headers(Vary="Accept, *"), "varies on *, which"),
    "Vary: Cookie": (vary_on_cookie(with_headers()), "varies on Cookie, which"),
    "another Vary": (vary_on_headers("accept", "X-Shop")(with_headers()), "varies on X-Shop, which vary_on= does not"),
    "a stream": (lambda request: StreamingHttpResponse(iter([b"a"])), "it is streamed"),
    "a redirect": (lambda request: HttpResponseRedirect("/"), "its status is 302"),
    "a lasting redirect": (lambda request: HttpResponsePermanentRedirect("/"), "its status is 301"),
    "not found": (lambda request: HttpResponse("a", status=404), "its status is 404"),
    "an error": (lambda request: HttpResponse("a", status=500), "its status is 500"),
    "partial": (lambda request: HttpResponse("a", status=206), "its status is 206"),
    "no content": (lambda request: HttpResponse(status=204), "its status is 204"),
    "the session read": (lambda request: HttpResponse(request.session.get("a")), "depends on the session"),
    "the session asked": (lambda request: HttpResponse(str("a" in request.session)), "depends on the session"),
    "the session written": (lambda request: request.session.update({"a": 1}) or HttpResponse("a"), "on the session"),
    "the user": (lambda request: HttpResponse(str(request.user)), "depends on the session"),
    "the user in a template": (rendered("{{ user }}"), "depends on the session"),
    "a CSRF token": (lambda request: HttpResponse(get_token(request)), "the CSRF token of one visitor"),
    "a form": (rendered("{% csrf_token %}"), "the CSRF token of one visitor"),
    "a form that is rendered later": (later, "the CSRF token of one visitor"),
    "a message that is added": (message_added, "messages for one visitor"),
    "a nonce": (nonced, "the nonce of one response"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_for_one_visitor_or_not_to_be_kept_is_not_kept(pages, here, name, caplog):
    view, told = REFUSED[name]
    caplog.set_level(logging.INFO, logger="django_dripcache")
    pages.serve(view, vary_on=["Accept"])
    for count in range(1, 4):
        answer = pages.get()
        assert pages.count == count
        assert not answer.has_header("Age")
    (record,) = [record for record in caplog.records if record.name == "django_dripcache"]
    assert record.levelname == "INFO"
    assert told in record.getMessage()
    (key,) = here.scan_iter()
    assert cache.get(key.decode().removeprefix("dripcache:c:"), "miss") is None


def test_what_was_not_kept_is_remembered_for_a_while_and_not_longer(pages, here):
    pages.serve(cookie, 3600)
    pages.get()
    (name,) = here.scan_iter()
    assert 1000 < here.pttl(name) <= watch.PASSING * 1000
    pages.serve(cookie, 1)
    here.delete(name)
    pages.get()
    assert here.pttl(name) <= 1000


def test_a_page_that_is_good_again_is_kept_again(pages, monkeypatch):
    monkeypatch.setattr(kept, "PASSING", 0.02)
    pages.serve(lambda request: cookie(request) if pages.count == 1 else HttpResponse("good"))
    assert pages.get().cookies
    wait_for(lambda: pages.get().has_header("Age"))
    assert not pages.get().cookies


COUNTED = "{{ messages|length }}"
LISTED = "{% for message in messages %}{{ message }}{% endfor %}."


@pytest.mark.parametrize(("text", "mine", "others"), [(COUNTED, b"1", b"0"), (LISTED, b"Saved..", b".")])
def test_messages_are_shown_to_their_visitor_alone(pages, text, mine, others):
    pages.serve(rendered(text))
    client, urls = pages.client(), pages.settings.ROOT_URLCONF
    pages.mount(pages.counted(message_added))
    pages.get(client=client)
    pages.settings.ROOT_URLCONF = urls
    assert pages.get(client=client).content == mine
    assert [pages.get().content for _ in range(3)] == [others] * 3


def test_a_page_that_looks_for_messages_and_finds_none_is_kept(pages):
    pages.serve(rendered("{% if messages %}some{% endif %}{% for message in messages %}{{ message }}{% endfor %}"))
    pages.get(), pages.get()
    assert pages.count == 1


def middleware(act):
    """Return a middleware that does something with the request first."""

    def factory(get_response):
        def call(request):
            act(request)
            return get_response(request)

        return call

    return factory


looking = middleware(lambda request: str(request.user))
identifying = middleware(lambda request: setattr(request, "user", User(pk=int(request.headers["X-User"]))))


def test_what_belongs_to_a_visitor_is_seen_whoever_looked_first(pages, settings):
    settings.MIDDLEWARE = [*MIDDLEWARE, f"{HERE}.looking"]
    pages.serve(lambda request: HttpResponse(request.user.username))
    answers = [pages.get(client=pages.client(user)).content for user in (7, 8, None, 7)]
    assert answers == [b"user7", b"user8", b"", b"user7"]


def test_a_user_whom_a_middleware_knows_without_a_session_is_seen(pages, settings):
    settings.MIDDLEWARE = [f"{HERE}.identifying"]
    pages.serve(lambda request: HttpResponse(str(request.user.pk)))
    assert [pages.get(headers={"X-User": user}).content for user in "789"] == [b"7", b"8", b"9"]


@pytest.mark.parametrize("per_user", [False, True])
def test_a_view_that_finds_out_itself_who_asks_is_seen(pages, per_user):
    def view(request):
        request.user = User(pk=int(request.GET["pk"]))  # as REST framework does
        return HttpResponse(str(request.user.pk))

    pages.serve(view, key=lambda request: "all", per_user=per_user)
    assert [pages.get(f"/page/?pk={pk}").content for pk in (7, 8)] == [b"7", b"8"]


def test_a_request_with_credentials_is_not_asked_of_the_cache(pages, here):
    pages.serve(lambda request: HttpResponse(request.headers.get("Authorization", "nobody")))
    for token in ("Bearer a", "Basic b", ""):
        assert pages.get(headers={"Authorization": token}).content == token.encode()
    assert here.keys("*") == []
    pages.get()
    assert pages.get(headers={"Authorization": "Bearer a"}).content == b"Bearer a"
    assert pages.get().content == b"nobody"
    assert pages.count == 5


def test_a_token_that_was_asked_for_outside_is_still_sent(pages):
    inner = cached_view(60)(pages.counted(number(pages)))

    def outer(request):
        get_token(request)
        return inner(request)

    async def aouter(request):
        get_token(request)
        return await inner(request)

    pages.mount(aouter if pages.loop else outer)
    first, second = pages.get(), pages.get()
    assert (first.content, second.content) == (b"1", b"1")
    assert first.cookies["csrftoken"].value != second.cookies["csrftoken"].value


def test_what_is_no_response_is_djangos_to_tell(pages):
    pages.serve(lambda request: None)
    for _ in range(2):
        with pytest.raises(ValueError, match="didn't return an HttpResponse"):
            pages.get()
    assert pages.count == 2


# Waiting for another's page


class Slow:
    """A view that answers when all that ask are waiting for it."""

    def __init__(self, pages, answer, names):
        self.pages, self.answer, self.names = pages, answer, names
        self.callers, self.asked = [], []

    def gather(self, **options):
        """Return what all get who ask at the same time, by name; errors are what they raised."""

        def call(request):
            wait_for(lambda: len(self.asked) == len(self.names))
            time.sleep(0.1)
            return self.made(request)

        async def acall(request):
            await asyncio.sleep(0.1)  # all others are asking by then
            return self.made(request)

        view = cached_view(60, key=lambda request: "all", **options)(acall if self.pages.loop else call)

        def ask(index):
            self.asked.append(index)
            try:
                return view(self.request(index))
            except Exception as error:  # noqa: BLE001
                return error

        async def main():
            asked = [view(self.request(index)) for index in range(len(self.names))]
            return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 20)

        answers = self.pages.loop.run_until_complete(main()) if self.pages.loop else in_threads(len(self.names), ask)
        return dict(zip(self.names, answers, strict=True))

    def request(self, index):
        request = RequestFactory().get("/page/")
        request.META["who"] = self.names[index]
        return request

    def made(self, request):
        self.callers.append(request.META["who"])
        return self.answer(request)


NAMES = [f"visitor {number}" for number in range(8)]
PLACES = pytest.mark.parametrize("redis", ["there", "away"])


def at(redis):
    """Return where Redis is."""
    return site(UNREACHABLE, {}) if redis == "away" else contextlib.nullcontext()


def with_cookie(request):
    response = HttpResponse(f"for {request.META['who']} alone")
    response.set_cookie("session", request.META["who"])
    return response


def with_token(request):
    request.META["CSRF_COOKIE"] = request.META["who"].replace(" ", "x") * 4
    get_token(request)
    return HttpResponse(f"for {request.META['who']} alone")


def privately(request):
    return HttpResponse(f"for {request.META['who']} alone", headers={"Cache-Control": "private"})


@PLACES
@pytest.mark.parametrize("answer", [with_cookie, with_token, privately])
@pytest.mark.parametrize("options", [{}, {"grace": 60}, {"tags": ["a"]}], ids=repr)
def test_who_waits_is_never_given_what_is_for_another_visitor(pages, redis, answer, options):
    slow = Slow(pages, answer, NAMES)
    with at(redis):
        answers = slow.gather(**options)
    assert sorted(slow.callers) == NAMES
    for name, response in answers.items():
        assert response.content == f"for {name} alone".encode()
        assert answer is not with_cookie or response.cookies["session"].value == name


@PLACES
def test_who_waits_is_given_a_page_that_is_for_all_in_a_response_of_its_own(pages, redis):
    slow = Slow(pages, lambda request: HttpResponse("for all"), NAMES)
    with at(redis):
        answers = [*slow.gather().values()]
    assert len(slow.callers) < len(NAMES)  # one, if nobody is late
    assert {response.content for response in answers} == {b"for all"}
    for number, response in enumerate(answers):
        response.set_cookie("session", str(number))
        response["X-Session"] = str(number)
    assert [response.cookies["session"].value for response in answers] == [str(number) for number in range(8)]
    assert [response["X-Session"] for response in answers] == [str(number) for number in range(8)]


@PLACES
@pytest.mark.parametrize("error", [PermissionDenied, Http404, BrokenError, CacheUnavailableError])
def test_who_waits_is_not_given_the_error_of_another_visitor(pages, redis, error):
    def answer(request):
        if request.META["who"] == slow.callers[0]:
            raise error(request.META["who"])
        return privately(request)

    slow = Slow(pages, answer, NAMES)
    with at(redis):
        answers = slow.gather()
    assert sorted(slow.callers) == NAMES
    first = answers.pop(slow.callers[0])
    assert (type(first), first.__cause__, first.__context__) == (error, None, None)
    assert str(first).endswith(slow.callers[0])
    assert [response.content for response in answers.values()] == [f"for {name} alone".encode() for name in answers]


def test_nobody_waits_for_a_page_that_is_known_not_to_be_kept(pages, here):
    pages.serve(cookie)
    pages.get()
    (name,) = here.scan_iter()
    here.set(b"dripcache:l:" + name.removeprefix(b"dripcache:c:"), "another process", px=60_000)
    began = time.monotonic()
    assert pages.get().cookies
    assert time.monotonic() - began < 3  # it would wait for 5


# Errors


ANSWERS = [Http404, PermissionDenied, BadRequest, SuspiciousOperation]


@pytest.mark.parametrize("error", [*ANSWERS, BrokenError, KeyError])
def test_what_a_view_raises_is_the_callers_and_is_not_kept(pages, error):
    kept_view = cached_view(60)(pages.counted(raising(error)))
    for count in range(1, 4):
        with pytest.raises(error, match="why") as raised:
            pages.call(kept_view)
        assert pages.count == count
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None


def raising(error):
    def view(request):
        raise error("why")

    return view


def aged(pages, view, **options):
    """Return a kept view whose page is stale, and which answers with another view from now on."""
    views = iter([lambda request: HttpResponse("old")])
    kept_view = cached_view(0.02, grace=60, **options)(pages.counted(lambda request: next(views, view)(request)))  # noqa: PLW0108
    assert pages.call(kept_view).content == b"old"
    time.sleep(0.05)
    return kept_view


@pytest.mark.parametrize("status", [None, 500, 502, 503])
def test_a_stale_page_is_shown_while_the_view_is_broken(pages, status, caplog):
    broken = raising(BrokenError) if status is None else lambda request: HttpResponse("down", status=status)
    kept_view = aged(pages, broken)
    for _ in range(3):
        answer = pages.call(kept_view)
        assert (answer.status_code, answer.content) == (200, b"old")
    assert pages.count == 2  # the others are spared by the backoff
    assert "its last value is served" in caplog.text


@pytest.mark.parametrize("error", ANSWERS)
def test_a_stale_page_gives_way_to_an_error_that_is_an_answer(pages, error):
    kept_view = aged(pages, raising(error))
    for _ in range(2):
        with pytest.raises(error):
            pages.call(kept_view)


@pytest.mark.parametrize("status", [404, 410, 302, 403])
def test_a_stale_page_gives_way_to_another_answer(pages, status):
    kept_view = aged(pages, lambda request: HttpResponse(status=status))
    assert [pages.call(kept_view).status_code for _ in range(2)] == [status] * 2


def test_a_stale_page_gives_way_to_what_is_for_one_visitor(pages):
    kept_view = aged(pages, with_headers(Cache_Control="private"))
    assert [pages.call(kept_view).content for _ in range(2)] == [b"a"] * 2


def test_in_debug_an_error_is_shown_in_the_place_of_a_stale_page(pages, settings):
    settings.DEBUG = True
    kept_view = aged(pages, raising(BrokenError))
    with pytest.raises(BrokenError, match="why"):
        pages.call(kept_view)
    assert pages.call(kept_view).content == b"old"  # the view was not asked


def test_a_broken_view_without_a_stale_page_answers_itself(pages):
    kept_view = cached_view(60, grace=60)(pages.counted(lambda request: HttpResponse("down", status=503)))
    assert [pages.call(kept_view).status_code for _ in range(3)] == [503] * 3
    assert pages.count == 3


@pytest.mark.parametrize("view", [raising(BrokenError), lambda request: HttpResponse("down", status=503)])
def test_an_error_after_what_was_not_kept_is_told_and_the_view_is_asked_once(pages, monkeypatch, view):
    monkeypatch.setattr(kept, "PASSING", 0.02)
    views = iter([cookie])
    kept_view = cached_view(60, grace=60)(pages.counted(lambda request: next(views, view)(request)))  # noqa: PLW0108
    pages.call(kept_view)
    time.sleep(0.05)
    with contextlib.suppress(BrokenError):
        assert pages.call(kept_view).status_code == 503
    assert pages.count == 2


# Without Redis


def test_without_redis_the_view_answers(pages):
    with site(UNREACHABLE, {}):
        pages.serve(number(pages), tags=["a"], grace=60)
        assert [pages.get().content for _ in range(3)] == [b"1", b"2", b"3"]
        pages.serve(cookie)
        assert pages.get().cookies


def test_who_asks_for_the_errors_of_the_cache_gets_them(pages):
    kept_view = cached_view(60)(pages.counted(number(pages)))
    with site(UNREACHABLE, {}, DRIPCACHE={"ON_OUTAGE": "raise"}), pytest.raises(CacheUnavailableError):
        pages.call(kept_view)


@pytest.mark.parametrize("junk", [b"junk", b'{"body": "<script>"}', b'["a"]', b'"a"', b"7", b"\xdc" * 60])
def test_a_page_that_this_site_has_not_signed_is_none(pages, here, junk):
    pages.serve(number(pages))
    pages.get()
    (name,) = here.scan_iter()
    here.set(name, junk, px=60_000)
    assert [pages.get().content for _ in range(2)] == [b"2", b"2"]


def test_a_page_that_was_moved_to_another_key_is_none(pages, here):
    pages.serve(lambda request: HttpResponse(request.GET["a"]))
    for letter in "ab":
        pages.get(f"/page/?a={letter}")
    here.rename(*here.scan_iter())
    assert [pages.get(f"/page/?a={letter}").content for letter in "ab"] == [b"a", b"b"]


# Users


def greeting(request):
    return HttpResponse(f"for {request.user.username or 'nobody'}")


async def agreeting(request):
    user = await request.auser()
    return HttpResponse(f"for {user.username or 'nobody'}")


def for_users(pages, view=None, **options):
    view = view or (agreeting if pages.loop else greeting)
    pages.serve(view, per_user=True, **options)


def test_every_user_has_pages_of_their_own_and_all_others_have_one(pages):
    for_users(pages)
    for _ in range(2):
        for user in (7, 8, None, 77):
            answer = pages.get(client=pages.client(user))
            assert answer.content == (f"for user{user}" if user else "for nobody").encode()
    assert pages.count == 4
    assert pages.get(client=pages.client()).has_header("Age")


def test_a_page_of_a_user_is_private_and_varies_on_the_cookie(pages):
    for_users(pages)
    for _ in range(2):
        answer = pages.get(client=pages.client(7))
        assert answer["Cache-Control"] == "max-age=60, private"
        assert answer["Vary"] == "Cookie"


def test_a_page_that_says_that_it_varies_on_the_cookie_is_kept_for_a_user_and_not_for_others(pages):
    for_users(pages, vary_on_cookie(agreeting if pages.loop else greeting))
    for _ in range(2):
        pages.get(client=pages.client(7))
    assert pages.count == 1
    pages.get(), pages.get()
    assert pages.count == 3


class Customer(User):
    class Meta:
        proxy = True
        app_label = "auth"


def test_two_kinds_of_users_are_not_one(pages):
    users = iter([User(pk=7, username="staff"), Customer(pk=7, username="customer")])

    def view(request):
        return HttpResponse(request.user.username)

    kept_view = cached_view(60, per_user=True)(pages.counted(view))
    for expected in (b"staff", b"customer"):
        request = RequestFactory().get("/page/")
        request.user = next(users)
        assert pages.call(kept_view, request).content == expected


@pytest.mark.parametrize("user", [None, 7])
def test_what_a_view_reads_in_the_session_is_not_kept_for_its_user(pages, user):
    async def aview(request):
        return HttpResponse(f"{(await request.auser()).pk} {await request.session.aget('cart')}")

    def view(request):
        return HttpResponse(f"{request.user.pk} {request.session.get('cart')}")

    for_users(pages, aview if pages.loop else view)
    for cart in "ab":
        client = pages.client()
        sign_in(client, user, cart=cart) if user else put_in_session(client, cart=cart)
        assert pages.get(client=client).content == f"{user} {cart}".encode()


def put_in_session(client, **data):
    session = SessionStore()
    session.update(data)
    session.save()
    client.cookies["sessionid"] = session.session_key


filling = middleware(lambda request: setattr(request, "cart", request.session.get("cart")))


@pytest.mark.parametrize("per_user", [False, True])
def test_what_a_middleware_read_in_a_session_is_not_shown_to_others(pages, settings, per_user):
    settings.MIDDLEWARE = [*MIDDLEWARE, f"{HERE}.filling"]
    pages.serve(lambda request: HttpResponse(str(request.cart)), per_user=per_user)
    for cart in ("a", "b", "a"):
        client = pages.client()
        put_in_session(client, cart=cart)
        assert pages.get(client=client).content == cart.encode()
    assert [pages.get().content for _ in range(2)] == [b"None"] * 2
    assert pages.count == (4 if per_user else 5)


greeting_first = middleware(message_added)
nonced_first = middleware(nonced)


@pytest.mark.parametrize("first", ["greeting_first", "nonced_first"])
def test_what_a_middleware_made_for_one_visitor_is_not_shown_to_others(pages, settings, first):
    settings.MIDDLEWARE = [*MIDDLEWARE, f"{HERE}.{first}"]
    pages.serve(number(pages))
    assert [pages.get().content for _ in range(2)] == [b"1", b"2"]


@pytest.mark.parametrize("name", ["a cookie", "private", "a form", "a message that is added", "a nonce", "Vary: *"])
def test_what_is_not_to_be_kept_is_not_kept_for_a_user_either(pages, name):
    for_users(pages, REFUSED[name][0])
    client = pages.client(7)
    pages.get(client=client), pages.get(client=client)
    assert pages.count == 2


def test_a_view_that_signs_in_is_not_kept(pages):
    def view(request):
        request.user = User(pk=7)
        request.session[SESSION_KEY] = "7"
        return HttpResponse("signed in")

    for_users(pages, view)
    assert pages.get().cookies["sessionid"].value
    assert pages.get().cookies["sessionid"].value


def test_a_user_may_have_credentials(pages):
    for_users(pages)
    client = pages.client(7)
    for _ in range(2):
        assert pages.get(client=client, headers={"Authorization": "Basic a"}).content == b"for user7"
        assert pages.get(headers={"Authorization": "Basic a"}).content == b"for nobody"
    assert pages.count == 3


def test_users_need_a_middleware(pages, settings):
    settings.MIDDLEWARE = []
    pages.serve(number(pages), per_user=True)
    with pytest.raises(ConfigurationError, match=r"found no request\.user\. Add AuthenticationMiddleware"):
        pages.get()


# What clients are told


def test_clients_are_told_for_how_long_a_page_is_good_and_how_old_it_is(pages, monkeypatch):
    pages.serve(number(pages), 600)
    first = pages.get()
    assert first["Cache-Control"] == "max-age=600"
    assert 595 <= parse_http_date(first["Expires"]) - time.time() <= 601
    assert not first.has_header("Age")
    later = time.time() + 100.5
    monkeypatch.setattr(pages_module, "time", SimpleNamespace(time=lambda: later))
    second = pages.get()
    assert (second["Cache-Control"], second["Expires"]) == (first["Cache-Control"], first["Expires"])
    assert second["Age"] in {"100", "101"}
    later = 0
    assert pages.get()["Age"] == "0"


@pytest.mark.parametrize(
    ("said", "ttl"),
    [
        ({"Cache-Control": "max-age=30"}, 30),
        ({"Cache-Control": "public, s-maxage=20, max-age=5"}, 20),
        ({"Cache-Control": "max-age=0, s-maxage=20"}, 20),
        ({"Cache-Control": "max-age=99999"}, 600),
        ({"Cache-Control": f"max-age={'9' * 50}"}, 600),
        ({"Expires": http_date(time.time() + 100_000)}, 600),
    ],
)
def test_a_view_may_say_itself_how_long_its_page_is_good(pages, here, said, ttl):
    pages.serve(lambda request: HttpResponse("a", headers=said), 600)
    for _ in range(2):
        answer = pages.get()
        assert {name: answer[name] for name in said} == said
    assert pages.count == 1
    assert answer.has_header("Cache-Control") == ("Cache-Control" in said)
    (name,) = here.scan_iter()
    assert (ttl - 5) * 1000 < here.pttl(name) <= ttl * 1000


def test_other_words_to_clients_stay(pages):
    pages.serve(
        cache_control(public=True, immutable=True)(lambda request: HttpResponse("a"))
        if not pages.loop
        else (lambda request: HttpResponse("a", headers={"Cache-Control": "public, immutable"}))
    )
    for _ in range(2):
        assert set(pages.get()["Cache-Control"].split(", ")) == {"public", "immutable", "max-age=60"}


def test_clients_ask_again_for_a_page_that_may_be_invalidated(pages):
    pages.serve(number(pages), 600, tags=["a"])
    for _ in range(2):
        assert pages.get()["Cache-Control"] == "max-age=0"
    assert pages.count == 1


def test_a_page_is_found_not_to_be_modified(pages, settings):
    settings.MIDDLEWARE = ["django.middleware.http.ConditionalGetMiddleware"]
    pages.serve(number(pages))
    tag = pages.get()["ETag"]
    answer = pages.get(headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert pages.get().content == b"1"
    assert pages.count == 1


def test_middleware_treats_a_kept_page_as_any_other(pages, settings):
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", "django.middleware.locale.LocaleMiddleware"]
    pages.serve(lambda request: HttpResponse("a" * 1000))
    for _ in range(2):
        zipped = pages.get(headers={"Accept-Encoding": "gzip"})
        assert (zipped["Content-Encoding"], len(zipped.content) < 500) == ("gzip", True)
        assert pages.get().content == b"a" * 1000
        assert set(pages.get()["Vary"].split(", ")) == {"Accept-Encoding", "Accept-Language"}
    assert pages.count == 1


def test_what_djangos_decorators_note_for_the_middleware_is_kept(pages):
    def view(request):
        response = HttpResponse("a")
        response.xframe_options_exempt = True
        response._csp_config = {"script-src": ["'self'"]}
        response.of_ours = object()
        return response

    pages.serve(view)
    for _ in range(2):
        answer = pages.get()
        assert not answer.has_header("X-Frame-Options")
        assert answer._csp_config == {"script-src": ["'self'"]}
    assert pages.count == 1
    assert not hasattr(answer, "of_ours")
    pages.serve(xframe_options_exempt(lambda request: HttpResponse("a")) if not pages.loop else view, route="other/")
    pages.get("/other/")
    assert not pages.get("/other/").has_header("X-Frame-Options")


# Tags


def test_an_invalidated_tag_voids_the_pages_that_carry_it(pages):
    pages.serve(number(pages), tags=["all", "page:{pk}", "{request.method}"], route="page/<int:pk>/")
    for pk in (7, 8):
        pages.get(f"/page/{pk}/")
    cache.invalidate_tags("page:7")
    assert [pages.get(f"/page/{pk}/").content for pk in (7, 8)] == [b"3", b"2"]
    cache.invalidate_tags("all")
    assert [pages.get(f"/page/{pk}/").content for pk in (7, 8)] == [b"4", b"5"]
    cache.invalidate_tags("GET")
    assert pages.get("/page/7/").content == b"6"


def test_tags_may_be_computed(pages):
    def tags(request, pk, **kwargs):
        assert not kwargs
        return (letter + str(pk) + request.GET["a"] for letter in "xy")

    pages.serve(number(pages), tags=tags, route="page/<int:pk>/")
    for count, tag in enumerate(["x7b", "y7b"], 1):
        assert pages.get("/page/7/?a=b").content == str(count).encode()
        cache.invalidate_tags(tag)


def test_a_page_that_was_read_before_its_tag_was_invalidated_is_not_kept(pages):
    def view(request):
        if pages.count == 1:
            cache.invalidate_tags("a")
        return HttpResponse(str(pages.count))

    pages.serve(view, tags=["a"])
    assert [pages.get().content for _ in range(3)] == [b"1", b"2", b"2"]


def test_parameters_may_have_any_name(pages):
    names = ("templates", "view", "self", "context", "key", "args", "kwargs")
    route = "/".join(f"<{name}>" for name in names) + "/"
    pages.serve(lambda request, **given: HttpResponse("-".join(given.values())), tags=["{key}:{self}"], route=route)
    for _ in range(2):
        assert pages.get("/1/2/3/4/5/6/7/").content == b"1-2-3-4-5-6-7"
    assert cache.invalidate_tags("5:3") == 1
    assert pages.count == 1


def test_a_tag_with_a_field_that_is_no_argument_is_refused(pages):
    pages.serve(number(pages), tags=["fine", "page:{id}"], route="page/<int:pk>/")
    with pytest.raises(InvalidKeyError, match=r"has a field 'id'\. Allowed are: request, pk\."):
        pages.get("/page/7/")


# Templates and classes


def test_a_template_response_is_kept_as_it_was_rendered(pages):
    rendered_by = []

    def view(request):
        template = Engine().from_string("{{ count }}")
        response = SimpleTemplateResponse(BackendTemplate(template), {"count": pages.count})
        response.add_post_render_callback(rendered_by.append)
        response.add_post_render_callback(lambda answer: answer.headers.setdefault("X-Late", "late") and None)
        return response

    pages.serve(view)
    for _ in range(2):
        answer = pages.get()
        assert (answer.content, answer["X-Late"]) == (b"1", "late")
    assert pages.count == len(rendered_by) == 1


class BackendTemplate:
    """A template that knows how to render itself, as those of a backend do."""

    def __init__(self, template):
        self.template = template

    def render(self, context, request=None):
        return self.template.render(TemplateContext(context))


def test_a_template_is_rendered_where_it_may_ask_the_database(pages):
    def view(request):
        return SimpleTemplateResponse(BackendTemplate(Engine().from_string("{{ rows }}")), {"rows": rows})

    @async_unsafe
    def rows():
        return "rows"

    pages.serve(view)
    assert [pages.get().content for _ in range(2)] == [b"rows"] * 2
    assert pages.count == 1


def test_a_callback_may_replace_the_response(pages):
    def view(request):
        response = SimpleTemplateResponse(BackendTemplate(Engine().from_string("a")))
        response.add_post_render_callback(lambda answer: HttpResponse("another"))
        return response

    pages.serve(view, vary_on=["Accept"])
    answers = [pages.get() for _ in range(2)]
    assert [(answer.content, answer["Vary"]) for answer in answers] == [(b"another", "Accept")] * 2
    assert pages.count == 1


def test_an_error_of_a_template_is_that_of_the_view(pages):
    def view(request):
        return SimpleTemplateResponse(BackendTemplate(Engine().from_string("{% firstof a.b %}")), {"a": Broken()})

    class Broken:
        @property
        def b(self):
            raise BrokenError

    kept_view = cached_view(60)(pages.counted(view))
    for _ in range(2):
        with pytest.raises(BrokenError):
            pages.call(kept_view)


got = []


class Plain(View):
    def get(self, request, pk=1):
        got.append(pk)
        return HttpResponse(f"{type(self).__name__} {pk}")

    def post(self, request, pk=1):
        return HttpResponse("posted")


class APlain(Plain):
    async def get(self, request, pk=1):
        return super().get(request, pk)

    async def post(self, request, pk=1):
        return HttpResponse("posted")


def of_get(base):
    return type("OnGet", (base,), {"get": method_decorator(cached_view(60))(base.get)})


def of_dispatch(base):
    return method_decorator(cached_view(60), name="dispatch")(type("OnDispatch", (base,), {}))


CLASSES = {
    "as_view": lambda base: cached_view(60)(base.as_view()),
    "dispatch": lambda base: of_dispatch(base).as_view(),
    "get": lambda base: of_get(base).as_view(),
}


@pytest.mark.parametrize("where", CLASSES)
def test_a_class_may_be_decorated(pages, where):
    got.clear()
    pages.mount(CLASSES[where](APlain if pages.loop else Plain), "page/<int:pk>/")
    for pk in (7, 8, 7, 8):
        assert pages.get(f"/page/{pk}/").content.endswith(f" {pk}".encode())
    assert got == [7, 8]
    assert pages.get("/page/7/", method="post").content == b"posted"
    assert pages.get("/page/7/", method="head").status_code == 200
    assert pages.get("/page/7/", method="put").status_code == 405


@pytest.mark.parametrize("where", ["dispatch", "get"])
def test_two_classes_at_one_address_are_two(pages, where):
    base = APlain if pages.loop else Plain
    make = {"dispatch": of_dispatch, "get": of_get}[where]
    for cls in (make(base), type("Another", (make(base),), {})):
        pages.mount(cls.as_view())
        for _ in range(2):
            assert pages.get().content == f"{cls.__name__} 1".encode()


def test_a_generic_template_view_may_be_decorated(here, settings):
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"page.html": "{{ view.kwargs.pk }}"})]},
        }
    ]
    settings.ROOT_URLCONF = (path("<int:pk>/", cached_view(60)(TemplateView.as_view(template_name="page.html"))),)
    assert [Client().get(f"/{pk}/").content for pk in (7, 8, 7)] == [b"7", b"8", b"7"]
    assert Client().get("/7/").has_header("Age")


def test_a_view_that_is_an_object_or_a_partial_may_be_decorated(here):
    class Callable:
        def __call__(self, request):
            return HttpResponse("object")

    view = cached_view(60)(Callable())
    assert [view(RequestFactory().get("/")).content for _ in range(2)] == [b"object"] * 2
    view = cached_view(60)(functools.partial(lambda request, name: HttpResponse(name), name="partial"))
    assert [view(RequestFactory().get("/")).content for _ in range(2)] == [b"partial"] * 2


def test_a_view_stays_what_it_is():
    @cached_view(60)
    @csrf_exempt
    def one(request):
        """Show."""

    @cached_view(60)
    async def two(request):
        """Show."""

    assert (one.__name__, one.__doc__, one.__module__, one.csrf_exempt) == ("one", "Show.", HERE, True)
    assert iscoroutinefunction(two)
    assert not iscoroutinefunction(one)
    assert iscoroutinefunction(cached_view(60)(APlain.as_view()))


def test_a_synchronous_view_may_be_asked_from_an_event_loop(here):
    calls = []

    @cached_view(60)
    def view(request):
        calls.append(1)
        return HttpResponse("a")

    async def main():
        for _ in range(2):
            assert (await sync_to_async(view)(RequestFactory().get("/"))).content == b"a"
            assert view(RequestFactory().get("/")).content == b"a"

    asyncio.run(main())
    assert calls == [1]


# What is refused


@pytest.mark.parametrize(
    ("ttl", "options", "error", "told"),
    [
        (None, {}, TypeError, "A ttl is a number of seconds"),
        ("60", {}, TypeError, "A ttl is a number of seconds"),
        (float("nan"), {}, ValueError, "NaN"),
        (60, {"grace": "a"}, TypeError, "A ttl is a number of seconds"),
        (60, {"vary_on": "Accept"}, TypeError, r"vary_on='Accept'\) is one text. .*vary_on=\['Accept'\]"),
        (60, {"tags": "page"}, TypeError, r"tags='page'\) is one text. .*tags=\['page'\]"),
        (60, {"vary_on": ["Cookie"]}, ValueError, "per_user=True"),
        (60, {"vary_on": ["Accept", "COOKIE"]}, ValueError, "per_user=True"),
        (60, {"vary_on": ["authorization"]}, ValueError, "per_user=True"),
        (60, {"vary_on": ["*"]}, ValueError, "Allowed are such as 'Accept'"),
        (60, {"lease": 5}, TypeError, "lease"),
    ],
)
def test_what_is_out_of_range_is_told_at_once(ttl, options, error, told):
    with pytest.raises(error, match=told):
        cached_view(ttl, **options)


@pytest.mark.parametrize(
    ("ttl", "told", "count"), [(float("inf"), "max-age=315360000", 1), (0, "max-age=0", 2), (-5, "max-age=0", 2)]
)
def test_a_ttl_may_be_endless_or_over(pages, ttl, told, count):
    pages.serve(number(pages), ttl)
    assert [pages.get()["Cache-Control"] for _ in range(2)] == [told] * 2
    assert pages.count == count


def test_a_decorator_without_a_ttl_is_told_at_once():
    with pytest.raises(TypeError, match="A ttl is a number of seconds"):
        cached_view(greeting)


@pytest.mark.parametrize("given", [View(), None, SimpleNamespace(META={}, method="GET")])
def test_what_is_no_request_is_told(here, given):
    with pytest.raises(TypeError, match=r"Allowed is an HttpRequest\. On a method, write @method_decorator"):
        cached_view(60)(greeting)(given)


def test_an_alias_that_is_none_is_told(pages):
    view = cached_view(60, using="other")(pages.counted(number(pages)))
    with pytest.raises(ImproperlyConfigured, match="other"):
        pages.call(view)


def test_why_a_page_is_not_kept_is_told_once(pages, caplog):
    caplog.set_level(logging.INFO, logger="django_dripcache")
    pages.serve(lambda request: cookie(request) if request.GET else with_headers(Vary="*")(request))
    for address in ("/page/", "/page/?a", "/page/?b", "/page/"):
        pages.get(address)
    told = [record.getMessage() for record in caplog.records if record.name == "django_dripcache"]
    assert len(told) == 2
    assert all(text.startswith(f"A page of {HERE}.") for text in told)


# A page


def test_a_page_has_no_request_and_nothing_else_of_its_response():
    request = HttpRequest()
    response = HttpResponse("a")
    response.wsgi_request = response._request = request
    response.context_data = {"request": request}
    page = pickle.loads(pickle.dumps(Page(response)))
    assert {name: getattr(page, name) for name in Page.__slots__} == {
        "headers": (("Content-Type", "text/html; charset=utf-8"),),
        "body": b"a",
        "charset": "utf-8",
        "notes": {},
        "made": page.made,
    }
    assert page.response() is not page.response()
