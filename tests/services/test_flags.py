from __future__ import annotations

import gc
import inspect
import json
import subprocess
import sys
import types
from contextlib import contextmanager
from datetime import timedelta
from textwrap import dedent
from unittest import mock
from weakref import ref

import pytest
from django.core.cache import cache as django_cache

import django_dripcache
from django_dripcache import CacheUnavailableError, ConfigurationError, InvalidKeyError, on_outage
from django_dripcache.backend import get_alias_server
from django_dripcache.flows.flags import MAX_FLAGS, State
from django_dripcache.near import Near
from django_dripcache.server import Server
from django_dripcache.services import flags as module
from django_dripcache.services.flags import FeatureFlags, flags
from tests.conftest import use_server
from tests.flows.script import play
from tests.processes import ROOT, UNREACHABLE, environment, in_threads, needs_server, site, wait_for

DAY = 86_400
PREFIX, INDEX = b"dripcache:s.flags:", b"dripcache:s.flags.index:"
ODD_NAMES = [
    " ",
    "*",
    "a:b",
    "{slot}",
    "%7B",
    "~digest",
    "line\nline",
    "\x00",
    "ключ",
    "\udc80",
    "s.flags.index:",
    "𝄞" * 200,
    "{" * 200,
]


@contextmanager
def away():
    """Redis cannot be used, and nobody waits to find out; so nothing is near, either."""
    with (
        mock.patch.object(Server, "call", side_effect=CacheUnavailableError("away")),
        mock.patch.object(Near, "get", return_value=None),
    ):
        yield


@pytest.fixture
def clock(monkeypatch):
    """The clock of what is remembered; ``clock.now`` may be set."""
    fake = types.SimpleNamespace(now=1000.0)
    fake.monotonic = lambda: fake.now
    monkeypatch.setattr(module, "time", fake)
    return fake


def fill(raw, count, left=DAY):
    """Put flags into Redis, as many calls of set() would."""
    seconds, _ = raw.time()
    raw.mset({PREFIX + b"%d" % number: b"1" for number in range(count)})
    raw.zadd(INDEX, {b"%d" % number: (seconds + left) * 1000 for number in range(count)})
    raw.expire(INDEX, left)


# What flags are


def test_a_flag_is_on_or_off_or_the_default(broker, drive):
    assert drive(flags).get("sale") is False
    assert drive(flags).get("sale", default=True) is True
    assert drive(flags).set("sale", True) is True
    assert drive(flags).get("sale") is True
    assert drive(flags).set("sale", False) is True
    assert drive(flags).get("sale", default=True) is False


def test_a_deleted_flag_is_the_default(broker, drive):
    drive(flags).set("sale", True)
    assert drive(flags).delete("sale") is True
    assert drive(flags).delete("sale") is False
    assert drive(flags).get("sale") is False
    assert drive(flags).get("sale", True) is True
    assert drive(flags).all() == {}


def test_all_flags_come_by_name(broker, drive):
    for name, enabled in (("b", True), ("c", False), ("a", True)):
        drive(flags).set(name, enabled)
    assert list(drive(flags).all().items()) == [("a", True), ("b", True), ("c", False)]


def test_flags_live_beside_what_is_cached_and_outlive_a_clear(broker, drive):
    drive(flags).set("sale", True)
    django_cache.set("sale", "price")
    django_dripcache.cache.set("sale", "price")
    django_cache.clear()
    django_dripcache.cache.clear()
    assert drive(flags).get("sale") is True


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_a_name_may_hold_any_text_and_comes_back(broker, raw, name, drive):
    others = [name[:-1] + "x", name + "x" if len(name) < 200 else "x"]
    for other in others:
        drive(flags).set(other, False)
    assert drive(flags).set(name, True) is True
    assert drive(flags).get(name) is True
    assert drive(flags).all() == {name: True, **dict.fromkeys(others, False)}
    assert all(key.startswith(b"dripcache:s.flags") for key in raw.scan_iter(count=1000))
    assert drive(flags).delete(name) is True
    assert name not in drive(flags).all()


@pytest.mark.parametrize("name", ["", "a" * 201, None, 1, b"sale", True, ["sale"]], ids=repr)
def test_a_name_of_another_length_or_type_is_refused(broker, name, drive):
    for call in (
        lambda: drive(flags).get(name),
        lambda: drive(flags).set(name, True),
        lambda: drive(flags).delete(name),
    ):
        with pytest.raises(InvalidKeyError, match="Allowed is a str of 1 to 200") as caught:
            call()
        assert caught.value.key == name
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("enabled", [1, 0, None, "on", "", 1.0], ids=repr)
def test_what_is_neither_on_nor_off_is_refused(broker, enabled, drive):
    drive(flags).set("sale", True)
    with pytest.raises(TypeError, match=r"Allowed are True and False"):
        drive(flags).set("sale", enabled)
    assert drive(flags).get("sale") is True


def test_an_alias_of_another_backend_is_refused(settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    with pytest.raises(ConfigurationError, match=r"FeatureFlags\('default'\)"):
        flags.get("sale")


# How long they live


def test_a_flag_lives_for_its_ttl_and_by_default_for_the_longest(broker, raw, drive):
    drive(flags).set("short", True, ttl=60)
    drive(flags).set("delta", True, ttl=timedelta(minutes=2))
    assert 0 < raw.ttl(PREFIX + b"short") <= 60 < raw.ttl(PREFIX + b"delta") <= 120
    assert 0 < raw.ttl(INDEX) <= 120
    drive(flags).set("long", True)
    assert 29 * DAY < raw.ttl(PREFIX + b"long") <= 30 * DAY
    assert 29 * DAY < raw.ttl(INDEX) <= 30 * DAY


def test_a_flag_that_is_set_again_has_the_new_ttl(broker, raw, drive):
    drive(flags).set("sale", True)
    drive(flags).set("sale", True, ttl=60)
    assert 0 < raw.ttl(PREFIX + b"sale") <= 60
    assert 0 < raw.ttl(INDEX) <= 60


def test_a_flag_ends_with_its_ttl_and_so_does_the_index(broker, raw, drive):
    drive(flags).set("sale", True, ttl=0.001)
    drive(flags).set("other", True, ttl=0.002)
    wait_for(lambda: not raw.exists(PREFIX + b"sale", PREFIX + b"other", INDEX))
    assert drive(flags).get("sale") is False
    assert drive(flags).all() == {}


@pytest.mark.parametrize("ttl", [0, -1, timedelta(0)])
def test_a_ttl_of_zero_or_less_is_over_at_once(broker, raw, ttl, drive):
    drive(flags).set("sale", True)
    assert drive(flags).set("sale", True, ttl=ttl) is True
    assert drive(flags).get("sale") is False
    assert list(raw.scan_iter()) == []


def test_flags_have_no_end_where_the_site_wants_that(broker, raw, drive):
    with use_server(broker.url, FOREVER_TTL=None):
        drive(flags).set("short", True, ttl=60)
        drive(flags).set("sale", True)
        assert raw.ttl(PREFIX + b"sale") == raw.ttl(INDEX) == -1
        drive(flags).set("more", True, ttl=60)
        assert raw.ttl(INDEX) == -1
        assert drive(flags).all() == {"more": True, "sale": True, "short": True}
        with away():
            assert drive(flags).get("sale") is True


@pytest.mark.parametrize("ttl", ["60", True, float("nan"), object()], ids=lambda ttl: type(ttl).__name__)
def test_a_ttl_that_is_none_is_refused(broker, ttl, drive):
    with pytest.raises((TypeError, ValueError), match="A ttl is"):
        drive(flags).set("sale", True, ttl)


def test_the_longest_ttl_is_taken(broker, raw, drive):
    assert drive(flags).set("sale", True, ttl=10**12) is True
    assert raw.ttl(PREFIX + b"sale") > 3600 * DAY
    assert raw.ttl(INDEX) > 3600 * DAY


# How many there may be


def test_one_flag_too_many_is_refused_and_those_there_are_stay(broker, raw, drive):
    fill(raw, MAX_FLAGS)
    with pytest.raises(InvalidKeyError, match="'more' would be one more than the 1,000"):
        drive(flags).set("more", True)
    with away():
        assert drive(flags).get("more") is False
    assert drive(flags).get("more") is False
    assert len(drive(flags).all()) == MAX_FLAGS
    assert "more" not in drive(flags).all()
    assert get_alias_server("default").journal.dirty is False
    assert drive(flags).set("7", False) is True
    drive(flags).delete("8")
    assert drive(flags).set("more", True) is True
    assert raw.zcard(INDEX) == MAX_FLAGS


@pytest.mark.parametrize("gone", ["removed", "of another type", "over"])
def test_flags_that_are_gone_make_room(broker, raw, gone, drive):
    fill(raw, MAX_FLAGS)
    raw.delete(PREFIX + b"5", PREFIX + b"6")
    if gone == "of another type":
        raw.rpush(PREFIX + b"5", "item")
    if gone == "over":
        raw.zadd(INDEX, {b"5": 1})
    assert drive(flags).set("more", True) is True
    listed = drive(flags).all()
    assert len(listed) == MAX_FLAGS - 1
    assert {"more", "4", "7"} <= set(listed)
    assert not {"5", "6"} & set(listed)
    assert raw.zcard(INDEX) <= MAX_FLAGS


def test_threads_that_set_flags_at_the_same_time_stay_within_the_bound(broker, raw):
    fill(raw, MAX_FLAGS - 4)

    def work(number):
        done = 0
        for turn in range(4):
            try:
                done += flags.set(f"{number}-{turn}", True)
            except InvalidKeyError:
                done += 0
        return done

    with site(broker.url):
        assert sum(in_threads(4, work)) == 4
    assert raw.zcard(INDEX) == MAX_FLAGS
    assert len(flags.all()) == MAX_FLAGS


@needs_server
def test_processes_see_each_others_flags_at_once(broker):
    code = """
        import json, sys, django
        django.setup()
        from tests.processes import be_patient
        be_patient()
        from django_dripcache.services.flags import flags
        for line in sys.stdin:
            name, state = line.split()
            print(json.dumps([flags.set(name, state == "on"), flags.all()]), flush=True)
    """
    command = [sys.executable, "-c", dedent(code)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        site(broker.url),
        subprocess.Popen(command, env=environment(broker.url), cwd=ROOT, **pipes) as process,
    ):
        for state in ("on", "off", "on"):
            process.stdin.write(f"sale {state}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == [True, {"sale": state == "on"}]
            assert flags.get("sale", state != "on") is (state == "on")
        process.stdin.close()
        assert process.wait(30) == 0


# What others may have written


@pytest.mark.parametrize(
    "value", [b"", b"2", b"true", b"\x00\xff", b"1" * 10_000_000], ids=["none", "2", "t", "b", "x"]
)
def test_a_value_that_is_no_state_is_the_default_and_is_removed(broker, raw, value, drive):
    with site(broker.url):
        drive(flags).set("sale", True)
        drive(flags).set("other", True)
        raw.set(PREFIX + b"sale", value)
        assert drive(flags).all() == {"other": True}
        assert drive(flags).get("sale", True) is True
        assert drive(flags).get("sale", False) is False
        assert not raw.exists(PREFIX + b"sale")
        assert drive(flags).set("sale", True) is True
        assert drive(flags).all() == {"other": True, "sale": True}


def test_a_key_of_another_type_is_the_default_until_it_is_set(broker, raw, drive):
    raw.rpush(PREFIX + b"sale", "item")
    raw.zadd(INDEX, {b"sale": 1e15})
    assert drive(flags).get("sale", True) is True
    assert drive(flags).get("sale") is False
    assert drive(flags).all() == {}
    assert drive(flags).set("sale", True) is True
    assert drive(flags).get("sale") is True
    assert drive(flags).all() == {"sale": True}


def test_an_index_of_another_type_is_replaced_by_the_next_flag_that_is_set(broker, raw, drive):
    drive(flags).set("before", True)
    raw.set(INDEX, "text")
    assert drive(flags).all() == {}
    assert drive(flags).get("before") is True
    assert drive(flags).delete("before") is True
    assert drive(flags).set("sale", True) is True
    assert drive(flags).all() == {"sale": True}
    assert raw.ttl(INDEX) > 0


def test_an_index_that_others_filled_reaches_no_key_that_is_not_a_flags(broker, raw, drive):
    raw.set("celery", "1")
    raw.set(PREFIX + b"\xff\x00", "1")
    raw.zadd(INDEX, dict.fromkeys([b"celery", b"../celery", b"", b"\xff\x00"], 1e15))
    assert list(drive(flags).all().values()) == [True]
    assert "celery" not in drive(flags).all()
    assert drive(flags).set("sale", True) is True
    assert raw.get("celery") == b"1"


def test_an_index_that_others_filled_is_cleared_bit_by_bit(broker, raw, drive):
    drive(flags).set("old", True)
    raw.zadd(INDEX, {b"%d" % number: 1e15 for number in range(3 * MAX_FLAGS)})
    assert drive(flags).all() == {}
    assert drive(flags).set("old", False) is True
    with pytest.raises(InvalidKeyError):
        drive(flags).set("sale", True)
    assert drive(flags).set("sale", True) is True
    assert drive(flags).all() == {"old": False, "sale": True}
    assert raw.zcard(INDEX) <= MAX_FLAGS


def test_more_flags_than_there_may_be_are_not_listed(broker, raw, drive):
    fill(raw, 9 * MAX_FLAGS)
    assert len(drive(flags).all()) == MAX_FLAGS
    assert drive(flags).set("7", False) is True
    assert drive(flags).get("7", True) is False


# While Redis cannot be used


def test_a_flag_is_what_it_was_last_known_to_be_for_five_minutes(broker, drive, clock):
    flags.set("on", True)
    flags.set("off", False)
    with site(broker.url):
        assert drive(flags).get("on") is True
        assert drive(flags).get("off") is False
        with away():
            clock.now += 299.9
            assert drive(flags).get("on") is True
            assert drive(flags).get("off", True) is False
            assert drive(flags).all() == {"off": False, "on": True}
            clock.now += 0.2
            assert drive(flags).get("on") is False
            assert drive(flags).get("off", True) is True
            assert drive(flags).all() == {}
        assert drive(flags).get("on") is True
        with away():
            assert drive(flags).get("on") is True


def test_each_read_begins_the_five_minutes_anew(broker, drive, clock):
    drive(flags).set("sale", True)
    for _ in range(5):
        clock.now += 200
        assert drive(flags).get("sale") is True
    with away():
        clock.now += 200
        assert drive(flags).get("sale") is True
        clock.now += 200
        assert drive(flags).get("sale") is False


def test_a_flag_of_which_nothing_was_known_is_the_default(broker, drive):
    drive(flags).get("absent")
    with away():
        for name in ("absent", "never read"):
            assert drive(flags).get(name) is False
            assert drive(flags).get(name, True) is True


def test_a_flag_that_was_seen_to_be_gone_is_the_default(broker, raw, drive):
    drive(flags).set("sale", True)
    raw.delete(PREFIX + b"sale")
    assert drive(flags).get("sale") is False
    with away():
        assert drive(flags).get("sale") is False
        assert drive(flags).all() == {}


def test_what_is_set_or_deleted_is_known_without_a_read(broker, drive):
    drive(flags).set("sale", True)
    with away():
        assert drive(flags).get("sale") is True
    drive(flags).delete("sale")
    with away():
        assert drive(flags).get("sale") is False


def test_what_all_listed_is_known(broker, raw, drive):
    fill(raw, 3)
    raw.set(PREFIX + b"1", "0")
    assert len(drive(flags).all()) == 3
    with away():
        assert drive(flags).get("0") is True
        assert drive(flags).get("1", True) is False


def test_all_learns_of_flags_that_were_known_before(broker, raw, drive, clock):
    drive(flags).set("sale", True)
    raw.set(PREFIX + b"sale", "0")
    clock.now += 200
    assert drive(flags).all() == {"sale": False}
    clock.now += 200
    with away():
        assert drive(flags).get("sale", True) is False


def test_a_flag_does_not_outlive_its_ttl_in_the_memory(broker, drive, clock):
    drive(flags).set("sale", True, ttl=100)
    for learn in (lambda: drive(flags).get("sale"), drive(flags).all, lambda: drive(flags).set("sale", True, ttl=100)):
        learn()
        with away():
            assert drive(flags).get("sale") is True
            clock.now += 101
            assert drive(flags).get("sale") is False


@pytest.mark.parametrize("verb", ["set", "delete", "end"])
def test_after_a_write_that_failed_a_flag_is_not_what_it_was_before(broker, drive, verb):
    drive(flags).set("sale", True)
    drive(flags).set("other", True)
    calls = {
        "set": lambda: drive(flags).set("sale", False),
        "delete": lambda: drive(flags).delete("sale"),
        "end": lambda: drive(flags).set("sale", True, ttl=0),
    }
    with away():
        assert calls[verb]() is False
        assert drive(flags).get("sale") is False
        assert drive(flags).get("sale", True) is True
        assert drive(flags).all() == {"other": True}
    assert drive(flags).get("sale") is False
    assert drive(flags).get("sale", True) is True
    assert drive(flags).get("other") is True
    assert drive(flags).all() == {"other": True}
    assert drive(flags).set("sale", True) is True
    assert drive(flags).get("sale") is True


def test_after_a_write_that_was_interrupted_a_flag_is_not_what_it_was_before(broker, drive):
    drive(flags).set("sale", True)
    with mock.patch.object(Server, "call", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        flags.set("sale", False)
    with away():
        assert drive(flags).get("sale") is False
    assert drive(flags).get("sale") is False


def test_another_object_for_the_same_flags_forgets_as_well(broker, drive):
    one, other = FeatureFlags(), FeatureFlags()
    one.set("sale", True)
    with away():
        assert drive(other).get("sale") is True
        assert drive(other).set("sale", False) is False
        assert drive(one).get("sale") is False


@pytest.mark.parametrize("write", ["set", "set that failed", "delete"])
def test_what_was_read_before_a_write_is_not_remembered_after_it(broker, write):
    def while_reading(flow, reply):
        next(flow)
        if write == "set":
            flags.set("sale", False)
        elif write == "delete":
            flags.delete("sale")
        else:
            with away():
                flags.set("sale", False)
        with pytest.raises(StopIteration) as ended:
            flow.send(reply)
        return ended.value.value

    for known in (True, False):
        for flow, reply, answer in (
            (flags._get("sale", False), [b"1", -1], True),
            (flags._all(), [b"sale", b"1", -1], {"sale": True}),
        ):
            get_alias_server("default").journal.take()
            module._memories.clear()
            if known:
                flags.set("sale", True)
            found = while_reading(flow, reply)
            assert found == answer or (found == {} and write == "set that failed")
            with away():
                assert flags.get("sale") is False


def test_a_read_that_fails_after_a_write_failed_does_not_answer_what_was_before_it(broker):
    flags.set("sale", True)
    flow = flags._get("sale", False)
    next(flow)
    with away():
        flags.set("sale", False)
    with pytest.raises(StopIteration) as ended:
        flow.throw(CacheUnavailableError("away"))
    assert ended.value.value is False


def test_what_is_remembered_is_bounded(broker, raw, drive):
    fill(raw, MAX_FLAGS)
    drive(flags).all()
    memory = flags._memory
    for number in range(4 * MAX_FLAGS):
        place = memory.place(b"absent %d" % number)
        place.learn(None)
    assert len(memory.places()) <= 2 * MAX_FLAGS
    with away():
        assert len(drive(flags).all()) == MAX_FLAGS
    for number in range(4 * MAX_FLAGS):
        memory.replace(b"some %d" % number, State(True, 1_000_000))
        memory.add(b"more %d" % number, State(True, 1_000_000))
    assert len(memory.places()) <= 2 * MAX_FLAGS


def test_threads_that_fill_the_memory_do_not_trip_over_each_other(broker):
    memory = flags._memory

    def work(number):
        for turn in range(3 * MAX_FLAGS):
            memory.place(b"%d %d" % (number, turn)).learn(State(True, 1_000_000))
            memory.replace(b"%d %d" % (number, turn), None)
            memory.add(b"%d %d" % (turn, number), State(True, -1))

    in_threads(4, work)
    assert len(memory.places()) <= 2 * MAX_FLAGS + 4


def test_another_server_does_not_answer_with_what_this_one_knew(broker, drive):
    drive(flags).set("sale", True)
    assert drive(flags).get("sale") is True
    with site(UNREACHABLE):
        assert drive(flags).get("sale") is False
        assert drive(flags).all() == {}


def test_another_namespace_does_not_answer_with_what_this_one_knew(broker, drive):
    drive(flags).set("sale", True)
    with use_server(broker.url, NAMESPACE="other"):
        assert drive(flags).get("sale") is False
        assert drive(flags).all() == {}
        with away():
            assert drive(flags).get("sale") is False
            assert drive(flags).all() == {}


def test_flags_of_another_area_are_others(broker, drive):
    class Experiments(FeatureFlags):
        area = "experiments"

    drive(flags).set("sale", True)
    drive(Experiments()).set("sale", False)
    drive(Experiments()).set("more", True)
    for _ in range(2):
        assert drive(flags).all() == {"sale": True}
        assert drive(Experiments()).all() == {"more": True, "sale": False}
        with away():
            assert drive(flags).all() == {"sale": True}
            assert drive(Experiments()).all() == {"more": True, "sale": False}
            assert drive(flags).get("more") is False


def test_what_was_known_of_a_server_goes_with_it(broker):
    with use_server(broker.url):
        flags.set("sale", True)
        memory = ref(flags._memory)
    wait_for(lambda: gc.collect() >= 0 and memory() is None)


@pytest.mark.parametrize("how", ["object", "block"])
def test_what_is_to_raise_raises_even_where_something_is_known(broker, drive, how):
    raising = FeatureFlags(on_outage="raise") if how == "object" else flags
    drive(flags).set("sale", True)
    calls = (
        lambda: drive(raising).get("sale"),
        lambda: drive(raising).set("sale", True),
        lambda: drive(raising).delete("sale"),
        lambda: drive(raising).all(),
    )
    with away(), on_outage("raise") if how == "block" else mock.MagicMock():
        for call in calls:
            with pytest.raises(CacheUnavailableError):
                call()
    with away(), on_outage("fallback"):
        assert drive(raising).get("sale", True) is True


def test_without_a_server_every_verb_answers(drive):
    with site(UNREACHABLE, {}):
        assert drive(flags).get("sale") is False
        assert drive(flags).get("sale", True) is True
        assert drive(flags).set("sale", True) is False
        assert drive(flags).delete("sale") is False
        assert drive(flags).all() == {}


@needs_server
def test_a_flag_stays_what_it_was_when_redis_is_killed(drive, start_server):
    server = start_server()
    with site(server.url, {}):
        assert drive(flags).set("payments", False) is True
        assert drive(flags).get("payments", True) is False
        server.kill()
        for _ in range(10):
            assert drive(flags).get("payments", True) is False
        assert drive(flags).all() == {"payments": False}


@needs_server
def test_a_flag_that_could_not_be_set_is_the_default_after_the_outage_and_others_are_what_they_were(
    drive, start_server
):
    server = start_server()
    with site(server.url, {"SOCKET_TIMEOUT": 1.0}), server.client() as client:
        for name in ("payments", "search"):
            assert drive(flags).set(name, True) is True
        server.pause()
        assert drive(flags).set("payments", False) is False
        server.resume()
        client.ping()
        assert drive(flags).get("payments") is False
        assert drive(flags).get("search") is True
        assert drive(flags).all() == {"search": True}


@needs_server
def test_a_read_only_redis_tells_what_is_on_but_not_what_it_should_have_changed(drive, start_server):
    server = start_server()
    with site(server.url), server.client() as client:
        for name in ("payments", "search"):
            assert drive(flags).set(name, True) is True
        client.set(PREFIX + b"odd", b"text")
        client.replicaof("127.0.0.1", 1)
        assert drive(flags).all() == {"payments": True, "search": True}
        assert drive(flags).get("odd") is False
        assert drive(flags).set("payments", False) is False
        for _ in range(3):
            assert drive(flags).get("payments") is False
            assert drive(flags).get("search") is True
            assert drive(flags).all() == {"search": True}
        with away():
            assert drive(flags).get("payments") is False
        client.replicaof("NO", "ONE")


@needs_server
def test_a_full_redis_takes_a_flag_all_the_same(drive, start_server):
    server = start_server(maxmemory_policy="noeviction")
    with site(server.url), server.client() as client:
        client.config_set("maxmemory", 1)
        assert django_cache.set("key", 1) is False
        assert drive(flags).set("payments", False) is True
        assert drive(flags).get("payments", True) is False
        assert drive(flags).all() == {"payments": False}
        assert drive(flags).delete("payments") is True


def test_what_a_flow_asks_for_is_bounded_by_one_round_trip(broker):
    key = PREFIX + b"sale"
    assert play(flags._get("sale", False), ([("GET", key), ("PTTL", key)], [b"1", 5000])) is True
    listing = ("flag_all.lua", [INDEX], PREFIX, MAX_FLAGS)
    assert play(flags._all(), (listing, [b"sale", b"1", 5000])) == {"sale": True}


# What the page says


def test_the_page_has_every_verb_and_the_numbers_of_the_code():
    page = " ".join(ROOT.joinpath("docs", "flags.rst").read_text().split())
    for verb in ("get", "set", "delete", "all"):
        parameters = list(inspect.signature(getattr(flags, verb)).parameters.values())
        listed = ", ".join(str(parameter.replace(annotation=parameter.empty)) for parameter in parameters)
        assert f"- ``{verb}({listed})`` -" in page
        assert f"``a{verb}``" in page
    assert f"{MAX_FLAGS:,} flags, with names of 1 to {module.MAX_NAME} characters" in page
    assert f"what it was, for {module.BELIEVED / 60:g} minutes" in page
    assert f"up to {2 * MAX_FLAGS:,} flags" in page
