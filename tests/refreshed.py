"""Functions whose stale results a worker computes; what they were called with is written down in Redis."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import redis

from django_dripcache import memoize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

OPTIONS: dict[str, Any] = {"ttl": 60, "grace": 60, "refresh": "celery", "tags": ["rates"], "beta": 0}


def notes() -> Any:
    return redis.Redis.from_url(os.environ["DRIPCACHE_TEST_NOTES"], decode_responses=True)


def note(name: str, *arguments: object) -> int:
    """Return how many calls there were by now."""
    with notes() as client:
        if client.get("broken"):
            raise LookupError(name)
        count = client.rpush(f"called:{name}", repr(arguments))
        while client.get("hold"):
            time.sleep(0.01)
        return int(count)


@memoize(**OPTIONS)
def rate(currency: str, day: date | None = None) -> list[Any]:
    return [currency, note("rate", currency, day)]


@memoize(**OPTIONS)
async def offer(number: int) -> list[int]:
    return [number, note("offer", number)]


@memoize(**OPTIONS)
def total(numbers: Sequence[int]) -> int:
    return sum(numbers) + note("total", numbers)


class Shop:
    @memoize(**OPTIONS)
    @staticmethod
    def stock(number: int) -> int:
        return note("stock", number)
