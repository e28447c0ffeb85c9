"""Both drivers over a real server: what they send, what they throw into a flow, and what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import socket
import threading
import time
from types import SimpleNamespace

import pytest
import redis
import redis.asyncio as aioredis

from django_dripcache._drive import arun, run
from django_dripcache.backend import get_alias_server
from django_dripcache.broker import from_url
from django_dripcache.codecs import PickleCodec
from django_dripcache.exceptions import CacheUnavailableError, SerializationError
from django_dripcache.flows.steps import Command, Encode, Load, Pipeline, Refused, Script
from django_dripcache.pools import PoolOptions
from django_dripcache.server import Server
from django_dripcache.sockets import AsyncGuarded, Guarded, guarded
from django_dripcache.wire import Wire

from .conftest import use_server
from .faults.proxy import Proxy
from .processes import run_python


def one(step):
    """Make a flow of one step."""
    return (yield step)


def driven(drive, server):
    """Return ``run`` over a server, by the driver that is under test."""
    return drive(SimpleNamespace(run=lambda flow: run(flow, server), arun=lambda flow: arun(flow, server))).run


@pytest.fixture
def server(broker):
    return get_alias_server("default")


@pytest.fixture
def play(drive, server):
    return driven(drive, server)


@pytest.fixture
def alone(made, broker):
    """A server of whose pool tasks share nothing: each takes its only connection."""
    return made(broker.url, max_connections=1)


@pytest.fixture
def made():
    """Make servers of the test's own for a URL, which are closed at its end, and patient if not told otherwise."""
    servers = []

    def make(url, **options):
        patient = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
        servers.append(Server(from_url(url, "a test"), PoolOptions(**{**patient, **options})))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def in_use(server):
    """Count the connections that are lent out, by the pools of threads and event loops; not what is shared."""
    count = sum(pool.lent for pool, _ in server._loops.values())
    if server._pool is not None:
        count += server._pool.lent
    return count


def open_pool(play, server):
    """Return the pool that the driver under test uses, with an open connection in it."""
    play(one(Command("PING")))
    return next((pool for pool, _ in server._loops.values()), None) or server._pool


def calls(raw, command):
    return raw.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0)


# Steps and replies


def test_a_command_gets_its_reply(play):
    assert play(one(Command("ECHO", b"\x00\xff"))) == b"\x00\xff"
    assert play(one(Command("GET", "none"))) is None
    assert play(one(Command("INCRBY", "n", 2**62))) == 2**62
    assert play(one(Command("LRANGE", "none", 0, -1))) == []


def test_replies_are_sent_into_the_flow_and_its_result_returned(play):
    def flow():
        first = yield Command("INCR", "n")
        second = yield Command("INCR", "n")
        return [first, second]

    assert play(flow()) == [1, 2]


@pytest.mark.far("it opens a connection")
def test_a_flow_without_steps_returns_its_result(play, server):
    def flow():
        return "result"
        yield

    assert play(flow()) == "result"
    assert server._pool is None
    assert not server._loops


def test_a_pipeline_gets_its_replies_in_order_in_one_write(play, raw):
    steps = [Command("SET", "a", 1), Script("count", [b"n"], 5, -1), Command("GET", "a"), Command("GET", "none")]
    assert play(one(Pipeline(steps))) == [b"OK", 5, b"1", None]


def test_an_empty_pipeline_gets_no_replies(play):
    assert play(one(Pipeline([]))) == []


@pytest.mark.far("it opens a connection")
def test_an_encode_gets_its_bytes_without_a_connection(play, server):
    codec = PickleCodec([b"secret"], compress_above=None, inflate_limit=2**20)
    assert play(one(Encode(codec, 5, b"key"))) == b"5"
    with pytest.raises(SerializationError):
        play(one(Encode(codec, lambda: None, b"key")))
    assert server._pool is None
    assert not server._loops


# Scripts that the server has lost


def test_a_lost_script_heals_in_the_same_call(play, raw):
    for expected in (5, 10, 15):
        raw.script_flush()
        assert play(one(Script("count", [b"n"], 5, 60_000))) == expected
    assert raw.get("n") == b"15"


def test_a_lost_script_is_brought_along_once(play, raw):
    raw.script_flush()
    raw.config_resetstat()
    for _ in range(3):
        play(one(Script("count", [b"n"], 1, 60_000)))
    assert calls(raw, "eval") == 1
    assert calls(raw, "evalsha") == 3
    assert calls(raw, "incrby") == 3


def test_several_lost_scripts_in_a_pipeline_heal_together_and_run_once(play, raw):
    raw.script_flush()
    raw.set("there", 1)
    raw.config_resetstat()
    steps = [
        Script("count", [b"a"], 5, 60_000),
        Command("SET", "x", "y"),
        Script("increment", [b"there"], 2),
        Script("count", [b"a"], 5, 60_000),
        Script("increment", [b"none"], 2),
        Command("GET", "x"),
        Script("count", [b"b"], 1, 60_000),
    ]
    assert play(one(Pipeline(steps))) == [5, b"OK", 3, 10, None, b"y", 1]
    assert calls(raw, "incrby") == 4
    assert calls(raw, "set") == 1
    assert calls(raw, "get") == 1
    assert calls(raw, "eval") == 5


def test_a_pipeline_of_which_one_script_is_lost_runs_the_others_once(play, raw):
    play(one(Script("count", [b"a"], 1, 60_000)))
    raw.script_flush()
    play(one(Script("count", [b"a"], 1, 60_000)))
    steps = [Script("count", [b"a"], 1, 60_000), Script("increment", [b"a"], 10), Script("count", [b"a"], 1, 60_000)]
    replies = play(one(Pipeline(steps)))
    assert raw.get("a") == b"14"
    assert (replies[0], replies[2]) == (3, 4)


def test_a_lost_script_that_refuses_is_refused(play, raw):
    raw.rpush("list", "a")
    raw.script_flush()
    with pytest.raises(Refused, match="WRONGTYPE"):
        play(one(Script("count", [b"list"], 1, -1)))
    raw.script_flush()
    steps = [Script("count", [b"list"], 1, -1), Script("count", [b"n"], 1, -1)]
    refused, counted = play(one(Pipeline(steps)))
    assert isinstance(refused, Refused)
    assert counted == 1


# Refusals

REFUSALS = {
    "a read of another type": Command("GET", "list"),
    "a count of text": Command("INCR", "text"),
    "a count beyond 64 bits": Command("INCR", "highest"),
    "a value beyond the largest": Command("SETRANGE", "text", 2**29, "x"),
    "a script on another type": Script("count", [b"list"], 1, -1),
    "a script on text": Script("increment", [b"text"], 1),
    "a script beyond 64 bits": Script("increment", [b"highest"], 1),
}


@pytest.fixture
def stubborn(raw):
    raw.rpush("list", "a")
    raw.mset({"text": "t", "highest": 2**63 - 1})
    return raw


@pytest.mark.parametrize("connections", [1, 20])
def test_what_has_the_form_of_a_reply_and_cannot_be_one_is_an_outage(drive, made, start_server, connections):
    with Proxy(start_server().port) as proxy:
        server = made(proxy.url, max_connections=connections)
        play = driven(drive, server)
        assert play(one(Command("PING"))) == b"PONG"
        proxy.become("garbage", text=b"%1\r\n*0\r\n:1\r\n")  # a map whose key is a list
        with pytest.raises(CacheUnavailableError):
            play(one(Command("PING")))
        proxy.become("pass")
        assert play(one(Command("PING"))) == b"PONG"
        assert in_use(server) == 0


@pytest.mark.parametrize("step", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_thrown_into_the_flow_and_the_connection_stays(play, server, stubborn, caplog, step):
    def flow():
        before = yield Command("CLIENT", "ID")
        try:
            yield step
        except Refused as refusal:
            return before == (yield Command("CLIENT", "ID")), str(refusal)

    stayed, message = play(flow())
    assert stayed
    assert message
    assert in_use(server) == 0
    assert server.available
    assert not caplog.records


def test_a_refusal_that_a_flow_does_not_expect_comes_out(play, stubborn):
    with pytest.raises(Refused):
        play(one(Command("GET", "list")))


@pytest.mark.parametrize("step", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_in_a_pipeline_stands_in_its_place_and_the_rest_is_done(play, stubborn, step):
    first, refused, last = play(one(Pipeline([Command("SET", "a", 1), step, Command("SET", "b", 2)])))
    assert (first, last) == (b"OK", b"OK")
    assert isinstance(refused, Refused)
    assert stubborn.mget("a", "b") == [b"1", b"2"]


@pytest.mark.parametrize(
    "step",
    [
        Command("NO_SUCH_COMMAND"),
        Command("GET"),
        Command("SET", "a", "b", "PX", -1),
        Pipeline([Command("PING"), Command("GET")]),
    ],
)
def test_any_other_error_of_the_server_is_an_outage_with_its_reason(play, server, step):
    with pytest.raises(CacheUnavailableError) as caught:
        play(one(step))
    assert caught.value.reason in str(caught.value)
    assert caught.value.reason
    assert in_use(server) == 0
    assert play(one(Command("PING"))) == b"PONG"


def test_an_outage_in_a_pipeline_is_one_also_behind_a_refusal(play, stubborn):
    with pytest.raises(CacheUnavailableError):
        play(one(Pipeline([Command("GET", "list"), Command("NO_SUCH_COMMAND"), Command("PING")])))
    assert play(one(Command("ECHO", "next"))) == b"next"


def test_a_flow_may_go_on_after_an_outage(play):
    def flow():
        try:
            yield Command("NO_SUCH_COMMAND")
        except CacheUnavailableError:
            return (yield Command("ECHO", "fallback"))

    assert play(flow()) == b"fallback"


def test_a_command_that_cannot_be_sent_is_no_outage_of_redis(play, server, caplog):
    with pytest.raises(Exception):  # noqa: B017 - which one is not the point
        play(one(Command("SET", "a", object())))
    assert server.available
    assert not caplog.records
    assert in_use(server) == 0
    assert play(one(Command("ECHO", "next"))) == b"next"


# Loaders


class LoaderError(Exception):
    pass


@pytest.mark.parametrize(
    "error", [LoaderError(), KeyboardInterrupt(), SystemExit(), CacheUnavailableError("its own")], ids=repr
)
def test_what_a_loader_raises_reaches_the_flow_and_the_pool_stays_whole(play, server, error):
    def loader():
        raise error

    def flow():
        yield Command("PING")
        try:
            yield Load(loader)
        except BaseException:
            yield Command("SET", "cleaned", "up")
            raise

    with pytest.raises(type(error)) as caught:
        play(flow())
    assert caught.value is error
    assert play(one(Command("GET", "cleaned"))) == b"up"
    assert in_use(server) == 0
    assert server.available


def test_a_loader_that_stops_iterating_does_not_end_the_flow_with_a_result(play):
    with pytest.raises(RuntimeError):
        play(one(Load(lambda: next(iter(())))))


def test_a_loader_may_use_the_cache_itself_with_a_pool_of_one(drive, broker, made):
    server = made(broker.url, max_connections=1)
    play = driven(drive, server)

    def flow():
        yield Command("SET", "a", "outer")
        inner = yield Load(lambda: run(one(Command("GET", "a")), server))
        return inner, (yield Command("GET", "a"))

    assert play(flow()) == (b"outer", b"outer")


def test_a_loader_may_be_a_coroutine_function(server):
    async def loader():
        await asyncio.sleep(0)
        return "loaded"

    async def failing():
        await asyncio.sleep(0)
        raise LoaderError

    async def main():
        assert await arun(one(Load(loader)), server) == "loaded"
        assert await arun(one(Load(lambda: "plain")), server) == "plain"
        with pytest.raises(LoaderError):
            await arun(one(Load(failing)), server)

    asyncio.run(main())


# Interrupts


def interrupt_reads(monkeypatch, pool, after, error):
    """Let the reads of a pool's connections raise, after some have been read; the replies stay on the socket."""
    cls = pool.connection_class
    read, receive, count = cls.read_response, Wire._receive, iter(range(1000))

    def interrupted(self, *args, **kwargs):
        if next(count) >= after:
            raise error
        return read(self, *args, **kwargs)

    def interrupted_wire(self, replies):
        return [reply for _ in range(replies) for reply in (interrupt() or receive(self, 1))]

    def interrupt():
        if next(count) >= after:
            raise error

    monkeypatch.setattr(cls, "read_response", interrupted)
    monkeypatch.setattr(Wire, "_receive", interrupted_wire)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(), asyncio.CancelledError(), MemoryError()], ids=repr
)
@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_interrupted_read_never_leaves_its_reply_to_the_next_caller(drive, alone, monkeypatch, error, after):
    play, server = driven(drive, alone), alone
    pool = open_pool(play, server)
    before = play(one(Command("CLIENT", "ID")))
    with monkeypatch.context() as patch:
        interrupt_reads(patch, pool, after, error)
        with pytest.raises(type(error)):
            play(one(Pipeline([Command("ECHO", f"alice{number}") for number in range(3)])))
    assert in_use(server) == 0
    assert play(one(Command("ECHO", "bob"))) == b"bob"
    assert play(one(Command("CLIENT", "ID"))) != before
    assert play(one(Pipeline([Command("ECHO", "carol"), Command("ECHO", "dave")]))) == [b"carol", b"dave"]


def test_an_interrupted_flow_can_still_clean_up(drive, alone, monkeypatch):
    play, server = driven(drive, alone), alone
    pool = open_pool(play, server)

    def flow():
        yield Command("SET", "lock", "mine")
        try:
            interrupt_reads(monkeypatch, pool, 0, KeyboardInterrupt())
            yield Command("PING")
        finally:
            monkeypatch.undo()
            yield Command("DEL", "lock")

    with pytest.raises(KeyboardInterrupt):
        play(flow())
    assert play(one(Command("EXISTS", "lock"))) == 0
    assert in_use(server) == 0


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_interrupted_handshake_never_leaves_a_connection_on_another_database(
    drive, broker, raw, made, monkeypatch, after
):
    # Three replies: to the name, to SELECT, and to the command itself.
    server = made(broker.url[:-1] + "3", max_connections=1)
    play = driven(drive, server)
    with monkeypatch.context() as patch:
        for cls in (guarded(redis.Connection, Guarded), guarded(aioredis.Connection, AsyncGuarded)):
            interrupt_reads(patch, SimpleNamespace(connection_class=cls), after, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            play(one(Command("SET", "a", "interrupted", "PX", 60_000)))
    assert in_use(server) == 0
    assert play(one(Command("SET", "a", "whole", "PX", 60_000))) == b"OK"
    assert raw.get("a") is None
    assert play(one(Command("GETDEL", "a"))) == b"whole"


def test_a_signal_in_a_read_never_leaves_its_reply_to_the_next_caller(server):
    # A real one, as Celery's soft time limit is.
    def alarm(*_):
        raise LoaderError

    run(one(Command("PING")), server)
    before = signal.signal(signal.SIGALRM, alarm)
    try:
        for number in range(5):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(LoaderError):
                run(one(Command("BLPOP", "alice", 0.15)), server)
            assert run(one(Command("ECHO", f"bob{number}")), server) == f"bob{number}".encode()
            assert in_use(server) == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_handler_may_use_the_cache_in_the_middle_of_a_call(broker, made):
    # And so may whatever else runs in between: a finalizer, a log handler.
    server = made(broker.url, socket_timeout=5.0)
    inner = []

    def ask(*_):
        inner.append(run(one(Command("ECHO", "inner")), server))

    run(one(Command("PING")), server)
    before = signal.signal(signal.SIGALRM, ask)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert run(one(Pipeline([Command("BLPOP", "none", 0.1), Command("ECHO", "outer")])), server) == [None, b"outer"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert inner == [b"inner"]
    assert in_use(server) == 0


def test_a_cancelled_task_never_leaves_its_reply_to_the_next_caller(server):
    async def main():
        await arun(one(Command("PING")), server)
        before = await arun(one(Command("CLIENT", "ID")), server)
        task = asyncio.create_task(arun(one(Command("BLPOP", "alice", 0.2)), server))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert in_use(server) == 0
        assert await arun(one(Command("ECHO", "bob")), server) == b"bob"
        assert await arun(one(Command("CLIENT", "ID")), server) != before

    asyncio.run(main())


def test_a_cancelled_flow_can_still_clean_up(server):
    started = asyncio.Event()

    def flow():
        yield Command("SET", "lock", "mine")
        try:
            yield Load(started.set)
            yield Command("BLPOP", "none", 0.2)
        except asyncio.CancelledError:
            yield Command("DEL", "lock")
            raise

    async def main():
        task = asyncio.create_task(arun(flow(), server))
        await started.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await arun(one(Command("EXISTS", "lock")), server) == 0

    asyncio.run(main())


@pytest.mark.parametrize("warm", [True, False], ids=["an open connection", "no connection yet"])
def test_a_task_cancelled_at_any_step_leaves_the_pool_whole(broker, made, warm):
    async def main():
        for steps in range(40):
            server = made(broker.url, max_connections=2)
            if warm:
                await arun(one(Command("PING")), server)
            task = asyncio.create_task(
                arun(one(Pipeline([Command("ECHO", "alice"), Command("ECHO", "alice")])), server)
            )
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert in_use(server) == 0
            assert await arun(one(Command("ECHO", "bob")), server) == b"bob"
            pool = await server.async_pool()
            await pool.disconnect()

    asyncio.run(main())


def test_a_task_cancelled_just_as_a_connection_is_free_does_not_keep_it_from_the_next_in_line(broker, made):
    # asyncio.Condition loses that wake-up before Python 3.13.
    async def main():
        server = made(broker.url, max_connections=1, wait=0.5)
        pool = await server.async_pool()
        held = await pool.get_connection()
        first, second = [asyncio.create_task(arun(one(Command("ECHO", name)), server)) for name in ("first", "second")]
        for _ in range(10):
            await asyncio.sleep(0)
        await pool.release(held)
        first.cancel()
        assert await second == b"second"
        assert in_use(server) == 0

    asyncio.run(main())


def test_tasks_cancelled_while_they_wait_for_each_other_leave_the_pool_whole(broker, made):
    dice = random.Random(7)
    server = made(broker.url, max_connections=3, wait=1.0, socket_timeout=5.0)

    async def call(name):
        assert await arun(one(Command("ECHO", name)), server) == name.encode()

    async def main():
        for _ in range(25):
            tasks = [asyncio.create_task(call(f"task{number}")) for number in range(20)]
            for _ in range(dice.randrange(30)):
                await asyncio.sleep(0)
            for task in dice.sample(tasks, 12):
                task.cancel()
                if dice.random() < 0.3:
                    await asyncio.sleep(0)
                    task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [repr(one) for one in results if one and not isinstance(one, asyncio.CancelledError)] == []
            assert in_use(server) == 0
        await asyncio.gather(*[call(f"last{number}") for number in range(20)])

    asyncio.run(main())


def test_a_cancelled_task_never_goes_on(broker, made):
    # asyncio.wait_for() loses one cancellation in fifty here, before Python 3.12.
    dice = random.Random(11)
    server = made(broker.url, socket_timeout=5.0)

    async def work():
        while True:
            await arun(one(Command("ECHO", "x")), server)

    async def main():
        await arun(one(Command("ECHO", "x")), server)
        for _ in range(300):
            task = asyncio.create_task(work())
            await asyncio.sleep(dice.uniform(0, 0.002))
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=5)
            assert done
            assert task.cancelled()

    asyncio.run(main())


# An interrupt at any place


@pytest.fixture(scope="module", params=["an open connection", "no connection yet"])
def aftermath(request, redis_server):
    """Interrupt a call at each place there is, in a process whose collector may complain of what is lost on the way."""
    code = f"from tests.interrupts import main; main(opened={request.param == 'an open connection'})"
    return SimpleNamespace(**run_python(code, redis_server.url[:-1] + "3", timeout=120))


def test_a_call_can_be_interrupted_at_many_places(aftermath):
    assert len(aftermath.places) > 50
    assert any("lending.py" in place for place in aftermath.places)
    assert any("_exchange" in place for place in aftermath.places)


def test_an_interrupt_at_no_place_locks_the_pool(aftermath):
    assert not aftermath.locked


def test_an_interrupt_at_no_place_leaves_a_reply_to_the_next_caller(aftermath):
    assert not aftermath.wrong


def test_an_interrupt_at_no_place_leaks_a_connection(aftermath):
    assert not aftermath.leaked


# Event loops of other threads


class Fleeting:
    """The loop of another thread, which is closed and replaced just as it is looked at."""

    def __init__(self, loops):
        self.loops = loops

    def is_closed(self):
        self.loops.pop(self, None)
        if len(self.loops) < 5:
            self.loops[Fleeting(self.loops)] = (None, None)
        return True


def test_the_loops_of_other_threads_may_come_and_go_at_any_time(broker, made):
    server = made(broker.url)
    server._loops[Fleeting(server._loops)] = (None, None)

    async def main():
        try:
            assert await arun(one(Command("PING")), server) == b"PONG"
        finally:
            for loop in [loop for loop in server._loops if isinstance(loop, Fleeting)]:
                del server._loops[loop]

    asyncio.run(main())


# A server that fails on purpose


class Trap(threading.Thread):
    """Answers a handshake as Redis does, and fails at the command that has the bait in it, which it counts."""

    BAIT = b"BAIT"

    def __init__(self, behaviour, *, keep=False):
        super().__init__(daemon=True)
        self.behaviour = behaviour
        self.keep = keep
        self.seen = self.accepted = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}/0"

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.accepted += 1
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                if self.BAIT not in data:
                    connection.sendall(b"+OK\r\n")
                    continue
                self.seen += data.count(self.BAIT)
                if self.behaviour is None:
                    continue
                connection.sendall(self.behaviour)
                if not self.keep:
                    return

    def close(self):
        self.listener.close()


@pytest.fixture
def trap():
    traps = []

    def start(behaviour, **options):
        traps.append(Trap(behaviour, **options))
        traps[-1].start()
        return traps[-1]

    yield start
    for one_of_them in traps:
        one_of_them.close()


FAILURES = {
    "closes at once": b"",
    "stays silent": None,
    "closes in the middle of a reply": b"$100\r\nabc",
    "says what is not Redis": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "says what no protocol says": b"?\x00\xff\r\n",
    "is still loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "has too many clients": b"-ERR max number of clients reached\r\n",
    "lost its master": b"-MASTERDOWN Link with MASTER is down\r\n",
    "is read-only": b"-READONLY You can't write against a read only replica.\r\n",
    "is full": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "cannot save": b"-MISCONF Redis is configured to save RDB snapshots\r\n",
    "is busy": b"-BUSY Redis is busy running a script.\r\n",
    "asks for a password": b"-NOAUTH Authentication required.\r\n",
    "does not permit it": b"-NOPERM this user has no permissions\r\n",
    "has moved": b"-MOVED 3999 127.0.0.1:6381\r\n",
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize(
    "step",
    [
        Command("INCR", "BAIT"),
        Script("count", [b"BAIT"], 1, -1),
        Pipeline([Command("INCR", "BAIT"), Command("INCR", "x")]),
    ],
    ids=["command", "script", "pipeline"],
)
def test_what_went_out_is_never_sent_again(drive, trap, made, failure, step):
    fake = trap(failure)
    server = made(fake.url)
    with pytest.raises(CacheUnavailableError):
        driven(drive, server)(one(step))
    assert fake.seen == 1
    assert in_use(server) == 0


def test_a_script_that_stays_lost_is_brought_along_once(drive, trap, made):
    fake = trap(b"-NOSCRIPT No matching script. Please use EVAL.\r\n", keep=True)
    server = made(fake.url)
    with pytest.raises(CacheUnavailableError):
        driven(drive, server)(one(Script("count", [b"BAIT"], 1, -1)))
    assert fake.seen == 2
    assert in_use(server) == 0


def test_a_write_that_timed_out_is_counted_at_most_once_by_a_real_server(play, server, raw):
    open_pool(play, server)
    raw.config_resetstat()
    raw.client_pause(400)
    with pytest.raises(CacheUnavailableError):
        play(one(Command("INCRBY", "n", 1)))
    raw.client_unpause()
    assert calls(raw, "incrby") <= 1
    assert int(raw.get("n") or 0) <= 1
    assert play(one(Command("ECHO", "next"))) == b"next"


LIES = {
    "a number for a value": (Command("GET", "BAIT"), b":1\r\n"),
    "a list for a value": (Command("GET", "BAIT"), b"*1\r\n$1\r\na\r\n"),
    "a text for a count": (Command("UNLINK", "BAIT"), b"+OK\r\n"),
    "nothing for a ttl": (Command("PTTL", "BAIT"), b"$-1\r\n"),
    "a list that is too short": (Command("MGET", "BAIT", "other"), b"*1\r\n$1\r\na\r\n"),
    "nothing for a page": (Command("SCAN", 0, "MATCH", "BAIT"), b"*-1\r\n"),
    "a number within a pipeline": (Pipeline([Command("GET", "BAIT")]), b":1\r\n"),
}


@pytest.mark.parametrize(("step", "reply"), LIES.values(), ids=LIES)
def test_a_server_that_answers_what_it_cannot_mean_is_not_believed_nor_kept(drive, trap, made, step, reply):
    fake = trap(reply, keep=True)
    server = made(fake.url)
    play = driven(drive, server)
    with pytest.raises(CacheUnavailableError, match="another shape"):
        play(one(step))
    assert in_use(server) == 0
    assert server.breaker.in_a_row == 1
    assert play(one(Command("ECHO", "x"))) == b"OK"
    assert fake.accepted == 2


def test_nobody_listens(drive, made):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = made(f"redis://127.0.0.1:{unused.getsockname()[1]}/0")
        with pytest.raises(CacheUnavailableError) as caught:
            driven(drive, server)(one(Command("PING")))
    assert caught.value.reason
    assert in_use(server) == 0


def test_a_wrong_password_is_an_outage_and_is_not_told(drive, start_server, made):
    real = start_server()
    with real.client() as admin:
        admin.config_set("requirepass", "the-right-one")
    server = made(f"redis://:the-wrong-one@127.0.0.1:{real.port}/0")
    with pytest.raises(CacheUnavailableError) as caught:
        driven(drive, server)(one(Command("PING")))
    assert "the-wrong-one" not in str(caught.value)
    assert "the-wrong-one" not in repr(server)
    assert in_use(server) == 0


def test_a_pool_that_is_lent_out_is_an_outage_for_this_call_alone(broker, made):
    server = made(broker.url, max_connections=1, wait=0.01)
    held = server.pool.get_connection()
    with pytest.raises(CacheUnavailableError):
        run(one(Command("PING")), server)
    server.pool.release(held)
    assert run(one(Command("PING")), server) == b"PONG"
    assert in_use(server) == 0


def test_the_pool_of_a_loop_that_is_lent_out_is_an_outage_for_this_call_alone(broker, made):
    async def main():
        server = made(broker.url, max_connections=1, wait=0.01)
        pool = await server.async_pool()
        held = await pool.get_connection()
        with pytest.raises(CacheUnavailableError):
            await arun(one(Command("PING")), server)
        await pool.release(held)
        assert await arun(one(Command("PING")), server) == b"PONG"
        assert in_use(server) == 0

    asyncio.run(main())


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_before_anything_is_sent(server, raw):
    for number in range(3):
        assert run(one(Command("INCR", "n")), server) == number + 1
        raw.client_kill_filter(_type="normal", skipme=True)


def test_a_connection_of_a_loop_that_the_server_closed_meanwhile_is_replaced_before_anything_is_sent(server, raw):
    async def main():
        for number in range(3):
            assert await arun(one(Command("INCR", "n")), server) == number + 1
            raw.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.01)

    asyncio.run(main())


# The log


def lines(caplog):
    return [record.levelname for record in caplog.records if record.name == "django_dripcache"]


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.DEBUG, logger="django_dripcache")


def test_an_outage_is_one_warning_and_its_end_one_info(drive, start_server, caplog):
    real = start_server()
    with use_server(real.url):
        server = get_alias_server("default")
        play = driven(drive, server)
        play(one(Command("PING")))
        assert lines(caplog) == []
        for _ in range(2):
            caplog.clear()
            real.stop()
            for _ in range(5):
                with pytest.raises(CacheUnavailableError):
                    play(one(Command("PING")))
            assert lines(caplog) == ["WARNING"]
            assert str(server.broker) in caplog.text
            real.start()
            until = time.monotonic() + 3
            while not server.available and time.monotonic() < until:
                time.sleep(0.02)
            for _ in range(5):
                assert play(one(Command("PING"))) == b"PONG"
            assert lines(caplog) == ["WARNING", "INFO"]


def test_an_outage_that_many_threads_see_is_one_warning(start_server, caplog):
    real = start_server()
    with use_server(real.url):
        server = get_alias_server("default")
        run(one(Command("PING")), server)
        real.stop()

        def ask():
            for _ in range(20):
                with contextlib.suppress(CacheUnavailableError):
                    run(one(Command("PING")), server)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lines(caplog) == ["WARNING"]


def test_a_password_is_in_no_line_of_the_log(drive, start_server, caplog):
    real = start_server()
    with use_server(real.url.replace("redis://", "redis://:s3cret@")):
        for _ in range(3):
            with pytest.raises(CacheUnavailableError):
                driven(drive, get_alias_server("default"))(one(Command("PING")))
        assert lines(caplog) == ["WARNING"]
        assert "s3cret" not in caplog.text


def test_a_server_that_is_full_is_one_warning_however_much_it_refuses(drive, start_server, caplog):
    real = start_server(maxmemory="1", maxmemory_policy="noeviction")
    with use_server(real.url):
        play = driven(drive, get_alias_server("default"))
        for _ in range(10):
            with pytest.raises(CacheUnavailableError, match="OOM"):
                play(one(Command("SET", "a", "x" * 100)))
        assert lines(caplog) == ["WARNING"]


def test_a_server_that_is_full_is_not_back_because_it_can_be_read(drive, start_server, caplog):
    real = start_server(maxmemory="1", maxmemory_policy="noeviction")
    with use_server(real.url):
        play = driven(drive, get_alias_server("default"))
        for _ in range(10):
            with pytest.raises(CacheUnavailableError, match="OOM"):
                play(one(Command("SET", "a", "x" * 100)))
            assert play(one(Command("GET", "a"))) is None
        assert lines(caplog) == ["WARNING"]
