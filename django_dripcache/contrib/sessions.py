"""
A session engine: ``SESSION_ENGINE = "django_dripcache.contrib.sessions"``.

Django's engines over a cache take an outage for a session that is not there. Its middleware then deletes the cookie,
and the user is logged out. This one raises SessionUnavailableError, which SessionOutageMiddleware answers with a 503.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib.sessions.backends.base import VALID_KEY_CHARS, CreateError, UpdateError
from django.http import HttpResponse
from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ..middleware import Middleware
from .engine import CachedStore, SessionUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from ..typing import Flow
    from .engine import Stored

__all__ = ["SessionOutageMiddleware", "SessionStore", "SessionUnavailableError"]

RETRY_AFTER: Final = 5
"""After how many seconds a client may ask again; a process finds out within two that Redis is back."""


class SessionStore(CachedStore):
    """Sessions in Redis alone: while it cannot be used, SessionUnavailableError is raised."""

    def load(self) -> dict[str, Any]:
        """Return the data of the session; without such a session, forget its key, as Django's engines do."""
        return self._loaded(self.sessions.run(self._reading(), None))

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        return self._loaded(await self.sessions.arun(self._reading(), None))

    def create(self) -> None:
        """Store the session under a new key."""
        while True:
            self._session_key = get_random_string(32, VALID_KEY_CHARS)
            with suppress(CreateError):
                self.save(must_create=True)
                self.modified = True
                return

    async def acreate(self) -> None:
        """See create()."""
        while True:
            self._session_key = get_random_string(32, VALID_KEY_CHARS)
            with suppress(CreateError):
                await self.asave(must_create=True)
                self.modified = True
                return

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's signature
        """
        Store the session.

        Raises CreateError if it must be a new one and is not, and UpdateError if it was ended meanwhile.
        """
        if self.session_key is None:
            self.create()
        else:
            self.sessions.run(self._saving(self._get_session(no_load=must_create), must_create), None)

    async def asave(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002
        """See save()."""
        if self.session_key is None:
            await self.acreate()
        else:
            data = await self._aget_session(no_load=must_create)
            await self.sessions.arun(self._saving(data, must_create), None)

    @sensitive_variables()
    def exists(self, session_key: str | None) -> bool:
        """Return whether there is such a session."""
        return bool(session_key) and self.sessions.run(self.sessions.reading(str(session_key)), None) is not None

    @sensitive_variables()
    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        return bool(session_key) and await self.sessions.arun(self.sessions.reading(str(session_key)), None) is not None

    @sensitive_variables()
    def delete(self, session_key: str | None = None) -> None:
        """End a session, by default this one. What could not be ended ends when Redis is back."""
        if key := session_key or self.session_key:
            self.sessions.delete(key)

    @sensitive_variables()
    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        if key := session_key or self.session_key:
            await self.sessions.adelete(key)

    @classmethod
    def clear_expired(cls) -> None:
        """Do nothing: they expire by themselves."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """See clear_expired()."""

    def _reading(self) -> Flow[Stored | None]:
        return None if self.session_key is None else (yield from self.sessions.reading(self.session_key))

    def _loaded(self, stored: Stored | None) -> dict[str, Any]:
        if stored is None:
            self._session_key = None
            return {}
        return self._learn(stored)

    def _saving(self, data: dict[str, Any], must_create: bool) -> Flow[None]:  # noqa: FBT001
        done = yield from self._writing(data, "NX" if must_create else "XX")
        if not done:
            raise CreateError if must_create else UpdateError


class SessionOutageMiddleware(Middleware):
    """
    Answer a request whose session cannot be known now with a 503, and leave its cookies alone.

    It stands before SessionMiddleware. Override ``unavailable()`` for another answer.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer a request."""
        if self.is_async:
            return self.__acall__(request)
        return self._checked(request, cast("HttpResponseBase", self.get_response(request)))

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        return self._checked(request, await self.get_response(request))  # type: ignore[misc]

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Answer for a view that asked for the session."""
        return self.unavailable(request) if isinstance(exception, SessionUnavailableError) else None

    def unavailable(self, request: HttpRequest) -> HttpResponseBase:  # noqa: ARG002 - for those who override it
        """Return the answer."""
        text = _(
            "This page needs your session, which cannot be read just now. You are still logged in. Try again soon."
        )
        headers = {"Retry-After": str(RETRY_AFTER), "Cache-Control": "no-store"}
        return HttpResponse(text, status=503, content_type="text/plain; charset=utf-8", headers=headers)

    def _checked(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        # What is raised outside of a view, as where SessionMiddleware saves the session, comes to here as a 500.
        failed = getattr(getattr(getattr(request, "session", None), "sessions", None), "failed", False)
        return self.unavailable(request) if failed and response.status_code == 500 else response  # noqa: PLR2004
