"""When what could not be written is removed: before anything else is asked, by one caller at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .exceptions import CacheUnavailableError
from .flows.steps import Exchange, Pipeline, Script

if TYPE_CHECKING:
    from .typing import Link

_NOT_YET = "what could not be written earlier is still to be removed"


def names(step: Exchange) -> list[Any]:
    """Return what a step may be about: the keys of scripts, and whatever is said to commands."""
    steps = step.steps if isinstance(step, Pipeline) else [step]
    return [name for part in steps for name in (part.keys if isinstance(part, Script) else part.args[1:])]


def may_replay(step: Exchange, link: Link) -> bool:
    """Return whether to remove now what is noted, or raise if that is refused and the step is about it."""
    if not link.journal.rests():
        return True
    if link.journal.covers(names(step)):
        raise CacheUnavailableError(_NOT_YET)
    return False


class Replaying:
    """
    A claim on the journal, by one caller at a time: until it is through, nothing that is read can be trusted.

    Where Redis refuses to remove what is noted, as a read-only one does, other keys may be read all the same.
    """

    def __init__(self, step: Exchange, link: Link) -> None:
        self._step = step
        self._journal = link.journal

    def __enter__(self) -> None:
        if not self._journal.claim():
            raise CacheUnavailableError(_NOT_YET)

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> bool:
        refused = isinstance(error, CacheUnavailableError) and error.answered
        self._journal.settle(rest=refused)
        return refused and not self._journal.covers(names(self._step))
