"""What processes counted, added up in Redis; and what the figures say of it."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest
from django.core.cache import cache as django_cache
from django.core.cache import caches
from django.core.signals import request_finished
from django.test import override_settings

from django_dripcache import ConfigurationError, cache, rate_limiter, recorder, user_cache
from django_dripcache.connections import close_all
from django_dripcache.counts import COUNTS
from django_dripcache.flows import figures
from django_dripcache.limiter import RateLimiter
from django_dripcache.recorder import RECORDER, Recorder
from django_dripcache.traffic import PERIODS, aget_traffic, get_traffic
from tests import workers
from tests.conftest import use_server
from tests.processes import ROOT, UNREACHABLE, Worker, environment, needs_server, run_python, shop, wait_for


@pytest.fixture
def fresh(broker):
    """A process that has counted nothing."""
    COUNTS.renew()
    return broker


@pytest.fixture(params=["sync", "async"])
def traffic(request):
    """Return get_traffic(), in one of its forms."""
    if request.param == "sync":
        return get_traffic
    from asgiref.sync import async_to_sync  # noqa: PLC0415

    return async_to_sync(aget_traffic)


def recorded(period="1h"):
    assert RECORDER.flush()
    return get_traffic(period)


# What is counted


@pytest.mark.far("it counts reads of Redis")
def test_reads_and_writes_of_all_kinds_are_counted_by_group(fresh, traffic):
    django_cache.set("page:1", "x" * 100)
    django_cache.get("page:1")
    django_cache.get("page:2")
    django_cache.get_many(["page:1", "page:2", "page:3"])
    django_cache.delete("page:1")
    cache.set("report:1", 7)
    cache.get("report:1")
    user_cache.get(1, "theme")
    assert RECORDER.flush()
    found = traffic("1h")
    pages, reports = found.groups["page"], found.groups["report"]
    assert (pages.hits, pages.misses, pages.sets, pages.deletes) == (2, 3, 1, 1)
    assert pages.bytes > 100
    assert pages.mean_size == pages.bytes
    assert (pages.reads, pages.hit_rate) == (5, 0.4)
    assert (reports.hits, reports.misses, reports.sets) == (1, 0, 1)
    assert found.groups["user_cache"].misses == 1
    assert (found.total.hits, found.total.misses, found.total.sets) == (3, 4, 2)
    assert found.available


@pytest.mark.far("it counts reads of Redis")
@pytest.mark.parametrize("where", [django_cache, cache])
def test_loaders_are_counted_with_their_time(fresh, where):
    for _ in range(3):
        where.get_or_set("slow:1", lambda: time.sleep(0.02) or "loaded")
    found = recorded().groups["slow"]
    assert (found.hits, found.misses, found.loads) == (2, 1, 1)
    assert found.load_seconds >= 0.02
    assert found.saved_seconds > 0


def test_a_stale_value_is_counted_as_one(fresh):
    cache.get_or_set("s:1", lambda: "old", 0.01, grace=60)
    time.sleep(0.05)
    assert cache.get_or_set("s:1", lambda: "new", 60, grace=60, refresh="thread") == "old"
    found = recorded().groups["s"]
    assert (found.misses, found.stale) == (1, 1)


@pytest.mark.far("it counts reads of Redis")
def test_the_time_of_an_exchange_is_counted(fresh):
    for _ in range(20):
        django_cache.get("t:1")
    found = recorded()
    assert sum(found.groups["t"].times) == sum(found.total.times) == 20
    assert 0 < found.total.median <= found.total.p99 <= found.total.seconds * 1.3


def test_a_call_that_found_no_answer_is_an_error_and_no_miss(fresh):
    with use_server(UNREACHABLE):
        assert django_cache.get("e:1") is None
        assert cache.get("e:1") is None
    found = recorded().groups["e"]
    assert (found.errors, found.misses) == (2, 0)


@pytest.mark.parametrize("shows", [False, True])
def test_decisions_of_limits_are_counted_with_whom_they_denied(fresh, shows):
    with override_settings(DRIPCACHE={"SHOW_ADDRESSES": shows}):
        limiter = RateLimiter(name="login")
        for _ in range(5):
            limiter.hit("ip:203.0.113.7", "2/m")
        rate_limiter.hit("a secret", "1/m")
        rate_limiter.hit("a secret", "1/m")
        found = recorded()
    assert (found.limits["login"].allowed, found.limits["login"].denied) == (2, 3)
    assert (found.limits["1/m"].allowed, found.limits["1/m"].denied) == (1, 1)
    assert [(one.rule, one.times) for one in found.denied] == [("login", 3), ("1/m", 1)]
    assert (found.denied[0].who == "203.0.113.7") is shows
    assert "secret" not in found.denied[1].who
    assert found.points[-1].denied + found.points[-2].denied == 4


def test_a_decision_without_redis_is_counted_as_degraded(fresh):
    with use_server(UNREACHABLE):
        rate_limiter.hit("x", "9/m")
    found = recorded().limits["9/m"]
    assert (found.allowed, found.degraded) == (1, 1)


def test_groups_of_the_site_are_used(fresh):
    with override_settings(DRIPCACHE={"STATS_GROUPS": {"prices": "product:*:prices:"}}):
        django_cache.get("product:7:prices:eur")
        assert recorded().groups["prices"].misses == 1


# What is stored


def test_a_flush_is_one_command_and_all_that_it_stores_expires(fresh, raw):
    django_cache.get("a:1")
    rate_limiter.hit("x", "1/m")
    rate_limiter.hit("x", "1/m")
    raw.config_resetstat()
    assert RECORDER.flush()
    calls = {name: stats["calls"] for name, stats in raw.info("commandstats").items()}
    assert calls["cmdstat_evalsha"] == 1
    names = list(raw.scan_iter("dripcache:s.stats:*"))
    assert len(names) == 3
    assert all(raw.ttl(name) > 3600 for name in names)


def test_a_process_with_nothing_to_tell_asks_nobody(fresh, raw):
    raw.config_resetstat()
    assert RECORDER.flush()
    assert "cmdstat_evalsha" not in raw.info("commandstats")


def test_what_redis_did_not_take_is_sent_later(fresh):
    django_cache.get("later:1")
    with use_server(UNREACHABLE):
        caches["default"].client.server.breaker.trip()
        assert not RECORDER.flush()
    assert recorded().groups["later"].misses == 1


def test_what_a_full_redis_refuses_is_sent_later(fresh, raw):
    django_cache.get("full:1")
    raw.config_set("maxmemory", 1)
    raw.config_set("maxmemory-policy", "noeviction")
    try:
        assert not RECORDER.flush()
    finally:
        raw.config_set("maxmemory", 256 * 2**20)
        raw.config_set("maxmemory-policy", "volatile-lru")
    assert recorded().groups["full"].misses == 1


def test_a_key_of_another_type_costs_the_figures_and_nothing_else(fresh, raw):
    django_cache.get("x:1")
    now = time.time()
    for at in (now, now + 60):
        raw.set(b"dripcache:s.stats:minute:%d" % (int(at) // 60 * 60), "not a hash")
    assert not RECORDER.flush()
    assert get_traffic("1h").available
    assert django_cache.get("x:1") is None


def test_hostile_figures_are_left_out(fresh, raw):
    minute = b"dripcache:s.stats:minute:%d" % (int(time.time()) // 60 * 60)
    hostile = {b"k0": b"1", b"kx:a": b"1", b"k0:\xff": b"-1", b"k99999:b": b"1", b"k1:c": b"9" * 5000, b"z9:d": b"2"}
    raw.hset(minute, mapping={**hostile, b"k2:good": b"3"})
    found = get_traffic("1h")
    assert found.groups["good"].misses == 3
    assert found.total.misses == 3


def test_more_than_is_kept_of_the_denied_is_left_out(fresh, raw, monkeypatch):
    monkeypatch.setattr(figures, "MOST_DENIED", 3)
    for who, times in {"a": 5, "b": 4, "c": 3, "d": 2, "e": 1}.items():
        for _ in range(times):
            COUNTS.deny("rule", who)
    found = recorded()
    assert [(one.who, one.times) for one in found.denied] == [("a", 5), ("b", 4), ("c", 3)]


# What is read


@pytest.mark.parametrize("period", list(PERIODS))
def test_each_period_has_its_points_and_the_last_one_is_now(fresh, traffic, period):
    django_cache.get("p:1")
    assert RECORDER.flush()
    found = traffic(period)
    assert found.total.misses == found.groups["p"].misses == 1
    assert sum(point.keys.misses for point in found.points) == 1
    assert sum(found.groups["p"].times) == sum(found.total.times) == 1
    steps = {later.at - point.at for point, later in zip(found.points, found.points[1:], strict=False)}
    assert steps == {found.step}
    assert found.step * len(found.points) == {"1h": 1, "6h": 6, "24h": 24, "30d": 720}[period] * timedelta(hours=1)


def test_what_is_older_than_a_period_is_not_in_it(fresh, raw):
    before = int(time.time()) - 2 * 3600
    raw.hset(b"dripcache:s.stats:minute:%d" % (before // 60 * 60), "k0:old", 5)
    assert "old" not in get_traffic("1h").groups
    assert get_traffic("6h").groups["old"].hits == 5


def test_without_redis_there_are_no_figures(traffic):
    with use_server(UNREACHABLE):
        found = traffic("24h")
    assert not found.available
    assert found.total.reads == 0
    assert found.total.hit_rate is None


def test_another_period_is_refused(fresh, traffic):
    with pytest.raises(ValueError, match="'1h', '6h', '24h', '30d'"):
        traffic("2h")


def test_a_site_without_our_backend_has_no_figures():
    backend = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    with override_settings(CACHES={"default": backend}), pytest.raises(ConfigurationError, match="No alias"):
        get_traffic()


def test_figures_of_all_aliases_go_to_the_default_one(fresh, start_server):
    other = start_server()
    ours = {"BACKEND": "django_dripcache.backend.DripCache"}
    with override_settings(CACHES={"other": {**ours, "LOCATION": other.url}, "default": ours}):
        caches["other"].get("there:1")
        assert recorded().groups["there"].misses == 1
        with other.client() as client:
            assert client.dbsize() == 0
        close_all()


# When it is sent


def test_a_thread_sends_what_was_counted(fresh, monkeypatch):
    mine = Recorder()
    monkeypatch.setattr(COUNTS, "wake", mine.wake)
    with override_settings(DRIPCACHE={"STATS_INTERVAL": 0.05}):
        COUNTS.renew()
        django_cache.get("thread:1")
        try:
            wait_for(lambda: "thread" in get_traffic().groups)
            assert [thread.name for thread in threading.enumerate()].count("dripcache-stats") == 1
        finally:
            mine.close()
            mine._thread.join(5)


def test_none_as_the_interval_sends_nothing_by_itself(fresh, monkeypatch):
    mine = Recorder()
    monkeypatch.setattr(COUNTS, "wake", mine.wake)
    with override_settings(DRIPCACHE={"STATS_INTERVAL": None}):
        COUNTS.renew()
        django_cache.get("none:1")
        mine.flush_if_late()
        mine.close()
        assert mine._thread is None
        assert "none" not in get_traffic().groups


@pytest.mark.django_db  # the end of a request looks after the connections that earlier tests have opened
def test_the_end_of_a_request_sends_what_no_thread_has_sent(fresh, monkeypatch):
    monkeypatch.setattr(RECORDER, "paused", False)
    monkeypatch.setattr(COUNTS, "wake", lambda: None)
    with override_settings(DRIPCACHE={"STATS_INTERVAL": 10}):
        django_cache.get("request:1")
        RECORDER._sent = time.monotonic()
        request_finished.send(None)
        assert "request" not in get_traffic().groups
        RECORDER._sent = time.monotonic() - 21
        request_finished.send(None)
        assert get_traffic().groups["request"].misses == 1


def test_an_error_in_the_thread_goes_to_the_log_and_it_goes_on(fresh, monkeypatch, caplog):
    mine = Recorder()
    outcomes = iter([ZeroDivisionError("no figures")])
    done = threading.Event()

    def flush():
        for error in outcomes:
            raise error
        done.set()

    monkeypatch.setattr(mine, "flush", flush)
    with override_settings(DRIPCACHE={"STATS_INTERVAL": 0.01}), caplog.at_level(logging.ERROR):
        mine.wake()
        assert done.wait(5)
        mine._stop.set()
        mine._thread.join(5)
    assert "no figures" in caplog.text


WORK = """
import signal, sys, time
import django
django.setup()
from django.core.cache import cache
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as servers do
for number in range({count}):
    cache.set(f"own:{{number}}", number)
    cache.get(f"own:{{number}}")
    cache.get(f"none:{{number}}")
print("ready", flush=True)
time.sleep(60)
"""


@needs_server
def test_processes_that_are_told_to_end_lose_nothing(fresh):
    command = [sys.executable, "-c", WORK.format(count=250)]
    processes = [
        subprocess.Popen(command, env=environment(fresh.url), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGTERM)
        assert [process.wait(20) for process in processes] == [0] * 4
    finally:
        for process in processes:
            process.kill()
            process.stdout.close()
            process.wait()
    found = get_traffic("1h")
    assert (found.groups["own"].hits, found.groups["own"].sets) == (1000, 1000)
    assert (found.groups["none"].misses, found.total.reads) == (1000, 2000)
    assert sum(found.total.times) == 3000


@needs_server
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_worker_that_is_told_to_end_has_sent_what_its_tasks_counted(fresh, raw, pool):
    with Worker(fresh.url, "--pool", pool, "-c2", celery={"include": ["tests.workers"]}):
        with shop(fresh.url) as app:
            for number in range(20):
                app.tasks[workers.square.name].apply_async([number % 10])
        wait_for(lambda: raw.llen("celery") == 0 and raw.hlen("unacked") == 0, 30)
        assert not get_traffic("1h").tasks
    found = recorded().tasks[workers.square.name]
    assert (found.ran, found.cached) == (10, 10)


def test_a_process_at_its_end_begins_no_thread(fresh):
    done = run_python(
        """
        import atexit, django
        django.setup()
        from django.core.cache import cache
        atexit.register(lambda: cache.get("late:1"))
        print("1")
        """,
        fresh.url,
    )
    assert done == 1


def test_install_connects_to_nobody(fresh, raw):
    before = raw.info("stats")["total_connections_received"]
    recorder.install()
    assert raw.info("stats")["total_connections_received"] == before
