"""
Time that has passed for what is in Redis, though it has not.

Every name loses that much of its life. And the clock that scripts read is that much ahead: the ends of sessions, places
of funnels and the like are moments that scripts compare with it. What this process remembers for a while ages as well.
"""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from .. import limiter, tally
from ..flows import scan
from ..flows.steps import Command, Pipeline, Script, source
from ..services import flags

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ..typing import Flow

REMEMBERING: Final = (flags, limiter, tally)
"""The modules that remember something until a moment of ``time.monotonic()``, for longer than a call."""

_PAGE: Final = 500
_READS: Final = re.compile(rb"redis\.call\(\s*['\"]TIME['\"]\s*\)")
_AHEAD: Final = b"""
local function ahead()
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2] + %d
  return {string.format('%%.0f', math.floor(now / 1000000)), string.format('%%.0f', now %% 1000000)}
end
"""


class Clock:
    """The clock of a test: ``ahead`` of the others by so many milliseconds, once it was set forward."""

    def __init__(self) -> None:
        self.ahead = 0
        self._patches = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._patches.close()

    def forward(self, milliseconds: int) -> None:
        """Set it forward."""
        if self.ahead == 0 < milliseconds:
            self._patches.enter_context(patch.object(Script, "eval", property(self._eval)))
            self._patches.enter_context(patch.object(Script, "evalsha", property(self._evalsha)))
            for module in REMEMBERING:
                self._patches.enter_context(patch.object(module, "time", _Time(self)))
        self.ahead += milliseconds

    def script(self, name: str) -> bytes:
        """Return the text of a script that reads this clock."""
        return _AHEAD % (self.ahead * 1000) + _READS.sub(b"ahead()", source(name))

    def _eval(self, script: Script) -> Command:
        return Command("EVAL", self.script(script.name), len(script.keys), *script.keys, *script.args)

    def _evalsha(self, script: Script) -> Command:
        digest = sha1(self.script(script.name), usedforsecurity=False).hexdigest()
        return Command("EVALSHA", digest, len(script.keys), *script.keys, *script.args)


class _Time:
    """The module ``time``, to those that remember."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def monotonic(self) -> float:
        return time.monotonic() + self._clock.ahead / 1000

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def age(pattern: bytes, milliseconds: int) -> Flow[None]:
    """Take ``milliseconds`` from the life of every name that matches ``pattern``; what has no more left is removed."""
    names = sorted((yield from find(pattern)))
    for start in range(0, len(names), _PAGE):
        page = names[start : start + _PAGE]
        lives = yield Pipeline([Command("PTTL", name) for name in page])
        aged = [
            Command("PEXPIRE", name, life - milliseconds) for name, life in zip(page, lives, strict=True) if life >= 0
        ]
        if aged:
            yield Pipeline(aged)


def find(pattern: bytes) -> Flow[set[bytes]]:
    """Return the names that match ``pattern``."""
    cursor, found = yield from scan.page(0, pattern)
    names = set(found)
    while cursor:
        cursor, found = yield from scan.page(cursor, pattern)
        names.update(found)
    return names
