from __future__ import annotations

import decimal
import threading
from datetime import timedelta

import pytest
from django.core.cache import caches
from django.test import override_settings
from django_redis import get_redis_connection

from django_dripcache.exceptions import CacheUnavailableError, ConfigurationError, SerializationError
from tests.conftest import use_server

VALUES = [
    None,
    False,
    True,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    1.5,
    "",
    "text ünï \x00",
    b"\x80\x05bytes",
    [1, [2]],
    {"a": (1, {2})},
    decimal.Decimal("1.10"),
    timedelta(days=1),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_with_its_type(backend, drive, value):
    drive(backend).set("key", value)
    found = drive(backend).get("key", "missing")
    assert found == value
    assert type(found) is type(value)


def test_a_stored_none_is_no_miss(backend, drive):
    drive(backend).set("none", None)
    assert drive(backend).get("none", "missing") is None
    assert drive(backend).get_many(["none", "nothing"]) == {"none": None}
    assert drive(backend).get_or_set("none", lambda: "loaded") is None


def test_a_value_of_ten_megabytes_comes_back(backend, drive):
    value = bytes(range(256)) * 40_960
    drive(backend).set("large", value)
    assert drive(backend).get("large") == value


def test_a_large_value_is_stored_compressed_and_a_small_one_is_not(backend, raw, drive):
    drive(backend).set("large", "x" * 100_000)
    drive(backend).set("small", "x" * 1_000)
    assert raw.strlen("dripcache:d::1:large") < 1_000
    assert raw.strlen("dripcache:d::1:small") > 1_000


def test_what_cannot_be_pickled_is_refused_and_nothing_is_lost(backend, drive):
    drive(backend).set("key", "before")
    with pytest.raises(SerializationError, match="function"):
        drive(backend).set("key", lambda: None)
    with pytest.raises(SerializationError):
        drive(backend).set_many({"key": 1, "bad": threading.Lock()})
    assert drive(backend).get("key") == "before"


def test_every_name_begins_with_the_namespace_and_has_a_ttl(backend, raw, drive):
    drive(backend).set("default", 1)
    drive(backend).set("forever", 1, None)
    drive(backend).set_many({"many": 1, "more": 2}, None)
    drive(backend).get_or_set("loaded", lambda: 1, None)
    drive(backend).add("added", 1, None)
    drive(backend).touch("default", None)
    names = list(raw.scan_iter(count=1000))
    assert len(names) == 6
    assert all(name.startswith(b"dripcache:d:") and raw.ttl(name) > 0 for name in names)


def test_a_timeout_of_none_is_thirty_days(backend, drive):
    drive(backend).set("key", 1, None)
    assert drive(backend).ttl("key") == 30 * 86_400


def test_forever_is_as_long_as_the_site_says(redis_server, raw):
    with use_server(redis_server.url, FOREVER_TTL=None):
        caches["default"].set("key", 1, None)
        assert caches["default"].ttl("key") is None
    with use_server(redis_server.url, FOREVER_TTL=timedelta(hours=1)):
        caches["default"].set("key", 1, None)
        assert caches["default"].ttl("key") == 3600


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_a_timeout_that_is_over_removes_the_value(backend, drive, timeout):
    drive(backend).set("key", 1)
    drive(backend).set("key", 2, timeout)
    assert drive(backend).get("key") is None
    drive(backend).set_many({"key": 3}, timeout)
    assert drive(backend).get("key") is None
    assert drive(backend).get_or_set("key", lambda: 4, timeout) == 4
    assert drive(backend).get("key") is None


def test_a_fraction_of_a_second_is_a_timeout(backend, drive):
    drive(backend).set("key", 1, 0.2)
    assert 0 < backend.pttl("key") <= 200


def test_only_over_another_value(backend, drive):
    assert drive(backend).set("key", 1, xx=True) is False
    assert drive(backend).get("key") is None
    assert drive(backend).set("key", 1, nx=True) is True
    assert drive(backend).set("key", 2, nx=True) is False
    assert drive(backend).set("key", 3, xx=True) is True
    assert drive(backend).get("key") == 3


def test_set_many_tells_that_nothing_failed(backend, drive):
    assert drive(backend).set_many({"a": 1, "b": 2}) == []
    assert drive(backend).set_many({}) == []
    assert drive(backend).get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    assert drive(backend).get_many(key for key in "ab") == {"a": 1, "b": 2}
    assert drive(backend).get_many([]) == {}


def test_delete_tells_whether_there_was_a_value(backend, drive):
    drive(backend).set("key", 1)
    assert drive(backend).delete("key") is True
    assert drive(backend).delete("key") is False
    drive(backend).set_many({"a": 1, "b": 2, "c": 3})
    assert drive(backend).delete_many(key for key in "ab") is None
    assert drive(backend).delete_many([]) is None
    assert drive(backend).get_many("abc") == {"c": 3}


def test_integers_are_counted_by_redis_and_keep_their_ttl(backend, raw, drive):
    drive(backend).set("n", 41, 100)
    assert drive(backend).incr("n") == 42
    assert drive(backend).decr("n", 2) == 40
    assert raw.get("dripcache:d::1:n") == b"40"
    assert 0 < raw.ttl("dripcache:d::1:n") <= 100


@pytest.mark.parametrize(
    ("start", "delta", "total"), [(1.5, 1, 2.5), (2**63 - 1, 1, 2**63), (2**70, -1, 2**70 - 1), (5, 2**64, 2**64 + 5)]
)
def test_numbers_that_redis_cannot_count_are_counted_all_the_same(backend, raw, drive, start, delta, total):
    drive(backend).set("n", start, 100)
    assert drive(backend).incr("n", delta) == total
    assert drive(backend).get("n") == total
    assert 0 < raw.ttl("dripcache:d::1:n") <= 100


def test_counting_what_is_not_there_is_an_error_and_makes_nothing(backend, drive):
    for verb in ("incr", "decr", "incr_version"):
        with pytest.raises(ValueError, match="not found"):
            getattr(drive(backend), verb)("missing")
    assert drive(backend).has_key("missing") is False
    assert drive(backend).incr("made", ignore_key_check=True) == 1
    assert drive(backend).ttl("made") == 300


def test_a_text_cannot_be_counted_with(backend, drive):
    drive(backend).set("key", "text")
    with pytest.raises(TypeError):
        drive(backend).incr("key")
    assert drive(backend).get("key") == "text"


def test_floats_counted_by_many_threads_lose_nothing(backend):
    backend.set("n", 0.5)

    def count() -> None:
        for _ in range(25):
            caches["default"].incr("n")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert backend.get("n") == 100.5


def test_incr_version_moves_the_value_with_its_ttl(backend, drive):
    drive(backend).set("key", None, 100)
    assert drive(backend).incr_version("key") == 2
    assert drive(backend).get("key", "missing") == "missing"
    assert drive(backend).get("key", "missing", version=2) is None
    assert 0 < drive(backend).ttl("key", version=2) <= 100
    assert drive(backend).decr_version("key", version=2) == 1
    assert drive(backend).has_key("key") is True


def test_get_or_set_loads_once_and_takes_a_plain_value(backend, drive):
    calls = []
    for _ in range(2):
        assert drive(backend).get_or_set("key", lambda: calls.append(1) or "loaded") == "loaded"
    assert calls == [1]
    assert drive(backend).get_or_set("plain", "value") == "value"


async def test_get_or_set_awaits_a_coroutine_function(backend):
    async def load() -> str:
        return "awaited"

    assert await backend.aget_or_set("key", load) == "awaited"
    assert await backend.aget("key") == "awaited"


def test_get_or_set_gives_the_value_that_another_stored_meanwhile(backend, drive):
    assert drive(backend).get_or_set("key", lambda: backend.set("key", "theirs") and "ours") == "theirs"


def test_get_or_set_heals_what_cannot_be_read(backend, raw, drive):
    for name, spoil in (("list", raw.rpush), ("bytes", raw.set)):
        spoil(f"dripcache:d::1:{name}", b"\xdc not ours")
        assert drive(backend).get(name, "missing") == "missing"
        assert drive(backend).get_or_set(name, lambda: "healed") == "healed"
        assert drive(backend).get(name) == "healed"


def test_values_of_other_redis_types_are_misses(backend, raw, drive):
    raw.rpush("dripcache:d::1:list", 1)
    raw.hset("dripcache:d::1:hash", "f", 1)
    raw.sadd("dripcache:d::1:set", 1)
    raw.zadd("dripcache:d::1:zset", {"m": 1})
    raw.xadd("dripcache:d::1:stream", {"f": 1})
    names = ["list", "hash", "set", "zset", "stream"]
    assert [drive(backend).get(name, "missing") for name in names] == ["missing"] * 5
    assert drive(backend).get_many(names) == {}
    for name in names:
        with pytest.raises(ValueError, match="not found"):
            drive(backend).incr(name)
        with pytest.raises(ValueError, match="not found"):
            drive(backend).incr_version(name)
        drive(backend).set(name, "ours")
    assert drive(backend).get_many(names) == dict.fromkeys(names, "ours")


def test_clear_removes_all_versions_of_this_alias_and_nothing_else(backend, raw, drive):
    raw.set("dripcache:c:of-a-manager", 1)
    raw.set("dripcache:d:other:1:of-another-alias", 1)
    raw.set("foreign", 1)
    raw.set("dripcacheX", 1)
    drive(backend).set_many({str(number): number for number in range(2_500)})
    drive(backend).set("v2", 1, version=2)
    drive(backend).clear()
    assert sorted(raw.scan_iter(count=5000)) == [
        b"dripcache:c:of-a-manager",
        b"dripcache:d:other:1:of-another-alias",
        b"dripcacheX",
        b"foreign",
    ]


@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")
@pytest.mark.parametrize("prefix", ["site*", "[s]ite", "a:b", "%?\\", "s{i}te ~"])
def test_a_key_prefix_with_special_characters_clears_its_own_keys_alone(redis_server, raw, prefix):
    backend = "django_dripcache.backend.DripCache"
    cache_settings = {
        "default": {"BACKEND": backend, "LOCATION": redis_server.url, "KEY_PREFIX": prefix},
        "other": {"BACKEND": backend, "LOCATION": redis_server.url, "KEY_PREFIX": "site2"},
    }
    with override_settings(CACHES=cache_settings):
        caches["default"].set("a", 1)
        caches["other"].set("a", 2)
        assert caches["default"].keys("*") == ["a"]
        assert caches["default"].delete_pattern("a") == 1
        caches["default"].set("a", 1)
        caches["default"].clear()
        assert caches["default"].get("a") is None
        assert caches["other"].get("a") == 2


def test_patterns_find_keys_of_one_version(backend, drive):
    drive(backend).set_many({"user:1": 1, "user:2": 2, "usher": 3, "user:[x]": 4})
    drive(backend).set("user:9", 9, version=2)
    assert sorted(drive(backend).keys("user:*")) == ["user:1", "user:2", "user:[x]"]
    assert sorted(drive(backend).iter_keys("user:?")) == ["user:1", "user:2"]
    assert list(drive(backend).iter_keys("user:*", version=2)) == ["user:9"]
    assert drive(backend).delete_pattern("user:\\[x\\]") == 1
    assert drive(backend).delete_pattern("user:*") == 2
    assert drive(backend).get("user:9", version=2) == 9


@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")
def test_keys_of_any_text_come_back_from_a_search(backend, drive):
    keys = ["with space", "new\nline", "ünï", "per%20cent", "{brace}", "til~de", "a:b:c", "\udcff", "🍋"]
    drive(backend).set_many(dict.fromkeys(keys, 1))
    assert sorted(drive(backend).keys("*")) == sorted(keys)
    assert drive(backend).get_many(keys) == dict.fromkeys(keys, 1)


def test_progress_is_told_page_by_page(backend, drive):
    drive(backend).set_many({str(number): number for number in range(2_500)})
    told: list[int] = []
    assert drive(backend).delete_pattern("*", itersize=500, progress=told.append) == 2_500
    assert told == sorted(told)
    assert told[-1] == 2_500
    assert len(told) >= 4


def test_sets_hashes_and_sorted_sets_are_signed_and_expire(backend, raw):
    backend.sadd("set", "a", 2, (3,))
    assert backend.smembers("set") == {"a", 2, (3,)}
    assert backend.sismember("set", (3,)) is True
    raw.sadd("dripcache:d::1:set", b"\x80\x05hostile")
    assert backend.smembers("set") == {"a", 2, (3,)}
    backend.zadd("zset", {"a": 1.5, 7: 2})
    assert backend.zrange("zset", 0, -1, withscores=True) == [("a", 1.5), (7, 2.0)]
    backend.zincrby("zset2", 1.0, "a")
    backend.hset("hash", "field", {"x": 1})
    assert backend.hexists("hash", "field") is True
    backend.smove("set", "moved", 2)
    backend.sunionstore("union", "set", "moved")
    backend.sdiffstore("diff", "set", "moved")
    backend.sinterstore("inter", "set", "set")
    for name in raw.scan_iter():
        assert raw.ttl(name) > 86_400, name


def test_a_lock_without_a_timeout_has_an_end(backend, raw):
    lock = backend.lock("lock")
    assert lock.acquire(blocking=False)
    assert raw.ttl("dripcache:d::1:lock") > 86_400
    assert not backend.lock("lock").acquire(blocking=False)
    lock.release()
    with backend.lock("lock", timeout=5):
        assert 0 < raw.ttl("dripcache:d::1:lock") <= 5


def test_lifetimes_are_read_and_changed(backend, drive):
    assert drive(backend).ttl("missing") == 0
    drive(backend).set("key", 1, 100)
    assert drive(backend).ttl("key") == 100
    assert drive(backend).touch("key", 50) is True
    assert drive(backend).ttl("key") == 50
    assert drive(backend).touch("missing", 50) is False
    assert drive(backend).touch("missing", None) is False
    assert backend.persist("key") is True
    assert drive(backend).ttl("key") == 30 * 86_400
    assert backend.expire("key", 9) is True
    assert drive(backend).ttl("key") == 9
    assert drive(backend).touch("key", 0) is True
    assert drive(backend).has_key("key") is False


def test_a_client_may_be_brought_along_but_no_pipeline(backend, redis_server):
    client = get_redis_connection("default")
    backend.set("key", 1, client=client)
    assert backend.get("key", client=client) == 1
    with pytest.raises(TypeError, match="pipeline"):
        backend.set("key", 2, client=client.pipeline())


def test_the_raw_connection_of_django_redis_is_ours(backend):
    client = get_redis_connection("default")
    assert client.connection_pool is backend.client.server.pool


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"OPTIONS": {"SERIALIZER": "x"}}, "SERIALIZER"),
        ({"OPTIONS": {"SOCKET_TIMEOT": 1}}, "SOCKET_TIMEOUT"),
        ({"OPTIONS": {"ON_OUTAGE": "explode"}}, "fallback"),
        ({"LOCATION": ["redis://a", "redis://b"]}, "LOCATION"),
        ({"LOCATION": "memcached://a"}, "memcached"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(params, message):
    alias = {"BACKEND": "django_dripcache.backend.DripCache", **params}
    with override_settings(CACHES={"default": alias}), pytest.raises(ConfigurationError, match=message):
        caches["default"].get("key")


def test_without_redis_every_verb_has_its_fallback(drive):
    with use_server("redis://127.0.0.1:1/0"):
        cache = drive(caches["default"])
        assert cache.get("key", "default") == "default"
        assert cache.set("key", 1) is False
        assert cache.add("key", 1) is False
        assert cache.get_many(["key"]) == {}
        assert cache.set_many({"key": 1}) == ["key"]
        assert cache.delete("key") is False
        assert cache.delete_many(["key"]) is None
        assert cache.has_key("key") is False
        assert cache.touch("key") is False
        assert cache.get_or_set("key", lambda: "loaded") == "loaded"
        assert cache.clear() is None
        assert cache.delete_pattern("*") == 0
        assert list(cache.iter_keys("*")) == []
        assert cache.ttl("key") == 0
        assert cache.get_stats().available is False
        for verb in ("incr", "decr", "incr_version", "decr_version"):
            with pytest.raises(ValueError, match="cannot be changed"):
                getattr(cache, verb)("key")


def test_without_redis_a_site_may_ask_for_the_error(drive):
    with use_server("redis://127.0.0.1:1/0", ON_OUTAGE="raise"):
        cache = drive(caches["default"])
        for call in (
            lambda: cache.get("key"),
            lambda: cache.set("key", 1),
            lambda: cache.get_or_set("key", lambda: 1),
            lambda: cache.incr("key"),
            cache.clear,
        ):
            with pytest.raises(CacheUnavailableError):
                call()
