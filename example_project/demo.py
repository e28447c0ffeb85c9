#!/usr/bin/env python
"""
Run the example site, replay recorded traffic against it, and print what the cache did.

Usage: ``python example_project/demo.py [--requests N]``; ``make demo`` does the same in a virtual environment.

It starts all that it needs: a Redis (unless ``REDIS_URL`` names one), a Celery worker and the site. On a terminal the
site stays up afterwards, until Ctrl-C. Without one the demo ends by itself: with 0, or with 1 if a task was lost or a
page failed. Either way nothing of it stays behind.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import django
from demo_processes import Child, Interrupted, Signals, wait_until
from demo_replay import THREADS, Replay, paths_of, read_trace
from demo_report import accounts, excuses, page_times, row, say

from django_dripcache.testing.server import RedisServer, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
WORKER = "-A config worker --concurrency 2 --loglevel WARNING --without-gossip --without-mingle"
USER = "admin"
DASHBOARD = "admin/django_dripcache/overview/"
START_TIMEOUT = 30.0
DRAIN_TIMEOUT = 300.0
STALL_TIMEOUT = 30.0
FAKE_REQUESTS = 300
WARM_UP = 8
# One of so many pages of the trace is also asked for without the cache.
UNCACHED_SHARE = 15
# The worker rests between these parts of the replay, so that tasks are waiting when the cache is cleared.
REST_FROM, REST_UNTIL = 0.4, 0.5


class Demo:
    """One run: what was started, in the order in which it is stopped again."""

    def __init__(self, requests: int | None, signals: Signals, stack: contextlib.ExitStack) -> None:
        self.trace = read_trace()[:requests]
        self.signals = signals
        self.stack = stack
        self.password = secrets.token_urlsafe(12)
        self.own_redis = not os.environ.get("REDIS_URL")

    def run(self) -> bool:
        """Do everything but stay. Returns whether no task was lost and no page failed."""
        say("django-dripcache: a demo\n")
        self.make_room()
        self.start_redis()
        self.fill_database()
        self.start_processes()
        self.replay()
        return self.report()

    def make_room(self) -> None:
        """Make the directory that all files of this run live in, and the environment of its processes."""
        base = HERE / "var"
        base.mkdir(exist_ok=True)
        with self.signals.held():
            self.directory = Path(tempfile.mkdtemp(prefix="demo-", dir=base))
            self.stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        tempfile.tempdir = str(self.directory)
        for name in ("ALLOWED_HOSTS", "CELERY_BROKER_URL", "DEBUG", "HTTPS", "SECRET_KEY"):
            os.environ.pop(name, None)
        os.environ.update(
            DJANGO_SETTINGS_MODULE="config.settings",
            EXAMPLE_DEMO="1",
            EXAMPLE_KEY_PREFIX=f"airports-demo-{secrets.token_hex(4)}:",
            EXAMPLE_VAR=str(self.directory),
            TMPDIR=str(self.directory),
        )

    def start_redis(self) -> None:
        """Start a Redis of our own, or take the one that ``REDIS_URL`` names."""
        if self.own_redis:
            # A limit, and a policy that can evict cache entries but never a queue: what the library asks of a site.
            server = RedisServer(maxmemory="256mb", maxmemory_policy="volatile-lru")
            with self.signals.held():
                self.stack.callback(server.stop)
                server.start()
            os.environ["REDIS_URL"] = server.url
            row("Redis", f"{server.source}, port {server.port}")
            if server.process is None and len(self.trace) > FAKE_REQUESTS:
                self.trace = self.trace[:FAKE_REQUESTS]
                row("", f"Its times say nothing of a real server's. Only the first {FAKE_REQUESTS} pages are replayed.")
        else:
            row("Redis", f"the one of REDIS_URL, at {urlsplit(os.environ['REDIS_URL']).hostname or 'a socket'}")

    def fill_database(self) -> None:
        """Make the tables and load the catalogue."""
        django.setup()
        self.inside = importlib.import_module("demo_inside")
        self.inside.fill_database(USER, self.password)
        codes = self.inside.airport_codes()
        row("Catalogue", f"{len(codes):,} airports in {self.inside.country_count()} countries, in SQLite")
        self.paths = paths_of(self.trace, codes)

    def start_processes(self) -> None:
        """Start the worker and the site, and wait until a visit of the one is recorded by the other."""
        self.port = free_port()
        if not self.own_redis:
            self.stack.callback(self.inside.remove_keys)
        self.worker = self.start("Celery", [sys.executable, "-m", "celery", *WORKER.split()])
        self.site = self.start("The site", [sys.executable, "demo_site.py", str(self.port)])
        self.cached = Replay(self.port)
        self.uncached = Replay(self.port, {"X-Demo-Bypass": "1"})
        warm_up = Replay(self.port)
        if not wait_until(warm_up.answers, START_TIMEOUT, self.site, self.worker):
            message = f"The site did not answer within {START_TIMEOUT:.0f} seconds."
            raise RuntimeError(message)
        # The first page of each thread pays for imports and templates: that is no matter of the cache.
        warm_up.run(self.paths[:WARM_UP])
        self.warm_up, first = warm_up, set(warm_up.tasks())
        if not first or not wait_until(lambda: self.inside.recorded() >= first, START_TIMEOUT, self.site, self.worker):
            message = f"Celery did not run its first tasks within {START_TIMEOUT:.0f} seconds."
            raise RuntimeError(message)
        row("Worker", "Celery, 2 processes")
        row("Site", f"http://127.0.0.1:{self.port}/\n")

    def start(self, name: str, command: list[str]) -> Child:
        """Start a process that is stopped at the end."""
        log = self.directory / f"{name}.log"
        with self.signals.held():
            child = Child(name, command, log, os.environ)
            self.stack.callback(child.stop)
        return child

    def replay(self) -> None:
        """Replay a sample without the cache and the whole trace with it, and clear the cache half-way."""
        say(f"Replaying {len(self.paths):,} page views of a web shop, {THREADS} at a time")
        sample = self.paths[::UNCACHED_SHARE]
        self.uncached.run(sample, self.progress("without cache", self.uncached, len(sample)))
        self.inside.clear_cache()

        progress = self.progress("with cache", self.cached, len(self.paths))
        rest, middle = (int(len(self.paths) * share) for share in (REST_FROM, REST_UNTIL))
        self.cached.run(self.paths[:rest], progress)
        self.inside.rest_worker()
        self.cached.run(self.paths[rest:middle], progress)
        self.clear_cache()
        self.inside.wake_worker()
        self.cached.run(self.paths[middle:], progress)

    def clear_cache(self) -> None:
        """Clear the cache while tasks are waiting in the same Redis."""
        self.waiting_before = self.inside.queue_length()
        entries = self.inside.clear_cache()
        self.waiting_after = self.inside.queue_length()
        queue = f"{self.waiting_before:,} tasks waiting before it, {self.waiting_after:,} after it"
        say(f"  cache.clear()      {entries:>6,} entries gone; {queue}")

    def progress(self, label: str, replay: Replay, total: int) -> Any:
        """Return a function that prints a line whenever another fifth of the pages has been answered."""
        marks = [total * part // 5 for part in range(1, 6)]

        def show() -> None:
            for child in (self.worker, self.site):
                child.check()
            answered = len(replay.views)
            if marks and answered >= marks[0]:
                marks[:] = [mark for mark in marks if mark > answered]
                hits = f"   hits {replay.count('hit') / answered:4.0%}" if label == "with cache" else ""
                say(f"  {label:<13} {answered:>6,} of {total:>6,} pages{hits}")

        return show

    def report(self) -> bool:
        """Wait for the queue to drain, and print the table."""
        replays = (self.warm_up, self.uncached, self.cached)
        queued = {task for replay in replays for task in replay.tasks()}
        done = self.drain(queued)
        failures = [failure for replay in replays for failure in replay.failures()]
        uncounted = sum(replay.uncounted() for replay in replays)
        page_times(self.cached, self.uncached)
        accounts(len(failures), uncounted, len(queued), len(done), self.waiting_before, self.waiting_after)
        if failures:
            excuses(failures, self.site.log_end())
        return len(done) == len(queued) and not failures

    def drain(self, queued: set[str]) -> set[str]:
        """Wait until all queued tasks are done, or until none was done for a while; return those that are done."""
        end = moved = time.monotonic()
        end += DRAIN_TIMEOUT
        done: set[str] = set()
        while done != queued and time.monotonic() < min(end, moved + STALL_TIMEOUT):
            now = queued & self.inside.recorded()
            if now != done:
                done, moved = now, time.monotonic()
            self.worker.check()
            time.sleep(0.05)
        return done

    def stay(self) -> None:
        """Say where to look, and on a terminal keep the site up until somebody ends it."""
        say(f"\nDashboard  http://127.0.0.1:{self.port}/{DASHBOARD}\nLogin      {USER} / {self.password}")
        if sys.stdout.isatty():
            say("\nThe site stays up until you press Ctrl-C.")
            with contextlib.suppress(Interrupted):
                while True:
                    for child in (self.worker, self.site):
                        child.check()
                    time.sleep(0.5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(description="Run the example site and replay recorded traffic against it.")
    parser.add_argument("--requests", type=int, metavar="N", help="replay the first N page views only")
    options = parser.parse_args(arguments)
    if options.requests is not None and options.requests < 1:
        parser.error(f"--requests is {options.requests}; allowed is 1 or more.")
    signals = Signals()
    signals.install()
    with contextlib.ExitStack() as stack:
        demo = Demo(options.requests, signals, stack)
        try:
            good = demo.run()
            demo.stay()
        except Interrupted as interruption:
            say(f"\n{interruption}: stopping.")
            return 128 + interruption.number
        except (RuntimeError, TimeoutError) as error:
            say(f"\n{error}")
            return 1
        finally:
            signals.ignore()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
