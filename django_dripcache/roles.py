"""Connections to a server by what they are for, and how to have fewer of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext_lazy as _

from ._drive import run
from .exceptions import CacheUnavailableError
from .flows.server import clients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .server import Server

CROWDED: Final = 0.8
"""From this part of maxclients on, connections are a finding."""

ROLES: Final[Mapping[str, Any]] = {
    "pool": _("threads of the site and of workers: the cache, and Celery's publisher"),
    "async": _("event loops of the site: the cache"),
    "near": _("processes of the site: their near caches, which are told of changes"),
    "consumer": _("Celery workers that wait for tasks"),
    "events": _("subscriptions: workers' remote control, and result backends that listen"),
    "unnamed": _("others without a name, such as result backends"),
}

REMEDIES: Final[Mapping[str, Any]] = {
    "pool": _("Lower OPTIONS['MAX_CONNECTIONS'] in CACHES, or the number of processes or threads."),
    "async": _("Lower OPTIONS['MAX_CONNECTIONS'] in CACHES, or the number of processes."),
    "near": _("Lower the number of processes, or do without OPTIONS['NEAR'] in CACHES."),
    "consumer": _("Start fewer workers with a higher --concurrency."),
    "events": _("Start workers with --without-gossip --without-mingle, or set CELERY_TASK_IGNORE_RESULT."),
    "unnamed": _(
        "Set CELERY_TASK_IGNORE_RESULT, lower CELERY_REDIS_MAX_CONNECTIONS, and name the others' connections."
    ),
}
"""How to lower the connections of a role. A role that is not here is the name of somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """
    The connections to a server: how many of each role, and the ``most`` that there may be (0: not known).

    ``roles`` is None where they are not known, for the ``reason`` that is given; without one, this user may not ask.
    """

    roles: Mapping[str, int] | None = None
    most: int = 0
    reason: str = ""

    @property
    def total(self) -> int:
        """How many there are."""
        return sum((self.roles or {}).values())

    @property
    def crowded(self) -> str:
        """The role that has the most, if there are nearly as many as there may be; else nothing."""
        if not self.roles or not self.most or self.total < CROWDED * self.most:
            return ""
        return max(self.roles, key=lambda role: (self.roles or {})[role])


def count_connections(server: Server) -> Roster:
    """Count the connections to a server, the largest role first: one round trip."""
    try:
        listed, most = run(clients(), server)
    except CacheUnavailableError as error:
        return Roster(reason="" if error.answered else error.reason)
    if listed is None:
        return Roster()
    roles = Counter(_role(client, server.options.label) for client in listed)
    return Roster(roles=dict(roles.most_common()), most=most)


def remedy(role: str) -> str:
    """Return how to lower the connections of a role."""
    found = REMEDIES.get(role)
    return str(found) if found else str(_("They are named so by whoever opened them."))


def _role(client: Mapping[str, str], label: str) -> str:
    name = client.get("name", "")
    for role in ("pool", "async", "near"):
        if name.startswith(f"{label}:{role}:"):
            return role
    if name:
        return name.split(":", 1)[0]
    if client.get("sub", "0") != "0" or client.get("psub", "0") != "0" or "subscribe" in client.get("cmd", ""):
        return "events"
    return "consumer" if client.get("cmd") == "brpop" else "unnamed"
