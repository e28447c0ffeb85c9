"""Test cases, run as Django and unittest do."""

from __future__ import annotations

import pickle
import unittest

import pytest
from django.test import SimpleTestCase

from django_dripcache import cache
from django_dripcache.testing import DripcacheTestMixin
from tests.processes import needs_server, wait_for

from .conftest import KINDS

TESTS = """
import asyncio
from unittest import IsolatedAsyncioTestCase
from unittest import TestCase as PlainTestCase

from django.contrib.auth.models import User
from django.core.cache import cache as django_cache, caches
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings
from django_dripcache import cache
from django_dripcache.testing import DripcacheTestMixin


class Twins:
    def setUp(self):
        self.assertIsNone(cache.get("setup"))
        cache.set("setup", 1)

    def check(self):
        self.dripcache.assert_cached("setup", 1)
        self.assertIsNone(cache.get("key"))
        self.assertIsNone(cache.get("data"))
        cache.set("key", 1)
        django_cache.set("key", 1)
        self.dripcache.assert_cached("key", 1)
        self.dripcache.assert_cached("key", 1, alias="default")
        self.dripcache.travel(3601)
        with self.dripcache.assert_loader_calls(1):
            cache.get_or_set("key", lambda: 2)

    def tearDown(self):
        assert cache.get("key") == 2

    def test_one(self):
        self.check()

    def test_other(self):
        self.check()


class OfDjango(Twins, DripcacheTestMixin, TestCase):
    @classmethod
    def setUpTestData(cls):
        cache.set("data", 1)
        cls.user = User.objects.create(username="ann")
        assert cache.get("data") == 1

    async def test_asynchronous(self):
        self.assertIsNone(await cache.aget("key"))
        await cache.aset("key", 2)
        async with self.dripcache.assert_loader_calls(0), self.dripcache.assert_round_trips(1):
            await cache.aget_or_set("key", lambda: 1)
        self.assertEqual(await User.objects.acount(), 1)


class OfTransactions(Twins, DripcacheTestMixin, TransactionTestCase):
    pass


@override_settings(DRIPCACHE={"NAMESPACE": "other"})
class Simple(Twins, DripcacheTestMixin, SimpleTestCase):
    pass


class Plain(Twins, DripcacheTestMixin, PlainTestCase):
    pass
"""

LOOPING = """
class Looping(Twins, DripcacheTestMixin, IsolatedAsyncioTestCase):
    async def test_asynchronous(self):
        self.assertIsNone(await cache.aget("key"))
        await cache.aset("key", 2)
"""
"""Django's parallel runner cannot pickle such a test case."""

MANAGE = """
import sys

import django
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""


@pytest.mark.parametrize("parallel", ["1", "2"])
@pytest.mark.parametrize("kind", KINDS)
def test_test_cases_run_by_django_are_isolated(project, raw, kind, parallel):
    project.write("shop_tests.py", TESTS + (LOOPING if parallel == "1" else ""))
    project.write("manage.py", MANAGE)
    done = project.run("manage.py", "test", "shop_tests", "--parallel", parallel, DRIPCACHE_TEST_SERVER=kind)
    assert f"Ran {12 if parallel == '1' else 9} tests" in done.stderr, done.stderr
    assert "\nOK\n" in done.stderr, done.stderr
    assert list(raw.scan_iter()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_test_cases_run_by_unittest_are_isolated(project, raw, kind):
    project.write("shop_tests.py", "import django\n\ndjango.setup()\n" + TESTS + LOOPING)
    cases = ["Plain", "Simple", "Looping"]
    done = project.run("-m", "unittest", *(f"shop_tests.{case}" for case in cases), DRIPCACHE_TEST_SERVER=kind)
    assert "Ran 7 tests" in done.stderr, done.stderr
    assert done.stderr.endswith("\nOK\n"), done.stderr
    assert list(raw.scan_iter()) == []


@needs_server
def test_workers_that_are_terminated_leave_no_server(project, tmp_path):
    project.write("manage.py", MANAGE)
    project.write(
        "shop_tests.py",
        """
        from pathlib import Path

        from django.test import SimpleTestCase
        from django_dripcache import cache
        from django_dripcache.testing import DripcacheTestMixin
        from django_dripcache.testing.home import get_home


        class One(DripcacheTestMixin, SimpleTestCase):
            def test_it(self):
                cache.set("key", 1)
                port = get_home()._started.port
                Path(f"port-{port}").touch()


        class Two(One):
            pass
        """,
    )
    done = project.run("manage.py", "test", "shop_tests", "--parallel", "2", DRIPCACHE_TEST_SERVER="redis")
    assert "\nOK\n" in done.stderr, done.stderr
    ports = [int(path.name.removeprefix("port-")) for path in tmp_path.glob("port-*")]
    assert ports

    def listening(port):
        import socket  # noqa: PLC0415

        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(lambda: not any(map(listening, ports)))


def test_a_sandbox_is_pickled_with_its_test_case(sandbox):
    """Django's parallel runner does that, with one whose subtest failed."""
    cache.set("key", 1)
    with pickle.loads(pickle.dumps(sandbox)) as other:
        other.assert_not_cached("key")
    sandbox.assert_cached("key")


def test_a_mixin_behind_its_test_case_is_refused():
    with pytest.raises(
        TypeError, match=r"^Wrong has DripcacheTestMixin behind its test case\. Write it first of all\.$"
    ):

        class Wrong(SimpleTestCase, DripcacheTestMixin):
            pass

    class Base(DripcacheTestMixin):
        pass

    class Right(Base, SimpleTestCase):
        pass

    with pytest.raises(TypeError, match="Wrong"):

        class Wrong(unittest.TestCase, Base):
            pass


def test_a_class_that_fails_to_set_up_leaves_all_as_it_was(kind, broker, raw):
    class Failing(DripcacheTestMixin, SimpleTestCase):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            cache.set("class", 1)
            raise ZeroDivisionError

        def test_it(self):
            pass

    class FailingTest(DripcacheTestMixin, SimpleTestCase):
        def test_it(self):
            cache.set("key", 1)
            raise ZeroDivisionError

    for case in (Failing, FailingTest):
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
        assert len(result.errors) == 1
        assert list(raw.scan_iter()) == []
    assert cache.set("key", 1)
    assert list(raw.scan_iter()) == [b"dripcache:c:key"]
