"""Deadlines of calls, and budgets of requests."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading
import time

import pytest

from django_dripcache.backend import get_alias_server
from django_dripcache.deadline import BUDGET, DEADLINE, Budget, budget, forget_past_deadline, left
from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.sockets import DeadlineSocket

from .processes import UNREACHABLE, site


@pytest.fixture(autouse=True)
def fresh():
    """Let each test begin without a deadline and without a budget, and leave none behind."""
    tokens = DEADLINE.set(None), BUDGET.set(None)
    yield
    DEADLINE.reset(tokens[0])
    BUDGET.reset(tokens[1])


@pytest.mark.parametrize("patience", [None, 0.25, 5.0])
def test_without_a_deadline_one_waits_as_long_as_one_has_patience(patience):
    assert left(patience) == patience


@pytest.mark.parametrize("patience", [None, 0.001, 100.0])
def test_with_a_deadline_one_waits_until_it_whatever_the_patience(patience):
    DEADLINE.set(time.monotonic() + 5)
    assert 4.5 < left(patience) <= 5


@pytest.mark.parametrize("patience", [None, 100.0])
def test_a_deadline_that_is_over_raises_a_timeout(patience):
    DEADLINE.set(time.monotonic() - 0.001)
    with pytest.raises(TimeoutError):
        left(patience)


@pytest.mark.parametrize("patience", [None, 100.0])
def test_who_reads_has_one_last_look_after_the_deadline(patience):
    DEADLINE.set(time.monotonic() - 0.001)
    assert left(patience, 0.002) == 0.002
    for last_look in (0.002, 0.0):
        with pytest.raises(TimeoutError):
            left(patience, last_look)
    forget_past_deadline()
    assert left(patience, 0.002) == patience


def test_a_past_deadline_that_an_interrupt_left_behind_is_forgotten_and_a_coming_one_stays():
    DEADLINE.set(time.monotonic() - 0.001)
    forget_past_deadline()
    assert left(0.25) == 0.25
    coming = time.monotonic() + 5
    DEADLINE.set(coming)
    forget_past_deadline()
    assert DEADLINE.get() == coming
    DEADLINE.set(None)
    forget_past_deadline()
    assert DEADLINE.get() is None


# Sockets


@pytest.fixture
def ends():
    near, far = socket.socketpair()
    with near, far:
        yield DeadlineSocket(near, 5.0), far


def timed(call):
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        call()
    return time.monotonic() - began


reading = pytest.mark.parametrize(
    "read", [lambda near: near.recv(1), lambda near: near.recv_into(bytearray(1))], ids=["recv", "recv_into"]
)


@reading
def test_a_socket_waits_for_a_reply_until_the_deadline(ends, read):
    near, _ = ends
    DEADLINE.set(time.monotonic() + 0.1)
    assert 0.09 < timed(lambda: read(near)) < 0.5
    assert timed(lambda: read(near)) < 0.05


@reading
def test_what_has_come_by_the_deadline_is_read_after_it_once(ends, read):
    near, far = ends
    far.send(b"xx")
    DEADLINE.set(time.monotonic() - 1)
    assert read(near) in (b"x", 1)
    assert timed(lambda: read(near)) < 0.05


def test_a_socket_is_cut_off_at_the_deadline_though_bytes_keep_coming(ends):
    near, far = ends
    over = threading.Event()

    def drip():
        while not over.wait(0.02):
            far.send(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    DEADLINE.set(time.monotonic() + 0.2)
    received = []
    try:
        seconds = timed(lambda: [received.append(near.recv(1)) for _ in range(1000)])
    finally:
        over.set()
        dripping.join(5)
    assert 0.19 < seconds < 0.6
    assert len(received) > 1


def test_a_socket_whose_peer_does_not_read_is_cut_off_at_the_deadline(ends):
    near, _ = ends
    DEADLINE.set(time.monotonic() + 0.1)
    assert 0.09 < timed(lambda: near.sendall(b"x" * 50_000_000)) < 0.6


def test_a_socket_without_a_deadline_has_its_own_patience(ends):
    near, far = ends
    near.settimeout(0.05)
    assert near.gettimeout() == 0.05
    assert 0.04 < timed(lambda: near.recv(1)) < 0.5
    far.send(b"y")
    assert near.recv(1) == b"y"
    near.sendall(b"z")
    assert far.recv(1) == b"z"
    assert near.fileno() > 0


# Budgets


def test_a_budget_counts_what_was_slow_and_nothing_else():
    of = Budget(0.5)
    for _ in range(1000):
        of.spend(0.001)
    of.spend(Budget.FREE)
    assert of.remaining == 0.5
    of.spend(0.2)
    assert of.remaining == pytest.approx(0.3)
    of.spend(0.4)
    assert of.remaining < 0


def test_a_budget_holds_within_its_block_and_the_outer_one_after_it():
    with budget(5) as outer:
        assert BUDGET.get() is outer
        with budget(1) as inner:
            assert BUDGET.get() is inner
            inner.spend(0.7)
        assert BUDGET.get() is outer
        assert outer.remaining == 5
    assert BUDGET.get() is None


def test_a_budget_ends_with_its_block_also_when_that_fails():
    with pytest.raises(LookupError), budget(1):
        raise LookupError
    assert BUDGET.get() is None


def test_a_budget_of_one_context_is_not_anothers():
    async def request(seconds):
        with budget(seconds) as mine:
            await asyncio.sleep(0)
            assert BUDGET.get() is mine
            mine.spend(0.1)
            await asyncio.sleep(0)
            return BUDGET.get().remaining

    async def main():
        return await asyncio.gather(*(request(seconds) for seconds in (1, 2, 3)))

    assert asyncio.run(main()) == pytest.approx([0.9, 1.9, 2.9])
    with budget(1):
        assert contextvars.Context().run(BUDGET.get) is None
        seen = []
        thread = threading.Thread(target=lambda: seen.append(BUDGET.get()))
        thread.start()
        thread.join(5)
        assert seen == [None]


# Calls


def test_a_call_within_a_call_leaves_the_outer_one_its_deadline():
    """A signal handler, a finalizer or a log handler may use the cache in the middle of a call."""
    with site(UNREACHABLE, {}):
        server = get_alias_server("default")
        with server.call() as outer:
            assert DEADLINE.get() == outer.deadline
            with server.call():
                pass
            assert DEADLINE.get() == outer.deadline
        assert DEADLINE.get() is None


def test_a_call_has_its_deadline_from_the_alias_and_from_what_is_left_of_the_budget():
    with site(UNREACHABLE, {}):
        server = get_alias_server("default")
        with server.call() as call:
            assert call.deadline - call.began == pytest.approx(0.25)
        with budget(0.1), server.call() as call:
            assert call.deadline - call.began == pytest.approx(0.1)
        with budget(0) as spent:
            assert spent.remaining == 0
            with pytest.raises(CacheUnavailableError, match="spent"):
                server.call().__enter__()
    with site(UNREACHABLE, {"SOCKET_TIMEOUT": 0.4}), get_alias_server("default").call() as call:
        assert call.deadline - call.began == pytest.approx(0.4)
