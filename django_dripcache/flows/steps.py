"""
The steps that a flow may yield, and what a driver sends back for each.

A flow is a generator. A driver runs its steps, sends the replies in, throws every exception in, and returns what the
flow returns. The same flow so serves threads and event loops, and is tested without a server by scripting replies.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Sized

    from ..typing import Codec, Flow, Loader

Argument = bytes | str | int | float


class Refused(Exception):  # noqa: N818 - named for what Redis did
    """Redis refused one command for its arguments, as with a key of another type; the server itself is well."""


_SHAPES: Final[dict[Any, tuple[type, ...]]] = {
    **dict.fromkeys(("GET", "SET"), (bytes, type(None))),
    **dict.fromkeys(("MGET", "SCAN"), (list,)),
    **dict.fromkeys(("EXISTS", "PERSIST", "PEXPIRE", "PTTL", "UNLINK"), (int,)),
}


class Command:
    """One command and one round trip. The driver sends back its raw reply; a refusal is thrown as Refused."""

    __slots__ = ("args",)

    def __init__(self, *args: Argument) -> None:
        self.args = args

    def fits(self, reply: Any) -> bool:
        """Return whether a server that is well may answer with this, errors aside."""
        shapes = _SHAPES.get(self.args[0])
        if shapes is None:
            return True
        if type(reply) not in shapes:
            return False
        return self.args[0] != "MGET" or len(cast("Sized", reply)) == len(self.args) - 1


class Script:
    """One Lua script by its name in ``lua/``, sent as EVALSHA. A script that the server has lost is loaded again."""

    __slots__ = ("args", "keys", "name")

    def __init__(self, name: str, keys: list[bytes], *args: Argument) -> None:
        self.name = name
        self.keys = keys
        self.args = args

    @property
    def evalsha(self) -> Command:
        """The command that runs a script which the server has."""
        return Command("EVALSHA", digest(self.name), len(self.keys), *self.keys, *self.args)

    @property
    def eval(self) -> Command:
        """The command that brings the script along."""
        return Command("EVAL", source(self.name), len(self.keys), *self.keys, *self.args)


class Pipeline:
    """
    Several commands or scripts in one round trip, not a transaction.

    The driver sends back the list of replies, in which a Refused stands for a command that was refused.
    """

    __slots__ = ("steps",)

    def __init__(self, steps: Sequence[Command | Script]) -> None:
        self.steps = steps


class Load:
    """
    A call of the site's own loader. The driver sends back its result, awaited if need be.

    With ``once``, a key, others of this process that want the same at the same time share the result. ``key`` is the
    one that it is loaded for, if its time is to be counted.
    """

    __slots__ = ("key", "loader", "once")

    def __init__(self, loader: Loader, once: bytes | None = None, key: bytes | None = None) -> None:
        self.loader = loader
        self.once = once
        self.key = key


class Once:
    """A flow that others of this process wait for, by a key, with a Wait. The driver sends back its result."""

    __slots__ = ("flow", "key")

    def __init__(self, key: bytes, flow: Flow[Any]) -> None:
        self.key = key
        self.flow = flow


class Wait:
    """
    A wait for what another caller computes.

    Where that is a Once of this process, for at most ``seconds``; the driver sends back its result, or raises its
    error. Where it is not, for ``pause`` seconds. The driver sends back MISS where nothing came of it, and OWN to the
    one that would wait for itself.
    """

    __slots__ = ("once", "pause", "seconds")

    def __init__(self, once: bytes, pause: float, seconds: float) -> None:
        self.once = once
        self.pause = pause
        self.seconds = seconds


class Sleep:
    """A wait of so many seconds. The driver sends back nothing."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Spawn:
    """
    A flow to be run beside this one: in a thread, or as a task of the event loop.

    The driver waits for its result for ``seconds``, and sends back MISS if it is not there by then: the flow goes on.
    What it raises by then is thrown; what it raises later goes to the log.
    """

    __slots__ = ("flow", "seconds")

    def __init__(self, flow: Flow[Any], seconds: float) -> None:
        self.flow = flow
        self.seconds = seconds


class Gather:
    """
    Flows to be run side by side, at most ``at_once`` at a time, in threads or as tasks of the event loop.

    The driver sends back a list with a pair for each, in their order: what it returned and None, or None and the
    Exception that it raised. ``progress`` is called after each with how many are done.
    """

    __slots__ = ("at_once", "flows", "progress")

    def __init__(self, flows: Sequence[Flow[Any]], at_once: int, progress: Callable[[int], object]) -> None:
        self.flows = flows
        self.at_once = at_once
        self.progress = progress


class Note:
    """What a write that failed was about, for the journal. The driver sends back nothing, and never fails."""

    __slots__ = ("names", "patterns")

    def __init__(self, names: Sequence[bytes] = (), patterns: Sequence[bytes] = ()) -> None:
        self.names = names
        self.patterns = patterns


class Encode:
    """
    A value to be made bytes.

    The driver sends back the bytes, or None for more of them than the site allows; what cannot be encoded is thrown as
    SerializationError. It is a step because encoding may do I/O: pickling a QuerySet runs its query, which an event
    loop may not wait for.
    """

    __slots__ = ("codec", "key", "value")

    def __init__(self, codec: Codec, value: Any, key: bytes) -> None:
        self.codec = codec
        self.value = value
        self.key = key


class EncodeMany:
    """Values to be made bytes, by key. The driver sends back a list in their order, of what Encode is sent back."""

    __slots__ = ("codec", "entries")

    def __init__(self, codec: Codec, entries: Mapping[bytes, Any]) -> None:
        self.codec = codec
        self.entries = entries


Exchange = Command | Script | Pipeline
"""The steps that the server answers."""

Step = Command | Script | Pipeline | Load | Once | Wait | Sleep | Spawn | Gather | Encode | EncodeMany | Note

SCAN_COUNT: Final = 1000
"""COUNT of every SCAN: 100,000 keys among a million foreign ones take about a second, and others hardly notice."""


@cache
def source(name: str) -> bytes:
    """Return the text of a script; what one that begins with ``--!entry`` shares with others is put before it."""
    text = files("django_dripcache").joinpath(f"lua/{name}.lua").read_bytes()
    first = text.partition(b"\n")[0]
    return source(first[3:].decode()) + text if first.startswith(b"--!") else text


@cache
def digest(name: str) -> bytes:
    """Return what EVALSHA knows a script by."""
    return sha1(source(name), usedforsecurity=False).hexdigest().encode()
