"""
Settings of the example site.

Nothing secret is in this file. What differs from one machine to the next comes from the environment:

``REDIS_URL``
    The Redis that carries Celery's queues and the cache; database 0 of the local server by default.
``DEBUG``
    ``1`` for Django's debug pages. Off by default.
``ALLOWED_HOSTS``
    Host names, separated by commas. Loopback only by default.
``SECRET_KEY``
    The signing key. Without it, one is made for this checkout and kept in ``var/``.
``HTTPS``
    ``1`` where the site is served over TLS: cookies are then sent over TLS only, and plain requests are redirected.
``EXAMPLE_VAR``
    The directory of the database and the signing key; ``var/`` beside this project by default.
``EXAMPLE_KEY_PREFIX``
    What the name of each of the site's Redis keys starts with, queues and cache alike.
``EXAMPLE_DEMO``
    ``1`` while ``demo.py`` drives the site: see ``DEMO`` below.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("EXAMPLE_VAR") or BASE_DIR / "var")
VAR_DIR.mkdir(parents=True, exist_ok=True)


def flag(name: str) -> bool:
    """Say whether the environment switches this on."""
    return os.environ.get(name, "") == "1"


def secret_key() -> str:
    """Return this checkout's signing key, and make it at the first call. Only its owner can read the file."""
    path = VAR_DIR / "secret_key"
    if not path.exists():
        fresh = VAR_DIR / f"secret_key.{os.getpid()}"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(get_random_secret_key())
        try:
            # Of two processes that start at once, the second takes the key of the first.
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()


SECRET_KEY = os.environ.get("SECRET_KEY") or secret_key()
DEBUG = flag("DEBUG")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(",")

# With this switched on, a page names the task that it queued, and a request may ask for a page past the cache. The
# demo needs both for its measurements. A real site has neither.
DEMO = flag("EXAMPLE_DEMO")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_dripcache",
    "airports",
]

MIDDLEWARE = [
    "django_dripcache.middleware.CacheBudgetMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "airports.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "airports.middleware.remember_client",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "airports.preferences.context",
            ],
        },
    },
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR_DIR / "db.sqlite3",
        "CONN_MAX_AGE": 60,
        "OPTIONS": {
            # The worker writes while the site reads: a write-ahead log lets neither wait for the other.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# One Redis: Celery's broker ...
CELERY_BROKER_URL = os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": os.environ.get("EXAMPLE_KEY_PREFIX") or "airports:",
    # What a page publishes it can do without: see airports.views.count_visit().
    "socket_timeout": 0.5,
    "max_retries": 0,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "visits"
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# ... is the cache, too. There is no LOCATION: the broker's is taken.
CACHES = {"default": {"BACKEND": "django_dripcache.backend.DripCache"}}
DRIPCACHE = {"CELERY_APP": "config.celery:app"}
SESSION_ENGINE = "django_dripcache.contrib.sessions_db"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = flag("HTTPS")
SECURE_HSTS_SECONDS = 3600 if flag("HTTPS") else 0
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_THOUSAND_SEPARATOR = True
STATIC_URL = "static/"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    # A line for each page and each task would be most of the work that some of them are.
    "loggers": {"django.server": {"level": "WARNING"}, "celery": {"level": "WARNING"}},
}
