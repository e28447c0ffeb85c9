"""
Throttles for Django REST framework that hold over all processes: drop-in replacements for those of its own.

    REST_FRAMEWORK = {
        "DEFAULT_THROTTLE_CLASSES": ["django_dripcache.contrib.drf.UserRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"user": "100/min"},
    }
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from django.core.cache import caches
from rest_framework import throttling

from ..backend import configured_aliases
from ..exceptions import ConfigurationError
from ..limiter import RateLimiter
from ..rates import Rate, parse

if TYPE_CHECKING:
    from ..limiter import OnLimitOutage
    from ..rates import Algorithm, Decision

__all__ = ["AnonRateThrottle", "ScopedRateThrottle", "SimpleRateThrottle", "UserRateThrottle"]

_WORDS: Final = re.compile(r"(/[0-9]*)(sec|second|min|minute|hour|day)(?= *(?:,|\Z))")


class SimpleRateThrottle(throttling.SimpleRateThrottle):  # type: ignore[misc]
    """
    A throttle whose hits are counted by a RateLimiter, for subclasses with a ``get_cache_key()`` of their own.

    It has the attributes and the methods of DRF's class, and three more: the ``alias`` of CACHES, the ``algorithm``,
    and ``on_outage``; see RateLimiter. A ``cache`` that a subclass chooses is its alias. ``timer`` is not asked: the
    clock is the server's. ``decision`` is what was decided about the request, or None where nothing limits it.

    A rate that cannot be read is a ConfigurationError. There may be several: ``"10/sec, 1000/day"``.
    """

    alias: str = "default"
    algorithm: Algorithm = "sliding-window"
    on_outage: OnLimitOutage = "local"
    decision: Decision | None = None

    _cache: ClassVar[Any] = throttling.SimpleRateThrottle.cache
    _rates: tuple[Rate, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Find the alias of a ``cache`` that the class chooses; Django has one object of it for each thread."""
        super().__init_subclass__(**kwargs)
        if cls.cache is not cls._cache:
            cls._cache, cls.alias = cls.cache, _alias(cls)

    def parse_rate(self, rate: str | None) -> tuple[int, int] | tuple[None, None]:
        """
        Return how many requests a rate allows in how many seconds; of several rates, in the shortest window.

        A subclass may return what it likes. It then is the only rate.
        """
        if rate is None:
            return None, None
        self._rates = self._read(rate)
        return self._rates[0].limit, self._rates[0].window

    def allow_request(self, request: Any, view: Any) -> bool:
        """Count the request if the rate allows it, and return whether it does."""
        if self.rate is None:
            return True
        self.key = self.get_cache_key(request, view)
        if self.key is None:
            return True
        limiter = RateLimiter(self.alias, algorithm=self.algorithm, on_outage=self.on_outage, name=f"drf:{self.scope}")
        self.decision = limiter.hit(self.key, ", ".join(map(str, self._in_force())))
        return bool(self.throttle_success() if self.decision else self.throttle_failure())

    def throttle_success(self) -> Literal[True]:
        """Return True; the request is counted already."""
        return True

    def wait(self) -> float | None:
        """Return in how many seconds the request may be allowed; what DRF's class returns, if nothing was decided."""
        return super().wait() if self.decision is None else self.decision.retry_after

    def _in_force(self) -> tuple[Rate, ...]:
        """Return the rates that were read, or what a subclass put in their place, in whole seconds."""
        first = Rate(int(self.num_requests or 0), ceil(self.duration or 0))
        return self._rates if self._rates[:1] == (first,) else self._read(str(first))

    def _read(self, rate: str) -> tuple[Rate, ...]:
        try:
            return _read(rate)
        except (TypeError, ValueError) as error:
            message = (
                f"The rate of {type(self).__name__}, of the scope {self.scope!r}, is {rate!r}. Allowed is a number "
                "from 1 up, a slash, and s, sec, second, m, min, minute, h, hour, d or day, or a number of these up to "
                "366 days: '10/s', '100/min', '5/15m'; or several of different lengths: '10/s, 1000/day'. Rates are in "
                "REST_FRAMEWORK['DEFAULT_THROTTLE_RATES'], or in 'rate' and 'THROTTLE_RATES' of the class."
            )
            raise ConfigurationError(message) from error


class AnonRateThrottle(throttling.AnonRateThrottle, SimpleRateThrottle):  # type: ignore[misc]
    """Limits those who are not logged in, by their address, at the rate of the scope ``anon``."""


class UserRateThrottle(throttling.UserRateThrottle, SimpleRateThrottle):  # type: ignore[misc]
    """Limits each user, and who is not logged in by their address, at the rate of the scope ``user``."""


class ScopedRateThrottle(throttling.ScopedRateThrottle, SimpleRateThrottle):  # type: ignore[misc]
    """Limits each user in each part of an API, at the rate of the scope that a view has as ``throttle_scope``."""


@lru_cache(maxsize=1024)
def _read(rate: str) -> tuple[Rate, ...]:
    return parse(_WORDS.sub(lambda found: found[1] + found[2][0], rate))


def _alias(throttle: type[SimpleRateThrottle]) -> str:
    for alias in configured_aliases():
        if caches[alias] == throttle.cache:
            return alias
    message = (
        f"{throttle.__name__}.cache is {throttle.cache!r}. Allowed is caches[alias], with an alias of CACHES that has "
        "'BACKEND': 'django_dripcache.backend.DripCache'; or name it as 'alias' of the class."
    )
    raise ConfigurationError(message)
