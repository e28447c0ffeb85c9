"""Batches: reads of different parts of a page, in one round trip."""
# ruff: noqa: SLF001 - a batch has the verbs of its owner, over the owner's flows

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .exceptions import CacheUnavailableError
from .flows import entries, values
from .later import collecting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from typing_extensions import Self

    from .client import CacheClient
    from .later import Later, Reads
    from .namespace import Namespace
    from .outage import Degrading
    from .redis_client import DripClient
    from .typing import Flow

T = TypeVar("T")


class Batch:
    """
    A block in which reads are not sent one by one: ``with`` or ``async with``. Its verbs return a Later each.

    The first value that is asked for sends all reads that are open, in one round trip, and the end of the block sends
    the rest, unless an exception ends it. All batches of a thread or task that are open at the same time are one,
    whatever they read from: it is sent at the end of the outermost, and of each ``async with``. A key that cannot be
    used raises at once; for an outage, each read has its own fallback, or raises when its value is asked for. A verb
    that is called outside of the block raises RuntimeError.
    """

    def __init__(self, owner: Degrading) -> None:
        self._owner = owner
        self._block: AbstractContextManager[Reads] | None = None
        self._reads: Reads | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {'closed' if self._reads is None else 'open'}>"

    def __enter__(self) -> Self:
        if self._block is not None:
            message = "This batch is open already. Begin another one, as in: with cache.batch() as batch."
            raise RuntimeError(message)
        self._block = collecting()
        self._reads = self._block.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        reads = self._leave()
        if error is None and reads.over:
            reads.send()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, at: object) -> None:
        reads = self._leave()
        if error is None:  # also within another: who asks for a value after this must not have to wait for Redis
            await reads.asend()

    def _leave(self) -> Reads:
        block, reads = self._block, self._opened()
        self._block = self._reads = None
        if block is not None:
            block.__exit__(None, None, None)
        return reads

    def _opened(self) -> Reads:
        if self._reads is None:
            message = "This batch is not open. Its reads belong into its block: with cache.batch() as batch."
            raise RuntimeError(message)
        return self._reads

    def _later(self, ask: Callable[[], Flow[T]], fallback: T) -> Later[T]:
        reads, raises = self._opened(), self._owner.raises
        ask()  # what is wrong with a key is told at once

        def flow() -> Flow[T]:
            try:
                return (yield from ask())
            except CacheUnavailableError:
                if raises:
                    raise
                return fallback

        return reads.add(flow, self._owner._link())


class BackendBatch(Batch):
    """Reads of Django's cache, as one. See Batch."""

    _owner: DripClient

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Later[Any]:
        """Read the value of ``key``, or ``default``."""
        return self._later(lambda: self._owner._get(key, default, version), default)

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> Later[dict[Any, Any]]:
        """Read the values that there are, by key."""
        names = {key: self._owner.name(key, version) for key in keys}
        return self._later(lambda: self._owner._get_many(names, version), {})

    def has_key(self, key: Any, version: int | None = None) -> Later[bool]:
        """Read whether the key is there."""
        return self._later(lambda: values.has(self._owner.name(key, version)), fallback=False)


class ManagerBatch(Batch):
    """Reads of a CacheManager, as one. See Batch."""

    _owner: Namespace

    def get(self, key: str, default: Any = None, *, type: Any = None) -> Later[Any]:  # noqa: A002 - the manager's name
        """Read the value of ``key``, or ``default``; with ``type``, a value that does not fit it is a miss."""
        return self._later(lambda: self._owner._get(key, default, self._owner._codec(type)), default)

    def get_many(self, keys: Iterable[str]) -> Later[dict[str, Any]]:
        """Read the values that there are, by key."""
        names = {key: self._owner._name(key) for key in keys}
        return self._later(lambda: self._owner._get_many(names, self._owner._codec()), {})

    def has(self, key: str) -> Later[bool]:
        """Read whether a key is there."""
        return self._later(lambda: entries.has(self._owner._name(key)), fallback=False)


class ClientBatch(ManagerBatch):
    """Reads of a CacheClient, as one. See Batch."""

    _owner: CacheClient  # pyright: ignore[reportIncompatibleVariableOverride] - never another one

    def get_json(self, key: str, default: Any = None, *, type: Any = None) -> Later[Any]:  # noqa: A002
        """Read the value that JSON describes, or ``default``. See CacheClient.get_json()."""
        return self._later(lambda: self._owner._get(key, default, self._owner._json(type)), default)

    def get_many_json(self, keys: Iterable[str], *, type: Any = None) -> Later[dict[str, Any]]:  # noqa: A002
        """Read the values that JSON describes, by key."""
        names = {key: self._owner._name(key) for key in keys}
        return self._later(lambda: self._owner._get_many(names, self._owner._json(type)), {})
