"""Encryption: that nothing is in clear, that nothing that was changed or moved is read, and that no key is shown."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import threading
from html import unescape
from io import BytesIO
from pathlib import Path
from secrets import token_urlsafe

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.core.cache import caches
from django.test import override_settings
from django.views.debug import ExceptionReporter, get_default_exception_reporter_filter
from hypothesis import given
from hypothesis import strategies as st

from django_dripcache import (
    ApiCache,
    AuthCache,
    CacheClient,
    CacheManager,
    ConfigurationError,
    FeatureFlags,
    SerializationError,
    SessionCache,
    UserCache,
)
from django_dripcache import encryption as module
from django_dripcache.checks import check_settings
from django_dripcache.codecs import JSON, MISS, PickleCodec, TypedJsonCodec
from django_dripcache.conf import encrypted, get_settings
from django_dripcache.connections import close_all
from django_dripcache.contrib.sessions import SessionStore
from django_dripcache.encryption import XAES256GCM, EncryptedCodec, EncryptionKey
from django_dripcache.services.sessions import session_cache

ROOT = Path(__file__).parents[1]
OLD, NEW = token_urlsafe(32), token_urlsafe(32)
MARKER = "clear-text-5f0c"
BACKEND = {"BACKEND": "django_dripcache.backend.DripCache"}
ENCRYPTING = {"default": {**BACKEND, "OPTIONS": {"ENCRYPT": True}}, "clear": BACKEND}
NAME = b"site:c:key"
OVERHEAD = 46
PICKLES = PickleCodec([b"secret"], compress_above=4096, inflate_limit=2**20)
FIRST, SECOND = EncryptionKey(OLD.encode()), EncryptionKey(NEW.encode())
CODEC = EncryptedCodec(PICKLES, [FIRST])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.fixture
def encrypting(broker):
    """Let the alias ``default`` encrypt, beside one that does not."""
    with override_settings(CACHES=ENCRYPTING, DRIPCACHE={"ENCRYPTION_KEYS": [OLD]}):
        yield
        close_all()


def keys(*secrets):
    return override_settings(DRIPCACHE={"ENCRYPTION_KEYS": secrets})


def contents(raw):
    """Return all that is stored in Redis, by name: every text, every field and every member."""
    readers = {
        b"string": lambda name: [raw.get(name)],
        b"hash": lambda name: [part for pair in raw.hgetall(name).items() for part in pair],
        b"zset": lambda name: raw.zrange(name, 0, -1),
    }
    return {name: readers[raw.type(name)](name) for name in raw.scan_iter(count=1000)}


def in_clear(raw):
    """Return the names of what shows the marker to who reads Redis."""
    found = contents(raw)
    assert found, "nothing is stored"
    return {name for name, parts in found.items() if MARKER.encode() in name + b"".join(parts)}


# The cipher, by the test vectors of https://c2sp.org/XAES-256-GCM

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"


@pytest.mark.parametrize(
    ("key", "about", "sealed"),
    [
        (b"\1" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\3" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_the_cipher_is_xaes_256_gcm(key, about, sealed):
    assert XAES256GCM(key).encrypt(NONCE, b"XAES-256-GCM", about).hex() == sealed
    assert XAES256GCM(key).decrypt(NONCE, bytes.fromhex(sealed), about) == b"XAES-256-GCM"
    with pytest.raises(InvalidTag):
        XAES256GCM(key).decrypt(NONCE, bytes.fromhex(sealed), about + b"?")


def test_the_cipher_is_xaes_256_gcm_for_ten_thousand_random_inputs():
    stream = BytesIO(hashlib.shake_128().digest(10_000 * (32 + 24 + 2 * 256)))
    result = hashlib.shake_128()
    for _ in range(10_000):
        key, nonce = stream.read(32), stream.read(24)
        payload = stream.read(stream.read(1)[0])
        about = stream.read(stream.read(1)[0])
        sealed = XAES256GCM(key).encrypt(nonce, payload, about)
        assert XAES256GCM(key).decrypt(nonce, sealed, about) == payload
        result.update(sealed)
    assert result.hexdigest(32) == "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"


# The envelope


@given(ANYTHING, st.binary())
def test_every_value_comes_back_under_its_name(value, name):
    assert CODEC.decode(CODEC.encode(value, name), name) == value


@given(st.binary(), st.binary())
def test_what_was_not_encrypted_is_a_miss(raw, name):
    assert CODEC.decode(raw, name) is MISS
    assert CODEC.decode(FIRST.header + raw, name) is MISS


def test_the_envelope_is_as_described():
    raw = CODEC.encode("x" * 100, NAME)
    assert raw[:2] == b"\xec\x01"
    assert raw[:6] == FIRST.header
    assert len(raw) == len(PICKLES.encode("x" * 100, NAME)) + OVERHEAD


def test_a_value_is_never_the_same_bytes_twice():
    raws = [CODEC.encode(7, NAME) for _ in range(100)]
    assert len({raw[6:30] for raw in raws}) == 100
    assert len({raw[30:] for raw in raws}) == 100


def test_every_bit_of_the_envelope_and_of_the_name_counts():
    raw = CODEC.encode("value", NAME)
    for at in range(len(raw) * 8):
        assert CODEC.decode(flipped(raw, at), NAME) is MISS
    for at in range(len(NAME) * 8):
        assert CODEC.decode(raw, flipped(NAME, at)) is MISS
    for length in range(len(raw)):
        assert CODEC.decode(raw[:length], NAME) is MISS
    assert CODEC.decode(raw + b"\0", NAME) is MISS


def flipped(raw, bit):
    at, mask = bit // 8, 1 << bit % 8
    return raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]


def test_the_end_of_the_name_is_not_taken_for_the_beginning_of_another():
    raw = CODEC.encode("value", NAME)
    assert CODEC.decode(raw, NAME + b"1") is MISS
    assert CODEC.decode(raw, NAME[:-1]) is MISS
    assert CODEC.decode(raw, b"") is MISS


def test_a_value_in_clear_is_a_miss_also_where_the_other_codec_could_read_it():
    assert CODEC.decode(PICKLES.encode("value", NAME), NAME) is MISS
    assert CODEC.decode(b"7", NAME) is MISS
    assert EncryptedCodec(JSON, [FIRST]).decode(b'{"admin":true}', NAME) is MISS


def test_an_encrypted_value_is_a_miss_without_encryption():
    assert PICKLES.decode(CODEC.encode("value", NAME), NAME) is MISS
    assert JSON.decode(EncryptedCodec(JSON, [FIRST]).encode("value", NAME), NAME) is MISS


def test_integers_are_encrypted_too():
    assert b"31415926" not in CODEC.encode(31415926, NAME)
    assert CODEC.decode(CODEC.encode(31415926, NAME), NAME) == 31415926


def test_what_is_inside_is_what_the_other_codec_makes_of_it():
    raw = EncryptedCodec(JSON, [FIRST]).encode([1, 2], NAME)
    assert FIRST.open(raw, NAME) == b"[1,2]"
    assert EncryptedCodec(TypedJsonCodec(list[int]), [FIRST]).decode(raw, NAME) == [1, 2]
    assert EncryptedCodec(TypedJsonCodec(list[str]), [FIRST]).decode(raw, NAME) is MISS
    with pytest.raises(SerializationError):
        EncryptedCodec(JSON, [FIRST]).encode(object(), NAME)


def test_who_has_the_key_but_not_the_secret_key_of_the_site_still_cannot_have_a_pickle_read():
    stranger = PickleCodec([b"another secret"], compress_above=None, inflate_limit=2**20)
    assert CODEC.decode(EncryptedCodec(stranger, [FIRST]).encode("value", NAME), NAME) is MISS


@pytest.mark.parametrize("inner", [PICKLES, JSON], ids=["pickles", "json"])
def test_what_cannot_be_read_is_removed_where_the_other_codec_would_have_it_removed(inner):
    assert EncryptedCodec(inner, [FIRST]).discards is inner.discards


# Keys


def test_the_first_key_encrypts_and_all_decrypt():
    old = EncryptedCodec(PICKLES, [FIRST]).encode("old", NAME)
    both = EncryptedCodec(PICKLES, [SECOND, FIRST])
    assert both.decode(old, NAME) == "old"
    new = both.encode("new", NAME)
    assert EncryptedCodec(PICKLES, [SECOND]).decode(new, NAME) == "new"
    assert EncryptedCodec(PICKLES, [SECOND]).decode(old, NAME) is MISS
    assert EncryptedCodec(PICKLES, [FIRST]).decode(new, NAME) is MISS


def test_a_key_that_is_not_the_one_is_not_tried(monkeypatch):
    tried = []
    decrypt = XAES256GCM.decrypt
    monkeypatch.setattr(XAES256GCM, "decrypt", lambda self, *args: (tried.append(self), decrypt(self, *args))[1])
    codec = EncryptedCodec(PICKLES, [EncryptionKey(b"%d" % number * 32) for number in range(5)] + [FIRST])
    assert codec.decode(CODEC.encode("value", NAME), NAME) == "value"
    assert tried == [FIRST._cipher]


def test_two_keys_that_happen_to_have_one_id_are_both_tried():
    twin = EncryptionKey(NEW.encode())
    twin.header = FIRST.header
    for first, second in ((FIRST, twin), (twin, FIRST)):
        raw = EncryptedCodec(PICKLES, [second]).encode("value", NAME)
        assert EncryptedCodec(PICKLES, [first, second]).decode(raw, NAME) == "value"


def test_a_key_is_derived_from_its_text_alone():
    raw = EncryptionKey(OLD.encode()).seal(b"payload", NAME)
    assert EncryptionKey(OLD.encode()).open(raw, NAME) == b"payload"
    assert EncryptionKey(OLD.encode() + b"\0").open(raw, NAME) is None


KNOWN = "ec011800756d953a4b0e449ce80f98921ebef07179ba8c4f31299453dc4e1cac34a8cfd32e665d267c33aa73e52043a74ffd2a77f0"


def test_an_envelope_of_today_is_read_by_every_later_release():
    raw = bytes.fromhex(KNOWN)
    assert EncryptionKey(b"k" * 32).open(raw, NAME) == b"payload"


def test_a_key_shows_nothing_of_itself():
    shown = repr(FIRST) + str(FIRST) + repr([FIRST]) + repr(CODEC)
    assert OLD not in shown
    assert repr(FIRST) == f"<EncryptionKey {FIRST.header[2:].hex()}>"
    assert FIRST.header[2:] not in OLD.encode()


# What is in Redis


def test_the_backend_stores_nothing_in_clear(encrypting, raw, drive):
    cache = drive(caches["default"])
    cache.set("text", MARKER, 60)
    cache.set("large", MARKER * 1000, 60)
    cache.set_many({"one": [MARKER], "two": {MARKER: 1}}, 60)
    assert cache.add("added", MARKER, 60) is True
    assert cache.get_or_set("loaded", lambda: MARKER, 60) == MARKER
    assert cache.get("text") == cache.get("added") == cache.get("loaded") == MARKER
    assert cache.get("large") == MARKER * 1000
    assert cache.get_many(["one", "two", "none"]) == {"one": [MARKER], "two": {MARKER: 1}}
    assert cache.incr_version("text") == 2
    assert cache.get("text", version=2) == MARKER
    assert in_clear(raw) == set()
    assert len(contents(raw)) == 6


def test_the_managers_store_nothing_in_clear(encrypting, raw, drive):
    manager = drive(CacheManager(namespace="reports"))
    manager.set("text", MARKER, 60)
    manager.set("tagged", MARKER, 60, tags=["tag"], grace=60)
    manager.set_many({"one": [MARKER], "two": {MARKER: 1}}, 60)
    assert manager.get_or_set("loaded", lambda: MARKER, 60, tags=["tag"], grace=60) == MARKER
    assert manager.get_or_set_many(["many"], lambda _: {"many": MARKER}, 60) == {"many": MARKER}
    client = drive(CacheClient(CacheManager(), "prefs"))
    client.set_json("json", {"value": MARKER}, 60)
    client.set_many_json({"more": [MARKER]}, 60)
    assert in_clear(raw) == set()
    assert manager.get("text") == manager.get("tagged") == manager.get("loaded", type=str) == MARKER
    assert manager.get_many(["one", "many"]) == {"one": [MARKER], "many": MARKER}
    assert manager.get_or_set("loaded", dict, 60) == MARKER
    assert client.get_json("json") == client.get("json") == {"value": MARKER}
    assert client.get_json("json", type=dict[str, int]) is None
    assert client.get_many_json(["more"], type=list[str]) == {"more": [MARKER]}
    assert manager.invalidate_tags("tag") == 1
    assert manager.get("tagged") is None


def test_the_services_store_nothing_in_clear(encrypting, raw, drive):
    users, answers = drive(UserCache()), drive(ApiCache())
    users.set(7, "prefs", {"theme": MARKER})
    assert users.get_or_set(7, "loaded", lambda: MARKER) == MARKER
    answers.set("https://api.example/", {"answer": MARKER})
    assert answers.get_or_set("https://api.example/2", lambda: MARKER) == MARKER
    assert in_clear(raw) == set()
    assert users.get(7, "prefs") == {"theme": MARKER}
    assert users.get(7, "loaded", type=str) == MARKER
    assert users.keys(7) == ["loaded", "prefs"]
    assert answers.get("https://api.example/") == {"answer": MARKER}
    assert users.delete(7) is True
    assert users.get(7, "prefs") is None


def test_tokens_states_and_auth_data_are_not_stored_in_clear(encrypting, raw, drive):
    auth = drive(AuthCache())
    auth.set_token("token", {"scope": MARKER}, user=7)
    auth.set(7, {"name": MARKER})
    state = auth.create_state({"next": MARKER})
    assert in_clear(raw) == set()
    assert auth.get_token("token").claims == {"scope": MARKER}
    assert auth.get(7) == {"name": MARKER}
    assert auth.refresh(7) is True
    assert auth.get_stats().tokens == 1
    assert auth.consume_state(state) == {"next": MARKER}
    assert auth.consume_state(state) is None
    auth.clear(7)
    assert auth.get_token("token") is None


def test_sessions_and_what_is_known_of_their_clients_are_not_stored_in_clear(encrypting, raw, drive):
    sessions = drive(SessionCache())
    about = {"address": MARKER, "agent": MARKER}
    sessions.set("id", {"cart": MARKER}, user=7, about=about)
    assert in_clear(raw) == set()
    assert sessions.get("id") == {"cart": MARKER}
    assert [info.about for info in sessions.list_for_user(7)] == [about]
    sessions.set("id", {"cart": MARKER + "2"})
    assert [info.about for info in sessions.list_for_user(7)] == [about]
    assert in_clear(raw) == set()
    assert sessions.delete_for_user(7) == 1
    assert sessions.get("id") is None


def test_what_is_known_of_a_client_goes_on_when_the_secret_key_is_changed(encrypting, drive):
    sessions = drive(SessionCache())
    sessions.set("id", {"cart": 1}, user=7, about={"agent": MARKER})
    with override_settings(
        SECRET_KEY="another key for the tests, of fifty characters and more",
        SECRET_KEY_FALLBACKS=["a key for the tests alone, of more than fifty characters in all"],
    ):
        assert sessions.get("id") == {"cart": 1}
        sessions.set("id", {"cart": 2})
        assert [info.about for info in sessions.list_for_user(7)] == [{"agent": MARKER}]


def test_the_session_engine_stores_nothing_in_clear(encrypting, raw, rf):
    store = SessionStore()
    store.update({"cart": MARKER, "_auth_user_id": "7"})
    store.save()
    store.remember(rf.get("/", headers={"user-agent": MARKER}))
    name = session_cache._names_of(store.session_key)[0]
    data, about = raw.hmget(name, "data", "about")
    assert data[:2] == about[:2] == b"\xec\x01"
    assert in_clear(raw) == set()
    found = SessionStore(store.session_key)
    assert found["cart"] == MARKER
    assert found._about["agent"] == MARKER
    with keys(NEW):
        assert "cart" not in SessionStore(store.session_key)


@pytest.mark.parametrize(
    "store",
    [
        lambda **encrypt: CacheManager("clear", **encrypt).set("key", MARKER),
        lambda **encrypt: CacheClient(CacheManager("clear", **encrypt), "prefix").set_json("key", MARKER),
        lambda **encrypt: UserCache("clear", **encrypt).set(7, "key", MARKER),
        lambda **encrypt: ApiCache("clear", **encrypt).set("https://api.example/", MARKER),
        lambda **encrypt: AuthCache("clear", **encrypt).set(7, MARKER),
        lambda **encrypt: SessionCache("clear", **encrypt).set("id", MARKER),
    ],
)
def test_a_manager_and_a_service_may_encrypt_where_their_alias_does_not(encrypting, raw, store):
    store(encrypt=True)
    assert in_clear(raw) == set()
    store()
    assert len(in_clear(raw)) == 1
    store(encrypt=True)
    assert in_clear(raw) == set()
    store(encrypt=False)
    assert len(in_clear(raw)) == 1


def test_and_may_not_where_their_alias_does(encrypting, raw):
    assert CacheManager(encrypt=False).set("key", MARKER)
    assert UserCache(encrypt=False).set(7, "key", MARKER)
    assert len(in_clear(raw)) == 2
    assert UserCache(encrypt=False).get(7, "key") == MARKER
    assert UserCache().get(7, "key") is None


def test_an_alias_that_does_not_encrypt_is_as_before(encrypting, raw):
    caches["clear"].set("n", 1)
    assert caches["clear"].incr("n") == 2
    assert raw.get("dripcache:d::1:n") == b"2"


def test_what_was_stored_in_clear_is_a_miss_and_is_healed(encrypting, raw, drive):
    CacheManager("clear").set("key", MARKER)
    manager = drive(CacheManager())
    assert manager.get("key") is None
    CacheManager("clear").set("key", MARKER)
    assert manager.get_or_set("key", lambda: "fresh") == "fresh"
    assert in_clear(raw) == set()
    assert CacheManager("clear").get("key") is None


# Somebody else writes to Redis


def move(raw, old, new):
    raw.restore(new, 60_000, raw.dump(old), replace=True)


def test_a_value_that_is_copied_to_another_key_is_a_miss(encrypting, raw, drive):
    cache, manager, other = drive(caches["default"]), drive(CacheManager()), drive(CacheManager(namespace="other"))
    cache.set("mine", "value")
    manager.set("mine", "value")
    move(raw, b"dripcache:d::1:mine", b"dripcache:d::1:yours")
    move(raw, b"dripcache:c:mine", b"dripcache:c:yours")
    move(raw, b"dripcache:c:mine", b"dripcache:c.other:mine")
    move(raw, b"dripcache:c:mine", b"dripcache:d::1:other")
    move(raw, b"dripcache:d::1:mine", b"dripcache:d::2:mine")
    assert cache.get("mine") == manager.get("mine") == "value"
    assert cache.get("yours") is None
    assert cache.get("other") is None
    assert cache.get("mine", version=2) is None
    assert manager.get("yours") is None
    assert other.get("mine") is None


def test_an_entry_of_a_service_that_is_copied_to_another_key_is_a_miss(encrypting, raw, drive):
    users, auth, sessions = UserCache(), AuthCache(), SessionCache()
    users.set(1, "key", "value")
    auth.set(1, "value")
    sessions.set("mine", "value")
    move(raw, users._place("1", "key").key, users._place("2", "key").key)
    move(raw, auth._names("users").name("1"), auth._names("users").name("2"))
    move(raw, sessions._names_of("mine")[0], sessions._names_of("yours")[0])
    assert drive(users).get(1, "key") == drive(auth).get(1) == drive(sessions).get("mine") == "value"
    assert drive(users).get(2, "key") is None
    assert drive(auth).get(2) is None
    assert drive(sessions).get("yours") is None


def test_what_is_known_of_a_client_is_not_taken_for_the_data_of_a_session(encrypting, raw):
    sessions = SessionCache()
    sessions.set("id", {"admin": False}, user=7, about={"admin": True})
    name = sessions._names_of("id")[0]
    data, about = raw.hmget(name, "data", "about")
    raw.hset(name, mapping={"data": about, "about": data})
    assert sessions.get("id") is None
    assert [info.about for info in sessions.list_for_user(7)] == [{}]


def test_a_changed_value_is_a_miss_and_is_removed(encrypting, raw, drive):
    cache = drive(caches["default"])
    for bit in (0, 9, 20, 60, 250, -1):
        cache.set("key", MARKER, 60)
        stored = raw.get("dripcache:d::1:key")
        raw.set("dripcache:d::1:key", flipped(stored, bit % (8 * len(stored))), px=60_000)
        assert cache.get("key", "default") == "default"
        assert raw.exists("dripcache:d::1:key") == 0


@pytest.mark.parametrize("planted", [b"1", b'{"admin": true}', b"true"])
def test_what_is_put_there_in_clear_is_a_miss(encrypting, raw, drive, planted):
    manager = drive(CacheClient())
    for name in (b"dripcache:d::1:key", b"dripcache:c:key", UserCache()._place("7", "key").key):
        raw.set(name, planted, px=60_000)
    assert manager.get_json("key") is None
    assert manager.get("key", type=bool) is None
    assert manager.get("key") is None
    assert drive(caches["default"]).get("key") is None
    assert drive(UserCache()).get(7, "key") is None


# Rotation


def test_keys_are_rotated_without_a_miss(encrypting, raw, drive):
    cache = drive(caches["default"])
    cache.set("old", "value", 60)
    with keys(NEW, OLD):
        assert cache.get("old") == "value"
        cache.set("new", "value", 60)
    with keys(NEW):
        assert cache.get("new") == "value"
        assert cache.get("old") is None
    with keys(OLD):
        assert cache.get("new") is None


def test_tokens_and_sessions_live_through_a_rotation(encrypting, drive):
    auth, sessions = drive(AuthCache()), drive(SessionCache())
    auth.set_token("token", {"scope": 1}, user=7)
    sessions.set("id", {"cart": 1}, user=7, about={"agent": "x"})
    with keys(NEW, OLD):
        assert auth.get_token("token").claims == {"scope": 1}
        assert sessions.get("id") == {"cart": 1}
        assert [info.about for info in sessions.list_for_user(7)] == [{"agent": "x"}]
    with keys(NEW):
        assert auth.get_token("token") is None
        assert sessions.get("id") is None


# Counters


def test_the_backend_counts_with_encrypted_numbers_and_their_ttl_stays(encrypting, raw, drive):
    cache = drive(caches["default"])
    cache.set("n", 41, 60)
    assert cache.incr("n") == 42
    assert cache.decr("n", 2) == 40
    assert cache.get("n") == 40
    assert raw.get("dripcache:d::1:n")[:2] == b"\xec\x01"
    assert 50_000 < raw.pttl("dripcache:d::1:n") <= 60_000
    cache.set("f", 1.5, 60)
    assert cache.incr("f") == 2.5
    assert cache.incr("new", 3, ignore_key_check=True) == 3
    assert cache.get("new") == 3
    with pytest.raises(ValueError):
        cache.incr("none")


def test_the_backend_does_not_count_with_what_is_in_clear(encrypting, raw, drive):
    raw.set("dripcache:d::1:n", b"5", px=60_000)
    with pytest.raises(ValueError):
        drive(caches["default"]).incr("n")
    assert raw.get("dripcache:d::1:n") == b"5"


def test_a_manager_counts_with_encrypted_numbers(encrypting, raw, drive):
    manager = drive(CacheManager())
    assert manager.incr("hits", ttl=60) == 1
    assert manager.incr("hits", 4, ttl=3600) == 5
    assert manager.decr("hits") == 4
    assert manager.get("hits") == 4
    assert raw.get("dripcache:c:hits")[:2] == b"\xec\x01"
    assert 50_000 < raw.pttl("dripcache:c:hits") <= 60_000
    assert manager.incr("over", ttl=0) == 1
    assert manager.has("over") is False
    assert manager.get_or_set("loaded", lambda: 5, 60) == 5
    assert manager.incr("loaded") == 6


@pytest.mark.parametrize("value", ["text", 1.5, True, None, [1], 2**63 - 1], ids=repr)
def test_what_is_no_counter_is_refused_and_stays(encrypting, drive, value):
    manager = drive(CacheManager())
    manager.set("key", value, 60)
    with pytest.raises(ValueError, match="cannot be counted"):
        manager.incr("key")
    assert manager.get("key") == value
    manager.set("tagged", 1, 60, tags=["tag"])
    with pytest.raises(ValueError, match="cannot be counted"):
        manager.incr("tagged")
    assert manager.get("tagged") == 1
    with pytest.raises(TypeError):
        manager.incr("key", 1.5)


def test_a_counter_that_cannot_be_read_begins_anew(encrypting, raw, drive):
    manager = drive(CacheManager())
    raw.set("dripcache:c:hits", b"1000", px=5_000)
    assert manager.incr("hits", ttl=60) == 1
    assert raw.pttl("dripcache:c:hits") > 10_000
    raw.hset("dripcache:c:hash", "field", "value")
    with pytest.raises(ValueError, match="cannot be counted"):
        manager.incr("hash")


def test_no_count_is_lost_among_threads(encrypting):
    def count():
        for _ in range(25):
            counters.incr("hits", ttl=60)
            caches["default"].incr("hits")

    counters = CacheManager()
    caches["default"].set("hits", 0, 60)
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.get("hits") == caches["default"].get("hits") == 100


# What cannot be encrypted


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("sadd", ("set", "a")),
        ("smembers", ("set",)),
        ("scard", ("set",)),
        ("sunionstore", ("set", "a", "b")),
        ("hset", ("hash", "a", "b")),
        ("hkeys", ("hash",)),
        ("zadd", ("zset", {"a": 1})),
        ("zrange", ("zset", 0, -1)),
        ("sscan_iter", ("set",)),
    ],
)
def test_an_alias_that_encrypts_has_no_sets_hashes_and_sorted_sets(encrypting, raw, verb, args):
    with pytest.raises(ConfigurationError, match=rf"{verb}\(\) is for sets.*'ENCRYPT'"):
        getattr(caches["default"], verb)(*args)
    assert list(raw.scan_iter()) == []


def test_the_verbs_beside_them_that_are_for_any_key_are_there(encrypting, raw):
    caches["default"].set("key", "value", 60)
    assert caches["default"].expire("key", 120) is True
    assert caches["default"].pexpire("key", 120_000) is True
    assert raw.pttl("dripcache:d::1:key") > 60_000
    caches["clear"].sadd("set", "a")
    assert caches["clear"].smembers("set") == {"a"}


def test_flags_have_nothing_to_encrypt():
    with pytest.raises(TypeError, match="encrypt"):
        FeatureFlags(encrypt=True)


def test_the_bound_on_values_counts_what_is_stored(encrypting, raw):
    payload = len(PICKLES.encode("x" * 100, b""))
    for limit, stored in ((payload + OVERHEAD, True), (payload + OVERHEAD - 1, False)):
        with override_settings(DRIPCACHE={"ENCRYPTION_KEYS": [OLD], "MAX_VALUE_BYTES": limit}):
            close_all()
            assert caches["default"].set("key", "x" * 100) is stored


# Settings


@pytest.mark.parametrize("given", [OLD, OLD.encode(), {OLD: 1}, {OLD}, None, 7], ids=lambda given: type(given).__name__)
def test_keys_that_are_no_list_are_refused_and_not_shown(given):
    with override_settings(DRIPCACHE={"ENCRYPTION_KEYS": given}), pytest.raises(ConfigurationError) as caught:
        get_settings()
    assert str(caught.value) == (f"DRIPCACHE['ENCRYPTION_KEYS'] is ({type(given).__name__}). Allowed is list or tuple.")


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("k" * 31, "a text of 31 bytes"),
        (b"k" * 31, "a text of 31 bytes"),
        ("", "a text of 0 bytes"),
        (None, "NoneType"),
        (7, "int"),
        (["k" * 32], "list"),
        ("ü" * 15, "a text of 30 bytes"),
    ],
)
def test_a_key_that_is_too_short_or_none_is_refused_and_not_shown(key, found):
    with keys(OLD, key), pytest.raises(ConfigurationError) as caught:
        get_settings()
    message = str(caught.value)
    assert message.startswith(f"DRIPCACHE['ENCRYPTION_KEYS'][1] is {found}. Allowed is a text of 32 bytes or more")
    assert "secrets.token_urlsafe(32)" in message
    assert OLD not in message
    assert "kkk" not in message


@pytest.mark.parametrize(
    "key", ["k" * 32, b"k" * 32, "ü" * 16, "\udc80" * 11, OLD], ids=["text", "bytes", "accents", "surrogates", "made"]
)
def test_a_key_may_be_text_or_bytes(key):
    with keys(key):
        raw = encrypted(PICKLES).encode("value", NAME)
    with keys(key if isinstance(key, bytes) else key.encode("utf-8", "surrogatepass")):
        assert encrypted(PICKLES).decode(raw, NAME) == "value"


def test_the_settings_show_no_key():
    with keys(OLD):
        assert get_settings().ENCRYPTION_KEYS == (OLD,)
        assert OLD not in repr(get_settings())
        assert "ENCRYPTION_KEYS" in {field.name for field in dataclasses.fields(get_settings())}


@pytest.mark.parametrize("encrypt", ["yes", 1, 0, [True]])
@pytest.mark.parametrize("kind", [CacheManager, UserCache, ApiCache, AuthCache, SessionCache])
def test_what_does_not_tell_whether_to_encrypt_is_refused(kind, encrypt):
    with pytest.raises(ConfigurationError, match=rf"{kind.__name__}\(encrypt=\.\.\.\) is .*Allowed are True, False"):
        kind(encrypt=encrypt)


def test_an_option_that_does_not_tell_whether_to_encrypt_is_refused(broker):
    with (
        override_settings(CACHES={"default": {**BACKEND, "OPTIONS": {"ENCRYPT": "yes"}}}),
        pytest.raises(ConfigurationError, match=r"'ENCRYPT'\] is 'yes'. Allowed is True or False"),
    ):
        caches["default"].get("key")


CALLS = {
    "backend": lambda: caches["default"].get("key"),
    "manager": lambda: CacheManager().set("key", "value"),
    "json": lambda: CacheClient().get_json("key"),
    "user_cache": lambda: UserCache().get(7, "key"),
    "api_cache": lambda: ApiCache().set("https://api.example/", 1),
    "auth_cache": lambda: AuthCache().get_token("token"),
    "session_cache": lambda: SessionCache().get("id"),
    "engine": lambda: SessionStore("k" * 32).load(),
    "encrypt=True": lambda: CacheManager("clear", encrypt=True).get("key"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_without_a_key_the_first_use_says_what_to_do(encrypting, raw, call):
    with keys(), pytest.raises(ConfigurationError, match=r"DRIPCACHE\['ENCRYPTION_KEYS'\] has no key"):
        call()
    assert list(raw.scan_iter()) == []


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_without_cryptography_the_first_use_says_what_to_install(encrypting, raw, monkeypatch, call):
    monkeypatch.delitem(sys.modules, "django_dripcache.encryption")
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with keys(OLD, NEW), pytest.raises(ConfigurationError, match=r"pip install django-dripcache\[crypto\]"):
        call()
    assert list(raw.scan_iter()) == []


def test_a_site_that_does_not_encrypt_needs_no_cryptography(redis_server):
    code = f"""
import sys
sys.modules["cryptography"] = None
from django.conf import settings
settings.configure(SECRET_KEY="k" * 50, CELERY_BROKER_URL={redis_server.url!r}, CACHES={{"default": {BACKEND!r}}})
import django
django.setup()
from django_dripcache import cache, user_cache, session_cache, auth_cache
assert cache.set("key", "value") and cache.get("key") == "value"
assert user_cache.set(7, "key", "value") and session_cache.set("id", 1) and auth_cache.set(7, 1)
assert "django_dripcache.encryption" not in sys.modules
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def check():
    return [(message.id, message.msg) for message in check_settings(app_configs=None)]


def test_the_check_finds_an_alias_that_encrypts_without_a_key(encrypting):
    assert check() == []
    with keys():
        ((found, message),) = check()
    assert found == "dripcache.E005"
    assert "has no key" in message
    with override_settings(CACHES={"default": BACKEND}), keys():
        assert check() == []


@pytest.mark.parametrize("aliases", [ENCRYPTING, {"default": BACKEND}], ids=["alias", "keys alone"])
def test_the_check_finds_that_cryptography_is_missing(broker, monkeypatch, aliases):
    monkeypatch.delitem(sys.modules, "django_dripcache.encryption")
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with override_settings(CACHES=aliases), keys(NEW):
        ((found, message),) = check()
    assert found == "dripcache.E005"
    assert "pip install django-dripcache[crypto]" in message


# Debug pages

FAULTS = {
    "a wrong name": {"ENCRYPTION_KEYS": [OLD, NEW], "NAMESPCE": "shop"},
    "a wrong value": {"ENCRYPTION_KEYS": [OLD, NEW], "ON_OUTAGE": "ignore"},
    "a wrong type": {"ENCRYPTION_KEYS": [OLD, NEW], "MAX_VALUE_BYTES": "1"},
    "one key": {"ENCRYPTION_KEYS": OLD},
    "a short key": {"ENCRYPTION_KEYS": [OLD, NEW[:31]]},
    "no dict": ({"ENCRYPTION_KEYS": [OLD, NEW]},),
}


def reports(error):
    """Yield what Django shows of an error, in DEBUG and in the mail to the admins, from our first frame on."""
    ours = error.__traceback__
    while "django_dripcache" not in ours.tb_frame.f_code.co_filename.replace(str(ROOT / "tests"), ""):
        ours = ours.tb_next  # the frames of the test have the keys, of course
    for debug in (True, False):
        with override_settings(DEBUG=debug):
            report = ExceptionReporter(None, type(error), error.with_traceback(ours), ours)
            yield report.get_traceback_html() + report.get_traceback_text()


@pytest.mark.parametrize("dripcache", FAULTS.values(), ids=FAULTS)
def test_no_report_of_a_wrong_setting_shows_a_key(broker, dripcache):
    with override_settings(DRIPCACHE=dripcache):
        with pytest.raises(ConfigurationError) as caught:
            CacheManager().get("key")
        for page in reports(caught.value):
            assert "ConfigurationError" in page
            assert OLD not in page
            assert NEW[:31] not in page


def test_no_report_of_a_missing_package_shows_a_key(encrypting, monkeypatch):
    monkeypatch.delitem(sys.modules, "django_dripcache.encryption")
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with keys(OLD, NEW):
        with pytest.raises(ConfigurationError) as caught:
            caches["default"].get("key")
        for page in reports(caught.value):
            assert "pip install" in page
            assert OLD not in page


def test_no_report_of_an_error_while_encrypting_shows_a_key(encrypting, monkeypatch):
    monkeypatch.setattr(module.os, "urandom", lambda _: b"too short")
    with pytest.raises(ValueError, match=r"[Nn]once") as caught:
        caches["default"].set("key", "value")
    derived = HKDF(SHA256(), 36, None, b"dripcache.encryption").derive(OLD.encode())
    assert derived[32:] == FIRST.header[2:]
    for page in reports(caught.value):
        assert "EncryptionKey" in page
        assert OLD not in page
        assert repr(derived[:32])[2:-1] not in unescape(page)


def test_djangos_debug_page_hides_the_keys_among_the_settings():
    with keys(OLD, NEW):
        shown = get_default_exception_reporter_filter().get_safe_settings()["DRIPCACHE"]
    assert OLD not in repr(shown)
    assert set(shown) == {"ENCRYPTION_KEYS"}
