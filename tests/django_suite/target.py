"""The backend under test, as settings: where ``__main__`` said in the environment that it and its server are."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

BACKEND = os.environ["DJANGO_SUITE_BACKEND"]
SERVER = os.environ["DJANGO_SUITE_SERVER"]

# What Django's tests put into CACHES, and what goes there instead.
SUBSTITUTES = {
    "django.core.cache.backends.locmem.LocMemCache": BACKEND,
    "cache.closeable_cache.CacheClass": "tests.django_suite.variants.CloseableCache",
    "cache.liberal_backend.CacheClass": "tests.django_suite.variants.LiberalCache",
}


def params(database: int = 0) -> dict[str, Any]:
    """Return the settings of one alias on a database of the server."""
    return {"BACKEND": BACKEND, "LOCATION": f"{SERVER}/{database}"}


def repointed(caches: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return CACHES with the backend under test for the local-memory cache, and a database for each of its stores."""
    stores: list[str] = []
    result = {}
    for alias, settings in caches.items():
        result[alias] = settings
        if settings["BACKEND"] in SUBSTITUTES:
            store = settings.get("LOCATION", "")
            stores += [] if store in stores else [store]
            backend = SUBSTITUTES[settings["BACKEND"]]
            result[alias] = {**settings, **params(stores.index(store)), "BACKEND": backend}
    return result


def overridden(test: Callable[..., Any]) -> dict[str, Any]:
    """Return the settings that ``@override_settings`` gives to a single test; none where it is not decorated."""
    if not hasattr(test, "__wrapped__"):
        return {}
    return dict(getattr(inspect.getclosurevars(test).nonlocals.get("self"), "options", {}))
