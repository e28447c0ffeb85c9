"""Settings for the tests of others: their aliases of CACHES, all of them served by this package."""

from __future__ import annotations

import os

URL = os.environ.get("FOREIGN_SERVER", "redis://127.0.0.1:1/0")
OURS = "django_dripcache.backend.DripCache"

SECRET_KEY = "a key for the tests of others alone, of more than fifty characters"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CELERY_BROKER_URL = URL
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "django_ratelimit",
    "django_dripcache",
]

# The aliases of django-ratelimit's own settings: a cache that answers, two that do not, one that keeps nothing.
CACHES = {
    "default": {"BACKEND": OURS, "OPTIONS": {"SOCKET_TIMEOUT": 5, "POOL_WAIT": 5}},
    "connection-errors": {"BACKEND": OURS, "LOCATION": "redis://127.0.0.1:1/0"},
    "connection-errors-redis": {"BACKEND": OURS, "LOCATION": "redis://127.0.0.1:1/1"},
    "instant-expiration": {"BACKEND": "tests.foreign.instant.InstantExpiration"},
}
