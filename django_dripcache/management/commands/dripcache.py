"""``manage.py dripcache``: look at the cache, and at what it shares with Celery; and put right what is there."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, no_translations

from ...exceptions import CacheUnavailableError, ConfigurationError, InvalidKeyError
from ...outage import on_outage
from .. import benchmark, clear, delete, doctor, flags, get, health, keys, limits, monitor, sessions, stats, warm
from ..console import BROKEN, Console, add_json

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

SUBCOMMANDS: dict[str, Any] = {
    "stats": stats,
    "health": health,
    "doctor": doctor,
    "keys": keys,
    "get": get,
    "delete": delete,
    "clear": clear,
    "warm": warm,
    "flags": flags,
    "limits": limits,
    "sessions": sessions,
    "monitor": monitor,
    "benchmark": benchmark,
}
"""
By its name the module of each subcommand.

A module has ``add_arguments(parser)``, and ``report(**options)``, which returns what to print and the exit code; or
``run(console, **options)``, which prints by itself and returns the exit code.
"""


class Command(BaseCommand):
    """Runs one subcommand, and ends with its exit code: 0 if all is well."""

    help = "Look at the cache, and at what it shares with Celery."
    requires_system_checks: Any = []  # noqa: RUF012 - Django's own attribute; the doctor reports what they find

    def add_arguments(self, parser: CommandParser) -> None:
        """Add a parser for each subcommand."""
        parsers = parser.add_subparsers(dest="subcommand", required=True, metavar="subcommand")
        for name, module in SUBCOMMANDS.items():
            text = (module.__doc__ or "").strip()
            found = parsers.add_parser(name, help=text, description=text)
            module.add_arguments(found)
            add_json(found)

    @no_translations  # as its own texts are, so are those that it shares with the pages
    def handle(self, *, subcommand: str, **options: Any) -> None:
        """Run a subcommand."""
        console = Console(self.stdout, self.stderr, as_json=options.pop("json", False))
        module = SUBCOMMANDS[subcommand]
        try:
            if hasattr(module, "report"):
                data, lines, code = module.report(**options)
                console.tell(data, lines)
            else:
                with on_outage("raise"):
                    code = module.run(console, **options)
        except (ConfigurationError, InvalidKeyError, CacheUnavailableError) as error:
            raise CommandError(str(error), returncode=BROKEN) from error
        except BrokenPipeError:  # as with "| head": nobody reads on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        if code:
            raise SystemExit(code)
