"""What somebody is about to do, for the page that asks whether they are sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class NotDoneError(Exception):
    """What was asked for was not done; the message tells why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    One act: what is asked before, and what is done then.

    ``subject`` is what it is about and ``entry`` what was done, both for the admin's log: no secrets in there.
    ``do`` does it, and returns what to tell; it raises NotDoneError, or CacheUnavailableError. ``notes`` are what to
    know before. Where there is ``typed``, it has to be typed to confirm. ``harmless`` is what takes nothing away.
    """

    subject: str
    entry: str
    question: str
    button: str
    do: Callable[[], str]
    notes: tuple[str, ...] = ()
    typed: str = ""
    harmless: bool = False
