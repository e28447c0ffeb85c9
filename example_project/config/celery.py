"""The Celery app. Its broker's Redis is the one that the site caches in."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("airports")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
