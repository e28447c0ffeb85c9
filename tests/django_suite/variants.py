"""The backend under test with the mixins that Django's suite tries on the local-memory cache."""

from __future__ import annotations

from django.utils.module_loading import import_string

from tests.django_suite.target import BACKEND

_backend = import_string(BACKEND)

CloseableCache = type("CloseableCache", (import_string("cache.closeable_cache.CloseHookMixin"), _backend), {})
LiberalCache = type("LiberalCache", (import_string("cache.liberal_backend.LiberalKeyValidationMixin"), _backend), {})
