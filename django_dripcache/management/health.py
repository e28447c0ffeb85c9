"""Tell whether each alias of the cache answers: exit code 0, or 1 if one does not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..backend import configured_aliases
from ..client import CacheClient
from ..exceptions import ConfigurationError
from ..manager import CacheManager

if TYPE_CHECKING:
    from argparse import ArgumentParser

Report = tuple[Any, list[str], int]
"""What is printed as JSON, what is printed as text, and the exit code."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    parser.add_argument("--alias", help="One alias of CACHES; by default all that DripCache serves.")


def report(*, alias: str | None = None, **_: Any) -> Report:
    """Ask each alias how it is."""
    found = {name: CacheClient(CacheManager(name)).health_check() for name in chosen(alias)}
    lines = []
    for name, health in found.items():
        latency = "no answer" if health.latency_ms is None else f"{health.latency_ms:.1f} ms"
        memory = f"{health.memory_used / 2**20:,.1f} MiB"
        limit = f" of {health.memory_max / 2**20:,.1f} MiB" if health.memory_max else ""
        lines.append(f"{name:<12} {health.status:<10} {latency:>10}   memory {memory}{limit}")
    unwell = any(health.status == "unhealthy" for health in found.values())
    return {name: asdict(health) for name, health in found.items()}, lines, int(unwell)


def chosen(alias: str | None) -> list[str]:
    """Return the aliases that are asked for. Raises ConfigurationError if there is none, or no such one."""
    served = list(configured_aliases())
    if alias is not None and alias not in served:
        message = f"--alias={alias} is no alias that DripCache serves. Allowed: {', '.join(served) or 'none'}."
        raise ConfigurationError(message)
    if not served:
        message = "No alias of CACHES is served by django_dripcache.backend.DripCache."
        raise ConfigurationError(message)
    return served if alias is None else [alias]
