"""A worker computes what is stale: once, of its own site's asking alone, and nobody waits for it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import types
from datetime import date
from uuid import UUID

import pytest
from django.test import override_settings

from django_dripcache import cache, memoize, tasks, user_cache

from . import refreshed
from .processes import Worker, in_threads, needs_server, shop, site, wait_for
from .refreshed import Shop, offer, rate, total


@pytest.fixture
def look(redis_server, raw, monkeypatch):
    """A client for a look at a patient site, whose functions note there that they were called."""
    monkeypatch.setenv("DRIPCACHE_TEST_NOTES", redis_server.url)
    monkeypatch.setattr("django_dripcache.memo._told", set())
    with site(redis_server.url):
        yield raw


@pytest.fixture
def sent(monkeypatch):
    """What is sent to a worker that there is not."""
    messages = []

    def send(path, call):
        messages.append([path, call, tasks.digest(tasks.NAME, f"{path} {call}")])

    monkeypatch.setattr(tasks, "send", send)
    return messages


def ask(function, *args, **kwargs):
    """Call a function, or a coroutine function on an event loop of its own."""
    result = function(*args, **kwargs)

    async def wait():
        return await result

    return asyncio.run(wait()) if inspect.isawaitable(result) else result


def stale(function, *args):
    """Let a result be stale; return it."""
    value = ask(function, *args)
    cache.expire(function.key(*args))
    return value


def calls(look, name):
    return look.llen(f"called:{name}")


def lease(look):
    """Return the name of the only lease that there is."""
    (name,) = look.scan_iter("dripcache:l:*", count=1000)
    return name


# Once, by whoever begins first


@pytest.mark.parametrize(("function", "name"), [(rate, "rate"), (offer, "offer"), (Shop.stock, "stock")])
def test_a_stale_result_is_served_and_one_worker_is_asked_for_the_next(look, sent, function, name):
    argument = "EUR" if function is rate else 7
    old = stale(function, argument)
    assert [ask(function, argument) for _ in range(5)] == [old] * 5
    assert calls(look, name) == 1
    assert len(sent) == 1
    assert tasks.refresh(*sent[0]) is True
    assert calls(look, name) == 2
    assert ask(function, argument) != old
    assert function.peek(argument) == ask(function, argument)
    assert tasks.refresh(*sent[0]) is False
    assert calls(look, name) == 2
    assert len(sent) == 1


def test_a_miss_is_computed_by_the_one_who_asks(look, sent):
    assert rate("EUR") == ["EUR", 1]
    assert sent == []


def test_the_worker_is_told_the_arguments_as_they_were(look, sent):
    day = date(2026, 11, 22)
    stale(rate, "EUR", day)
    assert rate("EUR", day=day) == ["EUR", 1]
    tasks.refresh(*sent[0])
    assert look.lrange("called:rate", 0, -1) == [b"('EUR', datetime.date(2026, 11, 22))"] * 2


def test_what_would_be_another_call_when_it_is_sent_is_computed_here_and_told_once(look, sent, caplog):
    assert stale(total, (1, 2)) == 4
    assert total((1, 2)) == 5
    stale(total, (3, 4))
    assert total((3, 4)) == 11
    assert sent == []
    assert [record.getMessage() for record in caplog.records] == [
        "tests.refreshed:total is computed here, since not all its arguments can be sent as JSON."
    ]
    assert stale(total, [1, 2]) == total([1, 2])
    assert len(sent) == 1


def test_what_has_no_form_in_json_is_computed_here(look, sent):
    assert stale(total, {1, 2}) == 4
    assert total({1, 2}) == 5
    assert sent == []


def test_of_two_tasks_for_one_result_the_first_to_begin_computes_it(look, sent):
    stale(rate, "EUR")
    rate("EUR")
    look.delete(lease(look))  # as if it had been in the queue for longer than its lease
    rate("EUR")
    assert len(sent) == 2
    assert [tasks.refresh(*message) for message in sent] == [True, False]
    assert calls(look, "rate") == 2


def test_a_task_that_was_in_the_queue_for_longer_than_its_lease_still_computes(look, sent):
    stale(rate, "EUR")
    rate("EUR")
    look.delete(lease(look))
    assert tasks.refresh(*sent[0]) is True


def test_a_task_leaves_undone_what_another_is_computing(look, sent):
    stale(rate, "EUR")
    rate("EUR")
    look.set(lease(look), "another's", px=60_000)
    assert tasks.refresh(*sent[0]) is False
    assert calls(look, "rate") == 1


# What was voided meanwhile


def test_what_was_removed_is_not_brought_back(look, sent):
    stale(rate, "EUR")
    rate("EUR")
    rate.invalidate("EUR")
    assert tasks.refresh(*sent[0]) is False
    assert rate.peek("EUR") is None
    assert calls(look, "rate") == 1


def test_who_finds_nothing_does_not_wait_for_the_queue(look, sent):
    stale(rate, "EUR")
    rate("EUR")
    cache.invalidate_tags("rates")
    assert rate("EUR") == ["EUR", 2]
    assert tasks.refresh(*sent[0]) is False
    assert calls(look, "rate") == 2


def test_a_task_that_begins_after_an_invalidation_stores_what_it_computes(look, sent):
    stale(rate, "EUR")
    rate("EUR")
    cache.invalidate_tags("rates")
    assert tasks.refresh(*sent[0]) is True
    assert rate.peek("EUR") == ["EUR", 2]


def test_what_is_invalidated_while_a_task_computes_is_not_stored(look, sent, monkeypatch):
    stale(rate, "EUR")
    rate("EUR")
    real = refreshed.note

    def note(*arguments):
        count = real(*arguments)
        cache.invalidate_tags("rates")
        return count

    monkeypatch.setattr(refreshed, "note", note)
    assert tasks.refresh(*sent[0]) is True
    assert rate.peek("EUR") is None


# When something goes wrong


def test_a_broker_that_takes_no_task_costs_no_result_and_is_left_alone_for_a_while(look, monkeypatch, caplog):
    asked = []

    def send(*message):
        asked.append(message)
        raise OSError("refused")

    monkeypatch.setattr(tasks, "send", send)
    stale(rate, "EUR")
    assert [rate("EUR") for _ in range(5)] == [["EUR", 1]] * 5
    assert len(asked) == 1
    assert 0 < look.pttl(lease(look)) <= 10_000
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "No worker could be asked for" in caplog.text


def test_a_task_whose_function_fails_leaves_the_last_result_and_is_not_repeated_at_once(look, sent, caplog):
    stale(rate, "EUR")
    rate("EUR")
    look.set("broken", 1)
    assert tasks.refresh(*sent[0]) is True
    assert "its last value is served" in caplog.text
    look.delete("broken")
    assert rate("EUR") == ["EUR", 1]
    assert len(sent) == 1


def test_a_site_without_a_celery_app_is_told_so(look, caplog, monkeypatch):
    monkeypatch.setattr(tasks, "celery_app", lambda: None)
    stale(rate, "EUR")
    assert rate("EUR") == ["EUR", 1]
    assert "DRIPCACHE['CELERY_APP']" in caplog.text


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_task_that_the_site_did_not_send_is_left_undone(look, sent, caplog, part):
    stale(rate, "EUR")
    rate("EUR")
    message = list(sent[0])
    message[part] = {0: "os:system", 1: '[["USD"], {}]', 2: "é" * 64}[part]
    assert tasks.refresh(*message) is False
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert calls(look, "rate") == 1


def test_a_task_that_was_sent_before_the_secret_key_was_changed_is_done(look, sent, settings):
    stale(rate, "EUR")
    rate("EUR")
    with override_settings(SECRET_KEY="another one", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert tasks.refresh(*sent[0]) is True


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("tests.nowhere:rate", '[["EUR"], {}]'),
        ("tests.refreshed:rates", '[["EUR"], {}]'),
        ("tests.refreshed:note", '[["EUR"], {}]'),
        ("tests.refreshed:rate", '[["EUR", null, 3], {}]'),
        ("tests.refreshed:rate", '[["EUR"], {"month": 3}]'),
    ],
)
def test_a_task_for_what_was_removed_or_changed_by_a_deployment_is_left_undone(look, caplog, path, call):
    assert tasks.refresh(path, call, tasks.digest(tasks.NAME, f"{path} {call}")) is False
    assert path in caplog.text
    assert calls(look, "rate") == 0


def test_a_task_finds_a_function_below_what_it_is_decorated_with(monkeypatch):
    def outer(*args):
        return rate(*args)

    outer.__wrapped__ = rate
    monkeypatch.setattr(refreshed, "rate", outer)
    assert tasks.find("tests.refreshed:rate") is rate


# What cannot be sent is refused when it is decorated


def refused(function, **options):
    with pytest.raises(TypeError, match=r"memoize\(refresh='celery'\) cannot send ") as caught:
        memoize(60, refresh="celery", **options)(function)
    return str(caught.value)


def test_a_function_that_no_worker_can_import_is_refused():
    assert "no worker can import it" in refused(lambda: 1, key="one")
    script = types.FunctionType(refreshed.note.__code__, {"__name__": "__main__"})
    assert "no worker can import it" in refused(script)


def test_methods_are_refused_but_for_static_ones():
    assert "its instance or class cannot be sent" in refused(logging.Logger.info, key="log")
    assert "its instance or class cannot be sent" in refused(classmethod(UUID.__str__), key="log")
    assert Shop.stock._path == "tests.refreshed:Shop.stock"


@pytest.mark.parametrize("kind", [UUID, str, list, dict, object, "list[int]", "int | None", "bytes | str", "Unknown"])
def test_a_parameter_that_may_be_json_is_taken(kind):
    function = types.FunctionType(refreshed.note.__code__, {"__name__": "tests.refreshed"}, "note")
    function.__annotations__ = {"name": kind}
    assert memoize(60, refresh="celery")(function)._path == "tests.refreshed:note"


@pytest.mark.parametrize("kind", [bytes, tuple, set, "bytes", "tuple[int, ...]", "bytes | set", type("Thing", (), {})])
def test_a_parameter_that_is_no_json_is_refused_with_what_is_allowed(kind):
    function = types.FunctionType(refreshed.note.__code__, {"__name__": "tests.refreshed"}, "note")
    function.__annotations__ = {"name": kind}
    message = refused(function)
    assert "name is a " in message
    assert "Allowed are None, bool, int" in message


def test_what_has_no_name_is_refused_when_it_is_asked_for(look, drive):
    for verb in (drive(cache).get_or_set, lambda *call, **options: drive(user_cache).get_or_set(1, *call, **options)):
        with pytest.raises(ValueError, match="refresh='celery' is for memoize"):
            verb("key", lambda: 1, refresh="celery")


# A real worker


@needs_server
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_readers_never_wait_while_a_real_worker_computes_one_task_a_key_a_refresh(start_server, monkeypatch, pool):
    server = start_server(maxmemory="256mb", maxmemory_policy="volatile-lru")
    monkeypatch.setenv("DRIPCACHE_TEST_NOTES", server.url)
    numbers, refreshes = range(5), 3
    with server.client() as look, shop(server.url), Worker(server.url, "-P", pool, "-c2") as worker:
        for number in numbers:
            ask(offer, number)
        for refresh in range(1, refreshes + 1):
            before = {number: offer.peek(number) for number in numbers}
            for number in numbers:
                cache.expire(offer.key(number))
            look.set("hold", 1)  # no task can end until all readers have their answers
            answers = in_threads(20, lambda index: ask(offer, index % 5))
            look.delete("hold")
            assert answers == [before[index % 5] for index in range(20)]
            wait_for(lambda refresh=refresh: calls(look, "offer") == 5 + 5 * refresh, 20)
            wait_for(lambda: all(offer.peek(number) is not None for number in numbers), 10)
        wait_for(lambda: worker.log.count("] succeeded in ") == 5 * refreshes, 10)
        assert look.llen("celery") == look.hlen("unacked") == 0
        assert worker.log.count("] received") == 5 * refreshes
