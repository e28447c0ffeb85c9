"""
A user's preferences: written through to the cache.

They are read on every page and written once a month: so whoever writes them puts the new value into the database and
the cache, and readers hardly ever ask the database. The client has a prefix of its own, so that no other part of the
site can meet these keys by accident.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.functional import SimpleLazyObject

from airports.models import Preference
from django_dripcache import CacheClient, CacheManager

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
    from django.http import HttpRequest

TTL = 24 * 3600

store = CacheClient(CacheManager("default"), prefix="prefs")


@dataclass(frozen=True)
class Preferences:
    """What a visitor sees unless they chose otherwise."""

    units: str = Preference.Units.KILOMETRES.value
    theme: str = Preference.Theme.AUTO.value


def load(user: AbstractBaseUser | AnonymousUser) -> Preferences:
    """Return a user's preferences: from the cache, else from the database, else the defaults."""
    if not user.is_authenticated:
        return Preferences()
    found: Preferences | None = store.get_json(str(user.pk), type=Preferences)
    if found is None:
        row = Preference.objects.filter(user=user).values("units", "theme").first()
        found = Preferences(**row) if row else Preferences()
        store.set_json(str(user.pk), found, ttl=TTL)
    return found


def save(user: AbstractBaseUser, preferences: Preferences) -> None:
    """Write a user's preferences to the database, then to the cache."""
    values = {"units": preferences.units, "theme": preferences.theme}
    Preference.objects.update_or_create(user=user, defaults=values)
    store.set_json(str(user.pk), preferences, ttl=TTL)


def context(request: HttpRequest) -> dict[str, Any]:
    """Give the templates ``preferences``; they are looked up when a page first uses them."""
    return {"preferences": SimpleLazyObject(lambda: load(request.user))}
