"""Values that belong to an owner, all of whose values can be dropped at once: what UserCache and ApiCache share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..codecs import JSON, TypedJsonCodec
from ..flows import entries, fill, nearby
from ..flows.fill import Place
from ..freshness import Freshness
from ..keys import escape
from ..policy import to_milliseconds
from .base import EncryptableService

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..typing import Codec, Flow, Loader, Seconds


class OwnedCache(EncryptableService):
    """JSON under an owner and a key; each value carries its owner as a tag."""

    def _place(self, owner: str, key: str, kind: Any = None) -> Place:
        codec: Codec = self._sealed(JSON if kind is None else TypedJsonCodec(kind))
        name = f"{part(owner)}:{key}" if isinstance(key, str) else key
        return Place(self._names().name(name), self._names("leases").name(name), codec, self._tag, self._near)

    def _tag(self, tag: str) -> bytes:
        return self._names("tags").name(tag)

    def _get(self, owner: str, key: str, default: Any, kind: Any) -> Flow[Any]:
        place = self._place(owner, key, kind)
        if place.near is None:
            return entries.get(place.key, place.codec, default)
        return nearby.get_entry(place.key, place.codec, default, place.near)

    def _set(self, owner: str, key: str, value: Any, ttl: Seconds | None, tags: Iterable[str]) -> Flow[bool]:
        place, fresh = self._place(owner, key), Freshness.of(self._ttl(ttl))
        return entries.set(place.key, place.lease, place.codec, value, fresh, [self._tag(tag) for tag in tags])

    def _get_or_set(
        self,
        owner: str,
        key: str,
        loader: Loader,
        ttl: Seconds | None,
        kind: Any,
        tags: Iterable[str],
        **options: Any,
    ) -> Flow[Any]:
        place, fresh = self._place(owner, key, kind), Freshness.of(self._ttl(ttl), **options)
        return fill.get_or_set(place, loader, fresh, [self._tag(tag) for tag in tags], strict=self.raises)

    def _delete(self, owner: str, key: str) -> Flow[int]:
        place = self._place(owner, key)
        return entries.delete([place.key], [place.lease])

    def _drop(self, tag: str) -> Flow[int]:
        return entries.invalidate([self._tag(tag)])

    def _ttl(self, ttl: Seconds | None) -> int | None:
        return self._client.default_ttl if ttl is None else to_milliseconds(ttl)


def part(owner: str) -> str:
    """Return an owner as the first part of a name, which no other owner's can begin with."""
    return escape(owner).replace(":", "%3A")
