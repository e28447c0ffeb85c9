"""Django's cache, the ``cache`` beside it, and functions whose results it keeps."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django.core.cache import caches

from django_dripcache import CacheClient, CacheManager

from ..verbs import Group, Raises, Spot, keep, loader, verb

VALUES: Final = {"there": "old", "other": "kept", "number": 5}
"""What is in each cache."""

NO_NUMBER: Final = Raises((ValueError,))

_GONE: Final = dict.fromkeys(VALUES)
_BOTH: Final = {"there": "many", "fresh": "many"}


class LoaderError(Exception):
    """What a loader of the site raises."""


def fail() -> str:
    """Raise as a loader does whose own service is down."""
    raise LoaderError


def load_many(keys: list[str]) -> dict[str, str]:
    """Return what a site would compute for several keys."""
    return dict.fromkeys(keys, "many")


# Django's cache


def _store(backend: Any) -> None:
    keep(lambda: not backend.set_many(VALUES), lambda: backend.sadd("members", "a") or backend.smembers("members"))


def _reads(cache: Any, *more: str) -> dict[str, Any]:
    return {key: partial(cache.get, key) for key in (*VALUES, "fresh", *more)}


BACKEND: Final = Group(
    title="Django's cache",
    make=lambda alias, _: caches[alias],
    store=_store,
    reads=_reads,
    stored=VALUES,
    spots=lambda backend: [Spot(backend.client.name(key)) for key in ("there", "number", "members")],
    spoiled=frozenset({"there", "number"}),
    verbs={
        "get": verb(lambda c: c.get("there", "default"), "reads", "old", "default", "default", "default", "default"),
        "set": verb(lambda c: c.set("there", "new"), "grows", True, False, True, True, True, writes={"there": "new"}),
        "add": verb(lambda c: c.add("fresh", 1), "grows", True, False, True, True, True, writes={"fresh": 1}),
        "delete": verb(lambda c: c.delete("there"), "removes", True, False, False, True, True, writes={"there": None}),
        "touch": verb(lambda c: c.touch("there", 60), "removes", True, False, False, True, True),
        "get_many": verb(
            lambda c: c.get_many(["there", "other"]),
            "reads",
            {"there": "old", "other": "kept"},
            {},
            {},
            {"other": "kept"},
            {"other": "kept"},
        ),
        "set_many": verb(
            lambda c: c.set_many({"there": "new", "fresh": 1}),
            "grows",
            [],
            ["there", "fresh"],
            [],
            [],
            [],
            writes={"there": "new", "fresh": 1},
        ),
        "delete_many": verb(
            lambda c: c.delete_many(["there", "other"]),
            "removes",
            None,
            None,
            None,
            None,
            None,
            writes={"there": None, "other": None},
        ),
        "incr": verb(
            lambda c: c.incr("number"),
            "grows",
            6,
            NO_NUMBER,
            NO_NUMBER,
            NO_NUMBER,
            NO_NUMBER,
            writes={"number": 6},
            noted=False,
        ),
        "get_or_set": verb(
            lambda c: c.get_or_set("there", loader),
            "reads",
            "old",
            "loaded",
            "loaded",
            "loaded",
            "loaded",
            fills={"there": "loaded"},
        ),
        "has_key": verb(lambda c: c.has_key("there"), "reads", True, False, False, True, True),
        "clear": verb(lambda c: c.clear(), "removes", None, None, None, None, None, writes=_GONE),
        "delete_pattern": verb(lambda c: c.delete_pattern("the*"), "removes", 1, 0, 0, 1, 1, writes={"there": None}),
        "ttl": verb(
            lambda c: c.ttl("there"), "reads", True, False, False, True, True, see=lambda left: 0 < left <= 300
        ),
        "sadd": verb(lambda c: c.sadd("members", "b"), "grows", 1, 0, 1, 0, 0, twin=False),
        "smembers": verb(lambda c: c.smembers("members"), "reads", {"a"}, set(), set(), set(), set(), twin=False),
    },
)


# The cache beside it


def _store_client(client: Any) -> None:
    keep(
        lambda: not client.set_many(VALUES),
        lambda: client.set_json("json", {"a": 1}),
        lambda: client.set("tagged", "old", tags=["tag"], grace=60),
        lambda: client.set("stale", "old", 0.001, grace=60),
    )


CLIENT: Final = Group(
    title="cache",
    make=lambda alias, _: CacheClient(CacheManager(alias)),
    store=_store_client,
    reads=lambda client: _reads(client, "tagged"),
    stored={**VALUES, "tagged": "old"},
    spots=lambda client: [Spot(client._name(key)) for key in ("there", "number", "json", "tagged", "stale")],
    spoiled=frozenset({"there", "number", "tagged"}),
    verbs={
        **{name: BACKEND.verbs[name] for name in ("get", "set", "delete", "get_many", "set_many", "get_or_set")},
        "set, tagged": verb(
            lambda c: c.set("tagged", "new", tags=["tag", "another"], grace=60),
            "grows",
            True,
            False,
            True,
            True,
            True,
            writes={"tagged": "new"},
        ),
        "has": verb(lambda c: c.has("there"), "reads", True, False, False, True, True),
        "get_or_set, missing": verb(
            lambda c: c.get_or_set("fresh", loader),
            "grows",
            "loaded",
            "loaded",
            "loaded",
            "loaded",
            "loaded",
            fills={"fresh": "loaded"},
        ),
        "get_or_set, tagged": verb(
            lambda c: c.get_or_set("tagged", loader, tags=["tag"], grace=60),
            "reads",
            "old",
            "loaded",
            "loaded",
            "loaded",
            "loaded",
            fills={"tagged": "loaded"},
        ),
        "get_or_set, failing": verb(
            lambda c: c.get_or_set("stale", fail, grace=60), "grows", "old", *[Raises((LoaderError,))] * 4
        ),
        "get_or_set_many": verb(
            lambda c: c.get_or_set_many(["there", "fresh"], load_many),
            "reads",
            {"there": "old", "fresh": "many"},
            _BOTH,
            _BOTH,
            _BOTH,
            _BOTH,
            fills=_BOTH,
            exchanges=2,
        ),
        "refresh": verb(
            lambda c: c.refresh("there", loader),
            "grows",
            "loaded",
            "loaded",
            "loaded",
            "loaded",
            "loaded",
            writes={"there": "loaded"},
        ),
        "invalidate_tags": verb(lambda c: c.invalidate_tags("tag"), "grows", 1, 0, 0, 1, 1, writes={"tagged": None}),
        "touch": verb(lambda c: c.touch("there", 60), "removes", True, False, False, True, True),
        "bulk_get": verb(
            lambda c: c.bulk_get(["there", "other"], 0),
            "reads",
            {"there": "old", "other": "kept"},
            {"there": 0, "other": 0},
            {"there": 0, "other": 0},
            {"there": 0, "other": "kept"},
            {"there": 0, "other": "kept"},
        ),
        "bulk_set": verb(
            lambda c: c.bulk_set({"there": "new", "fresh": 1}),
            "grows",
            [],
            ["there", "fresh"],
            [],
            [],
            [],
            writes={"there": "new", "fresh": 1},
        ),
        "warm": verb(
            lambda c: c.warm({"fresh": loader}),
            "grows",
            1,
            0,
            1,
            1,
            1,
            see=lambda warmed: warmed.done,
            fills={"fresh": "loaded"},
        ),
        "delete_many": verb(
            lambda c: c.delete_many(["there", "other"]),
            "removes",
            2,
            0,
            0,
            2,
            2,
            writes={"there": None, "other": None},
        ),
        "delete_pattern": BACKEND.verbs["delete_pattern"],
        "expire": verb(lambda c: c.expire("there", 60), "removes", True, False, False, True, True),
        "ttl": verb(
            lambda c: c.ttl("there"), "reads", True, False, False, True, True, see=lambda left: left is not None
        ),
        "get_json": verb(
            lambda c: c.get_json("json", "default"), "reads", {"a": 1}, "default", "default", "default", "default"
        ),
        "set_json": verb(
            lambda c: c.set_json("there", {"a": 2}), "grows", True, False, True, True, True, writes={"there": {"a": 2}}
        ),
        "get_many_json": verb(lambda c: c.get_many_json(["json"]), "reads", {"json": {"a": 1}}, {}, {}, {}, {}),
        "set_many_json": verb(
            lambda c: c.set_many_json({"there": 1, "fresh": 2}),
            "grows",
            [],
            ["there", "fresh"],
            [],
            [],
            [],
            writes={"there": 1, "fresh": 2},
        ),
        "incr": verb(
            lambda c: c.incr("number"),
            "grows",
            6,
            NO_NUMBER,
            1,
            NO_NUMBER,
            NO_NUMBER,
            writes={"number": 6},
            fills={"number": 1},
            noted=False,
        ),
        "decr": verb(
            lambda c: c.decr("number"),
            "grows",
            4,
            NO_NUMBER,
            -1,
            NO_NUMBER,
            NO_NUMBER,
            writes={"number": 4},
            fills={"number": -1},
            noted=False,
        ),
        "clear": verb(lambda c: c.clear(), "removes", 6, 0, 0, 6, 6, writes=dict.fromkeys((*VALUES, "tagged"))),
        "get_stats": verb(
            lambda c: c.get_stats(), "reads", True, False, True, True, True, see=lambda stats: stats.available
        ),
        "test_connection": verb(lambda c: c.test_connection(), "reads", True, False, True, True, True),
        "health_check": verb(
            lambda c: c.health_check(), "reads", True, False, True, True, True, see=lambda of: of.status != "unhealthy"
        ),
    },
)


# Functions whose results are kept


class _Report:
    """A function of the site, and what it computes now."""

    def __init__(self, alias: str, twins: bool) -> None:
        self.client = CacheClient(CacheManager(alias))

        def report(year: int) -> str:
            return "loaded"

        async def areport(year: int) -> str:
            return "loaded"

        decorated = self.client.memoize(300, key="report:{year}", tags=["year:{year}"], grace=60)
        self.function = decorated(areport if twins else report)


MEMOIZE: Final = Group(
    title="memoize",
    make=_Report,
    store=lambda report: keep(
        lambda: report.client.set("report:1", "old", tags=["year:1"], grace=60),
        lambda: report.client.set("report:2", "kept", tags=["year:2"], grace=60),
    ),
    reads=lambda report: {
        "there": lambda: report.client.get("report:1"),
        "other": lambda: report.client.get("report:2"),
    },
    stored={"there": "old", "other": "kept"},
    spots=lambda report: [Spot(report.client._name("report:1"))],
    spoiled=frozenset({"there"}),
    verbs={
        "call": verb(
            lambda c: c.function(1), "reads", "old", "loaded", "loaded", "loaded", "loaded", fills={"there": "loaded"}
        ),
        "peek": verb(lambda c: c.function.peek(1), "reads", "old", None, None, None, None),
        "refresh": verb(
            lambda c: c.function.refresh(1),
            "grows",
            "loaded",
            "loaded",
            "loaded",
            "loaded",
            "loaded",
            writes={"there": "loaded"},
        ),
        "invalidate": verb(
            lambda c: c.function.invalidate(1), "removes", True, False, False, True, True, writes={"there": None}
        ),
    },
)
