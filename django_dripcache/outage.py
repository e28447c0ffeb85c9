"""What a verb does while Redis cannot be used: answer with its fallback, or raise."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from ._drive import arun, run
from .conf import check_on_outage
from .exceptions import CacheUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .typing import Flow, Link, OnOutage

T = TypeVar("T")

_asked: ContextVar[OnOutage | None] = ContextVar("dripcache_on_outage", default=None)


@contextmanager
def on_outage(choice: OnOutage) -> Iterator[None]:
    """
    Let the calls within a block raise CacheUnavailableError, or answer with their fallbacks, whatever else was set.

    ``choice`` is ``"raise"`` or ``"fallback"``. It holds for this thread or task, and for every alias and manager.
    """
    check_on_outage("on_outage(...)", choice)
    token = _asked.set(choice)
    try:
        yield
    finally:
        _asked.reset(token)


class Degrading:
    """One who runs flows; ``_raising`` is whether they raise where a block does not say otherwise."""

    _raising: bool

    @property
    def raises(self) -> bool:
        """Whether a verb raises CacheUnavailableError now, or answers with its fallback."""
        asked = _asked.get()
        return self._raising if asked is None else asked == "raise"

    def _link(self, client: Any = None) -> Link:
        """Return what flows run over: a server, or a client that the caller brought along."""
        raise NotImplementedError

    def _run(self, flow: Flow[T], fallback: T, client: Any = None) -> T:
        try:
            return run(flow, self._link(client))
        except CacheUnavailableError:
            if self.raises:
                raise
            return fallback

    async def _arun(self, flow: Flow[T], fallback: T) -> T:
        try:
            return await arun(flow, self._link())
        except CacheUnavailableError:
            if self.raises:
                raise
            return fallback
