"""What is in the site's part of Redis, as it is shown, on a real server."""

from __future__ import annotations

import time

import pytest
from django.core.cache import cache as django_cache
from django.core.cache import caches
from django.test import override_settings

from django_dripcache import (
    CacheManager,
    api_cache,
    auth_cache,
    cache,
    flags,
    rate_limiter,
    session_cache,
    user_cache,
)
from django_dripcache.areas import find_area, to_name, to_text
from django_dripcache.contents import MEMBERS, READ, SHOWN
from django_dripcache.exceptions import InvalidKeyError
from django_dripcache.inspection import (
    KeyPage,
    TagPage,
    delete_key,
    expire_key,
    find_keys,
    find_tags,
    inspect_key,
    invalidate_tag,
)
from tests.conftest import use_server
from tests.processes import UNREACHABLE, wait_for
from tests.restricted import rules

KEYS = ["A" * 40]


def walk(search="", **options):
    """Return the keys of all pages, and how many pages there were."""
    found, pages, cursor = [], 0, None
    while cursor != "":
        page = find_keys(search, cursor=cursor or "", **options)
        assert page.available
        found += page.keys
        pages, cursor = pages + 1, page.cursor
    return found, pages


def keys(search="", **options):
    return sorted({info.key for info in walk(search, **options)[0]})


def the(place, **options):
    (info,) = walk(place=place, **options)[0]
    return info


# Places


@pytest.fixture
def everything(broker):
    """One value of each part of the package."""
    django_cache.set("in:django", [1], 60)
    cache.set("report", {"a": 1}, 60, tags=["paper"], grace=30)
    CacheManager(namespace="shop: 1").set("price", 5, 60)
    user_cache.set(7, "name", "Ada", 60)
    api_cache.set("/rates", {"chf": 1.1}, ttl=60)
    session_cache.set("id", {"cart": 3}, 60, user=7)
    auth_cache.set_token("token", {"role": "admin"}, 60, user=7)
    auth_cache.set(7, {"mail": "ada@example.com"}, 60)
    auth_cache.create_state({"next": "/"}, 60)
    flags.set("beta", True, 60)
    rate_limiter.hit("ip:203.0.113.7", "10/m")
    lock = cache.lock("nightly", 60)
    assert lock.acquire()
    return lock


def test_a_key_is_told_with_the_part_that_keeps_it(everything):
    found = {(info.place, info.key) for info in walk()[0]}
    assert ("django cache", "in:django") in found
    assert ("cache", "report") in found
    assert ("cache: shop: 1", "price") in found
    assert ("user_cache", "7:name") in found
    assert ("api_cache", "/rates:") in found
    assert ("auth_cache: users", "7") in found
    assert ("flags", "beta") in found
    assert ("lock", "nightly") in found
    assert ("tag", "paper") in found
    assert ("tag: user_cache", "7") in found
    places = {place for place, _ in found}
    assert {"session_cache", "auth_cache: tokens", "auth_cache: states"} <= places
    assert "other" not in places


def test_keys_of_limits_are_listed_where_addresses_may_be_shown(everything):
    for place in ("", "rate_limiter"):
        assert "203.0.113.7" not in str(walk(place=place))
    with override_settings(DRIPCACHE={"SHOW_ADDRESSES": True}):
        assert [info.place for info in walk(place="rate_limiter")[0]] == ["rate_limiter"]


def test_what_the_package_keeps_for_itself_is_shown_where_it_is_asked_for(everything, raw):
    raw.set("dripcache:l:report", "holder", px=60_000)
    assert not {"lease", "index", "index: flags", "index: session_cache", "stats"} & {i.place for i in walk()[0]}
    assert the("lease").key == "report"
    assert {info.place for info in walk(place="index")[0]} == {
        "index: flags",
        "index: session_cache",
        "index: auth_cache",
    }


def test_a_place_has_its_parts(everything):
    assert {info.place for info in walk(place="cache")[0]} == {"cache", "cache: shop: 1"}
    assert {info.place for info in walk(place="cache: shop: 1")[0]} == {"cache: shop: 1"}


def test_the_key_of_another_version_or_prefix_is_told_as_it_was_made(broker):
    two = {"BACKEND": "django_dripcache.backend.DripCache", "KEY_PREFIX": "two"}
    one = {"BACKEND": "django_dripcache.backend.DripCache", "KEY_PREFIX": "one"}
    with override_settings(CACHES={"default": one, "other": two}):
        caches["default"].set("k", 1)
        caches["default"].set("k", 1, version=2)
        caches["other"].set("k", 1)
        assert keys() == ["k", "one:2:k", "two:1:k"]
        assert keys(alias="other") == ["k", "one:1:k", "one:2:k"]
        assert keys("one:1:k") == ["k"]


def test_facts_of_a_key(broker, raw):
    cache.set_json("key", [1, 2, 3], 60)
    info = the("cache")
    assert info.name == "dripcache:c:key"
    assert (info.kind, info.size, info.secret) == ("string", 7, False)
    assert 59 < info.ttl <= 60
    raw.persist(info.name)
    assert the("cache").ttl is None
    raw.hset("dripcache:c:hash", mapping={str(at): at for at in range(100)})
    assert next(info for info in walk("hash")[0]).size > 100


# Search


def test_a_text_is_found_anywhere_in_a_key_and_not_in_the_name_of_its_place(broker):
    for key in (
        "user:1:name",
        "user:22:name",
        "a b",
        "50%",
        "[x]",
        "back\\slash",
        "é",
        "new\nline",
        "~",
        "users",
        "a[b",
        "c-d",
    ):
        cache.set(key, 1)
    user_cache.set(1, "k", 1)
    assert keys("user:") == ["user:1:name", "user:22:name"]
    assert keys("users") == ["users"]
    assert keys("dripcache") == []
    for key in ("a b", "50%", "[x]", "back\\slash", "é", "new\nline", "~", "a[b", "c-d"):
        assert keys(key) == [key]
    assert keys("\n") == ["new\nline"]
    assert keys(" ") == ["a b"]


def test_a_glob_is_about_a_whole_key(broker):
    for key in ("user:1:name", "x:user:1:name", "user:22:name", "user:1:[mail]", "usér:1", "uséér:1"):
        cache.set(key, 1)
    assert keys("user:*") == ["user:1:[mail]", "user:1:name", "user:22:name"]
    assert keys("user:?:*") == ["user:1:[mail]", "user:1:name"]
    assert keys("*name") == ["user:1:name", "user:22:name", "x:user:1:name"]
    assert keys("us?r:1") == ["usér:1"]
    assert keys("*[mail]") == ["user:1:[mail]"]
    assert len(keys("*")) == 6
    django_cache.set("user:1", 1)
    assert keys("user:?", place="django cache") == ["user:1"]


def test_a_glob_of_many_stars_over_a_long_name_takes_no_time(broker, raw):
    raw.set("dripcache:c:" + "a" * 10_000, 1, px=60_000)
    began = time.monotonic()
    assert keys("*a" * 40 + "*b") == []
    assert time.monotonic() - began < 5


def test_the_end_of_a_long_key_is_a_digest(broker):
    cache.set("a" * 600, 1)
    (key,) = keys("aaa")
    assert key.startswith("a" * 256 + "~")
    assert keys(key) == [key]


@pytest.mark.parametrize("cursor", ["-1", "x", "1 2", "9" * 20, "٣"])
def test_a_cursor_that_no_page_had_is_refused(broker, cursor):
    for find in (find_keys, find_tags):
        with pytest.raises(InvalidKeyError, match="cursor="):
            find(cursor=cursor)


@pytest.mark.parametrize("count", [0, 1001, -5, True, "50", 1.5])
def test_a_count_out_of_range_is_refused(broker, count):
    with pytest.raises(ValueError, match="Allowed are 1 to 1000"):
        find_keys(count=count)


# Pages


def test_the_keys_of_all_pages_are_all_keys_and_a_page_is_about_as_long_as_was_asked(broker):
    cache.set_many({f"key:{at}": at for at in range(2000)})
    found, pages = walk(count=100)
    assert {info.key for info in found} == {f"key:{at}" for at in range(2000)}
    assert 10 <= pages <= 40
    assert len(find_keys(count=100).keys) <= 200


def test_few_keys_among_many_of_others_are_found_in_pages_of_bounded_time(broker, raw):
    raw.eval(
        "for i = 1, 100000 do redis.call('SET', 'celery-task-meta-' .. i, 'x') end "
        "for i = 1, 100 do redis.call('SET', 'dripcache:c:ours:' .. i, '1', 'PX', 600000) end",
        0,
    )
    began = time.monotonic()
    page = find_keys("ours", count=50)
    assert time.monotonic() - began < 3
    assert page.available
    found, _ = walk("ours")
    assert {info.key for info in found} == {f"ours:{at}" for at in range(1, 101)}
    assert walk("celery")[0] == []


def test_the_keys_of_others_are_not_ours(broker, raw):
    for name in ("dripcache", "dripcachex:c:k", "xdripcache:c:k", "celery", "dripcache-c:k", "DRIPCACHE:c:k"):
        raw.set(name, 1)
        assert walk()[0] == []
        for act in (inspect_key, delete_key, lambda name: expire_key(name, 5)):
            with pytest.raises(InvalidKeyError, match="not one of this site"):
                act(name)
        assert raw.delete(name) == 1


# Hostile names

HOSTILE = [
    b"dripcache:c:\xff\xfe",
    b"dripcache:c:%",
    b"dripcache:c:%ZZ%",
    b"dripcache:c:*",
    b"dripcache:c:[",
    b"dripcache:c:a\nb\r\x00\x1b[31m",
    b"dripcache:c:\\xff",
    b"dripcache:c:\\",
    b"dripcache:c:" + b"x" * 10_240,
    b"dripcache:c.%ED%A0%80:%ED%A0%80",
    b"dripcache:c:%ED%A0%80",
    "dripcache:c:\u202eevil\u0085\u00a0".encode(),
    b"dripcache:c.\xff:k",
    b"dripcache:",
    b"dripcache::",
    b"dripcache:nothing",
    b"dripcache:zzz:k",
    b"dripcache:d.x:k",
    b"dripcache:s.what:k",
    b"dripcache:s.users",
    b"dripcache:s.auth.tokens:<script>alert(1)</script>",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_nobody_of_ours_made_is_shown_as_it_is_and_given_back_exactly(broker, raw, name):
    raw.set(name, "value", px=60_000)
    (info,) = walk()[0]
    assert to_name(info.name) == name
    assert info.name.isprintable()
    for text in (info.key, info.place, info.name):
        text.encode()
    detail = inspect_key(info.name)
    assert detail.name == info.name
    assert detail.value == ("" if info.secret else "value")
    assert expire_key(info.name, 1000) is (not info.place.startswith("auth"))
    assert delete_key(info.name) is True
    assert raw.exists(name) == 0


def test_names_and_texts_are_one_to_one():
    names = [bytes([one, two]) for one in range(256) for two in b"\\x9f\xc2\xff\n"]
    names += [b"\\x5c", b"\\\\", b"\\xff\xff", "🙂\u202e".encode(), "\ud800".encode("utf-8", "surrogatepass")]
    texts = [to_text(name) for name in names]
    assert len(set(texts)) == len(set(names))
    assert [to_name(text) for text in texts] == names
    assert all(text.isprintable() for text in texts)


@pytest.mark.parametrize("name", [None, 7, b"dripcache:c:k"])
def test_a_name_that_is_no_text_is_refused(broker, name):
    with pytest.raises(InvalidKeyError, match="is a str, not"):
        inspect_key(name)


def test_an_area_that_only_looks_like_ours_is_none(broker):
    assert find_area("dripcache:", b"dripcache:c.a%2Fb:k").role == "other"  # escape() leaves / as it is
    assert find_area("dripcache:", b"dripcache:c.a/b:k").namespace == "a/b"
    assert find_area("dripcache:", b"dripcache:d.a:k").role == "other"


# Values


def test_json_is_shown_on_lines_with_its_tags_and_how_fresh_it_is(broker):
    cache.get_or_set("report", lambda: None, 60, tags=["paper", "x y"], grace=30)
    user_cache.set(7, "prefs", {"a": [1, 2]}, 60)
    detail = inspect_key("dripcache:s.users:7:prefs")
    assert detail.form == "json"
    assert detail.value == '{\n  "a": [\n    1,\n    2\n  ]\n}'
    assert detail.tags == ("7",)
    assert detail.grace is None
    assert 59 < detail.fresh_for <= 60
    report = inspect_key("dripcache:c:report")
    assert (report.form, report.value, report.tags, report.grace) == ("pickle", "", ("paper", "x y"), 30)
    assert 59 < report.fresh_for <= 60 < report.ttl <= 90
    cache.expire("report", 0)
    assert inspect_key("dripcache:c:report").fresh_for == 0
    cache.invalidate_tags("paper")
    assert inspect_key("dripcache:c:report").fresh_for == 0


def test_a_pickle_is_never_unpickled(broker, monkeypatch):
    monkeypatch.setattr("pickle.loads", lambda *_: pytest.fail("unpickled"))
    django_cache.set("small", {1}, 60)
    django_cache.set("large", "x" * 100_000, 60)
    small, large = (inspect_key(f"dripcache:d::1:{key}") for key in ("small", "large"))
    assert (small.form, small.value, small.compressed) == ("pickle", "", False)
    assert (large.form, large.value, large.compressed) == ("pickle", "", True)


def test_integers_texts_and_bytes(broker, raw):
    def put(value):
        raw.set("dripcache:c:k", value, px=60_000)
        detail = inspect_key("dripcache:c:k")
        return detail.form, detail.value, detail.cut

    assert put("42") == ("integer", "42", False)
    assert put("-7") == ("integer", "-7", False)
    assert put("007") == ("text", "007", False)
    assert put("") == ("text", "", False)
    assert put("grüezi\n<b>") == ("text", "grüezi\n<b>", False)
    assert put(b"\xffjunk") == ("opaque", "", False)
    assert put(b"a\0b") == ("opaque", "", False)
    assert put('"text"') == ("json", '"text"', False)
    assert put('{"a":') == ("text", '{"a":', False)
    assert put(b"\xde1 999 0 0\nx")[0] == "opaque"
    assert put(b"\xdc") == ("opaque", "", False)
    assert put(b"[" * 60_000 + b"]" * 5000)[0] == "text"
    assert put("é" * SHOWN) == ("text", "é" * (SHOWN // 2), True)
    assert put("x" + "é" * SHOWN) == ("text", "x" + "é" * (SHOWN // 2 - 1), True)
    assert put("[" + "1," * SHOWN + "1]")[::2] == ("json", True)
    assert put("x" * READ) == ("text", "x" * SHOWN, True)
    form, value, cut = put("[" + "1," * 30_000 + "1]")
    assert (form, len(value), cut) == ("json", SHOWN, True)


def test_of_ten_megabytes_the_beginning_is_read(broker, raw):
    raw.set("dripcache:c:k", b"x" * 10_000_000, px=60_000)
    detail = inspect_key("dripcache:c:k")
    assert (detail.form, detail.size, len(detail.value), detail.cut) == ("text", 10_000_000, SHOWN, True)


def test_a_key_of_each_type(broker, raw):
    raw.hset("dripcache:c:hash", mapping={"field": "value", "n": "1"})
    raw.zadd("dripcache:c:zset", {"member": 2})
    raw.sadd("dripcache:c:set", "member", b"\xff")
    raw.rpush("dripcache:c:list", "a", '{"b": 1}')
    raw.xadd("dripcache:c:stream", {"a": 1})
    raw.setrange("dripcache:c:bits", 3, b"\1")
    shown = {info.key: inspect_key(info.name) for info in walk()[0]}
    assert {key: detail.kind for key, detail in shown.items()} == {
        "hash": "hash",
        "zset": "zset",
        "set": "set",
        "list": "list",
        "stream": "stream",
        "bits": "string",
    }
    assert sorted(shown["hash"].value.split("\n")) == ["field: value", "n: 1"]
    assert shown["zset"].value == "member: 2"
    assert sorted(shown["set"].value.split("\n")) == ["<opaque>", "member"]
    assert shown["list"].value == 'a\n{"b": 1}'
    assert not any(detail.cut for detail in shown.values())
    assert {shown[key].form for key in ("hash", "zset", "set", "list")} == {"members"}
    assert (shown["stream"].form, shown["bits"].form) == ("opaque", "opaque")
    assert all(detail.ttl is None and detail.fresh_for is None for detail in shown.values())
    assert all(delete_key(detail.name) for detail in shown.values())


def test_of_many_members_some_are_shown(broker, raw):
    raw.sadd("dripcache:c:set", *(f"{at:04d}" + "x" * 5000 for at in range(1000)))
    raw.rpush("dripcache:c:list", *range(1000))
    for kind in ("set", "list"):
        detail = inspect_key(f"dripcache:c:{kind}")
        assert detail.cut
        assert len(detail.value.split("\n")) == MEMBERS
        assert len(detail.value) < 100_000
    raw.ltrim("dripcache:c:list", 0, MEMBERS - 1)
    assert not inspect_key("dripcache:c:list").cut


def test_members_of_djangos_cache_are_not_unpickled(broker):
    django_cache.sadd("set", "one", 2)
    detail = inspect_key("dripcache:d::1:set")
    assert sorted(detail.value.split("\n")) == ["2", "<pickle>"]


def test_nothing_is_shown_of_what_is_secret(everything, raw):
    secrets = [info for info in walk()[0] if info.secret]
    secrets += [info for info in walk(place="index")[0] if info.place != "index: flags"]
    assert {info.place.partition(":")[0] for info in secrets} == {"session_cache", "auth_cache", "lock", "index"}
    for info in secrets:
        detail = inspect_key(info.name)
        assert (detail.form, detail.value, detail.tags) == ("hidden", "", ())
        assert detail.ttl is not None
        shown = repr(detail)
        for word in ("admin", "example.com", "cart", everything.owner):
            assert word not in shown


def test_what_is_encrypted_stays_so(broker):
    with use_server(broker.url, ENCRYPTION_KEYS=KEYS):
        CacheManager(encrypt=True).set("k", "secret", 60, tags=["t"])
        detail = inspect_key("dripcache:c:k")
    assert (detail.form, detail.value, detail.encrypted, detail.tags) == ("hidden", "", True, ("t",))


def test_a_value_is_not_in_the_repr(broker):
    cache.set_json("k", "the value", 60)
    assert "the value" in inspect_key("dripcache:c:k").value
    assert "the value" not in repr(inspect_key("dripcache:c:k"))


def test_a_key_that_is_not_there(broker):
    assert inspect_key("dripcache:c:k") is None
    assert inspect_key("dripcache:s.sessions:0") is None
    assert delete_key("dripcache:c:k") is False
    assert expire_key("dripcache:c:k", 5) is False


# Removing


def name_of(place):
    return next(info.name for info in walk(place=place)[0])


def test_a_key_is_deleted_as_its_part_does_it(everything):
    with override_settings(DRIPCACHE={"SHOW_ADDRESSES": True}):
        found = walk()[0]
    for info in found:
        assert delete_key(info.name) is True, info
    assert django_cache.get("in:django") is None
    assert cache.get("report") is None
    assert user_cache.get(7, "name") is None
    assert session_cache.get("id") is None
    assert session_cache.list_for_user(7) == []
    assert auth_cache.get_token("token") is None
    assert auth_cache.get(7) is None
    assert flags.all() == {}
    assert rate_limiter.peek("ip:203.0.113.7", "10/m").count == 0
    assert not everything.release()


def test_what_is_deleted_leaves_the_lists_that_it_is_in(everything, raw):
    assert raw.zcard("dripcache:s.sessions.users:7") == raw.zcard("dripcache:s.flags.index:") == 1
    assert delete_key(name_of("session_cache"))
    assert delete_key(name_of("flags"))
    assert raw.zcard("dripcache:s.sessions.users:7") == raw.zcard("dripcache:s.flags.index:") == 0


def test_deleting_voids_what_is_being_computed(broker):
    for manager, name in ((cache, "dripcache:c:k"), (CacheManager(namespace="n"), "dripcache:c.n:k")):
        stored = manager.get_or_set("k", lambda name=name: delete_key(name) or "old", 60)
        assert stored == "old"
        assert manager.get("k") is None
    user_cache.get_or_set(7, "k", lambda: delete_key("dripcache:s.users:7:k") or "old", 60)
    assert user_cache.get(7, "k") is None
    api_cache.get_or_set("/k", lambda: delete_key("dripcache:s.api:/k:") or "old", ttl=60)
    assert api_cache.get("/k") is None


def test_the_lease_of_a_long_key_is_voided_too(broker):
    key = "k" * 600
    cache.set(key, 1, 60)
    name = the("cache").name
    cache.delete(key)
    assert cache.get_or_set(key, lambda: delete_key(name) or "old", 60) == "old"
    assert cache.get(key) is None


def test_a_bounded_namespace_forgets_what_is_deleted(broker, raw):
    bounded = CacheManager(namespace="few", max_keys=10)
    bounded.set("a", 1, 60)
    assert raw.zcard("dripcache:x.few:") == 1
    assert delete_key("dripcache:c.few:a")
    assert raw.zcard("dripcache:x.few:") == 0


def test_deleting_an_index_ends_what_it_is_of(everything):
    assert delete_key(name_of("index: session_cache"))
    assert session_cache.get("id") is None
    user_stamp = next(info.name for info in walk(place="index: auth_cache")[0] if info.key == "7")
    assert delete_key(user_stamp)
    assert auth_cache.get_token("token") is None


def test_what_is_deleted_during_an_outage_is_deleted_after_it(start_server, broker):
    server = start_server()
    with use_server(server.url):
        cache.set("k", 1, 60)
        django_cache.set("k", 1, 60)
        server.pause()
        assert delete_key("dripcache:c:k") is False
        assert delete_key("dripcache:d::1:k") is False
        server.resume()
        wait_for(cache.test_connection)
        assert cache.get("k") is None
        assert django_cache.get("k") is None


def test_what_was_to_be_revoked_during_an_outage_is_revoked_after_it(start_server, broker):
    server = start_server()
    with use_server(server.url):
        auth_cache.set(7, {"role": "admin"}, 60)
        name = name_of("auth_cache: users")
        server.pause()
        assert expire_key(name, 0) is False
        server.resume()
        wait_for(cache.test_connection)
        assert auth_cache.get(7) is None


# Expiring


def test_a_key_is_given_another_end(everything, raw):
    for place in ("django cache", "user_cache", "api_cache", "auth_cache: users", "flags", "session_cache", "lock"):
        name = name_of(place)
        assert expire_key(name, 1000) is True, place
        assert 990_000 < raw.pttl(name) <= 1_000_000
    assert flags.get("beta") is True
    assert auth_cache.get(7) == {"mail": "ada@example.com"}
    assert session_cache.get("id") == {"cart": 3}
    (session,) = session_cache.list_for_user(7)
    assert 990 < (session.expires - session.created).total_seconds() < 1100
    assert raw.zscore("dripcache:s.flags.index:", "beta") > 1000 * (time.time() + 900)
    assert expire_key("dripcache:c:report", 1000)
    assert 1_020_000 < raw.pttl("dripcache:c:report") <= 1_030_000  # and its grace


def test_to_expire_in_no_time_is_to_be_over(everything):
    for info in walk()[0]:
        assert info.place.startswith("tag") or expire_key(info.name, 0) is True, info
    assert cache.get("report") is None
    assert inspect_key("dripcache:c:report").fresh_for == 0  # it has grace
    assert {info.place for info in walk()[0]} == {"cache", "tag", "tag: api_cache", "tag: user_cache"}


@pytest.mark.parametrize("seconds", [None, "5", True])
def test_a_key_is_never_left_without_an_end(broker, seconds):
    cache.set("k", 1, 60)
    with pytest.raises(TypeError, match="A ttl is a number of seconds"):
        expire_key("dripcache:c:k", seconds)


def test_the_longest_end_is_bounded(broker, raw):
    cache.set("k", 1, 60)
    assert expire_key("dripcache:c:k", float("inf"))
    assert 0 < raw.pttl("dripcache:c:k") < 11 * 365 * 86_400_000


# Tags


def tags(search="", **options):
    page = find_tags(search, **options)
    assert page.available
    assert page.cursor == ""
    return [(info.namespace, info.tag) for info in page.tags]


def test_tags_are_found_with_their_namespaces(everything):
    CacheManager(namespace="shop").set("k", 1, 60, tags=["airport:7", "a b"])
    assert tags() == [
        (None, "paper"),
        ("api_cache", "*"),
        ("api_cache", "path:/rates"),
        ("shop", "a b"),
        ("shop", "airport:7"),
        ("user_cache", "7"),
    ]
    assert tags("port") == [("shop", "airport:7")]
    assert tags("air*:?") == [("shop", "airport:7")]
    assert all(info.ttl > 50 for info in find_tags().tags)


def test_a_tag_is_invalidated(everything):
    shop = CacheManager(namespace="shop")
    shop.set("k", 1, 60, tags=["t"])
    cache.set("k", 1, 60, tags=["t"])
    assert invalidate_tag("t", "shop") is True
    assert shop.get("k") is None
    assert cache.get("k") == 1
    assert invalidate_tag("t") is True
    assert cache.get("k") is None
    assert invalidate_tag("nobody") is False


@pytest.mark.parametrize("namespace", ["user_cache", "api_cache"])
def test_a_tag_of_a_service_is_invalidated_and_one_of_a_namespace_that_is_called_so(everything, namespace):
    manager = CacheManager(namespace=namespace)
    tag = {"user_cache": "7", "api_cache": "path:/rates"}[namespace]
    manager.set("k", 1, 60, tags=[tag])
    assert invalidate_tag(tag, namespace) is True
    assert manager.get("k") is None
    assert (user_cache.get(7, "name") is None) == (namespace == "user_cache")
    assert (api_cache.get("/rates") is None) == (namespace == "api_cache")


def test_to_delete_a_tag_voids_its_values(everything):
    assert delete_key("dripcache:t:paper")
    assert cache.get("report") is None


# Outage


def test_while_redis_is_down_each_answers_so_within_a_second():
    with use_server(UNREACHABLE):
        began = time.monotonic()
        assert find_keys() == KeyPage(available=False)
        assert find_tags() == TagPage(available=False)
        assert inspect_key("dripcache:c:k") is None
        assert inspect_key("dripcache:s.sessions:k") is None
        assert delete_key("dripcache:c:k") is False
        assert expire_key("dripcache:c:k", 5) is False
        assert invalidate_tag("t") is False
        assert time.monotonic() - began < 5


def test_while_redis_hangs_a_page_is_answered(start_server, broker):
    server = start_server()
    with use_server(server.url):
        cache.set("k", 1, 60)
        server.pause()
        began = time.monotonic()
        assert find_keys() == KeyPage(available=False)
        assert time.monotonic() - began < 3
        server.resume()


def test_with_on_outage_raise_it_answers_as_well():
    with use_server(UNREACHABLE, ON_OUTAGE="raise"):
        assert find_keys() == KeyPage(available=False)
        assert delete_key("dripcache:c:k") is False


def test_a_user_with_the_least_rights_sees_names_and_ends(start_server, broker, raw):
    server = start_server()
    with server.client() as owner:
        owner.execute_command(*rules("acl-cache"))
    with use_server(f"redis://shop:password@127.0.0.1:{server.port}/0"):
        cache.set_json("k", [1], 60)
        flags.set("beta", True)
        assert keys() == ["beta", "k"]
        info = the("cache")
        assert (info.kind, info.size) == ("string", None)
        assert the("index: flags").kind == ""
        assert inspect_key(info.name).value == "[\n  1\n]"
        assert expire_key(info.name, 500)
        assert delete_key(info.name)
        with server.client() as owner:
            owner.hset("dripcache:c:hash", mapping={"a": 1, "b": 2})
            owner.execute_command("ACL", "SETUSER", "shop", "+type", "+hlen", "+strlen")
        found = {found.key: (found.kind, found.size) for found in walk()[0]}
        assert found == {"beta": ("string", 1), "hash": ("hash", 2)}


def test_a_header_that_somebody_made_up_is_no_tags(broker, raw):
    for header in (b"\xde1 40 0 0\n9999 1 x", b"\xde1 40 0 0\n" + b"x" * 60, b"\xde1 10 5000 0\n{}", b"\xde1 0 0 0\n"):
        raw.set("dripcache:c:k", header.ljust(60, b"x"), px=60_000)
        detail = inspect_key("dripcache:c:k")
        assert all(tag.isprintable() for tag in detail.tags)
        assert detail.form in {"text", "opaque", "json"}
