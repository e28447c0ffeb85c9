"""Locks and funnels: what cannot be had is not had."""

from __future__ import annotations

from typing import Final

from django_dripcache import CacheManager, LockTimeoutError

from ..verbs import Group, Raises, Spot, keep, verb

NOT_HAD: Final = Raises((LockTimeoutError,))


class _Holds:
    """A lock and a place that are held, and others that may be taken."""

    def __init__(self, alias: str, _: bool) -> None:
        manager = CacheManager(alias)
        self.held, self.taken, self.free = (manager.lock(name, 60) for name in ("held", "held", "free"))
        self.place, self.last, self.full = (manager.funnel("places", limit, 60) for limit in (2, 2, 1))

    def enter(self) -> bool:
        """Take the free lock for a block."""
        with self.free:
            return True

    async def aenter(self) -> bool:
        """See enter()."""
        async with self.free:
            return True


LOCKS: Final = Group(
    title="Locks",
    make=_Holds,
    store=lambda holds: keep(holds.held.acquire, holds.place.acquire),
    reads=lambda holds: {
        name: lambda name=name: getattr(holds, name).owned() or None for name in ("held", "free", "place", "last")
    },
    stored={"held": True, "place": True},
    spots=lambda holds: [Spot(holds.held._key), Spot(holds.place._key)],
    spoiled=frozenset({"held", "place"}),
    verbs={
        "acquire": verb(
            lambda c: c.free.acquire(), "grows", True, False, True, True, True, writes={"free": True}, exchanges=2
        ),
        "acquire, taken": verb(lambda c: c.taken.acquire(), "grows", False, False, True, False, False, exchanges=2),
        "release": verb(
            lambda c: c.held.release(), "removes", True, False, False, False, False, writes={"held": None}, noted=False
        ),
        "extend": verb(lambda c: c.held.extend(), "removes", True, False, False, False, False),
        "owned": verb(lambda c: c.held.owned(), "reads", True, False, False, False, False),
        "with": verb(
            lambda c: c.enter(),
            "grows",
            True,
            NOT_HAD,
            True,
            True,
            True,
            writes={"free": None},
            fills={"free": True},
            exchanges=2,
        ),
        "funnel.acquire": verb(
            lambda c: c.last.acquire(), "removes", True, False, True, False, False, writes={"last": True}, exchanges=2
        ),
        "funnel.acquire, full": verb(
            lambda c: c.full.acquire(), "removes", False, False, True, False, False, exchanges=2
        ),
        "funnel.release": verb(
            lambda c: c.place.release(),
            "removes",
            True,
            False,
            False,
            False,
            False,
            writes={"place": None},
            noted=False,
        ),
        "funnel.extend": verb(lambda c: c.place.extend(), "grows", True, False, False, False, False),
        "funnel.owned": verb(lambda c: c.place.owned(), "reads", True, False, False, False, False),
    },
)
