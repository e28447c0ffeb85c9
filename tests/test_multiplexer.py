"""One connection that the tasks of an event loop share."""

import asyncio
import contextlib
import random
import sys
import time

import pytest

from django_dripcache import multiplexer
from django_dripcache._drive import arun
from django_dripcache.deadline import budget
from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.flows.steps import Command, Pipeline, Refused

from .processes import wait_for
from .test_drive import made as made  # noqa: PLC0414 - it is a fixture
from .test_drive import one

OURS = multiplexer.__file__


async def ask(server, *args):
    return await arun(one(Command(*args)), server)


def hold_up(seconds):
    """Do nothing in the loop's thread, as work that is no task does to it."""
    time.sleep(seconds)


async def shared(server):
    """Return the pool of the loop and what is shared of it now."""
    pool = await server.async_pool()
    return pool, pool.shared and pool.shared._multiplexer


@pytest.fixture
def server(broker, made):
    return made(broker.url)


@pytest.mark.far("it counts connections")
def test_tasks_at_once_send_in_one_piece_over_one_connection(server, raw):
    async def main():
        await ask(server, "PING")
        before = raw.info("stats")["total_reads_processed"]
        assert await asyncio.gather(*[ask(server, "ECHO", str(n)) for n in range(200)]) == [
            str(n).encode() for n in range(200)
        ]
        assert raw.info("stats")["total_reads_processed"] - before < 40
        assert len({await ask(server, "CLIENT", "ID") for _ in range(5)}) == 1

    asyncio.run(main())


def test_everyone_gets_his_own_replies_whoever_is_cancelled(server):
    dice = random.Random(3)

    async def call(name):
        size = dice.choice([1, 100, 70_000])
        step = Pipeline([Command("ECHO", f"{name}.{part}" * size) for part in range(dice.randrange(4))])
        assert await arun(one(step), server) == [command.args[1].encode() for command in step.steps]

    async def main():
        for turn in range(60):
            tasks = [asyncio.create_task(call(f"{turn}-{number}")) for number in range(30)]
            for _ in range(dice.randrange(12)):
                await asyncio.sleep(0)
            for task in dice.sample(tasks, 10):
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [repr(one) for one in results if one and not isinstance(one, asyncio.CancelledError)] == []
        pool, found = await shared(server)
        wait_for(lambda: len(pool._in_use_connections) <= 1)
        assert found.serves

    asyncio.run(main())


def test_a_task_that_is_cancelled_leaves_the_connection_to_the_others(server):
    async def main():
        before = await ask(server, "CLIENT", "ID")
        task = asyncio.create_task(ask(server, "BLPOP", "none", 0.1))
        other = asyncio.create_task(ask(server, "ECHO", "other"))
        await asyncio.sleep(0.01)
        task.cancel()
        assert await other == b"other"
        assert task.cancelled()
        assert await ask(server, "CLIENT", "ID") == before

    asyncio.run(main())


@pytest.mark.parametrize("given_up", [True, False])
def test_who_finds_others_waiting_goes_beside_them(server, given_up):
    async def main():
        before = await ask(server, "CLIENT", "ID")
        task = asyncio.create_task(ask(server, "BLPOP", "none", 1))
        await asyncio.sleep(0 if given_up else 2 * multiplexer.MOMENT)
        if given_up:
            await asyncio.sleep(0)
            task.cancel()
        assert await asyncio.wait_for(ask(server, "CLIENT", "ID"), 0.5) != before
        if not given_up:
            assert await task is None
            assert await ask(server, "CLIENT", "ID") == before

    asyncio.run(main())


def test_a_connection_whose_answer_is_late_is_left_and_closed(broker, made, raw):
    server = made(broker.url, socket_timeout=0.5)

    async def main():
        before = await ask(server, "CLIENT", "ID")
        with pytest.raises(CacheUnavailableError, match="Timeout"):
            await ask(server, "BLPOP", "none", 30)
        assert await ask(server, "CLIENT", "ID") != before
        await asyncio.sleep(0)
        assert before not in {int(client["id"]) for client in raw.client_list()}
        pool, _ = await shared(server)
        assert (pool.lent, len(pool._in_use_connections)) == (0, 1)

    asyncio.run(main())


def test_a_connection_that_is_left_serves_those_who_wait_on_it(broker, made, raw):
    server = made(broker.url, socket_timeout=5.0)

    async def main():
        before = await ask(server, "CLIENT", "ID")
        task = asyncio.create_task(ask(server, "BLPOP", "list", 5))
        await asyncio.sleep(0.01)
        (await shared(server))[1].retire()
        assert await ask(server, "CLIENT", "ID") != before
        raw.rpush("list", "last")
        assert await task == [b"list", b"last"]
        await asyncio.sleep(0)
        pool, _ = await shared(server)
        assert (pool.lent, len(pool._in_use_connections)) == (0, 1)

    asyncio.run(main())


def test_each_call_is_over_by_its_own_deadline(server, raw):
    async def main():
        await ask(server, "PING")
        patient = asyncio.create_task(ask(server, "BLPOP", "list", 5))
        await asyncio.sleep(0)
        with budget(0.03), pytest.raises(CacheUnavailableError, match="Timeout"):
            await ask(server, "ECHO", "behind it")
        raw.rpush("list", "value")
        assert await patient == [b"list", b"value"]
        assert await ask(server, "ECHO", "next") == b"next"
        assert server.available

    asyncio.run(main())


def test_a_loop_that_was_held_up_still_takes_the_answers(broker, made):
    server = made(broker.url, socket_timeout=0.2)

    async def main():
        await ask(server, "PING")
        asked = [asyncio.ensure_future(ask(server, "ECHO", str(number))) for number in range(3)]
        await asyncio.sleep(0)
        hold_up(0.25)  # before it is sent
        assert await asyncio.gather(*asked) == [b"0", b"1", b"2"]
        asked = [asyncio.ensure_future(ask(server, "ECHO", str(number))) for number in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
        hold_up(0.25)  # before it is read
        assert await asyncio.gather(*asked) == [b"0", b"1", b"2"]
        assert server.failures == 0

    asyncio.run(main())


def test_a_loop_that_is_always_held_up_does_not_wait_for_ever(broker, made):
    server = made(broker.url, socket_timeout=0.2)

    async def main():
        await ask(server, "PING")
        asked = asyncio.ensure_future(ask(server, "BLPOP", "none", 5))
        for _ in range(12):
            await asyncio.sleep(0)
            hold_up(0.05)
        await asyncio.sleep(0)
        assert isinstance(asked.exception(), CacheUnavailableError)

    asyncio.run(main())


def test_what_is_large_goes_on_a_connection_of_its_own(server, raw):
    async def main():
        await ask(server, "PING")
        large = "x" * (multiplexer.LARGE + 1)
        assert await asyncio.gather(ask(server, "SET", "large", large), ask(server, "ECHO", "a")) == [b"OK", b"a"]
        pool, _ = await shared(server)
        assert len(pool._available_connections) == 1
        assert len(raw.get("large")) == len(large)

    asyncio.run(main())


def test_a_refusal_is_for_the_one_who_asked(server, raw):
    raw.rpush("list", "a")

    async def main():
        replies = await asyncio.gather(
            ask(server, "ECHO", "a"), ask(server, "GET", "list"), ask(server, "ECHO", "b"), return_exceptions=True
        )
        assert replies[::2] == [b"a", b"b"]
        assert isinstance(replies[1], Refused)

    asyncio.run(main())


@pytest.mark.parametrize("answer", [b"?\x00\xff\r\n", b":1\r\n:2\r\n:3\r\n:4\r\n", b"+OK\r\n:1\r\n+OK\r\n"])
def test_an_answer_that_cannot_be_believed_ends_the_connection_for_all(server, answer):
    async def main():
        before = await ask(server, "CLIENT", "ID")
        _, found = await shared(server)
        found._transport.pause_reading()
        tasks = [asyncio.create_task(ask(server, "GET", str(number))) for number in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found.data_received(answer)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {CacheUnavailableError, type(None), bytes}
        assert isinstance(results[2], CacheUnavailableError)
        assert await ask(server, "CLIENT", "ID") != before
        pool, _ = await shared(server)
        assert (pool.lent, len(pool._in_use_connections)) == (0, 1)

    asyncio.run(main())


def test_a_connection_that_the_server_closes_is_told_to_all_and_replaced(server, raw):
    async def main():
        before = await ask(server, "CLIENT", "ID")
        tasks = [asyncio.create_task(ask(server, "BLPOP", "none", 5)) for _ in range(3)]
        await asyncio.sleep(0.005)
        raw.client_kill_filter(_id=before)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(result) for result in results] == [
            "The cache's Redis cannot be used: Connection closed by server."
        ] * 3
        assert server.breaker.in_a_row == 0  # it is there, and took the connection once
        assert await ask(server, "CLIENT", "ID") != before

    asyncio.run(main())


def test_a_master_that_is_one_no_more_is_left(server, raw):
    async def main():
        before = await ask(server, "CLIENT", "ID")
        _, found = await shared(server)
        task = asyncio.create_task(ask(server, "GET", "a"))
        await asyncio.sleep(0)
        found.data_received(b"-READONLY You can't write against a read only replica.\r\n")
        with pytest.raises(CacheUnavailableError, match="READONLY"):
            await task
        assert await ask(server, "CLIENT", "ID") != before

    asyncio.run(main())


def test_a_server_that_does_not_read_is_not_given_more_to_keep(server):
    async def main():
        await ask(server, "PING")
        pool, found = await shared(server)
        found.pause_writing()
        await ask(server, "PING")
        assert len(pool._available_connections) == 1
        found.resume_writing()
        await asyncio.gather(ask(server, "PING"), ask(server, "PING"))
        assert len(pool._available_connections) == 1

    asyncio.run(main())


@pytest.mark.parametrize("options", [{"max_connections": 1}, {"health_check_interval": 5}, {}], ids=str)
def test_nothing_is_shared_of_one_connection_or_without_what_it_takes(broker, made, monkeypatch, options):
    if not options:
        monkeypatch.setattr("django_dripcache.pools.HIREDIS_AVAILABLE", False)
    server = made(broker.url, **options)

    async def main():
        assert await ask(server, "ECHO", "a") == b"a"
        assert (await shared(server))[1] is None

    asyncio.run(main())


def test_a_first_connection_that_fails_is_told_to_all_who_wait_for_it(made):
    server = made("redis://127.0.0.1:1/0", socket_timeout=0.2)

    async def main():
        results = await asyncio.gather(*[ask(server, "PING") for _ in range(10)], return_exceptions=True)
        assert {type(result) for result in results} == {CacheUnavailableError}

    asyncio.run(main())


def test_a_task_cancelled_while_it_connects_leaves_that_to_the_next(broker, made):
    async def main():
        for turns in range(30):
            server = made(broker.url)
            first = asyncio.create_task(ask(server, "ECHO", "first"))
            second = asyncio.create_task(ask(server, "ECHO", "second"))
            for _ in range(turns):
                await asyncio.sleep(0)
            first.cancel()
            assert await second == b"second"
            pool, found = await shared(server)
            assert pool._in_use_connections == {found.connection}
            await pool.disconnect()

    asyncio.run(main())


class Interrupt(KeyboardInterrupt):
    """What a signal raises, say."""


def interrupting(at, reached):
    """Return a trace function that interrupts the module at its line number ``at``, and notes which one that was."""
    count = iter(range(at + 1))

    def trace(frame, event, _):
        if event == "line" and frame.f_code.co_filename == OURS and next(count, at) == at:
            sys.settrace(None)
            reached.append((frame.f_code.co_name, frame.f_lineno))
            raise Interrupt
        return trace

    return trace


async def wrong_answers(server, names):
    """Return the answers that were another's."""
    found = await asyncio.gather(*[ask(server, "ECHO", name) for name in names], return_exceptions=True)
    return [one for name, one in zip(names, found, strict=True) if isinstance(one, bytes) and one != name.encode()]


async def settle(server, *, anew):
    """End what is left of a turn, and bring about a connection that is shared."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    _, before = await shared(server)
    if anew and before is not None:
        before.retire()
    while (found := (await shared(server))[1]) is None or found.is_slow or not found.serves:
        with contextlib.suppress(CacheUnavailableError):
            await ask(server, "PING")
        await asyncio.sleep(0.001)


def test_an_interrupt_at_no_place_gives_anyone_the_reply_of_another(broker, made):
    server = made(broker.url, socket_timeout=0.3)  # what was not sent is waited for
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    places = set()
    for turn in range(1000):
        loop.run_until_complete(settle(server, anew=bool(turn % 2)))
        reached = []
        sys.settrace(interrupting(turn, reached))
        try:
            names = [f"{turn}.{number}" for number in range(3)]
            assert loop.run_until_complete(asyncio.wait_for(wrong_answers(server, names), 1)) == []
        except (Interrupt, asyncio.TimeoutError):
            pass  # the loop was broken into: who waited is told nothing any more
        finally:
            sys.settrace(None)
        places.update(reached)
        if not reached:
            break
        assert loop.run_until_complete(wrong_answers(server, ["next", "last"])) == []
    loop.run_until_complete(settle(server, anew=True))
    assert loop.run_until_complete(ask(server, "ECHO", "whole")) == b"whole"
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    assert {"send", "data_received", "_flush"} <= {name for name, _ in places}
    assert len(places) > 30
