"""Feature flags: switches of the site that all its processes see, and remember for a while without Redis."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakKeyDictionary

from .._drive import arun, run
from ..exceptions import CacheUnavailableError, InvalidKeyError
from ..flows import flags as flows
from ..flows.flags import AS_BEFORE, MAX_FLAGS, NO_END, State
from ..keys import escape
from ..policy import to_milliseconds
from .base import Service
from .batches import FlagBatch

if TYPE_CHECKING:
    from ..keys import Keyspace
    from ..server import Server
    from ..typing import Flow, Seconds

MAX_NAME: Final = 200
"""The most characters that the name of a flag may have."""

BELIEVED: Final = 300.0
"""How long, in seconds, a flag is what it was last known to be while Redis cannot be used."""

_NOTHING: Final = (None, 0.0, 0.0)


class _Known:
    """What a flag was last known to be, until when that is to be believed, and when the flag ends."""

    __slots__ = ("last",)

    def __init__(self, state: State | None = None) -> None:
        self.last: tuple[bool | None, float, float] = _NOTHING
        self.learn(state)

    def learn(self, state: State | None) -> None:
        """Remember a state, or that there is none."""
        if state is None:
            self.last = _NOTHING
        else:
            now, end = time.monotonic(), self.last[2]
            if state.left != AS_BEFORE:
                end = inf if state.left == NO_END else now + state.left / 1000
            self.last = state.enabled, min(now + BELIEVED, end), end

    def recall(self) -> bool | None:
        """Return what the flag was, or None for what is not known any more."""
        enabled, until, _ = self.last
        return enabled if until > time.monotonic() else None


class _Memory:
    """
    What this process last knew of the flags of one server, by their keys.

    A read fetches the place that it will write to before it asks, and a write puts a new place there when it is done.
    So what was read before a write is not remembered after it. This needs no lock.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, _Known] = {}

    def place(self, key: bytes) -> _Known:
        """Return where to write what is read of a flag."""
        found = self._places.get(key)
        if found is None:
            found = self._places.setdefault(key, _Known())
            self._trim()
        return found

    def places(self) -> dict[bytes, _Known]:
        """Return the places that there are now."""
        return self._places.copy()

    def replace(self, key: bytes, state: State | None) -> None:
        """Remember what a write left; None if nobody knows."""
        self._places[key] = _Known(state)
        self._trim()

    def add(self, key: bytes, state: State) -> None:
        """Remember a flag of which nothing was known, if that is still so."""
        self._places.setdefault(key, _Known(state))
        self._trim()

    def _trim(self) -> None:
        if len(self._places) > 2 * MAX_FLAGS:
            by_end = sorted(self.places().items(), key=lambda item: item[1].last[1])
            for key, _ in by_end[:-MAX_FLAGS]:
                self._places.pop(key, None)


_memories: WeakKeyDictionary[Server, _Memory] = WeakKeyDictionary()


class FeatureFlags(Service):
    """
    Feature flags of the site, each on or off, by a name of 1 to 200 characters; at most 1,000 of them.

    While Redis cannot be used, a flag is for 5 minutes what this process last knew of it, and then the default. With
    ``on_outage="raise"`` that is a CacheUnavailableError. A name of another length or type raises InvalidKeyError.
    """

    area: ClassVar[str] = "flags"

    def get(self, name: str, default: bool = False) -> bool:  # noqa: FBT001, FBT002 - as dict.get()
        """Return whether a flag is on, or ``default`` for one that is not set: at most one round trip."""
        return run(self._get(name, default), self._link())

    async def aget(self, name: str, default: bool = False) -> bool:  # noqa: FBT001, FBT002
        """See get()."""
        return await arun(self._get(name, default), self._link())

    def set(self, name: str, enabled: bool, ttl: Seconds | None = None) -> bool:  # noqa: FBT001 - the value
        """
        Set a flag for ``ttl``, by default ``DRIPCACHE["FOREVER_TTL"]``, and return whether that was done.

        After its ttl it is not set any more. A ttl of zero or less is over at once. Raises TypeError for ``enabled``
        that is no bool, and InvalidKeyError for a flag more than there may be.
        """
        return self._run(self._set(name, enabled, ttl), fallback=False)

    async def aset(self, name: str, enabled: bool, ttl: Seconds | None = None) -> bool:  # noqa: FBT001
        """See set()."""
        return await self._arun(self._set(name, enabled, ttl), fallback=False)

    def delete(self, name: str) -> bool:
        """Remove a flag, which then is the default, and return whether it was set."""
        return self._run(self._delete(name), fallback=False)

    async def adelete(self, name: str) -> bool:
        """See delete()."""
        return await self._arun(self._delete(name), fallback=False)

    def all(self) -> dict[str, bool]:
        """Return all flags that are set, by name: one round trip."""
        return run(self._all(), self._link())

    async def aall(self) -> dict[str, bool]:
        """See all()."""
        return await arun(self._all(), self._link())

    def batch(self) -> FlagBatch:
        """Return a block whose reads go in one round trip: ``with flags.batch() as batch``. See Batch."""
        return FlagBatch(self)

    # Flows

    def _get(self, name: str, default: bool, *, strict: bool | None = None) -> Flow[bool]:  # noqa: FBT001
        key, memory = self._key(name), self._memory
        place = memory.place(key)
        try:
            state = yield from flows.get(key, self._near)
        except CacheUnavailableError:
            if self.raises if strict is None else strict:
                raise
            enabled = memory.place(key).recall()
        else:
            place.learn(state)
            enabled = None if state is None else state.enabled
        return default if enabled is None else enabled

    def _set(self, name: str, enabled: Any, ttl: Seconds | None) -> Flow[bool]:
        key = self._key(name)
        if not isinstance(enabled, bool):
            message = f"A flag is set to {enabled!r} ({type(enabled).__name__}). Allowed are True and False."
            raise TypeError(message)
        left = self._client.forever if ttl is None else to_milliseconds(ttl)
        state = State(enabled, NO_END if left is None else left)
        done = yield from self._remembered(key, flows.set(key, *self._where, state), state)
        if not done:
            message = (
                f"The flag {name[:40]!r} would be one more than the {MAX_FLAGS:,} that are allowed. "
                "Delete flags that are not used any more."
            )
            raise InvalidKeyError(message, key=name)
        return done

    def _delete(self, name: str) -> Flow[bool]:
        key = self._key(name)
        return self._remembered(key, flows.delete(key, *self._where), None)

    def _all(self) -> Flow[dict[str, bool]]:
        space, memory = self._names(), self._memory
        places = memory.places()
        try:
            states = yield from flows.all(*self._where)
        except CacheUnavailableError:
            if self.raises:
                raise
            ours = {key: place.recall() for key, place in memory.places().items() if key.startswith(space.raw)}
            return _by_name(space, {key: enabled for key, enabled in ours.items() if enabled is not None})
        journal = self._client.server.journal
        if journal.dirty:  # and Redis refuses to remove what it has
            states = {key: state for key, state in states.items() if not journal.covers([key])}
        for key, state in states.items():
            if key in places:
                places[key].learn(state)
            else:
                memory.add(key, state)
        return _by_name(space, {key: state.enabled for key, state in states.items()})

    def _remembered(self, key: bytes, write: Flow[bool], state: State | None) -> Flow[bool]:
        """Run a write, and remember what it did; if it fails or is interrupted, nothing is known of the flag."""
        known = None
        try:
            done = yield from write
            known = state if done else None
        finally:
            self._memory.replace(key, known)
        return done

    # Names

    @property
    def _memory(self) -> _Memory:
        server = self._client.server
        return _memories.get(server) or _memories.setdefault(server, _Memory())

    @property
    def _where(self) -> tuple[bytes, bytes]:
        return self._names("index").raw, self._names().raw

    def _key(self, name: Any) -> bytes:
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
            given = f"{name[:20]!r} of {len(name)} characters" if isinstance(name, str) else repr(name)
            message = f"The name of a flag is {given} ({type(name).__name__}). Allowed is a str of 1 to {MAX_NAME}."
            raise InvalidKeyError(message, key=name)
        # Not Keyspace.name(): all() needs the whole name, and a digest at the end of a long one would not give it back.
        return self._names().raw + escape(name).encode()


def _by_name(space: Keyspace, flags: dict[bytes, bool]) -> dict[str, bool]:
    return dict(sorted((space.key(key), enabled) for key, enabled in flags.items()))


flags = FeatureFlags()
"""The flags of the alias ``default``; it may be imported before settings are ready."""
