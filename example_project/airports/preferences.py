"""
A user's preferences: written through to the cache.

They are read on every page and written once a month: so whoever writes them puts the new value into the database and
the cache, and readers hardly ever ask the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.functional import SimpleLazyObject

from airports.models import Preference
from django_dripcache import user_cache

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
    from django.http import HttpRequest

KEY = "preferences"
TTL = 24 * 3600


@dataclass(frozen=True)
class Preferences:
    """What a visitor sees unless they chose otherwise."""

    units: str = Preference.Units.KILOMETRES.value
    theme: str = Preference.Theme.AUTO.value


def load(user: AbstractBaseUser | AnonymousUser) -> Preferences:
    """Return a user's preferences: from the cache, else from the database, else the defaults."""
    if not user.is_authenticated:
        return Preferences()

    def look_up() -> Preferences:
        row = Preference.objects.filter(user=user).values("units", "theme").first()
        return Preferences(**row) if row else Preferences()

    found: Preferences = user_cache.get_or_set(user, KEY, look_up, ttl=TTL, type=Preferences)
    return found


def save(user: AbstractBaseUser, preferences: Preferences) -> None:
    """Write a user's preferences to the database, then to the cache."""
    values = {"units": preferences.units, "theme": preferences.theme}
    Preference.objects.update_or_create(user=user, defaults=values)
    user_cache.set(user, KEY, preferences, ttl=TTL)


def context(request: HttpRequest) -> dict[str, Any]:
    """Give the templates ``preferences``; they are looked up when a page first uses them."""
    return {"preferences": SimpleLazyObject(lambda: load(request.user))}
