"""
A place of its own for all that a site's caches keep: names that nobody else has, on the server for tests.

What is put in the place of the package's own parts is put there for the whole process, since a site's threads are to
see it too: where a LOCATION is, what names begin with, and what a cache talks to. That holds whatever settings a test
overrides, and also for a cache that a module got hold of when it was imported.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

from django.conf import settings
from django.core.signals import setting_changed

from .. import _drive, broker, connections
from ..backend import DripCache
from ..broker import discover
from ..exceptions import ConfigurationError
from ..flows.steps import Load
from ..keys import root
from ..recorder import RECORDER
from .clock import Clock
from .home import get_home
from .place import Place, patient

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ..address import Broker
    from ..pools import PoolOptions
    from ..redis_client import DripClient
    from ..server import Server


class Isolation:
    """
    What one test has of the caches, from ``start()`` to ``stop()``; one within another has a place of its own.

    ``exchanges`` and ``loads`` have an item for each round trip and for each call of a loader.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.exchanges: list[None] = []
        self.loads: list[None] = []
        self.roots: set[str] = set()
        self.places: list[Place] = []
        self.is_cut = False
        self._mark = f"test.{secrets.token_hex(8)}:"
        self._clients: WeakKeyDictionary[DripCache, DripClient] = WeakKeyDictionary()
        self._patches = ExitStack()

    def start(self) -> None:
        """Let every alias that DripCache serves begin anew, with nothing in it."""
        RECORDER.paused = True  # for good: what a process of tests has counted is nobody's figures
        loads, aloads = ({Load: self._counted(steps[Load])} for steps in (_drive._HERE, _drive._AHERE))  # noqa: SLF001
        with ExitStack() as patches:
            for target, name, stand_in in (
                (connections, "discover", self._discover),
                (connections, "Server", self._make_place),
                (broker, "root", self._root),
                (DripCache, "client", property(self._client)),
            ):
                patches.enter_context(patch.object(target, name, stand_in))
            patches.enter_context(patch.dict(_drive._HERE, loads))  # noqa: SLF001
            patches.enter_context(patch.dict(_drive._AHERE, aloads))  # noqa: SLF001
            _forget_caches()
            self._patches = patches.pop_all()

    def stop(self) -> None:
        """Remove what is there, and let all be as it was."""
        with self._patches, self.clock:
            try:
                self.mend()
                for database in self.databases():
                    get_home().remove(database, sorted(self.roots))
            finally:
                _forget_caches()

    def databases(self) -> list[Broker]:
        """Return where something of this test may be."""
        return list({place.broker.identity: place.broker for place in self.places}.values())

    def cut(self) -> None:
        """Let nobody reach a server."""
        self.is_cut = True
        for place in list(self.places):
            place.pools.cut()

    def mend(self) -> None:
        """Let the servers be reached again, and let every breaker know."""
        if self.is_cut:
            self.is_cut = False
            for place in list(self.places):
                place.pools.mend()
                place.breaker.try_to_close()

    def _discover(self, location: str) -> Broker:
        try:
            theirs = discover(location)
        except ConfigurationError:
            if location not in {"", "celery"}:
                raise
            place: Hashable = "celery"  # a site's tests need no broker
        else:
            place = (theirs.places, theirs.master_name, tuple(address.db for address in theirs.addresses))
        return get_home().broker(place)

    def _make_place(self, database: Broker, options: PoolOptions) -> Server:
        options = patient(options)
        place = Place(database, options, get_home().pools(database, options), lambda: self.exchanges.append(None))
        self.places.append(place)
        if self.is_cut:
            place.pools.cut()
        return place

    def _root(self, namespace: str, global_keyprefix: str = "") -> str:
        made = root(namespace, global_keyprefix) + self._mark
        self.roots.add(made)
        return made

    def _client(self, cache: Any) -> DripClient:
        found = self._clients.get(cache)
        if found is None:
            made = cache._client_cls(cache._server, cache._params, cache)  # noqa: SLF001 - as django-redis makes it
            found = self._clients.setdefault(cache, made)
        return found

    def _counted(self, run: Any) -> Any:
        def load(step: Load, link: Any) -> Any:
            def loader() -> Any:
                self.loads.append(None)
                return step.loader()

            return run(step if step.key is None else Load(loader, step.once, step.key), link)

        return load


def _forget_caches() -> None:
    """Let everyone who knows a cache look for it anew, in all threads, as when a test overrides CACHES."""
    import django.test.signals  # noqa: F401, PLC0415 - Django's own receiver of the signal

    setting_changed.send(sender=Isolation, setting="CACHES", value=settings.CACHES, enter=True)
