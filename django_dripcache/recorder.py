"""
Sends what this process has counted to Redis: every few seconds from a thread of its own, and when the process ends.

The figures of all aliases go to one server, that of ``default`` if DripCache serves it, else of the first alias that it
serves. What could not be sent because Redis was not asked is sent later; what was sent without an answer is never sent
again, so that nothing is counted twice.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from django.core.cache import DEFAULT_CACHE_ALIAS
from django.core.signals import request_finished, setting_changed
from redis.exceptions import ResponseError

from ._drive import run
from .backend import configured_aliases, get_alias_server
from .broker import namespace_root
from .conf import get_settings
from .counts import COUNTS
from .deadline import BUDGET
from .exceptions import CacheUnavailableError, ConfigurationError
from .flows import figures
from .flows.steps import Refused
from .groups import Groups
from .keys import area
from .policy import to_seconds

if TYPE_CHECKING:
    from .keys import Keyspace
    from .server import Server

logger = logging.getLogger("django_dripcache")


def home() -> tuple[Server, Keyspace]:
    """Return where figures are kept. Raises ConfigurationError where there is no such server."""
    aliases = list(configured_aliases())
    if not aliases:
        message = "No alias of CACHES is served by django_dripcache.backend.DripCache: there is nothing to count."
        raise ConfigurationError(message)
    alias = DEFAULT_CACHE_ALIAS if DEFAULT_CACHE_ALIAS in aliases else aliases[0]
    return get_alias_server(alias), area(namespace_root(), "s", "stats")


class Recorder:
    """The one who sends, of a process. While it is ``paused``, nothing is sent by itself."""

    def __init__(self) -> None:
        self.paused = False
        self.renew()

    def renew(self) -> None:
        """Begin anew, as after a fork, of which the thread is not a part."""
        self._thread: threading.Thread | None = None
        self._sending, self._waking = threading.Lock(), threading.RLock()
        self._stop = threading.Event()
        self._sent = time.monotonic()

    @property
    def interval(self) -> float | None:
        """The seconds from one time to the next, or None where nothing is sent by itself."""
        interval = get_settings().STATS_INTERVAL
        return None if interval is None else to_seconds(interval)

    def wake(self) -> None:
        """See to it that there is somebody who will send."""
        if self.paused:
            return
        with self._waking:
            if (self._thread is None or not self._thread.is_alive()) and self.interval is not None:
                thread = threading.Thread(target=self._work, name="dripcache-stats", daemon=True)
                with suppress(RuntimeError):  # the interpreter is shutting down
                    thread.start()
                    self._thread = thread

    def flush(self) -> bool:
        """Send what there is; return whether it was sent."""
        if not self._sending.acquire(blocking=False):
            return False
        try:
            self._sent = time.monotonic()
            return self._send()
        finally:
            self._sending.release()

    def flush_if_late(self, **_: Any) -> None:
        """Send, at the end of a request, what the thread should have sent; where threads do not run, nobody does."""
        try:
            if not self.paused and self.interval is not None and time.monotonic() - self._sent > 2 * self.interval:
                self.flush()
        except ConfigurationError:
            return  # the checks tell of it

    def close(self) -> None:
        """Send what there is, and no more by itself."""
        self._stop.set()
        try:
            if not self.paused and self.interval is not None:
                self.flush()
        except Exception:
            logger.debug("The last figures could not be sent.", exc_info=True)

    def _work(self) -> None:
        stop = self._stop
        while (interval := self.interval) is not None and not stop.wait(interval):
            try:
                if not self.paused:
                    self.flush()
            except Exception:
                logger.exception("The figures of the cache could not be sent.")

    def _send(self) -> bool:
        server, space = home()
        if not server.available:
            return False
        grown, denied = COUNTS.take()
        if not grown and not denied:
            return True
        token = BUDGET.set(None)  # it is no request that waits for it
        try:
            run(figures.add(space, time.time(), grown, denied), server)
        except Refused:
            return False  # there is a key of another type
        except CacheUnavailableError as error:
            if error.__cause__ is None or isinstance(error.__cause__, ResponseError):
                COUNTS.give_back(grown, denied)
            return False
        except BaseException:
            COUNTS.give_back(grown, denied)
            raise
        finally:
            BUDGET.reset(token)
        return True


RECORDER: Final = Recorder()
"""That of this process."""


def _find_group(start: bytes) -> str | None:
    """Find the groups with the first key, by when there are settings."""
    COUNTS.group = Groups(namespace_root(), get_settings().STATS_GROUPS).find
    return COUNTS.group(start)


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"DRIPCACHE", "CACHES"}:
        COUNTS.group = _find_group
        COUNTS.regroup()


def install() -> None:
    """Count by groups from now on, and send. It never connects."""
    COUNTS.group = _find_group
    COUNTS.wake = RECORDER.wake
    request_finished.connect(RECORDER.flush_if_late, dispatch_uid="django_dripcache.recorder")
    setting_changed.connect(_forget, dispatch_uid="django_dripcache.recorder")
    atexit.register(RECORDER.close)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=RECORDER.renew)
