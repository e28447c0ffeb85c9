"""A server made of paper: what a flow is expected to ask, and what it is answered."""

from __future__ import annotations

from typing import Any

from django_dripcache.flows.steps import Command, Encode, EncodeMany, Load, Note, Pipeline, Script, Sleep


def shape(step: Any) -> Any:
    """Return a step as a plain value that can be compared."""
    if isinstance(step, Command):
        return step.args
    if isinstance(step, Script):
        return (f"{step.name}.lua", step.keys, *step.args)
    if isinstance(step, Pipeline):
        return [shape(part) for part in step.steps]
    if isinstance(step, Load):
        return step.loader
    message = f"{step!r} is no step that a driver knows."
    raise AssertionError(message)


def play(
    flow: Any, *exchanges: tuple[Any, Any], noted: list[Any] | None = None, slept: list[float] | None = None
) -> Any:
    """
    Play a flow to its end and return its result.

    Each exchange is a step, as ``shape()`` gives it, and the reply to it; an exception as the reply is thrown. The
    flow must ask for these steps and no others: so an exchange is a round trip, and they are counted. Values are
    encoded as a driver does it, which is no round trip; nor is a note for the journal, which goes to ``noted``, nor a
    sleep, whose seconds go to ``slept``.
    """
    left = list(exchanges)
    result: Any = None
    ended: BaseException | None = None
    try:
        step = next(flow)
        while True:
            if isinstance(step, (Encode, EncodeMany)):
                step = _encode(flow, step)
                continue
            if isinstance(step, Note):
                step = flow.send(noted.append((list(step.names), list(step.patterns))) if noted is not None else None)
                continue
            if isinstance(step, Sleep):
                step = flow.send(slept.append(step.seconds) if slept is not None else None)
                continue
            assert left, f"one step more than expected: {shape(step)!r}"
            expected, reply = left.pop(0)
            assert shape(step) == expected
            step = flow.throw(reply) if isinstance(reply, BaseException) else flow.send(reply)
    except StopIteration as end:
        result = end.value
    except AssertionError:
        raise
    except BaseException as error:  # noqa: BLE001 - what the flow raises is judged by the caller
        ended = error
    assert not left, f"the flow ended before {left[0][0]!r}, with {ended!r}"
    if ended is not None:
        raise ended
    return result


def _encode(flow: Any, step: Encode | EncodeMany) -> Any:
    encode = step.codec.encode
    entries = {step.key: step.value} if isinstance(step, Encode) else step.entries
    try:
        raws = [encode(value, key) for key, value in entries.items()]
    except BaseException as error:  # noqa: BLE001 - as a driver does
        return flow.throw(error)
    return flow.send(raws[0] if isinstance(step, Encode) else raws)
