"""List the sessions of a user, or log the user out."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandError

from ..contrib.engine import CachedStore
from ..services.sessions import SessionCache
from .aliases import add_alias, reached
from .console import BROKEN, FOUND, WELL, add_json, add_yes
from .tables import table

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from ..services.sessions import SessionInfo
    from .console import Console

_TIME = "%Y-%m-%d %H:%M"


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    parser.add_argument("--user", help="The id of the user.")
    add_alias(parser, default="'default'")
    acts = parser.add_subparsers(dest="act", metavar="logout")
    ending = acts.add_parser("logout", help="End sessions.", description="End all sessions of a user, or one.")
    ending.add_argument("--user", dest="of", help="The id of the user.")
    ending.add_argument("--digest", help="That of the one session to end, as the list shows it.")
    add_yes(ending)
    add_json(ending)


def run(
    console: Console,
    *,
    act: str | None,
    user: str | None,
    alias: str | None = None,
    of: str | None = None,
    **options: Any,
) -> int:
    """List or end; the exit code is 1 if there are none."""
    who = of or user
    if not who:
        message = "Whose sessions? Add --user with the id of a user."
        raise CommandError(message, returncode=BROKEN)
    sessions = _find(reached(alias))
    if act is None:
        found = sessions.list_for_user(who)
        lines = table(
            ("digest", "created (UTC)", "last used (UTC)", "expires (UTC)", "client"), map(_row, found), left=5
        )
        console.tell([asdict(info) for info in found], lines if found else [f"User {who} has no sessions."])
        return WELL if found else FOUND
    one = options["digest"]
    if not console.confirm(f"End {'this session' if one else 'all sessions'} of user {who}?", yes=options["yes"]):
        return FOUND
    ended = int(sessions.delete_by_digest(who, one)) if one else sessions.delete_for_user(who)
    console.tell({"ended": ended}, [f"{ended:,} sessions of user {who} have ended."])
    return WELL if ended else FOUND


def _find(alias: str) -> SessionCache:
    """Return the sessions of the session engine, if it keeps them under this alias, else those of SessionCache."""
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore
    if issubclass(store, CachedStore) and alias == settings.SESSION_CACHE_ALIAS:
        sessions: SessionCache = store().sessions
        return sessions
    return SessionCache(alias)


def _row(info: SessionInfo) -> list[str]:
    times = [f"{moment:{_TIME}}" for moment in (info.created, info.last_used, info.expires)]
    return [info.digest, *times, ", ".join(map(str, info.about.values()))]
