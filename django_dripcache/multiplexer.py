"""
One connection of an event loop that all of its tasks speak over at the same time.

What tasks send within one turn of the loop goes out in one piece, and replies come back in the order of the commands.
A task that is cancelled leaves its reply behind, which is read and dropped: the connection stays whole. A large value
goes by a connection of its own, and so does who finds that the others are waiting for a slow answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ._replies import checked
from .deadline import timeout
from .wire import MISSING, pack

if TYPE_CHECKING:
    from .flows.steps import Command

MOMENT: Final = 0.02
"""After so many seconds without an answer, others go beside it."""

LARGE: Final = 65536
"""So many bytes are sent on a connection of their own."""


class _Call(NamedTuple):
    future: asyncio.Future[list[Any]]
    sent: list[Command]
    since: float
    deadline: float
    replies: list[Any]


class Multiplexer(asyncio.Protocol):
    """
    The way of many tasks over one ``connection``, which has just been lent by ``pool``, and goes back when it is lost.

    ``patience`` is how many seconds an answer may be late before nobody joins any more.
    """

    def __init__(self, connection: Any, pool: Any, patience: float) -> None:
        self.connection, self._pool, self._patience = connection, pool, patience
        self._loop = asyncio.get_running_loop()
        self._reader = connection._parser._reader  # noqa: SLF001 - redis-py offers no other way to it
        self._transport = connection._writer.transport  # noqa: SLF001
        self._owed: deque[_Call] = deque()
        self._out: list[bytes] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._earliest = inf
        self._paused = self._retired = self._lost = False
        # It hears of the end as well: redis-py waits for that when it closes.
        self._before = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @property
    def serves(self) -> bool:
        """Whether a task may join."""
        lost = self._lost or self._retired or self._transport.is_closing() or self.connection.is_astray
        return not lost and not self._waits(self._patience)

    @property
    def is_slow(self) -> bool:
        """Whether who joins now may have to wait for others, or for what somebody gave up to wait for."""
        return self._paused or self._waits(MOMENT) or bool(self._owed and self._owed[0].future.done())

    def send(self, sent: list[Command], packed: bytes, deadline: float) -> asyncio.Future[list[Any]]:
        """
        Send commands, and return what their replies will be; an error that Redis answers is one of them.

        It is over by ``deadline``, of ``time.monotonic()``. What is awaited raises ConnectionError of redis-py for a
        connection that is lost, and TimeoutError of redis-py after the deadline.
        """
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        try:
            self._owed.append(_Call(future, sent, time.monotonic(), deadline, []))
            self._out.append(packed)
            if len(self._out) == 1:
                self._loop.call_soon(self._flush)
            if deadline < self._earliest:
                self._wake(deadline)
        except BaseException as error:
            self.abort(error)  # or the replies of others would be taken for one's own
            raise
        return future

    def retire(self) -> None:
        """Let nobody join any more, and close when nobody waits."""
        if not self._retired:
            self._retired = True
            for call in self._owed:
                call.future.add_done_callback(self._end_if_unused)
            self._end_if_unused()

    def abort(self, error: BaseException) -> None:
        """Close at once: those who wait are told that the connection is lost."""
        self._transport.abort()
        self._fail(error)

    def data_received(self, data: bytes) -> None:
        """Hand replies to those who wait for them."""
        try:
            self._reader.feed(data)
            gets, owed = self._reader.gets, self._owed
            while (reply := gets()) is not MISSING:
                call = owed[0]
                call.replies.append(reply)
                if len(call.replies) == len(call.sent):
                    checked(call.sent, call.replies)
                    owed.popleft()
                    if not call.future.done():
                        call.future.set_result(call.replies)
                if isinstance(reply, ReadOnlyError):
                    self.retire()  # a master that is one no more
        except BaseException as error:
            self.abort(error)  # what cannot be read or used, or nobody asked for, or an interrupt
            if not isinstance(error, Exception):
                raise

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those who wait, and give the connection back."""
        self._fail(exc)
        self._before.connection_lost(exc)
        self.connection.drop()
        self._pool.give_back(self.connection)

    def pause_writing(self) -> None:
        """Note that the server does not read as fast as it is written to."""
        self._paused = True

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._paused = False

    def _flush(self) -> None:
        try:
            packed = b"".join(self._out)
            self._out.clear()
            if not self._lost:
                self._transport.write(packed)
        except BaseException as error:
            self.abort(error)  # or it would not be sent, and waited for
            raise

    def _wake(self, deadline: float) -> None:
        """Look at ``deadline`` whose time is over: there is one alarm for all."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._earliest = deadline
        self._alarm = self._loop.call_later(deadline - time.monotonic(), self._expire)

    def _expire(self) -> None:
        now, due, self._earliest, self._alarm = time.monotonic(), self._earliest, inf, None
        if now - due > MOMENT:
            # The loop was held up, and not the server: what is asked is perhaps still to be sent.
            self._loop.call_later(MOMENT, self._time_out, now)
        else:
            self._time_out(now)
        later = [call.deadline for call in self._owed if call.deadline > now and not call.future.done()]
        if later:
            self._wake(min(later))

    def _time_out(self, now: float) -> None:
        """Tell those whose deadline was over by then."""
        for call in self._owed:
            if call.deadline <= now and not call.future.done():
                call.future.set_exception(RedisTimeoutError("Timeout reading from the socket"))

    def _waits(self, seconds: float) -> bool:
        return bool(self._owed) and time.monotonic() - self._owed[0].since >= seconds

    def _end_if_unused(self, _: object = None) -> None:
        if all(call.future.done() for call in self._owed):
            self.abort(RedisConnectionError("It was retired."))

    def _fail(self, cause: BaseException | None) -> None:
        """Tell those who wait: the first one what went wrong with the answer, the others that it is over."""
        self._lost = True
        if self._alarm is not None:
            self._alarm.cancel()
        while self._owed:
            future = self._owed.popleft().future
            if not future.done():
                error = cause if isinstance(cause, RedisError) else RedisConnectionError("Connection closed by server.")
                if error is not cause:
                    error.__cause__ = cause
                future.set_exception(error)
            cause = None if isinstance(cause, RedisError) else cause


class Shared:
    """
    What the tasks of an event loop share of a pool: at most one ``connection`` at a time.

    It stays lent, also while it is not connected yet, and belongs to nobody.
    """

    def __init__(self, pool: Any, patience: float) -> None:
        self._pool, self._patience = pool, patience
        self.connection: Any = None
        self._opening: asyncio.Future[None] | None = None
        self._multiplexer: Multiplexer | None = None

    def send(self, sent: list[Command], deadline: float) -> asyncio.Future[list[Any]] | None:
        """
        See Multiplexer.send(); None where it is not connected, or for who had better take a connection of the pool's.

        Raises DataError of redis-py for what cannot be sent.
        """
        found = self._multiplexer
        if found is None or not found.serves or not sent:
            return None
        packed = pack([command.args for command in sent])
        if (len(packed) > LARGE or found.is_slow) and self._pool.can_get_connection():
            return None
        return found.send(sent, packed, deadline)

    async def connect(self, sent: list[Command], deadline: float) -> asyncio.Future[list[Any]] | None:
        """Connect if need be, and send. See send()."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.ensure_future(self._open())
            self._opening.add_done_callback(_look)
        # It goes on for the others where this one is cancelled; and no lock is left locked by an interrupt.
        await asyncio.shield(self._opening)
        return self.send(sent, deadline)

    async def _open(self) -> None:
        found = self._multiplexer
        if found is None or not found.serves:
            if found is not None:
                found.retire()
            async with timeout(self._patience):
                self.connection = await self._pool.take()
                await self._pool.make_ready(self.connection)
            self._multiplexer = Multiplexer(self.connection, self._pool, self._patience)


def _look(opening: asyncio.Future[None]) -> None:
    """Look at what went wrong, lest asyncio complains where all who waited were cancelled."""
    if not opening.cancelled():
        opening.exception()
