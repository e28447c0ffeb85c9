"""
Reads that are asked for together: each is a Later, and whoever needs the first value sends all that are open.

Nobody ever waits for another thread or task here. One that needs a value which another is asking for at that moment
asks for it itself: it is a read, and there is nothing to lock.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from django.utils.html import conditional_escape

from ._drive import arun, run
from .flows.together import together

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from .typing import Flow, Link

T = TypeVar("T")


class Later(Generic[T]):
    """
    What a read of a batch will have found: ``later.value``, or ``await later``.

    The first of them to be asked for sends every read that is open for its server, in one round trip. The value is
    then there to stay. A Later is never the value itself: as a truth value it raises TypeError. In a template,
    ``{{ later }}`` prints the value.
    """

    __slots__ = ("_answer", "_ask", "_link", "_waiting")

    def __init__(self, ask: Callable[[], Flow[T]], link: Link, waiting: deque[Later[Any]]) -> None:
        self._ask = ask
        self._link = link
        self._waiting = waiting
        self._answer: tuple[T, Exception | None] | None = None
        waiting.append(self)

    def __repr__(self) -> str:
        return f"<Later, {'open' if self._answer is None else 'answered'}>"

    @property
    def value(self) -> T:
        """What was found, or the default; asked for if it is not there yet. Raises what the read alone would raise."""
        if self._answer is None:
            run(send(self._waiting, self), self._link)
        return self._result()

    def __await__(self) -> Generator[Any, None, T]:
        return self._wait().__await__()

    async def _wait(self) -> T:
        if self._answer is None:
            await arun(send(self._waiting, self), self._link)
        return self._result()

    def _result(self) -> T:
        if self._answer is None:
            message = "The read was not answered."  # send() answers it, or raises
            raise RuntimeError(message)
        value, error = self._answer
        if error is not None:
            raise error
        return value

    def ask(self) -> Flow[T]:
        """Return the flow that reads it."""
        return self._ask()

    def answer(self, value: T, error: Exception | None) -> None:
        """Be answered; what was answered first stays."""
        if self._answer is None:
            self._answer = value, error

    def __str__(self) -> str:
        return str(self.value)

    def __html__(self) -> str:
        return conditional_escape(str(self.value))

    def __bool__(self) -> bool:
        message = "A Later is neither true nor false. Ask for its value: later.value, or await later."
        raise TypeError(message)


def send(waiting: deque[Later[Any]], wanted: Later[Any] | None = None) -> Flow[None]:
    """Ask for all that waits, and for what is wanted, which another may be asking for at this moment."""
    asked = []
    while waiting:
        try:
            asked.append(waiting.popleft())
        except IndexError:
            break  # another thread was quicker
    if wanted is not None and not any(later is wanted for later in asked):
        asked.append(wanted)
    answers = yield from together([later.ask() for later in asked])
    for later, answer in zip(asked, answers, strict=True):
        later.answer(*answer)


class Reads:
    """The reads that are open in a block, by server; ``over`` is whether the block is."""

    def __init__(self) -> None:
        self.over = False
        self._waiting: dict[Link, deque[Later[Any]]] = {}

    def add(self, ask: Callable[[], Flow[T]], link: Link) -> Later[T]:
        """Return what will be the result of a flow."""
        return Later(ask, link, self._waiting.setdefault(link, deque()))

    def send(self) -> None:
        """Ask for all that is open: one round trip for each server."""
        for link, waiting in list(self._waiting.items()):
            run(send(waiting), link)

    async def asend(self) -> None:
        """See send()."""
        for link, waiting in list(self._waiting.items()):
            await arun(send(waiting), link)


_open: Final[ContextVar[Reads | None]] = ContextVar("dripcache_reads", default=None)


@contextmanager
def collecting() -> Iterator[Reads]:
    """Let the batches within a block be one. Within another such block, it is that one. Nothing is sent at its end."""
    outer = _open.get()
    if outer is not None and not outer.over:
        yield outer
        return
    mine = Reads()
    token = _open.set(mine)
    try:
        yield mine
    finally:
        _open.reset(token)
        mine.over = True  # also for a task that was begun within, and outlives it
