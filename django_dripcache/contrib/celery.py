"""Celery on the cache's pool, the cache within a task's budget, and tasks that are cached, unique or limited."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

from celery import shared_task
from celery.signals import task_postrun, task_prerun, worker_process_shutdown
from kombu.pools import reset

from ..backend import configured_aliases, get_alias_server
from ..broker import celery_app
from ..conf import get_settings
from ..deadline import BUDGET, Budget
from ..exceptions import ConfigurationError
from ..policy import to_seconds
from ..recorder import RECORDER
from ..transport import install as install_transport
from .celery_rules import Cached, Limited, Unique
from .celery_task import CacheTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from ..rates import Algorithm
    from ..typing import Seconds
    from .celery_rules import Key, OnDuplicate


def install(app: Celery | None = None) -> None:
    """
    Let Celery publish over this process' one pool, and give each task its budget, ``DRIPCACHE["TASK_BUDGET"]``.

    ``DripcacheConfig.ready()`` calls it. A program that publishes before Django is set up calls it itself, first of
    all, with its app. Where ``DRIPCACHE["SHARE_POOL"]`` is False the pools stay apart. It may be called again.
    """
    task_prerun.connect(_begin_task, weak=False, dispatch_uid="django_dripcache")
    task_postrun.connect(_end_task, weak=False, dispatch_uid="django_dripcache")
    worker_process_shutdown.connect(_end_process, weak=False, dispatch_uid="django_dripcache")
    with contextlib.suppress(ConfigurationError):  # the checks report what is wrong; Celery must work all the same
        if not get_settings().SHARE_POOL:
            return
        install_transport(_locate_all)
        if app is None:
            celery_app()
        else:
            _forget_connections(app)


def _forget_connections(app: Celery) -> None:
    """Close the connections that an app made with pools of their own; it makes new ones when it publishes next."""
    app.pool.force_close_all()
    app._pool = app.amqp._producer_pool = None  # noqa: SLF001 - as the app itself does after a fork
    reset()


_outer: dict[str, Budget | None] = {}
"""The budgets that tasks found, by the tasks' ids: one that runs eagerly is part of a request."""


def _begin_task(task_id: str, **_: Any) -> None:
    _outer[task_id] = BUDGET.get()
    with contextlib.suppress(ConfigurationError):
        limit = get_settings().TASK_BUDGET
        BUDGET.set(None if limit is None else Budget(to_seconds(limit)))


def _end_task(task_id: str, **_: Any) -> None:
    BUDGET.set(_outer.pop(task_id, None))


def _end_process(**_: Any) -> None:
    """Send what a child of a worker has counted: it ends without further ado."""
    RECORDER.close()


def _locate_all() -> None:
    with contextlib.suppress(ConfigurationError):
        for alias in configured_aliases():
            get_alias_server(alias)


def cached_task(
    ttl: Seconds,
    *,
    grace: Seconds = 0,
    key: Key = None,
    unique: Unique | None = None,
    limited: Limited | None = None,
    app: Celery | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], Any]:
    """
    Return a decorator that makes a task whose result is kept for ``ttl``. See Cached.

    A worker that is given the same arguments returns it and does not run the task; ``delay()`` and ``apply_async()``
    answer with it at once and send nothing, but for a part of a chain, a group or a chord. ``options`` are Celery's;
    ``app`` is for a task of one app, by default it is shared.
    """
    return _make(app, options, cached=Cached(ttl=ttl, grace=grace, key=key), unique=unique, limited=limited)


def unique_task(
    lock_ttl: Seconds,
    *,
    until: Literal["start", "finish"] = "finish",
    on_duplicate: OnDuplicate = "drop",
    key: Key = None,
    cached: Cached | None = None,
    limited: Limited | None = None,
    app: Celery | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], Any]:
    """
    Return a decorator that makes a task of which one with the same arguments is queued or runs at a time. See Unique.

    While Redis cannot be used, it is not held back. For the others see cached_task().
    """
    unique = Unique(lock_ttl=lock_ttl, until=until, on_duplicate=on_duplicate, key=key)
    return _make(app, options, cached=cached, unique=unique, limited=limited)


def limited_task(
    rate: str,
    *,
    key: Key = "all",
    algorithm: Algorithm = "sliding-window",
    cached: Cached | None = None,
    unique: Unique | None = None,
    app: Celery | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], Any]:
    """
    Return a decorator that makes a task of which all workers together begin no more than ``rate``. See Limited.

    For the others see cached_task().
    """
    return _make(app, options, cached=cached, unique=unique, limited=Limited(rate=rate, key=key, algorithm=algorithm))


def _make(app: Celery | None, options: dict[str, Any], **rules: Any) -> Callable[[Callable[..., Any]], Any]:
    base = options.pop("base", CacheTask)
    if not issubclass(base, CacheTask):
        base = type(base.__name__, (CacheTask, base), {"abstract": True})
    make: Callable[[Callable[..., Any]], Any] = (shared_task if app is None else app.task)(
        base=base, **rules, **options
    )
    return make
