"""
A session engine in which nobody misses Redis: ``SESSION_ENGINE = "django_dripcache.contrib.sessions_db"``.

Sessions are in the database, as Django's own engine ``db`` has them. Redis has copies, which are read instead; while it
cannot be used, the database is read.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db import router
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from ..exceptions import CacheUnavailableError
from ..flows import sessions
from ..flows.steps import Load
from ..services.base import get_user_id
from .engine import CachedStore, EngineSessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.sessions.base_session import AbstractBaseSession

    from ..typing import Flow, Loader

CHUNK: Final = 500
"""How many rows are deleted by one statement."""


class CopiedSessions(EngineSessions):
    """
    The copies of sessions, and with them the rows.

    They are apart from the sessions of a SessionCache: to end a copy alone would end nothing.
    """

    area: ClassVar[str] = "sessions.db"
    # Who read a row before it was deleted cannot store a copy of it after that.
    bar: ClassVar[int] = 60_000
    strict: ClassVar[bool] = False

    model: type[AbstractBaseSession]

    @sensitive_variables()
    def delete_for_user(self, user: object, *, keep: str | None = None) -> int:
        """
        End all sessions of a user but the one whose key is ``keep``, and return how many.

        Whose a session is stands in its data alone, so it looks at every row that has not expired.
        """
        ended = self._delete_rows(user, lambda key: key != keep)
        super().delete_for_user(user, keep=keep)
        return ended

    async def adelete_for_user(self, user: object, *, keep: str | None = None) -> int:
        """See delete_for_user()."""
        return await sync_to_async(self.delete_for_user)(user, keep=keep)

    @sensitive_variables()
    def delete_by_digest(self, user: object, digest: str) -> bool:
        """See delete_for_user(), and SessionCache.delete_by_digest()."""
        place = self._place
        ended = self._delete_rows(user, lambda key: digest in map(place.handle, self._names_of(key)))
        return super().delete_by_digest(user, digest) or ended > 0

    async def adelete_by_digest(self, user: object, digest: str) -> bool:
        """See delete_by_digest()."""
        return await sync_to_async(self.delete_by_digest)(user, digest)

    @sensitive_variables()
    def _delete_rows(self, user: object, wanted: Callable[[str], bool]) -> int:
        owner, rows = get_user_id(user), self.model._default_manager.using(router.db_for_write(self.model))
        keys = [
            row.session_key
            for row in rows.filter(expire_date__gt=timezone.now()).iterator()
            if wanted(row.session_key) and str(row.get_decoded().get(SESSION_KEY, "")) == owner
        ]
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start : start + CHUNK]
            rows.filter(session_key__in=chunk).delete()
            self.run(sessions.end(self._place, [name for key in chunk for name in self._names_of(key)]), 0)
        return len(keys)


class SessionStore(CachedStore, DatabaseStore):
    """Sessions in the database, with copies in Redis."""

    sessions_class: ClassVar[type[EngineSessions]] = CopiedSessions
    sessions: CopiedSessions

    # Django's own, which its stubs do not have.
    _get_session_from_db: Loader
    _aget_session_from_db: Loader

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self.sessions.model = self.model

    def load(self) -> dict[str, Any]:
        """Return the data of the session: of the copy, or else of the row, which is then copied."""
        return self.sessions.run(self._loading(self._get_session_from_db), {})

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        return await self.sessions.arun(self._loading(self._aget_session_from_db), {})

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's signature
        """Store the session in the database, then its copy."""
        if self.session_key is None:
            self.create()
        else:
            super().save(must_create)
            self.sessions.run(self._writing(self._get_session()), fallback=False)

    async def asave(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002
        """See save()."""
        if self.session_key is None:
            await self.acreate()
        else:
            await super().asave(must_create)
            await self.sessions.arun(self._writing(await self._aget_session()), fallback=False)

    @sensitive_variables()
    def delete(self, session_key: str | None = None) -> None:
        """End a session, by default this one, in the database and then its copy."""
        if key := session_key or self.session_key:
            super().delete(key)
            self.sessions.delete(key)

    @sensitive_variables()
    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        if key := session_key or self.session_key:
            await super().adelete(key)
            await self.sessions.adelete(key)

    def _loading(self, fetch: Loader) -> Flow[dict[str, Any]]:
        key, stored = self.session_key, None
        if key is None:
            return {}
        with suppress(CacheUnavailableError):
            stored = yield from self.sessions.reading(key)
        if stored is not None:
            return self._learn(stored)
        row = yield Load(fetch)
        if row is None:
            return {}
        data = self.decode(row.session_data)
        with suppress(CacheUnavailableError):
            yield from self._writing(data, "NX", row)
        return data
