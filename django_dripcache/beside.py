"""Work that goes on beside the one who asked for it: in threads, and in tasks of an event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .codecs import MISS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

T = TypeVar("T")

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
    run = copy_context().run

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


def in_threads(
    work: Sequence[Callable[[], T]],
    at_once: int,
    progress: Callable[[int], object],
    finish: Callable[[], None],
) -> list[tuple[T | None, Exception | None]]:
    """
    Do several pieces of work, at most ``at_once`` at a time; return what each returned or raised, in their order.

    With one at a time they are done here, else in threads that have the caller's context, and ``finish`` is called
    there after each. ``progress`` is called here with how many are done. An interruption begins nothing more, and waits
    for what has begun.
    """
    if at_once == 1:
        results = []
        for piece in work:
            results.append(_outcome(piece))
            progress(len(results))
        return results
    with ThreadPoolExecutor(at_once, "dripcache-gather") as executor:
        try:
            futures = [executor.submit(copy_context().run, _outcome, piece, finish) for piece in work]
            for count, future in enumerate(as_completed(futures), 1):
                future.result()  # an interruption of a piece is the caller's
                progress(count)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


async def in_tasks(
    work: Sequence[Callable[[], Coroutine[Any, Any, T]]], at_once: int, progress: Callable[[int], object]
) -> list[tuple[T | None, Exception | None]]:
    """See in_threads(). An interruption cancels what has begun."""
    places = asyncio.Semaphore(at_once)
    done = 0

    async def outcome(piece: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T | None, Exception | None]:
        nonlocal done
        async with places:
            try:
                result: tuple[T | None, Exception | None] = await piece(), None
            except Exception as error:  # noqa: BLE001 - the others go on
                result = None, error
        done += 1
        progress(done)
        return result

    tasks = [asyncio.create_task(outcome(piece)) for piece in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _outcome(piece: Callable[[], T], finish: Callable[[], object] = bool) -> tuple[T | None, Exception | None]:
    try:
        return piece(), None
    except Exception as error:  # noqa: BLE001
        return None, error
    finally:
        finish()


def _tell(done: Any) -> None:
    if not done.cancelled() and done.exception() is not None:
        logger.warning("A value could not be computed in the background.", exc_info=done.exception())


def _after_fork() -> None:
    global _places  # noqa: PLW0603 - the threads that hold places are the parent's
    _places = threading.BoundedSemaphore(MOST)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
