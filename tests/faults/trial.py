"""
One fault that happens to every verb at once.

Each cell has an alias over a database of its own, and so a pool, a breaker and a journal that it shares with no other:
it goes through the fault by itself, as if the process had nothing else to do. What is slow is to wait for a server that
does not answer, and that they do together.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from django.core.cache import caches
from django.test import override_settings

from django_dripcache._drive import arun
from django_dripcache.backend import get_alias_server
from django_dripcache.connections import close_all
from django_dripcache.flows.server import ping

from ..processes import wait_for
from .groups import GROUPS
from .outages import FAULTS, Cut
from .table import WHOLE
from .verbs import UNKNOWN, Raises, agrees

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

    from .outages import Fault
    from .verbs import Group, Verb

RECOVERY: Final = 3.0
"""How long, in seconds, is waited for a cache to be back; the promise is 2."""

STAGGER: Final = 0.003
"""How long after each other the calls begin, in seconds, so that they do not wait for one processor."""

EXCHANGE: Final = 0.25
"""The longest that an exchange with the server may take, in seconds."""

ROOM: Final = 0.1
"""What a call may take beside its exchanges."""

STALL: Final = 0.05
"""A machine that stands still for so long, in seconds, is too busy for a complaint to mean anything."""

TRIALS: Final = 4
PAUSE: Final = 0.5

BACK: Final = "when it was back"
"""The last moment at which is read what is there."""

BACKEND: Final = "django_dripcache.backend.DripCache"

NEAR: Final[dict[str, Any]] = {"OPTIONS": {"NEAR": {}}} if os.environ.get("DRIPCACHE_TEST_NEAR") else {}
"""What an alias has more where the near cache is on: what is near is read on for the second of its lease."""

COLUMNS: Final = {f"{group.title}: {name}": (group, verb) for group in GROUPS for name, verb in group.verbs.items()}
"""Each verb, and its group, by what the two are called."""


@dataclasses.dataclass(eq=False)
class Cell:
    """One call through one fault, and all that came of it."""

    group: Group
    verb: Verb
    database: int
    target: Any = None
    answer: Any = None
    seconds: float = 0.0
    lent: int = 0
    lent_later: int = 0
    back: bool = False
    reads: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def alias(self) -> str:
        """The alias that is this cell's alone."""
        return f"cell-{self.database}"

    def fill(self) -> None:
        """Make the call, and note its answer, or the error that it raised, and how long it took."""
        with self._noted():
            self.answer = self.verb.see(self.verb.call(self.target))

    async def afill(self, fault: Fault, after: float) -> None:
        """See fill(): through the async twins, and cancelled if that is the fault."""
        await asyncio.sleep(after)
        with self._noted():
            called = self.verb.call(Twins(self.target))
            try:
                answer = await asyncio.wait_for(called, fault.after if fault.interrupts else None)
            except asyncio.TimeoutError:
                if fault.interrupts:
                    raise Cut from None
                raise
            self.answer = self.verb.see(answer)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
            self.answer = error
        self.seconds = time.monotonic() - began
        self.lent = lent(self.alias)

    def look(self, moment: str) -> None:
        """Read what is there now."""
        self.reads[moment] = self.group.read(self.target)

    def is_back(self) -> bool:
        """Return whether what is written into the cache is read from it, and read all else when it is."""
        stamp, cache = time.monotonic_ns(), caches[self.alias]
        if not self.back and cache.set("stamp", stamp) and cache.get("stamp") == stamp:
            self.look(BACK)
            self.back = UNKNOWN not in self.reads[BACK].values()
        return self.back

    def complaints(self, fault: type[Fault]) -> list[str]:
        """Return what is wrong with it, a line each."""
        verb, lines = self.verb, []
        expected = [Raises((Cut,))] if fault.interrupts else verb.answers(fault)
        if NEAR and not verb.writes:
            expected = [*expected, verb.well]
        if not any(agrees(self.answer, one) for one in expected):
            lines.append(f"it came to {self.answer!r}, which is none of {expected!r}")
        # After one that was not answered, the next exchange has half of its time.
        most = verb.exchanges if fault.answers == "either" else 2 - 2 ** (1 - verb.exchanges)
        if self.seconds > EXCHANGE * most + ROOM:
            lines.append(f"it took {self.seconds:.3f} seconds")
        if self.lent or self.lent_later:
            lines.append(f"it kept {self.lent} connections, and {self.lent_later} when it was back")
        if not self.back:
            lines.append("the cache did not come back")
        done = not fault.interrupts and verb.well != verb.away and agrees(self.answer, verb.well)
        for moment, found in self.reads.items():
            for label, value in found.items():
                allowed = self.group.allows(verb, fault, label, done=done, back=moment == BACK)
                if not any(agrees(value, one) for one in allowed):
                    lines.append(f"{moment}, {label} is {value!r}, which is none of {allowed!r}")
        return lines


class Twins:
    """An object whose verbs are called through their async twins, and so are those of what belongs to it."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, f"a{name}", None)
        if found is not None:
            return found
        found = getattr(self._target, name)
        return found if isinstance(found, str) else Twins(found)

    def __call__(self, *args: Any) -> Any:
        return self._target(*args)


class Pulse:
    """A thread that only sleeps: ``worst`` is how late it woke up, in seconds, since the machine was busy."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            time.sleep(0.005)
            self.worst = max(self.worst, time.monotonic() - began - 0.005)


def lent(alias: str = "default") -> int:
    """Count the connections that somebody holds, of threads and of event loops."""
    server = get_alias_server(alias)
    count = sum(pool.lent for pool, _ in server._loops.values())
    return count + (0 if server._pool is None else server._pool.lent)


class _Threads:
    """Calls each verb in a thread of its own; where it is interrupted in this one, since signals come here."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def warm(self, cells: list[Cell]) -> None:
        """Nothing: whoever has stored something has a connection."""

    def call(self, cells: list[Cell]) -> None:
        """Make all calls."""
        if self.fault.interrupts:
            for cell in cells:
                self.fault.arm()
                cell.fill()
            return
        threads = []
        for cell in cells:
            threads.append(threading.Thread(target=cell.fill))
            threads[-1].start()
            time.sleep(STAGGER)
        for thread in threads:
            thread.join()

    def close(self) -> None:
        """Nothing: the pools are closed with the site."""


class _Loop:
    """Calls the async twin of each verb in a task of its own."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.loop = asyncio.new_event_loop()

    def warm(self, cells: list[Cell]) -> None:
        """Open a connection for each cell."""
        for cell in cells:
            wait_for(lambda cell=cell: self.loop.run_until_complete(arun(ping(), get_alias_server(cell.alias))))

    def call(self, cells: list[Cell]) -> None:
        """Make all calls."""
        self.loop.run_until_complete(self._call(cells))

    async def _call(self, cells: list[Cell]) -> None:
        await asyncio.sleep(0.01)  # a loop that runs sees that a connection is closed
        await asyncio.gather(*(cell.afill(self.fault, number * STAGGER) for number, cell in enumerate(cells)))

    def close(self) -> None:
        """Close the pools of the loop, and the loop."""
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


def hold(label: str, *, twins: bool) -> dict[str, Cell]:
    """
    Let every verb go through a fault, and return the cells by their columns.

    If the machine stood still meanwhile, those of which there are complaints go through it again.
    """
    rows = {column: row for column, row in COLUMNS.items() if row[1].twin or not twins}
    cells: dict[str, Cell] = {}
    for _ in range(TRIALS):
        tried = {column: Cell(*row, database) for database, (column, row) in enumerate(rows.items())}
        late = _try(label, list(tried.values()), twins=twins)
        cells.update(tried)
        rows = {column: rows[column] for column, cell in tried.items() if cell.complaints(FAULTS[label])}
        if not rows or late < STALL:
            break
        time.sleep(PAUSE)
    return cells


def note(fault: str, column: str, seconds: float, **more: Any) -> dict[str, Any]:
    """Return what a cell came to as the table wants it; ``column`` is one of COLUMNS, or of WHOLE."""
    group, _, verb = column.rpartition(": ")
    about = {"fault": fault, "row": list(FAULTS).index(fault), "column": [*COLUMNS, *WHOLE].index(column)}
    return {**about, "group": group, "verb": verb, "ms": round(seconds * 1000, 1), **more}


def _try(label: str, cells: list[Cell], *, twins: bool) -> float:
    """Fill some cells, and return how late the machine was at worst while time was taken."""
    with FAULTS[label]() as fault, _site(fault, cells):
        driver = (_Loop if twins else _Threads)(fault)
        for cell in cells:
            cell.target = cell.group.make(cell.alias, twins)
        try:
            return _go_through(fault, cells, driver)
        finally:
            driver.close()


@contextlib.contextmanager
def _site(fault: Fault, cells: Iterable[Cell]) -> Iterator[None]:
    own = {"BACKEND": BACKEND, **NEAR}
    aliases = {cell.alias: {**own, "LOCATION": fault.url(cell.database)} for cell in cells}
    with override_settings(CACHES={**aliases, "default": {"BACKEND": BACKEND}}, DRIPCACHE={}):
        try:
            yield
        finally:
            close_all()


def _bring_near(cells: list[Cell]) -> None:
    """Read what is there until it is near, if the near cache is on."""
    nears = {cell: near for cell in cells if (near := get_alias_server(cell.alias).near) is not None}
    for cell in nears:
        cell.look("before")
    with contextlib.suppress(AssertionError):  # not every verb of the matrix reads near, nor does every fault let one
        wait_for(lambda: all(near.stats().status == "live" for near in nears.values()), 1.0)
    for cell in nears:
        cell.look("before")
        del cell.reads["before"]


def _go_through(fault: Fault, cells: list[Cell], driver: _Threads | _Loop) -> float:
    """Let it happen and be over. See _try()."""
    if fault.was_there:
        for cell in cells:
            cell.group.store(cell.target)
        driver.warm(cells)
        _bring_near(cells)
    with Pulse() as pulse:
        fault.begin((cell.database, spot) for cell in cells for spot in cell.group.spots(cell.target))
        try:
            driver.call(cells)
            if fault.answers in {"reads", "reads and removes"}:  # else it is read when it is over: this takes time
                for cell in cells:
                    cell.look("meanwhile")
        finally:
            fault.end()
        for cell in cells:
            cell.look("at once")
    deadline = time.monotonic() + RECOVERY
    while not all(cell.is_back() for cell in cells) and time.monotonic() < deadline:
        time.sleep(0.01)
    for cell in cells:
        cell.lent_later = lent(cell.alias)
    # Where nobody waits for the server, a call that takes long tells of the machine, too.
    return max([pulse.worst, *(cell.seconds for cell in cells if not fault.waits)])
