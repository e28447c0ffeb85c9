"""The recorded traffic, and its replay against a site."""

from __future__ import annotations

import http.client
import lzma
import math
import struct
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

TRACE = Path(__file__).resolve().parent / "data" / "web07.trace.xz"
THREADS = 3
PAGE_TIMEOUT = 30.0
# A prime, so that neighbouring numbers of the trace are airports of different countries and no two are the same one.
STRIDE = 7919


class View(NamedTuple):
    """One page view: its time in seconds, its HTTP status (0: no answer), and what the site said in its headers."""

    path: str
    seconds: float
    status: int
    cache: str = ""
    task: str = ""


def read_trace() -> list[int]:
    """Return the keys of the trace in the order in which they were asked for."""
    with lzma.open(TRACE) as file:
        data = file.read()
    return list(struct.unpack(f">{len(data) // 4}I", data))


def paths_of(keys: Iterable[int], codes: Sequence[str]) -> list[str]:
    """Give each key of the trace an airport of its own, the same one in each run, and return the pages' addresses."""
    return [f"/airports/{codes[key * STRIDE % len(codes)]}/" for key in keys]


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that this share of all values does not exceed (nearest rank); NaN if there are none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else math.nan


class Replay:
    """
    Ask a site for pages, several at a time, each in its turn.

    A page that is on its way is not asked for a second time before it has come, as a browser does it: the trace has
    many repeats that follow at once.

    ``views`` collects the answers of all runs. ``progress`` is called in the thread that called ``run()``, a few times
    a second.
    """

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self.port = port
        self.headers = headers or {}
        self.views: list[View] = []
        self._lock = threading.Lock()
        self._on_the_way: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def run(self, paths: Sequence[str], progress: Callable[[], None] = lambda: None, timeout: float = 120.0) -> None:
        """Ask for every path in order. Raises TimeoutError if that takes too long."""
        stop = threading.Event()
        turns = iter(paths)
        threads = [threading.Thread(target=self._work, args=(turns, stop), daemon=True) for _ in range(THREADS)]
        deadline = time.monotonic() + timeout
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.1)
                    progress()
                    if time.monotonic() > deadline:
                        message = f"The replay took longer than {timeout:.0f} seconds."
                        raise TimeoutError(message)
        finally:
            stop.set()

    def answers(self) -> bool:
        """Say whether the site answers at all; this visit is not counted."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PAGE_TIMEOUT)
        try:
            return self._ask(connection, "/").status == http.HTTPStatus.OK
        finally:
            connection.close()

    def tasks(self) -> list[str]:
        """Return the ids of the tasks that the pages queued."""
        return [view.task for view in self.views if view.task]

    def failures(self) -> list[str]:
        """Return which pages did not come, and what came instead."""
        failed = [view for view in self.views if view.status != http.HTTPStatus.OK]
        return [f"{view.path}: status {view.status or '-'} after {view.seconds:.2f} s" for view in failed]

    def uncounted(self) -> int:
        """Count the pages that came but could not queue their task: the site shows a page whatever Redis does."""
        return sum(view.status == http.HTTPStatus.OK and not view.task for view in self.views)

    def count(self, cache: str) -> int:
        """Count the pages for which the cache did this."""
        return sum(view.cache == cache for view in list(self.views))

    def milliseconds(self, share: float, cache: str | None = None) -> float:
        """Return a percentile of the page time: of all pages, or of those for which the cache did this."""
        wanted = (view.seconds for view in self.views if cache in (None, view.cache))
        return percentile(wanted, share) * 1000

    def _work(self, turns: Iterator[str], stop: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PAGE_TIMEOUT)
        try:
            while not stop.is_set():
                with self._lock:
                    path = next(turns, None)
                    if path is None:
                        return
                    alone = self._on_the_way[path]
                with alone:
                    view = self._ask(connection, path)
                with self._lock:
                    self.views.append(view)
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, path: str) -> View:
        started = time.perf_counter()
        try:
            connection.request("GET", path, headers=self.headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return View(path, time.perf_counter() - started, 0)
        seconds = time.perf_counter() - started
        return View(path, seconds, response.status, response.getheader("X-Cache", ""), response.getheader("X-Task", ""))
