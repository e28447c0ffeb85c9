"""List the site's keys in Redis: those of the cache, its services and its tags, and no others."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from ..backend import get_alias_server
from ..exceptions import CacheUnavailableError
from ..inspection import MOST_A_PAGE, find_keys
from .aliases import add_alias, reached
from .console import FOUND, WELL
from .tables import NOTHING, length, size

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

MOST: Final = 100

_ROW: Final = "{:>8}  {:>10}  {:<6}  {:<22}  {}"


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    parser.add_argument(
        "search", nargs="?", default="", help="A text within the keys, or a glob over whole keys, as in 'user:*'."
    )
    parser.add_argument("--place", default="", help="What keeps them, as in 'cache', 'django cache' or 'user_cache'.")
    parser.add_argument("--count", type=int, default=MOST, help=f"At most so many; {MOST} by default, 0 for all.")
    add_alias(parser, default="'default'")


def run(console: Console, *, search: str, place: str, count: int, alias: str | None = None, **_: Any) -> int:
    """List keys, a page at a time; the exit code is 1 if there are none."""
    name, told, cursor = reached(alias), 0, ""
    while True:
        wanted = min(count - told, MOST_A_PAGE) if count > 0 else MOST_A_PAGE
        page = find_keys(search, alias=name, place=place, cursor=cursor, count=wanted)
        if not page.available:
            raise CacheUnavailableError(get_alias_server(name).trouble)
        keys = page.keys[:wanted] if count > 0 else page.keys
        if keys and not told:
            console.say(_ROW.format("ttl", "size", "type", "place", "name"))
        for info in keys:
            row = (length(info.ttl), size(info.size), info.kind or NOTHING, info.place, info.name)
            console.tell(asdict(info), [_ROW.format(*row)], streams=True)
        told, cursor = told + len(keys), page.cursor
        if not cursor or told >= count > 0:
            break
    if not told:
        console.say("There are no such keys.")
    elif cursor or len(keys) < len(page.keys):
        console.say("", f"There may be more than these {told:,}: --count tells how many to list, 0 all.")
    return WELL if told else FOUND
