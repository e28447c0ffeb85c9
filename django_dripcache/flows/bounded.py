"""Holding a namespace to a number of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..exceptions import CacheUnavailableError
from .steps import Refused, Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..typing import Flow

T = TypeVar("T")


def bounded(flow: Flow[T], index: bytes, max_keys: int, names: Sequence[bytes]) -> Flow[T]:
    """
    Run a flow that writes or removes ``names``, then see to it that no more than ``max_keys`` are left.

    ``index`` is a sorted set of the namespace's keys by when they expire. Above the bound, those that would expire
    soonest are removed: one round trip more than the flow's own.
    """
    result = yield from flow
    try:
        yield Script("bound", [index], max_keys, *names)
    except (CacheUnavailableError, Refused):
        return result  # the write has been done, and the next one holds the bound
    return result
