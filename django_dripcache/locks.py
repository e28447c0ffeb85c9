"""
Locks and funnels: what one of all the site's processes may do at a time, or so many of them.

A holder has an owner token and a bounded time. It gives back what is its own, and never another's.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ._drive import arun, run
from .backend import get_alias_client
from .exceptions import CacheUnavailableError, LockTimeoutError
from .flows.locks import LockClaim, PlaceClaim
from .keys import Keyspace, area
from .outage import Degrading
from .policy import MAX_TTL, to_milliseconds, to_seconds

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

    from typing_extensions import Self

    from .flows.locks import Claim
    from .namespace import Namespace
    from .redis_client import DripClient
    from .typing import Flow, Link, Seconds

T = TypeVar("T")

logger = logging.getLogger("django_dripcache")


class Hold(Degrading):
    """
    What Lock and Funnel have in common: a name, a time, an owner, and the verbs.

    An object is for one holder. It may be used with ``with`` and ``async with``, again and again.
    """

    _area: ClassVar[str]
    _taken: ClassVar[str]

    def __init__(
        self, manager: Namespace, name: str, ttl: Seconds, *, wait: Seconds = 0, owner: str | None = None
    ) -> None:
        Keyspace("").name(name)  # what is no name is told here, not when it is first used
        self.name = name
        self._manager = manager
        self._ttl = _check_ttl(ttl)
        self._wait = _check_wait(wait)
        self._owner = secrets.token_hex(16) if owner is None else _check_owner(owner)
        self._used = self._held = self._given = owner is not None

    def __repr__(self) -> str:
        return f"<{self._label}>"

    @property
    def owner(self) -> str:
        """
        The token by which the holder is known; each ``acquire()`` but the first makes a new one.

        Another process that is given it can hold, extend and release in its place.
        """
        return self._owner

    @property
    def raises(self) -> bool:
        """Whether a verb raises CacheUnavailableError now: as its manager does."""
        return self._manager.raises

    # Verbs

    def acquire(self, wait: Seconds | None = None) -> bool:
        """
        Take it, within ``wait`` seconds (by default its own ``wait``), and return whether it was taken.

        Raises RuntimeError for one that this object holds already.
        """
        return self._run(self._acquiring(wait), fallback=False)

    async def aacquire(self, wait: Seconds | None = None) -> bool:
        """See acquire()."""
        return await self._arun(self._acquiring(wait), fallback=False)

    def release(self) -> bool:
        """Give it back and return whether it still was this owner's; another's is left alone."""
        return self._run(self._releasing(), fallback=False)

    async def arelease(self) -> bool:
        """See release(). It is done even if the task is cancelled meanwhile."""
        return await _to_the_end(self._arun(self._releasing(), fallback=False))

    def extend(self, ttl: Seconds | None = None) -> bool:
        """Keep it for ``ttl`` from now (by default its own ``ttl``), if it still is this owner's; return whether."""
        return self._run(self._extending(ttl), fallback=False)

    async def aextend(self, ttl: Seconds | None = None) -> bool:
        """See extend()."""
        return await self._arun(self._extending(ttl), fallback=False)

    def owned(self) -> bool:
        """Return whether it is this owner's now."""
        return self._run(self._claim.owned(), fallback=False)

    async def aowned(self) -> bool:
        """See owned()."""
        return await self._arun(self._claim.owned(), fallback=False)

    # Blocks

    def __enter__(self) -> Self:
        held = self._held
        try:
            entered = run(self._entering(), self._link())
        except BaseException:
            if self._held and not held:  # interrupted just after it was taken: the block will not give it back
                with suppress(CacheUnavailableError):
                    self.release()
            raise
        return entered

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._held:
            run(self._leaving(failed=error is not None), self._link())

    async def __aenter__(self) -> Self:
        return await arun(self._entering(), self._link())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._held:
            await _to_the_end(arun(self._leaving(failed=error is not None), self._link()))

    # Flows

    def _acquiring(self, wait: Seconds | None) -> Flow[bool]:
        seconds = self._wait if wait is None else _check_wait(wait)
        if self._held:
            message = f"{self!r} is held by this very object, and would wait for itself. Each holder makes its own."
            raise RuntimeError(message)
        if self._used:  # nothing that is still under way for the last owner may touch what this one takes
            self._owner = secrets.token_hex(16)
        self._used = self._held = True
        taken = False
        try:
            taken = yield from self._claim.acquire(self._ttl, seconds)
        finally:
            self._held = taken
        return taken

    def _releasing(self) -> Flow[bool]:
        self._held = self._given = False
        return (yield from self._claim.release())

    def _extending(self, ttl: Seconds | None) -> Flow[bool]:
        return self._claim.extend(self._ttl if ttl is None else _check_ttl(ttl))

    def _entering(self) -> Flow[Self]:
        reason, cause = self._taken, None
        try:
            if self._given:
                self._given = self._held = False
                self._held = taken = yield from self._extending(None)
                reason = "it is not this owner's any more"
            else:
                taken = yield from self._acquiring(None)
        except CacheUnavailableError as error:
            if self.raises:
                raise
            taken, reason, cause = False, str(error), error
        if not taken:
            message = f"{self._label} could not be acquired within {self._wait:g} seconds: {reason}"
            raise LockTimeoutError(message, name=self.name, wait=self._wait) from cause
        return self

    def _leaving(self, *, failed: bool) -> Flow[None]:
        try:
            if not (yield from self._releasing()):
                logger.warning("%s was over before the work that it was for.", self._label)
        except CacheUnavailableError:
            if self.raises and not failed:  # what the block raised is not to be hidden by this
                raise

    @property
    def _claim(self) -> Claim:
        raise NotImplementedError

    # Names

    @property
    def _label(self) -> str:
        return f"{type(self).__name__} {self.name[:100]!r}"

    @property
    def _client(self) -> DripClient:
        return get_alias_client(self._manager.alias, repr(self))

    def _link(self, client: Any = None) -> Link:  # noqa: ARG002 - it has the server of its manager
        return self._client.server

    @property
    def _key(self) -> bytes:
        keyspace = area(self._client.root, self._area, self._manager.namespace)
        return keyspace.name(self._manager.prefix + self.name)

    @property
    def _token(self) -> bytes:
        return self._owner.encode("utf-8", "surrogatepass")


class Lock(Hold):
    """
    What one holder may have at a time.

    ``ttl`` is how long it may be held, in seconds or a timedelta: it then ends by itself. ``wait`` is how long
    ``acquire()`` and ``with`` wait for it, by default not at all. ``owner`` is that of a lock which is held already:
    this object is then its holder. A lock is not re-entrant.

    ``with`` raises LockTimeoutError if it cannot be acquired. While Redis cannot be used, it cannot be, and every verb
    answers False; with ``"raise"`` that is a CacheUnavailableError.
    """

    _area = "k"
    _taken = "another holds it"

    @property
    def _claim(self) -> Claim:
        return LockClaim(self._key, self._token)


class Funnel(Hold):
    """What ``limit`` holders may have at a time, each for at most ``ttl``. For all else see Lock."""

    _area = "kf"
    _taken = "all places are taken"

    def __init__(
        self, manager: Namespace, name: str, limit: int, ttl: Seconds, *, wait: Seconds = 0, owner: str | None = None
    ) -> None:
        super().__init__(manager, name, ttl, wait=wait, owner=owner)
        if type(limit) is not int or limit < 1:
            message = f"limit is {limit!r}. Allowed is a number of holders from 1 up."
            raise ValueError(message)
        self.limit = limit

    @property
    def _claim(self) -> Claim:
        return PlaceClaim(self._key, self._token, self.limit)


def _check_owner(owner: object) -> str:
    if not isinstance(owner, str):
        message = f"owner is of type {type(owner).__name__}. Allowed is the owner of another lock, a str, or None."
        raise TypeError(message)
    return owner


def _check_ttl(ttl: Seconds) -> int:
    milliseconds = to_milliseconds(ttl)
    if not milliseconds:
        message = f"ttl is {ttl!r}. Allowed is more than 0 seconds."
        raise ValueError(message)
    return milliseconds


def _check_wait(wait: Seconds) -> float:
    seconds = to_seconds(wait)
    if not isinstance(seconds, (int, float)) or not seconds >= 0:
        message = f"wait is {wait!r}. Allowed is a number of seconds from 0 up, or a timedelta."
        raise ValueError(message)
    return min(seconds, MAX_TTL)


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do what is to be done, however often this task is cancelled meanwhile: it then is when that is done."""
    task, cancelled = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        return task.result()
    finally:
        if cancelled is not None:
            raise cancelled
