"""The breaker: when it opens, whom it lets pass, and how it closes."""

from __future__ import annotations

import logging
import threading
import time
from types import SimpleNamespace

import pytest

from django_dripcache import breaker as module
from django_dripcache.backend import get_alias_server
from django_dripcache.breaker import CONSECUTIVE, OVERDUE, PROBE_EVERY, VOLUME, WINDOW, Breaker
from django_dripcache.connections import close_all

from .processes import UNREACHABLE, in_threads, site, wait_for


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Setup:
    """A breaker with a clock and a server of paper; ``threads`` are those that would probe."""

    def __init__(self, monkeypatch):
        self.clock, self.well, self.asked, self.told, self.threads = Clock(), False, 0, [], []
        fake = SimpleNamespace(Lock=threading.Lock, Thread=self._thread)
        monkeypatch.setattr(module, "threading", fake)
        self.breaker = Breaker(self._probe, self.told.append, self.clock)

    def _thread(self, target, **options):
        assert options["daemon"]
        self.threads.append(target)
        return SimpleNamespace(start=lambda: None)

    def _probe(self):
        self.asked += 1
        if isinstance(self.well, Exception):
            raise self.well
        return self.well

    def open(self):
        for _ in range(CONSECUTIVE):
            self.breaker.failed()
        assert self.breaker.is_open


@pytest.fixture
def setup(monkeypatch):
    return Setup(monkeypatch)


# Opening


def test_it_is_closed_at_first_and_lets_everyone_pass_without_a_question(setup):
    assert all(setup.breaker.allows() for _ in range(100))
    assert not setup.breaker.is_open
    assert setup.asked == 0


def test_it_opens_after_three_failures_in_a_row_and_not_before(setup):
    for expected in (False, False, True):
        setup.breaker.failed()
        assert setup.breaker.is_open is expected
    assert setup.breaker.opened == 1
    assert setup.told == ["open"]
    assert not setup.breaker.allows()


def test_an_answer_in_between_begins_the_row_anew(setup):
    for _ in range(6):
        setup.breaker.failed()
        setup.breaker.failed()
        setup.breaker.succeeded()
        setup.breaker.succeeded()
        setup.breaker.succeeded()
    assert not setup.breaker.is_open


def test_it_opens_when_half_of_twenty_calls_failed(setup):
    for number in range(VOLUME // 2 - 1):
        setup.breaker.failed()
        setup.breaker.succeeded()
        assert not setup.breaker.is_open, number
    setup.breaker.succeeded()
    setup.breaker.failed()
    assert setup.breaker.is_open


def test_it_stays_closed_when_less_than_half_failed(setup):
    for _ in range(200):
        setup.breaker.failed()
        setup.breaker.succeeded()
        setup.breaker.succeeded()
    assert not setup.breaker.is_open


def test_failures_of_an_earlier_window_do_not_count(setup):
    for _ in range(VOLUME // 2 - 1):
        setup.breaker.failed()
        setup.breaker.succeeded()
    setup.clock.now += WINDOW + 0.1
    for _ in range(3):
        setup.breaker.failed()
        setup.breaker.succeeded()
    assert not setup.breaker.is_open


def test_answers_of_an_earlier_window_do_not_count(setup):
    for _ in range(10_000):
        setup.breaker.succeeded()
    setup.clock.now += WINDOW + 0.1
    for _ in range(VOLUME // 2):
        setup.breaker.failed()
        setup.breaker.succeeded()
    setup.breaker.failed()
    assert setup.breaker.is_open


def test_failures_while_it_is_open_tell_nothing_and_start_nothing(setup):
    setup.open()
    for _ in range(100):
        setup.breaker.failed()
    assert setup.told == ["open"]
    assert setup.breaker.opened == len(setup.threads) == 1


# Closing


def test_a_probe_that_is_answered_closes_it_and_it_counts_from_nought(setup):
    setup.open()
    setup.well = True
    assert setup.breaker.try_to_close()
    assert setup.breaker.allows()
    assert setup.told == ["open", "closed"]
    setup.breaker.failed()
    setup.breaker.failed()
    assert not setup.breaker.is_open
    setup.breaker.failed()
    assert setup.breaker.is_open
    assert setup.breaker.opened == 2


@pytest.mark.parametrize("answer", [False, OSError("gone"), RuntimeError("odd")], ids=repr)
def test_a_probe_that_is_not_answered_leaves_it_open(setup, answer):
    setup.open()
    setup.well = answer
    assert not setup.breaker.try_to_close()
    assert setup.breaker.is_open
    assert setup.told == ["open"]


def test_two_probes_that_are_answered_tell_once(setup):
    setup.open()
    setup.well = True
    assert setup.breaker.try_to_close()
    assert setup.breaker.try_to_close()
    assert setup.told == ["open", "closed"]


def test_a_straggler_that_is_answered_does_not_close_it(setup):
    setup.open()
    setup.breaker.succeeded()
    assert setup.breaker.is_open
    assert not setup.breaker.allows()


# Where no thread of ours runs, the callers probe


def test_a_caller_probes_once_the_threads_probe_is_overdue(setup):
    setup.open()
    assert not setup.breaker.allows()
    setup.clock.now += OVERDUE - 0.01
    assert not setup.breaker.allows()
    assert setup.asked == 0
    setup.clock.now += 0.02
    assert not setup.breaker.allows()
    assert not setup.breaker.allows()
    assert setup.asked == 1
    setup.well = True
    setup.clock.now += OVERDUE
    assert setup.breaker.allows()
    assert setup.asked == 2
    assert not setup.breaker.is_open


def test_of_many_callers_one_probes(setup):
    entered, go = threading.Event(), threading.Event()

    def probe():
        setup.asked += 1
        entered.set()
        assert go.wait(10)
        return True

    setup.breaker._probe = probe
    setup.open()
    setup.clock.now += OVERDUE + 1
    answers = []
    first = threading.Thread(target=lambda: answers.append(setup.breaker.allows()))
    first.start()
    assert entered.wait(5)
    others = in_threads(20, lambda _: setup.breaker.allows())
    go.set()
    first.join(5)
    assert others == [False] * 20
    assert answers == [True]
    assert setup.asked == 1


# Threads


def test_many_threads_that_fail_at_once_open_it_once(setup):
    barrier = threading.Barrier(30)

    def fail(_):
        barrier.wait(10)
        for _ in range(50):
            setup.breaker.failed()

    in_threads(30, fail)
    assert setup.told == ["open"]
    assert setup.breaker.opened == len(setup.threads) == 1


def test_many_threads_that_close_it_at_once_tell_once(setup):
    setup.open()
    setup.well = True
    barrier = threading.Barrier(30)

    def close(_):
        barrier.wait(10)
        return setup.breaker.try_to_close()

    assert all(in_threads(30, close))
    assert setup.told == ["open", "closed"]


def test_a_thread_of_its_own_probes_at_most_once_a_second_until_it_is_answered(monkeypatch):
    asked, told, naps, before = [], [], [], set(probing())
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=naps.append))
    broken = Breaker(lambda: asked.append(1) or len(asked) == 200, told.append)
    for _ in range(CONSECUTIVE):
        broken.failed()
    wait_for(lambda: not broken.is_open, 5)
    assert told == ["open", "closed"]
    assert len(asked) == 200
    assert len(naps) == 200
    assert PROBE_EVERY[0] <= min(naps) < max(naps) <= PROBE_EVERY[1] <= 1.0
    assert len({round(nap, 3) for nap in naps}) > 50  # processes do not come in step
    wait_for(lambda: not set(probing()) - before, 5)


def probing():
    return [thread for thread in threading.enumerate() if thread.name == "dripcache-probe"]


# Over a server


def test_an_open_breaker_answers_at_once_and_says_so_once_in_the_log(caplog):
    caplog.set_level(logging.INFO, "django_dripcache")
    with site(UNREACHABLE, {}) as cache:
        for _ in range(CONSECUTIVE):
            assert cache.get("key", "default") == "default"
        server = get_alias_server("default")
        assert not server.available
        began = time.monotonic()
        for _ in range(1000):
            assert cache.get("key", "default") == "default"
        each = (time.monotonic() - began) / 1000
    assert each < 0.001
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert server.failures == CONSECUTIVE


def test_refusals_do_not_open_it(start_server):
    server = start_server()
    with site(server.url, {}) as cache, server.client() as client:
        assert cache.set("key", 1)
        client.config_set("maxmemory", 1)
        assert not any(cache.set("key", number) for number in range(30))
        assert get_alias_server("default").available
        client.config_set("maxmemory", 0)
        assert cache.set("key", 1)


def test_a_server_that_is_closed_is_not_probed_for_ever():
    before = set(probing())
    with site(UNREACHABLE, {}) as cache:
        for _ in range(CONSECUTIVE):
            cache.get("key")
        begun = set(probing()) - before
        assert begun
        close_all()
    wait_for(lambda: not begun & set(probing()), 3)


def test_a_breaker_that_was_open_at_a_fork_begins_closed_in_the_child():
    with site(UNREACHABLE, {}) as cache:
        for _ in range(CONSECUTIVE):
            cache.get("key")
        server = get_alias_server("default")
        assert not server.available
        server.renew()
        assert server.available
        assert server.breaker.opened == 0


def test_while_the_server_is_in_trouble_a_quarter_of_the_pool_waits_and_the_others_do_not(start_server):
    server = start_server()
    with site(server.url, {"MAX_CONNECTIONS": 8}) as cache:
        assert cache.set("key", 1)
        server.pause()
        assert cache.get("key") is None  # the first that fails
        barrier = threading.Barrier(16)

        def ask(_):
            barrier.wait(10)
            began = time.monotonic()
            assert get_alias_server("default").breaker.in_a_row
            assert cache.get("key") is None
            return time.monotonic() - began

        seconds = in_threads(16, ask)
        server.resume()
        assert sum(each > 0.15 for each in seconds) <= 4
        wait_for(lambda: cache.set("key", 2) and cache.get("key") == 2, 3)
