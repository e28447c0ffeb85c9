"""A site that the tests of services run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ..processes import site

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def patient(redis_server: Any, raw: Any) -> Iterator[None]:
    """A site that waits for a busy machine."""
    with site(None, CELERY_BROKER_URL=redis_server.url):
        yield
