"""Acquiring and giving back, against a paper server."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.flows import locks
from django_dripcache.flows.locks import LockClaim, PlaceClaim
from django_dripcache.flows.steps import Command, Refused, Sleep

from .script import play

KEY, OWNER = b"key", b"owner"
TAKE = ("SET", KEY, OWNER, "NX", "PX", 5000)
FREE = ("lock_release.lua", [KEY], OWNER)
TAKE_PLACE = ("funnel_acquire.lua", [KEY], OWNER, 3, 5000)
FREE_PLACE = ("funnel_release.lua", [KEY], OWNER)

# (a claim, the step that takes, what Redis says to it if it is given and if it is not, the step that gives back)
CLAIMS = [
    pytest.param(LockClaim(KEY, OWNER), TAKE, b"OK", None, FREE, id="lock"),
    pytest.param(PlaceClaim(KEY, OWNER, 3), TAKE_PLACE, 1, 0, FREE_PLACE, id="funnel"),
]
claims = pytest.mark.parametrize(("claim", "take", "yes", "no", "free"), CLAIMS)


@pytest.fixture
def slept(monkeypatch):
    """The sleeps of a flow, which alone let time pass."""
    pauses: list[float] = []
    monkeypatch.setattr(locks, "time", SimpleNamespace(monotonic=lambda: sum(pauses)))
    return pauses


@claims
def test_what_is_free_is_taken_in_one_round_trip(claim, take, yes, no, free, slept):
    assert play(claim.acquire(5000, 10), (take, yes), slept=slept) is True
    assert slept == []


@claims
def test_what_is_taken_is_not_waited_for_unless_asked(claim, take, yes, no, free, slept):
    assert play(claim.acquire(5000, 0), (take, no), slept=slept) is False
    assert slept == []


@claims
def test_who_waits_asks_again_after_pauses_that_grow(claim, take, yes, no, free, slept):
    assert play(claim.acquire(5000, 60), *[(take, no)] * 12, (take, yes), slept=slept) is True
    longest = [0.01 * 2**number for number in range(5)] + [0.25] * 7
    assert all(most / 2 <= pause <= most for pause, most in zip(slept, longest, strict=True))
    assert len(set(slept)) == len(slept), "at random, lest those who wait come in step"


@claims
def test_the_last_try_is_when_the_time_is_over(claim, take, yes, no, free, slept):
    assert play(claim.acquire(5000, 0.012), (take, no), (take, no), (take, no), slept=slept) is False
    assert sum(slept) == pytest.approx(0.012)


@claims
@pytest.mark.parametrize("error", [CacheUnavailableError("Timeout"), KeyboardInterrupt(), ValueError("a signal's")])
def test_who_does_not_know_whether_it_was_given_gives_back_at_once(claim, take, yes, no, free, slept, error):
    for answer in (1, 0, CacheUnavailableError("still"), Refused("WRONGTYPE")):
        with pytest.raises(type(error)) as caught:
            play(claim.acquire(5000, 60), (take, error), (free, answer), slept=slept)
        assert caught.value is error
    assert slept == []


@claims
def test_a_second_interrupt_ends_the_giving_back(claim, take, yes, no, free, slept):
    with pytest.raises(SystemExit):
        play(claim.acquire(5000, 60), (take, KeyboardInterrupt()), (free, SystemExit()))


@claims
def test_who_is_interrupted_in_a_pause_holds_nothing_and_gives_nothing_back(claim, take, yes, no, free):
    flow = claim.acquire(5000, 60)
    next(flow)
    assert isinstance(flow.send(no), Sleep)
    with pytest.raises(KeyboardInterrupt):
        flow.throw(KeyboardInterrupt())


@claims
def test_a_flow_that_is_abandoned_takes_no_more_steps(claim, take, yes, no, free):
    flow = claim.acquire(5000, 60)
    next(flow)
    flow.close()


@claims
def test_a_key_of_another_type_is_not_acquired_and_not_owned(claim, take, yes, no, free, slept):
    assert play(claim.acquire(5000, 0), (take, Refused("WRONGTYPE"))) is False
    assert play(claim.release(), (free, Refused("WRONGTYPE"))) is False


@claims
def test_a_reply_that_means_nothing_is_no(claim, take, yes, no, free):
    for reply in (None, 0, 2, b"", b"QUEUED", [1], OWNER):
        assert play(claim.acquire(5000, 0), (take, reply)) is False
        assert play(claim.release(), (free, reply)) is False


@claims
def test_to_release_is_one_step_that_compares(claim, take, yes, no, free):
    assert play(claim.release(), (free, 1)) is True
    assert play(claim.release(), (free, 0)) is False


def test_to_extend_is_one_step_that_compares():
    for claim, name in ((LockClaim(KEY, OWNER), "lock"), (PlaceClaim(KEY, OWNER, 3), "funnel")):
        step = (f"{name}_extend.lua", [KEY], OWNER, 70)
        assert play(claim.extend(70), (step, 1)) is True
        assert play(claim.extend(70), (step, 0)) is False


def test_to_ask_changes_nothing():
    lock = LockClaim(KEY, OWNER)
    assert play(lock.owned(), (("GET", KEY), OWNER)) is True
    for other in (None, b"another", b"OK", Refused("WRONGTYPE")):
        assert play(lock.owned(), (("GET", KEY), other)) is False
    place = PlaceClaim(KEY, OWNER, 3)
    step = ("funnel_owned.lua", [KEY], OWNER)
    assert [play(place.owned(), (step, reply)) for reply in (1, 0)] == [True, False]


def test_the_paper_server_lets_sleeps_pass_and_tells_of_them():
    def sleepy():
        yield Sleep(3)
        return (yield Command("A"))

    slept: list[float] = []
    assert play(sleepy(), (("A",), 1), slept=slept) == 1
    assert play(sleepy(), (("A",), 2)) == 2
    assert slept == [3]
