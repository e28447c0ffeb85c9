"""What is called in the matrix, and what each call comes to, whatever the server does."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, Literal

from ..processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from .outages import Fault

STORED: Final = {"there": "old", "other": "kept", "number": 5}
"""What is in the cache before each call."""


class Raises(tuple):  # noqa: SLOT001
    """The errors of which one leaves a verb, in the place of an answer."""


NO_NUMBER: Final = Raises((ValueError,))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verb:
    """
    One call, and its answer: as it should be, while Redis is away, from an empty database, over values that cannot be
    read, and over values of another type.

    ``writes`` is what the keys that it is about hold after it, None for nothing.
    """

    call: Callable[[Any], Any]
    kind: Literal["reads", "removes", "grows"]
    well: Any
    away: Any
    empty: Any
    unreadable: Any
    odd: Any
    see: Callable[[Any], Any] = lambda answer: answer
    writes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def answers(self, fault: Fault) -> list[Any]:
        """Return what the call may come to during a fault."""
        if fault.answers == "either":
            return [self.well, self.away]
        if fault.answers in {"empty", "unreadable", "odd"}:
            return [getattr(self, fault.answers)]
        works = {"nothing": (), "reads": ("reads",), "reads and removes": ("reads", "removes")}[fault.answers]
        return [self.well if self.kind in works else self.away]


def _verb(call: Callable[[Any], Any], kind: Any, well: Any, away: Any, *rest: Any, **more: Any) -> Verb:
    empty, unreadable, odd = rest
    return Verb(call=call, kind=kind, well=well, away=away, empty=empty, unreadable=unreadable, odd=odd, **more)


def loader() -> str:
    """Return what a site would compute."""
    return "loaded"


_GONE: Final = dict.fromkeys(STORED)

BACKEND: Final[dict[str, Verb]] = {
    "get": _verb(lambda c: c.get("there", "default"), "reads", "old", "default", "default", "default", "default"),
    "set": _verb(lambda c: c.set("there", "new"), "grows", True, False, True, True, True, writes={"there": "new"}),
    "add": _verb(lambda c: c.add("fresh", 1), "grows", True, False, True, True, True, writes={"fresh": 1}),
    "delete": _verb(lambda c: c.delete("there"), "removes", True, False, False, True, True, writes={"there": None}),
    "touch": _verb(lambda c: c.touch("there", 60), "removes", True, False, False, True, True),
    "get_many": _verb(
        lambda c: c.get_many(["there", "other"]),
        "reads",
        {"there": "old", "other": "kept"},
        {},
        {},
        {"other": "kept"},
        {"other": "kept"},
    ),
    "set_many": _verb(
        lambda c: c.set_many({"there": "new", "fresh": 1}),
        "grows",
        [],
        ["there", "fresh"],
        [],
        [],
        [],
        writes={"there": "new", "fresh": 1},
    ),
    "delete_many": _verb(
        lambda c: c.delete_many(["there", "other"]),
        "removes",
        None,
        None,
        None,
        None,
        None,
        writes={"there": None, "other": None},
    ),
    "incr": _verb(
        lambda c: c.incr("number"), "grows", 6, NO_NUMBER, NO_NUMBER, NO_NUMBER, NO_NUMBER, writes={"number": 6}
    ),
    "get_or_set": _verb(
        lambda c: c.get_or_set("there", loader), "reads", "old", "loaded", "loaded", "loaded", "loaded"
    ),
    "has_key": _verb(lambda c: c.has_key("there"), "reads", True, False, False, True, True),
    "clear": _verb(lambda c: c.clear(), "removes", None, None, None, None, None, writes=_GONE),
    "delete_pattern": _verb(lambda c: c.delete_pattern("the*"), "removes", 1, 0, 0, 1, 1, writes={"there": None}),
    "ttl": _verb(lambda c: c.ttl("there"), "reads", 300, 0, 0, 300, 300),
    "sadd": _verb(lambda c: c.sadd("members", "b"), "grows", 1, 0, 1, 0, 0),
    "smembers": _verb(lambda c: c.smembers("members"), "reads", {"a"}, set(), set(), set(), set()),
}

CLIENT: Final[dict[str, Verb]] = {
    **{name: BACKEND[name] for name in ("get", "set", "get_or_set")},
    "get_json": _verb(
        lambda c: c.get_json("json", "default"), "reads", {"a": 1}, "default", "default", "default", "default"
    ),
    "incr": _verb(lambda c: c.incr("number"), "grows", 6, NO_NUMBER, 1, NO_NUMBER, NO_NUMBER, writes={"number": 6}),
    "clear": _verb(lambda c: c.clear(), "removes", 4, 0, 0, 4, 4, writes=_GONE),
    "get_stats": _verb(
        lambda c: c.get_stats(), "reads", True, False, True, True, True, see=lambda stats: stats.available
    ),
    "health_check": _verb(
        lambda c: c.health_check(), "reads", True, False, True, True, True, see=lambda of: of.status != "unhealthy"
    ),
}


def store(cache: Any) -> None:
    """Put into a cache what each call finds there; a busy machine may need another try."""
    for key, value in STORED.items():
        wait_for(lambda key=key, value=value: cache.set(key, value))
    if hasattr(cache, "sadd"):
        cache.sadd("members", "a")
    else:
        wait_for(lambda: cache.set_json("json", {"a": 1}))


def names(cache: Any) -> list[bytes]:
    """Return the names in Redis of the values that a fault may spoil."""
    if hasattr(cache, "sadd"):
        return [cache.client.name(key) for key in ("there", "number", "members")]
    return [cache._name(key) for key in ("there", "number", "json")]
