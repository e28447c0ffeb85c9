"""Celery on the cache's pool, and the cache within a task's budget."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from celery.signals import task_postrun, task_prerun
from kombu.pools import reset

from ..backend import configured_aliases, get_alias_server
from ..broker import celery_app
from ..conf import get_settings
from ..deadline import BUDGET, Budget
from ..exceptions import ConfigurationError
from ..policy import to_seconds
from ..transport import install as install_transport

if TYPE_CHECKING:
    from celery import Celery


def install(app: Celery | None = None) -> None:
    """
    Let Celery publish over this process' one pool, and give each task its budget, ``DRIPCACHE["TASK_BUDGET"]``.

    ``DripcacheConfig.ready()`` calls it. A program that publishes before Django is set up calls it itself, first of
    all, with its app. Where ``DRIPCACHE["SHARE_POOL"]`` is False the pools stay apart. It may be called again.
    """
    task_prerun.connect(_begin_task, weak=False, dispatch_uid="django_dripcache")
    task_postrun.connect(_end_task, weak=False, dispatch_uid="django_dripcache")
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


def _locate_all() -> None:
    with contextlib.suppress(ConfigurationError):
        for alias in configured_aliases():
            get_alias_server(alias)
