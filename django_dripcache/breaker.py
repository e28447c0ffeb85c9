"""
A circuit breaker: a server that does not answer is not asked.

After Michael T. Nygard, "Release It!", chapter "Stability Patterns". Closed, calls pass. It opens after
``CONSECUTIVE`` failures in a row, or when at least ``VOLUME`` calls within ``WINDOW`` seconds failed by half. Open,
calls fail at once, and a probe asks the server at most once a second; the first that is answered closes it. There is
no half-open state in which callers try their luck: one probe does, in a thread of its own, and where threads of our
own do not run (as in some servers after a fork), one caller at a time.
"""

from __future__ import annotations

import threading
import time
from random import SystemRandom
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

CONSECUTIVE: Final = 3
VOLUME: Final = 20
WINDOW: Final = 10.0
PROBE_EVERY: Final = (0.5, 1.0)
"""A probe follows the last one after a time between these, in seconds, at random: processes do not come in step."""

OVERDUE: Final = 1.5

_RANDOM: Final = SystemRandom()
"""Of the system, since forked processes would share the numbers of one that was seeded."""


class Breaker:
    """
    The breaker of one server in one process.

    ``probe`` asks the server and returns whether it is well; what it raises is taken for a no. ``on_change`` is told
    ``"open"`` and ``"closed"``.
    """

    def __init__(
        self,
        probe: Callable[[], bool],
        on_change: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_open = False
        self.in_a_row = 0
        self.opened = 0
        self._probe = probe
        self._on_change = on_change
        self._clock = clock
        self._lock = threading.Lock()
        self._window_began = clock()
        self._calls = 0
        self._failures = 0
        self._probed_at = 0.0

    def allows(self) -> bool:
        """Return whether a call may pass; where no thread probes, the caller does so here, once at a time."""
        if not self.is_open:
            return True
        now = self._clock()
        if now - self._probed_at < OVERDUE:
            return False
        with self._lock:
            if now - self._probed_at < OVERDUE:
                return False
            self._probed_at = now
        return self.try_to_close()

    def succeeded(self) -> None:
        """Count a call that was answered."""
        self.in_a_row = 0
        self._calls += 1

    def failed(self) -> None:
        """Count a call that timed out or found no server, and open if that was one too many."""
        with self._lock:
            now = self._clock()
            if now - self._window_began > WINDOW:
                self._window_began, self._calls, self._failures = now, 0, 0
            self._calls += 1
            self._failures += 1
            self.in_a_row += 1
            half = self._calls >= VOLUME and self._failures * 2 >= self._calls
        if self.in_a_row >= CONSECUTIVE or half:
            self.trip()

    def trip(self) -> None:
        """Open, whatever was counted; the next probe may close it again."""
        with self._lock:
            if self.is_open:
                return
            self.is_open = True
            self.opened += 1
            self._probed_at = self._clock()
        self._on_change("open")
        threading.Thread(target=self._keep_probing, name="dripcache-probe", daemon=True).start()

    def stop(self) -> None:
        """Close for good: the server is forgotten, and nobody is to be told of it any more."""
        self.is_open = False

    def try_to_close(self) -> bool:
        """Ask the server now, and return whether the breaker is closed after that."""
        try:
            well = self._probe()
        except Exception:  # noqa: BLE001 - whatever is wrong, the server is not well
            well = False
        if not well:
            return False
        with self._lock:
            was_open, self.is_open = self.is_open, False
            self.in_a_row = 0
            self._window_began, self._calls, self._failures = self._clock(), 0, 0
        if was_open:
            self._on_change("closed")
        return True

    def _keep_probing(self) -> None:
        while self.is_open:
            time.sleep(_RANDOM.uniform(*PROBE_EVERY))
            self._probed_at = self._clock()
            if not self.is_open or self.try_to_close():
                return
