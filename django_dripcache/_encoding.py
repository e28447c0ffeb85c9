"""How a driver makes values bytes: within the bound of the site, and in a thread where a value asks its database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from .counts import COUNTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .flows.steps import Encode, EncodeMany
    from .typing import Link

T = TypeVar("T")

TOO_LARGE: Final = "TOOLARGE"
"""The code of what is refused by ourselves, for its size."""


def encode(step: Encode, link: Link) -> bytes | None:
    """Return the bytes of a value, or None if they are too many."""
    return _bounded(step.key, step.codec.encode(step.value, step.key), link)


def encode_many(step: EncodeMany, link: Link) -> list[bytes | None]:
    """Return the bytes of values, in their order. See encode()."""
    make = step.codec.encode
    raws = [make(value, key) for key, value in step.entries.items()]  # all of them, before any is counted
    return [_bounded(key, raw, link) for key, raw in zip(step.entries, raws, strict=True)]


def _asynchronous(work: Callable[[Any, Link], T]) -> Callable[[Any, Link], Awaitable[T]]:
    async def inline(step: Any, link: Link) -> T:
        try:
            return work(step, link)
        except SynchronousOnlyOperation:
            return await sync_to_async(work)(step, link)

    return inline


aencode: Final = _asynchronous(encode)
aencode_many: Final = _asynchronous(encode_many)


def _bounded(key: bytes, raw: bytes, link: Link) -> bytes | None:
    if link.max_value_bytes is None or len(raw) <= link.max_value_bytes:
        COUNTS.stored(key, len(raw))
        return raw
    link.refused(TOO_LARGE, f"a value of {len(raw)} bytes is over MAX_VALUE_BYTES")
    return None
