"""
Taking a lock or a place in a funnel, and giving it back.

A holder is known by its owner, a token that nobody else has: what is released or extended is its own, or nothing. Who
cannot know whether it was given the lock, since the reply was lost or the call interrupted, gives it back at once if
the server can be reached; else its ttl ends it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from ..exceptions import CacheUnavailableError
from .steps import Command, Refused, Script, Sleep

if TYPE_CHECKING:
    from ..typing import Flow

PAUSES: Final = (0.01, 0.25)
"""Who waits asks again after at most the first, and each time after up to twice as long, but for the last, in seconds.
Each pause is at random in its upper half: those who wait do not come in step."""

_RANDOM: Final = SystemRandom()
"""Of the system, since forked processes would share the numbers of one that was seeded."""

_YES: Final = (1, b"OK")


class Claim:
    """An owner's claim to a key. Each verb is one round trip, but for waiting, and tells whether it is the owner's."""

    def __init__(self, key: bytes, owner: bytes) -> None:
        self.key = key
        self.owner = owner

    def acquire(self, ttl: int, wait: float) -> Flow[bool]:
        """Take what is claimed for ``ttl`` milliseconds, within ``wait`` seconds."""
        deadline = time.monotonic() + wait
        pause, longest = PAUSES
        while True:
            if (yield from self._attempt(ttl)):
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            yield Sleep(min(left, _RANDOM.uniform(pause / 2, pause)))
            pause = min(pause * 2, longest)

    def release(self) -> Flow[bool]:
        """Give it back."""
        return _agreed(self._giving_back())

    def extend(self, ttl: int) -> Flow[bool]:
        """Keep it for ``ttl`` milliseconds from now."""
        return _agreed(self._keeping(ttl))

    def owned(self) -> Flow[bool]:
        """Tell, and change nothing."""
        raise NotImplementedError

    def _attempt(self, ttl: int) -> Flow[bool]:
        try:
            return (yield from _agreed(self._taking(ttl)))
        except GeneratorExit:
            raise  # the flow was abandoned, and nobody would take a step of it
        except BaseException:
            with suppress(CacheUnavailableError, Refused):
                yield self._giving_back()
            raise

    def _taking(self, ttl: int) -> Command | Script:
        raise NotImplementedError

    def _giving_back(self) -> Script:
        raise NotImplementedError

    def _keeping(self, ttl: int) -> Script:
        raise NotImplementedError


class LockClaim(Claim):
    """A claim to a key that one owner may have: the token of the owner is its value."""

    def owned(self) -> Flow[bool]:
        """Tell whether it is the owner's."""
        return _agreed(Command("GET", self.key), self.owner)

    def _taking(self, ttl: int) -> Command:
        return Command("SET", self.key, self.owner, "NX", "PX", ttl)

    def _giving_back(self) -> Script:
        return Script("lock_release", [self.key], self.owner)

    def _keeping(self, ttl: int) -> Script:
        return Script("lock_extend", [self.key], self.owner, ttl)


class PlaceClaim(Claim):
    """A claim to one of ``limit`` places: the key is a sorted set of owners by when their time is over."""

    def __init__(self, key: bytes, owner: bytes, limit: int) -> None:
        super().__init__(key, owner)
        self.limit = limit

    def owned(self) -> Flow[bool]:
        """Tell whether the owner has a place."""
        return _agreed(Script("funnel_owned", [self.key], self.owner))

    def _taking(self, ttl: int) -> Script:
        return Script("funnel_acquire", [self.key], self.owner, self.limit, ttl)

    def _giving_back(self) -> Script:
        return Script("funnel_release", [self.key], self.owner)

    def _keeping(self, ttl: int) -> Script:
        return Script("funnel_extend", [self.key], self.owner, ttl)


def _agreed(step: Command | Script, *yes: object) -> Flow[bool]:
    """Return whether Redis agrees; it does not where the key is of another type."""
    try:
        return (yield step) in (yes or _YES)
    except Refused:
        return False
