"""What a full server has done: how many keys it has evicted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..exceptions import CacheUnavailableError
from .steps import Command, Refused

if TYPE_CHECKING:
    from ..typing import Flow


def evicted() -> Flow[int | None]:
    """Return how many keys the server has evicted since it was started; None where it does not tell."""
    try:
        about = yield Command("INFO", "stats")
    except (CacheUnavailableError, Refused):
        return None
    found = re.search(rb"^evicted_keys:(\d+)", about, re.MULTILINE) if isinstance(about, bytes) else None
    return int(found[1]) if found else None
