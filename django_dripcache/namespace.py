"""
What a manager is made of: the keys of one namespace of one alias, and the flows over them.

CacheManager and CacheClient are the verbs on top, each in two lines: one for threads, one for event loops.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from .backend import get_alias_client
from .codecs import MISS, OpenCodec, TypedCodec
from .conf import check_encrypt, check_on_outage, encrypted, get_pickle_codec
from .exceptions import CacheUnavailableError, ConfigurationError, InvalidKeyError
from .flows import counters, entries, fill, nearby, scan, values
from .flows.bounded import bounded
from .flows.fill import Place
from .flows.server import facts, ping
from .flows.steps import Load
from .freshness import Freshness
from .keys import MAX_NAME_BYTES, area, escape, escape_glob, escape_glob_text
from .outage import Degrading
from .policy import to_milliseconds
from .stats import CacheStats, Health

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from typing_extensions import Self

    from .keys import Keyspace
    from .near import Near
    from .redis_client import DripClient
    from .typing import Codec, Flow, Link, Loader, OnOutage, Seconds

T = TypeVar("T")


class Namespace(Degrading):
    """The keys of one namespace, below a prefix; see CacheManager for the arguments."""

    prefix = ""
    _held: DripClient | None = None

    def __init__(
        self,
        alias: str = "default",
        *,
        namespace: str | None = None,
        default_ttl: Seconds | None = None,
        max_keys: int | None = None,
        on_outage: OnOutage | None = None,
        encrypt: bool | None = None,
    ) -> None:
        check_name("CacheManager(namespace=...)", namespace)
        if max_keys is not None and (type(max_keys) is not int or max_keys < 1):
            message = f"CacheManager(max_keys={max_keys!r}): allowed is a number from 1 up, or None for no bound."
            raise ConfigurationError(message)
        if on_outage is not None:
            check_on_outage("CacheManager(on_outage=...)", on_outage)
        check_encrypt("CacheManager(encrypt=...)", encrypt)
        self.alias = alias
        self.namespace = namespace
        self.default_ttl = default_ttl
        self.max_keys = max_keys
        self.on_outage: OnOutage | None = on_outage
        self.encrypt = encrypt

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.alias!r}, namespace {self.namespace!r}>"

    @property
    def _client(self) -> DripClient:
        if self._held is not None:
            return self._held
        return get_alias_client(self.alias, f"CacheManager({self.alias!r})")

    @property
    def _here(self) -> Self:
        """The same for one call, in which its client is looked up once: that takes longer than a near hit."""
        here = object.__new__(type(self))
        here.__dict__.update(self.__dict__, _held=self._client)
        return here

    @property
    def _raising(self) -> bool:  # type: ignore[override]
        return self._client.raises if self.on_outage is None else self.on_outage == "raise"

    @property
    def _encrypts(self) -> bool:
        return self._client.encrypts if self.encrypt is None else self.encrypt

    @property
    def _keyspace(self) -> Keyspace:
        return self._part("c")

    @property
    def _index(self) -> bytes:
        return self._part("x").raw

    def _part(self, letter: str) -> Keyspace:
        return area(self._client.root, letter, self.namespace)

    def _name(self, key: str) -> bytes:
        return self._keyspace.name(self.prefix + key if self.prefix and isinstance(key, str) else key)

    def _lease(self, name: bytes) -> bytes:
        return self._part("l").raw + name[len(self._keyspace.raw) :]

    def _tag(self, tag: str) -> bytes:
        return self._part("t").name(tag)

    def _tags(self, tags: Iterable[str]) -> list[bytes]:
        if isinstance(tags, str):
            message = f"tags={tags!r} is one text. Allowed are several, as in tags=[{tags!r}]."
            raise TypeError(message)
        return list(dict.fromkeys(map(self._tag, tags)))

    def _pattern(self, glob: str) -> bytes:
        return self._keyspace.pattern(escape_glob_text(self.prefix) + glob)

    def _codec(self, kind: Any = None) -> Codec:
        return self._sealed(OpenCodec(get_pickle_codec()) if kind is None else TypedCodec(get_pickle_codec(), kind))

    def _sealed(self, codec: Codec) -> Codec:
        return encrypted(codec) if self._encrypts else codec

    def _ttl(self, ttl: Seconds | None) -> int | None:
        if ttl is None:
            ttl = self.default_ttl
        if ttl is None:
            return self._client.default_ttl
        return to_milliseconds(ttl)

    def _link(self, client: Any = None) -> Link:  # noqa: ARG002 - a manager has the one of its alias
        return self._client.server

    @property
    def _near(self) -> Near | None:
        return None if self._encrypts else self._client.server.near

    # Flows

    def _get(self, key: str, default: Any, codec: Codec) -> Flow[Any]:
        near, name = self._near, self._name(key)
        if near is None:
            return entries.get(name, codec, default)
        return nearby.get_entry(name, codec, default, near)

    def _set(
        self,
        key: str,
        value: Any,
        ttl: Seconds | None,
        codec: Codec,
        *,
        tags: Iterable[str] = (),
        grace: Seconds = 0,
    ) -> Flow[bool]:
        name, fresh = self._name(key), Freshness.of(self._ttl(ttl), grace=grace)
        flow = entries.set(name, self._lease(name), codec, value, fresh, self._tags(tags))
        return self._bounded(flow, [name])

    def _get_or_set(
        self,
        key: str,
        loader: Loader,
        ttl: Seconds | None,
        kind: Any,
        tags: Iterable[str],
        flow: Callable[..., Flow[Any]] = fill.get_or_set,
        **options: Any,
    ) -> Flow[Any]:
        name, fresh = self._name(key), Freshness.of(self._ttl(ttl), **options)
        place = Place(name, self._lease(name), self._codec(kind), self._tag, self._near)
        return self._bounded(flow(place, loader, fresh, self._tags(tags), strict=self.raises), [place.key])

    def _delete(self, keys: Sequence[str]) -> Flow[int]:
        names = [self._name(key) for key in keys]
        return self._bounded(entries.delete(names, [self._lease(name) for name in names]), names)

    def _get_many(self, keys: Iterable[str], codec: Codec) -> Flow[dict[str, Any]]:
        names = {key: self._name(key) for key in keys}
        wanted, near = list(names.values()), self._near
        found = yield from (entries.get_many(wanted, codec) if near is None else nearby.get_many(wanted, codec, near))
        return {key: value for key, value in zip(names, found, strict=True) if value is not MISS}

    def _get_or_set_many(
        self, keys: Iterable[str], loader: Callable[[list[str]], Any], ttl: Seconds | None, kind: Any
    ) -> Flow[dict[str, Any]]:
        wanted, found, asked = list(dict.fromkeys(keys)), {}, True
        try:
            found = yield from self._get_many(wanted, self._codec(kind))
        except CacheUnavailableError:
            if self.raises:
                raise
            asked = False  # nor would it store anything, a moment later
        missing = [key for key in wanted if key not in found]
        if missing:
            loaded = yield Load(lambda: loader(missing), key=self._name(missing[0]))
            fresh = {key: loaded[key] for key in missing if key in loaded}
            found = {**found, **fresh}
            try:
                if asked:
                    yield from self._set_many(fresh, ttl, self._codec(kind))
            except CacheUnavailableError:
                if self.raises:
                    raise
        return {key: found[key] for key in wanted if key in found}

    def _set_many(self, data: Mapping[str, Any], ttl: Seconds | None, codec: Codec) -> Flow[list[str]]:
        names = {self._name(key): key for key in data}
        stored = {name: data[key] for name, key in names.items()}
        flow = values.set_many(stored, codec, self._ttl(ttl), [self._lease(name) for name in names])
        refused = yield from self._bounded(flow, list(names))
        return [names[name] for name in refused]

    def _count(self, key: str, delta: int, ttl: Seconds | None) -> Flow[int]:
        name = self._name(key)
        flow = (
            counters.count(name, delta, self._ttl(ttl), self._codec())
            if self._encrypts
            else values.count(name, delta, self._ttl(ttl))
        )
        return values.required(self._bounded(flow, [name]), key, strict=self.raises)

    def _touch(self, key: str, ttl: int | None) -> Flow[bool]:
        name = self._name(key)
        return self._bounded(entries.touch(name, ttl), [name])

    def _remove(self, pattern: str, progress: Callable[[int], None] | None) -> Flow[int]:
        # The leases go first, and so what is being computed is void; and the tags, if nothing is to be left.
        every, start = self._pattern(pattern), escape_glob(self._client.root.encode())
        letters = b"[lt]" if pattern == "*" and not self.prefix else b"l"
        first = start + letters + every.removeprefix(start + b"c")
        return scan.remove(every, progress=progress, index=self._index, first=first)

    def _stats(self) -> Flow[CacheStats]:
        about = yield from facts()
        count = yield from scan.count(self._pattern("*"), self._name(""))
        return CacheStats.of(about, count, self._client.server.pool)

    def _health(self) -> Flow[Health]:
        server = self._client.server
        suffers = server.journal.dirty or server.breaker.in_a_row > 0
        began = time.monotonic()
        answered = yield from ping()
        latency = time.monotonic() - began if answered else None
        try:
            about = (yield from facts()) if answered else {}
        except CacheUnavailableError:
            about, latency = {}, None
        return Health.of(server, latency, about, suffers=suffers)

    def _bounded(self, flow: Flow[T], names: Sequence[bytes]) -> Flow[T]:
        return flow if self.max_keys is None else bounded(flow, self._index, self.max_keys, names)


def check_name(where: str, name: object) -> None:
    """Raise InvalidKeyError for a part of a key that is no text, or so long that patterns would not match it whole."""
    if name is not None and not isinstance(name, str):
        message = f"{where} is {name!r} ({type(name).__name__}). Allowed is a str."
        raise InvalidKeyError(message, key=name)
    if name and len(escape(name).encode()) > MAX_NAME_BYTES:
        message = f"{where} is {name[:20]!r} and more. Allowed are {MAX_NAME_BYTES} bytes."
        raise InvalidKeyError(message, key=name)
