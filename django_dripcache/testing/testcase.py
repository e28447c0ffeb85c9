"""A sandbox for each test of a unittest.TestCase, Django's or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import TestCase

from .sandbox import Sandbox

if TYPE_CHECKING:
    from unittest.result import TestResult

    Base = TestCase
else:
    Base = object


class DripcacheTestMixin(Base):
    """
    Give each test caches of its own, with ``self.dripcache``; ``setUpTestData`` and ``setUpClass`` have theirs.

    It comes before the test case: ``class PageTests(DripcacheTestMixin, TestCase)``. It needs no ``super()`` in
    ``setUp()``, and is for synchronous and asynchronous tests.
    """

    dripcache: Sandbox

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        bases = cls.__mro__
        if TestCase in bases and bases.index(TestCase) < bases.index(DripcacheTestMixin):
            message = f"{cls.__name__} has DripcacheTestMixin behind its test case. Write it first of all."
            raise TypeError(message)

    @classmethod
    def setUpClass(cls) -> None:
        """Begin with a sandbox for what the class sets up."""
        sandbox = Sandbox()
        sandbox.__enter__()
        cls.addClassCleanup(sandbox.__exit__, None, None, None)
        super().setUpClass()

    def run(self, result: TestResult | None = None) -> TestResult | None:
        """Run the test, what comes before it and what comes after it, in a sandbox."""
        with Sandbox() as self.dripcache:
            return super().run(result)
