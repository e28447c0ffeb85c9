"""
The two drivers: the only places where a flow meets a connection.

``run`` executes the steps of a flow on a connection of the process' pool, ``arun`` on one of the event loop's. Both
throw every exception into the flow, BaseException included, so that a flow that is interrupted can still clean up.
A connection on which anything but a refused command happened is closed, never reused: no reply is left for the next
caller. Nothing is ever sent twice, except a script that the server said it does not have. A call is over by its
deadline, whatever it waits for.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from redis.exceptions import ResponseError

from ._counted import Exchanging, Loading
from ._encoding import aencode, aencode_many, encode, encode_many
from ._replay import Replaying, may_replay
from ._replies import UNREADABLE, checked, commands, lost, merge, talk, unreadable, written
from .beside import in_task, in_tasks, in_thread, in_threads
from .codecs import MISS
from .deadline import timeout
from .exceptions import CacheUnavailableError
from .flight import NOBODY
from .flows.replay import replay
from .flows.steps import Command, Encode, EncodeMany, Gather, Load, Note, Once, Pipeline, Refused, Sleep, Spawn, Wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .flows.steps import Exchange, Step
    from .typing import Flow, Link, Reply

T = TypeVar("T")

_REFUSAL = re.compile(r"WRONGTYPE|value is not an? (?:integer|valid float)|would overflow|string exceeds maximum")


def run(flow: Flow[T], link: Link, execute: Callable[[Any, Link], Any] | None = None) -> T:
    """Run a flow to its end in this thread and return its result; ``execute`` is for other ways to do a step."""
    execute = execute or _execute
    try:
        step = next(flow)
        while True:
            try:
                reply = execute(step, link)
            except BaseException as error:  # noqa: BLE001 - the flow decides, also about an interrupt
                step = flow.throw(error)
            else:
                step = flow.send(reply)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def arun(flow: Flow[T], link: Link, execute: Callable[[Any, Link], Awaitable[Any]] | None = None) -> T:
    """See run()."""
    execute = execute or _aexecute
    try:
        step = next(flow)
        while True:
            try:
                reply = await execute(step, link)
            except BaseException as error:  # noqa: BLE001
                step = flow.throw(error)
            else:
                step = flow.send(reply)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def _execute(step: Step, link: Link) -> Any:
    here = _HERE.get(type(step))
    if here is not None:
        return here(step, link)
    if link.journal.dirty and may_replay(cast("Exchange", step), link):
        with Replaying(cast("Exchange", step), link):
            run(replay(link.journal), link, _send)
    return _send(cast("Exchange", step), link)


def _aexecute(step: Step, link: Link) -> Awaitable[Any]:
    here = _AHERE.get(type(step))
    if here is not None:
        return here(step, link)
    return _areplay(cast("Exchange", step), link) if link.journal.dirty else _asend(cast("Exchange", step), link)


async def _areplay(step: Exchange, link: Link) -> Reply:
    if may_replay(step, link):
        with Replaying(step, link):
            await arun(replay(link.journal), link, _asend)
    return await _asend(step, link)


def _load(step: Load, link: Link) -> Any:
    with Loading(step.key):
        return step.loader() if step.once is None else link.flights.run(step.once, step.loader)


async def _aload(step: Load, link: Link) -> Any:
    with Loading(step.key):
        if step.once is not None:
            return await link.flights.arun(step.once, step.loader)
        value = step.loader()
        return await value if inspect.isawaitable(value) else value


def _wait(step: Wait, link: Link) -> Any:
    value = link.flights.join(step.once, step.seconds)
    if value is NOBODY:
        time.sleep(step.pause)
        return MISS
    return value


async def _await(step: Wait, link: Link) -> Any:
    value = await link.flights.ajoin(step.once, step.seconds)
    if value is NOBODY:
        await asyncio.sleep(step.pause)
        return MISS
    return value


def _once(step: Once, link: Link) -> Any:
    return link.flights.run(step.key, lambda: run(step.flow, link))


async def _aonce(step: Once, link: Link) -> Any:
    return await link.flights.arun(step.key, lambda: arun(step.flow, link))


def _spawn(step: Spawn, link: Link) -> Any:
    return in_thread(lambda: run(step.flow, link), step.seconds, link.finish)


async def _aspawn(step: Spawn, link: Link) -> Any:
    return await in_task(arun(step.flow, link), step.seconds)


def _gather(step: Gather, link: Link) -> list[tuple[Any, Exception | None]]:
    work = [partial(run, flow, link) for flow in step.flows]
    return in_threads(work, step.at_once, step.progress, link.finish)


async def _agather(step: Gather, link: Link) -> list[tuple[Any, Exception | None]]:
    work = [partial(arun, flow, link) for flow in step.flows]
    return await in_tasks(work, step.at_once, step.progress)


def _note(step: Note, link: Link) -> None:
    overflows = link.journal.note(step.names, step.patterns)
    if link.near is not None:
        # After it is noted: who asks the server from here on removes first what was not to be read any more.
        link.near.forget(*step.names)
        if step.patterns:
            link.near.clear()
    if overflows:
        link.distrust("what could not be cleared earlier is being removed")


async def _anote(step: Note, link: Link) -> None:
    _note(step, link)


_HERE: Final[dict[type, Callable[[Any, Link], Any]]] = {
    Load: _load,
    Wait: _wait,
    Once: _once,
    Sleep: lambda step, _: time.sleep(step.seconds),
    Spawn: _spawn,
    Gather: _gather,
    Encode: encode,
    EncodeMany: encode_many,
    Note: _note,
}
_AHERE: Final[dict[type, Callable[[Any, Link], Awaitable[Any]]]] = {
    Load: _aload,
    Wait: _await,
    Once: _aonce,
    Sleep: lambda step, _: asyncio.sleep(step.seconds),
    Spawn: _aspawn,
    Gather: _agather,
    Encode: aencode,
    EncodeMany: aencode_many,
    Note: _anote,
}
"""What is done in this process; all else is asked of the server."""


def _send(step: Exchange, link: Link) -> Reply:
    try:
        with Exchanging(step, link):
            with link.call():
                replies = _exchange(commands(step), link)
                if again := lost(step, replies):
                    replies = merge(replies, _exchange(again, link))
            return _answer(step, replies, link)
    finally:
        if link.near is not None:
            link.near.forget(*written(step))


async def _asend(step: Exchange, link: Link) -> Reply:
    try:
        with Exchanging(step, link):
            with link.call() as call:
                replies = await _aexchange(commands(step), link, call.deadline)
                if again := lost(step, replies):
                    replies = merge(replies, await _aexchange(again, link, call.deadline))
            return _answer(step, replies, link)
    finally:
        if link.near is not None:
            link.near.forget(*written(step))


def _exchange(sent: list[Command], link: Link) -> list[Reply]:
    connection = link.pool.get_connection()
    try:
        return checked(sent, talk(connection, [command.args for command in sent]))
    except BaseException:
        connection.disconnect()
        raise
    finally:
        link.pool.release(connection)


async def _aexchange(sent: list[Command], link: Link, deadline: float) -> list[Reply]:
    pool = await link.async_pool()
    replies = None if pool.shared is None else pool.shared.send(sent, deadline)
    if replies is not None:
        return await replies  # type: ignore[no-any-return]
    async with timeout(deadline - time.monotonic()):
        replies = None if pool.shared is None else await pool.shared.connect(sent, deadline)
        return await _aexchange_alone(sent, pool) if replies is None else await replies


async def _aexchange_alone(sent: list[Command], pool: Any) -> list[Reply]:
    connection = await pool.get_connection()
    try:
        await connection.send_packed_command(connection.pack_commands([command.args for command in sent]))
        return checked(sent, [await _aread(connection) for _ in sent])
    except BaseException:
        connection.drop()
        raise
    finally:
        pool.give_back(connection)


async def _aread(connection: Any) -> Reply:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
    except UNREADABLE as error:
        raise unreadable(error) from error


def _answer(step: Exchange, replies: list[Reply], link: Link) -> Reply:
    for index, reply in enumerate(replies):
        if isinstance(reply, ResponseError):
            reason = f"{reply.status_code} {reply}" if getattr(reply, "status_code", None) else str(reply)
            if not _REFUSAL.search(reason):
                link.refused(reason.split(" ", 1)[0], reason)
                raise CacheUnavailableError(reason, answered=True) from reply
            replies[index] = Refused(reason)
    if isinstance(step, Pipeline):
        return replies
    if isinstance(replies[0], Refused):
        raise replies[0]
    return replies[0]
