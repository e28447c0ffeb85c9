"""Commands and replies on a socket: on a pair of sockets, on real servers, and through a proxy that harms them."""

from __future__ import annotations

import contextlib
import itertools
import select
import signal
import socket
import ssl
import struct
import threading
import time
from types import SimpleNamespace
from unittest import mock

import hiredis
import pytest
import redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.connection import Encoder, PythonRespSerializer
from redis.exceptions import BusyLoadingError, DataError, InvalidResponse, ReadOnlyError, ResponseError

from django_dripcache import wire as wires
from django_dripcache._drive import run
from django_dripcache._replies import talk
from django_dripcache.broker import from_url
from django_dripcache.deadline import DEADLINE
from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.flows.steps import Command, Pipeline
from django_dripcache.pools import PoolOptions
from django_dripcache.server import Server
from django_dripcache.sockets import SentinelGuarded
from django_dripcache.wire import Wire, pack

from .faults.proxy import Proxy
from .processes import needs_server, run_python, tls_only, tls_url, wait_for

LARGE = b"x" * 10_000_000
GET = [(b"GET", b"key")]


@pytest.fixture(autouse=True)
def without_deadline():
    """Let each test begin without a deadline, and leave none behind."""
    token = DEADLINE.set(None)
    yield
    DEADLINE.reset(token)


@contextlib.contextmanager
def within(seconds):
    """Set a deadline for what is done within."""
    token = DEADLINE.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        DEADLINE.reset(token)


def reader():
    return hiredis.Reader(
        protocolError=InvalidResponse, replyError=redis.connection.BaseParser.parse_error, notEnoughData=NOT_ENOUGH_DATA
    )


@pytest.fixture
def ends():
    """A wire, and the other end of its socket, which the test plays."""
    near, far = socket.socketpair()
    far.settimeout(10)
    with near, far:
        yield Wire(near, reader(), 10.0), far


@pytest.fixture
def beside():
    """Run something in a thread, and wait for it in the end."""
    threads = []

    def start(work, *args):
        threads.append(threading.Thread(target=work, args=args))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(15)
        assert not thread.is_alive()


def timed(error, call):
    """Return how many seconds a call took that raises an error."""
    began = time.monotonic()
    with pytest.raises(error):
        call()
    return time.monotonic() - began


def received(far, count):
    """Return what the other end is sent, until it is so many bytes."""
    parts, missing = [], count
    while missing:
        parts.append(far.recv(min(missing, 65536)))
        if not parts[-1]:
            break
        missing -= len(parts[-1])
    return b"".join(parts)


# What is sent


@pytest.mark.parametrize(
    "command",
    [
        ("GET", b"key"),
        (b"SET", b"key", b"\r\n$3\r\n\x00\xff"),
        ("SET", b"", b""),
        ("SET", "clé 🐫", "väl\nue"),
        ("PEXPIRE", b"key", 0),
        ("INCRBY", b"key", -(2**63)),
        ("ZADD", b"key", 1.5, b"member"),
        ("MGET", *[b"%d" % number for number in range(300)]),
    ],
)
def test_commands_are_sent_as_redis_py_sends_them(command):
    encoder = Encoder("utf-8", "strict", decode_responses=False)
    theirs = b"".join(PythonRespSerializer(6000, encoder.encode).pack(*command))
    assert pack([command]) == theirs
    assert pack([command, ("PING",), command]) == theirs + b"*1\r\n$4\r\nPING\r\n" + theirs
    assert pack([]) == b""


def test_numbers_are_made_bytes_before_hiredis_is_given_them(monkeypatch):
    """An exception of a signal while it does so itself crashed the process."""
    seen = []
    monkeypatch.setattr(wires, "hiredis", mock.Mock(pack_command=lambda args: seen.append(args) or b""))
    pack([("INCRBY", b"key", 5), ("PING",)])
    assert seen == [("INCRBY", b"key", b"5"), ("PING",)]


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, object()])
def test_what_cannot_be_sent_is_a_data_error_as_redis_py_has_it(ends, value):
    wire, far = ends
    with pytest.raises(DataError):
        wire.exchange([("PING",), ("SET", b"key", value)])
    assert not select.select([far], [], [], 0)[0]


@pytest.mark.parametrize("patient", [0.0, 10.0, None])
def test_a_request_that_the_socket_cannot_take_at_once_arrives_whole(ends, beside, patient):
    wire, far = ends
    wire._socket.settimeout(patient)
    command = (b"SET", b"key", LARGE)
    expected, sent = pack([command]), []

    def read_slowly():
        sent.append(received(far, 1000))
        time.sleep(0.05)
        sent.append(received(far, len(expected) - 1000))
        far.sendall(b"+OK\r\n")

    beside(read_slowly)
    assert wire.exchange([command]) == [b"OK"]
    assert b"".join(sent) == expected
    assert wire._socket.gettimeout() == 0


def test_a_request_to_one_that_does_not_read_ends_with_the_deadline(ends):
    wire, _ = ends
    with within(0.2):
        assert 0.1 < timed(redis.TimeoutError, lambda: wire.exchange([(b"SET", b"key", LARGE)])) < 2


def test_a_request_to_one_that_does_not_read_ends_with_the_patience_where_there_is_no_deadline(ends):
    wire, _ = ends
    wire.patience = 0.2
    assert 0.1 < timed(redis.TimeoutError, lambda: wire.exchange([(b"SET", b"key", LARGE)])) < 2


def test_a_small_request_to_one_that_does_not_read_ends_with_the_deadline_too(ends):
    """Not even its first byte can be sent; and redis-py has left a timeout of its own on the socket."""
    wire, _ = ends
    wire._socket.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while True:
            wire._socket.send(LARGE)
    wire._socket.settimeout(10)
    with within(0.2):
        assert 0.1 < timed(redis.TimeoutError, lambda: wire.exchange(GET)) < 2


# What is read


def test_replies_come_in_the_order_of_their_commands(ends):
    wire, far = ends
    far.sendall(b"+OK\r\n:7\r\n$-1\r\n*2\r\n$1\r\na\r\n*0\r\n$0\r\n\r\n")
    assert wire.exchange([("A",), ("B",), ("C",), ("D",), ("E",)]) == [b"OK", 7, None, [b"a", []], b""]
    assert wire.is_clean
    assert received(far, 5 * 11) == b"".join(b"*1\r\n$1\r\n%b\r\n" % name for name in (b"A", b"B", b"C", b"D", b"E"))
    assert wire.exchange([]) == []


def test_an_error_among_the_replies_is_one_of_them(ends):
    wire, far = ends
    far.sendall(b"+OK\r\n-WRONGTYPE it is a set\r\n-READONLY no\r\n:1\r\n")
    first, second, third, last = wire.exchange([("A",), ("B",), ("C",), ("D",)])
    assert (first, last) == (b"OK", 1)
    assert type(second) is ResponseError
    assert "it is a set" in str(second)
    assert type(third) is ReadOnlyError
    assert wire.is_clean


def test_an_error_that_says_that_the_server_cannot_be_used_is_raised(ends):
    wire, far = ends
    far.sendall(b"+OK\r\n-LOADING Redis is loading the dataset in memory\r\n")
    with pytest.raises(BusyLoadingError):
        wire.exchange([("A",), ("B",)])


def test_a_reply_that_comes_byte_by_byte_is_put_together(ends, beside):
    wire, far = ends

    def drip():
        for byte in b"$5\r\nhello\r\n:12\r\n":
            far.send(bytes([byte]))
            time.sleep(0.002)

    beside(drip)
    assert wire.exchange([("A",), ("B",)]) == [b"hello", 12]


def test_a_large_reply_is_read_whole(ends, beside):
    wire, far = ends
    beside(far.sendall, b"$%d\r\n%b\r\n+OK\r\n" % (len(LARGE), LARGE))
    assert wire.exchange([("A",), ("B",)]) == [LARGE, b"OK"]
    assert wire.is_clean


@pytest.mark.parametrize(("piece", "pause"), [(b"x", 0.02), (LARGE[:100_000], 0)], ids=["drips", "pours"])
def test_a_reply_that_keeps_coming_is_cut_off_at_the_deadline(ends, beside, piece, pause):
    wire, far = ends
    over = threading.Event()

    def send():
        far.sendall(b"$10000000000\r\n")
        with contextlib.suppress(OSError):
            while not over.wait(pause):
                far.sendall(piece)

    beside(send)
    try:
        with within(0.25):
            assert 0.1 < timed(redis.TimeoutError, lambda: wire.exchange(GET)) < 2
    finally:
        over.set()
        wire._socket.close()


def test_one_who_says_nothing_is_waited_for_until_the_deadline_whatever_the_patience(ends):
    wire, _ = ends
    for patience in (None, 0.001, 100.0):
        wire.patience = patience
        with within(0.1):
            assert 0.05 < timed(redis.TimeoutError, lambda: wire.exchange(GET)) < 2


def test_one_who_says_nothing_is_waited_for_as_long_as_there_is_patience_where_there_is_no_deadline(ends):
    wire, _ = ends
    wire.patience = 0.1
    assert 0.05 < timed(redis.TimeoutError, lambda: wire.exchange(GET)) < 2


def test_without_patience_and_without_a_deadline_a_reply_is_waited_for(ends, beside):
    wire, far = ends
    wire.patience = None

    def answer():
        time.sleep(0.1)
        far.sendall(b"+OK\r\n")

    beside(answer)
    assert wire.exchange(GET) == [b"OK"]


def test_after_its_deadline_nothing_is_waited_for(ends):
    wire, _ = ends
    with within(-1):
        assert timed(redis.TimeoutError, lambda: wire.exchange(GET)) < 1


def test_a_reply_that_has_come_by_the_deadline_is_taken_after_it(ends):
    wire, far = ends
    far.sendall(b"$5\r\nhello\r\n")
    with within(-1):
        assert wire.exchange(GET) == [b"hello"]
    far.sendall(b"$5\r\nhe")
    with within(-1):
        assert timed(redis.TimeoutError, lambda: wire.exchange(GET)) < 1


def test_one_who_always_has_more_to_say_is_read_once_after_the_deadline(ends):
    wire, _ = ends
    said = [b"$100\r\n", *[b"x"] * 100, b"\r\n"]
    wire._socket = SimpleNamespace(gettimeout=lambda: 0, send=len, recv=lambda _: said.pop(0))
    wire._poll = lambda _: True
    with within(-1), pytest.raises(redis.TimeoutError):
        wire.exchange(GET)
    assert len(said) == 101


@pytest.mark.parametrize("said", [b"", b"$5\r\nhe", b"+OK\r\n"], ids=["nothing", "half", "one of two"])
def test_one_who_closes_before_all_replies_is_lost(ends, said):
    wire, far = ends
    far.sendall(said)
    far.shutdown(socket.SHUT_WR)
    with pytest.raises(redis.ConnectionError, match="Connection closed by server"):
        wire.exchange([("A",), ("B",)])


def test_one_who_has_closed_before_it_was_asked_is_lost(ends):
    wire, far = ends
    far.close()
    with pytest.raises(redis.ConnectionError) as found:
        wire.exchange(GET)
    assert isinstance(found.value.__cause__, BrokenPipeError)


def test_a_reset_in_the_middle_of_a_reply_is_a_lost_connection_that_says_so(beside):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as near:
        far, _ = listener.accept()
        far.settimeout(10)

        def cut():
            received(far, len(pack(GET)))
            far.sendall(b"$5\r\nhe")
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()

        beside(cut)
        with pytest.raises(redis.ConnectionError) as found:
            Wire(near, reader(), 10.0).exchange(GET)
    assert isinstance(found.value.__cause__, ConnectionResetError)


def test_a_socket_that_was_closed_here_is_a_lost_connection(ends):
    wire, _ = ends
    wire._socket.close()
    with pytest.raises(redis.ConnectionError, match="Error 9 on the socket"):
        wire.exchange(GET)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x01\x02\r\n", b"$-7\r\n"])
def test_what_is_no_reply_is_refused(ends, said):
    wire, far = ends
    far.sendall(said)
    with pytest.raises(InvalidResponse):
        wire.exchange(GET)


def test_what_has_the_form_of_a_reply_and_cannot_be_one_is_a_lost_connection(ends):
    wire, far = ends
    far.sendall(b"%1\r\n*0\r\n:1\r\n")  # a map whose key is a list
    with pytest.raises(redis.ConnectionError, match="Redis answered what cannot be read"):
        wire.exchange(GET)


# What is left


def test_what_is_left_to_be_read_is_noticed(ends):
    wire, far = ends
    assert wire.is_clean
    far.sendall(b"+left\r\n")
    assert not wire.is_clean
    assert wire.exchange(GET) == [b"left"]
    assert wire.is_clean


def test_what_was_read_and_not_taken_is_noticed(ends):
    wire, far = ends
    far.sendall(b"+OK\r\n+left\r\n")
    assert wire.exchange(GET) == [b"OK"]
    assert not wire.is_clean


def test_that_the_other_end_has_closed_is_noticed(ends):
    wire, far = ends
    far.close()
    assert not wire.is_clean


def test_that_its_own_socket_was_closed_is_noticed(ends):
    wire, _ = ends
    wire._socket.close()
    assert not wire.is_clean


# Signals


class StopError(Exception):
    """What a signal handler raises."""


@contextlib.contextmanager
def alarmed(handler, seconds):
    """Let a signal come in so many seconds, and again and again."""
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def stop(*_):
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise StopError


@pytest.mark.parametrize("command", [GET[0], (b"SET", b"key", LARGE)], ids=["reading", "sending"])
def test_a_signal_that_raises_ends_the_wait(ends, command):
    wire, _ = ends
    with alarmed(stop, 0.1):
        assert timed(StopError, lambda: wire.exchange([command])) < 5


@pytest.mark.parametrize("command", [GET[0], (b"SET", b"key", LARGE)], ids=["reading", "sending"])
def test_a_signal_whose_handler_returns_does_not_make_the_wait_longer(ends, command):
    wire, _ = ends
    calls = []
    with alarmed(lambda *_: calls.append(1), 0.05), within(0.3):
        assert 0.1 < timed(redis.TimeoutError, lambda: wire.exchange([command])) < 2
    assert calls


# On real servers


def one(step):
    return (yield step)


@pytest.fixture
def made():
    """Return a server as a site sees it; its connections are closed in the end."""
    servers = []

    def make(url, **options):
        servers.append(Server(from_url(url, "a test"), PoolOptions(**{"socket_timeout": 5.0, "wait": 5.0, **options})))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def ask(server, *commands):
    return run(one(Pipeline([Command(*command) for command in commands])), server)


@contextlib.contextmanager
def lent(server):
    connection = server.pool.get_connection()
    try:
        yield connection
    finally:
        server.pool.release(connection)


@needs_server
def test_a_connection_of_tcp_has_a_wire(redis_server, raw, made):
    server = made(redis_server.url)
    assert ask(server, ("ECHO", b"a"), ("ECHO", LARGE)) == [b"a", LARGE]
    with lent(server) as connection:
        assert type(connection.wire) is Wire
        connection.disconnect()
        assert connection.wire is None


@needs_server
def test_a_connection_of_a_unix_socket_has_a_wire(tmp_path, start_server, made):
    start_server(unixsocket=str(tmp_path / "redis.sock"))
    server = made(f"unix://{tmp_path}/redis.sock")
    assert ask(server, ("ECHO", b"a"), ("ECHO", LARGE)) == [b"a", LARGE]
    with lent(server) as connection:
        assert type(connection.wire) is Wire


@needs_server
def test_a_connection_that_checks_its_health_keeps_to_redis_pys_way(redis_server, raw, made):
    server = made(redis_server.url, health_check_interval=30)
    assert ask(server, ("ECHO", b"a"), ("ECHO", b"b")) == [b"a", b"b"]
    with lent(server) as connection:
        assert connection.wire is None


@needs_server
def test_without_hiredis_connections_keep_to_redis_pys_way(redis_server, raw, made, monkeypatch):
    monkeypatch.setattr(wires, "hiredis", None)
    server = made(redis_server.url)
    assert ask(server, ("ECHO", b"a"), ("ECHO", b"b")) == [b"a", b"b"]
    with lent(server) as connection:
        assert connection.wire is None


@needs_server
def test_the_cache_works_where_hiredis_is_not_installed(redis_server, raw):
    found = run_python(
        """
        import sys
        sys.modules["hiredis"] = None
        import asyncio, json
        from tests.processes import be_patient
        import django
        django.setup()
        be_patient()
        from django.core.cache import cache, caches

        async def ask():
            return [await cache.aset("b", [2]), await cache.aget("b")]

        began = [cache.set("a", [1]), cache.get("a"), cache.get_many(["a", "none"]), *asyncio.run(ask())]
        connections = caches["default"].client.server.pool._get_free_connections()
        print(json.dumps([began, [connection.wire is None for connection in connections]]))
        """,
        redis_server.url,
    )
    assert found == [[True, [1], {"a": [1]}, True, [2]], [True]]


@needs_server
def test_a_parser_of_python_keeps_to_redis_pys_way(redis_server, raw, made):
    server = made(redis_server.url)
    server.pool.connection_kwargs["parser_class"] = redis.connection._RESP2Parser
    assert ask(server, ("ECHO", b"a"), ("ECHO", b"b")) == [b"a", b"b"]
    with lent(server) as connection:
        assert connection.wire is None


@needs_server
def test_a_connection_of_tls_keeps_to_redis_pys_way(tmp_path, made):
    with tls_only(tmp_path) as own:
        server = made(tls_url(own))
        assert ask(server, ("ECHO", b"a"), ("ECHO", b"b")) == [b"a", b"b"]
        with lent(server) as connection:
            assert connection.wire is None


def connected(plain, **changed):
    """Return what redis-py's connection looks like to a wire."""
    about = {"health_check_interval": 0, "socket_timeout": 1.5, "_parser": SimpleNamespace(_reader=reader()), **changed}
    return SimpleNamespace(_sock=SimpleNamespace(_socket=plain), **about)


class OwnSocket(socket.socket):
    """A socket that may wait in a way of its own."""


def test_sockets_that_wait_in_ways_of_their_own_have_no_wire(ends, monkeypatch):
    wire, _ = ends
    assert Wire.of(connected(wire._socket)).patience == 1.5
    with OwnSocket() as own:
        assert Wire.of(connected(own)) is None
    with ssl.create_default_context().wrap_socket(socket.socket(), server_hostname="localhost") as own:
        assert Wire.of(connected(own)) is None
    assert Wire.of(connected(wire._socket, _parser=object())) is None
    assert Wire.of(connected(wire._socket, health_check_interval=1)) is None
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "__module__", "gevent._socket3", raising=False)
        assert Wire.of(connected(wire._socket)) is None
    with monkeypatch.context() as patch:
        patch.delattr(select, "poll")
        assert Wire.of(connected(wire._socket)) is None
    assert Wire.of(connected(wire._socket)) is not None


@needs_server
def test_under_gevent_connections_keep_to_redis_pys_way_and_wait_side_by_side(redis_server, raw):
    pytest.importorskip("gevent")
    found = run_python(
        """
        from gevent import monkey
        monkey.patch_all()
        import json, os, time, gevent
        from tests.processes import be_patient
        import django
        django.setup()
        be_patient()
        from django.core.cache import cache, caches
        server = caches["default"].client.server
        cache.set("key", 1)
        with_wire = []
        for connection in server.pool._get_free_connections():
            with_wire.append(connection.wire is not None)
        from django_dripcache._drive import run
        from django_dripcache.flows.steps import Command
        def one():
            return (yield Command("BLPOP", "dripcache:none", "0.5"))
        began = time.monotonic()
        gevent.joinall([gevent.spawn(run, one(), server) for _ in range(4)], raise_error=True)
        print(json.dumps([with_wire, time.monotonic() - began]))
        """,
        redis_server.url,
    )
    assert found[0] == [False]
    assert 0.4 < found[1] < 1.8


@needs_server
def test_a_connection_that_was_closed_while_idle_is_made_anew_and_nobody_notices(redis_server, raw, made):
    server = made(redis_server.url)
    for _ in range(3):
        number = ask(server, ("CLIENT", "ID"))[0]
        raw.client_kill_filter(_id=number)
        with lent(server) as connection:
            assert talk(connection, [("ECHO", b"a")]) == [b"a"]
        assert ask(server, ("CLIENT", "ID"))[0] != number
    assert server.failures == 0


@needs_server
def test_what_the_last_one_left_unread_is_never_a_reply_to_the_next(redis_server, raw, made):
    server = made(redis_server.url)
    number = ask(server, ("CLIENT", "ID"))[0]
    with lent(server) as connection:
        connection.wire._socket.send(b"*2\r\n$4\r\nECHO\r\n$5\r\nalice\r\n")
        wait_for(lambda: not connection.wire.is_clean)
        assert connection.owed == 0
    assert ask(server, ("ECHO", b"bob"), ("CLIENT", "ID"))[0] == b"bob"
    assert ask(server, ("CLIENT", "ID"))[0] != number


@needs_server
def test_a_signal_in_the_middle_leaves_no_reply_for_the_next_caller(redis_server, raw, made):
    server = made(redis_server.url, max_connections=1)
    assert ask(server, ("ECHO", b"a")) == [b"a"]
    for seconds in (0.0001, 0.001, 0.05):
        with contextlib.suppress(StopError), alarmed(stop, seconds):
            for _ in itertools.repeat(None):
                ask(server, ("ECHO", b"alice"), ("BLPOP", b"none", b"0.2"), ("ECHO", b"alice"))
        assert ask(server, ("ECHO", b"bob")) == [b"bob"]
        assert server.pool.lent == 0


@needs_server
def test_replies_are_owed_while_they_are_waited_for(redis_server, raw, made):
    """A connection that is given back meanwhile, as by who was interrupted, is closed."""
    server = made(redis_server.url)
    with lent(server) as connection:
        assert talk(connection, [("ECHO", b"a"), ("NONSENSE",)])[0] == b"a"
        assert connection.owed == 0
        with mock.patch.object(Wire, "_receive", side_effect=StopError), pytest.raises(StopError):
            talk(connection, [("ECHO", b"alice"), ("ECHO", b"alice")])
        assert connection.owed == 2
    assert connection.wire is None
    assert ask(server, ("ECHO", b"bob")) == [b"bob"]


@needs_server
def test_one_who_closes_all_connections_in_the_middle_is_an_outage_for_who_waits(redis_server, raw, made):
    server = made(redis_server.url)
    with lent(server) as connection:
        wire = connection.wire
        server.close()
        with pytest.raises(redis.ConnectionError):
            connection.exchange(wire, [("PING",)])


@needs_server
def test_the_patience_of_a_publisher_is_borrowed_and_given_back(redis_server, raw, made):
    with Proxy(redis_server.port) as proxy:
        server = made(proxy.url, socket_timeout=5.0)
        with lent(server) as connection:
            assert connection.wire.patience == 5.0
            connection.set_patience(0.2)
            proxy.become("silent")
            assert 0.1 < timed(redis.TimeoutError, lambda: talk(connection, [("PING",)])) < 4
            connection.disconnect()
            proxy.become("pass")
            connection.connect()
            assert connection.wire.patience == 0.2  # it is borrowed still
            connection.set_patience(5.0)
            assert connection.wire.patience == 5.0
            assert talk(connection, [("ECHO", b"a")]) == [b"a"]
            connection.disconnect()
            connection.set_patience(3.0)  # of one that is closed
            connection.connect()
            assert connection.wire.patience == 3.0


@needs_server
def test_redis_pys_way_and_the_wire_take_turns_on_one_connection(redis_server, raw, made):
    server = made(redis_server.url)
    with lent(server) as connection:
        for number in range(5):
            connection.send_command("ECHO", number)
            assert connection.read_response() == b"%d" % number
            assert connection._sock._socket.gettimeout() != 0
            assert talk(connection, [("ECHO", LARGE), ("ECHO", number)]) == [LARGE, b"%d" % number]
            assert connection._sock._socket.gettimeout() == 0
            assert not connection.can_read()
        assert connection.owed == 0


HARMS = {
    "reset": ("reset", 0.0, b""),
    "dripped": ("drip", 0.1, b""),
    "lost": ("lose", 0.0, b""),
    "silent": ("silent", 0.0, b""),
    "garbage": ("garbage", 0.0, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "another shape": ("garbage", 0.0, b"*1\r\n:1\r\n"),
    "too much": ("garbage", 0.0, b"$1\r\na\r\n$1\r\nb\r\n"),
    "loading": ("garbage", 0.0, b"-LOADING Redis is loading the dataset in memory\r\n"),
}


@needs_server
@pytest.mark.parametrize("harm", list(HARMS))
def test_a_call_that_is_harmed_is_over_in_time_and_the_next_is_right(redis_server, raw, made, harm):
    raw.set("key", "value", ex=60)
    with Proxy(redis_server.port) as proxy:
        server = made(proxy.url, socket_timeout=0.4)
        assert run(one(Command("GET", b"key")), server) == b"value"
        proxy.become(*HARMS[harm])
        began = time.monotonic()
        try:
            said = run(one(Command("GET", b"key")), server)
        except CacheUnavailableError:
            said = None
        assert said == (b"a" if harm == "too much" else None)
        assert time.monotonic() - began < 2
        proxy.become("pass")
        server.breaker.succeeded()
        time.sleep(0.05)
        for _ in range(3):
            assert run(one(Command("GET", b"key")), server) == b"value"
        assert server.pool.lent == 0


class Master:
    """What stands for redis-py's connection to a master that Sentinel names."""

    def disconnect(self):
        self.disconnected = True


def test_a_master_that_is_one_no_more_is_left():
    class Demoted(SentinelGuarded, Master):
        pass

    connection = Demoted()
    connection.disconnected = False
    replies = mock.Mock(exchange=lambda _: [b"OK", ResponseError("no")])
    assert connection.exchange(replies, [("A",), ("B",)])[0] == b"OK"
    assert not connection.disconnected
    replies = mock.Mock(exchange=lambda _: [b"OK", ReadOnlyError("You can't write against a read only replica.")])
    assert isinstance(connection.exchange(replies, [("A",), ("B",)])[1], ReadOnlyError)
    assert connection.disconnected
    assert connection.owed == 0
