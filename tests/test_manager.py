from __future__ import annotations

import dataclasses
import threading
from datetime import timedelta

import pytest
from django.test import override_settings

import django_dripcache
from django_dripcache import CacheClient, CacheManager, cache, namespace
from django_dripcache.exceptions import CacheUnavailableError, ConfigurationError, InvalidKeyError, SerializationError
from tests.conftest import use_server


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@pytest.fixture
def manager(broker):
    return CacheManager(namespace="reports")


def test_a_value_comes_back_and_falsy_ones_are_values(manager, drive):
    for value in (None, False, 0, "", [], {"a": (1, 2)}):
        assert drive(manager).set("key", value) is True
        assert drive(manager).get("key", "missing") == value
    assert drive(manager).get("nothing", "missing") == "missing"
    assert drive(manager).get("nothing") is None


def test_a_type_that_no_longer_fits_is_a_miss(manager, drive):
    drive(manager).set("point", {"x": 1})
    assert drive(manager).get("point", type=Point) == Point(1)
    drive(manager).set("point", {"x": "one"})
    assert drive(manager).get("point", "missing", type=Point) == "missing"
    assert drive(manager).get_or_set("point", lambda: {"x": 5}, type=Point) == {"x": 5}
    assert drive(manager).get("point", type=Point) == Point(5)


def test_names_carry_the_namespace_and_every_key_expires(manager, raw, drive):
    drive(manager).set("a", 1)
    drive(manager).set_many({"b": 2, "c": 3})
    drive(manager).get_or_set("d", lambda: 4)
    drive(manager).incr("e")
    drive(CacheClient(manager)).set_json("f", [5])
    names = sorted(raw.scan_iter(count=1000))
    assert names == [f"dripcache:c.reports:{letter}".encode() for letter in "abcdef"]
    assert all(0 < raw.ttl(name) <= 300 for name in names)


READS = {
    "get": ("key",),
    "get_or_set": ("key", lambda: 1),
    "get_many": (["key"],),
    "get_json": ("key",),
    "get_many_json": (["key"],),
    "set": ("key", 1),
}


@pytest.mark.parametrize("verb", READS)
def test_a_call_looks_up_its_alias_once(broker, drive, monkeypatch, verb):
    looked_up = []
    find = namespace.get_alias_client
    monkeypatch.setattr(namespace, "get_alias_client", lambda *who: looked_up.append(who) or find(*who))
    for _ in range(2):
        getattr(drive(cache), verb)(*READS[verb])
    assert len(looked_up) == 2


@pytest.mark.parametrize("key", ["key", "a b", "é%{}~", "x" * 2000, ""])
@pytest.mark.parametrize(
    "owner", [cache, CacheClient(CacheManager(namespace="a:b"), "prefix")], ids=["plain", "within"]
)
def test_the_lease_of_a_key_has_the_name_of_the_key_in_another_area(broker, owner, key):
    prefix = owner.prefix
    assert owner._lease(owner._name(key)) == owner._part("l").name(prefix + key)


def test_the_ttl_is_the_calls_then_the_managers_then_the_alias(broker, drive):
    manager = CacheManager(default_ttl=timedelta(minutes=1))
    drive(manager).set("own", 1)
    drive(manager).set("call", 1, ttl=7)
    drive(CacheManager()).set("alias", 1)
    assert [round(drive(manager).ttl(key).total_seconds()) for key in ("own", "call", "alias")] == [60, 7, 300]


def test_get_or_set_loads_once(manager, drive):
    calls = []
    for _ in range(3):
        assert drive(manager).get_or_set("key", lambda: calls.append(1)) is None
    assert calls == [1]


def test_an_error_of_the_loader_reaches_the_caller_and_stores_nothing(manager, raw, drive):
    with pytest.raises(ZeroDivisionError):
        drive(manager).get_or_set("key", lambda: 1 / 0)
    assert list(raw.scan_iter()) == []
    assert drive(manager).get_or_set("key", lambda: 1) == 1


def test_many_values_in_one_call(manager, drive):
    assert drive(manager).set_many({str(number): number for number in range(1_000)}) == []
    found = drive(manager).get_many([str(number) for number in range(1_001)])
    assert found == {str(number): number for number in range(1_000)}
    assert drive(manager).delete_many(str(number) for number in range(1_001)) == 1_000
    assert drive(manager).delete_many([]) == 0


def test_a_counter_begins_at_nothing_with_a_ttl_and_keeps_it(manager, drive):
    assert drive(manager).incr("hits", ttl=100) == 1
    assert drive(manager).incr("hits", 5, ttl=9_000) == 6
    assert drive(manager).decr("hits", 2) == 4
    assert drive(manager).ttl("hits") <= timedelta(seconds=100)
    assert drive(manager).get("hits") == 4


def test_what_is_no_counter_is_refused_and_left_as_it_is(manager, drive):
    drive(manager).set("text", "text")
    with pytest.raises(ValueError, match="cannot be counted"):
        drive(manager).incr("text")
    drive(manager).set("large", 2**63 - 1)
    with pytest.raises(ValueError, match="cannot be counted"):
        drive(manager).incr("large")
    assert drive(manager).get_many(["text", "large"]) == {"text": "text", "large": 2**63 - 1}


def test_a_counter_of_many_threads_loses_nothing(manager):
    def count() -> None:
        for _ in range(100):
            manager.incr("hits")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert manager.get("hits") == 800


def test_lifetimes(manager, drive):
    assert drive(manager).ttl("key") is None
    assert drive(manager).touch("key") is False
    assert drive(manager).expire("key") is False
    drive(manager).set("key", 1, ttl=10)
    assert drive(manager).touch("key", timedelta(hours=1)) is True
    assert drive(manager).ttl("key") > timedelta(minutes=59)
    assert drive(manager).expire("key", 5) is True
    assert drive(manager).ttl("key") <= timedelta(seconds=5)
    assert drive(manager).expire("key") is True
    assert drive(manager).has("key") is False


def test_a_wrong_ttl_or_key_is_an_error_at_once(manager, drive):
    for ttl in ("10", True, float("nan")):
        with pytest.raises((TypeError, ValueError), match="ttl"):
            drive(manager).set("key", 1, ttl=ttl)
    with pytest.raises(InvalidKeyError, match="int"):
        drive(manager).get(5)
    with pytest.raises(InvalidKeyError):
        drive(manager).set(b"bytes", 1)


def test_clear_and_patterns_stay_in_their_namespace(manager, raw, drive):
    other = CacheManager(namespace="report")
    default = CacheManager()
    for each in (manager, other, default):
        drive(each).set_many({"user:1": 1, "user:2": 2, "team": 3})
    assert drive(manager).delete_pattern("user:*") == 2
    assert drive(manager).clear() == 1
    assert drive(default).delete_pattern("*") == 3
    assert drive(other).get_stats().keys == 3
    assert len(list(raw.scan_iter())) == 3


@pytest.mark.parametrize(
    ("first", "second"), [("a", "a:b"), ("a:b", "a"), ("*", "b"), ("a", "A"), ("", "a"), ("a.b", "a"), ("%3A", ":")]
)
def test_namespaces_never_run_into_each_other(broker, first, second):
    one, two = CacheManager(namespace=first), CacheManager(namespace=second)
    for key in ("key", "b:key", ":key", ""):
        one.set(key, "one")
        two.set(key, "two")
        assert one.get(key) == "one"
    one.clear()
    assert two.get("key") == "two"


def test_a_bound_of_keys_holds_and_the_soonest_to_expire_go_first(broker, raw, drive):
    manager = CacheManager(namespace="small", max_keys=3)
    for number in range(6):
        drive(manager).set(f"k{number}", number, ttl=100 - number)
    assert drive(manager).get_many(f"k{number}" for number in range(6)) == {"k0": 0, "k1": 1, "k2": 2}
    drive(manager).set_many({f"m{number}": number for number in range(10)}, ttl=1_000)
    assert drive(manager).get_stats().keys == 3
    assert drive(manager).get_or_set("loaded", lambda: 1, ttl=5_000) == 1
    assert drive(manager).incr("counter", ttl=5_000) == 1
    assert drive(manager).get_stats().keys == 3
    assert all(raw.ttl(name) > 0 for name in raw.scan_iter())


def test_what_was_deleted_or_expired_makes_room_under_a_bound(broker, raw, drive):
    manager = CacheManager(namespace="small", max_keys=2)
    drive(manager).set_many({"a": 1, "b": 2}, ttl=100)
    drive(manager).delete("a")
    drive(manager).set("c", 3, ttl=50)
    assert drive(manager).get_many("abc") == {"b": 2, "c": 3}
    drive(manager).delete_pattern("b")
    drive(manager).set("d", 4, ttl=10)
    assert drive(manager).get_many("abcd") == {"c": 3, "d": 4}
    drive(manager).expire("c")
    drive(manager).set("e", 5, ttl=5)
    assert drive(manager).get_many("abcde") == {"d": 4, "e": 5}
    drive(manager).clear()
    assert list(raw.scan_iter()) == []


@pytest.mark.parametrize("bound", [0, -1, "10", 1.5])
def test_a_bound_that_is_none_is_refused(bound):
    with pytest.raises(ConfigurationError, match="max_keys"):
        CacheManager(max_keys=bound)


def test_figures_of_a_namespace(manager, drive):
    drive(manager).set_many({"a": 1, "b": 2})
    stats = drive(manager).get_stats()
    assert (stats.available, stats.keys, stats.keys_exact) == (True, 2, True)
    assert stats.memory_used > 100_000
    assert stats.memory_max == 256 * 1024 * 1024
    assert stats.eviction_policy == "volatile-lru"
    assert int(stats.server_version.split(".")[0]) >= 6
    assert stats.connections_max == 20
    assert 0 <= stats.connections_in_use <= stats.connections_open <= 20


def test_a_large_database_is_sampled_and_says_so(manager, raw, monkeypatch, drive):
    monkeypatch.setattr("django_dripcache.flows.scan.EXACT_BELOW", 5_000)
    monkeypatch.setattr("django_dripcache.flows.scan.SAMPLE_PAGES", 5)
    for start in range(0, 10_000, 500):  # a busy machine answers these in time
        drive(manager).set_many({str(number): number for number in range(start, start + 500)})
    with raw.pipeline(transaction=False) as pipe:
        for number in range(10_000):
            pipe.set(f"foreign:{number}", 1)
        pipe.execute()
    stats = drive(manager).get_stats()
    assert stats.keys_exact is False
    assert 8_000 < stats.keys < 12_000


def test_a_connection_is_tested(manager, drive):
    assert drive(manager).test_connection() is True
    with use_server("redis://127.0.0.1:1/0"):
        assert drive(manager).test_connection() is False


def test_without_redis_reads_are_misses_loaders_run_and_writes_say_no(drive):
    with use_server("redis://127.0.0.1:1/0"):
        client = drive(CacheClient())
        assert client.get("key", "default") == "default"
        assert client.get_json("key", "default") == "default"
        assert client.get_many(["key"]) == {}
        assert client.get_many_json(["key"]) == {}
        assert client.has("key") is False
        assert client.ttl("key") is None
        assert client.get_or_set("key", lambda: "loaded") == "loaded"
        assert client.set("key", 1) is False
        assert client.set_json("key", 1) is False
        assert client.set_many({"key": 1}) == ["key"]
        assert client.set_many_json({"key": 1}) == ["key"]
        assert client.delete("key") is False
        assert client.delete_many(["key"]) == 0
        assert client.touch("key") is False
        assert client.expire("key") is False
        assert client.clear() == 0
        assert client.delete_pattern("*") == 0
        assert client.get_stats().available is False
        for verb in ("incr", "decr"):
            with pytest.raises(ValueError, match="cannot be changed"):
                getattr(client, verb)("key")


def test_without_redis_a_manager_may_ask_for_the_error(drive):
    with use_server("redis://127.0.0.1:1/0"):
        strict = drive(CacheManager(on_outage="raise"))
        for call in (
            lambda: strict.get("key"),
            lambda: strict.get_or_set("key", lambda: 1),
            lambda: strict.incr("key"),
            strict.clear,
        ):
            with pytest.raises(CacheUnavailableError, match="Redis"):
                call()


def test_an_alias_of_another_backend_is_refused_with_what_is_allowed():
    locmem = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    with (
        override_settings(CACHES={"default": locmem}),
        pytest.raises(ConfigurationError, match=r"LocMemCache.*DripCache"),
    ):
        CacheManager().get("key")


def test_the_client_of_the_package_works_over_the_alias_default(broker, raw, drive):
    drive(cache).set("key", 1)
    assert raw.exists("dripcache:c:key")
    assert django_dripcache.cache_get("key") == 1
    assert django_dripcache.set_cache_json("json", {"a": 1}) is True
    assert django_dripcache.get_cache_json("json") == {"a": 1}


def test_json_is_readable_by_anyone_and_from_anyone(broker, raw, drive):
    client = CacheClient(prefix="api")
    drive(client).set_json("user", {"name": "Zoë", "when": timedelta(seconds=5)})
    assert raw.get("dripcache:c:api:user") == '{"name":"Zoë","when":"PT5S"}'.encode()
    raw.set("dripcache:c:api:theirs", b'{"x": 3}', ex=60)
    assert drive(client).get_json("theirs") == {"x": 3}
    assert drive(client).get("theirs") == {"x": 3}
    assert drive(client).get_json("theirs", type=Point) == Point(3)
    assert drive(client).get_json("theirs", "missing", type=list[int]) == "missing"
    for broken in (b"{", b"", b"\xff", b"[" * 100_000):
        raw.set("dripcache:c:api:theirs", broken, ex=60)
        assert drive(client).get_json("theirs", "missing") == "missing"


def test_many_values_of_json(broker, drive):
    client = CacheClient(prefix="api")
    assert drive(client).set_many_json({"a": {"x": 1}, "b": {"x": "?"}}) == []
    assert drive(client).get_many_json(["a", "b", "c"]) == {"a": {"x": 1}, "b": {"x": "?"}}
    assert drive(client).get_many_json(["a", "b", "c"], type=Point) == {"a": Point(1)}


def test_what_json_has_no_form_for_is_refused(broker, drive):
    for value in (object(), {1j: 1}, threading.Lock()):
        with pytest.raises(SerializationError, match="JSON"):
            drive(CacheClient()).set_json("key", value)


def test_a_prefix_is_the_beginning_of_its_keys(manager, drive):
    prefs = CacheClient(manager, "prefs*")
    deeper = CacheClient(prefs, "deep")
    drive(prefs).set("7", "seven")
    drive(deeper).set("8", "eight")
    drive(manager).set("prefsX:9", "nine")
    assert drive(manager).get("prefs*:7") == "seven"
    assert drive(manager).get("prefs*:deep:8") == "eight"
    assert drive(prefs).get_stats().keys == 2
    assert drive(deeper).clear() == 1
    assert drive(prefs).clear() == 1
    assert drive(manager).get("prefsX:9") == "nine"


def test_clients_have_no_secrets_in_their_repr(broker):
    with override_settings(CELERY_BROKER_URL="redis://user:hunter2@127.0.0.1:1/0"):
        client = CacheClient()
        client.get("key")
        assert "hunter2" not in repr(client) + repr(client._client.server) + repr(client._client.server.pool)
