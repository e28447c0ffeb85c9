"""
Celery's publisher on our pool.

kombu's Redis transport keeps a pool a channel. These transports, put in the place of kombu's for the ``redis``,
``rediss`` and ``sentinel`` aliases, hand it this process' one pool instead, for brokers that a cache alias uses too;
any other broker is left to kombu. A worker's consumer (BRPOP, pubsub) keeps kombu's own connections, and so does the
result backend: both hold on to a connection for as long as they live.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kombu.transport import TRANSPORT_ALIASES, _transport_cache
from kombu.transport import redis as kombu_redis

from .broker import from_kombu
from .conf import get_settings
from .connections import find_server
from .deadline import DEADLINE
from .exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .server import Server

ALIASES = {
    "redis": "django_dripcache.transport:Transport",
    "rediss": "django_dripcache.transport:Transport",
    "sentinel": "django_dripcache.transport:SentinelTransport",
}

_expect: list[Callable[[], None]] = []
_early: set[str] = set()


class PublisherPool:
    """
    A server's pool as a publisher sees it: the same connections, lent with a publisher's patience.

    A publish must not be given up as early as a cache read, since whether the task was queued would then be unknown.
    What is not defined here is the pool's own.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server.pool, name)

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """Take a connection and set the publisher's timeout."""
        options = self._server.options
        token = DEADLINE.set(time.monotonic() + options.publisher_timeout)
        try:
            connection = self._server.pool.get_connection(wait=options.publisher_timeout)
        finally:
            DEADLINE.reset(token)
        connection.set_patience(options.publisher_timeout, retry_on_timeout=options.publisher_retries)
        return connection

    def release(self, connection: Any) -> None:
        """Give a connection back with the cache's timeout."""
        connection.set_patience(self._server.options.socket_timeout)
        self._server.pool.release(connection)

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Leave the connections alone: they are not the publisher's to close."""


class _SharedPool:
    """The mixin of the channels: their pool is ours where a cache alias uses the same server."""

    connection: Any
    _registered: bool
    _get_pool: Callable[[], Any]
    _dripcache_pool: PublisherPool | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.__dict__.pop("client", None)  # the one that pinged; a consumer makes its own when it needs it

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's signature
        """Let a new channel's first ping go over our pool too: the consumer's connections wait without end."""
        if asynchronous and not self._registered and self._shared is not None:
            self._get_pool()  # it makes no connection, and puts the database into the prefix of fanout exchanges
            asynchronous = False
        return super()._create_client(asynchronous)  # type: ignore[misc]

    @property
    def _shared(self) -> PublisherPool | None:
        if "_dripcache_pool" not in self.__dict__:
            self._dripcache_pool = shared_pool(self.connection.client)
        return self._dripcache_pool

    @property
    def pool(self) -> Any:
        """The pool to publish with. ``_pool`` stays None, so that kombu has nothing of ours to tear down."""
        return self._shared or super().pool  # type: ignore[misc]


class Channel(_SharedPool, kombu_redis.Channel):  # type: ignore[misc]
    """kombu's channel with this process' pool."""


class SentinelChannel(_SharedPool, kombu_redis.SentinelChannel):  # type: ignore[misc]
    """kombu's Sentinel channel with this process' pool."""


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's Redis transport with this process' pool."""

    Channel = Channel


class SentinelTransport(kombu_redis.SentinelTransport):  # type: ignore[misc]
    """kombu's Sentinel transport with this process' pool."""

    Channel = SentinelChannel


def install(expect: Callable[[], None]) -> None:
    """
    Put our transports in the place of kombu's, for the connections made from now on.

    ``expect`` is called before a channel looks for its server, and sees to it that the servers of all cache aliases
    are known by then.
    """
    _expect[:] = [expect]
    for alias, path in ALIASES.items():
        if TRANSPORT_ALIASES[alias] != path and _transport_cache.pop(alias, None) is not None:
            _early.add(alias)
        TRANSPORT_ALIASES[alias] = path


def resolved_too_early() -> bool:
    """Return whether kombu had connected to a Redis before ``install()``, with a pool of its own."""
    return bool(_early)


def uninstall() -> None:
    """Give kombu's aliases back."""
    _expect.clear()
    _early.clear()
    for alias, kind in (("redis", "Transport"), ("rediss", "Transport"), ("sentinel", "SentinelTransport")):
        TRANSPORT_ALIASES[alias] = f"kombu.transport.redis:{kind}"
        _transport_cache.pop(alias, None)


def shared_pool(connection: Any) -> PublisherPool | None:
    """Return the pool for a kombu connection, or None where no cache alias uses its server."""
    for expect in _expect:
        expect()
    try:
        if not get_settings().SHARE_POOL:
            return None
        server = find_server(from_kombu(connection, "the broker"))
    except ConfigurationError:
        return None
    return None if server is None else PublisherPool(server)
