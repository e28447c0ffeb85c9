"""
Single flight: what many threads or tasks of this process want at the same time is computed once.

After Go's ``golang.org/x/sync/singleflight``. An error of the one that computes is everybody's error, but its
interruption is its own: then another one computes.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import TYPE_CHECKING, Any, Final

from .codecs import MISS
from .deadline import timeout

if TYPE_CHECKING:
    from .typing import Loader


OWN: Final = object()
"""What join() answers to the one that computes itself."""

NOBODY: Final = object()
"""What join() answers where nobody of this process computes."""


class _Flight:
    """One computation: who is at it, who waits, and what came of it."""

    def __init__(self, leader: int, landed: Any) -> None:
        self.leader = leader
        self.landed = landed
        self.interrupted = False
        self.value: Any = None
        self.error: Exception | None = None

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class Flights:
    """The computations under way in this process, by key."""

    def __init__(self) -> None:
        self._flights: dict[Any, _Flight] = {}

    def run(self, key: bytes, loader: Loader) -> Any:
        """Return what ``loader`` returns, or what it returns to another thread that is at it already."""
        mine = _Flight(threading.get_ident(), threading.Event())
        while True:
            with _Landing(self._flights, key, mine):
                flight = self._flights.setdefault(key, mine)
                if flight is mine:
                    mine.value = loader()
                    return mine.value
            if flight.leader == mine.leader:
                return loader()  # it asks for its own key, and would wait for itself
            flight.landed.wait()
            if not flight.interrupted:
                return flight.result()

    async def arun(self, key: bytes, loader: Loader) -> Any:
        """See run(); the tasks of one event loop wait for each other."""
        place = (id(asyncio.get_running_loop()), key)
        mine = _Flight(id(asyncio.current_task()), asyncio.Event())
        while True:
            with _Landing(self._flights, place, mine):
                flight = self._flights.setdefault(place, mine)
                if flight is mine:
                    mine.value = await _awaited(loader())
                    return mine.value
            if flight.leader == mine.leader:
                return await _awaited(loader())
            await flight.landed.wait()
            if not flight.interrupted:
                return flight.result()

    def join(self, key: bytes, seconds: float) -> Any:
        """Return what comes of a computation within ``seconds``, MISS if nothing does; NOBODY if nobody is at it."""
        flight = self._flights.get(key)
        if flight is None:
            return NOBODY
        if flight.leader == threading.get_ident():
            return OWN
        return flight.result() if flight.landed.wait(seconds) and not flight.interrupted else MISS

    async def ajoin(self, key: bytes, seconds: float) -> Any:
        """See join()."""
        flight = self._flights.get((id(asyncio.get_running_loop()), key))
        if flight is None:
            return NOBODY
        if flight.leader == id(asyncio.current_task()):
            return OWN
        try:
            async with timeout(seconds):
                await flight.landed.wait()
        except asyncio.TimeoutError:
            return MISS
        return MISS if flight.interrupted else flight.result()


class _Landing:
    """Tells those who wait what came of a flight, however it ended."""

    def __init__(self, flights: dict[Any, _Flight], key: Any, mine: _Flight) -> None:
        self._flights, self._key, self._mine = flights, key, mine

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if self._flights.get(self._key) is not self._mine:
            return  # it was another's flight
        if isinstance(error, Exception):
            self._mine.error = error
        self._mine.interrupted = error is not None and self._mine.error is None
        del self._flights[self._key]
        self._mine.landed.set()


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
