"""How the pages come into an admin site: below one model without a table, whose permissions they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin
from django.contrib.auth import get_permission_codename

from .clear import ClearScreen
from .connections import ConnectionsScreen
from .doctor import DoctorScreen
from .flags import FlagsScreen
from .groups import GroupsScreen
from .keys import KeysScreen
from .limits import LimitsScreen
from .overview import OverviewScreen
from .sessions import SessionsScreen
from .tags import TagsScreen

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.urls import URLPattern

    from .screen import Screen

RIGHTS: Final = ("view", "change", "clear", "reveal")
"""What the permissions are about; each of them lets see the pages."""


class OverviewAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """
    The pages of the cache, for any AdminSite: ``site.register(Overview, OverviewAdmin)``.

    Override the ``has_..._permission()`` of Django, or ``has_right()``, to let others in.
    """

    screens: ClassVar[tuple[type[Screen], ...]] = (
        OverviewScreen,
        GroupsScreen,
        KeysScreen,
        TagsScreen,
        LimitsScreen,
        FlagsScreen,
        SessionsScreen,
        ConnectionsScreen,
        DoctorScreen,
        ClearScreen,
    )

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses of all pages, and of what can be done there."""
        return [url for screen in self.screens for url in screen(self).get_urls()]

    def has_right(self, request: HttpRequest, right: str) -> bool:
        """Return whether a request may ``"view"``, ``"change"``, ``"clear"`` or ``"reveal"``."""
        if right == "view":
            return self.has_view_permission(request)
        if right == "change":
            return self.has_change_permission(request)
        return self._has_permission(request, right)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Return whether a request may see the pages: that goes with each of the other rights."""
        return any(self._has_permission(request, right) for right in RIGHTS)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """There is nothing to add."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """There is nothing of the model to delete."""
        return False

    def _has_permission(self, request: HttpRequest, right: str) -> bool:
        user: Any = request.user
        return bool(user.has_perm(f"{self.opts.app_label}.{get_permission_codename(right, self.opts)}"))
