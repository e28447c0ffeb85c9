"""What is sent for an exchange, and what its replies mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from .flows.steps import Command, Pipeline, Script

if TYPE_CHECKING:
    from .flows.steps import Exchange
    from .typing import Reply


UNREADABLE: Final = (TypeError, ValueError)
"""
What a reader of replies raises, beside redis-py's errors, for what no server says that is well: a map whose key is a
list, say.
"""

_READING: Final = frozenset({"GET", "MGET", "PTTL", "EXISTS", "SCAN", "PING", "INFO", "DBSIZE", "CLIENT", "HGETALL"})
_READING_SCRIPTS: Final = frozenset({"read", "fetch", "auth_near"})
"""What changes no value; the leases that a script takes are not near."""


def commands(step: Exchange) -> list[Command]:
    """Return what an exchange sends first: a script by its digest."""
    if type(step) is Command:
        return [step]
    steps = step.steps if isinstance(step, Pipeline) else [step]
    return [part.evalsha if isinstance(part, Script) else part for part in steps]


def written(step: Exchange) -> list[bytes]:
    """Return the names that an exchange may have changed."""
    names: list[bytes] = []
    for part in step.steps if isinstance(step, Pipeline) else [step]:
        if isinstance(part, Script):
            names += part.keys if part.name not in _READING_SCRIPTS else ()
        elif part.args[0] not in _READING:
            names += [name for name in part.args[1:] if isinstance(name, bytes)]
    return names


def lost(step: Exchange, replies: list[Reply]) -> list[Command]:
    """Return what is to be sent again: the scripts that the server does not have, with their text."""
    if NoScriptError not in map(type, replies):
        return []
    steps = step.steps if isinstance(step, Pipeline) else [step]
    return [
        part.eval
        for part, reply in zip(steps, replies, strict=True)
        if isinstance(part, Script) and isinstance(reply, NoScriptError)
    ]


def merge(replies: list[Reply], again: list[Reply]) -> list[Reply]:
    """Put the later replies in the places of those that said that there is no such script."""
    later = iter(again)
    return [next(later) if isinstance(reply, NoScriptError) else reply for reply in replies]


def checked(sent: list[Command], replies: list[Reply]) -> list[Reply]:
    """Return replies, or raise ConnectionError of redis-py for one after which the connection is of no use."""
    for command, reply in zip(sent, replies, strict=True):
        if isinstance(reply, Exception):
            if not isinstance(reply, ResponseError):
                raise reply
        elif not command.fits(reply):
            message = f"Redis answered {command.args[0]!s} with {type(reply).__name__} of another shape than it has"
            raise RedisConnectionError(message)
    return replies


def talk(connection: Any, commands: list[Any]) -> list[Reply]:
    """Send commands on a connection and return their replies; an error that Redis answers is one of them."""
    wire = getattr(connection, "wire", None)
    if wire is not None:
        return connection.exchange(wire, commands)  # type: ignore[no-any-return]
    connection.send_packed_command(connection.pack_commands(commands))
    return [_read(connection) for _ in commands]


def _read(connection: Any) -> Reply:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
    except UNREADABLE as error:
        raise unreadable(error) from error


def unreadable(error: Exception) -> RedisConnectionError:
    """Return what to raise for UNREADABLE: the connection is of no use any more."""
    return RedisConnectionError(f"Redis answered what cannot be read: {error}")
