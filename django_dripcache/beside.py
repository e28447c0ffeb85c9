"""Work that goes on beside the one who asked for it: in threads, and in tasks of an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, Final

from .codecs import MISS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MOST: Final = 32
"""So many threads of a process work beside others at most; beyond it, the one who asks does the work itself."""

logger = logging.getLogger("django_dripcache")
_places = threading.BoundedSemaphore(MOST)
_tasks: set[asyncio.Task[Any]] = set()


def in_thread(work: Callable[[], Any], seconds: float, finish: Callable[[], None]) -> Any:
    """
    Do some work in a thread; return its result, or MISS if that takes longer than ``seconds``: always, for 0.

    What it raises later goes to the log. ``finish`` is called in the thread at the end. The thread has the caller's
    context, and ends with the process.
    """
    if not _places.acquire(blocking=False):
        return work()
    done: Future[Any] = Future()
    run = contextvars.copy_context().run

    def body() -> None:
        try:
            done.set_result(run(work))
        except BaseException as error:  # noqa: BLE001 - whoever waits is told, else the log
            done.set_exception(error)
        finally:
            _places.release()
            finish()

    threading.Thread(target=body, name="dripcache-beside", daemon=True).start()
    try:
        if seconds > 0:
            return done.result(seconds)
    except FutureTimeoutError:
        if done.done():
            return done.result()  # it is the error of the work itself
    done.add_done_callback(_tell)
    return MISS


async def in_task(work: Coroutine[Any, Any, Any], seconds: float) -> Any:
    """See in_thread(). The task is cancelled with its event loop."""
    task = asyncio.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    if seconds > 0 and (await asyncio.wait({task}, timeout=seconds))[0]:
        return task.result()
    task.add_done_callback(_tell)
    return MISS


def _tell(done: Any) -> None:
    if not done.cancelled() and done.exception() is not None:
        logger.warning("A value could not be computed in the background.", exc_info=done.exception())


def _after_fork() -> None:
    global _places  # noqa: PLW0603 - the threads that hold places are the parent's
    _places = threading.BoundedSemaphore(MOST)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
