"""
The server that the caches of a process' tests are on.

It is started when a cache is first used, once a process, and ends with that process, however it ends. Each LOCATION of
the site has a database of its own there: what lies on two servers in production must not meet in tests.
"""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .._drive import run
from ..broker import from_url
from ..exceptions import CacheUnavailableError, ConfigurationError
from ..flows.scan import remove
from ..keys import escape_glob
from ..lent import Lent
from .fake import FakeServer
from .place import Pools, make_client
from .server import RedisServer, find_binary

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    import redis

    from ..address import Broker
    from ..pools import PoolOptions

VARIABLE: Final = "DRIPCACHE_TEST_SERVER"

logger = logging.getLogger("django_dripcache")
_homes: list[Home] = []
_lock = threading.Lock()


def get_home() -> Home:
    """Return the home of this process, on what the environment's ``DRIPCACHE_TEST_SERVER`` says. See Home."""
    with _lock:
        if not _homes:
            _homes.append(Home(os.environ.get(VARIABLE) or "auto"))
            atexit.register(_homes[0].stop)
        return _homes[0]


class Home:
    """
    One server, with a database for each place that the site has its caches in.

    ``server`` is ``redis``, ``fakeredis``, ``auto`` for the first of these that there is, or a URL. Raises
    ConfigurationError for anything else, and for what cannot be started.
    """

    def __init__(self, server: str) -> None:
        self._started = None if "://" in server else _start(server)
        self._guard = _guard(self._started) if isinstance(self._started, RedisServer) else None
        self._broker = from_url(server if self._started is None else self._started.url, VARIABLE)
        if self._broker.master_name is not None or len(self._broker.addresses) > 1:
            message = f"{VARIABLE} is {self._broker}. Allowed is the URL of one server."
            raise ConfigurationError(message)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._brokers: dict[Hashable, Broker] = {}
        self._clients: dict[Hashable, redis.Redis] = {}
        self._pools: dict[Any, Pools] = {}

    def broker(self, place: Hashable) -> Broker:
        """Return the database for a place of the site. Raises ConfigurationError where that cannot be used."""
        with self._lock:
            found = self._brokers.get(place)
            if found is None:
                address = self._broker.addresses[0]
                found = replace(self._broker, addresses=(replace(address, db=address.db + len(self._brokers)),))
                self._clients[found.identity] = make_client(found)
                self._check(found)
                self._brokers[place] = found
            return found

    def pools(self, broker: Broker, options: PoolOptions) -> Pools:
        """Return the pools of a database. They outlive the tests, so that no test has to connect."""
        with self._lock:
            key = (broker.identity, repr(options))
            if key not in self._pools:
                self._pools[key] = Pools(broker, options)
            return self._pools[key]

    def link(self, broker: Broker) -> Lent:
        """Return what flows about a database run over, also while the tests' connections lead nowhere."""
        return Lent(self._clients[broker.identity])

    def remove(self, broker: Broker, roots: Iterable[str]) -> None:
        """Remove all names of a database that begin with one of ``roots``."""
        for root in roots:
            try:
                run(remove(escape_glob(root.encode()) + b"*"), self.link(broker))
            except CacheUnavailableError as error:
                # The next test has names of its own, and these have an end.
                logger.warning("What a test had in %s is left there: %s", broker, error)

    def stop(self) -> None:
        """Close what is open, and stop what was started. In a forked child, do nothing: it is all the parent's."""
        if os.getpid() != self._pid:
            return
        for pools in self._pools.values():
            pools.close()
        for client in self._clients.values():
            client.close()
        if self._guard is not None:
            self._guard.communicate()
        if self._started is not None:
            self._started.stop()

    def _check(self, broker: Broker) -> None:
        try:
            self._clients[broker.identity].ping()
        except Exception as error:
            message = (
                f"The server for tests, {broker}, cannot be used ({error}). Fix dripcache_server in pytest's options, "
                f"or {VARIABLE} in the environment. Each LOCATION of CACHES takes one more of its databases."
            )
            raise ConfigurationError(message) from error


def _start(server: str) -> RedisServer | FakeServer:
    if server not in {"auto", "redis", "fakeredis"}:
        message = (
            f"The server for tests is {server!r}. Allowed are 'auto', 'redis', 'fakeredis', and a URL such as "
            f"redis://localhost:6379/15. Fix dripcache_server in pytest's options, or {VARIABLE} in the environment."
        )
        raise ConfigurationError(message)
    if server != "fakeredis" and find_binary() is not None:
        return RedisServer(databases="256").start()
    missing: ImportError | None = None
    if server != "redis":
        try:
            return FakeServer().start()
        except ImportError as error:
            missing = error
    wanted = {"auto": "neither a redis-server nor fakeredis[lua]", "redis": "no redis-server"}
    message = (
        f"There is {wanted.get(server, 'no fakeredis[lua]')} for the tests. pip install 'django-dripcache[test]' "
        f"brings what there is for this Python; or set {VARIABLE} to a URL."
    )
    raise ConfigurationError(message) from missing


def _guard(server: RedisServer) -> subprocess.Popen[bytes] | None:
    """Start what stops the server when this process has ended, also if it was killed: then its pipe ends."""
    process = server.process
    if process is None:
        return None
    arguments: Any = process.args
    directory = arguments[arguments.index("--dir") + 1]
    return subprocess.Popen(  # noqa: S603 - the arguments are ours
        ["/bin/sh", "-c", 'read _; kill "$0"; rmdir "$1"', str(process.pid), directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
