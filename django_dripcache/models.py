"""No table: a model that the admin's pages and their permissions hang on."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Overview(models.Model):
    """
    The overview of the caches, and its permissions.

    ``view_overview`` lets a member of the staff see the pages, ``change_overview`` change and remove single things,
    ``clear_overview`` clear whole caches, and ``reveal_overview`` see the values of keys. ``subject`` is what an entry
    of the admin's log is about.
    """

    subject = ""

    class Meta:  # noqa: D106 - Django's own
        managed = False
        default_permissions = ("view", "change")
        permissions = (
            ("clear_overview", _("Can clear caches")),
            ("reveal_overview", _("Can see the values of keys")),
        )
        verbose_name = _("overview")
        verbose_name_plural = _("overview")

    def __str__(self) -> str:
        return self.subject or str(self._meta.verbose_name)
