"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DripcacheConfig(AppConfig):
    """Registers the checks, hands the pool to Celery's publisher, and begins to count."""

    name = "django_dripcache"
    verbose_name = _("Cache")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Put the publisher on our pool, unless the site asks for separate ones. Never connects."""
        from . import checks, recorder  # noqa: F401, PLC0415 - settings are ready by now; the checks register
        from .contrib.celery import install  # noqa: PLC0415

        install()
        recorder.install()
