"""Tasks that are cached, unique or limited, for real workers; what ran is written down in Redis."""

from __future__ import annotations

import os
import time
from typing import Any

import redis
from celery.exceptions import Ignore, Reject

from django_dripcache.contrib.celery import Cached, Limited, cached_task, limited_task, unique_task


def notes() -> Any:
    return redis.Redis.from_url(os.environ["DRIPCACHE_TEST_NOTES"], decode_responses=True)


def note(name: str, value: object) -> int:
    """Write down that a task ran, wait while the test holds it, and return how many ran by now."""
    with notes() as client:
        count = int(client.rpush(f"ran:{name}", f"{value}"))
        while client.get("hold"):
            time.sleep(0.01)
        return count


@cached_task(60, name="workers.square")
def square(number: int, *, unused: str = "") -> list[int]:
    return [number * number, note("square", number)]


@cached_task(60, grace=60, name="workers.shaky", bind=True, max_retries=3)
def shaky(self: Any, what: str) -> str:
    count = note("shaky", what)
    with notes() as client:
        mood = client.get("mood")
    if mood == "retry":
        raise self.retry(countdown=0)
    if mood == "fail":
        raise LookupError(what)
    if mood == "ignore":
        raise Ignore
    return f"{what} {count}"


@unique_task(30, name="workers.invoice")
def invoice(number: int, lines: Any = ()) -> int:
    return note("invoice", number)


@unique_task(30, until="start", name="workers.reindex")
def reindex(what: str) -> int:
    return note("reindex", what)


@unique_task(30, on_duplicate="raise", name="workers.strict", bind=True, max_retries=2)
def strict(self: Any, what: str) -> int:
    count = note("strict", what)
    if what == "retry" and self.request.retries < 2:
        raise self.retry(countdown=0.2)
    if what == "fail":
        raise LookupError(what)
    if what == "ignore":
        raise Ignore
    if what == "reject":
        raise Reject(what, requeue=False)
    return count


def answer(task: Any, args: Any, kwargs: Any, holder: str) -> list[Any]:
    return [task.name, args, kwargs, holder]


@unique_task(30, on_duplicate=answer, key="{user}", name="workers.greet")
def greet(user: int, text: str) -> int:
    return note("greet", text)


@unique_task(2, name="workers.fragile", acks_late=False)
def fragile(number: int) -> int:
    return note("fragile", number)


@limited_task("50/s", name="workers.call")
def call(number: int) -> None:
    with notes() as client:
        seconds, micro = client.time()
        client.rpush("ran:call", seconds + micro / 1e6)


@limited_task("1/h", key="{user}", name="workers.mail", max_retries=0)
def mail(user: int) -> int:
    return note("mail", user)


@unique_task(30, name="workers.all", cached=Cached(ttl=60), limited=Limited(rate="1/h"))
def everything(number: int) -> int:
    return note("all", number)
