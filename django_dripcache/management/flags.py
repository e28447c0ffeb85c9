"""List the feature flags, set one, or delete one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..services.flags import FeatureFlags
from .aliases import add_alias, reached
from .console import FOUND, WELL, add_json, add_yes
from .tables import table

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    add_alias(parser, default="'default'")
    acts = parser.add_subparsers(dest="act", metavar="set | delete")
    setting = acts.add_parser("set", help="Set a flag.", description="Set a flag.")
    setting.add_argument("name")
    setting.add_argument("state", choices=["on", "off"])
    setting.add_argument("--ttl", type=float, help="For so many seconds; by default DRIPCACHE['FOREVER_TTL'].")
    deleting = acts.add_parser("delete", help="Delete a flag.", description="Delete a flag: it is its default then.")
    deleting.add_argument("name")
    add_yes(deleting)
    for act in (setting, deleting):
        add_json(act)


def run(console: Console, *, act: str | None, alias: str | None = None, **options: Any) -> int:
    """List, set or delete; the exit code is 1 if there was nothing to delete."""
    flags = FeatureFlags(reached(alias))
    if act is None:
        found = flags.all()
        rows = [(name, "on" if enabled else "off") for name, enabled in found.items()]
        console.tell(found, table(("flag", "state"), rows) if rows else ["No flag is set."])
        return WELL
    name = options["name"]
    if act == "set":
        flags.set(name, options["state"] == "on", options["ttl"])
        console.tell({name: options["state"] == "on"}, [f"{name} is {options['state']}."])
        return WELL
    if not console.confirm(f"Delete the flag {name}?", yes=options["yes"]):
        return FOUND
    deleted = flags.delete(name)
    console.tell({"deleted": deleted}, [f"{name} is deleted." if deleted else f"{name} was not set."])
    return WELL if deleted else FOUND
