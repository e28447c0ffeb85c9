"""Whose tests run, and how."""

from __future__ import annotations

from typing import NamedTuple


class Project(NamedTuple):
    """
    The tests of another project.

    ``files`` are those of its sdist, ``modules`` those that are installed with it, and ``options`` are pytest's.
    ``notes`` are printed: what the tests run over, and what is left out, or to be known.
    """

    distribution: str
    notes: tuple[str, ...]
    files: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


PROJECTS = (
    Project(
        "djangorestframework",
        notes=(
            "over the throttles of django_dripcache.contrib.drf, whose clock here is the timer that a test sets",
            "left out is what test_decorators.py has about other things than throttles",
            "two tests fill a throttle's list by hand and ask wait(): before a decision, ours answers from that list",
        ),
        files=("tests/test_throttling.py", "tests/test_decorators.py"),
        options=("-p", "tests.foreign.drf", "-k", "throttl"),
    ),
    Project(
        "django-ratelimit",
        notes=("over django_dripcache.backend.DripCache for every alias of CACHES", "nothing is left out"),
        modules=("django_ratelimit.tests",),
    ),
)
