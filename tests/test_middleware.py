"""The budget of a request, and of a Celery task."""

from __future__ import annotations

import asyncio
import time

import pytest
from asgiref.sync import iscoroutinefunction
from celery.signals import task_postrun, task_prerun
from django.core.cache import cache
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings

from django_dripcache.backend import get_alias_server
from django_dripcache.contrib.celery import install
from django_dripcache.deadline import BUDGET, budget
from django_dripcache.middleware import CacheBudgetMiddleware

from .faults.proxy import Proxy
from .processes import make_app, site, wait_for

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

    @app.task(name="tests.budget")
    def look():
        seen.append(BUDGET.get().limit)
        BUDGET.get().spend(100)

    with override_settings(DRIPCACHE={"TASK_BUDGET": 3}):
        look.delay()
        look.delay()
    assert seen == [3, 3]
    assert BUDGET.get() is None


def test_a_task_that_runs_eagerly_within_a_request_leaves_the_request_its_budget(app):
    @app.task(name="tests.eager")
    def spend():
        BUDGET.get().spend(100)

    with override_settings(DRIPCACHE={}), budget(0.5) as of_the_request:
        spend.delay()
        assert BUDGET.get() is of_the_request
        assert of_the_request.remaining == 0.5
    assert BUDGET.get() is None


def test_a_task_that_fails_leaves_no_budget_behind(app):
    @app.task(name="tests.failing")
    def fail():
        assert BUDGET.get() is not None
        raise LookupError

    with override_settings(DRIPCACHE={}):
        assert isinstance(fail.delay().result, LookupError)
    assert BUDGET.get() is None


def test_a_task_budget_of_none_is_no_bound(app):
    seen = []

    @app.task(name="tests.unbounded")
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


def test_a_task_spends_no_more_than_its_budget_on_a_slow_server(app, wire):
    @app.task(name="tests.slow")
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
