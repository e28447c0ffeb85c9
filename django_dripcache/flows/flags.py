"""Feature flags: one key for each, and a sorted set of their names, the index."""

from __future__ import annotations

import contextlib
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..exceptions import CacheUnavailableError
from .journalled import journalled
from .steps import Command, Pipeline, Refused, Script

if TYPE_CHECKING:
    from ..eviction import Ticket
    from ..typing import Flow, NearCache
    from .steps import Step

MAX_FLAGS: Final = 1000
"""How many flags there may be, so that all of them are one answer of a bounded size."""

NO_END: Final = -1
"""What stands for the time left of a flag that never ends."""

AS_BEFORE: Final = -3
"""What stands for the time left of a flag that is near: it was told when the flag was read."""

_ON, _OFF = b"1", b"0"


class State(NamedTuple):
    """What a flag is, and the milliseconds that it has left."""

    enabled: bool
    left: int


def get(key: bytes, near: NearCache | None = None) -> Flow[State | None]:
    """
    Return the state of a flag, None for no flag: one round trip, and none for what is near.

    What is no state is no flag, and is removed if it is still there then.
    """
    entry = None if near is None else near.get(key)
    if entry is not None:
        return None if entry.value is None else State(entry.value, AS_BEFORE)
    ticket = None if near is None else near.begin(key)
    raw, left = yield Pipeline([Command("GET", key), Command("PTTL", key)])
    state = State(raw == _ON, left) if raw in (_ON, _OFF) else None
    if near is not None and ticket is not None:
        _keep(state, ticket, near)
    if state is not None:
        return state
    if isinstance(raw, bytes):
        with contextlib.suppress(CacheUnavailableError, Refused):
            yield Script("discard", [key], sha1(raw, usedforsecurity=False).hexdigest())
    return None


def _keep(state: State | None, ticket: Ticket, near: NearCache) -> None:
    if state is None:
        near.fill(ticket, None, None)
    else:
        near.fill(ticket, state.enabled, None if state.left == NO_END else max(state.left, 0))


def set(key: bytes, index: bytes, prefix: bytes, state: State) -> Flow[bool]:  # noqa: A001 - the verb
    """
    Set a flag and return whether there was room for it: one round trip. Nothing left of it is its end.

    ``prefix`` is what the keys of flags begin with; what follows are the names in ``index``.
    """
    if state.left == 0:
        yield from delete(key, index, prefix)
        return True
    raw = _ON if state.enabled else _OFF
    return bool((yield from _write(Script("flag_set", [key, index], prefix, raw, state.left, MAX_FLAGS), key)))


def delete(key: bytes, index: bytes, prefix: bytes) -> Flow[bool]:
    """Remove a flag and return whether it was there: one round trip."""
    # In this order, one that is set in between is not left without its name.
    steps = Pipeline([Command("ZREM", index, key[len(prefix) :]), Command("UNLINK", key)])
    return bool((yield from _write(steps, key))[1])


def _write(step: Step, key: bytes) -> Flow[Any]:
    """Run a step that writes one flag; if it fails, that flag alone is to be removed."""

    def flow() -> Flow[Any]:
        return (yield step)

    return (yield from journalled(flow(), [key]))


def all(index: bytes, prefix: bytes) -> Flow[dict[bytes, State]]:  # noqa: A001 - the verb
    """Return the states of all flags by their keys: one round trip."""
    try:
        found = yield Script("flag_all", [index], prefix, MAX_FLAGS)
        parts = zip(found[::3], found[1::3], found[2::3], strict=True)
        return {prefix + name: State(raw == _ON, int(left)) for name, raw, left in parts}
    except Refused:
        return {}  # the index is of another type, until a flag is set
    except (TypeError, ValueError) as error:
        message = "it answered something else than flags"
        raise CacheUnavailableError(message, answered=True) from error
