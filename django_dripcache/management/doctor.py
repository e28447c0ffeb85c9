"""Find what is wrong with each server, its connections, its keys and the site's use of them, each with its remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._drive import run
from ..advice import advise
from ..areas import BACKGROUND, find_area, to_text
from ..backend import get_alias_client
from ..broker import namespace_root
from ..checks import check_server, check_settings
from ..exceptions import CacheUnavailableError
from ..flows.inspection import largest
from ..keys import escape_glob
from ..roles import ROLES, count_connections, remedy
from ..tracker import refusal
from ..traffic import get_traffic
from .aliases import add_alias, chosen
from .console import BROKEN
from .tables import size

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from ..server import Server
    from .console import Report

LARGE = 1024 * 1024
"""From this many bytes on, a key is a finding."""

PATIENCE = 1.0
"""How many seconds it may take a server to say whether it tracks."""

_ID = "dripcache.doctor"


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    add_alias(parser)


def report(*, alias: str | None = None, **_: Any) -> Report:
    """Examine each server once; the exit code is 1 if something was found, 2 if a server could not be asked."""
    names = chosen(alias)
    servers: dict[Server, list[str]] = {}
    for name in names:
        servers.setdefault(get_alias_client(name, "dripcache doctor").server, []).append(name)
    found = [_examine(server, aliases) for server, aliases in servers.items()]
    findings: list[dict[str, Any]] = [
        {"id": finding.id, "message": finding.msg, "hint": finding.hint or ""}
        for finding in [*check_settings(), *check_server()]
    ]
    findings += [finding for each in found for finding in each.pop("findings")]
    unreachable = any(each["connections"] is None and each["reason"] for each in found)
    findings += [] if unreachable else _advise()
    lines = [line for each in found for line in _describe(each)]
    lines += ["Nothing was found."] if not findings else []
    for finding in findings:
        lines += [f"{finding['id']}: {finding['message']}", f"    {finding['hint']}"]
    return {"servers": found, "findings": findings}, lines, BROKEN if unreachable else int(bool(findings))


def _examine(server: Server, aliases: list[str]) -> dict[str, Any]:
    roster = count_connections(server)
    each: dict[str, Any] = {"server": str(server.broker), "aliases": aliases, "reason": roster.reason}
    each |= {"connections": None if roster.roles is None else dict(roster.roles), "maxclients": roster.most}
    each |= {"largest": {} if roster.reason else _weigh(server), "findings": []}
    each["near"] = {"on": server.near is not None, "reason": roster.reason or _ask_to_track(server)}
    if each["near"]["on"] and each["near"]["reason"] and not roster.reason:
        message = f"The near cache of {server.broker} stands aside: {each['near']['reason']}."
        hint = "Every read asks Redis meanwhile. It needs Redis 6 or later, RESP3, and the rights to track."
        each["findings"].append({"id": _ID, "message": message, "hint": hint})
    if roster.crowded:
        message = f"{server.broker} has {roster.total} connections of {roster.most}; most are {roster.crowded!r}."
        each["findings"].append({"id": _ID, "message": message, "hint": remedy(roster.crowded)})
    for name, weight in each["largest"].items():
        if weight >= LARGE:
            hint = "Store less in it, or several smaller keys: to send it keeps Redis, and Celery, waiting."
            each["findings"].append({"id": _ID, "message": f"{name} has {size(weight)}.", "hint": hint})
    return each


def _weigh(server: Server) -> dict[str, int]:
    """Return the largest keys of a sample of the site's, with their bytes."""
    root = namespace_root()
    ours = largest(escape_glob(root.encode()) + b"*", lambda name: find_area(root, name).role not in BACKGROUND)
    try:
        found = run(ours, server)
    except CacheUnavailableError:
        return {}
    return {to_text(name): weight for name, weight in found}


def _ask_to_track(server: Server) -> str:
    """Return why there can be no near cache, or nothing."""
    return refusal(server.pool, namespace_root().encode(), f"{server.options.label}:near", PATIENCE)


def _advise() -> list[dict[str, str]]:
    """Return what the figures of the last day say about groups of keys."""
    groups = get_traffic("24h").groups
    return [
        {
            "id": _ID,
            "message": f"The keys {name!r}, in the last 24 hours: {problem}",
            "hint": hint[:1].upper() + hint[1:],
        }
        for name, figures in groups.items()
        for problem, _, hint in (advice.partition(": ") for advice in advise(figures))
    ]


def _describe(each: dict[str, Any]) -> list[str]:
    lines = [f"{each['server']}  (aliases: {', '.join(each['aliases'])})"]
    if each["connections"] is None:
        reason = each["reason"] or "this user may not ask for CLIENT LIST"
        lines.append(f"    connections are not known: {reason}")
    else:
        limit = f" of {each['maxclients']:,}" if each["maxclients"] else ""
        lines.append(f"    {sum(each['connections'].values()):,}{limit} connections")
        lines += [
            f"    {count:>8,}  {role:<10} {ROLES.get(role, 'named so')}" for role, count in each["connections"].items()
        ]
    if each["largest"]:
        lines.append("    the largest keys of a sample")
        lines += [f"    {size(weight):>10}  {name}" for name, weight in each["largest"].items()]
    return [*lines, f"    near cache: {_say(**each['near'])}", ""]


def _say(*, on: bool, reason: str) -> str:
    if reason:
        return f"{'stands aside' if on else 'not possible'}: {reason}"
    return "on" if on else "possible, and off; see OPTIONS['NEAR']"
