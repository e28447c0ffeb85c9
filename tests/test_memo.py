"""Functions whose results are kept: the key of a call, what its verbs do, and what is no function to keep."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import copy
import functools
import inspect
import itertools
import os
import pickle
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.contrib.auth.models import User
from django.template import Context as TemplateContext
from django.template import Engine
from django.utils.functional import cached_property

from django_dripcache import (
    CacheClient,
    CacheUnavailableError,
    InvalidKeyError,
    Memoized,
    SerializationError,
    cache,
    memoize,
    on_outage,
)
from django_dripcache.arguments import canonical

from .processes import UNREACHABLE, in_threads, run_python, site, wait_for

HERE = __name__
calls = collections.Counter()


class BrokenError(Exception):
    """What a function raises."""


@pytest.fixture(autouse=True)
def _count_anew():
    calls.clear()


@pytest.fixture
def here(redis_server, raw):
    """A patient site over the server of this process."""
    with site(redis_server.url):
        yield raw


@memoize(60)
def add(a, b=2, *, c=0):
    """Add."""
    calls["add"] += 1
    return a + b + c


@memoize(60)
def anything(*args, **kwargs):
    calls["anything"] += 1
    return args, kwargs


@memoize(60)
def nothing(number):
    calls["nothing"] += 1


@memoize(60)
async def fetch(url, size=1):
    """Fetch."""
    calls["fetch"] += 1
    await asyncio.sleep(0)
    return [url] * size


@memoize(60, tags=["reports", "user:{user.pk}"], grace=30)
def report(user, year=2026):
    calls["report"] += 1
    return f"{user.pk} in {year}: {calls['report']}"


class Plain:
    """A class of which no key can be made."""

    number = 0

    @memoize(60)
    def refused(self):
        return self.number

    @memoize(60, key="plain:{self.number}:{count}")
    def price(self, count=1):
        calls["price"] += 1
        return self.number * count

    @memoize(60, key="stock:{self.number}:{count}")
    async def stock(self, count=1):
        calls["stock"] += 1
        return self.number + count

    @memoize(60)
    @classmethod
    def build(cls, count=1):
        calls["build"] += 1
        return [cls.__name__, count]

    @classmethod
    @memoize(60)
    def make(cls, count=1):
        calls["make"] += 1
        return [cls.__name__, count]

    @memoize(60)
    @classmethod
    async def abuild(cls, count=1):
        calls["abuild"] += 1
        return [cls.__name__, count]

    @memoize(60)
    @staticmethod
    def plain(count=1):
        calls["plain"] += 1
        return count

    @staticmethod
    @memoize(60)
    def bare(count=1):
        calls["bare"] += 1
        return count

    @property
    @memoize(60, key="total:{self.number}")
    def total(self):
        calls["total"] += 1
        return self.number

    @cached_property
    @memoize(60, key="whole:{self.number}")
    def whole(self):
        return self.number


class Derived(Plain):
    """Inherits what is memoized."""

    def price(self, count=1):
        return -super().price(count)


class Account(User):
    """A row with memoized methods."""

    class Meta:
        proxy = True
        app_label = "auth"

    @memoize(60)
    def balance(self, currency="EUR"):
        calls["balance"] += 1
        return f"{self.pk} {currency}"

    @memoize(60)
    async def debts(self):
        return self.pk


def numbered(number):
    """Return an object whose attribute is a number."""
    plain = Plain()
    plain.number = number
    return plain


# The key of a call


def test_a_result_is_computed_once(here):
    assert add(1) == add(1) == add(a=1, b=2) == 3
    assert calls["add"] == 1
    assert here.exists(f"dripcache:c:{HERE}.add(a=1, b=2, c=0)".replace(" ", "%20"))


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1,), {}), ((1, 2), {}), ((1,), {"b": 2}), ((), {"b": 2, "a": 1}), ((), {"c": 0, "a": 1}), ((1, 2), {"c": 0})],
)
def test_the_form_of_a_call_is_not_a_part_of_its_key(args, kwargs):
    assert add.key(*args, **kwargs) == f"{HERE}.add(a=1, b=2, c=0)"


def none():
    """No parameter."""


def one(a):
    """One."""


def two_more(a, b=[], c=None):  # noqa: B006
    """Two that may be left out."""


def by_place(a, b=1, /, c=2):
    """Two that have no name outside."""


def by_name(a=1, *, b=2):
    """One that is always named."""


def rest(a, *others):
    """As many as there are."""


@pytest.mark.parametrize("function", [none, one, two_more, by_place, by_name, rest], ids=lambda each: each.__name__)
def test_every_way_to_give_arguments_has_the_key_that_python_would_bind_them_to(function):
    memoized, signature, fits = memoize(60)(function), inspect.signature(function), 0
    for count, named in itertools.product(range(5), [{}, {"c": 9}, {"b": 8, "c": 9}, {"b": 8}]):
        args = tuple(range(10, 10 + count))
        try:
            bound = signature.bind(*args, **named)
        except TypeError as error:
            with pytest.raises(TypeError, match=re.escape(str(error))):
                memoized.key(*args, **named)
            continue
        bound.apply_defaults()
        parts = ", ".join(f"{name}={canonical(name, value)}" for name, value in bound.arguments.items())
        assert memoized.key(*args, **named) == f"{HERE}.{function.__name__}({parts})"
        fits += 1
    assert fits


def test_arguments_without_a_name_count_in_their_order_and_named_ones_do_not():
    assert anything.key(1, 2) != anything.key(2, 1)
    assert anything.key(a=1, b=2) == anything.key(b=2, a=1)
    keys = [
        anything.key(),
        anything.key((1, 2)),
        anything.key(1, 2),
        anything.key([1, 2]),
        anything.key(args=(1, 2)),
        anything.key({"a": 1}),
        anything.key(a=1),
        anything.key(kwargs={"a": 1}),
        anything.key("a=1"),
    ]
    assert len(set(keys)) == len(keys)


def test_equal_arguments_of_other_types_have_results_of_their_own(here):
    for value in (1, True, 1.0, "1"):
        assert repr(anything(value)) == repr(((value,), {}))
    assert calls["anything"] == 4


def test_arguments_that_cannot_be_hashed_may_be_given(here):
    argument = {"b": [1, {2, 3}], "a": {"c": ()}}
    assert anything(argument) == anything(dict(reversed(argument.items()))) == ((argument,), {})
    assert calls["anything"] == 1


def test_arguments_that_do_not_fit_raise_what_the_function_would():
    for verb in (add, add.key, add.peek, add.refresh, add.invalidate):
        with pytest.raises(TypeError, match="missing a required argument: 'a'"):
            verb(b=1)
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            verb(1, d=1)


@memoize(60)
def takes(self, function, /, args=0, *, key=1, default=2, ttl=3, tags=4, **kwargs):
    return [self, function, args, key, default, ttl, tags, kwargs]


@memoize(60)
def of(self, manager=None, cls=None):
    return [self, manager, cls]


def test_parameters_may_have_any_name(here):
    given = {"args": 1, "key": 2, "default": 3, "ttl": 4, "tags": 5, "self": 6, "function": 7, "kwargs": 8, "type": 9}
    rest = {name: given[name] for name in ("self", "function", "kwargs", "type")}
    assert takes(0, 0, **given) == [0, 0, 1, 2, 3, 4, 5, rest]
    assert takes.peek(0, 0, **given) == takes.refresh(0, 0, **given)
    assert takes.invalidate(0, 0, **given)
    assert of(self=1, manager=2, cls=3) == of(1, 2, 3) == of.peek(self=1, manager=2, cls=3)


@memoize(60)
def contextual(context):
    return context


def test_a_function_of_one_argument_is_not_given_a_context(here, drive):
    assert contextual("mine") == contextual("mine") == "mine"
    assert contextual.refresh(context="mine") == "mine"
    assert drive(contextual).refresh("mine") == "mine"
    assert functools.reduce(lambda value, _: contextual(value), range(3), "a") == "a"


@pytest.mark.parametrize(
    "value", ["a:b", "*", "{x}", "ü\n\0\ud800", "x" * 100_000, "", "))", "')"], ids=lambda v: v[:9]
)
def test_an_argument_may_be_any_text(here, value):
    assert anything(value) == anything(value) == ((value,), {})
    assert anything(value + "!") == ((value + "!",), {})
    assert calls["anything"] == 2
    assert anything.invalidate(value)
    assert anything.peek(value + "!") is not None


def test_a_default_is_not_evaluated_anew_and_a_changed_argument_does_not_change_the_key(here):
    words = ["a"]
    assert consume(words) == "a"
    assert words == []
    words.append("a")
    assert consume.refresh(words) == "a"
    assert consume.peek(["a"]) == "a"
    assert consume.peek([]) is None


@memoize(60, tags=["words:{words}"])
def consume(words):
    return words.pop()


# What is kept


@pytest.mark.parametrize("value", [None, False, 0, "", [], b""], ids=repr)
def test_any_result_is_kept(here, value):
    for _ in range(2):
        assert constant(value) == value
    assert calls["constant"] == 1


@memoize(60)
def constant(value):
    calls["constant"] += 1
    return value


def test_a_none_that_is_kept_is_told_from_nothing_by_its_key(here, drive):
    missing = object()
    assert nothing.peek(1) is None
    assert cache.get(nothing.key(1), missing) is missing
    nothing(1)
    assert drive(nothing).peek(1) is None
    assert cache.get(nothing.key(1), missing) is None
    assert cache.has(nothing.key(1))
    nothing(1)
    assert calls["nothing"] == 1


def test_peek_does_not_call(here, drive):
    assert drive(add).peek(1) is None
    add(1)
    assert drive(add).peek(b=2, a=1) == 3
    assert calls["add"] == 1


def test_refresh_calls_whatever_is_kept(here, drive):
    for number in range(1, 3):
        assert drive(report).refresh(User(pk=7)) == f"7 in 2026: {number}"
    assert report(User(pk=7)) == report.peek(User(pk=7)) == "7 in 2026: 2"


def test_invalidate_forgets_one_call(here, drive):
    add(1), add(2)
    assert drive(add).invalidate(a=1) is True
    assert drive(add).invalidate(a=1) is False
    assert add.peek(1) is None
    assert add.peek(2) == 4


def test_what_refresh_keeps_is_as_what_a_call_keeps(here):
    user = User(pk=7)
    lives, tags, sizes = [], [], []
    for verb in (report, report.refresh):
        assert verb(user)
        name = b"dripcache:c:" + here.keys("dripcache:c:*")[0].removeprefix(b"dripcache:c:")
        lives.append(here.pttl(name))
        assert timedelta(seconds=58) < cache.ttl(report.key(user)) <= timedelta(seconds=60)
        tags.append(set(here.scan_iter("dripcache:t:*")))
        sizes.append(cache.invalidate_tags("user:7"))
        assert report.peek(user) is None
        verb(user)
        cache.invalidate_tags("reports")
        assert report.peek(user) is None
        here.flushdb()
    assert all(88_000 < life <= 90_000 for life in lives)
    assert tags == [{b"dripcache:t:reports", b"dripcache:t:user%3A7"}] * 2 or len(set(map(len, tags))) == 1
    assert sizes == [1, 1]


def test_refresh_keeps_for_the_default_ttl_where_none_was_given(here):
    plain_ttl = CacheClient(prefix="p")
    kept = plain_ttl.memoize(key="k")(lambda: 1)
    assert kept() == kept.refresh() == 1
    assert timedelta(seconds=290) < cache.ttl("p:k") <= timedelta(seconds=300)


@memoize(60, type=list[int])
def numbers(count):
    calls["numbers"] += 1
    return list(range(count))


def test_a_result_of_another_type_is_none(here, drive):
    assert numbers(3) == numbers(3) == drive(numbers).peek(3) == [0, 1, 2]
    cache.set(numbers.key(3), "text")
    assert drive(numbers).peek(3) is None
    assert numbers(3) == [0, 1, 2]
    assert drive(numbers).refresh(3) == numbers.peek(3) == [0, 1, 2]
    assert calls["numbers"] == 3


@pytest.mark.parametrize("junk", [b"junk", b"\xde", b"\xdc" * 40, b"\xde1 999999 0 0\nx"])
def test_what_nobody_can_read_is_computed_anew(here, junk, drive):
    assert add(1) == 3
    (name,) = here.keys("*")
    here.set(name, junk, px=60_000)
    assert drive(add).peek(1) is None
    here.set(name, junk, px=60_000)
    assert add(1) == add(1) == 3
    assert calls["add"] == 2


def test_a_key_of_another_type_of_redis_is_left_alone(here, drive):
    add(1)
    (name,) = here.keys("*")
    here.delete(name)
    here.rpush(name, 1)
    assert add(1) == 3
    assert drive(add).peek(1) is None
    assert here.lrange(name, 0, -1) == [b"1"]


def test_a_result_that_is_too_large_is_returned_and_not_kept(here, drive):
    assert len(large(2**20 + 1)) == len(drive(large).refresh(2**20 + 1)) == 2**20 + 1
    assert here.keys("*") == []


@memoize(60)
def large(size):
    return os.urandom(size)


@memoize(60)
def broken(number):
    calls["broken"] += 1
    raise BrokenError(number)


@memoize(60)
async def abroken(number):
    calls["broken"] += 1
    raise BrokenError(number)


def test_what_the_function_raises_is_the_callers_and_is_not_kept(here):
    for verb in (broken, broken.refresh, async_to_sync(abroken), async_to_sync(abroken.arefresh)):
        for _ in range(2):
            with pytest.raises(BrokenError, match="5"):
                verb(5)
    assert calls["broken"] == 8
    assert here.keys("*") == []


def test_a_result_that_cannot_be_kept_is_told(here):
    for verb in (locked, locked.refresh):
        with pytest.raises(SerializationError, match="lock"):
            verb()
    assert here.keys("*") == []


@memoize(60)
def locked():
    return threading.Lock()


def test_a_refresh_that_fails_leaves_what_is_kept(here):
    results = iter([1, BrokenError(), 2])

    def draw():
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    kept = memoize(60, key="drawn")(draw)
    assert kept() == 1
    with pytest.raises(BrokenError):
        kept.refresh()
    assert kept() == 1
    assert kept.refresh() == kept() == 2


def test_a_result_is_served_stale_where_the_function_fails(here):
    down = []

    def rate():
        if down:
            raise BrokenError
        return 7

    kept = memoize(0.02, key="rate", grace=60)(rate)
    assert kept() == 7
    down.append(True)
    wait_for(lambda: not cache.has("rate"))
    assert kept.peek() is None
    assert kept() == 7


def test_a_function_may_call_itself(here):
    assert fibonacci(20) == 6765
    assert calls["fibonacci"] == 21


@memoize(60)
def fibonacci(number):
    calls["fibonacci"] += 1
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


def test_a_function_may_be_memoized_twice(here):
    near = memoize(5)(add)
    assert isinstance(near, Memoized)
    assert near(1) == near(1) == 3
    assert CacheClient(prefix="far").memoize(60)(add)(1) == 3
    assert calls["add"] == 1


# Void


VOIDS = {
    "invalidate": lambda kept: kept.invalidate(),
    "a tag": lambda kept: cache.invalidate_tags("row"),
    "clear": lambda kept: cache.clear(),
    "another refresh": lambda kept: kept.refresh(),
}


@pytest.mark.parametrize("void", VOIDS.values(), ids=VOIDS)
@pytest.mark.parametrize("verb", ["call", "refresh"])
@pytest.mark.parametrize("before", ["nothing", "something"])
def test_what_was_computed_before_it_was_voided_is_not_kept(here, void, verb, before, drive):
    row = ["before"]

    def load():
        value = row[0]
        if value == "old":
            row[0] = "new"
            void(kept)
        return value

    kept = memoize(60, key="row", tags=["row"], beta=0)(load)
    if before == "something":
        kept()
        if verb == "call":
            kept.invalidate()
    row[0] = "old"
    assert (kept() if verb == "call" else drive(kept).refresh()) == "old"
    assert kept.peek() in {None, "new"}
    assert kept() == "new"


def test_while_a_result_is_refreshed_others_get_what_is_kept(here):
    entered, go = threading.Event(), threading.Event()
    rows = iter(["old", "new"])

    def load():
        row = next(rows)
        if row == "new":
            entered.set()
            go.wait(10)
        return row

    kept = memoize(60, key="row", beta=0)(load)
    assert kept() == "old"
    with ThreadPoolExecutor(1) as threads:
        refreshed = threads.submit(kept.refresh)
        entered.wait(10)
        assert kept() == kept.peek() == "old"
        go.set()
        assert refreshed.result(10) == "new"
    assert kept() == "new"


def test_a_refresh_does_not_wait_for_who_computes_already(here):
    entered, go = threading.Event(), threading.Event()
    rows = iter(["old", "new"])

    def load():
        row = next(rows)
        if row == "old":
            entered.set()
            go.wait(10)
        return row

    kept = memoize(60, key="row")(load)
    with ThreadPoolExecutor(1) as threads:
        computed = threads.submit(kept)
        entered.wait(10)
        assert kept.refresh() == kept() == "new"
        go.set()
        assert computed.result(10) == "old"
    assert kept() == "new"


def test_a_refresh_leaves_no_lease_behind(here, drive):
    def fail():
        raise BrokenError

    for load in (fail, locked.__wrapped__, lambda: os.urandom(2**20 + 1), lambda: 1):
        kept = memoize(60, key="row")(load)
        with contextlib.suppress(BrokenError, SerializationError):
            drive(kept).refresh()
        assert here.keys("dripcache:l:*") == []
    assert kept.peek() == 1


def test_a_client_refreshes_a_key(here, drive):
    client = CacheClient(prefix="p")
    client.set("key", "old")
    assert drive(client).refresh("key", lambda: "new", tags=["tag"]) == client.get("key") == "new"
    assert drive(client).refresh("key", lambda context: f"{context.has_stale}") == client.get("key") == "False"
    assert drive(client).refresh("key", lambda: "none", 0) == "none"
    assert drive(client).refresh("key", lambda: [1], 60, type=list[int], jitter=1) == [1]
    assert here.rpush("dripcache:c:p:list", 1)
    assert drive(client).refresh("list", lambda: "new") == "new"


@pytest.mark.parametrize("when", ["fetch", "store"])
def test_what_could_not_be_replaced_is_removed_when_redis_is_back(start_server, drive, when):
    server = start_server()
    with site(server.url, {"SOCKET_TIMEOUT": 0.3}):
        cache.set("key", "old")

        def load():
            server.pause()
            return "new"

        if when == "fetch":
            server.pause()
        assert drive(cache).refresh("key", load) == "new"
        server.resume()
        wait_for(cache.test_connection)
        assert cache.get("key") is None


# Many callers


def test_threads_compute_once(here):
    assert set(in_threads(20, lambda _: slow(1))) == {1}
    assert calls["slow"] == 1


@memoize(60)
def slow(number):
    calls["slow"] += 1
    time.sleep(0.1)
    return number


def test_tasks_compute_once(here):
    async def main():
        return await asyncio.gather(*[aslow(1) for _ in range(20)])

    assert set(asyncio.run(main())) == {1}
    assert calls["aslow"] == 1


@memoize(60)
async def aslow(number):
    calls["aslow"] += 1
    await asyncio.sleep(0.05)
    return number


def test_another_process_finds_the_result(redis_server, here):
    code = """
        import json, django; django.setup()
        from tests.processes import be_patient; be_patient()
        from tests import test_memo
        result = test_memo.report(test_memo.User(pk=7), year=2020)
        print(json.dumps([result, test_memo.calls["report"], test_memo.report.key(test_memo.User(pk=7), 2020)]))
    """
    first = run_python(code, redis_server.url, PYTHONHASHSEED="1")
    assert first[:2] == ["7 in 2020: 1", 1]
    assert run_python(code, redis_server.url, PYTHONHASHSEED="2") == [first[0], 0, first[2]]
    assert report.invalidate(User(pk=7), 2020)
    assert report.key(User(pk=7), 2020) == first[2]


# Coroutine functions


def test_a_coroutine_function_is_awaited_once(here):
    async def main():
        assert await fetch("url") == ["url"]
        assert await fetch(url="url", size=1) == ["url"]
        assert calls["fetch"] == 1
        assert await fetch.apeek("url") == ["url"]
        assert await fetch.refresh("url") == await fetch.arefresh("url") == ["url"]
        assert calls["fetch"] == 3
        assert await fetch.ainvalidate("url") is True
        assert await fetch.apeek("url") is None
        coroutine = fetch("other")
        assert inspect.iscoroutine(coroutine)
        assert calls["fetch"] == 3
        assert await coroutine == ["other"]

    asyncio.run(main())


def test_what_is_kept_of_a_coroutine_function_is_known_without_an_event_loop(here):
    assert async_to_sync(fetch)("url") == ["url"]
    assert fetch.peek("url") == ["url"]
    assert fetch.invalidate("url") is True
    assert fetch.peek("url") is None


@pytest.mark.parametrize(
    "function",
    [
        fetch,
        Plain().stock,
        Plain.stock,
        Plain.abuild,
        Plain().abuild,
        Account(pk=1).debts,
        functools.partial(fetch, "a"),
    ],
)
def test_a_coroutine_function_is_known_as_one(function):
    assert inspect.iscoroutinefunction(function)
    assert iscoroutinefunction(function)


@pytest.mark.parametrize("function", [add, Plain().price, Plain.build, Plain.bare, fetch.peek])
def test_another_function_is_not(function):
    assert not inspect.iscoroutinefunction(function)
    assert not iscoroutinefunction(function)


def test_a_partial_coroutine_function_may_be_memoized(here):
    async def load(prefix, name):
        return prefix + name

    kept = memoize(60, key="partial:{name}")(functools.partial(load, "a"))
    assert iscoroutinefunction(kept)
    assert async_to_sync(kept)("b") == "ab"


def test_a_function_is_called_under_an_event_loop_as_without(here):
    async def main():
        assert add(1) == 3
        assert await add.arefresh(1) == 3
        assert await add.apeek(1) == add.peek(1) == 3
        assert await sync_to_async(add)(1) == 3
        assert await add.ainvalidate(1)

    asyncio.run(main())
    assert calls["add"] == 2


def test_a_cancelled_call_gives_up_its_lease(here):
    async def main():
        task = asyncio.create_task(forever())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert here.keys("*") == []


@memoize(60)
async def forever():
    await asyncio.sleep(60)


# Methods


def test_a_method_of_a_row_is_kept_for_the_row(here, drive):
    account = Account(pk=7)
    assert account.balance() == account.balance("EUR") == Account.balance(account) == "7 EUR"
    assert Account(pk=8).balance() == "8 EUR"
    assert calls["balance"] == 2
    assert drive(account.balance).peek() == Account.balance.peek(account, currency="EUR") == "7 EUR"
    assert account.balance.key() == f"{HERE}.Account.balance(self=auth.account:7, currency='EUR')"
    assert drive(account.balance).invalidate()
    assert Account(pk=8).balance.peek() == "8 EUR"
    assert drive(account.balance).refresh("USD") == account.balance.peek("USD") == "7 USD"
    assert async_to_sync(account.debts)() == account.debts.peek() == 7


def test_a_method_of_a_row_that_is_not_saved_is_refused():
    with pytest.raises(TypeError, match="argument self of type Account: it has no primary key yet"):
        Account().balance()


def test_a_method_of_another_object_needs_a_key(here, drive):
    with pytest.raises(TypeError, match=r"argument self of type Plain: .*Give key="):
        Plain().refused()
    two, three = numbered(2), numbered(3)
    assert (two.price(), two.price(5), three.price(5), two.price(count=5)) == (2, 10, 15, 10)
    assert calls["price"] == 3
    assert drive(two.price).invalidate(5)
    assert two.price.peek(5) is None
    assert drive(three.price).peek(5) == 15
    assert three.price.key() == "plain:3:1"
    assert async_to_sync(two.stock)(1) == two.stock.peek(1) == 3
    assert async_to_sync(three.stock)(1) == 4


def test_a_method_may_be_overridden_and_asked_above(here):
    derived = Derived()
    derived.number = 4
    assert derived.price(2) == -8
    assert numbered(4).price.peek(2) == 8


def test_a_property_may_be_memoized_below(here):
    two = numbered(2)
    assert (two.total, two.total, two.whole) == (2, 2, 2)
    assert calls["total"] == 1


@pytest.mark.parametrize("name", ["build", "make"])
def test_a_class_method_is_kept_for_its_class(here, name):
    on, of_derived, of_object = (getattr(target, name) for target in (Plain, Derived, Derived()))
    assert on() == on(1) == on(count=1) == ["Plain", 1]
    assert of_derived() == of_object(1) == ["Derived", 1]
    assert calls[name] == 2


def test_a_class_method_has_its_verbs(here, drive):
    Plain.build(5), Derived.build(5)
    assert Plain.build.key(5) == f"{HERE}.Plain.build(cls={HERE}.Plain, count=5)"
    assert drive(Plain.build).invalidate(5)
    assert drive(Derived().build).peek(5) == ["Derived", 5]
    assert drive(Derived.build).refresh(count=6) == Derived.build.peek(6) == ["Derived", 6]
    assert async_to_sync(Plain.abuild)(2) == Plain.abuild.peek(2) == ["Plain", 2]


def test_a_class_method_on_top_has_its_verbs_or_says_where_to_write_it(here):
    Plain.make(5)
    if isinstance(Plain.make, Memoized):  # before Python 3.13
        assert Plain.make.peek(5) == ["Plain", 5]
        return
    with pytest.raises(TypeError, match="Write @memoize above @classmethod"):
        Plain.make.peek(5)
    assert Plain.make.peek(Plain, 5) == ["Plain", 5]


@pytest.mark.parametrize("name", ["plain", "bare"])
def test_a_static_method_is_kept(here, name):
    for target in (Plain, Plain(), Derived, Derived()):
        assert getattr(target, name)(5) == getattr(target, name).peek(count=5) == 5
    assert calls[name] == 1
    assert getattr(Derived(), name).invalidate(5)
    assert getattr(Plain, name).peek(5) is None


def test_an_instance_is_not_kept_alive_by_its_method():
    account = Account(pk=7)
    bound = account.balance
    assert "balance" not in vars(account)
    assert bound._before == (account,)
    assert Account.__dict__["balance"]._before == ()


# Metadata


def test_a_memoized_function_looks_like_the_function():
    assert isinstance(add, Memoized)
    assert (add.__name__, add.__qualname__, add.__doc__, add.__module__) == ("add", "add", "Add.", HERE)
    assert str(inspect.signature(add)) == "(a, b=2, *, c=0)"
    assert inspect.unwrap(add)(1) == 3
    assert inspect.getsource(add).startswith("@memoize(60)")


def test_a_memoized_method_looks_like_the_method():
    assert str(inspect.signature(Plain.price)) == "(self, count=1)"
    assert str(inspect.signature(Plain().price)) == "(count=1)"
    assert str(inspect.signature(Plain.build)) == "(count=1)"
    assert str(inspect.signature(Plain.plain)) == str(inspect.signature(Plain().plain)) == "(count=1)"
    assert Plain().price.__name__ == "price"


def test_what_was_written_to_the_function_is_there():
    def load():
        """Load."""

    load.short_description = "Loaded"
    load.peek = load.key = load._before = "another cache's"
    kept = memoize(60, key="k")(load)
    assert kept.short_description == "Loaded"
    assert (kept.__wrapped__, kept.key()) == (load, "k")


def test_a_template_calls_a_memoized_method(here):
    template = Engine().from_string("{{ plain.price }} {{ plain.total }} {{ account.balance }}")
    assert template.render(TemplateContext({"plain": numbered(3), "account": Account(pk=1)})) == "3 3 1 EUR"


def test_a_memoized_function_is_pickled_and_copied_by_its_name(here):
    assert pickle.loads(pickle.dumps(add)) is copy.deepcopy(add) is copy.copy(add) is add
    assert pickle.loads(pickle.dumps(Plain.plain)) is Plain.plain
    account = pickle.loads(pickle.dumps(Account(pk=7).balance))
    assert account() == copy.deepcopy(Account(pk=7).balance)() == "7 EUR"
    assert pickle.loads(pickle.dumps(Derived.build))() == ["Derived", 1]
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(add, [1, 2])) == [3, 4]


# Templates


def test_a_key_is_a_template_of_the_arguments(here):
    kept = memoize(60, key="report:{user.pk}:{options[lang]}:{words[0]!r}:{count:03}:{{}}")(templated)
    assert kept.key(User(pk=7), {"lang": "de"}, ["a:b"]) == "report:7:de:'a:b':005:{}"
    assert kept(User(pk=7), options={"lang": "de"}, words=["a:b"]) == "de"
    assert cache.get("report:7:de:'a:b':005:{}") == "de"


def templated(user, options, words=("a",), count=5, width=3):
    return options["lang"]


def test_a_key_is_what_a_callable_makes_of_all_arguments(here):
    seen = []

    def key(*args, **kwargs):
        seen.append((args, kwargs))
        return "mine"

    kept = memoize(60, key=key)(takes.__wrapped__)
    kept(1, 2)
    assert kept.peek(1, 2, args=0, other=5) == kept.peek(1, 2)
    assert seen[0] == ((1, 2, 0), {"key": 1, "default": 2, "ttl": 3, "tags": 4})
    assert seen[1][1]["other"] == 5
    assert cache.has("mine")


def test_a_key_may_be_made_of_an_object_that_none_could_be_made_of(here):
    kept = memoize(60, key=lambda plain, count: f"{plain.number}")(lambda plain, count=1: plain.number)
    assert kept(numbered(5)) == cache.get("5") == 5


def test_a_key_that_is_no_text_is_refused(here):
    with pytest.raises(InvalidKeyError, match="A key is a str, not 5"):
        memoize(60, key=lambda: 5)(lambda: 1)()


@pytest.mark.parametrize(
    "template", ["{usr.pk}", "{0}", "{}", "{user.pk}:{usr[0]}", "{count:{wide}}", "{User}", "{user pk}", "{.pk}"]
)
@pytest.mark.parametrize("where", ["key", "tags"])
def test_a_template_with_a_field_that_is_no_parameter_is_refused_at_once(template, where):
    options = {"key": template} if where == "key" else {"tags": ["fine", template]}
    with pytest.raises(
        InvalidKeyError, match=r"has a field .*Allowed are the parameters: user, options, words"
    ) as told:
        memoize(60, **options)(templated)
    assert told.value.key == template


def test_a_function_without_parameters_has_none_to_name():
    with pytest.raises(InvalidKeyError, match=r"has a field 'user'\. Allowed are the parameters: none"):
        memoize(60, key="{user}")(lambda: 1)


@pytest.mark.parametrize("template", ["{user.pk", "user.pk}", "{count!}"])
def test_a_template_that_is_none_is_refused_at_once(template):
    with pytest.raises(ValueError):
        memoize(60, key=template)(templated)


def test_one_text_in_the_place_of_several_tags_is_refused_at_once():
    with pytest.raises(TypeError, match=r"tags='user' is one text. Allowed are several, as in tags=\['user'\]"):
        memoize(60, tags="user")(templated)


def test_tags_may_come_from_a_generator(here):
    kept = memoize(60, key="k", tags=(f"{letter}:{{count}}" for letter in "ab"))(lambda count: count)
    for tag in ("a:1", "b:1"):
        assert kept(1) == 1
        cache.invalidate_tags(tag)
        assert kept.peek(1) is None


def test_a_prefix_stands_before_the_key(here):
    prefs = CacheClient(prefix="prefs")
    kept = prefs.memoize(60, key="{user.pk}")(lambda user: user.pk)
    assert kept(User(pk=7)) == cache.get("prefs:7") == prefs.get(kept.key(User(pk=7))) == 7
    prefs.clear()
    assert kept.peek(User(pk=7)) is None


# What is no function to keep


def count_up():
    yield 1


async def acount_up():
    yield 1


@pytest.mark.parametrize(
    "function", [count_up, acount_up, functools.partial(count_up), staticmethod(count_up), classmethod(acount_up)]
)
@pytest.mark.parametrize("key", [None, "key"])
def test_a_generator_function_is_refused_at_once(function, key):
    with pytest.raises(TypeError, match="generator function, and what is yielded cannot be kept"):
        memoize(60, key=key)(function)


@pytest.mark.parametrize(
    "function", [Plain, property(count_up), None, 5, "text", cached_property(count_up)], ids=lambda f: type(f).__name__
)
def test_what_is_no_function_is_refused_at_once(function):
    with pytest.raises(TypeError, match=rf"for functions and methods, not for a {type(function).__name__}"):
        memoize(60, key="key")(function)


@memoize(60, key="_")
def _(value):
    """Is one of many of its name, as those that singledispatch registers."""


def make(captured):
    def inner():
        return captured

    return inner


@pytest.mark.parametrize(
    "function",
    [
        make(1),
        _.__wrapped__,
        lambda: 1,
        functools.partial(max, 1),
        [].append,
        Plain().__init__,
        Plain().price,
        Plain.price.__wrapped__.__get__(Plain()),
        Derived.build,
    ],
)
def test_a_function_without_a_name_of_its_own_is_refused_at_once_and_needs_a_key(function):
    with pytest.raises(TypeError, match=r"others of that name would share its results\. Give memoize\(\) a key="):
        memoize(60)(function)
    assert isinstance(memoize(60, key="key")(make(1)), Memoized)


def test_closures_with_keys_of_their_own_are_told_apart(here):
    one, two = (memoize(60, key=f"made:{number}")(make(number)) for number in (1, 2))
    assert (one(), two(), one(), two()) == (1, 2, 1, 2)


@pytest.mark.parametrize(
    ("ttl", "options", "error"),
    [
        ("60", {}, TypeError),
        (60, {"jitter": 2}, ValueError),
        (60, {"lease": 0}, ValueError),
        (60, {"gracious": 5}, TypeError),
        (float("nan"), {}, ValueError),
    ],
)
def test_an_option_that_is_out_of_range_is_refused_at_once(ttl, options, error):
    with pytest.raises(error):
        memoize(ttl, **options)(templated)


def test_memoize_without_a_call_is_refused():
    with pytest.raises(TypeError, match="memoize is called with a ttl"):
        memoize(templated)


def test_a_function_may_be_memoized_before_there_are_settings():
    code = """
        from django_dripcache import memoize
        from django.conf import settings
        import json

        @memoize(60, tags=["tag:{number}"])
        def double(number): return 2 * number

        double.key(5)
        print(json.dumps([settings.configured, double.key(5)]))
    """
    environment = {"DJANGO_SETTINGS_MODULE": ""}
    assert run_python(code, UNREACHABLE, **environment) == [False, "__main__.double(number=5)"]


# Without Redis


def test_without_redis_the_function_is_called_and_nothing_raises(drive):
    with site(UNREACHABLE, {}):
        assert add(1) == add(1) == 3
        assert calls["add"] == 2
        assert drive(add).refresh(1) == 3
        assert drive(add).peek(1) is None
        assert drive(add).invalidate(1) is False
        assert async_to_sync(fetch)("url") == ["url"]
        with on_outage("raise"):
            for verb in (add, drive(add).peek, drive(add).invalidate, drive(add).refresh):
                with pytest.raises(CacheUnavailableError):
                    verb(1)


def test_a_result_that_could_not_be_invalidated_is_void_when_redis_is_back(start_server, drive):
    server = start_server()
    with site(server.url, {"SOCKET_TIMEOUT": 0.3}):
        assert add(1) == 3
        server.pause()
        assert drive(add).invalidate(1) is False
        server.resume()
        wait_for(cache.test_connection)
        assert add.peek(1) is None


def test_a_result_that_could_not_be_refreshed_is_void_when_redis_is_back(start_server, drive):
    server = start_server()
    with site(server.url, {"SOCKET_TIMEOUT": 0.3}):
        assert report(User(pk=7)) == "7 in 2026: 1"
        server.pause()
        assert drive(report).refresh(User(pk=7)) == "7 in 2026: 2"
        server.resume()
        wait_for(cache.test_connection)
        assert report.peek(User(pk=7)) is None
