"""``manage.py dripcache``: look at the cache, and at what it shares with Celery."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from ...exceptions import ConfigurationError
from .. import doctor, health

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

SUBCOMMANDS = {"doctor": doctor, "health": health}


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
            found.add_argument("--json", action="store_true", help="Print JSON.")
            module.add_arguments(found)

    def handle(self, *, subcommand: str, **options: Any) -> None:
        """Run a subcommand."""
        as_json = options.pop("json")
        try:
            report, lines, code = SUBCOMMANDS[subcommand].report(**options)
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=2) from error
        self.stdout.write(json.dumps(report, indent=2) if as_json else "\n".join(lines))
        if code:
            raise SystemExit(code)
