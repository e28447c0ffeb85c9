"""The admin's pages: what the cache does, and what may be done about it."""

from __future__ import annotations

from django.contrib import admin

from ..models import Overview
from .hook import OverviewAdmin

__all__ = ["OverviewAdmin"]

admin.site.register(Overview, OverviewAdmin)
