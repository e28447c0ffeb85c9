"""A task whose result is kept, of which there is one at a time, or so many in a while: over all workers of a site."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from functools import lru_cache
from random import SystemRandom
from typing import TYPE_CHECKING, Any, ClassVar, Final

from celery import Task, states
from celery.exceptions import Ignore, Reject, Retry, TaskPredicate
from celery.result import AsyncResult, EagerResult
from celery.signals import task_failure, task_revoked
from celery.utils.time import maybe_make_aware
from kombu.utils.uuid import uuid

from ..codecs import MISS
from ..counts import CACHED, COUNTS, DELAYED, DROPPED, RAN
from ..exceptions import CacheUnavailableError, DuplicateTaskError
from ..flows.tasks import claim, release
from ..limiter import RateLimiter
from ..manager import CacheManager
from ..outage import on_outage
from ..policy import to_milliseconds, to_seconds
from ..services.base import Service
from .celery_rules import call_key

if TYPE_CHECKING:
    from ..freshness import Options
    from .celery_rules import Cached, Limited, Unique

LONGEST_DELAY: Final = 900.0
"""A task waits in a worker for at most so many seconds, and then asks again: Redis hands one that waits for longer than
the broker's visibility timeout, an hour by default, to another worker as well."""

_random: Final = SystemRandom().uniform
_CANVAS: Final = frozenset({"chain", "chord", "group_id", "link", "link_error"})

logger = logging.getLogger("django_dripcache")


class TaskLocks(Service):
    """The locks of tasks."""

    area: ClassVar[str] = "tasks"

    def claim(self, key: str, owner: str, ttl: int) -> str:
        """Let a key be an owner's, unless it is another's; return whose it is. Raises CacheUnavailableError."""
        with on_outage("raise"):
            return self._run(claim(self._names().name(key), owner.encode(), ttl), b"").decode()

    def release(self, key: str, owner: str) -> None:
        """Give up what is an owner's."""
        with on_outage("fallback"):
            self._run(release(self._names().name(key), owner.encode()), fallback=False)


class CacheTask(Task):  # type: ignore[misc]
    """What the decorators make a task of. It is called, sent and retried as any other."""

    abstract = True
    cached: Cached | None = None
    unique: Unique | None = None
    limited: Limited | None = None

    def apply_async(  # pyright: ignore[reportIncompatibleMethodOverride] - the others are in options
        self, args: Any = None, kwargs: Any = None, task_id: str | None = None, **options: Any
    ) -> Any:
        """Send the task, unless its result is there or another is at it. See celery.app.task.Task.apply_async()."""
        args, kwargs = tuple(args or ()), dict(kwargs or {})
        task_id = task_id or uuid()
        if self.cached is not None and not any(options.get(name) for name in _CANVAS):
            kept = _store(self.cached.alias).get(call_key(self, self.cached.key, args, kwargs), MISS)
            if kept is not MISS:
                self._count(CACHED)
                return EagerResult(task_id, kept, states.SUCCESS, name=self.name)
        if self.unique is None:
            return super().apply_async(args, kwargs, task_id, **options)
        holder = self._claim(self.unique, task_id, args, kwargs, _delay(options))
        if holder != task_id:
            self._count(DROPPED)
            return self._answer_duplicate(self.unique, args, kwargs, holder)
        try:
            return super().apply_async(args, kwargs, task_id, **options)
        except BaseException:
            self._release(self.unique, task_id, args, kwargs)
            raise

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task as a worker does; a plain call runs it, and asks nobody."""
        request = self.request
        if request.called_directly:
            return super().__call__(*args, **kwargs)
        if self.unique is None:
            return self._run_cached(args, kwargs)
        holder = self._claim(self.unique, request.id, args, kwargs)
        if holder != request.id:
            self._count(DROPPED)
            logger.info("%s[%s] is left undone: %s is at it.", self.name, request.id, holder)
            raise Ignore
        if self.unique.until == "start":
            self._release(self.unique, request.id, args, kwargs)
        try:
            return self._run_cached(args, kwargs)
        except (Ignore, Reject) as end:
            if not getattr(end, "requeue", False):  # of such an end nobody is told
                self._release(self.unique, request.id, args, kwargs)
            raise

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Give up the lock, unless the task is to be run again."""
        super().after_return(status, retval, task_id, args, kwargs, einfo)
        if self.unique is not None and self.unique.until == "finish" and status != states.RETRY:
            self._release(self.unique, task_id, tuple(args), kwargs)

    def _run_cached(self, args: Any, kwargs: Any) -> Any:
        cached = self.cached
        if cached is None:
            return self._run_limited(args, kwargs)
        key = call_key(self, cached.key, args, kwargs)
        times: Options = {"grace": cached.grace, "lease": cached.lease, "wait": cached.wait, "beta": 0}
        began = []

        def load() -> Any:
            began.append(key)
            return self._told(args, kwargs)

        try:
            result = _store(cached.alias).get_or_set(key, load, cached.ttl, **times)
        except _Passing as passing:
            raise passing.predicate from None
        if not began:
            self._count(CACHED)
        return result

    def _told(self, args: Any, kwargs: Any) -> Any:
        """Run the task; that it is to be retried or ignored is no failure, for which a stale result would do."""
        try:
            return self._run_limited(args, kwargs)
        except TaskPredicate as predicate:
            raise _Passing(predicate) from None

    def _run_limited(self, args: Any, kwargs: Any) -> Any:
        if self.limited is None:
            self._count(RAN)
            return self.run(*args, **kwargs)
        limiter = RateLimiter(self.limited.alias, algorithm=self.limited.algorithm, name=f"task:{self.name}")
        decision = limiter.hit(call_key(self, self.limited.key, args, kwargs), self.limited.rate)
        self._count(RAN if decision else DELAYED)
        if decision:
            return self.run(*args, **kwargs)
        # Those that were denied together do not come back together.
        delay = min(decision.retry_after + _random(0, decision.rate.window / 20), LONGEST_DELAY)
        again: Any = self.signature_from_request(self.request, countdown=delay, retries=self.request.retries)
        again.apply_async()
        raise Retry(message=f"The limit of {decision.rate} is reached.", when=delay, sig=again)

    def _count(self, place: int) -> None:
        COUNTS.of("t", str(self.name))[place] += 1

    def _answer_duplicate(self, unique: Unique, args: Any, kwargs: Any, holder: str) -> Any:
        if callable(unique.on_duplicate):
            return unique.on_duplicate(self, args, kwargs, holder)
        if unique.on_duplicate == "raise":
            raise DuplicateTaskError(str(self.name), holder)
        return AsyncResult(holder, backend=self.backend, app=self.app)

    def _claim(self, unique: Unique, owner: str, args: Any, kwargs: Any, delay: float = 0.0) -> str:
        """Return whose the task is; while Redis cannot be used it is its own: better twice than never."""
        ttl = to_milliseconds(to_seconds(unique.lock_ttl) + delay)
        try:
            return TaskLocks(unique.alias).claim(call_key(self, unique.key, args, kwargs), owner, ttl)
        except CacheUnavailableError:
            return owner

    def _release(self, unique: Unique, owner: str, args: Any, kwargs: Any) -> None:
        TaskLocks(unique.alias).release(call_key(self, unique.key, args, kwargs), owner)


class _Passing(BaseException):
    """What takes a Retry, an Ignore or a Reject through the cache: it is no failure of the task."""

    def __init__(self, predicate: TaskPredicate) -> None:
        self.predicate = predicate


@lru_cache(maxsize=64)
def _store(alias: str) -> CacheManager:
    return CacheManager(alias, namespace="dripcache.tasks", on_outage="fallback")


def _delay(options: dict[str, Any]) -> float:
    """Return for how many seconds a task is to wait in the queue."""
    eta = options.get("eta")
    if eta is not None:
        return float(max((maybe_make_aware(eta) - datetime.now(timezone.utc)).total_seconds(), 0))
    return float(options.get("countdown") or 0)


def _give_up(sender: Any, request: Any = None, task_id: str = "", args: Any = (), kwargs: Any = None, **_: Any) -> None:
    """Give up the lock of a task that was revoked, has expired, or whose process was lost: it cannot do so itself."""
    if isinstance(sender, CacheTask) and sender.unique is not None:
        owner = task_id if request is None else request.id
        given = (args, kwargs) if request is None else (request.args, request.kwargs)
        sender._release(sender.unique, owner, tuple(given[0] or ()), dict(given[1] or {}))  # noqa: SLF001 - its own


task_revoked.connect(_give_up, dispatch_uid="django_dripcache.tasks")
task_failure.connect(_give_up, dispatch_uid="django_dripcache.tasks")
