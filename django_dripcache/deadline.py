"""
Deadlines: moments of ``time.monotonic()`` by which a call must be over.

A socket timeout is no deadline, since a server that sends a byte now and then keeps within it for ever. The driver
sets one deadline for a whole call: the wait for a connection, the connection, the handshake, the command and every
part of the reply. Whoever waits asks ``left()`` how long it may.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import TYPE_CHECKING, Final

if sys.version_info >= (3, 11):
    from asyncio import timeout as timeout  # noqa: PLC0414 - it is for others
else:
    import async_timeout  # pyright: ignore[reportMissingImports]

    timeout = async_timeout.timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE: Final[ContextVar[float | None]] = ContextVar("dripcache_deadline", default=None)


LAST_LOOK: Final = 0.001
"""So many seconds a call may look for its reply though its deadline is over: once, for what has come by then."""


def left(patience: float | None, last_look: float = 0.0) -> float | None:
    """
    Return how many seconds one may wait now: to the deadline, or ``patience`` if there is none (None: without end).

    With a ``patience`` of 0 one does not wait, whatever the deadline: redis-py's own parser just looks what is there.
    Raises TimeoutError once the deadline is over. Who reads a reply has a ``last_look`` before that: it may have been
    this process that was held up, by the quota of a container as much as by other threads, and not the server.
    """
    deadline = DEADLINE.get()
    if deadline is None or patience == 0:
        return patience
    remaining = deadline - time.monotonic()
    if remaining > 0:
        return remaining
    if not last_look or deadline == -inf:
        message = "The deadline of the call is over."
        raise TimeoutError(message)
    DEADLINE.set(-inf)
    return last_look


def forget_past_deadline() -> None:
    """Take back a deadline that a call left behind when it was interrupted."""
    deadline = DEADLINE.get()
    if deadline is not None and deadline < time.monotonic():
        DEADLINE.set(None)


class Budget:
    """
    The time that the cache may cost one request or task, in seconds.

    What is answered within ``FREE`` seconds does not count, so that a page of many quick reads is not cut short.
    """

    FREE: Final = 0.01

    __slots__ = ("limit", "spent")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.spent = 0.0

    @property
    def remaining(self) -> float:
        """What is left, in seconds; zero or less is nothing."""
        return self.limit - self.spent

    def spend(self, seconds: float) -> None:
        """Count a call of so many seconds."""
        if seconds > self.FREE:
            self.spent += seconds


BUDGET: Final[ContextVar[Budget | None]] = ContextVar("dripcache_budget", default=None)


@contextmanager
def budget(seconds: float) -> Iterator[Budget]:
    """Let the cache calls within cost at most ``seconds`` together; beyond that they fail at once."""
    mine = Budget(seconds)
    token = BUDGET.set(mine)
    try:
        yield mine
    finally:
        BUDGET.reset(token)
