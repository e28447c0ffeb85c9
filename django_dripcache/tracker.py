"""
The connection on which Redis tells this process which names have changed.

It is made as those of the pool are, and then speaks RESP3, with ``CLIENT TRACKING ON BCAST`` over prefixes of ours:
https://redis.io/docs/latest/develop/reference/client-side-caching/. It subscribes to a channel that nobody publishes
to, because the server bounds the memory of a subscriber that does not read (``client-output-buffer-limit pubsub``),
and of others it does not. It never waits for anything once it is connected.
"""

from __future__ import annotations

import select
import ssl
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from ._replies import UNREADABLE, unreadable
from .deadline import DEADLINE

hiredis: Any
try:
    import hiredis
except ImportError:
    hiredis = None

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEASE: Final = 1.0
"""For so many seconds after a ping was sent that was answered, what is near may be read."""

PING_EVERY: Final = 0.25
OVERDUE: Final = 5.0
"""A server that has not answered for so many seconds is asked on a new connection."""

CHECK: Final = b"~near"
"""What is written below a prefix, to see whether the server tells of it. No key has such a name."""

_CHECK_MS: Final = 100
_READ_BYTES: Final = 65536
_MORE: Final = object()
_PASSING: Final = frozenset(
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN"}
)
"""What a server answers that may well track later."""


TICK: Final = 0.05
"""How often, in seconds, a thread of its own receives what nobody has come to read."""


class RefusedError(Exception):
    """The server, or what stands before it, does not track."""


class Tracker:
    """
    One connection that tracks the names below ``prefixes``.

    ``until`` is until when what it has not told of is true, by ``time.monotonic()``. ``readable()`` returns whether
    there is something to receive; it is for any thread, and everything else for one at a time.

    Connecting takes at most ``patience`` seconds. Raises RefusedError where there is no tracking, and an error of
    redis-py or an OSError where the server cannot be reached.
    """

    def __init__(self, pool: Any, prefixes: Sequence[bytes], label: str, patience: float) -> None:
        if hiredis is None:
            message = "it needs the package hiredis, which is not installed"
            raise RefusedError(message)
        if not prefixes or not all(prefixes):
            message = f"The prefixes to track are {prefixes!r}. Allowed are some, none of them empty: see scope()."
            raise ValueError(message)
        self.until = 0.0
        self._pool = pool
        self._reader = _reader()
        self._check = prefixes[0] + CHECK
        self._checked = False
        self._began = time.monotonic()
        self._answered = 0.0
        self._pings: dict[bytes, float] = {}
        self._sent = 0
        self._next_ping = 0.0
        pool._checkpid()  # noqa: SLF001 - it notices a fork when it is asked for a connection, and this is none of its own
        self._connection = pool.connection_class(**{**pool.connection_kwargs, "label": label})
        token = DEADLINE.set(time.monotonic() + patience)
        try:
            self._connection.connect()
        finally:
            DEADLINE.reset(token)
        try:
            self._socket = self._connection._sock._socket  # noqa: SLF001 - without the deadlines of calls
            self._socket.settimeout(0)
            self.readable = _poller(self._socket)
            self._greet(prefixes)
        except BaseException:
            self.close()
            raise

    @property
    def is_astray(self) -> bool:
        """Whether calls go to another server by now, as after a failover."""
        connection = self._connection
        return connection.is_astray or not self._pool.owns_connection(connection)

    def receive(self) -> list[bytes] | None:
        """
        Return the names that have changed, without waiting; None if it may be any. Pings, if it is time to.

        Raises RefusedError if the server does not track, and an error of redis-py or an OSError if the connection is
        lost: then any name may have changed.
        """
        names: list[bytes] | None = []
        while True:
            try:
                data = self._socket.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            if not data:
                message = "Connection closed by server."
                raise RedisConnectionError(message)
            names = self._parse(data, names)
        if names is not None and not self._checked and self._check in names:
            self._checked = True
        if self._checked and self._answered:
            self.until = self._answered + LEASE
        elif self._answered > self._began + LEASE:
            message = "it says that it tracks, and does not tell of what was written"
            raise RefusedError(message)
        self._ping()
        return names

    def close(self) -> None:
        """Close the connection; in a forked child, only the child's part of it."""
        self._connection.disconnect()

    def _ping(self) -> None:
        now = time.monotonic()
        if now < self._next_ping:
            return
        if self.is_astray:
            message = "Calls go to another server by now."
            raise RedisConnectionError(message)
        if self._pings and now - next(iter(self._pings.values())) > OVERDUE:
            message = f"No answer came for {OVERDUE:g} seconds."
            raise RedisConnectionError(message)
        self._next_ping = now + PING_EVERY
        self._sent += 1
        number = b"%d" % self._sent
        self._pings[number] = now
        self._send(("PING", number))

    def _greet(self, prefixes: Sequence[bytes]) -> None:
        wanted = [word for prefix in prefixes for word in (b"PREFIX", prefix)]
        self._send(
            ("HELLO", "3"),
            ("SUBSCRIBE", self._check),
            ("CLIENT", "TRACKING", "ON", "BCAST", *wanted),
            ("SET", self._check, "", "PX", str(_CHECK_MS)),
            ("UNLINK", self._check),
        )
        self._ping()

    def _send(self, *commands: tuple[str | bytes, ...]) -> None:
        packed = b"".join(hiredis.pack_command(command) for command in commands)
        if self._socket.send(packed) != len(packed):
            message = "The server does not read what it is sent."
            raise RedisConnectionError(message)

    def _parse(self, data: bytes, names: list[bytes] | None) -> list[bytes] | None:
        self._reader.feed(data)
        while (reply := self._next()) is not _MORE:
            if isinstance(reply, hiredis.PushNotification):
                if reply[:1] != [b"invalidate"]:
                    continue
                told = _told(reply)
                if told is None:
                    names = None  # a database was flushed
                elif names is not None:
                    names += told
            elif isinstance(reply, hiredis.ReplyError):
                _refuse(str(reply))
            elif isinstance(reply, bytes) and reply in self._pings:
                self._answered = self._pings.pop(reply)
        return names

    def _next(self) -> Any:
        try:
            return self._reader.gets()
        except UNREADABLE as error:
            raise unreadable(error) from error


def _reader() -> Any:
    return hiredis.Reader(protocolError=RedisConnectionError, notEnoughData=_MORE)


def _told(reply: Sequence[Any]) -> list[bytes] | None:
    """Return the names that a message tells of, or None for all."""
    if len(reply) == 2:  # noqa: PLR2004 - the kind of the message, and the names
        told = reply[1]
        if told is None or (isinstance(told, list) and all(type(name) is bytes for name in told)):
            return told
    message = "The server told of a change in another form than it has"
    raise RedisConnectionError(message)


def refusal(pool: Any, prefix: bytes, label: str, patience: float) -> str:
    """Return why a server does not track the names below a prefix, or nothing. It takes ``patience`` seconds."""
    until = time.monotonic() + patience
    try:
        tracker = Tracker(pool, [prefix], label, patience)
    except (RefusedError, RedisError, OSError) as error:
        return str(error)
    try:
        while time.monotonic() < until:
            tracker.receive()
            if tracker.until:
                return ""
            time.sleep(TICK / 10)
    except (RefusedError, RedisError, OSError) as error:
        return str(error)
    finally:
        tracker.close()
    return f"no answer came within {patience:g} seconds"


class Keeper(threading.Thread):
    """A thread that calls ``tend(self)`` again and again, until it is stopped."""

    def __init__(self, tend: Callable[[Keeper], None]) -> None:
        super().__init__(name="dripcache-near", daemon=True)
        self._tend = tend
        self._stopped = threading.Event()

    def run(self) -> None:
        """Tend."""
        while not self._stopped.is_set():
            self._tend(self)
            self._stopped.wait(TICK)

    def stop(self, patience: float) -> None:
        """Stop, and wait for at most ``patience`` seconds until that is done."""
        self._stopped.set()
        if self is not threading.current_thread():
            self.join(patience)


def _refuse(reason: str) -> None:
    if reason.partition(" ")[0] in _PASSING:
        raise RedisConnectionError(reason)
    message = f"the server answers: {reason}"
    raise RefusedError(message)


def _poller(socket: Any) -> Callable[[], Any]:
    """
    Return what tells without waiting whether there is something to read from ``socket``; it may say yes in vain.

    A closed socket says yes. Where the system's own epoll and poll are not at hand (gevent takes them away), reading
    is the only way to know.
    """
    if hasattr(select, "epoll"):
        poller = select.epoll()
        poller.register(socket.fileno(), select.EPOLLIN)
        return partial(poller.poll, 0, 1)
    if getattr(getattr(select, "poll", None), "__module__", "") == "select":
        slower = select.poll()
        slower.register(socket.fileno(), select.POLLIN)
        return partial(slower.poll, 0)
    return lambda: True
