"""Views: whether the cache is well, for a load balancer or a monitor."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .backend import configured_aliases
from .client import CacheClient
from .flight import Flights
from .manager import CacheManager

if TYPE_CHECKING:
    from django.http import HttpRequest

FRESH: Final = 1.0
"""An answer is given again for so many seconds, so that nobody can keep Redis busy with this view."""

_last: list[tuple[float, dict[str, str]]] = []
_flights = Flights()


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 - Django's signature
    """
    Answer ``{"status": "healthy"}`` with 200, and ``"degraded"`` too, but ``"unhealthy"`` with 503.

    It asks for the first alias of CACHES that DripCache serves, and says nothing else, since anyone may ask. A process
    asks Redis at most once a second. A site that works without its cache should not let a load balancer take it out
    for a 503 of this view.
    """
    if not _last or time.monotonic() - _last[0][0] > FRESH:
        _flights.run(b"health", _ask)
    body = _last[0][1]
    return JsonResponse(body, status=503 if body["status"] == "unhealthy" else 200)


def _ask() -> None:
    alias = next(configured_aliases(), "default")
    status = CacheClient(CacheManager(alias)).health_check().status
    _last[:] = [(time.monotonic(), {"status": status})]
