"""Where the caches are that the pages are about, and whether they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.core.cache import DEFAULT_CACHE_ALIAS
from django.utils.translation import gettext as _

from .._drive import run
from ..backend import configured_aliases, get_alias_server
from ..exceptions import CacheUnavailableError, ConfigurationError
from ..flows.server import ping

if TYPE_CHECKING:
    from ..server import Server

SECONDS: Final = 0.6
"""What the cache may cost one page: while nothing answers, the page is there within a second."""


@dataclass(frozen=True, slots=True)
class Place:
    """An alias of CACHES, and its server; ``trouble`` is why it cannot be used now, or nothing."""

    alias: str
    server: Server | None
    trouble: str = ""

    @property
    def answers(self) -> bool:
        """Whether it can be used now."""
        return not self.trouble

    def check(self) -> None:
        """Raise CacheUnavailableError if it does not answer any more: then nobody knows what was done."""
        if self.server is not None and not run(ping(), self.server):
            raise CacheUnavailableError(self.server.trouble)


def find_places() -> list[Place]:
    """Return all aliases that DripCache serves, that of ``default`` first; each server is asked once."""
    answers: dict[Server, bool] = {}
    found = []
    for alias in sorted(configured_aliases(), key=lambda alias: alias != DEFAULT_CACHE_ALIAS):
        try:
            server = get_alias_server(alias)
        except ConfigurationError as error:
            found.append(Place(alias, None, str(error)))
            continue
        if server not in answers:
            answers[server] = run(ping(), server)
        told = _("Redis does not answer. The site runs without its cache until it does.")
        found.append(Place(alias, server, "" if answers[server] else told))
    return found
