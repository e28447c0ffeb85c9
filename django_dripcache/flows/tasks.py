"""Whose a task is, of those with the same arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .steps import Script

if TYPE_CHECKING:
    from ..typing import Flow


def claim(key: bytes, owner: bytes, ttl: int) -> Flow[bytes]:
    """Let a key be an owner's for ``ttl`` milliseconds, unless it is another's; return whose it is: one round trip."""
    return bytes((yield Script("task_claim", [key], owner, ttl)))


def release(key: bytes, owner: bytes) -> Flow[bool]:
    """Give up what is an owner's, and return whether it was: one round trip."""
    return bool((yield Script("lock_release", [key], owner)))
