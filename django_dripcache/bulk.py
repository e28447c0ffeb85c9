"""Many keys at a time: pages of a thousand, and loaders side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from .exceptions import CacheUnavailableError
from .flows.steps import Gather
from .manager import CacheManager
from .outage import on_outage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Unpack

    from .freshness import Options
    from .typing import Flow, Loader, Seconds

T = TypeVar("T")

PAGE: Final = 1000
"""So many keys are read or written in one round trip."""


@dataclass(frozen=True, slots=True)
class Warmed:
    """What ``warm()`` came to: how many keys have a value now, and the errors of the others, by key."""

    done: int
    failed: dict[str, Exception]


class BulkManager(CacheManager):
    """A CacheManager's verbs, and those for many keys."""

    def bulk_get(self, keys: Iterable[str], default: Any = None, *, type: Any = None) -> dict[str, Any]:  # noqa: A002
        """
        Return a dict with every key, in the order given: its value, or ``default``. One round trip for 1,000 keys.

        With ``type``, a value that does not fit it is a miss.
        """
        return self._run(self._bulk_get(keys, default, type), {})

    async def abulk_get(self, keys: Iterable[str], default: Any = None, *, type: Any = None) -> dict[str, Any]:  # noqa: A002
        """See bulk_get()."""
        return await self._arun(self._bulk_get(keys, default, type), {})

    def bulk_set(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any]],
        ttl: Seconds | None = None,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[str]:
        """
        Store all ``items``, a dict or pairs, and return the keys that were not stored. One round trip for 1,000 keys.

        Pairs may come from a generator: no more than a page of them is held. ``progress`` is called after each page
        with how many items were sent so far.
        """
        return self._run(self._bulk_set(items, ttl, progress), [])

    async def abulk_set(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any]],
        ttl: Seconds | None = None,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[str]:
        """See bulk_set()."""
        return await self._arun(self._bulk_set(items, ttl, progress), [])

    def warm(
        self,
        loaders: Mapping[str, Loader] | Iterable[tuple[str, Loader]],
        ttl: Seconds | None = None,
        *,
        tags: Iterable[str] = (),
        at_once: int = 8,
        progress: Callable[[int], None] | None = None,
        **options: Unpack[Options],
    ) -> Warmed:
        """
        Call the loader of every key that has no fresh value, and store what they return. See get_or_set().

        ``loaders`` are a dict or pairs. ``at_once`` of them run side by side, in threads or as tasks of the event
        loop; 1 runs them in this thread. ``progress`` is called after each with how many are done. What could not be
        loaded or stored is told in ``failed``, and the others go on. Raises ValueError for ``at_once`` below 1.
        """
        return self._run(self._warm(loaders, ttl, tags, at_once, progress, options), Warmed(0, {}))

    async def awarm(
        self,
        loaders: Mapping[str, Loader] | Iterable[tuple[str, Loader]],
        ttl: Seconds | None = None,
        *,
        tags: Iterable[str] = (),
        at_once: int = 8,
        progress: Callable[[int], None] | None = None,
        **options: Unpack[Options],
    ) -> Warmed:
        """See warm(). Loaders may be coroutine functions."""
        return await self._arun(self._warm(loaders, ttl, tags, at_once, progress, options), Warmed(0, {}))

    def _bulk_get(self, keys: Iterable[str], default: Any, kind: Any) -> Flow[dict[str, Any]]:
        found = dict.fromkeys(keys, default)
        for page in _pages(list(found)):
            try:
                found.update((yield from self._get_many(page, self._codec(kind))))
            except CacheUnavailableError:
                if self.raises:
                    raise
        return found

    def _bulk_set(
        self, items: Mapping[str, Any] | Iterable[tuple[str, Any]], ttl: Seconds | None, progress: Any
    ) -> Flow[list[str]]:
        refused: list[str] = []
        sent = 0
        pairs = cast("Iterable[tuple[str, Any]]", items.items() if isinstance(items, Mapping) else items)
        for page in _pages(pairs):
            data = dict(page)
            try:
                refused += yield from self._set_many(data, ttl, self._codec())
            except CacheUnavailableError:
                if self.raises:
                    raise
                refused += data
            sent += len(page)
            if progress is not None:
                progress(sent)
        return refused

    def _warm(
        self, loaders: Any, ttl: Seconds | None, tags: Iterable[str], at_once: int, progress: Any, options: Options
    ) -> Flow[Warmed]:
        if type(at_once) is not int or at_once < 1:
            message = f"at_once={at_once!r} is out of range. Allowed is a number from 1 up."
            raise ValueError(message)
        work = dict(loaders)
        with on_outage("raise"):  # what could not be stored has failed
            flows = [self._get_or_set(key, loader, ttl, None, tags, **options) for key, loader in work.items()]
        outcomes = yield Gather(flows, at_once, progress or _say_nothing)
        failed = {key: error for key, (_, error) in zip(work, outcomes, strict=True) if error is not None}
        outage = next((error for error in failed.values() if isinstance(error, CacheUnavailableError)), None)
        if outage is not None and self.raises:
            raise outage
        return Warmed(len(work) - len(failed), failed)


def _say_nothing(_: int) -> None:
    pass


def _pages(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while page := list(islice(left, PAGE)):
        yield page
