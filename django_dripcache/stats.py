"""Figures of a cache and of its server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .flows.scan import Count
    from .server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """
    What ``get_stats()`` knows of a namespace and of its server.

    ``keys`` are those of the namespace: counted, or estimated from a sample of a large database where ``keys_exact``
    is False. Memory is the whole server's in bytes; a ``memory_max`` of 0 is no limit. Connections are those of this
    process' pool. Where ``available`` is False the server did not answer, and its figures are 0 or empty.
    """

    available: bool
    keys: int = 0
    keys_exact: bool = True
    memory_used: int = 0
    memory_max: int = 0
    eviction_policy: str = ""
    server_version: str = ""
    connections_open: int = 0
    connections_in_use: int = 0
    connections_max: int = 0

    @classmethod
    def of(cls, about: Mapping[str, str], count: Count, pool: Any) -> CacheStats:
        """Put together what INFO said, how many keys there are, and what a pool of threads looks like."""
        return cls(
            available=True,
            keys=count.keys,
            keys_exact=count.exact,
            memory_used=int(about.get("used_memory", 0)),
            memory_max=int(about.get("maxmemory", 0)),
            eviction_policy=about.get("maxmemory_policy", ""),
            server_version=about.get("valkey_version") or about.get("redis_version", ""),
            connections_open=pool.idle + pool.lent,
            connections_in_use=pool.lent,
            connections_max=pool.max_connections,
        )


SLOW: Final = 100.0
"""From this latency on, in milliseconds, a cache is degraded: a call is given up after 250."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """
    How a cache is.

    ``healthy`` answers as it should. ``degraded`` answers, but slowly, or after calls that failed. ``unhealthy`` does
    not answer: the site runs on fallbacks. ``latency_ms`` is that of one PING, None without an answer. ``breaker`` is
    ``"closed"`` or ``"open"``, and ``opened`` how often it has opened in this process. ``failures`` counts the calls of
    this process that found no answer, ``pending`` the writes that failed and are still to be made good. Memory is in
    bytes, the whole server's.
    """

    status: Literal["healthy", "degraded", "unhealthy"]
    latency_ms: float | None
    breaker: Literal["closed", "open"]
    opened: int
    failures: int
    pending: int
    memory_used: int = 0
    memory_max: int = 0
    eviction_policy: str = ""

    @classmethod
    def of(cls, server: Server, latency: float | None, about: Mapping[str, str], *, suffers: bool) -> Health:
        """
        Put together what is known of a server that was just asked.

        ``latency`` is in seconds, ``suffers`` whether calls had failed before it was asked.
        """
        milliseconds = None if latency is None else round(latency * 1000, 3)
        status: Literal["healthy", "degraded", "unhealthy"] = "healthy"
        if milliseconds is None:
            status = "degraded" if server.available and suffers else "unhealthy"
        elif milliseconds >= SLOW or suffers:
            status = "degraded"
        return cls(
            status=status,
            latency_ms=milliseconds,
            breaker="open" if server.breaker.is_open else "closed",
            opened=server.breaker.opened,
            failures=server.failures,
            pending=len(server.journal),
            memory_used=int(about.get("used_memory", 0)),
            memory_max=int(about.get("maxmemory", 0)),
            eviction_policy=about.get("maxmemory_policy", ""),
        )


NearStatus: TypeAlias = Literal["idle", "connecting", "live", "refused", "closed"]


@dataclass(frozen=True, slots=True)
class NearStats:
    """
    How a near cache is.

    ``status`` is ``"idle"`` before the first read, ``"connecting"``, ``"live"``, ``"refused"`` where the server does
    not track, or ``"closed"``; ``reason`` says why it is not live. ``bytes`` are those of the entries with their names
    and what it takes to keep them. ``invalidations`` counts the names that the server told of, kept here or not.
    """

    entries: int
    bytes: int
    evictions: int
    invalidations: int
    status: NearStatus
    reason: str
