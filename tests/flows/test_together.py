"""Flows in lockstep: each is answered as if it were alone, and the round trips are those of the one that needs most."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_dripcache.codecs import PickleCodec
from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.flows import entries, values
from django_dripcache.flows.steps import Command, Exchange, Load, Note, Pipeline, Refused, Script, Sleep
from django_dripcache.flows.together import together

from .script import play, shape

A, B, C = b"site:c:a", b"site:c:b", b"site:c:c"
CODEC = PickleCodec([b"secret"], compress_above=None, inflate_limit=2**20)
AWAY = CacheUnavailableError("Timeout reading from socket")
WRONGTYPE = Refused("WRONGTYPE Operation against a key holding the wrong kind of value")


class Interrupt(BaseException):
    pass


def asks(*steps):
    """Ask one step after the other, and return the replies."""
    replies = []
    for step in steps:
        replies.append((yield step))  # noqa: PERF401 - no comprehension may yield
    return replies


def get(key):
    return asks(Command("GET", key))


def values_of(ends):
    assert [error for _, error in ends] == [None] * len(ends)
    return [value for value, _ in ends]


# One round trip


def test_what_several_flows_ask_is_asked_in_one_round_trip_and_in_their_order():
    flows = [get(A), asks(Script("read", [B], "left")), asks(Pipeline([Command("GET", C), Command("PTTL", C)]))]
    asked = [("GET", A), ("read.lua", [B], "left"), ("GET", C), ("PTTL", C)]
    ends = play(together(flows), (asked, [b"a", 7, b"c", -1]))
    assert values_of(ends) == [[b"a"], [7], [[b"c", -1]]]


def test_a_flow_that_has_more_to_ask_goes_on_without_those_that_are_over():
    flows = [get(A), asks(Command("GET", B), Command("PTTL", B)), asks(Command("GET", C), Command("PTTL", C))]
    first = ([("GET", A), ("GET", B), ("GET", C)], [1, 2, 3])
    then = ([("PTTL", B), ("PTTL", C)], [4, 5])
    assert values_of(play(together(flows), first, then)) == [[1], [2, 4], [3, 5]]


def test_one_flow_asks_as_it_does_alone():
    flow = asks(Command("GET", A), Pipeline([Command("GET", B)]))
    assert values_of(play(together([flow]), (("GET", A), 1), ([("GET", B)], [2]))) == [[1, [2]]]


def test_no_flows_ask_nothing():
    assert play(together([])) == []


def test_a_pipeline_of_nothing_is_answered_with_nothing():
    flows = [asks(Pipeline([])), get(A)]
    assert values_of(play(together(flows), ([("GET", A)], [1]))) == [[[]], [1]]


def test_the_flows_of_values_are_read_in_one_round_trip():
    flows = [values.get(A, CODEC), values.get_many([B, C], CODEC), entries.has(A)]
    asked = [("GET", A), ("MGET", B, C), ("read.lua", [A], "left")]
    found = play(together(flows), (asked, [CODEC.encode("a", A), [CODEC.encode("b", B), None], 5]))
    one, many, there = values_of(found)
    assert (one, many[0], there) == ("a", "b", True)


# Errors


def test_a_command_that_is_refused_is_thrown_into_its_flow_alone():
    flows = [values.get(A, CODEC, "default"), get(B), asks(Pipeline([Command("GET", C)]))]
    asked = [("GET", A), ("GET", B), ("GET", C)]
    ends = play(together(flows), (asked, [WRONGTYPE, b"b", WRONGTYPE]))
    assert values_of(ends) == ["default", [b"b"], [[WRONGTYPE]]]


def test_a_refusal_that_a_flow_does_not_expect_is_its_end():
    ends = play(together([get(A), get(B)]), ([("GET", A), ("GET", B)], [WRONGTYPE, b"b"]))
    assert ends == [(None, WRONGTYPE), ([b"b"], None)]


def fails():
    yield Command("GET", A)
    raise LookupError


def test_the_error_of_a_flow_is_its_own():
    (nothing, error), other = play(together([fails(), get(B)]), ([("GET", A), ("GET", B)], [1, 2]))
    assert nothing is None
    assert isinstance(error, LookupError)
    assert other == ([2], None)


def test_a_flow_that_fails_before_it_asks_leaves_the_others_alone():
    def flow():
        raise LookupError
        yield

    (_, error), other = play(together([flow(), get(B)]), (("GET", B), 2))
    assert isinstance(error, LookupError)
    assert other == ([2], None)


def test_an_outage_is_thrown_into_each_flow_that_asked():
    def heals():
        try:
            yield Command("GET", A)
        except CacheUnavailableError:
            return "fallback"

    ends = play(together([heals(), get(B), asks()]), ([("GET", A), ("GET", B)], AWAY))
    assert ends == [("fallback", None), (None, AWAY), ([], None)]


def test_a_flow_may_ask_again_after_an_outage():
    def again():
        try:
            yield Command("GET", A)
        except CacheUnavailableError:
            return (yield Command("GET", C))

    ends = play(together([again(), get(B)]), ([("GET", A), ("GET", B)], AWAY), (("GET", C), 3))
    assert ends == [(3, None), (None, AWAY)]


# Steps that are nobody else's


def test_other_steps_are_taken_for_their_flow_before_the_others_are_held_up_by_the_server():
    loader = dict
    slept = []
    flows = [asks(Sleep(1), Command("GET", A), Load(loader), Command("GET", C)), asks(Command("GET", B), Sleep(2))]
    exchanges = [([("GET", A), ("GET", B)], [1, 2]), (loader, "loaded"), (("GET", C), 3)]
    assert values_of(play(together(flows), *exchanges, slept=slept)) == [[None, 1, "loaded", 3], [2, None]]
    assert slept == [1, 2]


def test_the_error_of_a_step_is_thrown_into_its_flow_alone():
    loader, error = dict, LookupError()
    ends = play(together([asks(Load(loader)), get(B)]), (loader, error), (("GET", B), 2))
    assert ends == [(None, error), ([2], None)]


# Interrupts


def guarded(key, seen):
    try:
        yield Command("GET", key)
    except GeneratorExit:
        seen.append((key, GeneratorExit))
        raise
    except BaseException as error:
        seen.append((key, type(error)))
        yield Note([key])
        raise


@pytest.mark.parametrize("interrupt", [Interrupt, KeyboardInterrupt])
def test_an_interrupt_of_the_round_trip_lets_every_flow_clean_up(interrupt):
    seen, noted = [], []
    with pytest.raises(interrupt):
        play(
            together([guarded(A, seen), get(C), guarded(B, seen)]),
            ([("GET", A), ("GET", C), ("GET", B)], interrupt()),
            noted=noted,
        )
    assert seen == [(A, interrupt), (B, interrupt)]
    assert noted == [([A], []), ([B], [])]


def test_an_interrupt_of_one_flow_s_step_lets_every_flow_clean_up():
    loader, seen, noted = dict, [], []

    def loads():
        try:
            yield Load(loader)
        finally:
            seen.append("loads")
            yield Note([A])

    with pytest.raises(Interrupt):
        play(together([guarded(B, seen), loads(), get(C)]), (loader, Interrupt()), noted=noted)
    assert seen == [(B, Interrupt), "loads"]
    assert noted == [([B], []), ([A], [])]


def test_a_flow_may_take_several_steps_to_clean_up():
    def flow():
        try:
            yield Command("GET", A)
        finally:
            released = yield Command("UNLINK", A)
            yield Note([released])

    noted = []
    asked = [("GET", A), ("GET", B)]
    with pytest.raises(Interrupt):
        play(together([flow(), get(B)]), (asked, Interrupt()), (("UNLINK", A), b"1"), noted=noted)
    assert noted == [([b"1"], [])]


def test_what_goes_wrong_while_they_clean_up_does_not_hide_the_interrupt():
    loader, seen = dict, []

    def loads_at_its_end():
        try:
            yield Command("GET", A)
        finally:
            yield Load(loader)

    def swallows():
        try:
            yield Command("GET", B)
        except Interrupt:
            return "nothing happened"

    flows = [loads_at_its_end(), swallows(), guarded(C, seen)]
    exchanges = [([("GET", A), ("GET", B), ("GET", C)], Interrupt()), (loader, LookupError())]
    with pytest.raises(Interrupt):
        play(together(flows), *exchanges)
    assert seen == [(C, Interrupt)]


def test_a_flow_that_is_interrupted_by_itself_interrupts_all():
    seen, noted = [], []

    def interrupted():
        yield Command("GET", A)
        raise Interrupt

    asked = [("GET", B), ("GET", A), ("GET", C)]
    with pytest.raises(Interrupt):
        play(together([get(B), interrupted(), guarded(C, seen)]), (asked, [1, 2, 3]), noted=noted)
    assert seen == [(C, Interrupt)]
    assert noted == [([C], [])]


def test_when_it_is_abandoned_every_flow_is():
    closed = []

    def flow(name):
        try:
            yield Command("GET", name)
        finally:
            closed.append(name)

    whole = together([flow(A), flow(B)])
    next(whole)
    whole.close()
    assert closed == [A, B]


def test_it_may_be_abandoned_while_the_flows_clean_up():
    seen = []
    whole = together([guarded(A, seen), guarded(B, seen)])
    next(whole)
    assert isinstance(whole.throw(Interrupt()), Note)
    whole.close()
    assert seen == [(A, Interrupt), (B, GeneratorExit)]


# The same as alone


def answer(step):
    """Answer a step of the paper server, always alike."""
    if isinstance(step, Pipeline):
        return [answer_part(part) for part in step.steps]
    reply = answer_part(step)
    if isinstance(reply, Refused):
        raise reply
    return reply


def answer_part(part):
    told = shape(part)
    return WRONGTYPE if "refused" in told else told


def drive(flow):
    """Run a flow to its end; return a text of what it returned or raised, and how often it asked the server."""
    trips = 0
    try:
        step = next(flow)
        while True:
            trips += isinstance(step, Exchange)
            try:
                reply = step.loader() if isinstance(step, Load) else answer(step)
            except Exception as error:  # noqa: BLE001 - as a driver does
                step = flow.throw(error)
            else:
                step = flow.send(reply)
    except StopIteration as end:
        return (end.value, None), trips
    except Exception as error:  # noqa: BLE001 - it is compared
        return (None, error), trips


def fail():
    raise LookupError


words = st.sampled_from(["a", "b", "refused"])
parts = st.one_of(st.builds(Command, st.just("GET"), words), st.builds(Script, st.just("read"), st.just([A]), words))
acts = st.one_of(
    parts,
    st.builds(Pipeline, st.lists(parts, max_size=3)),
    st.sampled_from([Load(lambda: "loaded"), Load(fail), "raise"]),
)


def playing(script, *, patient):
    log = []
    for act in script:
        if act == "raise":
            raise ZeroDivisionError
        try:
            log.append((yield act))
        except (Refused, LookupError) as error:
            if not patient:
                raise
            log.append(repr(error))
    return log


@given(st.lists(st.tuples(st.lists(acts, max_size=5), st.booleans()), max_size=5))
def test_each_comes_to_what_it_comes_to_alone(scripts):
    alone = [drive(playing(script, patient=patient)) for script, patient in scripts]
    (ends, error), trips = drive(together([playing(script, patient=patient) for script, patient in scripts]))
    assert error is None
    assert repr(ends) == repr([end for end, _ in alone])
    assert trips == max((trips for _, trips in alone), default=0)
