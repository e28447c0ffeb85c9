"""The backend, with entries that are over at once."""

from __future__ import annotations

from typing import Any

from django_dripcache.backend import DripCache


class InstantExpiration(DripCache):
    """What is added is gone by the next call, whatever timeout it was given."""

    def add(self, key: Any, value: Any, timeout: Any = 0, version: int | None = None) -> bool:
        """Add it for no time."""
        return super().add(key, value, 0, version)
