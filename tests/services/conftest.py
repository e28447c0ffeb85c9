"""A site that the tests of services run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ..conftest import NEAR
from ..processes import PATIENT, site, wait_for
from ..test_nearby import live

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def patient(redis_server: Any, raw: Any) -> Iterator[None]:
    """A site that waits for a busy machine; in ``make near`` it has a near cache, which is connected."""
    with site(None, {**PATIENT, **NEAR.get("OPTIONS", {})}, CELERY_BROKER_URL=redis_server.url):
        if NEAR:
            wait_for(live)
        yield


@pytest.fixture
def far(redis_server: Any, raw: Any) -> Iterator[None]:
    """A site without a near cache."""
    with site(redis_server.url):
        yield
