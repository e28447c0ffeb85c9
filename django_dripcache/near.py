"""
The near cache: what this process has read of one server, kept until the server says that it has changed.

It stays right by a few rules. Each one is there because without it a reader saw an old value:

- whoever reads near first receives what the server has told, and applies it, before he looks;
- a ticket is taken before the server is asked, and is void if the name is told of in between;
- no entry outlives its key: an expiry is told late or never;
- near reads end a second after the server was last known to be there, since who hears nothing knows nothing;
- a lost connection, a flushed database, and a fork empty it.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from math import inf
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from .eviction import Entries, Ticket
from .globs import scope
from .stats import NearStats
from .tracker import Keeper, RefusedError, Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .eviction import Entry
    from .server import Server
    from .stats import NearStatus

logger = logging.getLogger("django_dripcache")

PATIENCE: Final = 1.0
"""How long, in seconds, it may take to connect: nobody waits for it."""

BACKOFF: Final = (0.25, 2.0)
"""How long, in seconds, it waits before it connects again: at first, and at most."""

REFUSED: Final = 60.0
"""After so many seconds a server that does not track is asked again: it may have been replaced."""


_RANDOM: Final = SystemRandom()
_living: WeakSet[Near] = WeakSet()


class Near:
    """
    The near cache of one server in this process.

    ``patterns`` are Redis' globs over names: those that match are near. Each begins with a text, of which the server is
    asked to tell. ``max_entries`` and ``max_bytes`` bound what is kept, and ``max_ttl`` how long, in seconds. Values
    are whatever the caller likes that can be compared by ``==``.

    Nobody waits for it: until it is connected, and whenever it is not sure, it knows nothing.

    Raises ConfigurationError for a pattern that begins with no text.
    """

    _tracker: Tracker | None = None

    def __init__(
        self, server: Server, patterns: Sequence[bytes], *, max_entries: int, max_bytes: int, max_ttl: float
    ) -> None:
        self._server = server
        self._limits = (max_entries, max_bytes)
        self._max_ttl = max_ttl
        self.prefixes, self.accepts = scope(patterns)
        self.renew()
        _living.add(self)

    def renew(self) -> None:
        """Begin anew, as after a fork: what the parent is told, the child is not."""
        if self._tracker is not None:
            self._tracker.close()
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._inside = self._in_doubt = False
        self._entries = Entries(*self._limits)
        self._find = self._entries.find
        self._tracker = None
        self._readable: Callable[[], Any] = bool  # which says no
        self._until = 0.0
        self._keeper: Keeper | None = None
        self._retry_at = 0.0
        self._backoff = BACKOFF[0]
        self._invalidations = 0
        self.status: NearStatus = "idle"
        self.reason = "nothing was read yet"

    def get(self, name: bytes) -> Entry | None:
        """Return the entry of ``name`` of whose ``value`` no change was told, or None."""
        if self._readable():
            self._exclusively(self._drain)
        now = time.monotonic()
        if now >= self._until:
            now = self._catch_up()
        entry = self._find(name)
        if entry is None or now >= entry.until:
            return None
        entry.visited = True
        return entry

    def get_many(self, names: Iterable[bytes]) -> list[Entry | None]:
        """Return the entries of names, in their order. See get()."""
        if self._readable():
            self._exclusively(self._drain)
        now, find = time.monotonic(), self._find
        if now >= self._until:
            now = self._catch_up()
        found: list[Entry | None] = []
        for name in names:
            entry = find(name)
            if entry is None or now >= entry.until:
                found.append(None)
            else:
                entry.visited = True
                found.append(entry)
        return found

    def begin(self, name: bytes) -> Ticket | None:
        """
        Return a ticket for a read of the server that is about to begin; None for a name that is not near.

        Whoever reads a name that is near from the server takes one before, and hands what was read to ``fill()``.
        """
        return self._exclusively(self._begin, name) if self.accepts(name) else None

    def begin_many(self, names: Sequence[bytes]) -> list[Ticket | None]:
        """Return the tickets for a read of many names, in their order. See begin()."""
        return self._exclusively(self._begin_many, names) or [None] * len(names)

    def fill(self, ticket: Ticket, value: Any, ttl_ms: int | None) -> None:
        """
        Keep what was read with a ticket: a value that lives ``ttl_ms`` more (None: without end).

        With a ticket that is void by now nothing is kept, and what is there is forgotten unless it is the same:
        nobody knows which of the two is newer.
        """
        seconds = self._max_ttl if ttl_ms is None else min(self._max_ttl, ttl_ms / 1000)
        self._exclusively(self._fill, ticket, value, seconds)

    def forget(self, *names: bytes) -> None:
        """Forget names that this process has written, after the reply: or it would read what it has overwritten."""
        self._exclusively(self._entries.remove, *names)

    def clear(self) -> None:
        """Forget everything."""
        self._exclusively(self._entries.clear)

    def stats(self) -> NearStats:
        """Return how it is now."""
        entries, status, reason = self._entries, self.status, self.reason
        if status == "live" and time.monotonic() >= self._until:
            status, reason = "connecting", "the server does not answer"
        return NearStats(len(entries), entries.size, entries.evictions, self._invalidations, status, reason)

    def close(self) -> None:
        """Close its connection, and know nothing from now on."""
        _living.discard(self)
        self.status, self.reason = "closed", "it was closed"
        self._exclusively(self._lose, RedisConnectionError(self.reason))
        if self._keeper is not None:
            self._keeper.stop(PATIENCE)

    # What follows is for one thread at a time.

    def _exclusively(self, work: Callable[..., Any], *args: Any) -> Any:
        """
        Do what only one thread may do at a time.

        A signal handler may ask in the middle of it, or raise: then it is not known what is true, and all is forgotten.
        """
        with self._lock:
            if self._inside:
                self._in_doubt = True
                return None
            if self._pid != os.getpid():
                self.renew()  # a fork that Python was not told of, as uWSGI's
            self._inside = True
            try:
                return work(*args)
            except BaseException:
                self._in_doubt = True
                raise
            finally:
                if self._in_doubt:
                    self._in_doubt = False
                    self._lose(RedisConnectionError("It was interrupted."))
                self._inside = False

    def _drain(self) -> None:
        """Receive what the server has told, and apply it."""
        tracker = self._tracker
        if tracker is None:
            return
        # Whoever polls from here on finds nothing to read, and is not to go on until it is applied: he waits for us.
        self._until = 0.0
        try:
            names = tracker.receive()
        except (RefusedError, RedisError, OSError) as error:
            self._lose(error)
            return
        self._invalidations += len(names or ())
        self._entries.clear() if names is None else self._entries.remove(*names)
        if tracker.until and self.status != "live":
            self.status, self.reason = "live", ""
            self._backoff = BACKOFF[0]
        self._until = tracker.until

    def _begin(self, name: bytes) -> Ticket:
        tracks = self._tracker is not None and self._tracker.until
        return self._entries.begin(name) if tracks else Ticket(name)  # which is void

    def _begin_many(self, names: Sequence[bytes]) -> list[Ticket | None]:
        return [self._begin(name) if self.accepts(name) else None for name in names]

    def _fill(self, ticket: Ticket, value: Any, seconds: float) -> None:
        if self._tracker is not None and self._tracker.is_astray:
            self._lose(RedisConnectionError("Calls go to another server by now."))
        self._entries.fill(ticket, value, seconds)

    def _lose(self, error: Exception) -> None:
        """Be without a connection from now on, and know nothing."""
        self._until = 0.0
        self._readable = bool
        self._entries.clear()
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            tracker.close()
        if self.status == "closed":
            return
        known, self.reason = self.reason, str(error) or type(error).__name__
        if isinstance(error, RefusedError):
            if self.status != "refused" or self.reason != known:
                logger.warning("The near cache of Redis at %s stands aside: %s.", self._server.broker, self.reason)
            self.status, wait = "refused", REFUSED
        else:
            self.status, wait = "connecting", self._backoff
            self._backoff = min(2 * wait, BACKOFF[1])
        self._retry_at = time.monotonic() + wait * _RANDOM.uniform(0.5, 1)

    def _catch_up(self) -> float:
        """Return the time if what is near may be read after all, else infinity: nothing lasts so long."""
        if self._tracker is None:
            self._exclusively(self._start)
            return inf
        self._exclusively(self._drain)
        now = time.monotonic()
        return now if now < self._until else inf

    def _start(self) -> None:
        if self.status != "closed" and (self._keeper is None or not self._keeper.is_alive()):
            self.status, self.reason = "connecting", "it connects"
            self._keeper = Keeper(self._tend)
            self._keeper.start()

    def _tend(self, keeper: Keeper) -> None:
        """Connect if need be, see whether the server is there, and receive what nobody else has come for."""
        if self._tracker is not None:
            self._exclusively(self._drain)
        elif time.monotonic() >= self._retry_at:
            server = self._server
            try:
                tracker = Tracker(server.pool, self.prefixes, f"{server.options.label}:near", PATIENCE)
            except Exception as error:  # noqa: BLE001 - whatever is wrong, the site does without
                self._exclusively(self._lose, error)
            else:
                self._exclusively(self._adopt, tracker, keeper)

    def _adopt(self, tracker: Tracker, keeper: Keeper) -> None:
        if self.status == "closed" or self._keeper is not keeper:
            tracker.close()
        else:
            self._tracker, self._readable = tracker, tracker.readable


def _after_fork() -> None:
    for near in list(_living):
        near.renew()


@atexit.register
def _at_exit() -> None:
    for near in list(_living):
        near.close()


os.register_at_fork(after_in_child=_after_fork)
