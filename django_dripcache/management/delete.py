"""Delete keys by their names in Redis, as "keys" lists them, each in the way of the service that it is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..areas import find_area, to_name
from ..broker import namespace_root
from ..inspection import delete_key
from .aliases import add_alias, reached
from .console import FOUND, WELL, add_yes

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    parser.add_argument("names", nargs="+", metavar="name", help="The name of a key in Redis, as 'keys' lists it.")
    add_alias(parser, default="'default'")
    add_yes(parser)


def run(console: Console, *, names: list[str], yes: bool, alias: str | None = None, **_: Any) -> int:
    """Delete keys; the exit code is 1 if one was not there, or nothing was done."""
    for name in names:
        find_area(namespace_root(), to_name(name))  # none is deleted if one is not the site's
    where = reached(alias)
    what = names[0] if len(names) == 1 else f"these {len(names):,} keys"
    if not console.confirm(f"Delete {what}?", yes=yes):
        return FOUND
    deleted = {name: delete_key(name, alias=where) for name in names}
    console.tell(
        {"deleted": deleted},
        [f"{name} {'is deleted.' if done else 'was not there.'}" for name, done in deleted.items()],
    )
    return WELL if all(deleted.values()) else FOUND
