"""The types that the signatures of this package name."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .eviction import Ticket
    from .flight import Flights
    from .journal import Journal

T = TypeVar("T")

Seconds: TypeAlias = int | float | timedelta
"""A length of time: a number of seconds, or a timedelta."""

Reply: TypeAlias = Any
"""What Redis answers to one command: bytes, int, None or a list of these."""

Loader: TypeAlias = Callable[[], Any]
"""A callable without arguments that computes a value; in the async verbs it may be a coroutine function."""

Flow: TypeAlias = Generator[Any, Any, T]
"""Cache logic as a generator: it yields steps (see ``flows.steps``), is sent their replies, and returns its result."""

Opened: TypeAlias = tuple[Callable[[Any], Any], Any]
"""A value that was verified: a function, and what to call it with for a copy of the value."""

OnOutage: TypeAlias = Literal["fallback", "raise"]
"""What a verb does while Redis cannot be used: its stated fallback, or CacheUnavailableError."""


class NearCache(Protocol):
    """What a process keeps of what it has read; see the module near."""

    def get(self, name: bytes) -> Any:
        """Return the entry of a name, which has a ``value``, or None."""
        ...

    def begin(self, name: bytes) -> Ticket | None:
        """Return a ticket for a read that is about to begin; None for a name that is not near."""
        ...

    def begin_many(self, names: Sequence[bytes]) -> list[Ticket | None]:
        """Return the tickets for a read of many names."""
        ...

    def fill(self, ticket: Ticket, value: Any, ttl_ms: int | None) -> None:
        """Keep what was read with a ticket."""

    def forget(self, *names: bytes) -> None:
        """Forget names."""

    def clear(self) -> None:
        """Forget everything."""


class Call(Protocol):
    """One exchange with a server, over by ``deadline`` (of ``time.monotonic()``)."""

    @property
    def deadline(self) -> float:
        """When it has to be over."""
        ...


class Link(Protocol):
    """What a driver needs of a server."""

    journal: Journal
    flights: Flights
    max_value_bytes: int | None

    @property
    def near(self) -> NearCache | None:
        """What the process keeps of what it has read, or None."""

    @property
    def pool(self) -> Any:
        """The blocking pool of this process."""

    async def async_pool(self) -> Any:
        """Return the pool of the running event loop."""

    def finish(self) -> None:
        """End what a thread of ours has opened on the way, such as connections to databases."""

    def call(self) -> AbstractContextManager[Call]:
        """
        Return what an exchange happens in.

        It raises CacheUnavailableError if the server is not to be asked now, and for what goes wrong with it.
        """
        ...

    def distrust(self, reason: str) -> None:
        """Do not let the server be asked until what is noted for it is made good, in the background."""

    def refused(self, code: str, reason: str) -> None:
        """Note that the server answered, but will not serve; or that we will not ask it for this."""


class Codec(Protocol):
    """
    Turns values into the bytes that Redis stores and back.

    ``discards`` is whether what it cannot decode is of no use to anyone else either.
    """

    discards: bool

    def encode(self, value: Any, key: bytes) -> bytes:
        """Return the bytes to store under ``key``."""
        ...

    def decode(self, raw: bytes, key: bytes) -> Any:
        """Return the value, or ``MISS`` for bytes that are not one of ours."""

    def open(self, raw: bytes, key: bytes) -> Opened | None:
        """Return what ``revive()`` makes the value of, as often as it is asked to; None where decode() is a miss."""

    def revive(self, opened: Opened) -> Any:
        """Return the value, or ``MISS`` if it does not fit."""
