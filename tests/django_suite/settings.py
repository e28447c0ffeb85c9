"""Settings for Django's test suite: its own for SQLite, and the backend under test as the default cache."""

from __future__ import annotations

import importlib

from tests.django_suite.target import params

_django = importlib.import_module("test_sqlite")

globals().update({name: value for name, value in vars(_django).items() if name.isupper()})

CACHES = {"default": params()}
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
TEST_RUNNER = "tests.django_suite.runner.SuiteRunner"
