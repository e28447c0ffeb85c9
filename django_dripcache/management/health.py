"""Tell whether each alias of the cache answers: exit code 0, or 1 if one does not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..client import CacheClient
from ..manager import CacheManager
from .aliases import add_alias, chosen

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Report


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    add_alias(parser)


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
