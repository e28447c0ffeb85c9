"""What holds for a task: how long its result is kept, that there is one at a time, how many there are in a while."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..arguments import canonical
from ..policy import to_milliseconds
from ..rates import parse
from ..tasks import pack, unpack

if TYPE_CHECKING:
    from celery import Task

    from ..rates import Algorithm
    from ..typing import Seconds

Key: TypeAlias = str | Callable[..., str] | None
"""What tells the arguments of one call from another's: a template, a callable that takes them, or None for all."""

OnDuplicate: TypeAlias = Literal["drop", "raise"] | Callable[..., Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cached:
    """
    A result is kept for ``ttl``, and after that for ``grace`` for when the task fails.

    ``lease`` is how long a task may run until another may begin, and ``wait`` how long a worker waits for another that
    is at it. ``alias`` names the cache.
    """

    ttl: Seconds
    grace: Seconds = 0
    key: Key = None
    lease: Seconds = 300
    wait: Seconds = 5
    alias: str = "default"

    def __post_init__(self) -> None:
        _check_length("cached_task(ttl=...)", self.ttl)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unique:
    """
    One task with the same arguments is queued or runs at a time.

    ``lock_ttl`` is after how long another may be sent whatever became of this one: longer than it waits and runs.
    ``until`` is ``"finish"``, or ``"start"`` for one that may be sent again as soon as a worker has begun it.
    ``on_duplicate`` is ``"drop"``: the sender is given the result of the task that there is; ``"raise"``, a
    DuplicateTaskError; or a callable that is given the task, the arguments, and the id of the one that there is.
    """

    lock_ttl: Seconds
    until: Literal["start", "finish"] = "finish"
    on_duplicate: OnDuplicate = "drop"
    key: Key = None
    alias: str = "default"

    def __post_init__(self) -> None:
        _check_length("unique_task(lock_ttl=...)", self.lock_ttl)
        if self.until not in ("start", "finish"):
            message = f"unique_task(until={self.until!r}): allowed are 'start' and 'finish'."
            raise ValueError(message)
        if self.on_duplicate not in ("drop", "raise") and not callable(self.on_duplicate):
            message = f"unique_task(on_duplicate={self.on_duplicate!r}): allowed are 'drop', 'raise' and a callable."
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limited:
    """
    All workers together begin no more than ``rate``, such as ``"100/m"``; see RateLimiter.

    What is over it is sent again for when it may be allowed, and that counts as no retry. By default all calls of the
    task are counted together, whatever their arguments; with a ``key``, those of one key are.
    """

    rate: str
    key: Key = "all"
    algorithm: Algorithm = "sliding-window"
    alias: str = "default"

    def __post_init__(self) -> None:
        parse(self.rate)


def call_key(task: Task, key: Key, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """
    Return what tells one call of a task from others, the same for who sends it and for the worker.

    Raises TypeError for arguments that do not fit the task, or that no key can be made of.
    """
    sent = pack(args, kwargs)
    if sent is not None:
        given, kwargs = unpack(sent)  # as a worker sees them: a tuple is a list
        args = tuple(given)
    if callable(key):
        return f"{task.name}:{key(*args, **kwargs)}"
    bound = inspect.signature(task.run).bind(*args, **kwargs)
    bound.apply_defaults()
    if key is not None:
        return f"{task.name}:{key.format_map(bound.arguments)}"
    parts = [f"{name}={canonical(name, value)}" for name, value in bound.arguments.items()]
    return f"{task.name}({', '.join(parts)})"


def _check_length(where: str, length: Seconds) -> None:
    if to_milliseconds(length) <= 0:
        message = f"{where} is {length!r}. Allowed is more than 0 seconds."
        raise ValueError(message)
