"""
Sessions: what is stored under a session's id, and a user's sessions together.

A session is a hash. One of a user holds while the user's index, a sorted set of digests by when they expire, has it. So
a user's sessions end at once with that one key, also when it is removed by the journal, and none comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..codecs import JSON
from ..exceptions import CacheUnavailableError
from .journalled import journalled
from .steps import Encode, Refused, Script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..keys import Keyspace
    from ..typing import Codec, Flow

MAX_SESSIONS: Final = 1000
"""How many sessions a user may have: with one more, the one that would expire first ends."""

UNCHANGED: Final = "~"
"""Stands for what is to stay as it was; no user and no JSON is written like this."""

_GET_PARTS: Final = 5


@dataclass(frozen=True, slots=True)
class Place:
    """
    The names of sessions and of users' indexes.

    For ``bar`` milliseconds after its end, a session cannot be written again; 0 is no such time. ``codec`` is that of
    what is known of a client. It is bound to the area and not to a session: a session that is found by an older key is
    stored under another name, and what is known of its client goes with it as it is.
    """

    sessions: Keyspace
    users: Keyspace
    bar: int = 0
    codec: Codec = JSON

    def handle(self, name: bytes) -> str:
        """Return the part of a session's name that tells it from others."""
        return name[len(self.sessions.raw) :].decode()

    def user(self, index: bytes) -> str:
        """Return the part of an index' name that tells it from others."""
        return index[len(self.users.raw) :].decode()

    def known(self, raw: bytes) -> dict[str, Any] | None:
        """Return what is known of a client, or None for what is nothing of ours."""
        found = self.codec.decode(raw, self.sessions.raw)
        return found if isinstance(found, dict) else None

    def telling(self, about: Mapping[str, Any] | None) -> Flow[bytes | str | None]:
        """Return what is known of a client as it is stored, or None if that is too large."""
        return UNCHANGED if about is None else (yield Encode(self.codec, dict(about), self.sessions.raw))

    def one(self, names: Sequence[bytes], verb: str, *args: str | bytes | int) -> Script:
        """Return the step that does something with the session that has one of ``names``."""
        return Script("session_one", list(names), self.sessions.raw, self.users.raw, verb, *args)

    def all(self, index: bytes, verb: str, *args: str | bytes | int) -> Script:
        """Return the step that does something with all sessions of an index."""
        return Script("session_all", [index], self.sessions.raw, verb, *args)


class Found(NamedTuple):
    """A session as it is stored: under which of its names, and for how many milliseconds it has not been used."""

    place: int
    raw: bytes
    idle: int
    user: bytes
    about: bytes


def read(place: Place, names: Sequence[bytes]) -> Flow[Found | None]:
    """Return the session that has one of ``names``, or None: one round trip that writes nothing."""
    reply = yield place.one(names, "get")
    if reply is None:
        return None
    if not isinstance(reply, list) or len(reply) != _GET_PARTS or reply[0] not in range(1, len(names) + 1):
        raise _misshapen(reply)
    return Found(reply[0] - 1, *reply[1:])


def write(
    place: Place,
    names: Sequence[bytes],
    codec: Codec,
    data: Any,
    ttl: int,
    *,
    user: str | None = None,
    about: Mapping[str, Any] | None = None,
    only: str = "",
    noted: bool = True,
) -> Flow[bool | None]:
    """
    Store a session under the first of ``names`` for ``ttl`` milliseconds: one round trip.

    ``user`` is ``""`` for nobody; None leaves it as it was, and so does an ``about`` of None. ``only`` is ``"NX"`` for
    a new session and ``"XX"`` for one that is there. A ttl of 0 is over at once. If it fails it is journalled, unless
    ``noted`` is False. Returns whether it was done; None for data that is too large, with which nothing is.
    """
    raw = yield Encode(codec, data, names[0])
    known = yield from place.telling(about)
    if raw is None or known is None:
        return None
    if ttl > 0:
        step = place.one(names, "set", only, raw, ttl, UNCHANGED if user is None else user, known, MAX_SESSIONS)
        flow = _asked(step)
    elif only == "NX":
        return (yield from read(place, names)) is None
    else:
        flow = _end(place, names)
    done = yield from (journalled(flow, names) if noted and only != "NX" else flow)
    return bool(done) or (ttl == 0 and only == "")


def touch(
    place: Place, names: Sequence[bytes], ttl: int | str | None = None, about: Mapping[str, Any] | None = None
) -> Flow[bool]:
    """
    Note that a session was used, and return whether it is there: one round trip.

    ``ttl`` is its milliseconds from now; UNCHANGED begins those anew that it was stored for, None lets them run on.
    """
    if ttl == 0:
        return bool((yield from end(place, names)))
    known = yield from place.telling(about)
    if known is None:
        return False
    return bool((yield from _asked(place.one(names, "touch", "" if ttl is None else ttl, known))))


def end(place: Place, names: Sequence[bytes], owner: str = UNCHANGED) -> Flow[int]:
    """End the sessions ``names``, or those of them that are the ``owner``'s, and return how many: one round trip."""
    return journalled(_end(place, names, owner), names)


def _end(place: Place, names: Sequence[bytes], owner: str = UNCHANGED) -> Flow[int]:
    return _asked(place.one(names, "end", place.bar, owner))


def list_all(place: Place, index: bytes) -> Flow[list[Any]]:
    """Return what is known of the sessions of an index, a list of five for each: one round trip."""
    reply = yield place.all(index, "list", place.user(index))
    if not isinstance(reply, list):
        raise _misshapen(reply)
    return reply


def end_all(place: Place, index: bytes, keep: Sequence[bytes] = ()) -> Flow[int]:
    """
    End all sessions of an index but ``keep``, and return how many: one round trip.

    What the journal makes good of it is to remove the index: that ends those to keep as well.
    """
    return journalled(_asked(place.all(index, "end", place.bar, *map(place.handle, keep))), [index])


def _asked(step: Script) -> Flow[int]:
    try:
        reply = yield step
    except Refused:
        return 0  # for a length of time that is none, in a session that somebody else wrote
    if not isinstance(reply, int):
        raise _misshapen(reply)
    return reply


def _misshapen(reply: object) -> CacheUnavailableError:
    return CacheUnavailableError(f"Redis answered with {type(reply).__name__} of another shape than sessions have")
