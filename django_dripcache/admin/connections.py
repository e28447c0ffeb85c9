"""Connections: how many each server has, by what they are for, against how many there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..roles import ROLES, count_connections, remedy
from .place import find_places
from .screen import Screen

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ..server import Server
    from .place import Place


class ConnectionsScreen(Screen):
    """Each server once, whatever aliases share it."""

    name = "connections"
    title = gettext_lazy("Connections")
    kept: ClassVar[tuple[str, ...]] = ()

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:  # noqa: ARG002 - it shows all of them
        """Return the servers, and their connections."""
        servers: dict[Server, list[str]] = {}
        for one in find_places():
            if one.server is not None and one.answers:
                servers.setdefault(one.server, []).append(one.alias)
        return {"servers": [_count(server, aliases) for server, aliases in servers.items()]}


def _count(server: Server, aliases: list[str]) -> dict[str, Any]:
    roster = count_connections(server)
    largest = max((roster.roles or {}).values(), default=0)
    rows = [
        {"role": role, "count": count, "part": count / largest, "about": ROLES.get(role, _("named so by their owner"))}
        for role, count in (roster.roles or {}).items()
    ]
    return {
        "broker": server.broker,
        "aliases": aliases,
        "roster": roster,
        "rows": rows,
        "part": roster.total / roster.most if roster.most else None,
        "remedy": remedy(roster.crowded) if roster.crowded else "",
        "pool": server.pool,
    }
