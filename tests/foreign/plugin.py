"""A plugin of pytest: every test begins without limits, and what ran is written down for ``__main__``."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from django_dripcache import limiter

if TYPE_CHECKING:
    from collections.abc import Sequence

_files: defaultdict[str, Counter[str]] = defaultdict(Counter)


@pytest.fixture(autouse=True)
def no_limits() -> None:
    """Empty the server: the tests empty the cache for that, and limits are no entries of ours."""
    with redis.Redis.from_url(os.environ["FOREIGN_SERVER"]) as client:
        names = list(client.scan_iter(count=1000))
        if names:
            client.delete(*names)
    limiter._memories.clear()


def pytest_deselected(items: Sequence[Any]) -> None:
    """Note what is left out."""
    for item in items:
        _files[item.path.name]["left out"] += 1


def pytest_runtest_logreport(report: Any) -> None:
    """Note how a test ended; a failure before or after it is one more."""
    if report.when == "call" or not report.passed:
        _files[Path(report.location[0]).name][report.outcome] += 1


def pytest_sessionfinish() -> None:
    """Write down how many tests of which file ended how."""
    Path(os.environ["FOREIGN_COUNTS"]).write_text(json.dumps(_files))
