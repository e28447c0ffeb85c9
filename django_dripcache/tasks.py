"""
The task that computes a stale value anew, for ``memoize(refresh="celery")``.

It is told the path of a function and JSON arguments, signed with a key derived from ``SECRET_KEY``: who can write to
the broker cannot have a function of the site called by it.
"""

from __future__ import annotations

import hmac
import inspect
import logging
import typing
from datetime import date, datetime, time
from decimal import Decimal
from importlib import import_module
from operator import attrgetter
from types import UnionType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from celery import shared_task
from kombu.utils.json import dumps, loads

from .broker import celery_app
from .counts import COUNTS, DROPPED, REFRESHED
from .exceptions import ConfigurationError
from .secrecy import digest, digests

if TYPE_CHECKING:
    from collections.abc import Callable

NAME: Final = "django_dripcache.refresh"

_SENT: Final = (str, int, float, bool, type(None), list, dict, datetime, date, time, Decimal, UUID)
_NAMES: Final = "None, bool, int, float, str, list, dict, datetime, date, time, Decimal and UUID"

logger = logging.getLogger("django_dripcache")


def pack(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return arguments as the text that is sent, or None for what JSON has no form for."""
    try:
        return str(dumps([args, kwargs]))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def unpack(call: str) -> tuple[list[Any], dict[str, Any]]:
    """Return what ``pack()`` was given; tuples are lists by then."""
    args, kwargs = loads(call)
    return args, kwargs


def send(path: str, call: str) -> None:
    """Ask a worker for a call of the function at ``path``. Raises what kombu raises where the broker takes no task."""
    app = celery_app()
    if app is None:
        message = f"memoize(refresh='celery') of {path} needs a Celery app. Name it in DRIPCACHE['CELERY_APP']."
        raise ConfigurationError(message)
    arguments = [path, call, digest(NAME, f"{path} {call}")]
    app.tasks[NAME].apply_async(arguments, serializer="json", retry=False)


@shared_task(name=NAME, ignore_result=True)  # type: ignore[untyped-decorator]
def refresh(path: str, call: str, mac: str) -> bool:
    """Compute a value that is stale, unless that was done since; return whether it was this task that did it."""
    if not any(hmac.compare_digest(mac.encode(), known.encode()) for known in digests(NAME, f"{path} {call}")):
        logger.error("A task %s was not sent by this site, or with another SECRET_KEY: it is left undone.", NAME)
        return False
    try:
        memoized = find(path)
        args, kwargs = unpack(call)
        memoized.__signature__.bind(*args, **kwargs)
    except (ImportError, AttributeError, TypeError) as error:
        logger.warning("%s is not there as it was when a refresh was asked for: it is left undone. %s", path, error)
        return False
    done = bool(memoized.run_queued(args, kwargs))
    COUNTS.of("t", NAME)[REFRESHED if done else DROPPED] += 1
    return done


def find(path: str) -> Any:
    """Return the memoized function at ``module:name``, below what it is decorated with."""
    module, _, name = path.partition(":")
    found = inspect.unwrap(attrgetter(name)(import_module(module)), stop=_is_memoized)
    if not _is_memoized(found):
        message = f"It is a {type(found).__name__}, and not memoized."
        raise TypeError(message)
    return found


def _is_memoized(found: Any) -> bool:
    return hasattr(type(found), "run_queued")


def get_path(function: Callable[..., Any], *, method: bool) -> str:
    """
    Return what a worker finds a function by, ``module:name``.

    Raises TypeError for one that no worker can find, or whose arguments cannot be sent.
    """
    name = function.__qualname__
    if "<" in name or function.__module__ == "__main__":
        raise _refusal(name, "no worker can import it. Let it be a function of a module")
    if method:
        raise _refusal(
            name, "its instance or class cannot be sent. Let it be a function of a module, or a static method"
        )
    for parameter, kind in _get_hints(function).items():
        if not _may_be_sent(kind):
            kind_name = getattr(kind, "__qualname__", kind)
            raise _refusal(name, f"{parameter} is a {kind_name}. Allowed are {_NAMES}")
    return f"{function.__module__}:{name}"


def _get_hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - names that are imported for type checkers alone tell nothing here
        return {}
    return {name: kind for name, kind in hints.items() if name != "return"}


def _may_be_sent(kind: Any) -> bool:
    """Return whether a value of a type may be one of ``_SENT``: a Sequence may be a list."""
    origin = typing.get_origin(kind) or kind
    if origin in {typing.Union, UnionType}:
        return any(map(_may_be_sent, typing.get_args(kind)))
    try:
        return not isinstance(origin, type) or any(issubclass(sent, origin) for sent in _SENT)
    except TypeError:
        return True  # a TypedDict, a protocol


def _refusal(name: str, why: str) -> TypeError:
    return TypeError(f"memoize(refresh='celery') cannot send {name} to a worker: {why}.")
