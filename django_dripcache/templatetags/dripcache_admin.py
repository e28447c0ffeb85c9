"""What the templates of the admin's pages need to write numbers, and texts of others."""

from __future__ import annotations

from django import template

from ..admin import units

register = template.Library()

register.filter("amount", units.amount)
register.filter("size", units.size)
register.filter("duration", units.duration)
register.filter("percent", units.percent)
register.filter("shown", units.shown)
