"""Django's test runner, which leaves out what the table excludes and reports the counts."""

from __future__ import annotations

import collections
import importlib
import inspect
import json
import os
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.test.runner import DiscoverRunner

from tests.django_suite.table import COMPLETE, EXCLUDED, IN_PLACE, REPOINTED, SUBCLASSED

if TYPE_CHECKING:
    from collections.abc import Iterator


class SuiteRunner(DiscoverRunner):
    """Runs the labels without the excluded tests; writes the counts to the file that ``__main__`` reads."""

    def build_suite(self, *args: Any, **kwargs: Any) -> unittest.TestSuite:
        """Return the suite without the tests that the table excludes. Raises LookupError for a class in no table."""
        unknown = sorted(set(undecided()))
        if unknown:
            message = f"No table says whether these classes of Django's tests run: {', '.join(unknown)}"
            raise LookupError(message)
        tests = [test for test in flat(super().build_suite(*args, **kwargs)) if not EXCLUDED.keys() & names(test)]
        self.suites = collections.Counter(home(test) for test in tests)
        return self.test_suite(tests)

    def suite_result(self, suite: unittest.TestSuite, result: Any, **kwargs: Any) -> int:
        """Return the number of tests that failed."""
        failed = [getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors]
        counts = {
            "ran": result.testsRun,
            "suites": self.suites,
            "failed": sorted(set(failed)),
            "details": {
                "failures": len(result.failures),
                "errors": len(result.errors),
                "skipped": len(result.skipped),
                "expected failures": len(result.expectedFailures),
                "unexpected successes": len(result.unexpectedSuccesses),
            },
        }
        Path(os.environ["DJANGO_SUITE_COUNTS"]).write_text(json.dumps(counts))
        return int(super().suite_result(suite, result, **kwargs))


def undecided() -> Iterator[str]:
    """Yield the test classes of Django's cache and session modules that no table names."""
    decided = {*IN_PLACE, *REPOINTED, *SUBCLASSED, *EXCLUDED}
    # Abstract bases: their tests run in the classes that derive from them.
    decided |= {"cache.tests.BaseMemcachedTests", "sessions_tests.tests.SessionTestsMixin"}
    for module in map(importlib.import_module, COMPLETE):
        for name, member in inspect.getmembers(module, inspect.isclass):
            has_tests = any(attribute.startswith("test_") for attribute in dir(member))
            full_name = f"{module.__name__}.{name}"
            if has_tests and member.__module__ == module.__name__ and full_name not in decided:
                yield full_name


def names(test: unittest.TestCase) -> set[str]:
    """Return what the table may call a test: by each class that has it, Django's and ours."""
    method = test.id().rpartition(".")[2]
    return {f"{cls.__module__}.{cls.__qualname__}.{method}" for cls in type(test).__mro__}


def home(test: unittest.TestCase) -> str:
    """Return the suite of Django's that a test is of."""
    modules = (cls.__module__ for cls in type(test).__mro__)
    return next(module for module in modules if module != "tests.django_suite.suite").partition(".")[0]


def flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Yield the tests of a suite of suites."""
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from flat(part)
        else:
            yield part
