"""Clear Django's cache of an alias, or a namespace. Celery's queues and the site's other keys stay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.cache import caches

from .._drive import run as drive
from ..flows import scan
from ..manager import CacheManager
from .aliases import add_alias, reached
from .console import FOUND, WELL, add_yes

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from .console import Console


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    parser.add_argument(
        "--namespace",
        nargs="?",
        const="",
        help="The keys of CacheManager(namespace=...) and their tags; without a name those of 'cache', which has none.",
    )
    add_alias(parser, default="'default'")
    add_yes(parser)


def run(console: Console, *, yes: bool, namespace: str | None = None, alias: str | None = None, **_: Any) -> int:
    """Clear what was asked for; the exit code is 1 if nothing was done."""
    name = reached(alias)
    if namespace is None:
        what = f"Django's cache {name!r}"
        count, clear = _django(caches[name])
    else:
        manager = CacheManager(name, namespace=namespace or None)
        what = f"the namespace {namespace!r} of {name!r}" if namespace else f"the namespace without a name of {name!r}"
        stats = manager.get_stats()
        count, clear = scan.Count(stats.keys, stats.keys_exact), manager.clear
    about = f"{count.keys:,}" if count.exact else f"about {count.keys:,}"
    if not console.confirm(f"Clear {what}, {about} keys?", yes=yes):
        return FOUND
    removed = clear(console.progress(count.keys, "keys"))
    console.tell({"removed": removed}, [f"{removed:,} keys of {what} are removed."])
    return WELL


def _django(cache: Any) -> tuple[scan.Count, Callable[[Callable[[int], None]], int]]:
    client = cache.client
    pattern = client._whole()  # noqa: SLF001 - what its clear() removes
    start = re.sub(rb"\\(.)", rb"\1", pattern.removesuffix(b"*"))
    count = drive(scan.count(pattern, start), client.server)
    return count, lambda progress: drive(scan.remove(pattern, progress=progress), client.server)
