"""
Which of Django's tests run and how, and the one list of those that do not, with the reason of each.

A class of the modules in ``COMPLETE`` that no table names fails the run: a Django that adds one asks for a decision.
"""

from __future__ import annotations

COMPLETE = ("cache.tests", "cache.tests_async", "sessions_tests.tests")

# These take the default cache of the settings as they stand, which is the backend under test.
IN_PLACE = (
    "async.tests.CacheTest",
    "cache.tests.CacheHandlerTest",
    "cache.tests.TestMakeTemplateFragmentKey",
    "decorators.test_cache.CachePageDecoratorTest",
    "sessions_tests.tests.CacheDBSessionTests",
    "sessions_tests.tests.CacheDBSessionWithTimeZoneTests",
    "template_tests.syntax_tests.test_cache.CacheTagTests",
    "template_tests.test_response.CacheMiddlewareTest",
)

# Suites whose every session goes through the session engine "cache", or whose pages use the default cache.
CONSUMERS = (
    "auth_tests.test_login",
    "auth_tests.test_middleware",
    "auth_tests.test_remote_user",
    "auth_tests.test_views",
    "generic_views.test_base.TemplateViewTest",
    "messages_tests.test_session",
    "responses.tests.HttpResponseTests",
    "sitemaps_tests.test_http",
    "test_client",
    "test_client_regress",
)

# These override CACHES with the local-memory cache: ``suite`` subclasses them and puts the backend under test there.
REPOINTED = (
    "cache.tests.CacheClosingTests",
    "cache.tests.CacheHEADTest",
    "cache.tests.CacheI18nTest",
    "cache.tests.CacheMiddlewareTest",
    "cache.tests.CacheUtils",
    "cache.tests.CustomCacheKeyValidationTests",
    "cache.tests.DefaultNonExpiringCacheKeyTests",
    "cache.tests.PrefixedCacheI18nTest",
    "cache.tests.PrefixedCacheUtils",
    "cache.tests.TestWithTemplateResponse",
    "sessions_tests.tests.CacheSessionTests",
    "template_tests.syntax_tests.test_cache.CacheTests",
)

# ``suite`` subclasses these by hand: BaseCacheTests for the async verbs, the middleware for Django's two engines over a
# cache and for ours, DatabaseSessionTests for ours with a database. SessionTestsMixin runs for both of ours.
SUBCLASSED = (
    "cache.tests.BaseCacheTests",
    "cache.tests.RedisCacheTests",
    "sessions_tests.tests.DatabaseSessionTests",
    "sessions_tests.tests.SessionMiddlewareTests",
)

_OTHER_BACKEND = "about another backend; its BaseCacheTests run against the backend under test"
_OTHER_ENGINE = "about a session engine that does not use the cache"
_OWN_CLASS = "about the insides of Django's own RedisCache, which any other backend does not have"
_NO_DATABASE = "stores an unread query set, and the thread of the loop has no in-memory database; runs in the others"
_ROWS = "reads or counts rows of the session table, which the engine does not use"
_BEHIND = "changes the row behind the engine's back, which reads the copy"
_LOCMEM = "looks into the private dict of the local-memory cache"

EXCLUDED = {
    "cache.tests.DummyCacheTests": "asserts that nothing is ever stored",
    "cache.tests_async.AsyncDummyCacheTests": "asserts that nothing is ever stored; suite has BaseCacheTests async",
    "cache.tests.DBCacheTests": _OTHER_BACKEND,
    "cache.tests.DBCacheWithTimeZoneTests": _OTHER_BACKEND,
    "cache.tests.CreateCacheTableForDBCacheTests": "about the table of the database cache",
    "cache.tests.LocMemCacheTests": _OTHER_BACKEND,
    "cache.tests.PyLibMCCacheTests": _OTHER_BACKEND,
    "cache.tests.PyMemcacheCacheTests": _OTHER_BACKEND,
    "cache.tests.FileBasedCacheTests": _OTHER_BACKEND,
    "cache.tests.FileBasedCachePathLibTests": _OTHER_BACKEND,
    "cache.tests.RedisCacheTests.test_cache_client_class": _OWN_CLASS,
    "cache.tests.RedisCacheTests.test_client_driver_info": _OWN_CLASS,
    "cache.tests.RedisCacheTests.test_get_backend_timeout_method": _OWN_CLASS,
    "cache.tests.RedisCacheTests.test_get_client": _OWN_CLASS,
    "cache.tests.RedisCacheTests.test_get_connection_pool": _OWN_CLASS,
    "cache.tests.RedisCacheTests.test_get_connection_pool_index": _OWN_CLASS,
    "cache.tests.RedisCacheTests.test_incr_write_connection": _OWN_CLASS,
    "cache.tests.RedisCacheTests.test_redis_pool_options": _OWN_CLASS,
    "cache.tests.RedisCacheTests.test_serializer_dumps": _OWN_CLASS,
    "cache.tests.DefaultNonExpiringCacheKeyTests.test_caches_with_unset_timeout_set_expiring_key": _LOCMEM,
    "cache.tests.DefaultNonExpiringCacheKeyTests.test_caches_set_with_timeout_as_none_set_non_expiring_key": _LOCMEM,
    "tests.django_suite.suite.AsyncOneLoopTests.test_cache_read_for_model_instance_with_deferred": _NO_DATABASE,
    "tests.django_suite.suite.AsyncOneLoopTests.test_cache_write_for_model_instance_with_deferred": _NO_DATABASE,
    "tests.django_suite.suite.CacheSessionMiddlewareTests.test_empty_session_saved": _ROWS,
    "tests.django_suite.suite.EngineMiddlewareTests.test_empty_session_saved": _ROWS,
    "tests.django_suite.suite.EngineDBTests.test_sessionmanager_save": _BEHIND,
    "auth_tests.test_middleware.TestLoginRequiredMiddleware.test_protected_view_logged_in_performance": _ROWS,
    "sessions_tests.tests.DatabaseSessionWithTimeZoneTests": _OTHER_ENGINE,
    "sessions_tests.tests.CustomDatabaseSessionTests": _OTHER_ENGINE,
    "sessions_tests.tests.FileSessionTests": _OTHER_ENGINE,
    "sessions_tests.tests.FileSessionPathLibTests": _OTHER_ENGINE,
    "sessions_tests.tests.CookieSessionTests": _OTHER_ENGINE,
    "sessions_tests.tests.ClearSessionsCommandTests": _OTHER_ENGINE,
    "sessions_tests.tests.SessionBaseTests": "about the abstract base class of the engines",
}
