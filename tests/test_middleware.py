"""The budget of a request, and of a Celery task; its batch; and limits of requests, by requests on both handlers."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from ipaddress import ip_network
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from asgiref.testing import ApplicationCommunicator
from celery.signals import task_postrun, task_prerun
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.asgi import get_asgi_application
from django.core.cache import cache
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.template import Context, Template
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import include, path, re_path
from django.utils.asyncio import async_unsafe
from django.utils.decorators import sync_only_middleware
from django.utils.functional import SimpleLazyObject

from django_dripcache import ConfigurationError, limiter
from django_dripcache import cache as dripcache
from django_dripcache.backend import get_alias_server
from django_dripcache.contrib.celery import install
from django_dripcache.deadline import BUDGET, budget
from django_dripcache.limiting import rate_limit
from django_dripcache.middleware import BatchMiddleware, CacheBudgetMiddleware, RateLimitMiddleware
from django_dripcache.server import Server
from django_dripcache.signals import rate_limited

from .faults.proxy import Proxy
from .processes import UNREACHABLE, in_threads, make_app, needs_server, site, verbs_sent, wait_for
from .test_limiting import MINE, FromAfar, names

BUDGET_SECONDS = 0.3


@pytest.fixture
def wire(start_server):
    with Proxy(start_server().port) as proxy:
        yield proxy


@pytest.fixture(params=["sync", "async"])
def serve(request):
    """Return a function that lets a view answer one request through the middleware."""
    if request.param == "sync":

        def sync(view):
            return CacheBudgetMiddleware(view)(RequestFactory().get("/"))

        yield sync
        return
    loop = asyncio.new_event_loop()

    def asynchronous(view):
        async def aview(request):
            await asyncio.sleep(0)
            return view(request)

        middleware = CacheBudgetMiddleware(aview)
        assert iscoroutinefunction(middleware)
        return loop.run_until_complete(middleware(AsyncRequestFactory().get("/")))

    yield asynchronous
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def timed(call):
    began = time.monotonic()
    answer = call()
    return answer, time.monotonic() - began


def test_a_request_has_the_budget_of_the_settings_and_nobody_has_one_after_it(serve):
    seen = []

    def view(request):
        seen.append(BUDGET.get().limit)
        return HttpResponse("page")

    with override_settings(DRIPCACHE={"REQUEST_BUDGET": 0.7}):
        assert serve(view).content == b"page"
    assert seen == [0.7]
    assert BUDGET.get() is None


def test_a_view_that_fails_leaves_no_budget_behind(serve):
    def view(request):
        raise LookupError

    with override_settings(DRIPCACHE={}), pytest.raises(LookupError):
        serve(view)
    assert BUDGET.get() is None


def test_a_budget_of_none_is_no_bound(serve):
    seen = []

    def view(request):
        seen.append(BUDGET.get())
        return HttpResponse()

    with override_settings(DRIPCACHE={"REQUEST_BUDGET": None}):
        serve(view)
    assert seen == [None]


@pytest.mark.far("it is about calls of Redis")
def test_all_calls_of_a_request_together_cost_no_more_than_its_budget_and_the_next_one_begins_anew(serve, wire):
    spent, left = [], []

    def view(request):
        left.append(BUDGET.get().remaining)
        answers, seconds = timed(lambda: [cache.get("key", "default") for _ in range(20)])
        spent.append((answers, seconds))
        return HttpResponse()

    # Delays of less than a call's deadline each: no breaker opens, and only the budget bounds them.
    with site(wire.url, {}, DRIPCACHE={"REQUEST_BUDGET": BUDGET_SECONDS}):
        assert cache.set("key", "value")
        wire.become("latency", 0.08)
        serve(view)
        answers, seconds = spent.pop()
        assert answers[0] == "value"
        assert answers[-1] == "default"
        assert 2 <= answers.count("value") <= 4
        assert seconds < BUDGET_SECONDS + 0.3
        serve(view)
        answers, seconds = spent.pop()
        assert answers[0] == "value"
        assert seconds < BUDGET_SECONDS + 0.3
    assert left == [BUDGET_SECONDS, BUDGET_SECONDS]


def test_once_a_budget_is_spent_calls_answer_at_once_and_the_breaker_stays_as_it_was(serve, wire):
    each = []

    def view(request):
        BUDGET.get().spend(10)
        for call in (
            lambda: cache.get("key", "default"),
            lambda: cache.set("key", "new"),
            lambda: cache.get_or_set("other", lambda: "loaded"),
        ):
            answer, seconds = timed(lambda: [call() for _ in range(200)])  # noqa: B023 - it is called here
            each.append((answer[-1], seconds / 200))
        return HttpResponse()

    with site(wire.url, {}, DRIPCACHE={}):
        assert cache.set("key", "value")
        serve(view)
        assert [answer for answer, _ in each] == ["default", False, "loaded"]
        assert max(seconds for _, seconds in each) < 0.002
        server = get_alias_server("default")
        assert server.available
        assert server.breaker.in_a_row == 0
        # What the spent request could not write is not read in its old form by the next one.
        serve(lambda request: HttpResponse(str(cache.get("key"))))
        assert cache.get("key") is None
        assert cache.set("key", "newer")
        assert cache.get("key") == "newer"


def test_calls_that_a_small_budget_cut_short_do_not_open_the_breaker_for_others(serve, wire):
    def view(request):
        BUDGET.get().spend(BUDGET_SECONDS - 0.02)
        return HttpResponse(str(cache.get("key", "default")))

    # The server answers within the time of a call, only not within what is left of these budgets.
    with site(wire.url, {}, DRIPCACHE={"REQUEST_BUDGET": BUDGET_SECONDS}):
        assert cache.set("key", "value")
        wire.become("latency", 0.06)
        for _ in range(5):
            assert serve(view).content == b"default"
        assert get_alias_server("default").available
        assert cache.get("key") == "value"


def test_what_is_quick_does_not_count(serve, wire):
    def view(request):
        for _ in range(300):
            cache.get("key")
        return HttpResponse(str(BUDGET.get().spent))

    with site(wire.url, {}, DRIPCACHE={}):
        assert cache.set("key", "value")
        answer = float(serve(view).content)
    # On a busy machine a call may take more than 10 ms now and then; 300 of them would be far more.
    assert answer < 0.3


@pytest.mark.far("it is about calls of Redis")
def test_async_verbs_spend_the_budget_of_their_request(wire):
    async def view(request):
        answers = [await cache.aget("key", "default") for _ in range(20)]
        return HttpResponse(str(answers.count("value")))

    async def main():
        middleware = CacheBudgetMiddleware(view)
        began = time.monotonic()
        response = await middleware(AsyncRequestFactory().get("/"))
        return int(response.content), time.monotonic() - began

    with site(wire.url, {}, DRIPCACHE={"REQUEST_BUDGET": BUDGET_SECONDS}):
        assert cache.set("key", "value")
        wire.become("latency", 0.08)
        count, seconds = asyncio.run(main())
    assert 1 <= count <= 4
    assert seconds < BUDGET_SECONDS + 0.4


# Tasks


@pytest.fixture
def app():
    ours = make_app("memory://")
    ours.conf.task_always_eager = True
    install(ours)
    yield ours
    ours.close()


def test_a_task_has_a_budget_of_its_own_which_ends_with_it(app):
    seen = []

    @app.task(name="tests.budget", shared=False)
    def look():
        seen.append(BUDGET.get().limit)
        BUDGET.get().spend(100)

    with override_settings(DRIPCACHE={"TASK_BUDGET": 3}):
        look.delay()
        look.delay()
    assert seen == [3, 3]
    assert BUDGET.get() is None


def test_a_task_that_runs_eagerly_within_a_request_leaves_the_request_its_budget(app):
    @app.task(name="tests.eager", shared=False)
    def spend():
        BUDGET.get().spend(100)

    with override_settings(DRIPCACHE={}), budget(0.5) as of_the_request:
        spend.delay()
        assert BUDGET.get() is of_the_request
        assert of_the_request.remaining == 0.5
    assert BUDGET.get() is None


def test_a_task_that_fails_leaves_no_budget_behind(app):
    @app.task(name="tests.failing", shared=False)
    def fail():
        assert BUDGET.get() is not None
        raise LookupError

    with override_settings(DRIPCACHE={}):
        assert isinstance(fail.delay().result, LookupError)
    assert BUDGET.get() is None


def test_a_task_budget_of_none_is_no_bound(app):
    seen = []

    @app.task(name="tests.unbounded", shared=False)
    def look():
        seen.append(BUDGET.get())

    with override_settings(DRIPCACHE={"TASK_BUDGET": None}):
        look.delay()
    assert seen == [None]


def test_a_setting_that_is_wrong_does_not_stop_a_task(app):
    with override_settings(DRIPCACHE={"TASK_BUDGETT": 1}):
        task_prerun.send(sender=None, task_id="1", task=None, args=(), kwargs={})
        task_postrun.send(sender=None, task_id="1", task=None, args=(), kwargs={}, retval=None, state="SUCCESS")
    assert BUDGET.get() is None


@pytest.mark.far("it is about calls of Redis")
def test_a_task_spends_no_more_than_its_budget_on_a_slow_server(app, wire):
    @app.task(name="tests.slow", shared=False)
    def look():
        answers, seconds = timed(lambda: [cache.get("key", "default") for _ in range(20)])
        return answers.count("value"), seconds

    with site(wire.url, {}, DRIPCACHE={"TASK_BUDGET": BUDGET_SECONDS}):
        assert cache.set("key", "value")
        wire.become("latency", 0.08)
        count, seconds = look.delay().get()
        assert 2 <= count <= 4
        assert seconds < BUDGET_SECONDS + 0.3
        wire.become("pass")
        wait_for(lambda: cache.get("key") == "value", 3)


# Limits of requests

OURS = "django_dripcache.middleware.RateLimitMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
IP = {"name": "ip", "rate": "3/h", "key": "ip"}

calls = []
"""The paths for which a view was called."""


def page(request, **kwargs):
    calls.append(request.path_info)
    return HttpResponse("done")


async def page_async(request, **kwargs):
    await asyncio.sleep(0)
    return page(request)


@rate_limit("9/h", key="ip", group="decorated")
def decorated(request):
    return page(request)


def whoami(request):
    return HttpResponse(str(request.user))


@sync_only_middleware
def only_sync(get_response):
    def middleware(request):
        return get_response(request)

    return middleware


@sync_only_middleware
def hurry(get_response):
    """Answer without any view."""
    return lambda request: HttpResponse("early")


def named(get_response):
    """Give a request the user that a header names, as a site of its own may do."""

    def middleware(request):
        name = request.headers.get("x-user")
        request.user = User(pk=int(name), is_staff=name == "1") if name else AnonymousUser()
        return get_response(request)

    return middleware


shop = [path("buy/", page, name="buy"), path("pay/", page_async, name="pay")]
urlpatterns = [
    path("login/", page, name="login"),
    path("sync/", page),
    path("async/", page_async),
    path("decorated/", decorated),
    path("whoami/", whoami),
    path("shop/", include((shop, "shop"))),
    re_path(r"^api/", page),
]


class Visitor:
    """A visitor: what it asks for goes through all of Django, as over WSGI or as over ASGI, with the path as it is."""

    def ask(self, target="/sync/", method="GET", *, address=MINE, **headers):
        client = Client(REMOTE_ADDR=address)
        return client.generic(method, "/", headers=dashed(headers), PATH_INFO=target)

    async def aask(self, target="/sync/", method="GET", *, address=MINE, **headers):
        client = FromAfar(client=[address, 80], path=target)
        return await client.generic(method, "/", headers=dashed(headers))


def dashed(headers):
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture
def visit(drive):
    return drive(Visitor()).ask


@pytest.fixture
def limited(redis_server, raw):
    """Return a context manager: a patient site with these rules, which remembers no denial."""

    def begin(*rules, middleware=(OURS,), url=redis_server.url, options=None, **dripcache):
        limiter._memories.clear()
        calls.clear()
        settings = {"RATE_LIMITS": list(rules), **dripcache}
        return site(url, options, ROOT_URLCONF=__name__, MIDDLEWARE=list(middleware), DRIPCACHE=settings)

    return begin


def used(raw):
    """Return how much each sliding window has counted, in the order of their names."""
    return [sum(map(int, raw.get(name).split()[1::2])) for name in names(raw)]


def codes(visit, *targets, **options):
    return [visit(target, **options).status_code for target in targets]


@pytest.mark.parametrize("target", ["/sync/", "/async/"])
def test_a_denied_request_reaches_no_view_and_no_middleware_after_it(limited, visit, target):
    with limited(IP):
        assert codes(visit, *[target] * 5) == [200, 200, 200, 429, 429]
    assert len(calls) == 3
    with limited(IP, middleware=(OURS, f"{__name__}.hurry")):
        assert codes(visit, *[target] * 5) == [429] * 5


def test_paths_that_nothing_answers_count_too(limited, visit):
    with limited(IP):
        assert codes(visit, "/nowhere/", "/nowhere/", "/sync/", "/nowhere/") == [404, 404, 200, 429]


def test_a_rule_about_a_path_leaves_others_alone(limited, visit):
    with limited({**IP, "path": "/api/*"}):
        assert codes(visit, *["/api/a", "/api/b/", "/API/nowhere", "/api/c"]) == [200, 200, 404, 429]
        assert codes(visit, *["/sync/"] * 4) == [200] * 4


SPELLINGS = [
    "/login/",
    "/login",
    "/LOGIN/",
    "//login/",
    "/login//",
    "/./login/",
    "/login/.",
    "/login;jsessionid=1/",
    "/%6cogin/",
    "/x/../login/",
    "/login/%20",
    "/\\login/",
    "/%2flogin/",
    "/login/;x=y",
]


def test_every_spelling_of_a_path_is_one_bucket(limited, visit, raw):
    with limited({**IP, "path": "/login/", "rate": "100/h"}):
        for spelling in SPELLINGS:
            visit(spelling)
            visit(spelling, "HEAD")
            visit(spelling, "POST", x_http_method_override="PUT")
        assert len(names(raw)) == 1
        assert visit("/login/", "OPTIONS").status_code == 200
        assert used(raw) == [3 * len(SPELLINGS) + 1]


def test_head_is_get_and_a_method_in_a_header_counts(limited, visit):
    with limited({**IP, "rate": "1/h", "methods": ["POST"]}):
        assert codes(visit, *["/sync/"] * 3) == [200] * 3
        assert codes(visit, *["/sync/"] * 2, method="POST") == [200, 429]
        assert visit("/sync/", x_http_method_override="POST").status_code == 429
    with limited({**IP, "rate": "1/h", "name": "reads", "methods": ["GET"]}):
        assert [visit("/sync/", method).status_code for method in ("HEAD", "GET", "POST")] == [200, 429, 200]


def test_a_rule_about_a_view_is_asked_when_it_is_found(limited, visit):
    with limited({**IP, "view": "shop:buy"}):
        assert codes(visit, *["/shop/buy/"] * 4) == [200, 200, 200, 429]
        assert codes(visit, "/shop/pay/", "/shop/nowhere/", "/shop/buy") == [200, 404, 404]
    with limited({**IP, "name": "dotted", "view": f"{__name__}.page_async", "rate": "1/h"}):
        assert codes(visit, "/shop/pay/", "/async/", "/shop/buy/") == [200, 429, 200]
    assert calls.count("/async/") == 0


def test_several_rules_are_one_round_trip_and_a_request_that_one_denies_is_counted_by_none(limited, visit, raw):
    rules = [{**IP, "rate": "9/h"}, {**IP, "name": "login", "path": "/login/", "rate": "1/h, 5/d"}]
    with limited(*rules):
        visit("/sync/")
        assert verbs_sent(raw, lambda: visit("/login/")) == ["EVALSHA"]
        for _ in range(5):
            limiter._memories.clear()
            denied = visit("/login/")
            assert denied["RateLimit-Policy"] == '"ip";q=9;w=3600, "login:1/h";q=1;w=3600, "login:5/d";q=5;w=86400'
            assert [part.split(";")[0] for part in denied["RateLimit"].split(", ")] == ['"login:1/h"']
        assert len(names(raw)) == 3
        counted = dict(zip([name.split(":", 2)[2] for name in names(raw)], used(raw), strict=True))
    assert counted == {f"9/h:ip:ip:{MINE}": 2, f"1/h:login:ip:{MINE}": 1, f"5/d:login:ip:{MINE}": 1}


def test_rules_of_another_algorithm_are_asked_one_after_the_other(limited, visit, raw):
    rules = [
        {**IP, "name": "first", "rate": "1/h", "algorithm": "gcra"},
        {**IP, "name": "second", "algorithm": "fixed-window"},
        {**IP, "name": "third"},
        {**IP, "name": "fourth"},
    ]
    with limited(*rules):
        visit(address="203.0.113.8")  # which loads the scripts
        assert verbs_sent(raw, visit) == ["EVALSHA"] * 3
        assert verbs_sent(raw, visit) == ["EVALSHA"]
        assert {name.split(":")[1] for name in names(raw)} == {
            "s.limits.gcra",
            "s.limits.fixed-window",
            "s.limits.sliding-window",
        }


@pytest.mark.far("it is about calls of Redis")
def test_a_denied_visitor_that_hammers_costs_redis_nothing(limited, visit, raw):
    with limited({**IP, "rate": "1/h"}):
        visit()

        def hammer():
            assert {visit().status_code for _ in range(100)} == {429}

        assert verbs_sent(raw, hammer) == ["EVALSHA"]


def test_a_denial_is_told_for_each_rule_that_denies(limited, visit):
    heard = []

    def listen(event, **_):
        heard.append(event.key.split(":", 2)[2])

    rules = [{**IP, "name": name, "rate": rate} for name, rate in (("a", "9/h"), ("b", "1/h, 1/d"), ("c", "1/h"))]
    with limited(*rules):
        rate_limited.connect(listen)
        try:
            codes(visit, "/sync/", "/sync/")
        finally:
            rate_limited.disconnect(listen)
    assert heard == [f"1/h:b:ip:{MINE}", f"1/h:c:ip:{MINE}"]


def test_of_a_denial_that_is_remembered_nothing_is_told_that_comes_after_the_time_to_wait(limited, visit):
    with limited({**IP, "rate": "1/h"}, {**IP, "name": "other", "rate": "1/h"}):
        visit()
        visit()
        time.sleep(1.1)
        denied = visit()
    wait = denied["Retry-After"]
    assert int(wait) < 3600
    assert denied["RateLimit"] == f'"ip";r=0;t={wait}, "other";r=0;t={wait}'


# Who is counted


def test_a_hundred_spoofed_headers_are_one_bucket(limited, visit, raw):
    with limited({**IP, "rate": "1000/h"}, TRUSTED_PROXIES=1):
        for number in range(100):
            visit(address="10.0.0.1", x_forwarded_for=f"198.51.100.{number}, {MINE}", forwarded=f"for=6.6.6.{number}")
        assert [name.rpartition("ip:")[2] for name in names(raw)] == [MINE]


def test_a_thousand_addresses_of_one_64_are_one_bucket(limited, visit, raw, request):
    network = ip_network("2001:db8:1:2::/64")
    many = 100 if "async" in request.node.name else 1000  # a request makes an event loop of its own there
    with limited({**IP, "rate": f"{many - 1}/h"}):
        found = [visit(address=str(network[number * 7_919_777_333])).status_code for number in range(many)]
        assert len(names(raw)) == 1
    assert found == [200] * (many - 1) + [429]


def test_a_user_is_counted_wherever_it_comes_from_and_others_by_their_address(limited, visit, raw):
    middleware = (f"{__name__}.named", OURS)
    with limited({**IP, "key": "user_or_ip", "rate": "2/h"}, middleware=middleware):
        assert [visit(address=f"203.0.113.{number}", x_user="7").status_code for number in range(3)] == [200, 200, 429]
        assert codes(visit, *["/sync/"] * 3) == [200, 200, 429]
        assert {name.split(":", 4)[4] for name in names(raw)} == {"user:7", f"ip:{MINE}"}
    with limited({**IP, "name": "users", "key": "user", "rate": "2/h"}, middleware=middleware):
        assert codes(visit, *["/sync/"] * 3) == [200] * 3
        assert codes(visit, *["/sync/"] * 3, x_user="8") == [200, 200, 429]


def test_staff_is_exempt_if_the_rule_says_so(limited, visit):
    with limited({**IP, "exempt": "staff", "rate": "1/h"}, middleware=(f"{__name__}.named", OURS)):
        assert codes(visit, *["/sync/"] * 3, x_user="1") == [200] * 3
        assert codes(visit, *["/sync/"] * 3, x_user="2") == [200, 429, 429]


@pytest.mark.django_db(transaction=True)
def test_a_user_who_is_logged_in_is_found_on_both_handlers(limited, drive, raw):
    user = User.objects.create_user("anna")

    class LoggedIn:
        def ask(self):
            client = Client()
            client.force_login(user)
            return client.get("/whoami/")

        async def aask(self):
            client = AsyncClient()
            await client.aforce_login(user)
            return await client.get("/whoami/")

    with limited({**IP, "key": "user"}, middleware=(SESSIONS, AUTH, OURS)):
        assert drive(LoggedIn()).ask().content == b"anna"
        assert [name.split(":", 4)[4] for name in names(raw)] == [f"user:{user.pk}"]


def test_a_rule_by_address_touches_no_session_and_one_by_user_does(limited, visit):
    with limited(IP, middleware=(SESSIONS, AUTH, OURS)):
        assert "Vary" not in visit()
        assert {visit().get("Vary") for _ in range(3)} == {None, "Accept"}
    with limited({**IP, "name": "users", "key": "user_or_ip"}, middleware=(SESSIONS, AUTH, OURS)):
        assert visit()["Vary"] == "Cookie"


# What is told


def test_allowed_responses_tell_of_all_limits_if_the_site_wants_it(limited, visit):
    rules = [{**IP, "rate": "9/h"}, {**IP, "name": "view", "view": f"{__name__}.decorated", "rate": "8/m"}]
    with limited(*rules, RATE_LIMIT_HEADERS=True):
        response = visit("/decorated/")
        assert response["RateLimit-Policy"] == '"ip";q=9;w=3600, "view";q=8;w=60, "decorated";q=9;w=3600'
        assert response["RateLimit"] == '"ip";r=8;t=3600, "view";r=7;t=60, "decorated";r=8;t=3600'
        assert visit("/nowhere/")["RateLimit"] == '"ip";r=7;t=3600'
    with limited(*rules):
        assert "RateLimit" not in visit("/decorated/")


@pytest.mark.parametrize("headers", [True, False])
def test_a_request_that_a_rule_about_a_view_denies_tells_nothing_that_is_later(limited, visit, headers):
    rules = [{**IP, "rate": "9/d"}, {**IP, "name": "view", "view": "login", "rate": "1/h"}]
    with limited(*rules, RATE_LIMIT_HEADERS=headers):
        visit("/login/")
        denied = visit("/login/", accept="text/html")
    assert denied.status_code == 429
    assert denied["RateLimit-Policy"] == '"ip";q=9;w=86400, "view";q=1;w=3600'
    assert denied["RateLimit"] == f'"view";r=0;t={denied["Retry-After"]}'
    assert denied["Content-Type"] == "text/html; charset=utf-8"


@async_unsafe("no database on a loop")
def look_up():
    return "anna"


def lazy(get_response):
    """Give a request a user that only a thread can look up."""

    def middleware(request):
        request.user = SimpleLazyObject(look_up)
        return get_response(request)

    return middleware


@pytest.mark.parametrize("target", ["/sync/", "/async/"])
def test_a_page_of_the_site_may_ask_the_database(limited, visit, tmp_path, target):
    tmp_path.joinpath("django_dripcache").mkdir()
    tmp_path.joinpath("django_dripcache", "429.html").write_text("{{ request.user }}: {{ advice }}")
    templates = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    with limited({**IP, "rate": "1/m"}, middleware=(f"{__name__}.lazy", OURS)), override_settings(TEMPLATES=templates):
        visit(target)
        assert visit(target, accept="text/html").content.startswith(b"anna: Try again in ")


# Together


def test_many_threads_are_admitted_exactly_the_limit(limited):
    with limited({**IP, "rate": "40/h"}, {**IP, "name": "view", "view": "login", "rate": "30/h"}):

        def work(number):
            client = Client(REMOTE_ADDR=MINE)
            return [client.get("/login/").status_code for _ in range(12)]

        found = [code for codes in in_threads(8, work) for code in codes]
    assert (found.count(200), found.count(429)) == (30, 66)


def test_many_tasks_are_admitted_exactly_the_limit(limited):
    async def main():
        client = FromAfar(client=[MINE, 80])
        return [one.status_code for one in await asyncio.gather(*(client.get("/async/") for _ in range(60)))]

    with limited({**IP, "rate": "25/h"}):
        found = asyncio.run(main())
    assert (found.count(200), found.count(429)) == (25, 35)


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def test_a_real_server_counts_what_is_really_sent(limited, raw):
    with limited({**IP, "path": "/login/", "rate": "100/h"}):
        server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            for spelling in ("/login/", "//login/", "/LOGIN", "/%2flogin/", "/%256cogin/", "/./login/", "/login;x/"):
                connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
                connection.request("GET", spelling)
                connection.getresponse().read()
                connection.close()
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
        assert [name.split(":", 4)[4] for name in names(raw)] == ["ip:127.0.0.1"]
        assert used(raw) == [7]


def test_an_asgi_application_counts_what_is_really_sent(limited, raw):
    async def send(application, spelling):
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": spelling,
            "query_string": b"",
            "headers": [(b"host", b"testserver")],
            "server": ("testserver", 80),
            "client": None,
            "scheme": "http",
        }
        communicator = ApplicationCommunicator(application, scope)
        await communicator.send_input({"type": "http.request", "body": b"", "more_body": False})
        start = await communicator.receive_output(10)
        await communicator.receive_output(10)
        await communicator.wait(10)
        return start["status"]

    async def main():
        application = get_asgi_application()
        return [await send(application, one) for one in ("/async/", "//async/", "/ASYNC", "/async/;x", "/async/")]

    with limited({**IP, "path": "/async/"}):
        assert asyncio.run(main()) == [200, 404, 404, 429, 429]
        assert [name.split(":", 4)[4] for name in names(raw)] == ["ip:unknown"]


def test_between_middleware_that_is_not_async_it_is_not_async_either(limited, visit):
    with limited(
        IP, {**IP, "name": "view", "view": "login", "rate": "1/h"}, middleware=(OURS, f"{__name__}.only_sync")
    ):
        assert codes(visit, "/login/", "/login/", "/async/", "/async/") == [200, 429, 200, 429]


def test_a_middleware_is_a_coroutine_function_where_what_it_is_around_is_one():
    assert iscoroutinefunction(RateLimitMiddleware(page_async))
    assert iscoroutinefunction(RateLimitMiddleware(page_async).process_view)
    assert not iscoroutinefunction(RateLimitMiddleware(page))
    assert not iscoroutinefunction(RateLimitMiddleware(page).process_view)


def test_without_rules_redis_is_not_asked(limited, visit, raw):
    with limited():
        assert verbs_sent(raw, lambda: codes(visit, "/sync/", "/nowhere/")) == []


def test_a_rule_that_cannot_work_keeps_the_site_from_starting(limited):
    with limited({**IP, "rate": "often"}), pytest.raises(ConfigurationError, match="'rate'"):
        RateLimitMiddleware(page)


# Without Redis


def test_without_redis_each_rule_does_as_it_says(limited, visit):
    rules = [
        {**IP, "path": "/sync/", "rate": "4/h"},
        {**IP, "name": "open", "path": "/api/*", "on_outage": "open"},
        {**IP, "name": "closed", "path": "/login/", "on_outage": "closed"},
        {**IP, "name": "view", "view": "shop:buy", "rate": "2/h"},
    ]
    with limited(*rules, url=UNREACHABLE, options={}, WORKERS=2):
        assert codes(visit, *["/sync/"] * 4) == [200, 200, 429, 429]
        assert codes(visit, *["/api/"] * 4) == [200] * 4
        assert codes(visit, "/login/") == [429]
        assert codes(visit, *["/shop/buy/"] * 2) == [200, 429]


@needs_server
def test_a_redis_that_dies_and_comes_back_stops_no_request(start_server, limited, visit):
    server = start_server()
    with limited({**IP, "rate": "5/h"}, url=server.url, options={}):
        assert codes(visit, *["/sync/"] * 2) == [200, 200]
        server.kill()
        assert codes(visit, *["/sync/"] * 7) == [200] * 5 + [429] * 2
        server.start()
        with server.client() as root:
            wait_for(lambda: visit().status_code == 200)
            assert [name.rpartition("ip:")[2] for name in names(root)] == [MINE]


# One batch a request


class Page:
    """A page of parts that know nothing of each other, and how many round trips each of them came to."""

    def __init__(self):
        self.seen = []

    def part(self, key):
        with dripcache.batch() as batch:
            later = batch.get(key, f"no {key}")
        self.seen.append(later)
        return later

    def __call__(self, request):
        parts = {"nav": self.part("nav"), "user": self.part("user"), "unused": self.part("unused")}
        if "fail" in request.GET:
            raise LookupError
        if "look" in request.GET:
            return HttpResponse(Template("{{ nav }}, {{ user.value }}").render(Context(parts)))
        return HttpResponse("page")


@pytest.fixture(params=["sync", "async", "sync view over ASGI"])
def ask(request):
    """Return a function that lets a page answer one request through BatchMiddleware."""
    if request.param == "sync":
        yield lambda page, query="": BatchMiddleware(page)(RequestFactory().get(f"/?{query}")).content.decode()
        return
    loop = asyncio.new_event_loop()

    def asynchronous(page, query=""):
        async def aview(request):
            await asyncio.sleep(0)
            return page(request)

        middleware = BatchMiddleware(aview if request.param == "async" else sync_to_async(page))
        assert iscoroutinefunction(middleware)
        response = loop.run_until_complete(middleware(AsyncRequestFactory().get("/", QUERY_STRING=query)))
        return response.content.decode()

    yield asynchronous
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def asked(broker, monkeypatch):
    """How often the server was asked: a list that grows."""
    found, call = [], Server.call
    monkeypatch.setattr(Server, "call", lambda server: found.append(server) or call(server))
    return found


def test_the_parts_of_a_page_are_read_in_one_round_trip(ask, asked):
    assert ask(Page(), "look") == "no nav, no user"
    assert len(asked) == 1


def test_without_the_middleware_each_part_has_a_round_trip_of_its_own(asked):
    Page()(RequestFactory().get("/"))
    assert len(asked) == 3


def test_what_nobody_looks_at_is_not_asked_for_and_can_be_asked_for_later(ask, asked):
    page = Page()
    assert ask(page) == "page"
    assert asked == []
    assert [later.value for later in page.seen] == ["no nav", "no user", "no unused"]
    assert len(asked) == 1


def test_each_request_has_a_batch_of_its_own_also_after_one_that_failed(ask, asked):
    with pytest.raises(LookupError):
        ask(Page(), "fail")
    page = Page()
    assert ask(page) == "page"
    assert page.seen[0].value == "no nav"
    assert [repr(later) for later in page.seen] == ["<Later, answered>"] * 3
    assert len(asked) == 1


def test_nothing_is_open_after_a_request(ask, asked):
    ask(Page())
    with dripcache.batch() as batch:
        batch.get("nav")
    assert len(asked) == 1
