"""
Commands and their replies on a socket, with one call of the system to send, one to wait, and one to read.

It stands beside redis-py's own way of doing this, on the same socket and with the same reader of replies, and is for
plain sockets of the system. Those of TLS and of gevent wait in ways of their own, and connections that check their
health have more to say: they keep to redis-py's way.
"""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Any, Final

from redis._parsers import hiredis as parsers
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ._replies import UNREADABLE, unreadable
from .deadline import LAST_LOOK, left

hiredis: Any
try:
    import hiredis
except ImportError:
    hiredis = None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from .flows.steps import Argument

_READ_BYTES: Final = 65536
MISSING: Final = parsers.NOT_ENOUGH_DATA


class Wire:
    """The wire of one connection; ``patience`` is how many seconds it waits where there is no deadline."""

    __slots__ = ("_poll", "_reader", "_socket", "patience")

    def __init__(self, plain: socket.socket, reader: Any, patience: float | None) -> None:
        self._socket = plain
        self._reader = reader
        self.patience = patience
        poller = select.poll()
        poller.register(plain, select.POLLIN)
        self._poll = poller.poll

    @classmethod
    def of(cls, connection: Any) -> Self | None:
        """Return the wire of a connection of redis-py that has just connected, or None where there is none."""
        plain = connection._sock._socket  # noqa: SLF001 - it is ours
        reader = getattr(connection._parser, "_reader", None)  # noqa: SLF001 - redis-py offers no other way to it
        own = type(plain) is socket.socket and socket.socket.__module__ == "socket" and hasattr(select, "poll")
        if hiredis is None or reader is None or not own or connection.health_check_interval:
            return None
        return cls(plain, reader, connection.socket_timeout)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is there to be read, nor is the end: the connection may be used."""
        return not self._poll(0) and not self._reader.has_data()

    def exchange(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """
        Send commands and return their replies; an error that Redis answers is one of them.

        Raises TimeoutError of redis-py after the deadline, and ConnectionError for a connection that is lost.
        """
        packed = pack(commands)
        try:
            if self._socket.gettimeout() != 0:
                self._socket.settimeout(0)  # with another one, Python would poll before each call
            self._send(packed)
            return self._receive(len(commands))
        except RedisConnectionError:
            raise
        except UNREADABLE as error:
            raise unreadable(error) from error
        except TimeoutError as error:
            message = "Timeout reading from the socket"
            raise RedisTimeoutError(message) from error
        except OSError as error:
            message = f"Error {error.errno} on the socket. {error.strerror}."
            raise RedisConnectionError(message) from error

    def _send(self, packed: bytes) -> None:
        try:
            sent = self._socket.send(packed)
        except BlockingIOError:
            sent = 0
        if sent < len(packed):
            self._socket.settimeout(left(self.patience))
            self._socket.sendall(memoryview(packed)[sent:])
            self._socket.settimeout(0)

    def _receive(self, count: int) -> list[Any]:
        reader = self._reader
        replies: list[Any] = []
        while len(replies) < count:
            reply = reader.gets()
            if reply is MISSING:
                self._read()
            elif isinstance(reply, RedisConnectionError):
                raise reply
            else:
                replies.append(reply)
        return replies

    def _read(self) -> None:
        patience = left(self.patience, LAST_LOOK)
        if not self._poll(None if patience is None else patience * 1000):
            message = "timed out"
            raise TimeoutError(message)
        data = self._socket.recv(_READ_BYTES)
        if not data:
            message = "Connection closed by server."
            raise RedisConnectionError(message)
        self._reader.feed(data)


def pack(commands: Sequence[Sequence[Argument]]) -> bytes:
    """
    Return commands as they are sent. Numbers are made bytes first: see the module sockets.

    Raises DataError of redis-py for what cannot be sent.
    """
    plain = [tuple([b"%d" % arg if type(arg) is int else arg for arg in args]) for args in commands]
    try:
        return b"".join([hiredis.pack_command(args) for args in plain])
    except TypeError as error:
        raise DataError(str(error)) from error
