"""
What a driver can be given in the place of a server: a client that the caller brought along, or a connection held.

And the other way round: a client of redis-py that runs through the driver.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from redis import Redis
from redis.exceptions import DataError, RedisError, ResponseError

from ._drive import run
from .conf import get_settings
from .deadline import DEADLINE
from .exceptions import CacheUnavailableError
from .flight import Flights
from .flows.steps import Command, Pipeline, Refused, Script
from .journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from .typing import Flow, Link, NearCache


class Lent:
    """A client that the caller brought along, for ``client=`` of django-redis' verbs."""

    def __init__(self, client: Redis) -> None:
        if hasattr(client, "command_stack"):
            message = "client= is a pipeline. Allowed is a redis.Redis; the verbs for many keys are pipelines already."
            raise TypeError(message)
        self.pool = client.connection_pool
        self.near: NearCache | None = None
        self.journal, self.flights = Journal(), Flights()
        self.max_value_bytes = get_settings().MAX_VALUE_BYTES

    async def async_pool(self) -> Any:
        """Raise TypeError: the client is of threads."""
        message = "A client that was brought along is not asynchronous."
        raise TypeError(message)

    @contextmanager
    def call(self) -> Iterator[Any]:
        """Let what goes wrong be a CacheUnavailableError, and keep no record: nothing is known of this server."""
        try:
            yield self
        except DataError:
            raise
        except (RedisError, OSError) as error:
            raise CacheUnavailableError(str(error)) from error

    def finish(self) -> None:
        """Close nothing: no thread is started here."""

    def distrust(self, reason: str) -> None:
        """Keep no record."""

    def refused(self, code: str, reason: str) -> None:
        """Keep no record."""


class Held:
    """One connection that is nobody else's, as a driver sees it; each exchange has ``seconds``. Closed at the end."""

    def __init__(self, connection: Any, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self.near: NearCache | None = None
        self.journal, self.flights = Journal(), Flights()
        self.max_value_bytes: int | None = None
        self.deadline = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.disconnect()

    @property
    def pool(self) -> Held:
        """The connection, as a pool of one."""
        return self

    async def async_pool(self) -> Any:
        """Raise TypeError: the connection is of threads."""
        message = "A held connection is not asynchronous."
        raise TypeError(message)

    def get_connection(self) -> Any:
        """Return the connection, connected."""
        self._connection.connect()
        return self._connection

    def release(self, connection: Any) -> None:
        """Keep the connection."""

    @contextmanager
    def call(self) -> Iterator[Any]:
        """Let an exchange be over in time, and what goes wrong be a CacheUnavailableError."""
        self.deadline = time.monotonic() + self._seconds
        token = DEADLINE.set(self.deadline)
        try:
            yield self
        except (RedisError, OSError) as error:
            raise CacheUnavailableError(str(error)) from error
        finally:
            DEADLINE.reset(token)

    def finish(self) -> None:
        """Close nothing: no thread is started here."""

    def distrust(self, reason: str) -> None:
        """Keep no record."""

    def refused(self, code: str, reason: str) -> None:
        """Keep no record."""


class DrivenRedis(Redis):
    """
    A client of redis-py whose commands go through the driver: with its deadline, its breaker and its errors.

    ``forever`` is how long, in milliseconds, a key lives that a command of ``MAKING`` makes; None is without end. A
    refused command raises redis-py's ResponseError, a server that cannot be used CacheUnavailableError.
    """

    MAKING: Final = frozenset({"HSET", "SADD", "SDIFFSTORE", "SINTERSTORE", "SMOVE", "SUNIONSTORE", "ZADD", "ZINCRBY"})

    def __init__(self, link: Link, forever: int | None) -> None:
        super().__init__(connection_pool=link.pool)
        self._link = link
        self._forever = forever

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command of redis-py, and return what redis-py makes of its reply."""
        command, *rest = args
        steps: list[Command | Script] = [Command(*args)]
        if command in self.MAKING and self._forever is not None:
            keys = rest[:2] if command == "SMOVE" else rest[:1]
            steps.append(Script("expiring", [key.encode() for key in keys], self._forever))
        reply = run(_only(Pipeline(steps)), self._link)[0]
        if isinstance(reply, Refused):
            raise ResponseError(str(reply))
        options.pop("keys", None)
        return self.response_callbacks[command](reply, **options) if command in self.response_callbacks else reply


def _only(step: Pipeline) -> Flow[Any]:
    return (yield step)
