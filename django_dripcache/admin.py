"""The admin's page of live figures: is the cache there, how full is its Redis, and is that Redis safe to share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.cache import caches
from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _

from .backend import configured_aliases
from .checks import check_server
from .exceptions import ConfigurationError
from .models import Overview

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest
    from django.urls import URLPattern

FULL_AT = 90
"""From this percentage of its memory limit on, a server is shown as full."""


@admin.register(Overview)
class OverviewAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """One page, to look at. It sends no command that changes anything."""

    def get_urls(self) -> list[URLPattern]:
        """Return the one address there is."""
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="django_dripcache_overview_changelist")]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """There is nothing to add."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """There is nothing to change."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """There is nothing to delete."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the figures. Asks for the permission ``django_dripcache.view_overview``."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        reports = list(_reports())
        available = reports and all(report["stats"] is not None and report["stats"].available for report in reports)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Cache overview"),
            "opts": self.model._meta,
            "reports": reports,
            "findings": check_server() if available else [],
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/django_dripcache/overview.html", context)


def _reports() -> Iterator[dict[str, Any]]:
    for alias in configured_aliases():
        try:
            cache: Any = caches[alias]
            yield {"alias": alias, "broker": cache.client.server.broker, **_figures(cache.get_stats())}
        except ConfigurationError as error:
            yield {"alias": alias, "stats": None, "error": str(error)}


def _figures(stats: Any) -> dict[str, Any]:
    used = round(100 * stats.memory_used / stats.memory_max) if stats.memory_max else None
    return {"stats": stats, "memory_percent": used, "full": used is not None and used >= FULL_AT}
