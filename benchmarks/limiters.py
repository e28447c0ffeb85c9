"""The limiters that are compared: each is made for some rates, and then decides about a hit of a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import limits
from django.conf import settings
from django.core.cache import caches
from django.test import RequestFactory
from django.utils.connection import ConnectionProxy
from django_ratelimit.core import is_ratelimited
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
from rest_framework import throttling

from django_dripcache import RateLimiter
from django_dripcache.contrib import drf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from limits.strategies import RateLimiter as Strategy

    from django_dripcache.rates import Algorithm

    Hit = Callable[[str], bool]
    Make = Callable[[Sequence[str]], Hit]

_REQUEST = RequestFactory().get("/")


def _ours(algorithm: Algorithm) -> Make:
    # An outage raises: a decision that did not ask Redis would be a fast one.
    limiter = RateLimiter(algorithm=algorithm, on_outage="raise")

    def make(rates: Sequence[str]) -> Hit:
        text = ", ".join(rates)
        return lambda key: limiter.hit(key, text).allowed

    return make


def _limits(strategy: type[Strategy]) -> Make:
    limiter = strategy(RedisStorage(settings.CACHES["default"]["LOCATION"]))

    def make(rates: Sequence[str]) -> Hit:
        items = [
            limits.parse(rate.replace("/m", "/minute").replace("/h", "/hour").replace("/d", "/day")) for rate in rates
        ]
        return lambda key: all(limiter.hit(item, strategy.__name__, key) for item in items)

    return make


def _django_ratelimit(rates: Sequence[str]) -> Hit:
    def hit(key: str) -> bool:
        limited = [
            is_ratelimited(_REQUEST, group="benchmark", key=lambda *_: key, rate=rate, increment=True) for rate in rates
        ]
        return not any(limited)

    return hit


def _drf(base: Any, **attributes: Any) -> Make:
    def make(rates: Sequence[str]) -> Hit:
        throttles = [
            type("Throttle", (base,), {"rate": rate, "get_cache_key": _keyed(base, rate), **attributes})
            for rate in rates
        ]

        def hit(key: str) -> bool:
            # As APIView.check_throttles() does: a new throttle for each request, and every one is asked.
            allowed = [throttle().allow_request(key, None) for throttle in throttles]
            return all(allowed)

        return hit

    return make


def _keyed(base: Any, rate: str) -> Callable[[Any, str, Any], str]:
    return lambda _throttle, key, _view: f"{base.__module__}:{rate}:{key}"


def _our_throttle(rates: Sequence[str]) -> Hit:
    return _drf(drf.SimpleRateThrottle, on_outage="raise")([", ".join(rates)])


# The first one is what the others are compared with.
LIMITERS: dict[str, Make] = {
    "ours, sliding-window": _ours("sliding-window"),
    "ours, fixed-window": _ours("fixed-window"),
    "ours, gcra": _ours("gcra"),
    "limits, moving-window": _limits(MovingWindowRateLimiter),
    "limits, sliding-window-counter": _limits(SlidingWindowCounterRateLimiter),
    "limits, fixed-window": _limits(FixedWindowRateLimiter),
    "django-ratelimit": _django_ratelimit,
    "DRF, our throttle": _our_throttle,
    "DRF, its own throttle": _drf(throttling.SimpleRateThrottle, cache=ConnectionProxy(caches, "django-redis")),
}
