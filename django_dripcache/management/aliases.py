"""The aliases that a subcommand is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.cache import DEFAULT_CACHE_ALIAS

from .._drive import run
from ..backend import configured_aliases, get_alias_server
from ..exceptions import CacheUnavailableError, ConfigurationError
from ..flows.server import ping

if TYPE_CHECKING:
    from argparse import ArgumentParser


def add_alias(parser: ArgumentParser, *, default: str = "all that DripCache serves") -> None:
    """Add the argument that names an alias."""
    parser.add_argument("--alias", help=f"One alias of CACHES; by default {default}.")


def chosen(alias: str | None) -> list[str]:
    """Return the aliases that are asked for. Raises ConfigurationError if there is none, or no such one."""
    served = list(configured_aliases())
    if alias is not None and alias not in served:
        message = f"--alias={alias} is no alias that DripCache serves. Allowed: {', '.join(served) or 'none'}."
        raise ConfigurationError(message)
    if not served:
        message = "No alias of CACHES is served by django_dripcache.backend.DripCache."
        raise ConfigurationError(message)
    return served if alias is None else [alias]


def reached(alias: str | None) -> str:
    """
    Return the one alias that is asked for, by default ``default`` or else the first, after its server has answered.

    Raises CacheUnavailableError if it does not, and ConfigurationError as chosen().
    """
    names = chosen(alias)
    name = DEFAULT_CACHE_ALIAS if DEFAULT_CACHE_ALIAS in names else names[0]
    server = get_alias_server(name)
    if not run(ping(), server):
        raise CacheUnavailableError(server.trouble or "it does not answer")
    return name
