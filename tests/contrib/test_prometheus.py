"""Metrics for Prometheus: they are what was counted, they only grow, and a hostile key does no harm to them."""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition
from prometheus_client.parser import text_string_to_metric_families

from django_dripcache import CacheManager, auth_cache, cache, rate_limiter, session_cache
from django_dripcache.backend import get_alias_server
from django_dripcache.contrib import prometheus
from django_dripcache.contrib.prometheus import _buckets, _shown
from django_dripcache.counts import BYTES, COUNTS, LOADING, LOADS, MICROSECONDS, RAN, SIZES, TIMES
from django_dripcache.deadline import BUDGET, Budget
from django_dripcache.histogram import BUCKETS, bucket
from django_dripcache.recorder import RECORDER
from tests.conftest import use_server
from tests.processes import UNREACHABLE, in_threads, needs_server, run_python, site, wait_for


def scrape(*, fleet=False, registry=None):
    """Return the samples of a registry, by their names and the values of their labels, in the order of these."""
    if registry is None:
        registry = CollectorRegistry()
        prometheus.register(registry, fleet=fleet)
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            key = (sample.name, *sample.labels.values())
            assert key not in found, "two samples of one name and the same labels"
            found[key] = sample.value
    return found


def outcomes(found, group, prefix="dripcache"):
    """Return what came of the calls of a group, but for what did not happen."""
    return {key[2]: number for key, number in found.items() if key[:2] == (f"{prefix}_calls_total", group) and number}


def work(target):
    """A workload whose figures are known."""
    for number in range(3):
        assert target.set(f"page:{number}:body", "text")
    assert target.get("page:0:body") == "text"
    assert target.get("page:1:body") == "text"
    assert target.get("page:9:body") is None
    assert target.delete("page:0:body")
    assert target.get_or_set("page:4:body", lambda: "loaded") == "loaded"


KNOWN = {"set": 4, "hit": 2, "miss": 2, "delete": 1}
EXCHANGES = 9


def test_the_figures_of_a_known_workload_are_told(broker, drive):
    work(drive(cache))
    found = scrape()
    assert outcomes(found, "page:#") == KNOWN
    assert found["dripcache_call_seconds_count", "page:#"] == EXCHANGES
    assert found["dripcache_call_seconds_bucket", "page:#", "+Inf"] == EXCHANGES
    assert 0 < found["dripcache_call_seconds_sum", "page:#"] < 60
    assert found["dripcache_load_seconds_count", "page:#"] == 1
    assert found["dripcache_stored_bytes_total", "page:#"] == COUNTS.of("k", "page:#")[BYTES] > 0


def test_limits_and_tasks_are_told(broker):
    for _ in range(3):
        rate_limiter.hit("who", "2/h")
    COUNTS.of("t", "shop.report")[RAN] += 4
    found = scrape()
    assert found["dripcache_limit_decisions_total", "2/h", "allowed"] == 2
    assert found["dripcache_limit_decisions_total", "2/h", "denied"] == 1
    assert found["dripcache_limit_degraded_total", "2/h"] == 0
    assert found["dripcache_tasks_total", "ran", "shop.report"] == 4
    assert found["dripcache_tasks_total", "cached", "shop.report"] == 0


def test_times_are_told_in_seconds(broker):
    cell = COUNTS.of("k", "reports")
    cell[LOADS] += 2
    cell[LOADING] += 2_500_000
    cell[MICROSECONDS] += 500
    found = scrape()
    assert found["dripcache_load_seconds_count", "reports"] == 2
    assert found["dripcache_load_seconds_sum", "reports"] == 2.5
    assert found["dripcache_call_seconds_sum", "reports"] == 0.0005


def test_decisions_without_redis_are_told_as_such():
    with use_server(UNREACHABLE):
        COUNTS.renew()
        assert rate_limiter.hit("who", "2/h").degraded
        assert scrape()["dripcache_limit_degraded_total", "2/h"] == 1


@given(st.lists(st.integers(0, 10_000_000)))
def test_a_bucket_holds_what_is_within_its_bound(times):
    cell = [0] * SIZES["k"]
    for microseconds in times:
        cell[TIMES + bucket(microseconds)] += 1
    buckets = _buckets(cell)
    assert len(buckets) == 18
    assert buckets[-1] == ("+Inf", len(times))
    for bound, number in buckets[:-1]:
        assert number == sum(microseconds < round(float(bound) * 1e6) for microseconds in times)


def test_every_time_is_in_a_bucket():
    assert _buckets([0] * TIMES + [1] * BUCKETS)[-1][1] == BUCKETS


@pytest.mark.far("it counts calls of Redis")
def test_counters_never_go_down_while_threads_count_and_others_ask(broker):
    registry = CollectorRegistry()
    prometheus.register(registry)

    def one(number):
        if number:
            for turn in range(200):
                cache.get(f"page:{turn}:body")
            return None
        return [scrape(registry=registry) for _ in range(30)]

    seen = [*in_threads(5, one)[0], scrape(registry=registry)]
    for before, after in pairwise(seen):
        for key, number in before.items():
            if key[0].endswith(("_total", "_count", "_bucket", "_sum")):
                assert after[key] >= number, key
    assert outcomes(seen[-1], "page:#") == {"miss": 800}
    assert seen[-1]["dripcache_call_seconds_count", "page:#"] == 800


def test_what_was_sent_to_redis_is_told_still(broker):
    work(cache)
    assert RECORDER.flush()
    assert outcomes(scrape(), "page:#") == KNOWN


def test_to_ask_for_them_asks_redis_nothing(broker, raw):
    cache.get("a")
    registry = CollectorRegistry()
    prometheus.register(registry)
    before = raw.info("stats")["total_commands_processed"]
    for _ in range(5):
        scrape(registry=registry)
    assert raw.info("stats")["total_commands_processed"] == before + 1


def test_a_server_that_is_away_is_told(start_server):
    server = start_server()
    with use_server(server.url):
        place = str(get_alias_server("default").broker)
        cache.set("a", 1)
        found = scrape()
        assert found["dripcache_breaker_open", place] == 0
        assert found["dripcache_connections", place, "idle"] == 1
        assert found["dripcache_connections", place, "in_use"] == 0
        assert found["dripcache_connections_max", place] == 20
        server.kill()
        for number in range(5):
            cache.set(f"a{number}", 1)
        found = scrape()
        assert found["dripcache_breaker_open", place] == 1
        assert found["dripcache_breaker_openings_total", place] == 1
        assert found["dripcache_failures_total", place] >= 3
        assert found["dripcache_journal_pending", place] >= 5
        assert outcomes(found, "(no prefix)")["error"] == 5


@needs_server
def test_the_near_cache_is_told(redis_server, raw):
    with site(redis_server.url, {"NEAR": {}}):
        place = str(get_alias_server("default").broker)
        assert cache.set("page:1:body", "text")
        assert cache.get("page:1:body") == "text"
        near = get_alias_server("default").near
        wait_for(lambda: near.stats().status == "live")
        assert [cache.get("page:1:body") for _ in range(3)] == ["text"] * 3
        found = scrape()
        assert found["dripcache_near_live", place] == 1
        assert found["dripcache_near_entries", place] == 1
        assert found["dripcache_near_bytes", place] == near.stats().bytes > 0
        assert found["dripcache_near_evictions_total", place] == 0
        assert outcomes(found, "page:#")["near"] >= 2
        raw.set("dripcache:c:page:1:body", "other")
        wait_for(lambda: scrape()["dripcache_near_invalidations_total", place] >= 1)


# All processes

TWO = """
    import json, django
    django.setup()
    from django_dripcache import cache
    from django_dripcache.recorder import RECORDER
    from tests.contrib.test_prometheus import work
    RECORDER.paused = False
    work(cache)
    print(json.dumps(True))
"""


def test_the_fleet_s_are_those_of_all_processes(broker, raw):
    for _ in range(2):
        run_python(TWO, broker.url)
        raw.delete(*raw.scan_iter("dripcache:c:*"))
    work(cache)
    assert outcomes(scrape(fleet=True), "page:#", "dripcache_fleet") == {name: 2 * n for name, n in KNOWN.items()}
    assert RECORDER.flush()
    found = scrape(fleet=True)
    assert outcomes(found, "page:#", "dripcache_fleet") == {name: 3 * number for name, number in KNOWN.items()}
    assert found["dripcache_fleet_call_seconds_count", "page:#"] == 3 * EXCHANGES
    assert found["dripcache_fleet_call_seconds_bucket", "page:#", "+Inf"] == 3 * EXCHANGES
    assert found["dripcache_fleet_load_seconds_count", "page:#"] == 3
    assert found["dripcache_fleet_up",] == 1
    assert not [key for key in found if "*" in key]


def test_the_fleet_s_grow_all_day_and_begin_anew_with_the_next(broker):
    midnight = 20_000 * prometheus.DAY
    seen = []
    for moment in (midnight - 1, midnight, midnight + 3599, midnight + 3600, midnight + prometheus.DAY - 1):
        with mock.patch("time.time", return_value=float(moment)):
            cache.get("page:1:body")
            assert RECORDER.flush()
            seen.append(outcomes(scrape(fleet=True), "page:#", "dripcache_fleet")["miss"])
    assert seen == [1, 1, 2, 3, 4]


def test_the_fleet_s_are_one_round_trip(broker, raw):
    cache.get("page:1:body")
    assert RECORDER.flush()
    registry = CollectorRegistry()
    prometheus.register(registry, fleet=True)
    with mock.patch(
        "django_dripcache._drive._exchange", wraps=sys.modules["django_dripcache._drive"]._exchange
    ) as asked:
        scrape(registry=registry)
    assert asked.call_count == 1


def test_the_fleet_s_are_told_to_a_request_whose_budget_is_spent(broker):
    budget = Budget(0.01)
    budget.spend(60)
    token = BUDGET.set(budget)
    try:
        assert scrape(fleet=True)["dripcache_fleet_up",] == 1
        assert BUDGET.get() is budget
    finally:
        BUDGET.reset(token)


def test_without_redis_the_fleet_has_no_figures_and_says_so(start_server):
    server = start_server()
    with use_server(server.url):
        work(cache)
        assert RECORDER.flush()
        registry = CollectorRegistry()
        prometheus.register(registry, fleet=True)
        assert len(scrape(registry=registry)) > 1
        server.pause()
        began = time.monotonic()
        assert scrape(registry=registry) == {("dripcache_fleet_up",): 0}
        assert time.monotonic() - began < 5
        server.resume()
        server.kill()
        assert [scrape(registry=registry) for _ in range(5)] == [{("dripcache_fleet_up",): 0}] * 5


def test_what_others_put_among_the_figures_does_no_harm(broker, raw):
    work(cache)
    assert RECORDER.flush()
    (name,) = raw.scan_iter("dripcache:s.stats:hour:*")
    raw.hset(name, mapping={"k999:page:#": 7, "x0:strange": 7, 'k0:\xff\n"}': 7, "k": 7, "l2": 7, "t4:a": "many"})
    raw.hset(name, b"k1:\xed\xa0\x80", 7)
    raw.hset(name, "k2:new", -7)
    found = scrape(fleet=True)
    assert outcomes(found, "page:#", "dripcache_fleet") == KNOWN
    assert found["dripcache_fleet_calls_total", '\xff\\x0a"}', "hit"] == 7
    raw.delete(name)
    raw.rpush(name, "of another type")
    assert scrape(fleet=True) == {("dripcache_fleet_up",): 1}


MULTIPROCESS = """
    import json, django, os, sys
    django.setup()
    from django_dripcache import ConfigurationError, cache
    from django_dripcache.contrib import prometheus
    from django_dripcache.recorder import RECORDER
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest, multiprocess
    Counter("site_pages", "Pages.").inc()
    cache.get("page:1:body")
    RECORDER.flush()
    try:
        prometheus.register()
    except ConfigurationError as error:
        refused = str(error)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    prometheus.register(registry, fleet=True)
    print(json.dumps([refused, generate_latest(registry).decode()]))
"""


def test_in_the_multiprocess_mode_the_fleet_s_stand_beside_the_site_s(broker, tmp_path):
    refused, page = run_python(MULTIPROCESS, broker.url, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    assert "fleet=True" in refused
    assert "site_pages_total 1.0" in page
    assert 'dripcache_fleet_calls_total{group="page:#",outcome="miss"} 1.0' in page


# What is in them, and what is not


@given(st.text(), st.text())
def test_two_names_are_never_shown_as_one(one, other):
    assert (_shown(one) == _shown(other)) == (one == other)
    assert _shown(one).isprintable()


HOSTILE = ['"} 1\nevil_total 1\n{a="', "\\", "\\x0a", "\n", "\x00", "\udcff", "é", "\u202e", "#", "{", "a" * 5000]


def test_hostile_keys_do_no_harm(broker):
    for text in HOSTILE:
        cache.get(f"{text}:key")
    found = scrape()
    groups = {key[1] for key in found if key[0] == "dripcache_stored_bytes_total"}
    assert len(groups) == len(HOSTILE)
    assert all(group.isprintable() for group in groups)
    assert not [key for key in found if "evil" in key[0]]
    registry = CollectorRegistry()
    prometheus.register(registry)
    prometheus.register(registry, fleet=True)
    assert RECORDER.flush()
    assert exposition.generate_latest(registry).decode().endswith("# EOF\n")


def test_no_key_and_no_secret_is_in_them(start_server):
    server = start_server()
    with server.client() as root:
        root.acl_setuser("default", enabled=True, reset_passwords=True, passwords=["+pass-of-redis"])
    with use_server(f"redis://:pass-of-redis@127.0.0.1:{server.port}/0"):
        auth_cache.set_token("token-of-ada", user="ada-7")
        session_cache.set("session-of-ada", {"name": "value-of-ada"}, user="ada-7")
        cache.set("user:7:secret-end", "value-of-ada")
        cache.set("plain-end", "value-of-ada")
        rate_limiter.hit("192.0.2.77", "1/h")
        with cache.lock("lock-end", 10):
            pass
        assert RECORDER.flush()
        registry = CollectorRegistry()
        prometheus.register(registry)
        prometheus.register(registry, fleet=True)
        page = generate_latest(registry).decode()
    assert 'group="auth_cache"' in page
    assert "dripcache_fleet_up 1.0" in page
    for secret in ("pass-of-redis", "of-ada", "ada-7", "secret-end", "plain-end", "192.0.2.77", "lock-end"):
        assert secret not in page


def test_there_are_no_more_groups_than_are_counted(broker):
    for number in range(200):
        CacheManager(namespace=f"space{chr(97 + number % 26)}{chr(97 + number // 26)}").get("key")
    assert len({key[1] for key in scrape() if key[0] == "dripcache_stored_bytes_total"}) <= 65


# The registry


def test_the_names_are_told_without_values_and_a_second_time_is_an_error(broker):
    registry = CollectorRegistry()
    with mock.patch("django_dripcache.contrib.prometheus.run") as run:
        for fleet in (False, True):
            collector = prometheus.register(registry, fleet=fleet)
            assert {family.name for family in collector.describe()} == {family.name for family in collector.collect()}
            with pytest.raises(ValueError, match="Duplicated timeseries"):
                prometheus.register(registry, fleet=fleet)
    assert run.call_count == 1, "the names of the fleet's are known without Redis"


def test_a_site_without_a_cache_of_ours_has_the_rest(settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    assert not [key for key in scrape() if key[0].startswith("dripcache_breaker")]
    assert scrape(fleet=True) == {("dripcache_fleet_up",): 0}


def test_an_alias_that_is_set_up_wrongly_does_not_hide_the_others(broker, settings):
    ours = {"BACKEND": "django_dripcache.backend.DripCache"}
    settings.CACHES = {"default": {**ours, "LOCATION": "memcached://127.0.0.1"}, "good": ours}
    places = [key[1] for key in scrape() if key[0] == "dripcache_breaker_open"]
    assert places == [str(get_alias_server("good").broker)]
    assert scrape(fleet=True) == {("dripcache_fleet_up",): 0}


def test_without_the_package_the_error_says_what_to_install():
    code = """
        import json, sys, django
        django.setup()
        sys.modules["prometheus_client"] = None
        try:
            from django_dripcache.contrib import prometheus
        except django.core.exceptions.ImproperlyConfigured as error:
            print(json.dumps(str(error)))
    """
    assert "pip install django-dripcache[prometheus]" in run_python(code, UNREACHABLE)
    assert issubclass(prometheus.ConfigurationError, ImproperlyConfigured)
