"""
Pools of connections that lend them out, and lose none.

redis-py's BlockingConnectionPool counts its places in a queue: a call that is cut at the wrong moment by a signal, a
greenlet's kill or Celery's soft time limit never gives its place back, or leaves a lock behind locked, and after some
of them the pool is blocked for good. Here a place is taken by a connection that somebody holds, and by nothing else:
what is lost on the way is collected, and with it its place is free. There is no lock to be left behind.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import redis.asyncio as aioredis
from redis import ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import SentinelConnectionPool

from .deadline import forget_past_deadline, left

if TYPE_CHECKING:
    from .multiplexer import Shared

GLANCE: Final = 0.001
"""How often, in seconds, one who waits looks for a connection."""

PATIENT: Final = 0.01
"""Who has waited so many seconds is served before anyone who comes later."""


class ExhaustedError(RedisConnectionError):
    """All connections of this process are in use; nothing is known of the server by that."""

    def __init__(self, wait: float, lent: int) -> None:
        super().__init__(f"No connection became free within {wait:g} seconds; all {lent} are in use.")


class _Line:
    """Those who wait for a connection, first come, first served once they have waited a while."""

    def __init__(self) -> None:
        self._waiting: dict[object, tuple[float, float]] = {}

    def join(self, me: object, now: float, until: float) -> None:
        self._waiting.setdefault(me, (now, until))

    def leave(self, me: object) -> None:
        self._waiting.pop(me, None)

    def lets(self, me: object) -> bool:
        """Return whether it is for ``me`` to take a connection now."""
        if not self._waiting:
            return True
        now = time.monotonic()
        for other, (since, until) in list(self._waiting.items()):
            if other is me:
                return True
            if until < now:
                self.leave(other)  # it was interrupted while it waited
            elif now - since > PATIENT:
                return False
        return True


class LendingPool(ConnectionPool):
    """
    A bounded pool that waits up to ``timeout`` seconds for a free connection. The last one used is lent first.

    Raises ExhaustedError, a ConnectionError of redis-py, if none becomes free in time. It is safe between threads and
    greenlets, and empty in a forked child.
    """

    def __init__(self, *, timeout: float, **options: Any) -> None:
        self.timeout = timeout
        super().__init__(**options)

    @property
    def idle(self) -> int:
        """How many connections wait to be lent."""
        return len(self._idle)

    @property
    def lent(self) -> int:
        """How many connections somebody holds."""
        return len(self._held) + len(self._moving)

    def reset(self) -> None:
        """Forget all connections, as after a fork: those of the parent are the parent's."""
        self._idle: deque[Any] = deque()
        self._held: WeakSet[Any] = WeakSet()
        self._moving: dict[int, None] = {}
        self._line = _Line()
        self.pid = os.getpid()

    def get_connection(self, *_: Any, wait: float | None = None, **__: Any) -> Any:
        """Lend a connection that is ready for a command. ``wait`` is for another ``timeout`` than the pool's."""
        self._checkpid()
        forget_past_deadline()
        connection = self._take(min(self.timeout if wait is None else wait, left(None) or inf))
        wire = connection.wire
        if wire is not None and not connection.is_astray and wire.is_clean:
            return connection
        try:
            connection.connect()
            try:
                # What the last one left unread, or a server that has closed, is found here.
                unusable = connection.can_read()
            except (RedisConnectionError, RedisTimeoutError, OSError):
                unusable = True
            if unusable:
                connection.disconnect()
                connection.connect()
        except BaseException:
            connection.disconnect()
            self.release(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back."""
        self._checkpid()
        me = threading.get_ident()
        # Its place stays taken until it waits again, or the pool could grow beyond its bound meanwhile.
        self._moving[me] = None
        self._held.discard(connection)
        if not self.owns_connection(connection):
            connection.disconnect()
        else:
            if connection.should_reconnect() or connection.owed > 0:
                connection.disconnect()  # what is owed to a call that was cut must not answer the next one
            self._idle.append(connection)
        self._moving.pop(me, None)

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Close the connections that wait, and those that are held as well unless told otherwise."""
        self._checkpid()
        for connection in [*self._idle, *(list(self._held) if inuse_connections else ())]:
            connection.disconnect()

    def make_connection(self) -> Any:
        """Make a connection; it connects when it is lent."""
        return self.connection_class(**self.connection_kwargs)

    def _take(self, wait: float) -> Any:
        ticket, until = object(), 0.0
        while True:
            connection = self._try_to_take() if self._line.lets(ticket) else None
            if connection is not None:
                self._line.leave(ticket)
                return connection
            now = time.monotonic()
            until = until or now + wait
            if now >= until:
                self._line.leave(ticket)
                self._forget_the_dead()
                connection = self._try_to_take()
                if connection is not None:
                    return connection
                raise ExhaustedError(wait, self.lent)
            self._line.join(ticket, now, until)
            time.sleep(GLANCE)

    def _try_to_take(self) -> Any:
        me = threading.get_ident()
        # A place is taken first, so that two who see the last one free cannot both have it.
        self._moving[me] = None
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.make_connection() if self.lent <= self.max_connections else None
        if connection is not None:
            self._held.add(connection)
        self._moving.pop(me, None)
        return connection

    def _forget_the_dead(self) -> None:
        """Free the places of threads that ended at the wrong moment. Greenlets are no threads."""
        if "gevent" in sys.modules:
            return
        alive = {thread.ident for thread in threading.enumerate()}
        for ident in list(self._moving):
            if ident not in alive:
                self._moving.pop(ident, None)

    def _get_free_connections(self) -> list[Any]:
        return list(self._idle)

    def _get_in_use_connections(self) -> set[Any]:
        return set(self._held)


class SentinelLendingPool(SentinelConnectionPool, LendingPool):
    """A LendingPool of the master that Sentinel names."""


class AsyncLendingPool(aioredis.ConnectionPool):
    """
    A bounded pool of an event loop that waits up to ``timeout`` seconds for a free connection.

    In redis-py's, a task that is cancelled just as it is told of a free connection keeps it from the next in line.
    """

    shared: Shared | None = None
    """What its tasks share of it, if they share anything."""

    @property
    def lent(self) -> int:
        """How many connections somebody holds; nobody holds the one that is shared."""
        return len(self._in_use_connections - {self.shared and self.shared.connection})

    def __init__(self, *, timeout: float, **options: Any) -> None:
        self.timeout = timeout
        self._line = _Line()
        super().__init__(**options)

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """Lend a connection that is ready for a command."""
        connection = await self.take()
        await self.make_ready(connection)
        return connection

    async def take(self) -> Any:
        """Lend a connection that may not be connected."""
        ticket, until = object(), 0.0
        while not (self._line.lets(ticket) and self.can_get_connection()):
            now = time.monotonic()
            until = until or now + self.timeout
            if now >= until:
                self._line.leave(ticket)
                raise ExhaustedError(self.timeout, len(self._in_use_connections))
            self._line.join(ticket, now, until)
            try:
                await asyncio.sleep(GLANCE)
            except BaseException:
                self._line.leave(ticket)
                raise
        self._line.leave(ticket)
        return self.get_available_connection()  # type: ignore[no-untyped-call]

    async def make_ready(self, connection: Any) -> None:
        """Connect if need be, or take the connection back."""
        try:
            await self.ensure_connection(connection)
        except BaseException:
            connection.drop()
            self.give_back(connection)
            raise

    async def release(self, connection: Any) -> None:
        """See give_back()."""
        self.give_back(connection)

    def give_back(self, connection: Any) -> None:
        """Take a connection back. It waits for nothing, so that a task that is destroyed can do it too."""
        if connection.should_reconnect():
            connection.drop()
        self._in_use_connections.discard(connection)
        self._available_connections.append(connection)


class AsyncSentinelLendingPool(AsyncSentinelConnectionPool, AsyncLendingPool):
    """An AsyncLendingPool of the master that Sentinel names."""
