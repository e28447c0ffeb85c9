"""
Real servers, and both drivers.

Each test process starts one Redis on a free port. A test that kills, pauses or fills a server starts its own, with
``start_server``. Every test begins with an empty database and without connections.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.test import override_settings

from django_dripcache.connections import close_all
from django_dripcache.counts import COUNTS
from django_dripcache.recorder import RECORDER
from django_dripcache.testing.server import RedisServer

from . import processes
from .restricted import RestrictedServer

RECORDER.paused = True  # no thread asks a server in the middle of a test

Server = RestrictedServer if os.environ.get("DRIPCACHE_TEST_ACL") else RedisServer


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "far(why): the site of this test has no near cache, in `make near` either")


@pytest.fixture(autouse=True)
def _far(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("far"):
        monkeypatch.setattr(processes, "NEAR", {})


@pytest.fixture(autouse=True)
def _nobody_is_late() -> Iterator[None]:
    """Wait a while for loaders that go on in threads: what they ask would be seen in the next test."""
    yield
    for thread in threading.enumerate():
        if thread.name == "dripcache-beside":
            thread.join(1)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One real server for the tests of this process."""
    with Server(maxmemory="256mb", maxmemory_policy="volatile-lru") as server:
        yield server


@pytest.fixture
def raw(redis_server: RedisServer) -> Iterator[Any]:
    """A plain client, for a look at what is really there; its database is emptied first, and others are cut off."""
    COUNTS.renew()  # a process of tests has more groups of keys than are told apart
    with redis_server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)  # what a late thread of another test has opened
        names = list(client.scan_iter(count=1000))
        if names:
            client.delete(*names)
        yield client


@pytest.fixture
def broker(redis_server: RedisServer, raw: Any) -> Iterator[RedisServer]:
    """Point the site at the real server, as Celery's broker and as its cache."""
    with use_server(redis_server.url):
        yield redis_server


class use_server:  # noqa: N801 - reads as the context manager that it is
    """Point the site at a server for a while; in ``make near``, with a near cache. See site()."""

    def __init__(self, url: str, **dripcache: Any) -> None:
        self._override = override_settings(
            CELERY_BROKER_URL=url,
            CACHES={"default": {"BACKEND": "django_dripcache.backend.DripCache", "OPTIONS": {**processes.NEAR}}},
            DRIPCACHE=dripcache,
        )

    def __enter__(self) -> None:
        self._override.enable()
        processes.come_near()

    def __exit__(self, *_: object) -> None:
        close_all()
        self._override.disable()


@pytest.fixture
def start_server() -> Iterator[Callable[..., RedisServer]]:
    """Start servers of the test's own, which it may kill, pause and fill."""
    started: list[RedisServer] = []

    def start(**config: str) -> RedisServer:
        server = Server(**config).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


class Driven:
    """An object whose verbs are called as they are, or through their async twins on an event loop."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, verb: str) -> Any:
        if self._loop is None:
            return getattr(self._target, verb)
        loop, twin = self._loop, getattr(self._target, f"a{verb}")

        def call(*args: Any, **options: Any) -> Any:
            result = twin(*args, **options)
            if inspect.isasyncgen(result) or isinstance(result, AsyncIterator):
                result = _collect(result)
            return loop.run_until_complete(result)

        return call


async def _collect(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    """Return an object with its verbs as they are, and in a second run of the test through their async twins."""
    if request.param == "sync":
        yield lambda target: Driven(target, None)
        return
    loop = asyncio.new_event_loop()
    yield lambda target: Driven(target, loop)
    loop.run_until_complete(_wind_up(loop))
    loop.close()


async def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """End what is left on a loop: also pools of a server that was forgotten meanwhile, which end in tasks of theirs."""
    await loop.shutdown_asyncgens()
    await asyncio.sleep(0)
    await asyncio.gather(*(asyncio.all_tasks(loop) - {asyncio.current_task()}), return_exceptions=True)


@pytest.fixture
def backend(broker: RedisServer) -> Any:
    """The cache ``default`` of the site."""
    return caches["default"]
