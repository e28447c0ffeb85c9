"""What ``dripcache_isolate`` adds: no test, and no fixture of whatever scope, meets the site's own caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def _dripcache_session() -> Iterator[None]:
    with Sandbox():
        yield


@pytest.fixture(autouse=True)
def _dripcache_test(dripcache: Sandbox) -> None:
    pass
