"""A limit admits what it states, never more, whoever asks, and costs one round trip."""

from __future__ import annotations

import collections
import json
import math
import re
import subprocess
import sys
import textwrap
import time
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_dripcache import (
    CacheUnavailableError,
    ConfigurationError,
    Decision,
    InvalidKeyError,
    RateLimiter,
    RateLimitExceededError,
    limiter,
    on_outage,
    rate_limiter,
    tally,
)
from django_dripcache.flows.steps import source
from django_dripcache.rates import ALGORITHMS, Rate
from django_dripcache.signals import rate_limited

from .conftest import use_server
from .processes import ROOT, UNREACHABLE, environment, needs_server, site, verbs_sent, wait_for

WINDOW = 60_000_000


@pytest.fixture
def here(redis_server, raw):
    """A patient site over the server of this process, which remembers no denial."""
    limiter._memories.clear()
    with site(redis_server.url):
        yield raw


@pytest.fixture
def limits(here, drive):
    return drive(rate_limiter)


def forget():
    """Let this process ask the server again about what it has denied."""
    limiter._memories.clear()


EACH = pytest.mark.parametrize("algorithm", ALGORITHMS)


# What a limit admits


@EACH
def test_a_limit_admits_as_many_as_it_says_and_no_more(limits, algorithm):
    decisions = [limits.hit("key", "5/h", algorithm=algorithm) for _ in range(8)]
    assert [bool(one) for one in decisions] == [True] * 5 + [False] * 3
    assert [(one.count, one.remaining) for one in decisions[:5]] == [(n, 5 - n) for n in range(1, 6)]
    assert {one.retry_after for one in decisions[:5]} == {0.0}
    assert 0 < decisions[5].retry_after <= 3600
    assert {one.limit for one in decisions} == {5}


@EACH
def test_keys_rates_and_algorithms_are_counted_apart(limits, algorithm):
    assert limits.hit("key", "1/h", algorithm=algorithm)
    assert not limits.hit("key", "1/h", algorithm=algorithm)
    assert limits.hit("other", "1/h", algorithm=algorithm)
    assert limits.hit("key", "1/d", algorithm=algorithm)
    assert all(limits.hit("key", "1/h", algorithm=other) for other in ALGORITHMS if other != algorithm)


@EACH
def test_a_cost_counts_as_so_many_hits(limits, algorithm):
    assert limits.hit("key", "5/h", cost=3, algorithm=algorithm).remaining == 2
    assert not limits.hit("key", "5/h", cost=3, algorithm=algorithm)
    assert limits.hit("key", "5/h", cost=2, algorithm=algorithm)


@EACH
def test_a_denied_hit_is_not_counted(limits, algorithm):
    limits.hit("key", "5/h", cost=3, algorithm=algorithm)
    for _ in range(20):
        forget()
        assert not limits.hit("key", "5/h", cost=5, algorithm=algorithm)
    assert limits.peek("key", "5/h", algorithm=algorithm).count == 3


@EACH
def test_of_several_rates_a_hit_that_one_denies_is_counted_by_none(limits, algorithm):
    for _ in range(3):
        assert limits.hit("key", "3/h, 10/d", algorithm=algorithm)
    for _ in range(5):
        forget()
        denied = limits.hit("key", "3/h, 10/d", algorithm=algorithm)
        assert not denied
        assert denied.rate == Rate(3, 3600)
    assert [one.count for one in denied.rates] == [3, 3]


@EACH
def test_peek_counts_nothing(limits, algorithm):
    assert [limits.peek("key", "1/h", algorithm=algorithm).count for _ in range(3)] == [0, 0, 0]
    assert limits.hit("key", "1/h", algorithm=algorithm)
    assert not limits.peek("key", "1/h", algorithm=algorithm)


@EACH
def test_a_reset_gives_all_of_it_back(limits, algorithm):
    assert limits.hit("key", "1/h, 5/d", algorithm=algorithm)
    assert not limits.hit("key", "1/h, 5/d", algorithm=algorithm)
    assert limits.reset("key", "1/h, 5/d", algorithm=algorithm) is True
    assert limits.reset("key", "1/h, 5/d", algorithm=algorithm) is False
    assert limits.hit("key", "1/h, 5/d", algorithm=algorithm).count == 1


@EACH
def test_what_was_used_comes_back_after_the_time_that_was_told(limits, algorithm):
    decisions = [limits.hit("key", "3/s", algorithm=algorithm) for _ in range(4)]
    assert [bool(one) for one in decisions] == [True, True, True, False]
    time.sleep(decisions[3].retry_after)
    assert limits.hit("key", "3/s", algorithm=algorithm)


@EACH
def test_every_key_ends_with_its_limit(here, limits, algorithm):
    limits.hit("a key", "5/m, 100/h", algorithm=algorithm)
    names = sorted(here.scan_iter(count=1000))
    assert names == sorted(f"dripcache:s.limits.{algorithm}:{rate}:a%20key".encode() for rate in ("5/m", "100/h"))
    for name in names:
        assert 0 < here.pttl(name) <= (60_000 if b"5/m" in name else 3_600_000)


def test_a_burst_is_how_many_may_come_at_once(limits):
    limited = [limits.hit("key", "100/h", algorithm="gcra", burst=2) for _ in range(3)]
    assert [bool(one) for one in limited] == [True, True, False]
    assert limited[2].limit == 2
    assert 35 < limited[2].retry_after <= 36


def test_a_limiter_has_an_algorithm_of_its_own(here, drive):
    drive(RateLimiter(algorithm="gcra")).hit("key", "5/h")
    assert [name.decode() for name in here.scan_iter(count=1000)] == ["dripcache:s.limits.gcra:5/h:key"]


def test_enforce_raises_what_hit_denies(limits):
    assert limits.enforce("key", "1/h").count == 1
    with pytest.raises(RateLimitExceededError) as caught:
        limits.enforce("key", "1/h")
    assert caught.value.decision.retry_after > 3590


# What cannot be asked


@pytest.mark.parametrize("cost", [0, -1, 1.0, True, "1", None])
def test_a_cost_is_a_number_from_1_up(limits, cost):
    with pytest.raises(ValueError, match="Allowed is a number from 1 up"):
        limits.hit("key", "5/h", cost=cost)


def test_a_cost_that_would_never_be_allowed_is_refused(limits):
    with pytest.raises(ValueError, match=r"would never be allowed by 5/h\. Allowed are 1 to 5"):
        limits.hit("key", "5/h, 100/d", cost=6)
    assert limits.hit("key", "5/h", cost=6, algorithm="gcra", burst=10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"burst": 0, "algorithm": "gcra"},
        {"burst": 2},
        {"burst": 2, "algorithm": "gcra", "rate": "5/s, 9/m"},
        {"burst": 1.5, "algorithm": "gcra"},
    ],
)
def test_a_burst_is_for_gcra_and_one_rate(limits, wrong):
    with pytest.raises(ValueError, match="Allowed is a number from 1 up, with algorithm='gcra' and one rate"):
        limits.hit("key", **{"rate": "5/h", **wrong})


def test_what_is_not_known_is_refused_with_what_is():
    with pytest.raises(ConfigurationError, match="Allowed are 'fixed-window', 'sliding-window', 'gcra'"):
        rate_limiter.hit("key", "5/h", algorithm="token-bucket")
    with pytest.raises(ConfigurationError, match="Allowed are 'local', 'open', 'closed', 'raise'"):
        RateLimiter(on_outage="fallback")
    with pytest.raises(ValueError, match="cannot be read"):
        rate_limiter.hit("key", "5 an hour")


@pytest.mark.parametrize("key", [None, 5, b"key"])
def test_a_key_is_a_text(limits, key):
    with pytest.raises(InvalidKeyError):
        limits.hit(key, "5/h")


# The scripts against a model, by a clock of the test's own


class Clock:
    """Runs the scripts of rate limits at the times that a test says: the server's, or earlier ones."""

    def __init__(self, raw, algorithm):
        text = source(f"limit_{algorithm.replace('-', '_')}").decode()
        # The only change to what is run: the time is an argument. PX has to outlive the test.
        assert "redis.call('TIME')" in text
        text = text.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}")
        self._script = raw.register_script(re.sub(r"'PX', .*\)", "'PX', 600000)", text))
        self._raw = raw

    def ask(self, now, cost, limits, *, counts=True):
        keys = [f"limit:{number}" for number in range(len(limits))]
        arguments = [part for limit, window, burst in limits for part in (limit, window, burst)]
        split = (now // 1_000_000, now % 1_000_000)
        return self._script(keys, [cost, int(counts), *arguments, *split])

    def reset(self):
        self._raw.delete("limit:0", "limit:1")


class FixedWindow:
    def __init__(self, limit, window, _):
        self.limit, self.window, self.end, self.used = limit, window, 0, 0

    def ask(self, now, cost):
        used = self.used if self.end - self.window <= now < self.end else 0
        return 0 if used + cost <= self.limit else self.end - now

    def count(self, now, cost):
        if not self.end - self.window <= now < self.end:
            self.end, self.used = now + self.window, 0
        self.used += cost


class SlidingWindow:
    """An exact log. Up to 64 hits the script has one, too."""

    def __init__(self, limit, window, _):
        self.limit, self.window, self.log = limit, window, []

    def ask(self, now, cost):
        log = sorted(min(at, now) for at in self.log if min(at, now) > now - self.window)
        over = len(log) + cost - self.limit
        return log[over - 1] + self.window - now if over > 0 else 0

    def count(self, now, cost):
        # What was a window old by then is forgotten, also by a clock that is set back later.
        self.log = [min(at, now) for at in self.log if min(at, now) > now - self.window] + [now] * cost


class Gcra:
    """The virtual scheduling of ITU-T I.371, in exact fractions: a theoretical arrival time."""

    def __init__(self, limit, window, burst):
        self.interval, self.burst, self.due, self.last = Fraction(window, limit), burst, Fraction(0), 0

    def _due(self, now):
        # A clock that was set back: what was due is as far ahead as it was.
        due = self.due - max(self.last - now, 0)
        return max(due, Fraction(now))

    def ask(self, now, cost):
        early = self._due(now) + cost * self.interval - self.burst * self.interval - now
        return math.ceil(early) if early > 0 else 0

    def count(self, now, cost):
        self.due, self.last = self._due(now) + cost * self.interval, now


MODELS = {"fixed-window": FixedWindow, "sliding-window": SlidingWindow, "gcra": Gcra}
LIMITS = st.tuples(st.integers(1, 12), st.sampled_from([1, 3, 7, 60]).map(lambda seconds: seconds * 1_000_000))
HITS = st.lists(
    st.tuples(st.one_of(st.integers(0, 200), st.integers(0, 4_000_000), st.integers(-3_000_000, 0)), st.integers(1, 4)),
    max_size=40,
)


@EACH
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=st.lists(LIMITS, min_size=1, max_size=2), burst=st.integers(1, 12), hits=HITS)
@example(limits=[(2, 3_000_000)], burst=1, hits=[(0, 1), (3_000_000, 1), (-1, 1)])
def test_the_scripts_decide_as_a_model_does(raw, algorithm, limits, burst, hits):
    clock = Clock(raw, algorithm)
    clock.reset()
    asked = [(limit, window, burst) for limit, window in limits]
    models = [MODELS[algorithm](*limit) for limit in asked]
    now = 1_700_000_000_000_000
    most = burst if algorithm == "gcra" else min(limit for limit, _ in limits)
    for pause, wanted in hits:
        now, cost = now + pause, min(wanted, most)
        expected = [model.ask(now, cost) for model in models]
        replies = clock.ask(now, cost, asked)
        assert [retry for _, _, retry in replies] == expected
        if not any(expected):
            for model in models:
                model.count(now, cost)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(65, 300),
    pauses=st.lists(st.one_of(st.integers(0, 50_000), st.integers(0, 3_000_000)), min_size=100, max_size=300),
    cost=st.integers(1, 20),
)
def test_a_large_sliding_window_admits_no_more_in_any_window_and_waits_at_most_a_64th_longer(raw, limit, pauses, cost):
    clock = Clock(raw, "sliding-window")
    clock.reset()
    window, now = 10_000_000, 1_700_000_000_000_000
    exact, admitted = SlidingWindow(limit, window, None), []
    for pause in pauses:
        now += pause
        ((used, _, retry),) = clock.ask(now, cost, [(limit, window, limit)])
        if not retry:
            admitted += [now] * cost
            assert sum(at > now - window for at in admitted) <= limit
            exact.count(now, cost)
        else:
            assert exact.ask(now, cost) <= retry <= window
            # What is used by the slots is at most what was used a 64th earlier.
            assert sum(at > now - window - window // 64 - 1 for at in admitted) + cost > limit
        assert used >= sum(at > now - window for at in admitted)
    assert len(raw.get("limit:0").split()) <= 2 * 66


def test_the_memory_of_a_key_is_bounded(raw):
    clock = Clock(raw, "sliding-window")
    clock.reset()
    for number in range(3000):
        clock.ask(1_700_000_000_000_000 + number * 20_000, 1, [(100_000, WINDOW, 100_000)])
    assert len(raw.get("limit:0")) < 2_000


@EACH
def test_garbage_and_another_type_let_hits_pass_and_heal(here, limits, algorithm):
    name = f"dripcache:s.limits.{algorithm}:5/h:key"
    here.set(name, b"\xff garbage")
    assert limits.hit("key", "5/h", algorithm=algorithm).count == 1
    assert limits.hit("key", "5/h", algorithm=algorithm).count == 2
    here.delete(name)
    here.rpush(name, 1)
    assert limits.hit("key", "5/h", algorithm=algorithm).degraded


# Many processes


@needs_server
def test_many_processes_and_threads_are_admitted_exactly_what_is_stated(redis_server, raw):
    script = """
        import json, sys, threading
        import django; django.setup()
        from django_dripcache import rate_limiter
        from django_dripcache.rates import ALGORITHMS
        from tests.processes import be_patient
        be_patient()
        admitted = {algorithm: [0, 0] for algorithm in ALGORITHMS}
        lock = threading.Lock()
        def work():
            for _ in range(40):
                for algorithm in ALGORITHMS:
                    many = bool(rate_limiter.hit("all", "200/d", algorithm=algorithm))
                    few = bool(rate_limiter.hit("few", "7/d", algorithm=algorithm))
                    with lock:
                        admitted[algorithm][0] += many
                        admitted[algorithm][1] += few
        threads = [threading.Thread(target=work) for _ in range(8)]
        print("ready", flush=True)
        sys.stdin.readline()
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(json.dumps(admitted))
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            env=environment(redis_server.url),
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all at once
        process.stdin.write("\n")
        process.stdin.flush()
    found = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    for algorithm in ALGORITHMS:
        assert [sum(each[algorithm][place] for each in found) for place in (0, 1)] == [200, 7]


# What it costs


@EACH
def test_a_hit_is_one_round_trip_whatever_number_of_rates(here, limits, algorithm):
    limits.hit("key", "1/h", algorithm=algorithm)
    assert verbs_sent(here, lambda: limits.hit("key", "10/h, 50/d, 90/2d", algorithm=algorithm)) == ["EVALSHA"]


def test_a_script_that_the_server_has_lost_is_sent_again_in_the_same_call(here, limits):
    limits.hit("key", "10/h")
    here.script_flush()
    assert verbs_sent(here, lambda: limits.hit("key", "10/h")) == ["EVALSHA", "EVAL"]
    assert limits.hit("key", "10/h").count == 3


@pytest.mark.far("it counts round trips")
def test_a_denied_client_that_hammers_costs_nothing(here, limits):
    limits.hit("key", "1/h")

    def hammer():
        assert not any(limits.hit("key", "1/h") for _ in range(10_000))

    assert verbs_sent(here, hammer) == ["EVALSHA"]


def test_what_is_denied_is_not_remembered_for_a_cheaper_hit(limits):
    limits.hit("key", "5/h", cost=3)
    assert not limits.hit("key", "5/h", cost=4)
    assert not limits.hit("key", "5/h", cost=5)
    assert limits.hit("key", "5/h", cost=2)


def test_what_is_remembered_tells_the_time_that_is_left(limits):
    limits.hit("key", "1/h, 5/d")
    first = limits.hit("key", "1/h, 5/d")
    time.sleep(0.05)
    later = limits.hit("key", "1/h, 5/d")
    assert later.retry_after <= first.retry_after - 0.05
    assert later.reset_after <= first.reset_after - 0.05
    assert later.rates[0].retry_after == later.retry_after
    assert (later.rates[1].allowed, later.rates[1].retry_after) == (True, 0.0)
    assert later.rates[1].reset_after <= first.rates[1].reset_after - 0.05


def test_a_denial_that_came_late_is_remembered_from_when_it_was_asked_for_and_told_from_when_it_was_heard():
    """The server decided in between: who is told to wait is allowed after it."""
    denials = tally.Denials()
    denied = Decision(False, 1, 1, 0, 60.0, 60.0, Rate(1, 60))
    denials.remember((b"key",), 1, denied, time.monotonic() - 50)
    assert 59 < denials.recall((b"key",), 1).retry_after <= 60
    denials.remember((b"key",), 1, denied, time.monotonic() - 60)
    assert denials.recall((b"key",), 1) is None


def test_so_many_denials_are_remembered_and_no_more(monkeypatch):
    monkeypatch.setattr(tally, "MOST", 3)
    denials = tally.Denials()
    denied = Decision(False, 1, 1, 0, 60.0, 60.0, Rate(1, 60))
    for number in range(5):
        denials.remember((b"%d" % number,), 1, denied, time.monotonic())
    assert [denials.recall((b"%d" % number,), 1) is not None for number in range(5)] == [False, False, True, True, True]


# Without Redis


def test_without_redis_this_process_alone_holds_a_part_of_the_limit(drive):
    forget()
    with use_server(UNREACHABLE, WORKERS=4):
        decisions = [drive(rate_limiter).hit("key", "20/h") for _ in range(8)]
    assert [bool(one) for one in decisions] == [True] * 5 + [False] * 3
    assert all(one.degraded for one in decisions)
    assert decisions[-1].limit == 5
    assert 3590 < decisions[-1].retry_after <= 3600


def test_a_part_of_a_small_limit_is_one_and_a_dear_hit_may_come_alone(drive):
    forget()
    with use_server(UNREACHABLE, WORKERS=8):
        assert [bool(drive(rate_limiter).hit("small", "3/h")) for _ in range(3)] == [True, False, False]
        assert [bool(drive(rate_limiter).hit("dear", "8/h", cost=5)) for _ in range(3)] == [True, False, False]


def test_without_redis_several_rates_hold_and_peek_counts_nothing(drive):
    forget()
    with use_server(UNREACHABLE):
        target = drive(rate_limiter)
        assert target.peek("key", "2/h").count == 0
        assert [bool(target.hit("key", "2/h, 5/d")) for _ in range(4)] == [True, True, False, False]
        assert [one.count for one in target.peek("key", "2/h, 5/d").rates] == [2, 2]


@pytest.mark.parametrize(("choice", "allowed"), [("open", True), ("closed", False)])
def test_without_redis_all_are_allowed_or_none_if_the_site_says_so(drive, choice, allowed):
    with use_server(UNREACHABLE):
        decisions = [drive(RateLimiter(on_outage=choice)).hit("key", "2/h") for _ in range(5)]
    assert {bool(one) for one in decisions} == {allowed}
    assert {one.degraded for one in decisions} == {True}
    assert {one.retry_after for one in decisions} == ({0.0} if allowed else {1.0})


def test_without_redis_an_error_is_raised_if_it_is_asked_for(drive):
    with use_server(UNREACHABLE):
        with pytest.raises(CacheUnavailableError):
            drive(RateLimiter(on_outage="raise")).hit("key", "2/h")
        with on_outage("raise"), pytest.raises(CacheUnavailableError):
            drive(rate_limiter).hit("key", "2/h")
        with pytest.raises(CacheUnavailableError):
            drive(RateLimiter(on_outage="raise")).reset("key", "2/h")
        assert drive(rate_limiter).reset("key", "2/h") is False


@needs_server
def test_a_server_that_comes_back_decides_again(start_server):
    forget()
    server = start_server()
    with use_server(server.url):
        assert not rate_limiter.hit("key", "5/h").degraded
        server.pause()
        assert rate_limiter.hit("key", "5/h").degraded
        server.resume()
        wait_for(lambda: not rate_limiter.peek("key", "5/h").degraded)
        assert rate_limiter.peek("key", "5/h").count >= 1


def test_the_window_of_a_process_slides_and_is_bounded(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(tally.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(tally, "MOST", 2)
    tallies, rate = tally.Tallies(), (Rate(1000, 60),)
    admitted = []
    for step in range(3000):
        now[0] = 1000.0 + step * 0.05
        if tallies.hit((b"key",), rate, 1, 1, counts=True):
            admitted.append(now[0])
    assert all(sum(at > late - 60 and at <= late for at in admitted) <= 1000 for late in admitted[::50])
    assert len(tallies._logs[b"key"]) <= 130
    for number in range(5):
        tallies.hit((b"%d" % number,), rate, 1, 1, counts=True)
    assert list(tallies._logs) == [b"3", b"4"]


# What is told


def test_a_denial_is_told_and_a_hit_is_not(limits):
    heard = []

    def listen(event, **_):
        heard.append((event.key, event.decision.retry_after > 0))

    rate_limited.connect(listen)
    try:
        for _ in range(3):
            limits.hit("key", "1/h")
        limits.peek("key", "1/h")
    finally:
        rate_limited.disconnect(listen)
    assert heard == [("dripcache:s.limits.sliding-window:1/h:key", True)] * 2


def test_the_algorithms_are_the_scripts_that_there_are():
    found = {path.stem for path in (ROOT / "django_dripcache" / "lua").glob("limit_*.lua")}
    assert found == {f"limit_{name.replace('-', '_')}" for name in ALGORITHMS}


def test_a_decision_is_as_true_as_it_is_allowed():
    counted = collections.Counter(
        bool(Decision(allowed, 1, 0, 1, 0.0, 0.0, Rate(1, 1))) is allowed for allowed in (True, False)
    )
    assert counted == {True: 2}
