"""Whole runs of pytest: of a site that uses the plugin, of one that does not, and of what is no site at all."""

from __future__ import annotations

import json
import re

import pytest

from tests.testing.conftest import KINDS
from tests.testing.project import outcomes

ISOLATE = "dripcache_isolate = true"

TWINS = """
import pytest
from django.core.cache import cache as django_cache, caches
from django_dripcache import cache

captured = caches["reports"]


@pytest.mark.parametrize("number", range(8))
def test_nobody_was_here_before(number):
    assert cache.get("key") is None and django_cache.get("key") is None and captured.get("key") is None
    assert cache.incr("hits", ttl=60) == 1
    assert cache.lock("job", ttl=60).acquire()
    for one in (cache, django_cache, captured):
        one.set("key", number)
        assert one.get("key") == number
"""


def names(raw):
    return list(raw.scan_iter(count=1000))


@pytest.fixture
def servers(redis_server):
    return {**{kind: kind for kind in KINDS}, "url": redis_server.url.replace("/0", "/7")}


# Isolation


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("server", [*KINDS, "url"])
def test_every_test_of_a_site_is_isolated(project, servers, raw, server, workers):
    project.write("test_twins.py", TWINS)
    done = project.pytest("-n", workers, ini=f"dripcache_server = {servers[server]}\n{ISOLATE}")
    assert outcomes(done) == "8 passed", done.stdout
    assert names(raw) == []
    raw.select(7)
    assert names(raw) == []
    raw.select(0)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_without_isolation_the_same_tests_fail(project, raw, workers):
    project.write("test_twins.py", TWINS)
    done = project.pytest("-n", workers)
    assert outcomes(done) == "7 failed, 1 passed", done.stdout
    assert names(raw)


def test_a_test_that_names_the_fixture_is_isolated_and_no_other(project, raw):
    project.write(
        "test_some.py",
        """
        from django_dripcache import cache


        def test_that_is_isolated(dripcache):
            cache.set("mine", 1)
            dripcache.assert_cached("mine")


        def test_that_is_not():
            cache.set("site", 1)
        """,
    )
    done = project.pytest(DRIPCACHE_TEST_SERVER="fakeredis")
    assert outcomes(done) == "2 passed", done.stdout
    assert names(raw) == [b"dripcache:c:site"]


def test_fixtures_of_every_scope_and_test_cases_are_isolated(project, raw):
    project.write(
        "test_scopes.py",
        """
        import unittest

        import pytest
        from django.core.cache import cache as django_cache
        from django.test import TestCase
        from django_dripcache import cache


        @pytest.fixture(scope="session", autouse=True)
        def session():
            cache.set("session", 1)
            yield
            assert cache.get("session") == 1


        @pytest.fixture(scope="module", autouse=True)
        def module():
            cache.set("module", 1)


        @pytest.fixture(autouse=True)
        def each():
            cache.set("each", 1)


        def test_one(dripcache):
            assert dripcache.names() == ["c:each"]


        class Plain(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                cache.set("class", 1)

            def setUp(self):
                assert cache.get("class") is None
                cache.set("setup", 1)

            def test_it(self):
                assert cache.get("setup") == cache.get("each") == 1


        class OfDjango(TestCase):
            @classmethod
            def setUpTestData(cls):
                django_cache.set("data", 1)

            def test_it(self):
                assert django_cache.get("data") is None
                assert cache.get("each") == 1
        """,
    )
    done = project.pytest(ini=f"dripcache_server = fakeredis\n{ISOLATE}")
    assert outcomes(done) == "3 passed", done.stdout
    assert names(raw) == []


def test_the_mixin_and_the_plugin_get_along(project, raw):
    project.write(
        "test_mixed.py",
        """
        from django.test import TestCase
        from django_dripcache import cache
        from django_dripcache.testing import DripcacheTestMixin


        class Mixed(DripcacheTestMixin, TestCase):
            def test_it(self):
                cache.set("key", 1)
                self.dripcache.assert_cached("key", 1)
                self.assertEqual(self.dripcache.names(), ["c:key"])

            def test_again(self):
                self.dripcache.assert_not_cached("key")
        """,
    )
    for ini in ("", ISOLATE):
        done = project.pytest(ini=f"dripcache_server = fakeredis\n{ini}")
        assert outcomes(done) == "2 passed", done.stdout
    assert names(raw) == []


@pytest.mark.parametrize("scope", ["function", "session"])
@pytest.mark.parametrize("kind", KINDS)
def test_asynchronous_tests_are_isolated(project, raw, kind, scope):
    project.write(
        "test_async.py",
        f"""
        import pytest
        from asgiref.sync import sync_to_async
        from django_dripcache import cache, memoize

        pytestmark = pytest.mark.asyncio(loop_scope={scope!r})


        @memoize(60, grace=60, refresh="thread")
        async def report(number):
            return number


        @pytest.mark.parametrize("number", range(6))
        async def test_nobody_was_here_before(number, dripcache):
            assert await cache.aget("key") is None
            assert await sync_to_async(cache.set)("key", number)
            assert await cache.aget("key") == number
            async with dripcache.assert_loader_calls(1):
                assert await report(number) == number
            dripcache.travel(61)
            async with dripcache.assert_loader_calls(1):
                assert await report(number) == number
            with dripcache.outage():
                assert await cache.aget("key") is None
            assert await cache.aget("key") == number
        """,
    )
    done = project.pytest(ini=f"dripcache_server = {kind}\n{ISOLATE}")
    assert outcomes(done) == "6 passed", done.stdout
    assert names(raw) == []


def test_settings_that_tests_override_leave_them_isolated(project, raw):
    project.write(
        "test_settings.py",
        """
        import pytest
        from django.conf import settings as site
        from django.core.cache import cache as django_cache
        from django.test import SimpleTestCase, override_settings
        from django_dripcache import cache

        CHANGED = {"default": {**site.CACHES["default"], "TIMEOUT": 5}}


        @pytest.fixture
        def changed(settings):
            settings.CACHES = CHANGED
            settings.DRIPCACHE = {"NAMESPACE": "changed"}


        @pytest.mark.parametrize("order", ["before", "after"])
        def test_by_a_fixture(request, order):
            for name in ("changed", "dripcache") if order == "before" else ("dripcache", "changed"):
                request.getfixturevalue(name)
            assert django_cache.get("key") is None
            django_cache.set("key", 1)
            assert django_cache.ttl("key") <= 5


        @override_settings(CACHES=CHANGED, DRIPCACHE={})
        def test_by_a_decorator(dripcache):
            cache.set("key", 1)
            dripcache.assert_cached("key", 1)


        @override_settings(CACHES=CHANGED)
        class Decorated(SimpleTestCase):
            @override_settings(CACHES=CHANGED)
            def test_it(self):
                assert django_cache.get("key") is None
                django_cache.set("key", 1)

            def test_again(self):
                with self.settings(CACHES=CHANGED, CELERY_BROKER_URL="memory://"):
                    assert django_cache.get("key") is None
                    django_cache.set("key", 1)
        """,
    )
    done = project.pytest(ini=f"dripcache_server = fakeredis\n{ISOLATE}")
    assert outcomes(done) == "5 passed", done.stdout
    assert names(raw) == []


def test_the_environment_comes_before_the_ini_file(project):
    project.write(
        "test_which.py",
        """
        from django_dripcache import cache
        from django_dripcache.testing.home import get_home


        def test_which(dripcache):
            cache.set("key", 1)
            assert type(get_home()._started).__name__ == "FakeServer"
        """,
    )
    assert outcomes(project.pytest(ini="dripcache_server = redis", DRIPCACHE_TEST_SERVER="fakeredis")) == "1 passed"
    assert outcomes(project.pytest(ini="dripcache_server = fakeredis")) == "1 passed"


def test_a_failed_assertion_is_read_as_any_other(project):
    project.write(
        "test_failing.py",
        """
        from django_dripcache import cache


        def test_it(dripcache):
            cache.set("key", {"a": 1})
            dripcache.assert_cached("key", {"a": 2})
        """,
    )
    done = project.pytest(DRIPCACHE_TEST_SERVER="fakeredis")
    assert outcomes(done) == "1 failed"
    assert re.search(
        r"^E +AssertionError: 'key' in <CacheClient .*> is {'a': 1}, not {'a': 2}\.$", done.stdout, re.MULTILINE
    )


def test_a_server_that_cannot_be_is_told_in_the_test(project):
    project.write("test_twins.py", TWINS)
    for server, message in (
        ("fake", "Allowed are 'auto', 'redis', 'fakeredis', and a URL"),
        ("redis://127.0.0.1:1/0", "The server for tests, redis://127.0.0.1:1/0, cannot be used"),
    ):
        done = project.pytest(ini=f"dripcache_server = {server}\n{ISOLATE}")
        assert outcomes(done) == "8 failed"
        assert "ConfigurationError: The server for tests" in done.stdout
        assert message in done.stdout


# Others


@pytest.mark.parametrize("django", ["", "settings"])
def test_who_does_not_use_it_does_not_notice_it(project, tmp_path, django):
    project.write(
        "test_plain.py",
        """
        import sys


        def test_it():
            loaded = [name for name in sys.modules if name.startswith("django_dripcache.testing.")]
            assert loaded == ["django_dripcache.testing.plugin"]
            assert "fakeredis" not in sys.modules and "django.test" not in sys.modules
        """,
    )
    options = ["-p", "no:django", "-p", "no:asyncio"]
    done = project.pytest(*options, "--strict-config", "--strict-markers", DJANGO_SETTINGS_MODULE="no_such_module")
    assert outcomes(done) == "1 passed", done.stdout + done.stderr


def test_the_plugin_imports_no_settings_no_server_and_nothing_of_a_sandbox(project):
    code = """
import json, sys
import django_dripcache
before = set(sys.modules)
import django_dripcache.testing.plugin
from django.conf import settings
print(json.dumps([settings.configured, sorted(name for name in set(sys.modules) - before if "dripcache" in name)]))
"""
    done = project.run("-c", code)
    configured, loaded = json.loads(done.stdout)
    assert not configured
    assert loaded == ["django_dripcache.testing", "django_dripcache.testing.plugin"]


def test_who_uses_the_package_without_pytest_does_not_import_it(project):
    code = """
import sys
import django_dripcache.testing
from django_dripcache.testing import DripcacheTestMixin, RedisServer, Sandbox
assert "pytest" not in sys.modules and "_pytest" not in sys.modules
assert set(django_dripcache.testing.__all__) == {"DripcacheTestMixin", "RedisServer", "Sandbox"}
assert not hasattr(django_dripcache.testing, "Other")
"""
    done = project.run("-c", code)
    assert done.returncode == 0, done.stderr


def test_the_options_are_listed_by_pytest(project):
    done = project.pytest("--help")
    assert "dripcache_server (string):" in done.stdout
    assert "dripcache_isolate (bool):" in done.stdout
    assert re.search(r"^dripcache .*plugin\.py", project.pytest("--fixtures", "-v").stdout, re.MULTILINE)
