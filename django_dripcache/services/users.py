"""What a site keeps for each of its users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .._drive import arun, run
from ..flows import scan
from ..flows.steps import Pipeline, Script
from ..keys import escape_glob
from .base import get_user_id
from .batches import UserBatch
from .owned import OwnedCache, part

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..freshness import Options
    from ..typing import Flow, Loader, Seconds

_NO_KEY = -2


class UserCache(OwnedCache):
    """
    Values of users, over ``alias``; see EncryptableService for the arguments.

    A ``user`` is an id, a text, or an instance of a model, which stands for its pk. Values are JSON; with ``type``,
    what does not fit it is a miss. A ttl is seconds or a timedelta, by default the alias' TIMEOUT. All values of a user
    are dropped by one command, however many there are, and what is being computed for the user is not stored after it.
    """

    area: ClassVar[str] = "users"

    def get(self, user: object, key: str, default: Any = None, *, type: Any = None) -> Any:  # noqa: A002
        """Return a user's value, or ``default``."""
        return self._run(self._get(get_user_id(user), key, default, type), default)

    async def aget(self, user: object, key: str, default: Any = None, *, type: Any = None) -> Any:  # noqa: A002
        """See get()."""
        return await self._arun(self._get(get_user_id(user), key, default, type), default)

    def set(self, user: object, key: str, value: Any, ttl: Seconds | None = None) -> bool:
        """Store a user's value and return whether it was stored."""
        owner = get_user_id(user)
        return self._run(self._set(owner, key, value, ttl, [owner]), fallback=False)

    async def aset(self, user: object, key: str, value: Any, ttl: Seconds | None = None) -> bool:
        """See set()."""
        owner = get_user_id(user)
        return await self._arun(self._set(owner, key, value, ttl, [owner]), fallback=False)

    def get_or_set(
        self,
        user: object,
        key: str,
        loader: Loader,
        ttl: Seconds | None = None,
        *,
        type: Any = None,  # noqa: A002
        **options: Unpack[Options],
    ) -> Any:
        """Return a user's value; without a fresh one, let one caller compute it. See CacheManager.get_or_set()."""
        owner = get_user_id(user)
        return run(self._get_or_set(owner, key, loader, ttl, type, [owner], **options), self._link())

    async def aget_or_set(
        self,
        user: object,
        key: str,
        loader: Loader,
        ttl: Seconds | None = None,
        *,
        type: Any = None,  # noqa: A002
        **options: Unpack[Options],
    ) -> Any:
        """See get_or_set(). ``loader`` may be a coroutine function."""
        owner = get_user_id(user)
        return await arun(self._get_or_set(owner, key, loader, ttl, type, [owner], **options), self._link())

    def delete(self, user: object, key: str | None = None) -> bool:
        """Remove a user's value, or all of them without a ``key``; return whether there was one, or had been."""
        return bool(self._run(self._remove(get_user_id(user), key), 0))

    async def adelete(self, user: object, key: str | None = None) -> bool:
        """See delete()."""
        return bool(await self._arun(self._remove(get_user_id(user), key), 0))

    def batch(self) -> UserBatch:
        """Return a block whose reads go in one round trip: ``with user_cache.batch() as batch``. See Batch."""
        return UserBatch(self)

    def keys(self, user: object) -> list[str]:
        """Return the keys of a user's values, sorted. It walks over the database: for tools, not for pages."""
        return self._run(self._keys(get_user_id(user)), [])

    async def akeys(self, user: object) -> list[str]:
        """See keys()."""
        return await self._arun(self._keys(get_user_id(user)), [])

    def _remove(self, owner: str, key: str | None) -> Flow[int]:
        return self._drop(owner) if key is None else self._delete(owner, key)

    def _keys(self, owner: str) -> Flow[list[str]]:
        start = self._names().name(f"{part(owner)}:")
        found: set[bytes] = set()
        cursor = -1
        while cursor:
            cursor, names = yield from scan.page(max(cursor, 0), escape_glob(start) + b"*")
            if names:
                left = yield Pipeline([Script("read", [name], "left") for name in names])
                found.update(name for name, rest in zip(names, left, strict=True) if rest != _NO_KEY)
        return sorted(self._names().key(name).partition(":")[2] for name in found)


user_cache = UserCache()
"""The values of users of the alias ``default``; it may be imported before settings are ready."""
