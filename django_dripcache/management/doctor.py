"""Find what is wrong with each server: its connections by role, and what the checks find, each with its remedy."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from .._drive import run
from ..backend import get_alias_server
from ..checks import check_server, check_settings
from ..exceptions import CacheUnavailableError
from ..flows.server import clients
from .health import chosen

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from ..server import Server
    from .health import Report

CROWDED: Final = 0.8
"""From this part of maxclients on, connections are a finding."""

ROLES: Final = {
    "pool": "threads of the site and of workers: the cache, and Celery's publisher",
    "async": "event loops of the site: the cache",
    "consumer": "Celery workers that wait for tasks",
    "events": "subscriptions: workers' remote control, and result backends that listen",
    "unnamed": "others without a name, such as result backends",
}

REMEDIES: Final = {
    "pool": "Lower OPTIONS['MAX_CONNECTIONS'] in CACHES, or the number of processes or threads.",
    "async": "Lower OPTIONS['MAX_CONNECTIONS'] in CACHES, or the number of processes.",
    "consumer": "Start fewer workers with a higher --concurrency.",
    "events": "Start workers with --without-gossip --without-mingle, or set CELERY_TASK_IGNORE_RESULT.",
    "unnamed": "Set CELERY_TASK_IGNORE_RESULT, lower CELERY_REDIS_MAX_CONNECTIONS, and name the others' connections.",
}
"""How to lower the connections of a role. A role that is not here is the name of somebody else's."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    parser.add_argument("--alias", help="One alias of CACHES; by default all that DripCache serves.")


def report(*, alias: str | None = None, **_: Any) -> Report:
    """Examine each server once; the exit code is 1 if something was found, 2 if a server could not be asked."""
    names = chosen(alias)
    servers: dict[Server, list[str]] = {}
    for name in names:
        servers.setdefault(get_alias_server(name), []).append(name)
    found = [_examine(server, aliases) for server, aliases in servers.items()]
    findings = [
        {"id": finding.id, "message": finding.msg, "hint": finding.hint or ""}
        for finding in [*check_settings(), *check_server()]
    ]
    findings += [finding for each in found for finding in each.pop("findings")]
    lines = [line for each in found for line in _describe(each)]
    lines += ["Nothing was found."] if not findings else []
    for finding in findings:
        lines += [f"{finding['id']}: {finding['message']}", f"    {finding['hint']}"]
    unreachable = any(each["connections"] is None and each["reason"] for each in found)
    return {"servers": found, "findings": findings}, lines, 2 if unreachable else int(bool(findings))


def _examine(server: Server, aliases: list[str]) -> dict[str, Any]:
    each: dict[str, Any] = {"server": str(server.broker), "aliases": aliases, "connections": None, "reason": ""}
    each |= {"maxclients": 0, "findings": []}
    try:
        listed, most = run(clients(), server)
    except CacheUnavailableError as error:
        if not error.answered:
            each["reason"] = error.reason
        return each
    if listed is None:
        return each
    roles = Counter(_role(client, server.options.label) for client in listed)
    total = sum(roles.values())
    each |= {"connections": dict(roles.most_common()), "maxclients": most}
    if most and total >= CROWDED * most:
        role = roles.most_common(1)[0][0]
        message = f"{server.broker} has {total} connections of {most}; most are {role!r}."
        hint = REMEDIES.get(role, f"They are named {role!r} by whoever opened them.")
        each["findings"].append({"id": "dripcache.doctor", "message": message, "hint": hint})
    return each


def _role(client: dict[str, str], label: str) -> str:
    name = client.get("name", "")
    for role in ("pool", "async"):
        if name.startswith(f"{label}:{role}:"):
            return role
    if name:
        return name.split(":", 1)[0]
    if client.get("sub", "0") != "0" or client.get("psub", "0") != "0" or "subscribe" in client.get("cmd", ""):
        return "events"
    return "consumer" if client.get("cmd") == "brpop" else "unnamed"


def _describe(each: dict[str, Any]) -> list[str]:
    lines = [f"{each['server']}  (aliases: {', '.join(each['aliases'])})"]
    if each["connections"] is None:
        reason = each["reason"] or "this user may not ask for CLIENT LIST"
        return [*lines, f"    connections are not known: {reason}", ""]
    limit = f" of {each['maxclients']:,}" if each["maxclients"] else ""
    lines.append(f"    {sum(each['connections'].values()):,}{limit} connections")
    lines += [
        f"    {count:>8,}  {role:<10} {ROLES.get(role, 'named so')}" for role, count in each["connections"].items()
    ]
    return [*lines, ""]
