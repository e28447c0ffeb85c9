"""
The connections of this process to its Redis servers.

A process has one bounded, blocking pool a server, for all its threads, all cache aliases and Celery's publisher, and
one more for each event loop that uses the async verbs. Pools outlive requests, notice a fork, and are never shared
over one.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

from django.core.cache import caches
from django.core.signals import setting_changed

from .broker import discover, forget_app
from .exceptions import ConfigurationError
from .pools import PoolOptions, check_options
from .server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .address import Broker

_servers: dict[tuple[Any, ...], Server] = {}
_located: dict[tuple[str, str], Server] = {}
_lock = threading.Lock()


def locate(location: object, options: Mapping[str, Any]) -> Server:
    """
    Return the server of a cache alias by its ``LOCATION`` and ``OPTIONS``. See broker.discover().

    Raises ConfigurationError for what is not allowed in them.
    """
    if not isinstance(location, str):
        message = (
            f"CACHES['LOCATION'] is a {type(location).__name__}. "
            "Allowed is a text: one URL, several joined by ';' for failover, or 'celery'."
        )
        raise ConfigurationError(message)
    check_options(options)
    asked = (location, repr(sorted(options.items())))
    server = _located.get(asked)
    if server is None:
        server = _located[asked] = get_server(discover(location), options)
    return server


def get_server(broker: Broker, options: Mapping[str, Any]) -> Server:
    """Return this process' one view of a server. The alias that asks first decides how the pool behaves."""
    with _lock:
        server = _servers.get(broker.identity)
        if server is None:
            server = _servers[broker.identity] = Server(broker, PoolOptions.of(broker, options))
        return server


def find_server(broker: Broker) -> Server | None:
    """Return the view of a server that some alias asked for already, or None."""
    return _servers.get(broker.identity)


def close_all() -> None:
    """Close every connection of this process' threads, and forget the servers."""
    with _lock:
        servers = list(_servers.values())
        _servers.clear()
        _located.clear()
    for server in servers:
        server.close()


def _after_fork() -> None:
    # A lock that another thread held at the fork would never be freed in the child. The pools notice by themselves.
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    for server in _servers.values():
        server.renew()


os.register_at_fork(after_in_child=_after_fork)


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"SECRET_KEY", "SECRET_KEY_FALLBACKS"}:
        for server in list(_servers.values()):
            if server.near is not None:
                server.near.clear()  # what is near was verified with the secrets from before
    if setting in {"CACHES", "DRIPCACHE"} or setting.startswith("CELERY"):
        forget_app()
        close_all()
        for alias in caches:
            with contextlib.suppress(AttributeError):  # it was not made in this thread
                del caches[alias]


setting_changed.connect(_forget, dispatch_uid="django_dripcache.connections")
