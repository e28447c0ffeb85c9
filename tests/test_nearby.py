"""The verbs with a near cache: what is read once costs no round trip, and is right all the same."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import time

import pytest
from django.core.cache import cache as django_cache
from django.core.cache import caches
from django.test import override_settings

from django_dripcache import CacheManager, ConfigurationError, _drive, cache, memoize, user_cache
from django_dripcache.codecs import MISS
from django_dripcache.connections import close_all
from django_dripcache.counts import COUNTS
from django_dripcache.flows import lease
from django_dripcache.freshness import Freshness
from django_dripcache.nearness import Nearness
from django_dripcache.recorder import RECORDER
from django_dripcache.signals import cache_hit, cache_miss
from django_dripcache.traffic import get_traffic
from tests.processes import ROOT, environment, in_threads, interpreter, needs_server, wait_for

pytestmark = needs_server

OURS = "django_dripcache.backend.DripCache"
PATIENT = {"SOCKET_TIMEOUT": 5, "POOL_WAIT": 5}


def near():
    return caches["default"].client.server.near


def live():
    near().get(b"dripcache:d::1:any")
    return near().stats().status == "live"


class nearby:  # noqa: N801 - reads as the context manager that it is
    """Point the site at a server, with a near cache that is connected."""

    def __init__(self, url, *, wait=True, **options):
        own = {"BACKEND": OURS, "OPTIONS": {**PATIENT, "NEAR": options}}
        self._override = override_settings(CELERY_BROKER_URL=url, CACHES={"default": own}, DRIPCACHE={})
        self._wait = wait

    def __enter__(self):
        self._override.enable()
        if self._wait:
            wait_for(live)

    def __exit__(self, *_):
        close_all()
        self._override.disable()


@pytest.fixture
def site(redis_server, raw):
    with nearby(redis_server.url):
        yield redis_server


def count(raw):
    """Return how many commands a server was sent, but for what keeps a near cache alive."""
    stats = raw.info("commandstats")
    quiet = {"cmdstat_ping", "cmdstat_info", "cmdstat_hello", "cmdstat_subscribe"}
    return sum(found["calls"] for name, found in stats.items() if name not in quiet and "client" not in name)


def calls_of(raw, work):
    before = count(raw)
    work()
    return count(raw) - before


def asks_nobody(raw, work):
    """
    Return whether some work comes to ask nothing of the server.

    At first it may: that a key was written is told about when the writer has its answer, and the first read may be
    told of it once more.
    """
    return wait_for(lambda: calls_of(raw, work) == 0)


VALUES = [None, False, 0, 7, 1.5, "", "text", b"bytes", [1, [2]], {"a": {"b": 1}}, {1, 2}]


# What costs nothing the second time


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("verbs", [django_cache, cache], ids=["backend", "client"])
def test_a_value_that_was_read_is_read_again_without_asking(site, raw, drive, verbs, value):
    drive(verbs).set("key", value)
    assert drive(verbs).get("key", MISS) == value

    def again():
        for _ in range(20):
            assert drive(verbs).get("key", MISS) == value

    assert asks_nobody(raw, again)


@pytest.mark.parametrize("verbs", [django_cache, cache], ids=["backend", "client"])
def test_many_values_are_read_again_without_asking(site, raw, drive, verbs):
    drive(verbs).set_many({"a": 1, "b": [2], "c": None})
    expected = {"a": 1, "b": [2], "c": None}
    assert drive(verbs).get_many(["a", "b", "c", "none"]) == expected

    def again():
        assert drive(verbs).get_many(["a", "b", "c", "none"]) == expected
        assert drive(verbs).get_many(key for key in "ab") == {"a": 1, "b": [2]}
        assert drive(verbs).get("b") == [2]

    assert asks_nobody(raw, again)


def exchanges(work):
    """Return how many times some work asks the server."""
    tally = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_send", "_asend"):
            send = getattr(_drive, name)
            patch.setattr(_drive, name, lambda step, link, send=send: tally.append(step) or send(step, link))
        work()
    return len(tally)


@pytest.mark.parametrize(("options", "count"), [({}, 1), ({"grace": 60}, 2), ({"tags": ["tag"]}, 2)], ids=repr)
def test_many_values_are_read_for_the_first_time_in_one_round_trip_or_two(site, raw, drive, options, count):
    verbs, data = drive(cache), {f"key:{number}": [number] for number in range(30)}
    for key, value in data.items():
        verbs.set(key, value, **options)

    def again():
        assert verbs.get_many([*data, "none"]) == data

    near().clear()
    assert exchanges(again) == count
    assert asks_nobody(raw, again)
    verbs.set("key:3", ["new"], **options)
    assert verbs.get_many([*data, "none"]) == {**data, "key:3": ["new"]}
    verbs.invalidate_tags("tag")
    assert len(verbs.get_many(data)) == (0 if "tags" in options else 30)


def test_of_many_values_those_that_are_stale_or_void_are_left_out(site, raw, drive):
    verbs = drive(cache)
    verbs.set_many({"plain": 1})
    verbs.set("fresh", 2, 60, grace=60)
    verbs.set("stale", 3, 0.02, grace=60)
    verbs.set("void", 4, tags=["tag"])
    verbs.invalidate_tags("tag")
    wait_for(lambda: not verbs.has("stale"))

    def again():
        assert verbs.get_many(["void", "stale", "fresh", "plain"]) == {"fresh": 2, "plain": 1}

    near().clear()
    again()
    assert asks_nobody(raw, again)
    verbs.set("void", 5, tags=["tag"])
    assert verbs.get_many(["void", "stale"]) == {"void": 5}


@pytest.mark.parametrize("verbs", [django_cache, cache], ids=["backend", "client"])
def test_what_is_near_is_not_read_with_another_secret(site, drive, verbs):
    drive(verbs).set("key", [1])
    for _ in range(5):
        assert drive(verbs).get("key") == [1]
    with override_settings(SECRET_KEY="another key, of more than fifty characters in all, for a test"):
        assert drive(verbs).get("key") is None


@pytest.mark.parametrize("verbs", [django_cache, cache], ids=["backend", "client"])
def test_that_there_is_no_value_is_known(site, raw, drive, verbs):
    assert drive(verbs).get("none", "default") == "default"

    def again():
        assert drive(verbs).get("none", "default") == "default"

    assert asks_nobody(raw, again)
    drive(verbs).set("none", 1)
    assert drive(verbs).get("none", "default") == 1


@pytest.mark.parametrize("verbs", [django_cache, cache], ids=["backend", "client"])
def test_a_loader_is_not_asked_for_what_is_near(site, raw, drive, verbs):
    assert drive(verbs).get_or_set("key", lambda: [1]) == [1]
    assert drive(verbs).get_or_set("key", lambda: [2]) == [1]

    def again():
        assert drive(verbs).get_or_set("key", lambda: [2]) == [1]

    assert asks_nobody(raw, again)


@pytest.mark.parametrize("verbs", [django_cache, cache], ids=["backend", "client"])
def test_a_loader_is_called_once_where_it_is_known_that_there_is_nothing(site, drive, verbs):
    assert drive(verbs).get("key") is None
    calls = []
    for _ in range(3):
        assert drive(verbs).get_or_set("key", lambda: calls.append(1) or "loaded") == "loaded"
    assert calls == [1]


def test_a_memoized_function_is_near(site, raw):
    calls = []

    @memoize(60, key="rate", tags=["rates"])
    def rate(currency):
        calls.append(currency)
        return {"rate": len(calls)}

    assert [rate("EUR")["rate"] for _ in range(3)] == [1, 1, 1]

    def again():
        assert rate("EUR") == {"rate": 1}

    assert asks_nobody(raw, again)
    rate.invalidate("EUR")
    assert rate("EUR") == {"rate": 2}
    cache.invalidate_tags("rates")
    assert rate("EUR") == {"rate": 3}


def test_a_value_that_is_changed_by_one_who_read_it_is_not_changed_for_others(site):
    django_cache.set("key", {"list": [1]})
    for _ in range(3):
        found = django_cache.get("key")
        assert found == {"list": [1]}
        found["list"].append(2)


def test_a_near_value_is_converted_to_the_type_that_is_asked_for(site, drive):
    drive(cache).set("key", {"a": 1})
    for _ in range(2):
        assert drive(cache).get("key") == {"a": 1}
        assert drive(cache).get("key", type=dict[str, int]) == {"a": 1}
        assert drive(cache).get("key", "default", type=list[int]) == "default"


# Who else writes


WRITES = {
    "set": lambda verbs: verbs.set("key", 2),
    "delete": lambda verbs: verbs.delete("key"),
    "incr": lambda verbs: verbs.incr("key"),
    "set_many": lambda verbs: verbs.set_many({"key": 2}),
    "delete_many": lambda verbs: verbs.delete_many(["key"]),
    "delete_pattern": lambda verbs: verbs.delete_pattern("k*"),
    "clear": lambda verbs: verbs.clear(),
}


@pytest.mark.parametrize("write", list(WRITES))
@pytest.mark.parametrize("verbs", [django_cache, cache], ids=["backend", "client"])
def test_own_writes_are_read_at_once(site, drive, verbs, write):
    drive(verbs).set("key", 1)
    for _ in range(2):
        assert drive(verbs).get("key") == 1
        assert drive(verbs).get_many(["key"]) == {"key": 1}
    WRITES[write](drive(verbs))
    expected = 2 if write in {"set", "incr", "set_many"} else None
    assert drive(verbs).get("key") == expected
    assert drive(verbs).get_many(["key"]) == ({} if expected is None else {"key": 2})


def test_what_an_own_writer_in_a_thread_writes_is_read_by_all(site):
    def work(index):
        for number in range(200):
            django_cache.set(f"t:{index}", number)
            assert django_cache.get(f"t:{index}") == number

    in_threads(6, work)


@pytest.fixture
def other(site):
    """Run a line in another process of the site."""
    with interpreter(site.url) as do:
        yield do


def test_what_another_process_writes_is_read_at_once(other, drive):
    for number in range(100):
        other(f"django_cache.set('key', {number}); cache.set('key', [{number}], tags=['tag'])")
        for _ in range(2):
            assert drive(django_cache).get("key") == number
            assert drive(cache).get("key") == [number]


def test_a_tag_that_another_process_invalidates_voids_what_is_near(other, raw, drive):
    for number in range(20):
        drive(cache).set("key", number, tags=["a", "b"])
        for _ in range(2):
            assert drive(cache).get("key") == number

        def again(number=number):
            assert drive(cache).get("key") == number
            assert drive(cache).get_many(["key"]) == {"key": number}

        assert asks_nobody(raw, again)
        other("cache.invalidate_tags('b')")
        assert drive(cache).get("key") is None
        assert drive(cache).get_many(["key"]) == {}


def test_what_has_tags_that_its_loader_has_named_is_near_after_a_round_trip_more(site, raw, drive):
    verbs = drive(cache)
    verbs.set("other", 1, tags=["named"])  # what a loader names has to be in use
    loads = []

    def load(context):
        loads.append(len(loads))
        context.set(tags=["named"])
        return loads[-1]

    def again():
        assert verbs.get_or_set("key", load, tags=["given"]) == loads[-1]

    for tag in ("named", "given"):
        again()
        near().clear()
        assert exchanges(again) == 2
        assert asks_nobody(raw, again)
        verbs.invalidate_tags(tag)
        count = len(loads)
        again()
        assert len(loads) == count + 1


def test_what_is_voided_while_its_tags_are_learned_is_computed_anew(site, raw, drive, monkeypatch):
    verbs = drive(cache)
    verbs.set("other", 1, tags=["named"])
    verbs.get_or_set("key", lambda context: context.set(tags=["named"]) or "old")
    read_again = lease.read_again

    def late(*args):
        monkeypatch.undo()
        cache.invalidate_tags("named")
        return read_again(*args)

    monkeypatch.setattr(lease, "read_again", late)
    assert verbs.get_or_set("key", lambda: "new") == "new"


def test_numbers_that_others_raise_never_go_back(site, raw):
    script = """
        import django
        django.setup()
        from django.core.cache import cache
        for _ in range(1500):
            cache.incr("a"), cache.incr("b")
    """
    django_cache.set_many({"a": 0, "b": 0}, 60)
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment(site.url), cwd=ROOT)
        for _ in range(2)
    ]
    hits = []

    def read(index):
        key, last, reads = "ab"[index % 2], -1, 0
        while any(process.poll() is None for process in processes):
            found = django_cache.get(key) if index < 3 else django_cache.get_many([key])[key]
            assert found >= last, (found, last)
            last = found
            reads += 1
        hits.append(reads)

    in_threads(4, read, 60)
    assert [process.wait(10) for process in processes] == [0, 0]
    assert django_cache.get_many(["a", "b"]) == {"a": 3000, "b": 3000}
    assert sum(hits) > 100


# How long


def test_a_near_value_ends_with_its_key(site, drive):
    drive(django_cache).set("key", 1, 0.3)
    drive(cache).set("key", 1, 0.3)
    began = time.monotonic()
    assert drive(django_cache).get("key") == drive(cache).get("key") == 1
    while time.monotonic() < began + 0.35:
        drive(django_cache).get("key")
    assert drive(django_cache).get("key") is None
    assert drive(cache).get("key") is None


def test_a_near_value_is_fresh_no_longer_than_its_key_is(site, drive):
    drive(cache).set("key", 1, 0.3, grace=60)
    assert drive(cache).get("key") == 1
    time.sleep(0.35)
    assert drive(cache).get("key") is None


class Draws:
    """Draws of how early a value is computed anew, which are known; ``Freshness.hurry`` in a test."""

    def __init__(self, monkeypatch, *draws):
        self.left = list(draws)
        monkeypatch.setattr(Freshness, "hurry", property(lambda _: self.left.pop(0)))
        monkeypatch.setattr(Freshness, "most_hurry", max(draws))


OLD = ["old"]


def broken():
    raise AssertionError


def dear(verbs, *, tags=(), ttl=60):
    """Store a value that took 20 milliseconds or more, and return what reads it."""
    verbs.get_or_set("key", lambda: time.sleep(0.02) or OLD, ttl, tags=tags)

    def again():
        assert verbs.get_or_set("key", broken, ttl, tags=tags, beta=0) == OLD

    return again


@pytest.mark.parametrize("tags", [(), ("tag",)], ids=["plain", "with a tag"])
def test_a_near_value_that_was_dear_is_computed_early(site, raw, drive, tags):
    assert asks_nobody(raw, dear(drive(cache), tags=tags))
    assert drive(cache).get_or_set("key", lambda: "new", 60, tags=tags, beta=1e9) == "new"
    assert drive(cache).get("key") == "new"


def test_a_near_value_of_a_user_that_was_dear_is_computed_early(site, raw, drive):
    drive(user_cache).get_or_set(1, "key", lambda: time.sleep(0.02) or OLD, 60)

    def again():
        assert drive(user_cache).get_or_set(1, "key", broken, 60, beta=0) == OLD

    assert asks_nobody(raw, again)
    assert drive(user_cache).get_or_set(1, "key", lambda: "new", 60, beta=1e9) == "new"


def test_a_memoized_result_that_is_near_is_computed_early(site, raw):
    calls = []

    @memoize(60, key="report", beta=1e9)
    def report():
        time.sleep(0.02)
        return calls.append(1) or f"the {len(calls)}th"

    assert [report() for _ in range(3)] == ["the 1th", "the 2th", "the 3th"]


def test_whether_it_is_early_is_drawn_once_for_a_read(site, raw, drive, monkeypatch):
    again = dear(drive(cache))
    assert asks_nobody(raw, again)
    draws = Draws(monkeypatch, 1e9, 0.0)  # by the second one it would not be early
    assert drive(cache).get_or_set("key", lambda: "new", 60) == "new"
    assert draws.left == [0.0]


def test_what_is_near_is_read_without_a_draw_while_no_draw_would_make_it_early(site, raw, drive):
    verbs = drive(cache)
    again = dear(verbs, ttl=60)
    assert asks_nobody(raw, again)

    def by_default():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Freshness, "hurry", property(lambda _: pytest.fail("It was drawn.")))
            assert verbs.get_or_set("key", broken, 60) == OLD

    assert calls_of(raw, by_default) == 0


def test_a_near_value_is_as_long_fresh_as_the_server_says_and_not_as_long_as_it_is_kept(redis_server, raw, monkeypatch):
    with nearby(redis_server.url, MAX_TTL=0.5):
        asks_nobody(raw, dear(cache, ttl=3600))
        Draws(monkeypatch, 100.0)  # 100 times its cost is more than what is left near, and less than what is left
        assert cache.get_or_set("key", lambda: "new", 3600) == OLD


@pytest.mark.parametrize("grace", [0, 60])
def test_a_stale_value_is_no_near_hit_for_get_or_set(site, raw, drive, grace):
    verbs = drive(cache)
    verbs.set("key", "old", 0.4, grace=grace)

    for _ in range(3):
        verbs.get_or_set("key", lambda: "new", 60, grace=grace, beta=0)
    time.sleep(0.45)
    assert verbs.get_or_set("key", lambda: "new", 60, grace=grace) == "new"


def test_a_value_is_read_anew_after_the_longest_time(redis_server, raw):
    with nearby(redis_server.url, MAX_TTL=0.2):
        django_cache.set("key", 1, None)
        django_cache.get("key")
        time.sleep(0.25)

        def again():
            assert django_cache.get("key") == 1

        assert calls_of(raw, again) > 0


# What is near


def test_only_keys_that_match_are_near(redis_server, raw):
    with nearby(redis_server.url, KEYS=["near:*"]):
        for key, calls in {"near:1": 0, "far:1": 1}.items():
            django_cache.set(key, 1)
            cache.set(key, 1)
            for verbs in (django_cache, cache):
                verbs.get(key)

                def again(verbs=verbs, key=key):
                    assert verbs.get(key) == 1

                assert asks_nobody(raw, again) if not calls else calls_of(raw, again)


def test_a_namespace_and_a_version_have_values_of_their_own(site):
    shop = CacheManager(namespace="shop")
    for _ in range(2):
        shop.set("key", "shop")
        cache.set("key", "cache")
        django_cache.set("key", "one")
        django_cache.set("key", "two", version=2)
        assert (shop.get("key"), cache.get("key")) == ("shop", "cache")
        assert (django_cache.get("key"), django_cache.get("key", version=2)) == ("one", "two")


def test_services_go_on_as_before(site, drive):
    drive(user_cache).set(1, "theme", "dark")
    assert drive(user_cache).get(1, "theme") == "dark"
    drive(user_cache).delete(1)
    assert drive(user_cache).get(1, "theme") is None


def test_what_nobody_can_read_is_no_near_value(site, raw, drive):
    drive(django_cache).set("key", 1)
    drive(django_cache).get("key")
    name = b"dripcache:d::1:key"
    raw.set(name, b"\xdc\x00" + b"x" * 40, px=60_000)
    assert drive(django_cache).get("key", "default") == "default"
    raw.sadd(name, "member")
    assert drive(django_cache).get("key", "default") == "default"
    assert drive(django_cache).get_many(["key"]) == {}
    raw.delete(name)
    drive(django_cache).set("key", 2)
    assert drive(django_cache).get("key") == 2


# Without Redis


def test_what_is_near_ends_with_the_server_and_comes_back_with_it(start_server, drive):
    server = start_server()
    with nearby(server.url):
        drive(django_cache).set("key", 1)
        assert drive(django_cache).get("key") == 1
        server.stop()
        wait_for(lambda: drive(django_cache).get("key", "default") == "default")
        server.start()
        wait_for(lambda: drive(django_cache).set("key", 2))
        wait_for(live)
        assert drive(django_cache).get("key") == 2


def test_a_server_that_does_not_track_is_used_without(start_server, caplog):
    server = start_server()
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-subscribe")
    with nearby(server.url, wait=False):
        django_cache.set("key", 1)
        wait_for(lambda: django_cache.get("key") == 1 and near().stats().status == "refused")
        assert django_cache.get_many(["key"]) == {"key": 1}
        assert "subscribe" in near().stats().reason
    assert [line.getMessage() for line in caplog.records if "near cache" in line.getMessage()] != []


# What is told


def test_near_reads_are_counted_and_told_as_hits(site):
    COUNTS.renew()
    seen = []
    listen = lambda event, **_: seen.append(event.key.rpartition(":")[2])  # noqa: E731
    django_cache.set("g:1", 1)
    cache_hit.connect(listen)
    cache_miss.connect(listen)
    try:
        for _ in range(3):
            django_cache.get("g:1")
        django_cache.get_many(["g:1", "g:2"])
        django_cache.get_many(["g:1", "g:2"])
    finally:
        cache_hit.disconnect(listen)
        cache_miss.disconnect(listen)
    assert seen == ["1", "1", "1", "1", "2", "1", "2"]
    assert RECORDER.flush()
    found = get_traffic().groups["g"]
    assert (found.hits, found.near_hits, found.misses) == (1, 4, 2)


def test_loops_read_near_one_after_another(site, raw):
    async def ask():
        await django_cache.aset("key", 1)
        return [await django_cache.aget("key") for _ in range(3)]

    for _ in range(5):
        assert asyncio.run(ask()) == [1, 1, 1]

    def again():
        asyncio.run(asyncio.wait_for(django_cache.aget("key"), 5))

    assert asks_nobody(raw, again)


# How it is asked for


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "is \\[\\]. Allowed is a dict"),
        ({"MAX_ENTRYS": 1}, "has no 'MAX_ENTRYS'. Did you mean 'MAX_ENTRIES'"),
        ({"MAX_ENTRIES": 0}, "\\['MAX_ENTRIES'\\] is 0. Allowed is a number from 1 up"),
        ({"MAX_BYTES": True}, "\\['MAX_BYTES'\\] is True"),
        ({"MAX_TTL": 0}, "\\['MAX_TTL'\\] is 0. Allowed is seconds, more than 0"),
        ({"MAX_TTL": float("inf")}, "\\['MAX_TTL'\\] is inf"),
        ({"KEYS": "product:*"}, "\\['KEYS'\\] is 'product:\\*'. Allowed is a list of globs"),
        ({"KEYS": []}, "\\['KEYS'\\] is \\[\\]"),
    ],
)
def test_what_cannot_work_is_refused(given, message):
    with pytest.raises(ConfigurationError, match=message):
        Nearness.of(given)
    own = {"BACKEND": OURS, "LOCATION": "redis://127.0.0.1:1/0", "OPTIONS": {"NEAR": given}}
    with override_settings(CACHES={"default": own}), pytest.raises(ConfigurationError, match=message):
        caches["default"].get("key")


def test_none_is_no_near_cache(redis_server, raw):
    own = {"BACKEND": OURS, "LOCATION": redis_server.url, "OPTIONS": {"NEAR": None}}
    with override_settings(CACHES={"default": own}):
        assert django_cache.get("key") is None
        assert near() is None
        close_all()


def test_two_aliases_of_one_server_have_one_near_cache(redis_server, raw):
    one = {"BACKEND": OURS, "LOCATION": redis_server.url, "OPTIONS": {**PATIENT, "NEAR": {"KEYS": ["a:*"]}}}
    two = {**one, "KEY_PREFIX": "two", "OPTIONS": {**PATIENT, "NEAR": {"KEYS": ["b:*"]}}}
    with override_settings(CACHES={"default": one, "two": two}):
        for alias, key in (("default", "a:1"), ("two", "b:1")):
            caches[alias].set(key, alias)
        wait_for(live)
        for alias, key in (("default", "a:1"), ("two", "b:1")):
            caches[alias].get(key)

            def again(key=key, alias=alias):
                assert caches[alias].get(key) == alias

            assert asks_nobody(raw, again)
        assert len([found for found in raw.client_list() if found["name"].startswith("dripcache:near")]) == 1
        close_all()


def test_json_is_near_too(site, raw, drive):
    drive(cache).set_json("key", {"a": [1]})
    assert drive(cache).get_json("key") == {"a": [1]}
    assert asks_nobody(raw, lambda: drive(cache).get_json("key"))
    assert drive(cache).get_json("key", type=dict[str, list[int]]) == {"a": [1]}
    assert drive(cache).get_json("key", "default", type=int) == "default"


def test_what_is_encrypted_is_never_near(redis_server, raw):
    options = {**PATIENT, "NEAR": {}, "ENCRYPT": True}
    plain = {"BACKEND": OURS, "LOCATION": redis_server.url, "OPTIONS": {**PATIENT, "NEAR": {}}}
    caches_ = {"default": plain, "sealed": {**plain, "OPTIONS": options}}
    with override_settings(CACHES=caches_, DRIPCACHE={"ENCRYPTION_KEYS": ["k" * 43]}):
        wait_for(live)
        caches["sealed"].set("key", "secret")
        for _ in range(3):
            assert caches["sealed"].get("key") == "secret"
            assert caches["sealed"].get_many(["key"]) == {"key": "secret"}
        assert near().stats().entries == 0
        caches["default"].set("key", "plain")
        assert [caches["default"].get("key") for _ in range(3)] == ["plain"] * 3
        assert caches["sealed"].get("key", "default") == "default"
        close_all()
