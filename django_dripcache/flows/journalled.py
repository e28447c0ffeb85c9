"""Keeping what could not be written, for when Redis is back."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from .steps import Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..typing import Flow

T = TypeVar("T")


def journalled(flow: Flow[T], names: Sequence[bytes] = (), patterns: Sequence[bytes] = ()) -> Flow[T]:
    """
    Run a flow that writes or removes ``names`` or ``patterns``; if it fails, note them.

    It may fail before or after the server has done as told: what was to be replaced is then removed later, which is
    right in both cases.
    """
    try:
        return (yield from flow)
    except GeneratorExit:
        raise  # the flow was abandoned, and nobody would take a step of it
    except BaseException:
        yield Note(names, patterns)
        raise
