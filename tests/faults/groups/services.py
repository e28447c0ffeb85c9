"""The values of users, the answers of APIs, sessions and flags."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django_dripcache import ApiCache, FeatureFlags, SessionCache, UserCache

from ..verbs import Group, Spot, keep, loader, verb

if TYPE_CHECKING:
    from ..verbs import Verb

OWNED: Final = {"there": "old", "other": "kept", "theirs": "kept"}
"""What is in each service: of one owner, and of another."""

_LOADED: Final = ("loaded",) * 4


def _owned(**calls: Any) -> dict[str, Verb]:
    """Return the verbs that a service has for its values."""
    return {
        "get": verb(calls["get"], "reads", "old", "default", "default", "default", "default"),
        "set": verb(calls["set"], "grows", True, False, True, True, True, writes={"there": "new"}),
        "get_or_set": verb(calls["get_or_set"], "reads", "old", *_LOADED, fills={"there": "loaded"}),
        "get_or_set, missing": verb(calls["miss"], "grows", "loaded", *_LOADED, fills={"fresh": "loaded"}),
        "delete, key": verb(calls["delete"], "removes", True, False, False, True, True, writes={"there": None}),
    }


USERS: Final = Group(
    title="user_cache",
    make=lambda alias, _: UserCache(alias),
    store=lambda users: keep(
        lambda: users.set(1, "there", "old"),
        lambda: users.set(1, "other", "kept"),
        lambda: users.set(2, "there", "kept"),
    ),
    reads=lambda users: {
        **{key: partial(users.get, 1, key) for key in ("there", "other", "fresh")},
        "theirs": lambda: users.get(2, "there"),
    },
    stored=OWNED,
    spots=lambda users: [Spot(users._place("1", "there").key)],
    spoiled=frozenset({"there"}),
    verbs={
        **_owned(
            get=lambda c: c.get(1, "there", "default"),
            set=lambda c: c.set(1, "there", "new"),
            get_or_set=lambda c: c.get_or_set(1, "there", loader),
            miss=lambda c: c.get_or_set(1, "fresh", loader),
            delete=lambda c: c.delete(1, "there"),
        ),
        "delete, user": verb(
            lambda c: c.delete(1), "grows", True, False, False, True, True, writes={"there": None, "other": None}
        ),
        "keys": verb(lambda c: c.keys(1), "reads", ["other", "there"], [], [], ["other", "there"], ["other", "there"]),
    },
)

API: Final = Group(
    title="api_cache",
    make=lambda alias, _: ApiCache(alias),
    store=lambda api: keep(
        lambda: api.set("/there", "old"), lambda: api.set("/there", "kept", {"id": 7}), lambda: api.set("/else", "kept")
    ),
    reads=lambda api: {
        "there": lambda: api.get("/there"),
        "other": lambda: api.get("/there", {"id": 7}),
        "theirs": lambda: api.get("/else"),
        "fresh": lambda: api.get("/fresh"),
    },
    stored=OWNED,
    spots=lambda api: [Spot(api._place("/there", "").key)],
    spoiled=frozenset({"there"}),
    verbs={
        **_owned(
            get=lambda c: c.get("/there", None, "default"),
            set=lambda c: c.set("/there", "new"),
            get_or_set=lambda c: c.get_or_set("/there", loader),
            miss=lambda c: c.get_or_set("/fresh", loader),
            delete=lambda c: c.delete("/there", {}),
        ),
        "delete, path": verb(
            lambda c: c.delete("/there"), "grows", True, False, False, True, True, writes={"there": None, "other": None}
        ),
        "clear": verb(lambda c: c.clear(), "grows", *[None] * 5, writes=dict.fromkeys(OWNED)),
    },
)


class _Sessions(SessionCache):
    """It knows the digest of a session."""

    @property
    def digest(self) -> str:
        """What ``list_for_user()`` calls the first session."""
        return self._place.handle(self._names_of("there")[0])


SESSIONS: Final = Group(
    title="session_cache",
    make=lambda alias, _: _Sessions(alias),
    store=lambda sessions: keep(
        lambda: sessions.set("there", "old", user=1),
        lambda: sessions.set("other", "kept", user=1),
        lambda: sessions.set("theirs", "kept", user=2),
    ),
    reads=lambda sessions: {label: partial(sessions.get, label) for label in (*OWNED, "fresh")},
    stored=OWNED,
    spots=lambda sessions: [Spot(sessions._names_of("there")[0], "data")],
    spoiled=frozenset({"there"}),
    verbs={
        "get": verb(lambda c: c.get("there", "default"), "reads", "old", "default", "default", "default", "default"),
        "set": verb(lambda c: c.set("there", "new"), "grows", True, False, True, True, True, writes={"there": "new"}),
        "set, new": verb(
            lambda c: c.set("fresh", "new", user=1), "grows", True, False, True, True, True, writes={"fresh": "new"}
        ),
        "touch": verb(lambda c: c.touch("there", 60), "grows", True, False, False, True, False),
        "delete": verb(lambda c: c.delete("there"), "removes", True, False, False, True, False, writes={"there": None}),
        "list_for_user": verb(lambda c: c.list_for_user(1), "removes", 2, 0, 0, 2, 1, see=len),
        "delete_for_user": verb(
            lambda c: c.delete_for_user(1), "removes", 2, 0, 0, 2, 2, writes={"there": None, "other": None}
        ),
        "delete_by_digest": verb(
            lambda c: c.delete_by_digest(1, c.digest),
            "removes",
            True,
            False,
            False,
            True,
            False,
            writes={"there": None},
        ),
    },
)


FLAGS: Final = Group(
    title="flags",
    make=lambda alias, _: FeatureFlags(alias),
    store=lambda flags: keep(lambda: flags.set("there", True), lambda: flags.set("other", True)),
    reads=lambda flags: {name: partial(flags.get, name, None) for name in ("there", "other", "fresh")},
    stored={"there": True, "other": True},
    spots=lambda flags: [Spot(flags._key("there"))],
    spoiled=frozenset({"there"}),
    verbs={
        "get": verb(lambda c: c.get("there"), "reads", True, True, False, False, False, never=False),
        "get, not set": verb(lambda c: c.get("fresh", True), "reads", *[True] * 5),
        "set": verb(lambda c: c.set("there", False), "removes", True, False, True, True, True, writes={"there": False}),
        "set, new": verb(
            lambda c: c.set("fresh", True), "removes", True, False, True, True, True, writes={"fresh": True}
        ),
        "delete": verb(lambda c: c.delete("there"), "removes", True, False, False, True, True, writes={"there": None}),
        "all": verb(
            lambda c: c.all(),
            "reads",
            {"there": True, "other": True},
            {"there": True, "other": True},
            {},
            {"other": True},
            {"other": True},
            never={},
        ),
    },
)
