"""
Several flows as one: what they ask the server at the same time is asked in one round trip.

The flows run in lockstep. Each goes on by itself up to a step that the server answers; when all wait for the server,
their steps are one Pipeline, and each is given its part of the replies as if it had asked alone. So the round
trips are those of the flow that needs most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .steps import Exchange, Pipeline, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..typing import Flow, Reply
    from .steps import Command, Script, Step


class _Course:
    """One of the flows, and how far it has come: the step that it waits for, or None and how it ended."""

    __slots__ = ("end", "flow", "step")

    def __init__(self, flow: Flow[Any]) -> None:
        self.flow = flow
        self.step: Step | None = None
        self.end: tuple[Any, Exception | None] = (None, None)

    def go(self, on: Callable[[Any], Step], given: Any) -> None:
        """Go on with a reply or an error, by the flow's own ``send`` or ``throw``; its error is its own."""
        self.step = None
        try:
            self.step = on(given)
        except StopIteration as over:
            self.end = over.value, None
        except Exception as error:  # noqa: BLE001 - it is for the one who asked for this flow
            self.end = None, error


def together(flows: Iterable[Flow[Any]]) -> Flow[list[tuple[Any, Exception | None]]]:
    """
    Run flows in lockstep; return a pair for each, in their order: what it returned and None, or None and its error.

    One round trip has one fate: what it raises is thrown into each flow that has a part in it. So they should be flows
    that read: of writes, those of one flow would fail for another's. An interrupt is thrown into every flow, each is
    let clean up, and it is raised again.
    """
    courses = [_Course(flow) for flow in flows]
    try:
        for course in courses:
            course.go(course.flow.send, None)
            yield from _alone(course)
        while asking := [course for course in courses if course.step is not None]:
            yield from _exchange(asking)
            for course in asking:
                yield from _alone(course)
    except BaseException as interrupt:
        for course in courses:
            yield from _clean_up(course.flow, interrupt)
        raise
    finally:
        for course in courses:
            course.flow.close()  # it may be abandoned while they clean up
    return [course.end for course in courses]


def _alone(course: _Course) -> Flow[None]:
    """Take the steps of a flow that are nobody else's, up to one that the server answers, or to its end."""
    while course.step is not None and not isinstance(course.step, Exchange):
        yield from _take(course)


def _take(course: _Course) -> Flow[None]:
    on: Callable[[Any], Step] = course.flow.send
    try:
        given = yield course.step
    except Exception as error:  # noqa: BLE001 - the flow decides
        on, given = course.flow.throw, error
    course.go(on, given)


def _exchange(asking: Sequence[_Course]) -> Flow[None]:
    """Ask what all of these flows wait for, in one round trip."""
    if len(asking) == 1:
        yield from _take(asking[0])
        return
    parts = [_parts(course.step) for course in asking]
    failure, replies = None, []
    try:
        replies = yield Pipeline([part for own in parts for part in own])
    except Exception as error:  # noqa: BLE001 - the flows decide
        failure = error
    rest = iter(replies)
    for course, own in zip(asking, parts, strict=True):
        if failure is None:
            _answer(course, [next(rest) for _ in own])
        else:
            course.go(course.flow.throw, failure)


def _parts(step: Any) -> Sequence[Command | Script]:
    return step.steps if isinstance(step, Pipeline) else [step]


def _answer(course: _Course, replies: list[Reply]) -> None:
    """Give a flow its replies in the way that a driver gives them to one that asks alone."""
    if isinstance(course.step, Pipeline):
        course.go(course.flow.send, replies)
    elif isinstance(replies[0], Refused):
        course.go(course.flow.throw, replies[0])
    else:
        course.go(course.flow.send, replies[0])


def _clean_up(flow: Flow[Any], interrupt: BaseException) -> Flow[None]:
    """Throw an interrupt into a flow, and take what steps it has left, whatever comes of them."""
    on: Callable[[Any], Step] = flow.throw
    given: Any = interrupt
    while True:
        try:
            step = on(given)
        except BaseException:  # noqa: BLE001 - it is over, in whatever way; the interrupt is raised for all
            return
        try:
            given = yield step
            on = flow.send
        except BaseException as error:  # noqa: BLE001
            on, given = flow.throw, error
