"""
Interrupt a call at every place where CPython may deliver a signal, one after the other, and look at what is left.

A module of its own, to be run in a process of its own: an interrupt in a finalizer can be raised nowhere, and what it
leaves to the garbage collector would be reported in another test.
"""

from __future__ import annotations

import dataclasses
import dis
import itertools
import json
import os
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

from django_dripcache._drive import run
from django_dripcache.broker import from_url
from django_dripcache.flows.steps import Command, Pipeline
from django_dripcache.pools import PoolOptions
from django_dripcache.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    from django_dripcache.flows.steps import Exchange
    from django_dripcache.typing import Flow


class InterruptError(Exception):
    """What a signal handler raises: a soft time limit, Ctrl-C."""


def interrupt_at(number: int, call: Callable[[], Any]) -> str | None:
    """Call, and raise where CPython would deliver a signal for the number-th time. Return that place, or None."""
    delivering: dict[CodeType, list[bool]] = {}
    last: dict[FrameType, bool] = {}
    count = 0
    place = None

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count, place
        frame.f_trace_opcodes = True
        if event == "opcode":
            code = frame.f_code
            if code not in delivering:
                names = (dis.opname[code.co_code[at]] for at in range(0, len(code.co_code), 2))
                delivering[code] = [name.startswith(("CALL", "RESUME", "JUMP_BACKWARD")) for name in names]
            if last.get(frame):
                count += 1
            last[frame] = delivering[code][frame.f_lasti // 2]
            if count == number:
                sys.settrace(None)
                place = f"{code.co_filename}:{frame.f_lineno} {code.co_name}"
                raise InterruptError
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for this once, in settrace()
    sys.settrace(trace)
    try:
        call()
    except InterruptError:
        pass
    finally:
        sys.settrace(before)
        last.clear()  # frames hold on to connections
    return place


@dataclasses.dataclass
class Aftermath:
    """The places where a call was interrupted, and those after which something was wrong."""

    places: list[str] = dataclasses.field(default_factory=list)
    locked: list[str] = dataclasses.field(default_factory=list)
    leaked: list[str] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)

    def interrupt(self, server: Server, number: int) -> bool:
        """Interrupt a call at its number-th place, look at what is left, and return whether there was such a place."""
        replies: list[Any] = []
        place = interrupt_at(number, lambda: run(one(Command("ECHO", "alice")), server))
        pipeline = Pipeline([Command("ECHO", "bob"), Command("CLIENT", "INFO")])
        bystander = threading.Thread(target=lambda: replies.extend(run(one(pipeline), server)), daemon=True)
        bystander.start()
        bystander.join(5)
        if place is None:
            assert replies[0] == b"bob"
            return False
        self.places.append(place)
        if bystander.is_alive():
            self.locked.append(place)
            return True
        if not replies or replies[0] != b"bob" or b" db=3 " not in replies[1]:
            self.wrong.append(place)
        # What a thread lost may wait for its next call.
        if run(one(Command("ECHO", "carol")), server) != b"carol":
            self.wrong.append(place)
        if server._pool is not None and server._pool.lent:
            self.leaked.append(place)
        server.close()
        return True


def one(step: Exchange) -> Flow[Any]:
    return (yield step)


def main(*, opened: bool) -> None:
    """Interrupt a call on a connection that is ``opened`` already or not, with a pool of its own each time."""
    broker = from_url(os.environ["DRIPCACHE_TEST_URL"], "a test")
    after = Aftermath()
    warnings.simplefilter("ignore", ResourceWarning)  # a socket that was lost is closed as it is collected
    for number in itertools.count(1):
        server = Server(broker, PoolOptions(max_connections=2, wait=1.0, socket_timeout=5.0))
        if opened:
            run(one(Command("PING")), server)
        if not after.interrupt(server, number):
            break
    print(json.dumps(dataclasses.asdict(after)))  # noqa: T201 - the test reads it
