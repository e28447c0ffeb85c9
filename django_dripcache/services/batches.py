"""Batches of what services read; see the module batch."""
# ruff: noqa: SLF001 - a batch has the verbs of its owner, over the owner's flows

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..batch import Batch
from .base import get_user_id

if TYPE_CHECKING:
    from ..later import Later
    from .flags import FeatureFlags
    from .users import UserCache


class UserBatch(Batch):
    """Reads of users' values, as one. See Batch."""

    _owner: UserCache

    def get(self, user: object, key: str, default: Any = None, *, type: Any = None) -> Later[Any]:  # noqa: A002
        """Read a user's value, or ``default``. See UserCache.get()."""
        owner = get_user_id(user)
        return self._later(lambda: self._owner._get(owner, key, default, type), default)


class FlagBatch(Batch):
    """Reads of flags, as one. See Batch."""

    _owner: FeatureFlags

    def get(self, name: str, default: bool = False) -> Later[bool]:  # noqa: FBT001, FBT002 - as FeatureFlags.get()
        """Read whether a flag is on, or ``default`` for one that is not set."""
        self._owner._key(name)
        strict = self._owner.raises
        return self._later(lambda: self._owner._get(name, default, strict=strict), default)
