"""How pools behave, and their making: redis-py's blocking pools over our connections, for every kind of address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import redis
import redis.asyncio as aioredis
from redis import sentinel as redis_sentinel
from redis.asyncio import sentinel as aio_sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.utils import HIREDIS_AVAILABLE

from .conf import refuse_unknown
from .exceptions import ConfigurationError
from .lending import AsyncLendingPool, AsyncSentinelLendingPool, LendingPool, SentinelLendingPool
from .multiplexer import Shared
from .nearness import Nearness
from .sockets import AsyncGuarded, Guarded, SentinelGuarded, guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .address import Broker, Route

MAX_CONNECTIONS: Final = 20
SOCKET_TIMEOUT: Final = 0.25
POOL_WAIT: Final = 0.1
PUBLISHER_TIMEOUT: Final = 5.0


OPTIONS: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "ENCRYPT": (lambda value: isinstance(value, bool), "True or False"),
    "NEAR": (lambda value: value is None or bool(Nearness.of(value)), "a dict, or None for no near cache"),
    "MAX_CONNECTIONS": (lambda value: type(value) is int and value > 0, "a number from 1 up"),
    "ON_OUTAGE": (lambda value: value in ("fallback", "raise"), "'fallback' or 'raise'"),
    "POOL_WAIT": (lambda value: type(value) in {int, float} and value >= 0, "a number of seconds from 0 up"),
    "SOCKET_CONNECT_TIMEOUT": (lambda value: type(value) in {int, float} and value > 0, "seconds, more than 0"),
    "SOCKET_TIMEOUT": (lambda value: type(value) in {int, float} and value > 0, "seconds, more than 0"),
}
"""What CACHES[alias]["OPTIONS"] may hold: whether a value is allowed, and how to say what is."""


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for the first of an alias' ``OPTIONS`` that is unknown or has a wrong value."""
    refuse_unknown("CACHES['OPTIONS']", options, OPTIONS)
    for name, value in options.items():
        allows, allowed = OPTIONS[name]
        if not allows(value):
            message = f"CACHES['OPTIONS'][{name!r}] is {value!r}. Allowed is {allowed}."
            raise ConfigurationError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """
    How a pool behaves.

    ``wait`` is how long a call waits for a free connection, ``socket_timeout`` for each reply,
    ``socket_connect_timeout`` for a connection, all in seconds. ``publisher_timeout`` is how long Celery's publisher
    waits for a reply on the same connections.
    """

    max_connections: int = MAX_CONNECTIONS
    wait: float = POOL_WAIT
    socket_timeout: float = SOCKET_TIMEOUT
    socket_connect_timeout: float = SOCKET_TIMEOUT
    publisher_timeout: float = PUBLISHER_TIMEOUT
    publisher_retries: bool = False
    health_check_interval: float = 0
    socket_keepalive: bool = True
    socket_keepalive_options: Mapping[int, int] | None = None
    label: str = "dripcache"

    @classmethod
    def of(cls, broker: Broker, options: Mapping[str, Any]) -> PoolOptions:
        """Return what a cache alias' ``OPTIONS`` ask for, else what Celery's transport options do."""
        theirs = broker.options
        own = theirs if broker.explicit else {}
        celerys = {} if broker.explicit else theirs
        timeout = options.get("SOCKET_TIMEOUT", own.get("socket_timeout", SOCKET_TIMEOUT))
        given = {
            "max_connections": options.get("MAX_CONNECTIONS", theirs.get("max_connections")),
            "wait": options.get("POOL_WAIT"),
            "socket_timeout": timeout,
            "socket_connect_timeout": options.get("SOCKET_CONNECT_TIMEOUT", own.get("socket_connect_timeout", timeout)),
            "publisher_timeout": celerys.get("socket_timeout"),
            "publisher_retries": theirs.get("retry_on_timeout"),
            "health_check_interval": theirs.get("health_check_interval"),
            "socket_keepalive": theirs.get("socket_keepalive"),
            "socket_keepalive_options": theirs.get("socket_keepalive_options"),
            "label": theirs.get("client_name"),
        }
        return cls(**{name: value for name, value in given.items() if value is not None})


def make_pool(broker: Broker, options: PoolOptions, route: Route) -> Any:
    """Build the pool of a process' threads. Nothing is connected yet."""
    return _build(
        broker,
        options,
        route,
        Guarded,
        LendingPool,
        (redis.Connection, redis.SSLConnection, redis.UnixDomainSocketConnection),
        SentinelLendingPool,
        (redis_sentinel.SentinelManagedConnection, redis_sentinel.SentinelManagedSSLConnection),
        redis_sentinel.Sentinel,
    )


def make_async_pool(broker: Broker, options: PoolOptions, route: Route) -> Any:
    """Build the pool of the running event loop. Nothing is connected yet."""
    pool = _build(
        broker,
        options,
        route,
        AsyncGuarded,
        AsyncLendingPool,
        (aioredis.Connection, aioredis.SSLConnection, aioredis.UnixDomainSocketConnection),
        AsyncSentinelLendingPool,
        (aio_sentinel.SentinelManagedConnection, aio_sentinel.SentinelManagedSSLConnection),
        aio_sentinel.Sentinel,
    )
    if HIREDIS_AVAILABLE and options.max_connections > 1 and not options.health_check_interval:
        pool.shared = Shared(pool, options.socket_timeout)
    return pool


def _build(
    broker: Broker,
    options: PoolOptions,
    route: Route,
    mixin: type,
    pool: Any,
    classes: tuple[type, type, type],
    sentinel_pool: Any,
    sentinel_classes: tuple[type, type],
    sentinel: Any,
) -> Any:
    """Build a pool of redis-py's classes; those of threads and of event loops take the same arguments."""
    first = broker.addresses[0]
    role = "pool" if mixin is Guarded else "async"
    common: dict[str, Any] = {
        "max_connections": options.max_connections,
        "timeout": options.wait,
        "protocol": 2,
        "driver_info": None,
        "db": first.db,
        # On an event loop, the driver's deadline is enough. With a timeout of its own redis-py sends within wait_for(),
        # which loses a task's cancellation now and then before Python 3.12.
        "socket_timeout": options.socket_timeout if mixin is Guarded else None,
        "socket_connect_timeout": options.socket_connect_timeout,
        "health_check_interval": options.health_check_interval,
        "label": f"{options.label}:{role}",
    }
    if broker.credential_provider is not None:
        common["credential_provider"] = broker.credential_provider
    else:
        common |= {"username": first.username, "password": first.password}
    if first.path is not None:
        return pool(connection_class=guarded(classes[2], mixin), path=first.path, route=route, **common)
    common |= {
        "socket_keepalive": options.socket_keepalive,
        **(broker.ssl or {}),
    }
    if options.socket_keepalive_options is not None:
        common["socket_keepalive_options"] = options.socket_keepalive_options
    encrypted = broker.ssl is not None
    if broker.master_name is None:
        return pool(connection_class=guarded(classes[encrypted], mixin), route=route, **common)
    return sentinel_pool(
        broker.master_name,
        _sentinel(broker, options, sentinel, (Retry if mixin is Guarded else AsyncRetry)(NoBackoff(), 0)),
        connection_class=guarded(sentinel_classes[encrypted], SentinelGuarded if mixin is Guarded else mixin),
        **common,
    )


def _sentinel(broker: Broker, options: PoolOptions, sentinel: Any, retry: Any) -> Any:
    asked: dict[str, Any] = {
        "socket_timeout": options.socket_timeout,
        "socket_connect_timeout": options.socket_connect_timeout,
        "retry": retry,  # there is another Sentinel to ask, and redis-py would retry for seconds
        **(broker.options.get("sentinel_kwargs") or {}),
    }
    return sentinel(
        [(address.host, address.port) for address in broker.addresses],
        min_other_sentinels=broker.options.get("min_other_sentinels", 0),
        sentinel_kwargs=asked,
    )
