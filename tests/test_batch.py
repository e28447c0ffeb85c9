"""Batches: reads of different parts of a page in one round trip, each with what it alone would have come to."""

from __future__ import annotations

import asyncio
import pickle
import threading
from contextlib import AsyncExitStack, ExitStack
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import cache as django_cache
from django.core.cache import caches
from django.core.cache.backends.base import CacheKeyWarning
from django.template import Context, Template
from django.test import override_settings
from django.utils.html import format_html
from django.utils.safestring import mark_safe

from django_dripcache import CacheClient, CacheManager, CacheUnavailableError, InvalidKeyError, cache, on_outage
from django_dripcache.batch import Batch
from django_dripcache.connections import close_all
from django_dripcache.counts import COUNTS, HIT, MISS
from django_dripcache.later import Later, collecting
from django_dripcache.server import Server

from .processes import UNREACHABLE, in_threads, needs_server, site, verbs_sent, wait_for

reports = CacheManager(namespace="reports")


@pytest.fixture
def here(redis_server, raw):
    """A patient site over the server of this process."""
    with site(redis_server.url):
        yield raw


class Trips:
    """How many round trips there were since the last time that somebody asked."""

    def __init__(self):
        self.links = []

    def take(self):
        taken, self.links = self.links, []
        return len(taken)


@pytest.fixture
def trips(monkeypatch):
    found, call = Trips(), Server.call

    def counted(server):
        found.links.append(server)
        return call(server)

    monkeypatch.setattr(Server, "call", counted)
    return found


@pytest.fixture
def read(drive):
    """Return a function that registers reads in open batches, leaves them, and returns the values."""
    loop = drive(None)._loop

    def sync(register, *batches):
        with ExitStack() as stack:
            laters = register(*[stack.enter_context(batch) for batch in batches])
        return [later.value for later in laters]

    async def asynchronous(register, *batches):
        async with AsyncExitStack() as stack:
            laters = register(*[await stack.enter_async_context(batch) for batch in batches])
        return [await later for later in laters]

    if loop is None:
        return sync
    return lambda register, *batches: loop.run_until_complete(asynchronous(register, *batches))


# One round trip


@pytest.mark.far("it counts what Redis is sent")
def test_reads_of_the_backend_of_managers_and_of_clients_go_in_one_round_trip(here, read, trips):
    django_cache.set("page", "home")
    django_cache.set_many({"a": 1, "b": 2})
    cache.set("nav", ["home"])
    cache.set("tagged", "value", tags=["tag"])
    cache.set_json("prefs", {"theme": "dark"})
    reports.set_many({"7": "seven", "8": "eight"})
    trips.take()

    def register(page, shared, own):
        return [
            page.get("page"),
            page.get("none", "default"),
            page.get_many(key for key in ("a", "b", "c")),
            page.has_key("page"),
            shared.get("nav"),
            shared.get("tagged"),
            shared.get("nav", type=int),
            shared.get_json("prefs"),
            shared.get_many_json(["prefs", "none"]),
            shared.has("none"),
            own.get_many(key for key in ("7", "8", "9")),
            own.get("7", type=str),
        ]

    expected = [
        *("home", "default", {"a": 1, "b": 2}, True),
        *(["home"], "value", None, {"theme": "dark"}, {"prefs": {"theme": "dark"}}, False),
        *({"7": "seven", "8": "eight"}, "seven"),
    ]
    assert read(register, django_cache.batch(), cache.batch(), reports.batch()) == expected
    assert trips.take() == 1


@pytest.mark.far("it counts what Redis is sent")
def test_the_server_is_sent_what_it_would_be_sent_without_a_batch(here, read):
    def register(page, shared):
        return [page.get("a"), page.get("b"), shared.get("c")]

    django_cache.get("a")  # the connection is there
    assert read(register, django_cache.batch(), cache.batch()) == [None] * 3
    sent = verbs_sent(here, lambda: read(register, django_cache.batch(), cache.batch()))
    assert sorted(sent) == ["EVALSHA", "GET", "GET"]


@pytest.mark.far("it counts what Redis is sent")
def test_each_read_is_asked_for_once_however_it_comes_about(here):
    def page():
        with django_cache.batch() as batch:
            a, b = batch.get("a"), batch.get("b")
            assert (b.value, a.value, b.value) == (None, None, None)

    page()
    assert verbs_sent(here, page) == ["GET", "GET"]


@pytest.mark.far("it counts what Redis is sent")
def test_what_needs_a_second_round_trip_shares_that_one_too(here, read, trips):
    cache.set_many({"a": 1, "b": 2})
    cache.set("tagged", 3, tags=["tag"])
    here.set("dripcache:d::1:damaged", b"junk")
    trips.take()

    def register(page, shared):
        return [page.get("damaged"), shared.get_many(["a", "tagged"]), shared.get("b")]

    assert read(register, django_cache.batch(), cache.batch()) == [None, {"a": 1, "tagged": 3}, 2]
    assert trips.take() == 2
    assert not here.exists("dripcache:d::1:damaged")


def test_a_batch_of_nothing_asks_nothing(here, read, trips):
    assert read(lambda batch: [], cache.batch()) == []
    assert trips.take() == 0


def test_a_version_is_that_of_its_key(here, read):
    django_cache.set("a", 1, version=1)
    django_cache.set("a", 2, version=2)
    django_cache.set("b", 2, version=2)

    def register(batch):
        return [batch.get("a", version=2), batch.get_many(["a"], version=2), batch.has_key("b", version=2)]

    assert read(register, django_cache.batch()) == [2, {"a": 2}, True]


def test_what_does_not_fit_its_type_is_a_miss(here, read):
    cache.set_many_json({"a": 1, "b": "text"})

    def register(batch):
        return [batch.get_json("b", "default", type=int), batch.get_many_json(["a", "b"], type=int)]

    assert read(register, cache.batch()) == ["default", {"a": 1}]


def test_a_prefix_is_in_its_keys(here, read):
    prefs = CacheClient(prefix="prefs")
    prefs.set("7", "dark")
    assert read(lambda batch: [batch.get("7")], prefs.batch()) == ["dark"]


# When it is sent


@pytest.mark.far("it counts what Redis is sent")
def test_nothing_is_sent_before_a_value_is_needed_and_then_everything_that_is_open(here, trips):
    cache.set_many({"a": 1, "b": 2})
    trips.take()
    with cache.batch() as batch, django_cache.batch() as page:
        a, b, c = batch.get("a"), batch.get("b"), page.get("c", 3)
        assert trips.take() == 0
        assert (a.value, trips.take()) == (1, 1)
        assert ((b.value, c.value), trips.take()) == ((2, 3), 0)
        again = batch.get("a")
        assert (again.value, trips.take()) == (1, 1)
    assert trips.take() == 0


def test_nothing_is_sent_before_a_value_is_awaited_and_then_everything_that_is_open(here, trips):
    async def page():
        async with cache.batch() as batch:
            a, b = batch.get("a"), batch.get("b")
            assert trips.take() == 0
            assert (await a, trips.take()) == (1, 1)
            assert (await b, await a, b.value, trips.take()) == (2, 1, 2, 0)

    cache.set_many({"a": 1, "b": 2})
    trips.take()
    asyncio.run(page())


def test_the_end_of_the_block_sends_what_is_open(here, trips):
    with cache.batch() as batch:
        later = batch.get("a", "default")
    assert trips.take() == 1
    assert (later.value, trips.take()) == ("default", 0)


@pytest.mark.far("it counts what Redis is sent")
def test_a_block_that_an_exception_ends_sends_nothing_and_its_reads_can_still_be_made(here, trips):
    def sync():
        with cache.batch() as batch:
            laters.append(batch.get("a", "default"))
            raise LookupError

    async def asynchronous():
        async with cache.batch() as batch:
            laters.append(batch.get("a", "default"))
            raise LookupError

    for fails in (sync, lambda: asyncio.run(asynchronous())):
        laters = []
        with pytest.raises(LookupError):
            fails()
        assert trips.take() == 0
        assert (laters[0].value, trips.take()) == ("default", 1)


def test_an_inner_block_leaves_its_reads_to_the_outer_one(here, trips):
    with cache.batch() as outer:
        a = outer.get("a", 1)
        with reports.batch() as inner:
            b = inner.get("b", 2)
        with reports.batch() as inner:
            c = inner.get("c", 3)
        assert trips.take() == 0
    assert trips.take() == 1
    assert ((a.value, b.value, c.value), trips.take()) == ((1, 2, 3), 0)


def test_the_end_of_an_inner_async_block_sends_since_a_value_cannot_wait(here, trips):
    async def page():
        async with cache.batch() as outer:
            a = outer.get("a", 1)
            async with reports.batch() as inner:
                b = inner.get("b", 2)
            assert trips.take() == 1
            assert ((a.value, b.value), trips.take()) == ((1, 2), 0)
        assert trips.take() == 0

    asyncio.run(page())


def test_what_was_written_before_the_value_is_asked_for_is_read(here, read):
    cache.set("a", "old")

    def register(batch):
        later = batch.get("a")
        cache.set("a", "new")
        return [later]

    assert read(register, cache.batch()) == ["new"]


def test_a_value_stays_what_it_was_when_it_was_read(here):
    cache.set("a", "old")
    with cache.batch() as batch:
        later = batch.get("a")
        assert later.value == "old"
        cache.set("a", "new")
        assert later.value == "old"


def test_only_the_server_that_is_needed_is_asked(here, start_server, trips):
    other = start_server()
    own = {"BACKEND": "django_dripcache.backend.DripCache"}
    with override_settings(CACHES={"default": own, "other": {**own, "LOCATION": other.url}}):
        here_server, there = (caches[alias].client.server for alias in ("default", "other"))
        assert here_server is not there
        with cache.batch() as batch, caches["other"].batch() as far:
            a, b, c = batch.get("a", 1), far.get("b", 2), batch.get("c", 3)
            assert (a.value, trips.links) == (1, [here_server])
        assert trips.links == [here_server, there]
        assert ((b.value, c.value), trips.take()) == ((2, 3), 2)
        close_all()


# Errors


@pytest.mark.parametrize(
    "verb",
    [
        lambda batch: batch.get("k" * 300),
        lambda batch: batch.get_many(["a", "k" * 300]),
        lambda batch: batch.has_key("k" * 300),
    ],
)
def test_a_key_that_django_warns_of_is_warned_of_at_once(here, verb):
    with django_cache.batch() as batch, pytest.warns(CacheKeyWarning, match="longer than 250"):
        verb(batch)


@pytest.mark.parametrize(
    "verb",
    [
        lambda batch: batch.get(7),
        lambda batch: batch.get_many(["a", 7]),
        lambda batch: batch.get_json(7),
        lambda batch: batch.get_many_json([7]),
        lambda batch: batch.has(7),
    ],
)
def test_a_key_that_cannot_be_used_raises_at_once(here, trips, verb):
    with cache.batch() as batch:
        other = batch.get("a", 1)
        with pytest.raises(InvalidKeyError):
            verb(batch)
    assert (trips.take(), other.value) == (1, 1)


def test_a_key_of_another_kind_is_a_miss_for_its_read_alone(here, read):
    here.lpush("dripcache:d::1:list", "a")
    cache.set("a", 1)

    def register(page, shared):
        return [page.get("list", "default"), page.get_many(["list"]), shared.get("a")]

    assert read(register, django_cache.batch(), cache.batch()) == ["default", {}, 1]


@pytest.mark.far("it counts what Redis is sent")
def test_what_a_flow_raises_is_raised_by_its_own_value(here):
    cache.set("a", 1)
    with mock.patch("django_dripcache.codecs.TypedCodec.decode", side_effect=LookupError), cache.batch() as batch:
        wrong, right = batch.get("a", type=int), batch.get("a")
    assert right.value == 1
    for _ in range(2):
        with pytest.raises(LookupError):
            _ = wrong.value


def each(page, shared):
    return [
        *(page.get("a", "mine"), page.get_many(["a"]), page.has_key("a")),
        *(shared.get("a", "mine"), shared.get_many(["a"]), shared.has("a")),
        *(shared.get_json("a", "mine"), shared.get_many_json(["a"])),
    ]


def test_without_redis_each_read_has_its_own_fallback(read, trips):
    with site(UNREACHABLE, {}):
        expected = ["mine", {}, False, "mine", {}, False, "mine", {}]
        assert read(each, django_cache.batch(), cache.batch()) == expected
        assert trips.take() == 1


def test_with_raise_the_block_ends_well_and_each_value_raises():
    with site(UNREACHABLE, {"ON_OUTAGE": "raise"}):
        with django_cache.batch() as page, cache.batch() as shared:
            laters = each(page, shared)
        for later in laters:
            with pytest.raises(CacheUnavailableError):
                _ = later.value


def test_what_a_read_does_without_redis_is_decided_where_it_is_registered():
    with site(UNREACHABLE, {}), cache.batch() as batch:
        calm = batch.get("a", "mine")
        with on_outage("raise"):
            strict = batch.get("a")
            assert calm.value == "mine"
        with pytest.raises(CacheUnavailableError):
            _ = strict.value


def test_a_manager_that_raises_does_not_make_others_raise(read):
    with site(UNREACHABLE, {}), cache.batch() as batch, CacheManager(on_outage="raise").batch() as strict:
        calm, raises = batch.get("a", "mine"), strict.get("a")
        with pytest.raises(CacheUnavailableError):
            _ = raises.value
        assert calm.value == "mine"


def test_a_read_that_was_interrupted_is_made_when_it_is_asked_for_again(here, trips):
    with cache.batch() as batch:
        a, b = batch.get("a", 1), batch.get("b", 2)
        with mock.patch.object(Server, "call", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            _ = a.value
        assert repr(a) == "<Later, open>"
        assert (a.value, b.value) == (1, 2)


# Threads and tasks


def test_a_batch_may_be_handed_to_a_thread(here, trips):
    cache.set("a", 1)
    trips.take()
    with cache.batch() as batch:
        laters = in_threads(4, lambda number: batch.get("a"))
        assert in_threads(1, lambda _: laters[0].value) == [1]
    assert trips.take() == 1
    assert [later.value for later in laters] == [1] * 4


def test_a_thread_of_its_own_has_a_batch_of_its_own(here, trips):
    def page(number):
        with cache.batch() as batch:
            later = batch.get(f"key:{number}", number)
        return later._answer is not None and later.value

    with cache.batch():
        assert in_threads(3, page) == [0, 1, 2]
    assert trips.take() == 3


def test_a_sync_function_within_an_async_page_joins_its_batch(here, trips):
    def part():
        with cache.batch() as batch:
            return batch.get("a", 1)

    async def page():
        async with cache.batch() as batch:
            b = batch.get("b", 2)
            a = await sync_to_async(part)()
            assert trips.take() == 0
        assert (a.value, b.value, trips.take()) == (1, 2, 1)

    asyncio.run(page())


def test_nobody_waits_for_another_thread_that_is_asking(here):
    """Whoever needs a value that is just being asked for asks for it too; the answer of the first stays."""
    entered, go, call = threading.Event(), threading.Event(), Server.call
    cache.set("a", [1])

    def slow(server):
        if threading.current_thread() is first:
            entered.set()
            assert go.wait(10)
        return call(server)

    with cache.batch() as batch, mock.patch.object(Server, "call", slow):
        later, found = batch.get("a"), []
        first = threading.Thread(target=lambda: found.append(later.value))
        first.start()
        assert entered.wait(10)
        mine = later.value
        go.set()
        first.join(10)
    assert mine == [1]
    assert found[0] is mine


def test_tasks_that_need_the_same_value_at_once_all_have_it(here):
    async def page():
        async with cache.batch() as batch:
            laters = [batch.get(f"key:{number}", number) for number in range(4)]

            async def part(number):
                return await laters[number], await laters[0]

            return await asyncio.gather(*map(part, range(4)))

    assert asyncio.run(page()) == [(0, 0), (1, 0), (2, 0), (3, 0)]


def test_a_task_that_is_cancelled_takes_nothing_from_the_others(here, trips):
    async def page():
        async with cache.batch() as batch:
            a, b = batch.get("a", 1), batch.get("b", 2)
            task = asyncio.create_task(a._wait())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await a, await b

    assert asyncio.run(page()) == (1, 2)


def test_a_task_that_outlives_the_page_has_batches_of_its_own(here, trips):
    async def background(over):
        await over.wait()
        trips.take()
        with cache.batch() as batch:
            with reports.batch() as inner:
                later = inner.get("a", 1)
            batch.get("b")
        return trips.take(), later.value, trips.take()

    async def main():
        over = asyncio.Event()
        async with cache.batch():
            task = asyncio.create_task(background(over))
            await asyncio.sleep(0)
        over.set()
        return await task

    assert asyncio.run(main()) == (1, 1, 0)


# The near cache, the figures


@needs_server
def test_what_is_near_costs_no_round_trip_and_the_rest_one(redis_server, raw, read, trips):
    with site(redis_server.url, {"NEAR": {}, "SOCKET_TIMEOUT": 5}):
        django_cache.set("a", 1)
        cache.set("b", 2, tags=["tag"])

        def register(page, shared):
            return [page.get("a"), page.get("none"), shared.get("b"), shared.get_many(["b", "none"])]

        def again():
            assert read(register, django_cache.batch(), cache.batch()) == [1, None, 2, {"b": 2}]
            return trips.take() == 0

        wait_for(again)
        cache.invalidate_tags("tag")
        trips.take()
        assert read(register, django_cache.batch(), cache.batch()) == [1, None, None, {}]
        assert trips.take() >= 1


def test_the_reads_of_a_batch_are_counted_as_reads(here, read, monkeypatch):
    counts = {}
    monkeypatch.setattr(COUNTS, "_starts", {})
    monkeypatch.setattr(COUNTS, "group", bytes.decode)
    cache.set("a", 1)
    django_cache.set("a", 1)
    before = {start: list(COUNTS.of_key(start + b":")) for start in (b"dripcache:c", b"dripcache:d::1")}

    def register(page, shared):
        return [page.get("a"), page.get("b"), page.get_many(["a", "b"]), shared.get("a"), shared.get("b")]

    read(register, django_cache.batch(), cache.batch())
    for start, cell in before.items():
        counts[start] = [now - then for now, then in zip(COUNTS.of_key(start + b":"), cell, strict=True)]
    assert (counts[b"dripcache:d::1"][HIT], counts[b"dripcache:d::1"][MISS]) == (2, 2)
    assert (counts[b"dripcache:c"][HIT], counts[b"dripcache:c"][MISS]) == (1, 1)


# What a Later is, and is not


def test_a_later_prints_its_value_in_a_template(here, trips):
    cache.set_many({"user": {"name": "<Ann>"}, "nav": mark_safe("<b>nav</b>")})
    template = Template("{{ user.value.name }} {{ nav }} {{ none }} {{ text }}")
    trips.take()
    with cache.batch() as batch:
        laters = {key: batch.get(key) for key in ("user", "nav", "none")}
        text = template.render(Context({**laters, "text": batch.get("text", "a < b")}))
    assert text == "&lt;Ann&gt; <b>nav</b> None a &lt; b"
    assert trips.take() == 1


def test_a_later_is_escaped_as_its_value_is(here):
    cache.set_many({"safe": mark_safe("<b>"), "text": "<b>"})
    with cache.batch() as batch:
        assert format_html("{} {}", batch.get("safe"), batch.get("text")) == "<b> &lt;b&gt;"
        assert str(batch.get("text")) == "<b>"


def test_a_later_is_never_true_or_false(here):
    with cache.batch() as batch:
        later = batch.get("a")
        with pytest.raises(TypeError, match=r"later\.value"):
            bool(later)
        with pytest.raises(TypeError, match=r"later\.value"):
            Template("{% if later %}yes{% endif %}").render(Context({"later": later}))
        assert Template("{% if later.value %}yes{% else %}no{% endif %}").render(Context({"later": later})) == "no"


def test_a_later_shows_nothing_of_its_value_and_asks_for_nothing(here, trips):
    cache.set("a", "secret")
    trips.take()
    with cache.batch() as batch:
        later = batch.get("a")
        assert (repr(later), trips.take()) == ("<Later, open>", 0)
    assert repr(later) == "<Later, answered>"


def test_a_later_is_not_stored_in_the_place_of_its_value(here):
    with cache.batch() as batch:
        later = batch.get("a")
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(later)


# Blocks


def test_a_batch_is_used_within_its_block(here):
    batch = cache.batch()
    assert repr(batch) == "<ClientBatch, closed>"
    with pytest.raises(RuntimeError, match="is not open"):
        batch.get("a")
    with batch:
        assert repr(batch) == "<ClientBatch, open>"
        with pytest.raises(RuntimeError, match="open already"):
            batch.__enter__()
        batch.get("a")
    with pytest.raises(RuntimeError, match="is not open"):
        batch.get("a")


@pytest.mark.far("it counts what Redis is sent")
def test_a_batch_may_be_opened_again(here, trips):
    batch = cache.batch()
    for _ in range(2):
        with batch:
            batch.get("a")
        assert trips.take() == 1


def test_no_block_leaves_anything_behind(here, trips):
    with pytest.raises(LookupError), cache.batch(), reports.batch():
        raise LookupError
    with cache.batch() as batch:
        batch.get("a")
    assert trips.take() == 1


def test_collecting_sends_nothing_at_its_end(here, trips):
    with collecting():
        with cache.batch() as batch:
            later = batch.get("a", 1)
        assert isinstance(batch, Batch)
        assert isinstance(later, Later)
    assert trips.take() == 0
    assert (later.value, trips.take()) == (1, 1)
