"""Tasks over all workers: kept results, one at a time, so many in a while."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone

import pytest
from celery import Celery, Task, chain
from celery.app.trace import build_tracer
from celery.exceptions import Ignore, Reject, Retry
from celery.result import EagerResult
from celery.signals import task_revoked
from django.test import override_settings

from django_dripcache import DuplicateTaskError, limiter
from django_dripcache.connections import close_all
from django_dripcache.contrib import celery_task
from django_dripcache.contrib.celery import Cached, Limited, Unique, cached_task, limited_task, unique_task
from tests import workers
from tests.processes import PATIENT, UNREACHABLE, shop


@pytest.fixture
def app(redis_server, raw, monkeypatch):
    """An app over the server of this process. Nobody takes its tasks but the test."""
    monkeypatch.setenv("DRIPCACHE_TEST_NOTES", redis_server.url)
    limiter._memories.clear()
    with shop(redis_server.url) as found:
        yield found


def send(app, name, *args, **kwargs):
    return app.tasks[f"workers.{name}"].apply_async(args, kwargs)


def queued(raw):
    """Return the messages that wait, the oldest first."""
    return [json.loads(message) for message in reversed(raw.lrange("celery", 0, -1))]


def work(app, message, *, retries=0):
    """Run a message as a worker does, in this process, and return what it came to."""
    headers = message["headers"]
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    request = {**headers, "args": args, "kwargs": kwargs, "retries": headers.get("retries", retries)}
    request |= {"is_eager": False, "called_directly": False, "delivery_info": {"routing_key": "celery"}}
    task = app.tasks[headers["task"]]
    tracer = build_tracer(task.name, task, app=app, eager=True, propagate=False)
    return tracer(headers["id"], args, kwargs, request)


def work_all(app, raw):
    done = []
    while queued(raw):
        (message,) = queued(raw)[:1]
        raw.rpop("celery")
        done.append(work(app, message))
    return done


def one():
    return 1


def ran(raw, name):
    return [value.decode() for value in raw.lrange(f"ran:{name}", 0, -1)]


# Results that are kept


def test_a_second_call_is_answered_with_the_result_and_sends_nothing(app, raw):
    send(app, "square", 4)
    work_all(app, raw)
    result = send(app, "square", 4)
    assert isinstance(result, EagerResult)
    assert (result.get(), result.state) == ([16, 1], "SUCCESS")
    assert queued(raw) == []
    assert ran(raw, "square") == ["4"]


def test_arguments_are_the_same_however_they_are_given(app, raw):
    send(app, "square", 4)
    work_all(app, raw)
    assert send(app, "square", number=4, unused="").get() == [16, 1]
    send(app, "square", 5)
    assert len(queued(raw)) == 1


def test_a_worker_that_is_given_what_is_known_does_not_run_it(app, raw):
    send(app, "square", 4)
    send(app, "square", 4)
    assert [found.retval for found in work_all(app, raw)] == [[16, 1], [16, 1]]
    assert ran(raw, "square") == ["4"]


def test_a_part_of_a_canvas_is_sent_so_that_what_follows_is_called(app, raw):
    send(app, "square", 4)
    work_all(app, raw)
    square = app.tasks["workers.square"]
    chain(square.s(4), square.si(5), app=app).apply_async()
    assert [message["headers"]["task"] for message in queued(raw)] == ["workers.square"]
    square.apply_async((4,), link=square.si(6))
    assert len(queued(raw)) == 2


def test_a_plain_call_runs_the_task_and_asks_nobody(app, raw):
    assert app.tasks["workers.square"](4) == [16, 1]
    assert app.tasks["workers.square"](4) == [16, 2]


@pytest.mark.parametrize("mood", ["retry", "ignore"])
def test_a_task_that_is_to_be_run_again_is_no_failure_that_a_stale_result_stands_in_for(app, raw, mood):
    send(app, "shaky", "a")
    work_all(app, raw)
    celery_task._store("default").expire("workers.shaky(what='a')")
    raw.set("mood", mood)
    send(app, "shaky", "a")
    message = queued(raw)[0]
    raw.rpop("celery")
    assert work(app, message).info.state == {"retry": "RETRY", "ignore": "IGNORED"}[mood]
    assert len(queued(raw)) == (mood == "retry")


def test_a_stale_result_stands_in_for_a_failure_within_its_grace(app, raw):
    send(app, "shaky", "a")
    work_all(app, raw)
    celery_task._store("default").expire("workers.shaky(what='a')")
    raw.set("mood", "fail")
    send(app, "shaky", "a")
    assert [found.retval for found in work_all(app, raw)] == ["a 1"]


def test_a_failure_is_not_kept(app, raw):
    raw.set("mood", "fail")
    send(app, "shaky", "a")
    assert work_all(app, raw)[0].info.state == "FAILURE"
    raw.delete("mood")
    send(app, "shaky", "a")
    assert work_all(app, raw)[0].retval == "a 2"


# One at a time


def test_a_task_that_is_queued_is_not_queued_again_and_its_result_is_the_answer(app, raw):
    first = send(app, "invoice", 1)
    again = send(app, "invoice", 1)
    assert again.id == first.id
    assert send(app, "invoice", 2).id != first.id
    assert len(queued(raw)) == 2


def test_it_may_be_sent_again_when_it_is_done(app, raw):
    send(app, "invoice", 1)
    work_all(app, raw)
    send(app, "invoice", 1)
    assert len(queued(raw)) == 1
    assert ran(raw, "invoice") == ["1"]


def test_a_tuple_is_the_list_that_it_arrives_as(app, raw):
    send(app, "invoice", 1, ("a", "b"))
    work_all(app, raw)
    assert raw.keys("dripcache:s.tasks:*") == []


def test_until_start_frees_it_when_a_worker_begins(app, raw, monkeypatch):
    seen = []
    monkeypatch.setattr(workers, "note", lambda *_: seen.append(raw.keys("dripcache:s.tasks:*")))
    send(app, "reindex", "all")
    assert len(raw.keys("dripcache:s.tasks:*")) == 1
    work_all(app, raw)
    assert seen == [[]]


def test_a_duplicate_raises_if_it_is_asked_for(app, raw):
    first = send(app, "strict", "a")
    with pytest.raises(DuplicateTaskError, match=r"workers\.strict with these arguments is queued or runs") as caught:
        send(app, "strict", "a")
    assert (caught.value.task, caught.value.holder) == ("workers.strict", first.id)


def test_a_duplicate_is_answered_by_a_callable_and_a_key_tells_what_is_one(app, raw):
    first = send(app, "greet", 7, "hello")
    assert send(app, "greet", 7, text="good bye") == ["workers.greet", (7,), {"text": "good bye"}, first.id]
    assert send(app, "greet", 8, "hello").id != first.id


def test_the_lock_survives_retries_and_is_freed_in_the_end(app, raw):
    send(app, "strict", "retry")
    states = []
    for _ in range(3):
        message = queued(raw)[0]
        raw.rpop("celery")
        states.append(work(app, message).info and "RETRY")
        if queued(raw):
            with pytest.raises(DuplicateTaskError):
                send(app, "strict", "retry")
    assert states == ["RETRY", "RETRY", None]
    assert ran(raw, "strict") == ["retry"] * 3
    assert raw.keys("dripcache:s.tasks:*") == []


@pytest.mark.parametrize("end", ["fail", "ignore", "reject"])
def test_however_a_task_ends_it_may_be_sent_again(app, raw, end):
    send(app, "strict", end)
    work_all(app, raw)
    assert ran(raw, "strict") == [end]
    assert send(app, "strict", end)


def test_a_task_that_is_revoked_may_be_sent_again(app, raw):
    result = send(app, "strict", "a")
    task = app.tasks["workers.strict"]
    request = type("Request", (), {"id": result.id, "args": ["a"], "kwargs": {}})()
    task_revoked.send(sender=task, request=request, terminated=False, signum=None, expired=True)
    assert send(app, "strict", "a").id != result.id


def test_a_redelivered_task_is_its_own_duplicate_and_runs(app, raw):
    send(app, "invoice", 1)
    message = queued(raw)[0]
    raw.rpop("celery")
    name = raw.keys("dripcache:s.tasks:*")[0]
    owner = raw.get(name)
    work(app, message)
    raw.set(name, owner, px=60_000)  # as if the worker had been killed before it was done
    assert work(app, message).retval == 2


def test_a_task_whose_lock_is_anothers_by_now_is_left_undone_and_frees_nothing(app, raw):
    send(app, "invoice", 1)
    message = queued(raw)[0]
    name = raw.keys("dripcache:s.tasks:*")[0]
    raw.set(name, "another's", px=60_000)
    assert work(app, message).info.state == "IGNORED"
    assert raw.get(name) == b"another's"
    assert ran(raw, "invoice") == []


def test_a_task_that_was_not_sent_through_the_task_is_one_at_a_time_as_well(app, raw):
    app.send_task("workers.invoice", (1,))
    app.send_task("workers.invoice", (1,))
    first, second = queued(raw)
    raw.set("dripcache:s.tasks:x", 1, px=1)
    assert work(app, first).retval == 1
    assert work(app, second).retval == 2  # the first one is done


def test_the_lock_lasts_for_what_a_task_waits(app, raw):
    task = app.tasks["workers.invoice"]
    task.apply_async((1,), countdown=100)
    task.apply_async((2,), eta=datetime.now(timezone.utc) + timedelta(seconds=200))
    lives = sorted(raw.pttl(name) for name in raw.keys("dripcache:s.tasks:*"))
    assert 129_000 < lives[0] <= 130_000
    assert 228_000 < lives[1] <= 230_000


def test_a_task_that_could_not_be_sent_is_not_held_for_sent(app, raw, monkeypatch):
    def fail(*_, **__):
        raise OSError

    monkeypatch.setattr(Task, "apply_async", fail)
    with pytest.raises(OSError):
        send(app, "invoice", 1)
    assert raw.keys("dripcache:s.tasks:*") == []


def test_while_redis_cannot_be_used_a_task_is_not_held_back():
    alias = {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": UNREACHABLE, "OPTIONS": PATIENT}
    with override_settings(CACHES={"default": alias}):
        found = Celery("memory", broker="memory://", set_as_current=False)
        task = unique_task(30, app=found, name="memory.unique")(one)
        assert task.apply_async().id
        assert task.apply_async().id
        close_all()


# So many in a while


def test_what_is_over_the_limit_is_sent_again_and_that_is_no_retry(app, raw):
    for _ in range(2):
        send(app, "mail", 7)
    assert work(app, queued(raw)[0]).retval == 1
    raw.rpop("celery")
    message = queued(raw)[0]
    raw.rpop("celery")
    outcome = work(app, message)
    assert outcome.info.state == "RETRY"
    assert isinstance(outcome.info.retval, Retry)
    again = queued(raw)[0]["headers"]
    assert (again["id"], again["retries"]) == (message["headers"]["id"], 0)
    eta = datetime.fromisoformat(again["eta"]) - datetime.now(timezone.utc)
    assert 800 < eta.total_seconds() <= celery_task.LONGEST_DELAY
    assert ran(raw, "mail") == ["7"]


def test_a_key_has_a_limit_of_its_own(app, raw):
    send(app, "mail", 7)
    send(app, "mail", 8)
    assert [found.retval for found in work_all(app, raw)] == [1, 2]


def test_all_three_at_once(app, raw):
    first = send(app, "all", 1)
    assert send(app, "all", 1).id == first.id
    work_all(app, raw)
    assert send(app, "all", 1).get() == 1  # kept, so nothing is sent and no limit is used
    send(app, "all", 2)
    message = queued(raw)[0]
    raw.rpop("celery")
    assert work(app, message).info.state == "RETRY"
    assert send(app, "all", 2).id == message["headers"]["id"]
    assert ran(raw, "all") == ["1"]


# What cannot be


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cached_task(0), "more than 0 seconds"),
        (lambda: unique_task(-1), "more than 0 seconds"),
        (lambda: unique_task(5, until="end"), "allowed are 'start' and 'finish'"),
        (lambda: unique_task(5, on_duplicate="ignore"), "allowed are 'drop', 'raise' and a callable"),
        (lambda: limited_task("ten a minute"), "cannot be read"),
        (lambda: Cached(ttl=0), "more than 0 seconds"),
        (lambda: Unique(lock_ttl=0), "more than 0 seconds"),
        (lambda: Limited(rate="10"), "cannot be read"),
    ],
)
def test_what_is_out_of_range_is_told_when_the_task_is_defined(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_arguments_that_do_not_fit_are_told_to_the_sender(app, raw):
    with pytest.raises(TypeError):
        send(app, "invoice")
    assert queued(raw) == []


def test_a_base_of_the_sites_own_is_kept():
    class Base(Task):
        abstract = True
        flavour = "site"

    found = Celery("bases", broker="memory://", set_as_current=False)
    task = cached_task(5, app=found, base=Base, name="bases.one", ignore_result=True)(one)
    assert (task.flavour, task.ignore_result, task.cached.ttl) == ("site", True, 5)
    assert isinstance(task._get_current_object(), (Base, celery_task.CacheTask))


def test_the_ends_of_a_task_are_those_that_celery_knows():
    assert not issubclass(celery_task._Passing, Exception)
    assert {Ignore, Reject, Retry} <= set(celery_task.TaskPredicate.__subclasses__())
