"""The verbs of the matrix, in groups of one subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .auth import AUTH
from .caches import BACKEND, CLIENT, MEMOIZE
from .limits import LIMITS
from .locks import LOCKS
from .services import API, FLAGS, SESSIONS, USERS

if TYPE_CHECKING:
    from ..verbs import Group

GROUPS: Final[tuple[Group, ...]] = (BACKEND, CLIENT, MEMOIZE, USERS, API, SESSIONS, AUTH, FLAGS, LOCKS, LIMITS)
