"""The catalogue in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from airports.models import Airport, Country, Preference, Visit

if TYPE_CHECKING:
    from django.http import HttpRequest


@admin.register(Country)
class CountryAdmin(admin.ModelAdmin):
    """Countries by name and code."""

    list_display = ("name", "code")
    search_fields = ("name", "code")


@admin.register(Airport)
class AirportAdmin(admin.ModelAdmin):
    """Airports, those that people look at first."""

    list_display = ("code", "iata", "name", "city", "country", "visits")
    list_select_related = ("country",)
    search_fields = ("=code", "=iata", "name", "city")
    ordering = ("-visits", "code")
    autocomplete_fields = ("country",)
    readonly_fields = ("visits",)


@admin.register(Visit)
class VisitAdmin(admin.ModelAdmin):
    """Visits, to look at: Celery writes them."""

    list_display = ("at", "airport", "id")
    list_select_related = ("airport",)
    date_hierarchy = "at"

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Nobody adds a visit by hand."""
        return False

    def has_change_permission(self, _request: HttpRequest, _visit: Visit | None = None) -> bool:
        """Nobody changes one."""
        return False


@admin.register(Preference)
class PreferenceAdmin(admin.ModelAdmin):
    """Preferences by user, to look at: a change here would go past the cache."""

    list_display = ("user", "units", "theme")
    list_select_related = ("user",)

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Users make their own."""
        return False

    def has_change_permission(self, _request: HttpRequest, _preference: Preference | None = None) -> bool:
        """Users change their own."""
        return False
