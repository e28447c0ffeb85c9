"""The caches that are compared, and the plain socket below them: each is asked with the verbs of Django's caches."""

from __future__ import annotations

import pickle
import socket
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import hiredis
from django.conf import settings
from django.core.cache import caches
from django.utils.connection import ConnectionProxy

from django_dripcache import CacheClient, CacheManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

OURS, NEAR, THEIRS, LOCMEM, RAW = "ours", "ours, near", "django-redis", "LocMemCache", "plain socket"

TIMEOUT = 600
"""For how many seconds a value lives: longer than a run, so that none is missed because its time was over."""

ENTRIES = 10_000
"""So many entries are kept in the process at most, by the near cache and by LocMemCache."""

_OURS = "django_dripcache.backend.DripCache"
_BACKENDS = {
    NEAR: _OURS,
    OURS: _OURS,
    THEIRS: "django_redis.cache.RedisCache",
    "django-valkey": "django_valkey.cache.ValkeyCache",
    "RedisCache": "django.core.cache.backends.redis.RedisCache",
    LOCMEM: "django.core.cache.backends.locmem.LocMemCache",
}


def settings_of(url: str, crowd: int) -> dict[str, Any]:
    """
    Return CACHES, in which each cache has a database of its own of the Redis at ``url``.

    Ours has a connection for each of a ``crowd``, as the others take, and waits rather than gives up: a busy machine
    would end its calls. What fails raises: a call that failed is a fast one.
    """
    patience = {"MAX_CONNECTIONS": crowd, "SOCKET_TIMEOUT": 5, "POOL_WAIT": 5, "ON_OUTAGE": "raise"}
    options = {
        OURS: patience,
        NEAR: {**patience, "NEAR": {"MAX_ENTRIES": ENTRIES, "MAX_TTL": TIMEOUT}},
        LOCMEM: {"MAX_ENTRIES": ENTRIES},
    }
    made: dict[str, Any] = {}
    for database, (name, backend) in enumerate(_BACKENDS.items()):
        if find_spec(backend.partition(".")[0]) is None:
            continue
        place = "" if name == LOCMEM else f"{url.rpartition('/')[0]}/{database}"
        made[name] = {"BACKEND": backend, "LOCATION": place, "TIMEOUT": TIMEOUT, "OPTIONS": options.get(name, {})}
    # The server tells of names, whatever their database: those that are near have a start of their own.
    made[NEAR]["KEY_PREFIX"] = "near"
    return {"default": made[NEAR], **made}


class Contender:
    """
    A cache that is compared, by its ``name``.

    ``cache`` is for the thread that made this, and ``proxy`` for any, as ``django.core.cache.cache`` is.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.cache: Any = caches[name]
        self.proxy: Any = ConnectionProxy(caches, name)
        self.near = self.cache.client.server.near if name == NEAR else None

    def ready(self, value: Any) -> Any:
        """Return what is handed to ``set()`` for a value."""
        return value

    def has(self, verb: str) -> bool:
        """Return whether there is such a verb: all have those of Django, and ours has ``memoize``."""
        return self.name in {OURS, NEAR} if verb == "memoize" else hasattr(self.cache, verb)

    def memoize(self, function: Callable[..., Any], key: str) -> Any:
        """Return a function whose results are kept under ``key``: ours alone."""
        return CacheClient(CacheManager(self.name)).memoize(TIMEOUT, key=key)(function)


class PlainSocket(Contender):
    """A socket that knows no key, no pickle and no pool: what any call that asks Redis takes at least."""

    def __init__(self, port: int) -> None:
        self.name, self.near = RAW, None
        self.cache = Plain(port)
        self.proxy = None

    def ready(self, value: Any) -> Any:
        """See Contender.ready(): here it is the bytes, since nothing is pickled."""
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


class Plain:
    """The verbs, as commands on one socket, in a database of their own."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET)
        self._ask((b"SELECT", b"15"))

    def get(self, key: str) -> bytes | None:
        """GET."""
        return self._ask((b"GET", key))[0]  # type: ignore[no-any-return]

    def set(self, key: str, value: bytes | int) -> None:
        """SET."""
        self._ask((b"SET", key, value, b"EX", TIMEOUT))

    def incr(self, key: str) -> int:
        """INCR."""
        return self._ask((b"INCR", key))[0]  # type: ignore[no-any-return]

    def touch(self, key: str) -> None:
        """EXPIRE."""
        self._ask((b"EXPIRE", key, TIMEOUT))

    def delete(self, key: str) -> bool:
        """DEL."""
        return self._ask((b"DEL", key))[0] == 1  # type: ignore[no-any-return]

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """MGET."""
        names = list(keys)
        found = self._ask((b"MGET", *names))[0]
        return {name: value for name, value in zip(names, found, strict=True) if value is not None}

    def set_many(self, values: Mapping[str, bytes]) -> None:
        """As many SET, sent together."""
        self._ask(*((b"SET", key, value, b"EX", TIMEOUT) for key, value in values.items()))

    def delete_many(self, keys: Iterable[str]) -> None:
        """DEL."""
        self._ask((b"DEL", *keys))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        self._socket.sendall(b"".join(map(hiredis.pack_command, commands)))
        replies: list[Any] = []
        while len(replies) < len(commands):
            reply = self._reader.gets()
            if reply is _NOT_YET:
                self._reader.feed(self._socket.recv(65536))
            elif isinstance(reply, Exception):
                raise reply
            else:
                replies.append(reply)
        return replies


_NOT_YET: Any = object()


def contenders() -> list[Contender]:
    """Return all whose packages are installed, but for the plain socket."""
    return [Contender(name) for name in settings.CACHES if name != "default"]


def wait_for(near: Any, seconds: float = 10.0) -> None:
    """Wait until a near cache is connected. Raises RuntimeError if it will not be."""
    deadline = time.monotonic() + seconds
    while near.stats().status != "live":
        near.get(b"")
        if time.monotonic() > deadline:
            message = f"There is no near cache: {near.stats().reason}. It needs Redis 6.0 or newer, and hiredis."
            raise RuntimeError(message)
        time.sleep(0.01)
