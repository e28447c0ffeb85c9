"""
What both session engines have: sessions as texts in Redis, and what is remembered of the client.

Both find their sessions by the key in the cookie, keep them in the form of Django's ``encode()``, and enter them for
the user that Django's ``login()`` names in them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeVar

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase

from ..exceptions import CacheUnavailableError, SerializationError
from ..flows import sessions
from ..policy import to_milliseconds
from ..services.sessions import SessionCache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest

    from ..typing import Flow

T = TypeVar("T")

NOTED_EVERY: Final = 60_000
"""After how many milliseconds it is noted again that a session is used."""

AGENT_CHARACTERS: Final = 200


class SessionUnavailableError(CacheUnavailableError):
    """It cannot be known now whether there is a session, or what is in it; or it could not be written."""


class Stored(NamedTuple):
    """A session as an engine finds it: its text, since when it is not used in milliseconds, and what is remembered."""

    text: str
    idle: int
    about: dict[str, Any] | None


class EngineSessions(SessionCache):
    """
    The sessions of an engine, as texts: those of a SessionCache of the same alias, so that both list and end them.

    What an outage means is the engine's to say, not a setting's: SessionUnavailableError where ``strict`` is True.
    """

    strict: ClassVar[bool] = True
    failed = False

    @property
    def raises(self) -> bool:
        """See Degrading.raises."""
        return self.strict

    def reading(self, session_key: str) -> Flow[Stored | None]:
        """Return the session of a key, or None."""
        names = self._names_of(session_key)
        found = yield from self._find(names)
        text = None if found is None else self._codec.decode(found.raw, names[found.place])
        if found is None or not isinstance(text, str):
            return None
        return Stored(text, found.idle, self._place.known(found.about))

    def writing(
        self, session_key: str, text: str, ttl: int, user: str, about: dict[str, Any] | None, only: str = ""
    ) -> Flow[bool]:
        """Store a session, and return whether that was done. See flows.sessions.write()."""
        place, names = self._place, self._names_of(session_key)
        owner = place.user(self._index(user)) if user else ""
        # Where the client is told that it failed, what is there stays, and is as good as before.
        noted = not self.strict
        done = yield from sessions.write(
            place, names, self._codec, text, ttl, user=owner, about=about, only=only, noted=noted
        )
        if done is None:
            if self.strict:
                message = "The session is larger than DRIPCACHE['MAX_VALUE_BYTES'] allows."
                raise SerializationError(message, kind="dict")
            yield from sessions.end(place, names)
        return bool(done)

    def noting(self, session_key: str, about: dict[str, Any] | None) -> Flow[bool]:
        """Note that a session is used, and by whom; its life goes on as it was."""
        return sessions.touch(self._place, self._names_of(session_key), about=about)

    def run(self, flow: Flow[T], fallback: T) -> T:
        """Run a flow as this engine does it."""
        try:
            return super()._run(flow, fallback)
        except CacheUnavailableError as error:
            raise self._unavailable(error) from error

    async def arun(self, flow: Flow[T], fallback: T) -> T:
        """See run()."""
        try:
            return await super()._arun(flow, fallback)
        except CacheUnavailableError as error:
            raise self._unavailable(error) from error

    def _run(self, flow: Flow[T], fallback: T, client: Any = None) -> T:  # noqa: ARG002 - see Service._link()
        return self.run(flow, fallback)

    async def _arun(self, flow: Flow[T], fallback: T) -> T:
        return await self.arun(flow, fallback)

    def _unavailable(self, error: CacheUnavailableError) -> SessionUnavailableError:
        self.failed = True
        return SessionUnavailableError(error.reason, error.answered)


class CachedStore(SessionBase):
    """
    What both engines have.

    ``sessions`` is what lists and ends the sessions of a user: see SessionCache.
    """

    sessions_class: ClassVar[type[EngineSessions]] = EngineSessions

    # Django's own, which its stubs do not have.
    _get_session: Callable[..., dict[str, Any]]
    _aget_session: Callable[..., Awaitable[dict[str, Any]]]

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self.sessions = self.sessions_class(settings.SESSION_CACHE_ALIAS)
        self._about: dict[str, Any] | None = None
        self._idle = NOTED_EVERY

    def remember(self, request: HttpRequest) -> None:
        """
        Keep the client's address and agent for the list of a user's sessions, and that the session is used.

        That is written where the client is another one, else once a minute, and only for a session of a user. No
        outage raises anything here.
        """
        with suppress(SessionUnavailableError):
            if self._is_news(request, self._get_session()):
                self.sessions.run(self.sessions.noting(str(self.session_key), self._about), fallback=False)

    async def aremember(self, request: HttpRequest) -> None:
        """See remember()."""
        with suppress(SessionUnavailableError):
            if self._is_news(request, await self._aget_session()):
                await self.sessions.arun(self.sessions.noting(str(self.session_key), self._about), fallback=False)

    def _is_news(self, request: HttpRequest, data: dict[str, Any]) -> bool:
        agent = request.META.get("HTTP_USER_AGENT", "")[:AGENT_CHARACTERS]
        about = {"address": request.META.get("REMOTE_ADDR", ""), "agent": agent}
        due = self._idle >= NOTED_EVERY or self._about != about
        self._about, self._idle = about, 0
        return due and self.session_key is not None and SESSION_KEY in data

    def _learn(self, stored: Stored) -> dict[str, Any]:
        self._about, self._idle = stored.about, stored.idle
        return self.decode(stored.text)

    def _writing(self, data: dict[str, Any], only: str = "", row: Any = None) -> Flow[bool]:
        user = str(data.get(SESSION_KEY, ""))
        expiry = data.get("_session_expiry") if row is None else row.expire_date
        text = self.encode(data) if row is None else row.session_data
        about, self._idle = self._about if user else None, 0
        ttl = to_milliseconds(self.get_expiry_age(expiry=expiry))
        return self.sessions.writing(str(self.session_key), text, ttl, user, about, only)
