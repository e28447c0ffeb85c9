"""Smaller payloads: Zstandard where it is installed, else zlib; read back with a bound on what they inflate to."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

try:
    import zstandard
except ImportError:
    _zstandard: ModuleType | None = None
else:
    _zstandard = zstandard

PLAIN, ZLIB, ZSTD = 0, 1, 2


_LEVEL = 1
"""Of pickled rows and objects, levels up to 3 make hardly less than this one, which is the fastest of them."""


class _Idle:
    """
    What Zstandard works with, while nobody does: to make one takes longer than to compress a small payload.

    There are as many as were ever at work at once. One whose work failed, or was cut short, does not come back.
    """

    def __init__(self, kind: str, verb: str, **options: Any) -> None:
        self._kind = kind
        self._verb = verb
        self._options = options
        self._idle: list[Any] = []

    def work(self, *args: Any) -> Any:
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = getattr(_zstandard, self._kind)(**self._options)
        done = getattr(worker, self._verb)(*args)
        self._idle.append(worker)
        return done


class TooLargeError(ValueError):
    """A payload would inflate beyond the bound."""


_compressors = _Idle("ZstdCompressor", "compress", level=_LEVEL)
_decompressors = _Idle("ZstdDecompressor", "decompress")


def deflate(payload: bytes) -> tuple[int, bytes]:
    """Return how ``payload`` is smallest, and what it is then: by Zstandard where it is installed, else by zlib."""
    if _zstandard is not None:
        kind, smaller = ZSTD, _compressors.work(payload)
    else:
        kind, smaller = ZLIB, zlib.compress(payload, 3)
    return (kind, smaller) if len(smaller) < len(payload) else (PLAIN, payload)


def inflate(kind: int, payload: bytes, limit: int) -> bytes:
    """
    Return what ``deflate()`` was given, reading no more than ``limit`` bytes of it.

    Raises TooLargeError beyond the limit, and ValueError for what is damaged or of an unknown kind.
    """
    if kind == PLAIN:
        return payload
    if kind == ZLIB:
        reader = zlib.decompressobj()
        try:
            inflated = reader.decompress(payload, limit + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if len(inflated) <= limit and not reader.eof:
            message = "The payload is cut short."
            raise ValueError(message)
    elif kind == ZSTD and _zstandard is not None:
        try:
            size = _zstandard.frame_content_size(payload)
            if size < 0:
                message = "The payload does not declare its size, as ours do."
                raise ValueError(message)
            inflated = b"" if size > limit else _decompressors.work(payload, limit)
        except _zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
        if size > limit:
            message = f"The payload inflates to more than {limit} bytes."
            raise TooLargeError(message)
    else:
        message = f"Compression {kind} is not known here."
        raise ValueError(message)
    if len(inflated) > limit:
        message = f"The payload inflates to more than {limit} bytes."
        raise TooLargeError(message)
    return inflated
