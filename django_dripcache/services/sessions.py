"""Sessions of the site's users: to be listed by user, and to be ended everywhere at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from ..codecs import JSON, MISS
from ..exceptions import CacheUnavailableError, InvalidKeyError
from ..flows import sessions
from ..flows.sessions import UNCHANGED, Found, Place
from ..policy import to_milliseconds
from ..secrecy import digests
from ..signed import SignedJsonCodec
from .base import EncryptableService, get_user_id

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from ..typing import Codec, Flow, Seconds

HANDLE_CHARACTERS: Final = 32
"""How much of a digest names a session: 128 bits, which no two share, and which fit into a form."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """
    What is known of a session, but not its id nor its data.

    ``digest`` is what ``delete_by_digest()`` ends it by. Times are the Redis server's, in UTC. ``about`` is what was
    stored about the client. ``current`` is whether it is the one that ``list_for_user()`` was told.
    """

    digest: str
    created: datetime
    last_used: datetime
    expires: datetime
    about: Mapping[str, Any] = field(default_factory=dict)
    current: bool = False


class SessionCache(EncryptableService):
    """
    Sessions by their ids, over ``alias``; see EncryptableService for the arguments.

    The data of a session is JSON, signed for its id; the id itself is stored as a keyed digest alone. A ``user`` is an
    id, a text or an instance of a model, which stands for its pk. A user has at most 1,000 sessions: with one more, the
    one that would expire first ends. A ttl is seconds or a timedelta, and one of zero or less is over at once.

    While Redis cannot be used, a session is a miss, and what could not be written or ended is False, 0 or ``[]``. It
    ends when Redis is back, so that a session which was to be replaced or ended is not read after the outage.
    """

    area: ClassVar[str] = "sessions"
    bar: ClassVar[int] = 0

    # One session

    @sensitive_variables()
    def set(
        self,
        session_id: str,
        data: Any,
        ttl: Seconds = 86400,
        *,
        user: object = None,
        about: Mapping[str, Any] | None = None,
    ) -> bool:
        """
        Store a session for ``ttl``, by default a day, and return whether that was done.

        ``about`` tells of the client, as ``{"address": ..., "agent": ...}``. A session that is there keeps its user and
        its ``about`` where none is given. Raises InvalidKeyError for an id that is empty or no str, and
        SerializationError for what has no JSON form.
        """
        return self._run(self._set(self._names_of(session_id), data, ttl, user, about), fallback=False)

    @sensitive_variables()
    async def aset(
        self,
        session_id: str,
        data: Any,
        ttl: Seconds = 86400,
        *,
        user: object = None,
        about: Mapping[str, Any] | None = None,
    ) -> bool:
        """See set()."""
        return await self._arun(self._set(self._names_of(session_id), data, ttl, user, about), fallback=False)

    @sensitive_variables()
    def get(self, session_id: str, default: Any = None) -> Any:
        """Return the data of a session, or ``default``; its life goes on as it was."""
        return self._run(self._get(self._names_of(session_id), default), default)

    @sensitive_variables()
    async def aget(self, session_id: str, default: Any = None) -> Any:
        """See get()."""
        return await self._arun(self._get(self._names_of(session_id), default), default)

    @sensitive_variables()
    def touch(self, session_id: str, ttl: Seconds | None = None) -> bool:
        """Begin the life of a session anew, of ``ttl`` or of what it was stored for, and return whether it is there."""
        return self._run(self._touch(self._names_of(session_id), ttl), fallback=False)

    @sensitive_variables()
    async def atouch(self, session_id: str, ttl: Seconds | None = None) -> bool:
        """See touch()."""
        return await self._arun(self._touch(self._names_of(session_id), ttl), fallback=False)

    @sensitive_variables()
    def delete(self, session_id: str) -> bool:
        """End a session, and return whether it was there."""
        return bool(self._run(sessions.end(self._place, self._names_of(session_id)), 0))

    @sensitive_variables()
    async def adelete(self, session_id: str) -> bool:
        """See delete()."""
        return bool(await self._arun(sessions.end(self._place, self._names_of(session_id)), 0))

    # The sessions of a user

    @sensitive_variables()
    def list_for_user(self, user: object, *, current: str | None = None) -> list[SessionInfo]:
        """Return a user's sessions, the last used first; ``current`` is the id of the one to be marked as such."""
        return self._run(self._list(user, self._kept(current)), [])

    @sensitive_variables()
    async def alist_for_user(self, user: object, *, current: str | None = None) -> list[SessionInfo]:
        """See list_for_user()."""
        return await self._arun(self._list(user, self._kept(current)), [])

    @sensitive_variables()
    def delete_for_user(self, user: object, *, keep: str | None = None) -> int:
        """
        End all sessions of a user but the one whose id is ``keep``, and return how many.

        0 may mean that Redis cannot be used: they then end when it is back, the one to keep as well.
        """
        return self._run(sessions.end_all(self._place, self._index(user), self._kept(keep)), 0)

    @sensitive_variables()
    async def adelete_for_user(self, user: object, *, keep: str | None = None) -> int:
        """See delete_for_user()."""
        return await self._arun(sessions.end_all(self._place, self._index(user), self._kept(keep)), 0)

    def delete_by_digest(self, user: object, digest: str) -> bool:
        """End the session of a user that ``list_for_user()`` gave this digest, and return whether it was there."""
        return bool(self._run(self._end_one(user, digest), 0))

    async def adelete_by_digest(self, user: object, digest: str) -> bool:
        """See delete_by_digest()."""
        return bool(await self._arun(self._end_one(user, digest), 0))

    # Names

    @property
    def _place(self) -> Place:
        return Place(self._names(), self._names("users"), self.bar, self._sealed(JSON))

    def _names_of(self, session_id: str) -> Sequence[bytes]:
        if session_id == "":  # PLC1901 would take False for it
            message = "The id of a session is empty. Allowed is a str of one character or more, which nobody can guess."
            raise InvalidKeyError(message)
        names = self._names()
        return [names.name(found[:HANDLE_CHARACTERS]) for found in digests("sessions", session_id)]

    def _kept(self, session_id: str | None) -> Sequence[bytes]:
        return () if session_id is None else self._names_of(session_id)

    def _index(self, user: object) -> bytes:
        return self._names("users").name(get_user_id(user))

    @property
    def _codec(self) -> Codec:
        return self._sealed(get_codec())

    # Flows

    def _set(
        self, names: Sequence[bytes], data: Any, ttl: Seconds, user: object, about: Mapping[str, Any] | None
    ) -> Flow[bool]:
        place, length = self._place, to_milliseconds(ttl)
        owner = None if user is None else place.user(self._index(user))
        done = yield from sessions.write(place, names, self._codec, data, length, user=owner, about=about)
        if done is None:  # it is too large, and the old one is not the one to read from now on
            yield from sessions.end(place, names)
        return bool(done)

    def _get(self, names: Sequence[bytes], default: Any) -> Flow[Any]:
        found = yield from self._find(names)
        value = MISS if found is None else self._codec.decode(found.raw, names[found.place])
        return default if value is MISS else value

    def _find(self, names: Sequence[bytes]) -> Flow[Found | None]:
        found = yield from sessions.read(self._place, names)
        journal = self._client.server.journal
        if found is not None and journal.dirty and journal.covers([self._place.users.raw + found.user]):
            reason = "what could not be ended earlier is still to be ended"
            raise CacheUnavailableError(reason)
        return found

    def _touch(self, names: Sequence[bytes], ttl: Seconds | None) -> Flow[bool]:
        return sessions.touch(self._place, names, UNCHANGED if ttl is None else to_milliseconds(ttl))

    def _list(self, user: object, current: Sequence[bytes]) -> Flow[list[SessionInfo]]:
        place = self._place
        listed = yield from sessions.list_all(place, self._index(user))
        ours = {place.handle(name) for name in current}
        infos = [info for info in (_inform(place, facts, ours) for facts in listed) if info is not None]
        return sorted(infos, key=lambda info: info.last_used, reverse=True)

    def _end_one(self, user: object, digest: str) -> Flow[int]:
        place = self._place
        return sessions.end(place, [place.sessions.name(digest)], place.user(self._index(user)))


def _inform(place: Place, facts: Any, current: Container[str]) -> SessionInfo | None:
    """Return what is known of a session, or None for what somebody else wrote."""
    try:
        digest, *times, about = facts
        created, last_used, expires = (datetime.fromtimestamp(float(time) / 1000, timezone.utc) for time in times)
        handle = digest.decode()
        known = place.known(about)
    except (ArithmeticError, AttributeError, OSError, TypeError, ValueError):
        return None
    return SessionInfo(handle, created, last_used, expires, known or {}, handle in current)


def get_codec() -> Codec:
    """Return the codec of sessions' data: JSON, signed with a key derived from SECRET_KEY or one of its fallbacks."""
    return _make_codec((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=8)
def _make_codec(secrets: tuple[str | bytes, ...]) -> Codec:
    return SignedJsonCodec([secret if isinstance(secret, bytes) else secret.encode() for secret in secrets])


session_cache = SessionCache()
"""The sessions of the alias ``default``; it may be imported before settings are ready."""
