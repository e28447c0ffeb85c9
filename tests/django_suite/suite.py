"""Django's test classes, pointed at the backend under test by subclassing; no test is changed."""

from __future__ import annotations

import importlib
import inspect
import unittest
from typing import Any
from unittest import mock

from django.test import TestCase, override_settings
from django.utils.module_loading import import_string
from redis import ResponseError

from tests.django_suite.async_face import AsyncFace, AsyncFaces, Driver, LoopACall, OneLoop
from tests.django_suite.table import REPOINTED
from tests.django_suite.target import BACKEND, overridden, params, repointed

cache_tests = importlib.import_module("cache.tests")
session_tests = importlib.import_module("sessions_tests.tests")

# Django's suite lets a backend name what it raises where the value to increment is no number; TypeError if it does not.
# RedisCache's async methods raise the one on Django 5.2 and the other on 6.1.
INCR_TYPE_ERRORS = {"django.core.cache.backends.redis.RedisCache": (ResponseError, TypeError)}

DJANGOS_ENGINES = "django.contrib.sessions.backends"
OUR_ENGINE = "django_dripcache.contrib.sessions"


def subclass(name: str, *bases: type, **attributes: Any) -> Any:
    """Return a class that unittest finds in this module."""
    return type(name, bases, {"__module__": __name__, **attributes})


def repoint(django_name: str) -> Any:
    """Return a subclass in which every CACHES that the class or one of its tests sets has the backend under test."""
    base = import_string(django_name)
    tests = {}
    for test in (name for name in dir(base) if name.startswith("test_")):
        options = overridden(getattr(base, test))
        if "CACHES" in options:
            override = override_settings(**{**options, "CACHES": repointed(options["CACHES"])})
            tests[test] = override(getattr(base, test).__wrapped__)
    result = subclass(base.__name__, base, **tests)
    whole = base._overridden_settings or {}
    return override_settings(CACHES=repointed(whole["CACHES"]))(result) if "CACHES" in whole else result


def cache_class(name: str, database: int, *bases: type, **attributes: Any) -> Any:
    """
    Return a class of BaseCacheTests over every alias that Django gives to its own RedisCache.

    Each such class has a database to itself: the tests clear the default alias alone, and one key function's keys would
    greet the next class.
    """
    result = subclass(name, *bases, incr_decr_type_error=INCR_TYPE_ERRORS.get(BACKEND, TypeError), **attributes)
    aliases = cache_tests.caches_setting_for_tests(base=params(database), exclude=cache_tests.redis_excluded_caches)
    return override_settings(CACHES=aliases)(result)


def async_cache_class(name: str, database: int, driver: Driver) -> Any:
    """Return BaseCacheTests over the async methods; what Django wrote async itself runs in BackendTests alone."""
    attributes = {test: None for test, _ in inspect.getmembers(cache_tests.BaseCacheTests, inspect.iscoroutinefunction)}
    return cache_class(
        name, database, AsyncFaceMixin, cache_tests.BaseCacheTests, TestCase, driver=driver, **attributes
    )


class AsyncFaceMixin(unittest.TestCase):
    """Puts the async face of ``cache`` and ``caches`` before Django's tests."""

    driver: Driver

    @classmethod
    def setUpClass(cls) -> None:
        """Start the driver, and patch the two names in Django's module."""
        cls.driver.start()
        cls.addClassCleanup(cls.driver.stop)
        for name, face in (("cache", AsyncFace), ("caches", AsyncFaces)):
            patch = mock.patch.object(cache_tests, name, face(getattr(cache_tests, name), cls.driver))
            patch.start()
            cls.addClassCleanup(patch.stop)
        super().setUpClass()


def session_middleware_tests(name: str, engine: str) -> Any:
    """Return Django's tests of the session middleware over an engine."""
    return override_settings(SESSION_ENGINE=engine)(subclass(name, session_tests.SessionMiddlewareTests))


def session_engine_tests(name: str, engine: str, base: type) -> Any:
    """Return Django's tests of session engines over one of ours, which keeps its sessions in the backend under test."""
    return subclass(name, base, TestCase, backend=import_string(f"{engine}.SessionStore"), session_engine=engine)


# Django skips RedisCacheTests where its own RedisCache is not configured.
BackendTests = cache_class("BackendTests", 10, cache_tests.RedisCacheTests, __unittest_skip__=False)
AsyncLoopACallTests = async_cache_class("AsyncLoopACallTests", 11, LoopACall())
AsyncOneLoopTests = async_cache_class("AsyncOneLoopTests", 12, OneLoop())
CacheSessionMiddlewareTests = session_middleware_tests("CacheSessionMiddlewareTests", f"{DJANGOS_ENGINES}.cache")
CachedDBSessionMiddlewareTests = session_middleware_tests(
    "CachedDBSessionMiddlewareTests", f"{DJANGOS_ENGINES}.cached_db"
)
if BACKEND == "django_dripcache.backend.DripCache":  # our engines take no other
    EngineTests = session_engine_tests("EngineTests", OUR_ENGINE, session_tests.SessionTestsMixin)
    EngineDBTests = session_engine_tests("EngineDBTests", f"{OUR_ENGINE}_db", session_tests.DatabaseSessionTests)
    EngineMiddlewareTests = session_middleware_tests("EngineMiddlewareTests", OUR_ENGINE)
    EngineDBMiddlewareTests = session_middleware_tests("EngineDBMiddlewareTests", f"{OUR_ENGINE}_db")
globals().update({name.replace(".", "_"): repoint(name) for name in REPOINTED})
