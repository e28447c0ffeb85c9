"""One Redis server as this process sees it: its pools, its breaker, its journal; and the calls to it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from django.db import connections
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ._drive import run
from ._encoding import TOO_LARGE
from .address import Route
from .breaker import Breaker
from .broker import namespace_root
from .conf import get_settings
from .deadline import BUDGET, DEADLINE
from .exceptions import CacheUnavailableError
from .flight import Flights
from .flows.replay import replay
from .flows.server import ping
from .journal import Journal
from .lending import ExhaustedError
from .lent import Held
from .near import Near
from .pools import make_async_pool, make_pool
from .signals import tell_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from typing_extensions import Self

    from .address import Broker
    from .nearness import Nearness
    from .pools import PoolOptions

logger = logging.getLogger("django_dripcache")

TROUBLES: Final = (RedisError, OSError, asyncio.TimeoutError)
COUNTED: Final = (RedisConnectionError, RedisTimeoutError, OSError, asyncio.TimeoutError)
"""What the breaker counts: timeouts, and connections that do not come about. A server that refuses, or resets one, is
there."""

QUIET: Final = 60.0


class Call:
    """
    One exchange with a server: begun if it may be, over by its deadline, and counted.

    What goes wrong with the server within leaves it as a CacheUnavailableError.
    """

    __slots__ = ("_outer", "_server", "began", "deadline", "hurried")

    def __init__(self, server: Server) -> None:
        self._server = server
        self.began = self.deadline = 0.0
        self.hurried = False
        self._outer: float | None = None

    def __enter__(self) -> Self:
        server, budget = self._server, BUDGET.get()
        breaker, seconds = server.breaker, server.options.socket_timeout
        if not breaker.allows():
            raise CacheUnavailableError(server.trouble)
        if breaker.in_a_row:
            # After a failure the next call is given half the time: those until the breaker opens stay within two.
            seconds /= 2 ** min(breaker.in_a_row, 2)
        if budget is not None:
            if budget.remaining <= 0:
                reason = f"the {budget.limit:g} seconds that the cache may cost this request or task are spent"
                raise CacheUnavailableError(reason)
            # What a small rest of a budget leaves no time for says nothing of the server.
            self.hurried = budget.remaining < seconds
            seconds = min(seconds, budget.remaining)
        self.began = time.monotonic()
        self.deadline = self.began + seconds
        if breaker.in_a_row and server.is_crowded(self.began):
            reason = f"it is slow or failing, and enough calls wait for it ({server.trouble})"
            raise CacheUnavailableError(reason)
        server.inside[id(self)] = self.deadline
        self._outer = DEADLINE.get()  # a signal handler may ask in the middle of a call
        DEADLINE.set(self.deadline)
        return self

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        outer = self._outer
        DEADLINE.set(None if outer is None or outer <= time.monotonic() else outer)
        self._server.inside.pop(id(self), None)
        budget = BUDGET.get()
        if budget is not None:
            budget.spend(time.monotonic() - self.began)
        if error is None:
            self._server.breaker.succeeded()
        elif isinstance(error, TROUBLES) and not isinstance(error, DataError):
            raise self._server.failed(error, counts=not self.hurried) from error


class Server:
    """One Redis as this process sees it: where it is, its pools, whether it answers, what it still has to be told."""

    def __init__(self, broker: Broker, options: PoolOptions) -> None:
        self.broker = broker
        self.options = options
        self.max_value_bytes = get_settings().MAX_VALUE_BYTES
        self.journal = Journal(namespace_root().encode())
        self.trouble = ""
        self.failures = 0
        self.near: Near | None = None
        self._pool: Any = None
        self._patterns: tuple[bytes, ...] = ()
        self._route = Route(broker.addresses)
        self.renew()

    def __repr__(self) -> str:
        return f"<Server {self.broker}>"

    def renew(self) -> None:
        """Begin anew in this process, as after a fork: what another thread of the parent held is held for ever."""
        self.breaker = Breaker(self._probe, self._tell)
        self.flights = Flights()
        self.journal.renew()
        self.inside: dict[int, float] = {}
        self._lock = threading.Lock()
        self._refusals: dict[str, float] = {}
        self._loops: dict[asyncio.AbstractEventLoop, tuple[Any, AsyncGenerator[Any, None]]] = {}

    @property
    def available(self) -> bool:
        """Whether the server is asked at all: its breaker is closed."""
        return not self.breaker.is_open

    @property
    def pool(self) -> Any:
        """The pool of this process' threads."""
        if self._pool is None:
            with self._lock:
                if self._pool is None:
                    self._pool = make_pool(self.broker, self.options, self._route)
        return self._pool

    async def async_pool(self) -> Any:
        """Return the pool of the running event loop; it is closed when the loop shuts down."""
        loop = asyncio.get_running_loop()
        found = self._loops.get(loop)
        if found is None:
            for closed in [other for other in list(self._loops) if other.is_closed()]:
                self._loops.pop(closed, None)
            lifetime = self._lifetime(loop, make_async_pool(self.broker, self.options, self._route))
            # The first step hands the generator to the loop, whose shutdown_asyncgens() then ends it.
            found = self._loops[loop] = (await anext(lifetime), lifetime)
        return found[0]

    def finish(self) -> None:
        """Close the connections to databases that a thread of ours has opened."""
        connections.close_all()

    def call(self) -> Call:
        """Return what an exchange happens in."""
        return Call(self)

    def is_crowded(self, now: float) -> bool:
        """Return whether a quarter of the pool waits for the server already: enough, while it is in trouble."""
        waiting = sum(deadline > now for deadline in list(self.inside.values()))
        return waiting >= max(1, self.options.max_connections // 4)

    def failed(self, error: BaseException, *, counts: bool) -> CacheUnavailableError:
        """Note that the server could not be asked, for the breaker too if it ``counts``; return the error to raise."""
        # redis-py tells of a whole pool where Sentinel knows no master.
        self.trouble = shorten(str(error) or type(error).__name__, 160)
        self.failures += 1
        tell_error(self.broker, self.trouble)
        local = isinstance(error, ExhaustedError) or not counts
        if isinstance(error, COUNTED) and not local and not _is_reset(error):
            self.breaker.failed()
        return CacheUnavailableError(self.trouble, answered=_is_reset(error))

    def refused(self, code: str, reason: str) -> None:
        """Note that the server answered but will not serve: one line in the log a minute for each kind of refusal."""
        tell_error(self.broker, shorten(reason, 200))
        now = time.monotonic()
        if now - self._refusals.get(code, -QUIET) >= QUIET:
            self._refusals[code] = now
            if code == TOO_LARGE:
                logger.warning("The cache does not store this: %s.", reason)
            else:
                logger.warning("Redis at %s refuses to serve the cache: %s", self.broker, shorten(reason, 200))

    def distrust(self, reason: str) -> None:
        """Let nobody ask the server until a probe has made good what is noted: it may take longer than a call."""
        self.trouble = reason
        self.breaker.trip()

    def keep_near(self, patterns: Iterable[bytes], nearness: Nearness) -> None:
        """Keep in the process what has a name that matches one of these globs; further ones are added to the first."""
        with self._lock:
            wanted = {**dict.fromkeys(self._patterns), **dict.fromkeys(patterns)}
            if len(wanted) > len(self._patterns):
                self._patterns, before = tuple(wanted), self.near
                self.near = Near(
                    self,
                    self._patterns,
                    max_entries=nearness.max_entries,
                    max_bytes=nearness.max_bytes,
                    max_ttl=nearness.max_ttl,
                )
                if before is not None:
                    before.close()

    def close(self) -> None:
        """Close the connections of this process' threads, and ask no more how the server is."""
        self.breaker.stop()
        if self.near is not None:
            self.near.close()
        if self._pool is not None:
            self._pool.disconnect()
            for sentinel in getattr(getattr(self._pool, "sentinel_manager", None), "sentinels", ()):
                sentinel.connection_pool.disconnect()

    def _tell(self, state: str) -> None:
        if state == "open":
            logger.warning("Redis at %s cannot be used (%s): the cache uses its fallbacks.", self.broker, self.trouble)
        else:
            logger.info("Redis at %s answers again: the cache is back.", self.broker)

    def _probe(self) -> bool:
        """Ask the server on a connection of its own, and remove what could not be written, before others ask."""
        with Held(self.pool.make_connection(), self.options.socket_timeout) as held:
            if not run(ping(), held):
                return False
            if self.journal.dirty and self.journal.claim():
                try:
                    run(replay(self.journal), held)
                finally:
                    self.journal.settle()
        return True

    async def _lifetime(self, loop: asyncio.AbstractEventLoop, pool: Any) -> AsyncGenerator[Any, None]:
        try:
            yield pool
        finally:
            self._loops.pop(loop, None)
            await pool.disconnect()
            for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
                await sentinel.aclose()


def _is_reset(error: BaseException) -> bool:
    """Return whether a connection was closed by the other side: it may well take the next one."""
    cause = error.__cause__ or error.__context__
    return isinstance(cause, (ConnectionResetError, BrokenPipeError)) or str(error).startswith("Connection closed by")
