"""Measure calls of the cache on the site's own server, beside plain django-redis; its keys are removed afterwards."""

from __future__ import annotations

import secrets
import time
from contextlib import closing, suppress
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import redis
from django.core.cache import caches
from django_redis.cache import RedisCache
from django_redis.client import DefaultClient
from redis.exceptions import RedisError

from ..backend import get_alias_server
from ..broker import namespace_root
from ..counts import COUNTS
from ..exceptions import CacheUnavailableError, ConfigurationError
from .aliases import add_alias, reached
from .console import WELL
from .tables import length, number, table

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterator

    from ..address import Broker
    from .console import Console

MOST: Final = 100_000
PAGE: Final = 100
"""So many keys are read by one get_many()."""

TTL: Final = 60
"""The keys end after so many seconds, should they not be removed."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    parser.add_argument("--count", type=int, default=1000, help="So many keys are written and read; 1,000 by default.")
    parser.add_argument("--size", type=int, default=200, help="The characters of a value; 200 by default.")
    add_alias(parser, default="'default'")


def run(console: Console, *, count: int, size: int, alias: str | None = None, **_: Any) -> int:
    """Measure; the exit code is 0."""
    for name, given in (("count", count), ("size", size)):
        if not 1 <= given <= MOST:
            message = f"--{name}={given} is out of range. Allowed are 1 to {MOST:,}."
            raise ConfigurationError(message)
    where = reached(alias)
    token = secrets.token_hex(8)
    before = COUNTS.take()
    try:
        found = {"DripCache": _measure(caches[where], token, count, size)}
    finally:
        COUNTS.take()  # it is no traffic of the site
        COUNTS.give_back(*before)
    pool = _make_pool(get_alias_server(where).broker)
    if pool is not None:
        params = {
            "KEY_PREFIX": f"{namespace_root()}benchmark.{token}",
            "OPTIONS": {"CLIENT_CLASS": f"{PlainClient.__module__}.{PlainClient.__name__}", "POOL": pool},
        }
        with closing(pool):
            found["django-redis"] = _measure(RedisCache("its pool", params), token, count, size)
    heads = ("call", *(f"{who} {what}" for who in found for what in ("median", "a second")))
    rows = [
        (call, *(text for calls in found.values() for text in (length(calls[call]), number(1 / calls[call]))))
        for call in next(iter(found.values()))
    ]
    lines = [
        f"{count:,} values of {size:,} characters, one call after another, on {get_alias_server(where).broker}",
        "",
    ]
    console.tell({"count": count, "size": size, "seconds": found}, lines + table(heads, rows))
    return WELL


class PlainClient(DefaultClient):  # type: ignore[misc]
    """django-redis' client over a pool that it is given, as it would be over one of its own."""

    def connect(self, index: int = 0) -> redis.Redis:  # noqa: ARG002 - there is one server
        """Return a client of redis-py."""
        return redis.Redis(connection_pool=self._options["POOL"])


def _measure(cache: Any, token: str, count: int, size: int) -> dict[str, float]:
    """Return the median seconds of each call."""
    keys = [f"dripcache-benchmark:{token}:{at}" for at in range(count)]
    pages = [keys[at : at + PAGE] for at in range(0, count, PAGE)]
    value = secrets.token_hex(size)[:size]
    try:
        return {
            "set": median(_times(lambda key: cache.set(key, value, TTL), keys)),
            "get": median(_times(cache.get, keys)),
            f"get_many of {min(PAGE, count)}": median(_times(cache.get_many, pages)),
        }
    except (RedisError, OSError) as error:
        raise CacheUnavailableError(str(error)) from error
    finally:
        for page in pages:
            with suppress(CacheUnavailableError, RedisError, OSError):
                cache.delete_many(page)


def _times(call: Callable[[Any], Any], given: list[Any]) -> Iterator[float]:
    for one in given:
        began = time.perf_counter()
        call(one)
        yield time.perf_counter() - began


def _make_pool(broker: Broker) -> Any:
    """Return a pool as redis-py makes it, or None for a server that only Sentinel knows."""
    first = broker.addresses[0]
    if broker.master_name is not None:
        return None
    pool: Any = redis.ConnectionPool
    make = partial(pool, db=first.db, socket_timeout=1, socket_connect_timeout=1)
    if broker.credential_provider is not None:
        make = partial(make, credential_provider=broker.credential_provider)
    else:
        make = partial(make, username=first.username, password=first.password)
    if first.path is not None:
        return make(connection_class=redis.UnixDomainSocketConnection, path=first.path)
    if broker.ssl is not None:
        make = partial(make, connection_class=redis.SSLConnection, **broker.ssl)
    return make(host=first.host, port=first.port)
