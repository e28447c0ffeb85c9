"""
The connections of the pools: redis-py's, made safe to share.

What they add, each for something that went wrong without it:

- a handshake that is interrupted closes the connection: one without its SELECT would serve others from database 0;
- numbers are turned into bytes before hiredis packs them: an exception from a signal in between crashed the process;
- they are named ``<label>:<pid>``, so that CLIENT LIST tells who is who, also after a fork;
- they follow a list of failover addresses;
- Celery's publisher may borrow one with the patience of a publisher.
"""

from __future__ import annotations

import contextlib
import os
from functools import cache
from socket import SOCK_STREAM, getaddrinfo
from typing import TYPE_CHECKING, Any

from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer, PythonRespSerializer
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.utils import HIREDIS_AVAILABLE

from .deadline import LAST_LOOK, left
from .wire import Wire

if TYPE_CHECKING:
    from asyncio import StreamWriter
    from collections.abc import Iterable, Sequence

    from .address import Address, Route


class _BytesPacker(HiredisRespSerializer if HIREDIS_AVAILABLE else PythonRespSerializer):  # type: ignore[misc]
    def pack(self, *args: Any) -> Any:
        return super().pack(*(b"%d" % arg if type(arg) is int else arg for arg in args))


def bytes_packer(connection: Any) -> Any:
    """Return the packer of a connection, of hiredis if it is there."""
    if HIREDIS_AVAILABLE:
        return _BytesPacker()
    return _BytesPacker(connection._buffer_cutoff, connection.encoder.encode)  # noqa: SLF001 - as redis-py builds it


class _Common:
    """What the connections of threads and of event loops share: their route, their label, their address."""

    def __init__(self, *, route: Route | None = None, label: str = "", **kwargs: Any) -> None:
        self._route = route
        self._label = label
        self._address: Address | None = None
        super().__init__(**kwargs)
        self._connect_patience: float | None = kwargs.get("socket_connect_timeout")

    def _aim(self, address: Address) -> None:
        self._address = address
        self.db = address.db
        self.username, self.password = address.username, address.password
        if address.path is None:
            self.host, self.port = address.host, address.port
        else:
            self.path = address.path

    @property
    def is_astray(self) -> bool:
        """Whether the route has moved on to another address since it connected."""
        return self._route is not None and self._address is not None and self._address is not self._route.current

    def _give_up(self, error: BaseException) -> None:
        if self._route is not None and isinstance(error, (RedisConnectionError, RedisTimeoutError, OSError)):
            self._route.leave(self._address)

    @property
    def _naming(self) -> tuple[str, str, str]:
        return "CLIENT", "SETNAME", f"{self._label}:{os.getpid()}"


class DeadlineSocket:
    """A socket whose every wait ends by the deadline of the call, or after ``patience`` seconds if there is none."""

    __slots__ = ("_socket", "patience")

    def __init__(self, socket: Any, patience: float | None) -> None:
        self._socket = socket
        self.patience = patience

    def recv_into(self, *args: Any) -> int:
        """Read what there is."""
        self._socket.settimeout(left(self.patience, LAST_LOOK))
        return self._socket.recv_into(*args)  # type: ignore[no-any-return]

    def recv(self, *args: Any) -> bytes:
        """Read what there is."""
        self._socket.settimeout(left(self.patience, LAST_LOOK))
        return self._socket.recv(*args)  # type: ignore[no-any-return]

    def sendall(self, *args: Any) -> None:
        """Write all of it."""
        self._socket.settimeout(left(self.patience))
        self._socket.sendall(*args)

    def settimeout(self, seconds: float | None) -> None:
        """Set the patience."""
        self.patience = seconds

    def gettimeout(self) -> float | None:
        """Return the patience."""
        return self.patience

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class Guarded(_Common):
    """The mixin of the connections that threads use."""

    _sock: DeadlineSocket | None

    def _construct_command_packer(self, packer: Any) -> Any:
        return packer if packer is not None else bytes_packer(self)

    wire: Wire | None = None
    """A shorter way to the socket, while it is connected and there is one."""

    owed = 0
    """How many replies are still to come for what was sent: a call that was cut leaves some."""

    def send_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, to which a reply is owed from now on."""
        self.owed += 1
        return super().send_command(*args, **options)  # type: ignore[misc]

    def pack_commands(self, commands: Iterable[Any]) -> Any:
        """Pack commands to be sent, to which as many replies are owed."""
        commands = list(commands)
        self.owed += len(commands)
        return super().pack_commands(commands)  # type: ignore[misc]

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Read a reply that is owed; a refusal is one."""
        try:
            reply = super().read_response(*args, **options)  # type: ignore[misc]
        except ResponseError:
            self.owed -= 1
            raise
        self.owed -= 1
        return reply

    def exchange(self, wire: Wire, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands over its wire and return their replies, which are owed meanwhile."""
        self.owed += len(commands)
        replies = wire.exchange(commands)
        self.owed -= len(commands)
        return replies

    def disconnect(self, *args: Any, **options: Any) -> Any:
        """Close; nothing is owed after that."""
        self.owed = 0
        self.wire = None
        return super().disconnect(*args, **options)  # type: ignore[misc]

    def connect(self) -> Any:
        """Connect if need be: also where the route has moved on to another address meanwhile."""
        if self.is_astray:
            self.disconnect()
        return super().connect()  # type: ignore[misc]

    def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Connect and shake hands, or close: a half-made connection would be taken for a whole one."""
        if self._sock is not None:
            return
        try:
            super().connect_check_health(*args, **kwargs)  # type: ignore[misc]
            self.send_command(*self._naming, check_health=False)
            with contextlib.suppress(ResponseError):  # a user who may not name connections may use them
                self.read_response()
            self.wire = Wire.of(self)
        except BaseException as error:
            self._give_up(error)
            self.disconnect()
            raise

    def _connect(self) -> Any:
        if self._route is None:
            return self._connect_in_time()
        failure: OSError | None = None
        for address in self._route.attempts():
            self._aim(address)
            try:
                return self._connect_in_time()
            except OSError as error:
                failure = error
        raise failure or OSError("There is no address to connect to.")

    def _connect_in_time(self) -> DeadlineSocket:
        patience = left(self._connect_patience)
        # redis-py gives each address of a name the whole timeout.
        self.socket_connect_timeout = patience if patience is None else patience / self._places()
        return DeadlineSocket(super()._connect(), self.socket_timeout)  # type: ignore[misc]

    def _places(self) -> int:
        """Return how many addresses the host's name has."""
        host = getattr(self, "host", None)
        return 1 if host is None else max(1, len(getaddrinfo(host, self.port, type=SOCK_STREAM)))

    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        sock.settimeout(left(self._connect_patience))
        return super()._wrap_socket_with_ssl(sock)  # type: ignore[misc]

    def set_patience(self, timeout: float | None, *, retry_on_timeout: bool = False) -> None:
        """Wait ``timeout`` seconds for a reply from now on, and send again after a timeout or not."""
        self.socket_timeout = timeout
        if self._sock is not None:
            self._sock.settimeout(timeout)
        if self.wire is not None:
            self.wire.patience = timeout
        self.retry = Retry(NoBackoff(), 1, (RedisTimeoutError,)) if retry_on_timeout else Retry(NoBackoff(), 0)


class SentinelGuarded(Guarded):
    """The mixin of the connections of threads to a master that Sentinel names."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Read a reply, or close: redis-py would keep a connection that was cut, with its reply still to come."""
        return super().read_response(*args, **{"disconnect_on_error": True, **options})

    def exchange(self, wire: Wire, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """See Guarded.exchange(). A master that is one no more is left, so that Sentinel is asked for another."""
        replies = super().exchange(wire, commands)
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            self.disconnect()
        return replies


class AsyncGuarded(_Common):
    """The mixin of the connections that an event loop uses. See Guarded."""

    _writer: StreamWriter | None

    async def send_packed_command(self, *args: Any, **options: Any) -> Any:
        """Send, unless the other side has closed by now: asyncio of Python 3.12 raises AttributeError for that."""
        if self._writer is not None and self._writer.transport.is_closing():
            message = "Connection closed by server."
            raise RedisConnectionError(message)
        return await super().send_packed_command(*args, **options)  # type: ignore[misc]

    def drop(self) -> None:
        """Close at once, and wait for nothing: a task that is cancelled or destroyed may not wait."""
        self._parser.on_disconnect()  # type: ignore[attr-defined]
        self._close()  # type: ignore[attr-defined]
        self.reset_should_reconnect()  # type: ignore[attr-defined]

    def pack_command(self, *args: Any) -> Any:
        """Pack a command as bytes alone."""
        return super().pack_command(*(b"%d" % arg if type(arg) is int else arg for arg in args))  # type: ignore[misc]

    async def connect(self) -> Any:
        """Connect if need be. See Guarded.connect()."""
        if self.is_astray:
            await self.disconnect()  # type: ignore[attr-defined]
        return await super().connect()  # type: ignore[misc]

    async def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Connect and shake hands, or close. See Guarded.connect_check_health()."""
        if self.is_connected:  # type: ignore[attr-defined]
            return
        try:
            await super().connect_check_health(*args, **kwargs)  # type: ignore[misc]
            await self.send_command(*self._naming, check_health=False)  # type: ignore[attr-defined]
            with contextlib.suppress(ResponseError):
                await self.read_response()  # type: ignore[attr-defined]
        except BaseException as error:
            self._give_up(error)
            self.drop()
            raise

    async def _connect(self) -> Any:
        if self._route is None:
            return await super()._connect()  # type: ignore[misc]
        failure: OSError | None = None
        for address in self._route.attempts():
            self._aim(address)
            try:
                return await super()._connect()  # type: ignore[misc]
            except OSError as error:
                failure = error
        raise failure or OSError("There is no address to connect to.")


@cache
def guarded(base: type, mixin: type = Guarded) -> type:
    """Return redis-py's connection class ``base`` with our mixin."""
    return type(f"{mixin.__name__}{base.__name__}", (mixin, base), {})
