"""Sessions: where a user is logged in, and to end one of them, or all."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext_lazy

from ..contrib.engine import CachedStore
from ..exceptions import CacheUnavailableError
from ..services.sessions import SessionCache
from .plan import NotDoneError, Plan
from .screen import Screen
from .units import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from .place import Place


class SessionsScreen(Screen):
    """
    The sessions of a user, who is found by name or id.

    They are those of the session engine, if it is this package's, else those of ``session_cache``.
    """

    name = "sessions"
    title = pgettext_lazy("of users", "Sessions")
    acts: ClassVar[Mapping[str, str]] = {"logout": "change", "logout_all": "change"}

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:
        """Return the sessions of the user that was asked for."""
        asked = request.GET.get("user", "").strip()
        engine = _get_engine(place)
        found = []
        if asked and place.answers:
            cache = engine or SessionCache(place.alias)
            current = request.session.session_key if engine else None
            found = [
                {"id": key, "user": user, "sessions": _list(cache, key, current)} for key, user in find_users(asked)
            ]
        return {"asked": asked, "found": found, "engine": engine is not None}

    def plan_logout(self, request: HttpRequest, place: Place) -> Plan:
        """End one session."""
        key, digest = request.POST.get("user", ""), request.POST.get("digest", "")
        cache, told = _get_cache(place), {"user": shown(_get_name(key))}
        if not key or not digest:
            message = _("It was not said which session of which user to end.")
            raise ValueError(message)

        def end() -> str:
            if not cache.delete_by_digest(key, digest):
                raise NotDoneError(_("This session of %(user)s has ended before.") % told)
            return _("The session of %(user)s has ended.") % told

        return Plan(
            subject=_("sessions of %(user)s") % told,
            entry=_("Ended one session."),
            question=_("End this session of %(user)s?") % told,
            button=_("Log out"),
            do=end,
            notes=(_("Whoever uses it has to log in again; what is only in the session is lost."),),
        )

    def plan_logout_all(self, request: HttpRequest, place: Place) -> Plan:
        """End all sessions of a user."""
        key = request.POST.get("user", "")
        cache, told = _get_cache(place), {"user": shown(_get_name(key))}
        if not key:
            message = _("It was not said whose sessions to end.")
            raise ValueError(message)
        notes = [_("Whoever uses them has to log in again; what is only in the sessions is lost.")]
        if key == str(request.user.pk) and _get_engine(place):
            notes.append(_("This is you: your session here ends, too."))

        def end() -> str:
            ended = cache.delete_for_user(key)
            if not ended:
                raise NotDoneError(_("%(user)s had no session.") % told)
            return ngettext("%(n)d session of %(user)s has ended.", "%(n)d sessions of %(user)s have ended.", ended) % {
                **told,
                "n": ended,
            }

        return Plan(
            subject=_("sessions of %(user)s") % told,
            entry=_("Ended all sessions."),
            question=_("End all sessions of %(user)s?") % told,
            button=_("Log out everywhere"),
            do=end,
            notes=tuple(notes),
        )


def find_users(asked: str) -> list[tuple[str, Any]]:
    """Return the ids and users of this name or id; an id that no user has is one of itself, without a user."""
    users: Any = get_user_model()._default_manager
    found: dict[str, Any] = {}
    searches = (users.get_by_natural_key, lambda text: users.get(pk=text))
    for search in searches if asked.isprintable() else ():  # PostgreSQL has no text with a NUL
        try:
            user = search(asked)
        except (ObjectDoesNotExist, ValidationError, ValueError, OverflowError):
            continue
        found[str(user.pk)] = user
    return list(found.items()) or [(asked, None)]


def _get_name(key: str) -> str:
    return next((str(user) for found, user in find_users(key) if found == key and user is not None), key)


def _get_engine(place: Place) -> SessionCache | None:
    """Return the sessions of the engine, if it keeps them in this place."""
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore
    ours = issubclass(store, CachedStore) and place.alias == settings.SESSION_CACHE_ALIAS
    return store().sessions if ours else None


def _get_cache(place: Place) -> SessionCache:
    return _get_engine(place) or SessionCache(place.alias)


def _list(cache: SessionCache, key: str, current: str | None) -> list[Any]:
    try:
        return cache.list_for_user(key, current=current)
    except CacheUnavailableError:
        return []  # the page tells of it
