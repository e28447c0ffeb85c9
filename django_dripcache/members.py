"""
django-redis' verbs for sets, hashes and sorted sets, made safe.

They are django-redis' own, with four things changed: members are signed, members that this site did not write are left
out of what is returned, every key that a verb makes expires, and none raises for what is not of its kind, or while
Redis cannot be used (unless the site asks for that). An alias that encrypts does not have them: equal members are equal
bytes, and what is encrypted twice is not.
"""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from django_redis.client import DefaultClient
from redis.exceptions import ResponseError

from .codecs import MEMBER, MISS
from .conf import encrypted, get_pickle_codec
from .exceptions import CacheUnavailableError, ConfigurationError, SerializationError
from .lent import DrivenRedis
from .outage import Degrading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .server import Server
    from .typing import Codec


class MembersClient(Degrading, DefaultClient):  # type: ignore[misc]
    """
    The verbs for what has members, and the codec of values.

    ``forever`` is how long keys with members live, in milliseconds or None for no end; ``encrypts`` is whether the
    alias encrypts.
    """

    server: Server
    forever: int | None
    encrypts: bool

    @property
    def codec(self) -> Codec:
        """The codec of values, with the keys of the site's secret; it encrypts if the alias does."""
        codec = get_pickle_codec()
        return encrypted(codec) if self.encrypts else codec

    def encode(self, value: Any, *, allow_int: bool = True) -> bytes:  # noqa: ARG002 - django-redis' signature
        """Return a member of a set, hash or sorted set as bytes; equal members are equal bytes."""
        raw = get_pickle_codec().encode(value, MEMBER)
        limit = self.server.max_value_bytes
        if limit is not None and len(raw) > limit:
            message = (
                f"A member of {len(raw)} bytes cannot be stored. Allowed are {limit}, DRIPCACHE['MAX_VALUE_BYTES']."
            )
            raise SerializationError(message, kind=type(value).__name__)
        return raw

    def decode(self, value: Any) -> Any:
        """Return the member that ``encode()`` was given, or MISS for one that this site did not write."""
        return get_pickle_codec().decode(value, MEMBER)

    @cached_property
    def members_client(self) -> DrivenRedis:
        """The client of redis-py that these verbs use."""
        return DrivenRedis(self.server, self.forever)


def _ours(found: Any) -> Any:
    """Leave out the members that this site did not write."""
    if isinstance(found, set):
        return found - {MISS}
    if isinstance(found, list):
        return [item for item in found if item is not MISS and not (isinstance(item, tuple) and item[0] is MISS)]
    return None if found is MISS else found


def _walk(client: MembersClient, found: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from (item for item in found if item is not MISS)
    except ResponseError:
        return  # it is of another type, which is a miss
    except CacheUnavailableError:
        if client.raises:
            raise


def _safe(verb: Callable[..., Any], fallback: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb of django-redis our client, our members, and an answer for when there is none."""

    def method(self: MembersClient, *args: Any, **options: Any) -> Any:
        if self.encrypts and verb.__name__ not in _EXPIRIES:
            message = (
                f"{verb.__name__}() is for sets, hashes and sorted sets. Their members cannot be encrypted, and this "
                "alias has 'ENCRYPT': True in the OPTIONS of CACHES. Use an alias without it for them."
            )
            raise ConfigurationError(message)
        if options.get("client") is None:
            options["client"] = self.members_client
        try:
            found = verb(self, *args, **options)
        except ResponseError:
            return fallback(*args)  # it is of another type, which is a miss
        except CacheUnavailableError:
            if self.raises:
                raise
            return fallback(*args)
        return _walk(self, found) if inspect.isgenerator(found) else _ours(found)

    method.__name__, method.__doc__ = verb.__name__, verb.__doc__
    return method


def _false(*_: Any) -> bool:
    return False


def _zero(*_: Any) -> int:
    return 0


def _empty_set(*_: Any) -> set[Any]:
    return set()


def _empty_list(*_: Any) -> list[Any]:
    return []


def _nothing(*_: Any) -> None:
    return None


def _none_of(_: Any, *members: Any) -> list[bool]:
    return [False] * len(members)


_EXPIRIES: Final = {"expire", "expire_at", "pexpire", "pexpire_at"}
"""The verbs that are for any key."""

FALLBACKS: Final[dict[str, Callable[..., Any]]] = {
    **dict.fromkeys((*sorted(_EXPIRIES), "hexists", "sismember", "smove"), _false),
    **dict.fromkeys(
        ("hdel", "hlen", "hset", "sadd", "scard", "sdiffstore", "sinterstore", "srem", "sunionstore"), _zero
    ),
    **dict.fromkeys(("zadd", "zcard", "zcount", "zrem", "zremrangebyscore"), _zero),
    **dict.fromkeys(("sdiff", "sinter", "smembers", "sscan", "sunion"), _empty_set),
    **dict.fromkeys(("hkeys", "zpopmax", "zpopmin", "zrange", "zrangebyscore"), _empty_list),
    **dict.fromkeys(("zrevrange", "zrevrangebyscore"), _empty_list),
    **dict.fromkeys(("spop", "srandmember", "sscan_iter", "zincrby", "zrank", "zscore"), _nothing),
    "smismember": _none_of,
}
"""What each verb answers where there is nothing of its kind, or while Redis cannot be used."""

for _verb, _fallback in FALLBACKS.items():
    setattr(MembersClient, _verb, _safe(getattr(DefaultClient, _verb), _fallback))
