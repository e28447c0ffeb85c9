"""No table: a model that the admin's pages and their permission hang on."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Overview(models.Model):
    """The overview of the caches. Its one permission, ``view_overview``, lets a member of the staff see it."""

    class Meta:  # noqa: D106 - Django's own
        managed = False
        default_permissions = ("view",)
        verbose_name = _("overview")
        verbose_name_plural = _("overview")

    def __str__(self) -> str:
        return str(self._meta.verbose_name)
