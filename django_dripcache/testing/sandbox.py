"""What a test is given: its caches in a place of their own, time travel, outages, and assertions about all that."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from django.core.cache import caches

from .. import beside
from .._drive import run
from ..keys import escape_glob
from ..outage import on_outage
from ..policy import to_milliseconds, to_seconds
from ..shortcuts import cache
from .clock import age, find
from .home import get_home
from .isolation import Isolation
from .place import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

    from ..manager import CacheManager
    from ..typing import Seconds

_MISSING: Final = object()
_SHOWN: Final = 20
_BESIDE: Final = "dripcache-beside"


class Sandbox:
    """
    A place of its own for every alias of CACHES that DripCache serves, for as long as a ``with`` block lasts.

    It begins empty, and is removed at the end. It holds for all threads of the process.
    """

    def __init__(self) -> None:
        self._isolation = Isolation()

    def __enter__(self) -> Self:
        self._isolation.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._isolation.stop()

    def __reduce__(self) -> Any:
        """Be a new one in another process: Django's parallel runner pickles a test case whose subtest failed."""
        return Sandbox, ()

    # What is there

    def names(self) -> list[str]:
        """Return the names in Redis, of all aliases, without what they all begin with."""
        found = []
        for link, start in self._everywhere():
            raw = run(find(escape_glob(start.encode()) + b"*"), link)
            found += [name.decode("utf-8", "replace").removeprefix(start) for name in raw]
        return sorted(found)

    def assert_cached(
        self, key: str, value: Any = ..., *, manager: CacheManager | None = None, alias: str | None = None
    ) -> None:
        """
        Fail unless ``key`` has a value that is fresh, and equal to ``value`` if one is given.

        It is looked for in ``django_dripcache.cache``, or in ``manager``, or in Django's cache ``alias``.
        """
        where, found = self._look(key, manager, alias)
        if found is _MISSING:
            self._fail(f"{key!r} is not in {where}. {self._summary()}")
        if value is not ... and found != value:
            self._fail(f"{key!r} in {where} is {found!r}, not {value!r}.")

    def assert_not_cached(self, key: str, *, manager: CacheManager | None = None, alias: str | None = None) -> None:
        """Fail if ``key`` has a value that is fresh. See assert_cached()."""
        where, found = self._look(key, manager, alias)
        if found is not _MISSING:
            self._fail(f"{key!r} is in {where}: {found!r}.")

    # What happens

    def assert_loader_calls(self, calls: int) -> Expectation:
        """
        Return a block, ``with`` or ``async with``, that fails unless loaders are called so many times in it.

        It counts those of ``get_or_set()``, ``memoize`` and the like, in all threads, and waits for those that work
        beside the one who asked. On an event loop, that takes ``async with``.
        """
        return Expectation("calls of loaders", self._isolation.loads, calls)

    def assert_round_trips(self, trips: int) -> Expectation:
        """Return a block that fails unless Redis is asked so many times in it. See assert_loader_calls()."""
        return Expectation("round trips", self._isolation.exchanges, trips)

    def travel(self, time: Seconds) -> None:
        """
        Let ``time``, in seconds or a timedelta, have passed for all that is cached.

        The clocks of the process and of Redis stay as they are. Raises ValueError for less than 0.
        """
        if to_seconds(time) < 0:
            message = f"travel({time!r}) goes back in time. Allowed is 0 seconds or more."
            raise ValueError(message)
        milliseconds = to_milliseconds(time)
        self._isolation.clock.forward(milliseconds)
        for link, start in self._everywhere():
            run(age(escape_glob(start.encode()) + b"*", milliseconds), link)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Let Redis be away within a block, for every alias: nobody listens. After it, all is well at once."""
        within = self._isolation.is_cut
        self._isolation.cut()
        try:
            yield
        finally:
            if not within:
                self._isolation.mend()

    def _everywhere(self) -> Iterator[tuple[Any, str]]:
        for database in self._isolation.databases():
            for start in sorted(self._isolation.roots):
                yield get_home().link(database), start

    def _look(self, key: str, manager: CacheManager | None, alias: str | None) -> tuple[str, Any]:
        if manager is not None and alias is not None:
            message = "Both manager= and alias= are given. Allowed is one of them."
            raise TypeError(message)
        with on_outage("raise"):
            if alias is not None:
                return f"caches[{alias!r}]", caches[alias].get(key, _MISSING)
            manager = cache if manager is None else manager
            return repr(manager), manager.get(key, _MISSING)

    def _summary(self) -> str:
        names = self.names()
        more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"There are {', '.join(names[:_SHOWN])}{more}." if names else "There is nothing at all."

    def _fail(self, message: str) -> None:
        raise AssertionError(message)


class Expectation:
    """How often something is to happen within a block."""

    def __init__(self, what: str, happened: list[None], expected: int) -> None:
        self._what = what
        self._happened = happened
        self._expected = expected
        self._before = 0

    @property
    def count(self) -> int:
        """How often it has happened by now."""
        return len(self._happened) - self._before

    def __enter__(self) -> Self:
        self._before = len(self._happened)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            return
        for thread in threading.enumerate():
            if thread.name == _BESIDE:
                thread.join(PATIENCE)
        if self.count != self._expected:
            message = f"There were {self.count} {self._what}, not {self._expected}."
            raise AssertionError(message)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if kind is None:
            mine = {task for task in beside._tasks if task.get_loop() is asyncio.get_running_loop()}  # noqa: SLF001
            if mine:
                await asyncio.wait(mine, timeout=PATIENCE)
        self.__exit__(kind, error, at)
