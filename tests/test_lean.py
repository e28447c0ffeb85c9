"""The ways that are short because they leave something out: they answer what the long ones would."""

from __future__ import annotations

import enum
import warnings

import pytest
import redis
from django.core.cache import cache as django_cache
from django.core.cache import caches
from django.core.cache.backends.base import CacheKeyWarning
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from django_dripcache import cache
from django_dripcache.backend import DripCache
from django_dripcache.redis_base import BaseClient
from tests.processes import needs_server
from tests.test_nearby import nearby

OURS = "django_dripcache.backend.DripCache"


def client(**params):
    """Return the client of an alias that nobody asks anything."""
    return DripCache("redis://127.0.0.1:1/0", params).client


def long_way(client, key, version):
    """Return the name of a key, and the warnings that come with it, as if no key were like most keys."""
    client._plain = False
    try:
        return told(client, key, version)
    finally:
        client._plain = True


def told(client, key, version):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        name = BaseClient.name(client, key, version)
    return name, [str(warning.message) for warning in heard if warning.category is CacheKeyWarning]


# Names


class Level(int, enum.Enum):
    ONE = 1


class Text(str):
    """A text of a class of its own."""

    __slots__ = ()


plain = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=120)
texts = plain | st.text(max_size=120) | st.text(st.characters(), max_size=300)
versions = st.integers(-3, 3) | st.sampled_from([None, True, False, 1.0, 0.0, Level.ONE, "1", "", "a b", 10**30])


@settings(max_examples=60, deadline=None)
@given(prefix=texts, keys=st.lists(st.tuples(texts, versions), min_size=1, max_size=6))
def test_a_key_that_is_like_most_has_the_name_that_it_would_have_otherwise(prefix, keys):
    one = client(KEY_PREFIX=prefix)
    assert one._plain
    for _ in range(2):
        for key, version in keys:
            for text in (key, Text(key)):
                assert told(one, text, version) == long_way(one, text, version)


@settings(max_examples=100, deadline=None)
@given(prefix=plain, keys=st.lists(plain | texts | texts.map(Text), max_size=5), version=versions)
def test_the_names_of_many_keys_are_those_of_each(prefix, keys, version):
    one = client(KEY_PREFIX=prefix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheKeyWarning)
        assert one.names(keys, version) == [one.name(key, version) for key in keys]


def test_versions_that_are_equal_and_read_otherwise_are_apart():
    one = client()
    names = [one.name("key", version) for version in (1, True, 1.0, "1")]
    assert names == [b"dripcache:d::%b:key" % version for version in (b"1", b"True", b"1.0", b"1")]


def test_a_version_that_cannot_be_looked_up_has_a_name():
    assert client().name("key", [1]) == b"dripcache:d::[1]:key"


def test_a_site_is_warned_of_a_prefix_that_memcached_would_refuse():
    one = client(KEY_PREFIX="my site")
    for _ in range(2):
        assert told(one, "key", 1)[1] == long_way(one, "key", 1)[1] != []


class TenantCache(DripCache):
    """A cache that asks itself whose key it is."""

    tenant = ""

    def make_key(self, key, version=None):
        return super().make_key(f"{self.tenant}:{key}", version)


def test_a_backend_that_makes_its_keys_itself_is_asked_each_time(monkeypatch):
    one = TenantCache("redis://127.0.0.1:1/0", {}).client
    for tenant in ("a", "b", "a"):
        monkeypatch.setattr(TenantCache, "tenant", tenant)
        assert one.name("key") == f"dripcache:d::1:{tenant}:key".encode()


def test_a_key_function_is_asked_each_time():
    tenant = ["a"]
    one = client(KEY_FUNCTION=lambda key, prefix, version: f"{tenant[0]}/{key}")
    assert one.name("key") == b"dripcache:d:a/key"
    tenant[0] = "b"
    assert one.name("key") == b"dripcache:d:b/key"


# What cannot be sent


@needs_server
def test_what_cannot_be_sent_is_a_data_error(backend):
    with pytest.raises(redis.DataError):
        backend.zrange("key", None, [1])
    assert backend.set("key", 1)
    assert backend.client.server.pool.lent == 0


# Near


@pytest.fixture
def site(redis_server, raw):
    with nearby(redis_server.url):
        yield redis_server


def cut(monkeypatch):
    """Let the server be asked no more, while what is near is read on."""
    monkeypatch.setattr(caches["default"].client.server.breaker, "allows", lambda: False)


def brought_near(verbs, key, value):
    verbs.set(key, value)
    for _ in range(2):
        assert verbs.get(key) == value


@needs_server
@pytest.mark.parametrize("verbs", [django_cache, cache], ids=["backend", "client"])
@pytest.mark.parametrize(
    "write",
    [
        lambda verbs: verbs.clear(),
        lambda verbs: verbs.delete_pattern("k*"),
        lambda verbs: verbs.delete("key"),
        lambda verbs: verbs.set("key", 2),
        lambda verbs: verbs.set_many({"key": 2}),
        lambda verbs: verbs.delete_many(["key"]),
    ],
    ids=["clear", "delete_pattern", "delete", "set", "set_many", "delete_many"],
)
def test_what_could_not_be_replaced_is_not_read_near(site, drive, monkeypatch, verbs, write):
    brought_near(drive(verbs), "key", 1)
    cut(monkeypatch)
    assert drive(verbs).get("key") == 1
    write(drive(verbs))
    assert drive(verbs).get("key", "default") == "default"
    assert drive(verbs).get_many(["key"]) == {}
    monkeypatch.undo()
    assert drive(verbs).get("key", "default") == "default"


@needs_server
def test_what_could_not_be_written_since_another_caller_made_good_an_outage_is_not_read_near(site, drive):
    """It is refused before it comes to an exchange."""
    brought_near(drive(django_cache), "key", 1)
    journal = caches["default"].client.server.journal
    journal.note([b"dripcache:d::1:other"], [])
    assert journal.claim()
    drive(django_cache).set("key", 2)
    assert drive(django_cache).get("key", "default") == "default"
    journal.settle()
    assert drive(django_cache).get("key", "default") == "default"


@needs_server
def test_what_was_computed_anew_and_could_not_be_kept_is_not_read_near_as_it_was(site, drive, monkeypatch):
    assert drive(cache).get_or_set("key", lambda: 1) == 1
    brought_near(drive(cache), "key", 1)
    cut(monkeypatch)
    assert drive(cache).refresh("key", lambda: 2) == 2
    assert drive(cache).get("key", "default") == "default"


class Picky:
    """What cannot always be made again of its pickle."""

    refuses = False

    def __getstate__(self):
        return {"a": 1}

    def __setstate__(self, state):
        if self.refuses:
            raise ValueError

    def __eq__(self, other):
        return type(other) is Picky

    __hash__ = None


@needs_server
@pytest.mark.parametrize("verbs", [django_cache, cache], ids=["backend", "client"])
def test_a_near_value_that_cannot_be_made_again_is_a_miss(site, drive, monkeypatch, verbs):
    monkeypatch.setattr(Picky, "refuses", False)
    brought_near(drive(verbs), "key", Picky())
    brought_near(drive(verbs), "other", Picky())
    monkeypatch.setattr(Picky, "refuses", True)
    assert drive(verbs).get_many(["other"]) == {}
    assert drive(verbs).get("key", "default") == "default"
    assert drive(verbs).get_or_set("key", lambda: 2) == 2


@needs_server
@pytest.mark.parametrize("value", [5, "5", True, None, b"[1]", [1], {"a": 1}, 1.5], ids=repr)
def test_one_who_reads_json_is_told_the_same_with_a_near_cache(redis_server, raw, drive, value):
    def answers(verbs):
        brought_near(verbs, "key", value)
        verbs.set_json("json", {"a": 1})
        for _ in range(2):
            yield verbs.get_many_json(["key", "json"]), verbs.get_json("key", "default")
            yield verbs.get_many_json(["key", "json"], type=dict[str, int]), verbs.get_json("key", "default")
            yield verbs.get("key", "default"), verbs.get_many(["key", "json"])
            yield verbs.get("key", "default", type=int), verbs.get("json", type=dict[str, int])

    with nearby(redis_server.url):
        found = list(answers(drive(cache)))
    plain = {"BACKEND": OURS, "LOCATION": redis_server.url}
    with override_settings(CACHES={"default": plain}, DRIPCACHE={}):
        assert found == list(answers(drive(cache)))
