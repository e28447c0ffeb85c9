"""The near cache of a process, on real servers: what it keeps, when it must not, and what it does without tracking."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import threading
import time
from types import SimpleNamespace

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from django_dripcache import eviction, tracker
from django_dripcache.broker import from_url
from django_dripcache.exceptions import ConfigurationError
from django_dripcache.near import BACKOFF, Near, _living
from django_dripcache.pools import PoolOptions
from django_dripcache.server import Server
from django_dripcache.tracker import LEASE, RefusedError, Tracker

from .faults.proxy import Proxy
from .processes import Watched, Wire, in_threads, needs_server, run_python, tls_only, tls_url, wait_for
from .restricted import rules

pytestmark = needs_server

A, B = b"dripcache:d:a", b"dripcache:d:b"
FAR = b"dripcache:s:far"


class Site:
    """Near caches of servers, as a process would have them; all are closed at the end."""

    def __init__(self):
        self.made = []

    def near(self, url, *, wait=True, patterns=(b"dripcache:d:*",), max_entries=100, max_bytes=2**20, max_ttl=300):
        server = Server(from_url(url, "the test"), PoolOptions(socket_timeout=5, socket_connect_timeout=5))
        limits = {"max_entries": max_entries, "max_bytes": max_bytes, "max_ttl": max_ttl}
        near = Near(server, patterns, **limits)
        self.made.append((near, server))
        if wait:
            wait_for(lambda: is_live(near))
        return near

    def close(self):
        for near, server in self.made:
            near.close()
            server.close()


def is_live(near):
    near.get(A)
    return near.stats().status == "live"


def keep(near, name, value=b"1", ttl_ms=None):
    """Keep a value as if the server had been read, and see that it is near."""
    near.fill(near.begin(name), value, ttl_ms)
    assert near.get(name).value == value


def trackers(client):
    return [found for found in client.client_list() if found["name"].startswith("dripcache:near:")]


@pytest.fixture
def shop():
    shop = Site()
    yield shop
    shop.close()


@pytest.fixture
def near(shop, redis_server, raw):
    return shop.near(redis_server.url)


@pytest.fixture
def own(start_server, shop):
    """A server of the test's own, a client of it, and a near cache of it."""
    server = start_server()
    with server.client() as client:
        yield server, client, shop.near(server.url)


# What is kept


def test_what_was_read_is_near(near):
    assert near.get(A) is None
    near.fill(near.begin(A), b"1", None)
    assert near.get(A).value == b"1"
    assert near.get(B) is None


def test_what_another_client_writes_is_seen_by_the_next_read(near, raw):
    for number in range(50):
        keep(near, A)
        raw.set(A, number)
        assert near.get(A) is None


@pytest.mark.parametrize(
    "write",
    [
        lambda raw: raw.delete(A),
        lambda raw: raw.expire(A, 100),
        lambda raw: raw.append(A, "x"),
        lambda raw: raw.rename(A, B),
        lambda raw: raw.eval("redis.call('SET', KEYS[1], '2')", 1, A),
        lambda raw: raw.pipeline(transaction=True).set(A, 2).execute(),
        lambda raw: raw.flushdb(),
    ],
)
def test_every_kind_of_write_is_seen(near, raw, write):
    raw.set(A, 1)
    wait_for(lambda: near.stats().invalidations > 1)
    keep(near, A)
    write(raw)
    # A flush is told right after its reply, all else before it.
    wait_for(lambda: near.get(A) is None)


def test_what_is_written_while_it_is_read_is_not_kept(near, raw):
    ticket = near.begin(A)
    raw.set(A, 2)
    near.get(B)
    near.fill(ticket, b"1", None)
    assert near.get(A) is None


def test_what_is_written_after_it_was_read_and_before_it_is_kept_is_not_near(near, raw):
    ticket = near.begin(A)
    raw.set(A, 2)
    near.fill(ticket, b"1", None)
    assert near.get(A) is None


def test_a_known_miss_is_near_until_somebody_writes(near, raw):
    near.fill(near.begin(A), None, None)
    assert near.get(A).value is None
    raw.set(A, 1)
    assert near.get(A) is None


def test_an_entry_ends_with_its_key_though_nobody_tells_of_it(near):
    keep(near, A, ttl_ms=200)
    wait_for(lambda: near.get(A) is None)


def test_the_ttl_counts_from_before_the_read(near):
    ticket = near.begin(A)
    time.sleep(0.15)
    near.fill(ticket, b"1", 150)
    assert near.get(A) is None


def test_no_entry_lives_longer_than_max_ttl(shop, redis_server, raw):
    near = shop.near(redis_server.url, max_ttl=0.2)
    keep(near, A, ttl_ms=None)
    keep(near, B, ttl_ms=100_000)
    wait_for(lambda: near.get(A) is None and near.get(B) is None)


def test_what_is_over_is_not_kept(near):
    for ttl in (0, -2):
        near.fill(near.begin(A), b"1", ttl)
        assert near.get(A) is None


def test_a_name_that_is_not_near_gets_no_ticket(near):
    assert near.begin(FAR) is None
    assert [ticket and ticket.name for ticket in near.begin_many([A, FAR, B])] == [A, None, B]


def test_its_size_is_bounded(shop, redis_server, raw):
    near = shop.near(redis_server.url, max_entries=10)
    for number in range(100):
        name = b"dripcache:d:%d" % number
        near.fill(near.begin(name), b"1", None)
    stats = near.stats()
    assert stats.entries == 10
    assert stats.evictions == 90


def test_what_was_read_near_stays_when_others_have_to_go(shop, redis_server, raw):
    near = shop.near(redis_server.url, max_entries=10)
    keep(near, A)
    for number in range(100):
        near.fill(near.begin(b"dripcache:d:%d" % number), b"1", None)
    assert near.get(A)


def test_what_is_too_large_is_not_kept_and_what_it_replaces_is_forgotten(near):
    keep(near, A)
    near.fill(near.begin(A), bytes(2**20), None)
    assert near.get(A) is None


# Those who read at the same time


def test_of_those_who_read_the_same_at_the_same_time_the_first_one_keeps_it(near):
    tickets = [near.begin(A) for _ in range(3)]
    for ticket in tickets:
        near.fill(ticket, b"1", None)
    assert near.get(A).value == b"1"


def test_of_two_values_that_were_read_at_the_same_time_none_is_kept(near):
    first, second = near.begin(A), near.begin(A)
    near.fill(first, b"1", None)
    near.fill(second, b"2", None)
    assert near.get(A) is None


def test_what_was_read_with_a_void_ticket_takes_away_what_others_have_kept_or_read(near):
    late = near.begin(A)
    near.forget(A)
    keep(near, A)
    near.fill(late, b"2", None)
    assert near.get(A) is None
    late = near.begin(A)
    near.forget(A)
    reading = near.begin(A)
    near.fill(late, b"2", None)
    near.fill(reading, b"1", None)
    assert near.get(A) is None


def test_a_reader_that_failed_costs_nothing_but_its_ticket(near, monkeypatch):
    monkeypatch.setattr(eviction, "MAX_TICKETS", 5)
    for number in range(50):
        near.begin(b"dripcache:d:%d" % number)
    assert len(near._entries._tickets) <= 6
    keep(near, A)


# Own writes


def test_what_this_process_has_written_is_forgotten_and_what_was_read_meanwhile_is_not_kept(near):
    keep(near, A)
    ticket = near.begin(B)
    near.forget(A, B)
    assert near.get(A) is None
    near.fill(ticket, b"1", None)
    assert near.get(B) is None


def test_clear_forgets_everything(near):
    keep(near, A)
    ticket = near.begin(B)
    near.clear()
    near.fill(ticket, b"1", None)
    assert near.get(A) is None
    assert near.get(B) is None
    assert near.stats().entries == 0


# The connection


def test_it_connects_when_it_is_first_read_and_only_then(shop, redis_server, raw):
    near = shop.near(redis_server.url, wait=False)
    assert near.stats().status == "idle"
    assert not trackers(raw)
    assert near.get(A) is None
    assert near.stats().status in {"connecting", "live"}
    wait_for(lambda: is_live(near))


def test_a_ticket_from_before_it_was_connected_keeps_nothing(shop, redis_server, raw):
    near = shop.near(redis_server.url, wait=False)
    ticket = near.begin(A)
    wait_for(lambda: is_live(near))
    near.fill(ticket, b"1", None)
    assert near.get(A) is None


def test_its_one_connection_is_named_and_bounded_as_a_subscriber(near, raw):
    for _ in range(3):
        near.get(A)
    (found,) = trackers(raw)
    assert found["name"] == f"dripcache:near:{os.getpid()}"
    assert set("PtB") <= set(found["flags"])
    assert found["sub"] == "1"


def test_nothing_is_left_on_the_server_but_for_a_moment(near, raw):
    wait_for(lambda: not raw.keys("dripcache:*"))


def test_a_flush_of_another_database_empties_it(near, redis_server):
    keep(near, A)
    with redis.Redis(port=redis_server.port, db=7, protocol=2) as other:
        other.flushdb()
    wait_for(lambda: near.get(A) is None)
    assert near.stats().status == "live"


def test_a_lost_connection_empties_it_at_once_and_it_comes_back(near, raw):
    keep(near, A)
    ticket = near.begin(B)
    raw.client_kill_filter(_id=trackers(raw)[0]["id"])
    assert near.get(A) is None
    stats = near.stats()
    assert (stats.status, stats.entries) == ("connecting", 0)
    assert "closed" in stats.reason
    wait_for(lambda: is_live(near))
    assert near._backoff == BACKOFF[0]
    near.fill(ticket, b"1", None)
    assert near.get(B) is None
    keep(near, A)


def test_a_server_that_was_started_anew_is_found(own):
    server, _, near = own
    keep(near, A)
    server.kill()
    assert near.get(A) is None
    server.start()
    wait_for(lambda: is_live(near))
    keep(near, A)


def test_a_server_that_is_away_is_asked_again_and_again(shop, start_server):
    server = start_server()
    server.kill()
    near = shop.near(server.url, wait=False)
    near.get(A)
    wait_for(lambda: "refused" in near.stats().reason)
    assert near.stats().status == "connecting"
    near.fill(near.begin(A), b"1", None)
    assert near.get(A) is None
    server.start()
    wait_for(lambda: is_live(near))


def test_what_is_near_is_not_read_while_the_server_is_silent_and_is_again_when_it_goes_on(own):
    server, _, near = own
    keep(near, A)
    server.pause()
    began = time.monotonic()
    try:
        wait_for(lambda: near.get(A) is None, LEASE + 5)
        assert time.monotonic() - began > LEASE / 2
        assert near.stats().status == "connecting"
    finally:
        server.resume()
    wait_for(lambda: near.get(A))


def test_who_hears_nothing_more_knows_nothing_more(start_server, shop):
    server = start_server()
    with Wire(server.port) as wire:
        near = shop.near(f"redis://127.0.0.1:{wire.port}/0")
        keep(near, A)
        wire.lose(b"PING")
        wait_for(lambda: wire.seen)
        with server.client() as client:
            client.set(A, 2)
        wait_for(lambda: near.get(A) is None, LEASE + 5)
        near.close()


def test_a_connection_without_an_answer_is_given_up(start_server, shop, monkeypatch):
    monkeypatch.setattr(tracker, "OVERDUE", 0.5)
    server = start_server()
    with Wire(server.port) as wire:
        near = shop.near(f"redis://127.0.0.1:{wire.port}/0")
        wire.lose(b"PING")
        wait_for(lambda: near.stats().status == "connecting")
        wait_for(lambda: is_live(near))
        keep(near, A)
        near.close()


def test_a_thread_of_its_own_receives_when_nobody_reads(near, raw):
    before = near.stats().invalidations
    for number in range(100):
        raw.set(b"dripcache:d:%d" % number, 1)
    wait_for(lambda: near.stats().invalidations >= before + 100)


def test_it_is_told_of_nothing_but_its_own_names(near, raw):
    before = near.stats().invalidations
    raw.set(FAR, 1)
    raw.lpush("celery", 1)
    raw.set(A, 1)
    wait_for(lambda: near.stats().invalidations > before)
    assert near.stats().invalidations == before + 1


def test_calls_that_go_to_another_server_take_it_with_them(start_server, shop):
    first, second = start_server(), start_server()
    near = shop.near(f"{first.url};{second.url}")
    keep(near, A)
    ticket = near.begin(B)
    route = near._server._route
    route.leave(route.current)
    near.fill(ticket, b"1", None)
    assert near.get(B) is None
    assert near.get(A) is None
    wait_for(lambda: is_live(near))
    with second.client() as client:
        assert trackers(client)
        keep(near, A)
        client.set(A, 2)
    assert near.get(A) is None


def test_calls_that_go_to_another_server_are_noticed_though_nobody_keeps_anything(start_server, shop):
    first, second = start_server(), start_server()
    near = shop.near(f"{first.url};{second.url}")
    keep(near, A)
    route = near._server._route
    route.leave(route.current)
    wait_for(lambda: near.get(A) is None)
    with second.client() as client:
        wait_for(lambda: trackers(client))


def test_it_is_closed_with_its_connection_and_its_thread(near, raw):
    keep(near, A)
    keeper = near._keeper
    near.close()
    assert not keeper.is_alive()
    wait_for(lambda: not trackers(raw))
    near.fill(near.begin(A), b"1", None)
    assert near.get(A) is None
    near.forget(A)
    near.clear()
    near.close()
    assert near.stats().status == "closed"
    assert near._keeper is keeper
    assert near not in _living  # a fork does not open it again


def test_it_is_closed_when_the_process_ends(redis_server, raw):
    found = run_python(
        f"""
        import json, os, time
        import django; django.setup()
        from tests.test_near import Site, trackers
        shop = Site()
        near = shop.near("{redis_server.url}")
        print(json.dumps(near.stats().status))
        """,
        redis_server.url,
    )
    assert found == "live"
    wait_for(lambda: not trackers(raw))


# Ways to a server


def test_over_tls(tmp_path, shop):
    with tls_only(tmp_path) as server, server.client() as client:
        near = shop.near(tls_url(server))
        for number in range(200):
            name = b"dripcache:d:%d" % number
            keep(near, name)
            client.set(name, b"x" * number)
            assert near.get(name) is None
        keep(near, A)
        pipe = client.pipeline(transaction=False)
        for number in range(20_000):
            pipe.set(b"dripcache:d:%d:%s" % (number, b"x" * 100), 1)
        pipe.set(A, 2).execute()
        assert near.get(A) is None
        near.close()


def test_over_a_unix_socket_on_another_database(tmp_path, start_server, shop):
    server = start_server(unixsocket=str(tmp_path / "redis.sock"))
    near = shop.near(f"unix://{tmp_path}/redis.sock?db=3")
    keep(near, A)
    with redis.Redis(port=server.port, db=3, protocol=2) as client:
        client.set(A, 1)
    assert near.get(A) is None


def test_with_a_password(start_server, shop):
    server = start_server()
    with server.client() as client:
        client.acl_setuser("shop", enabled=True, passwords=["+sesame"], **EVERYTHING)
        near = shop.near(f"redis://shop:sesame@127.0.0.1:{server.port}/0")
        keep(near, A)
        client.set(A, 1)
    assert near.get(A) is None


EVERYTHING = {"keys": ["*"], "channels": ["*"], "commands": ["+@all"]}


def test_after_a_failover_of_sentinel(start_server, tmp_path, shop):
    watched = Watched(start_server, tmp_path)
    try:
        near = shop.near(f"{watched.url()}?master_name=shop")
        keep(near, A)
        watched.master.kill()
        assert near.get(A) is None
        wait_for(lambda: is_live(near), 20)
        with watched.replica.client() as client:
            keep(near, A)
            wait_for(lambda: client.info("replication")["role"] == "master")
            client.set(A, 1)
        assert near.get(A) is None
    finally:
        for made, server in shop.made:
            made.close()
            server.close()
        watched.stop()


@pytest.mark.parametrize("left", [["poll", "POLLIN"], []])
def test_without_epoll(monkeypatch, shop, redis_server, raw, left):
    monkeypatch.setattr(tracker, "select", SimpleNamespace(**{name: getattr(select, name) for name in left}))
    near = shop.near(redis_server.url)
    for number in range(20):
        keep(near, A)
        raw.set(A, number)
        assert near.get(A) is None


def test_under_gevent(redis_server, raw):
    found = run_python(
        f"""
        from gevent import monkey; monkey.patch_all()
        import json, select
        import gevent
        import django; django.setup()
        from tests.test_near import A, Site, keep
        import redis
        near = Site().near("{redis_server.url}")
        client = redis.Redis.from_url("{redis_server.url}", protocol=2)
        wrong = []
        def work(number):
            for turn in range(50):
                name = A + b"%d" % number
                keep(near, name)
                client.set(name, turn)
                if near.get(name) is not None:
                    wrong.append(number)
        for greenlet in gevent.joinall([gevent.spawn(work, number) for number in range(5)]):
            greenlet.get()
        near.close()
        client.close()
        print(json.dumps([hasattr(select, "epoll"), wrong]))
        """,
        redis_server.url,
    )
    assert found == [False, []]


# Servers that do not track


@contextlib.contextmanager
def refused(shop, url, caplog, count=1):
    with caplog.at_level(logging.WARNING, "django_dripcache"):
        near = shop.near(url, wait=False)
        near.get(A)
        wait_for(lambda: near.stats().status == "refused")
        yield near
        assert near.get(A) is None
        near.fill(near.begin(A), b"1", None)
        assert near.get(A) is None
        assert len([record for record in caplog.records if "stands aside" in record.message]) == count


def test_a_user_who_may_not_track_does_without(start_server, shop, caplog):
    server = start_server()
    with server.client() as client:
        client.acl_setuser("shop", enabled=True, passwords=["+sesame"], keys=["*"], commands=["+@all", "-client"])
        with refused(shop, f"redis://shop:sesame@127.0.0.1:{server.port}/0", caplog) as near:
            assert "NOPERM" in near.stats().reason
            assert "sesame" not in caplog.text
            wait_for(lambda: not trackers(client))


def test_three_rights_more_than_the_cache_needs_are_enough(start_server, shop):
    server = start_server()
    with server.client() as client:
        client.execute_command(*rules("acl-cache"), "+client|tracking", "+subscribe", "&dripcache:*")
        near = shop.near(f"redis://shop:password@127.0.0.1:{server.port}/0")
        keep(near, A)
        client.set(A, 1)
        assert near.get(A) is None


def test_a_user_who_may_not_subscribe_does_without_since_nothing_would_bound_it(start_server, shop, caplog):
    server = start_server()
    with server.client() as client:
        client.acl_setuser("shop", enabled=True, passwords=["+sesame"], keys=["*"], commands=["+@all", "-subscribe"])
        with refused(shop, f"redis://shop:sesame@127.0.0.1:{server.port}/0", caplog) as near:
            assert "NOPERM" in near.stats().reason


def test_a_server_that_does_not_know_resp3_is_done_without_and_asked_again_later(
    start_server, shop, caplog, monkeypatch
):
    monkeypatch.setattr("django_dripcache.near.REFUSED", 0.2)
    server = start_server(rename_command='HELLO ""')
    with refused(shop, server.url, caplog) as near, server.client() as client:
        assert "unknown command" in near.stats().reason
        before = client.info("stats")["total_connections_received"]
        wait_for(lambda: client.info("stats")["total_connections_received"] > before + 2)


def test_one_that_says_it_tracks_and_does_not_tell_is_done_without(redis_server, raw, shop, caplog, monkeypatch):
    monkeypatch.setattr(tracker, "LEASE", 0.2)
    send = Tracker._send

    def lie(self, *commands):
        return send(self, *[command if command[0] != "CLIENT" else ("PING", "lie") for command in commands])

    monkeypatch.setattr(Tracker, "_send", lie)
    with refused(shop, redis_server.url, caplog) as near:
        assert "does not tell" in near.stats().reason


def test_it_does_without_where_hiredis_is_not_installed(redis_server, shop, caplog, monkeypatch):
    monkeypatch.setattr(tracker, "hiredis", None)
    with refused(shop, redis_server.url, caplog) as near:
        assert "hiredis" in near.stats().reason


def test_a_server_that_is_loading_or_a_replica_may_track_later(redis_server, raw, shop, monkeypatch):
    def passing(reason):
        with pytest.raises(redis.ConnectionError):
            tracker._refuse(reason)

    passing("LOADING Redis is loading the dataset in memory")
    passing("READONLY You can't write against a read only replica.")
    with pytest.raises(RefusedError):
        tracker._refuse("ERR unknown command 'CLIENT'")


# Bytes that no server sends that is well


def listening():
    """Return what a tracker makes of the bytes that it is sent."""
    deaf = Tracker.__new__(Tracker)
    deaf._reader = tracker._reader()
    deaf._pings = {b"1": 0.0}
    return lambda data: deaf._parse(data, [])


PIECES = [b"\r\n", b"$10\r\ninvalidate\r\n", b"$1\r\n1\r\n", b"_\r\n", b":1\r\n", b"-ERR\r\n"]
PIECES += [b"%c%d\r\n" % (kind, count) for kind in b">*%~$" for count in (0, 1, 2)]


def test_names_are_told_of_and_what_else_is_pushed_is_not():
    told = listening()
    assert told(b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n>1\r\n$6\r\nothers\r\n>0\r\n") == [b"a", b"b"]
    assert told(b">2\r\n$10\r\ninvalidate\r\n_\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n") is None


@pytest.mark.parametrize(
    "data",
    [
        b"?\r\n",
        b"%1\r\n*0\r\n:1\r\n",
        b">1\r\n$10\r\ninvalidate\r\n",
        b">2\r\n$10\r\ninvalidate\r\n:5\r\n",
        b">2\r\n$10\r\ninvalidate\r\n*1\r\n*1\r\n:1\r\n",
        b">3\r\n$10\r\ninvalidate\r\n*0\r\n*0\r\n",
    ],
)
def test_what_no_server_says_that_is_well_is_a_lost_connection(data):
    with pytest.raises(redis.ConnectionError):
        listening()(data)


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=12).map(b"".join))
def test_whatever_is_said_is_names_or_a_lost_connection_or_a_refusal(data):
    try:
        names = listening()(data)
    except (redis.ConnectionError, RefusedError):
        return
    assert names is None or {type(name) for name in names} <= {bytes}


def test_who_reads_while_no_redis_answers_is_told_nothing_and_it_comes_back(start_server, shop):
    with Proxy(start_server().port) as proxy:
        near = shop.near(proxy.url)
        keep(near, A)
        proxy.become("garbage", text=b"?\r\n")
        wait_for(lambda: near.get(A) is None and near.stats().status == "connecting")
        proxy.become("pass")
        wait_for(lambda: is_live(near))


# Which names


def test_redis_is_asked_for_the_shortest_beginnings_alone(redis_server, raw, shop):
    near = shop.near(
        redis_server.url, patterns=[b"dripcache:d:x:*", b"dripcache:d:*", b"dripcache:s:*", b"dripcache:s:*b"]
    )
    assert near.prefixes == (b"dripcache:d:", b"dripcache:s:")
    keep(near, FAR)
    raw.set(FAR, 1)
    assert near.get(FAR) is None


@pytest.mark.parametrize("glob", [b"", b"*", b"?a", b"[a]b"])
def test_a_pattern_that_begins_with_no_text_would_have_the_server_tell_of_the_broker_and_is_refused(shop, glob):
    with pytest.raises(ConfigurationError, match="begin with a text"):
        shop.near("redis://127.0.0.1:1", wait=False, patterns=[A, glob])


def test_a_pattern_that_cannot_be_read_is_refused(shop):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        shop.near("redis://127.0.0.1:1", wait=False, patterns=[b"a:[z-a]"])


def test_without_names_nothing_is_tracked():
    for prefixes in ([], [b""], [A, b""]):
        with pytest.raises(ValueError, match="Allowed are some, none of them empty"):
            Tracker(None, prefixes, "x", 1)


# Threads, signals, forks


def test_who_comes_while_another_thread_receives_waits_until_it_is_applied(near, raw, monkeypatch):
    keep(near, A)
    receive, received, go_on = Tracker.receive, threading.Event(), threading.Event()

    def slowly(self):
        names = receive(self)
        if names:
            received.set()
            assert go_on.wait(10)
        return names

    monkeypatch.setattr(Tracker, "receive", slowly)
    raw.set(A, 2)
    first = threading.Thread(target=near.get, args=(B,))
    first.start()
    assert received.wait(10)
    found = []
    second = threading.Thread(target=lambda: found.append(near.get(A)))
    second.start()
    second.join(0.1)
    assert second.is_alive()
    go_on.set()
    first.join(10)
    second.join(10)
    assert found == [None]


def test_who_asks_in_the_middle_of_it_as_a_signal_handler_may_is_told_nothing_and_all_is_forgotten(near, raw):
    keep(near, A)

    def handler():
        found = (near.begin(A), near.begin_many([A, B]), near.forget(A), near.clear())
        near.fill(eviction.Ticket(B), b"1", None)
        return found

    assert near._exclusively(handler) == (None, [None, None], None, None)
    assert near.stats().entries == 0
    wait_for(lambda: is_live(near))
    keep(near, A)


def test_an_exception_in_the_middle_of_receiving_empties_it(near, raw, monkeypatch):
    keep(near, A)
    keep(near, B)

    def cut(*names):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(near._entries, "remove", cut)
        raw.set(A, 2)
        with pytest.raises(KeyboardInterrupt):
            near.get(A)
    assert near.get(A) is None
    assert near.get(B) is None
    wait_for(lambda: is_live(near))
    assert near.get(B) is None


def test_a_child_begins_empty_with_a_connection_of_its_own_and_leaves_the_parents_alone(redis_server, raw):
    found = run_python(
        f"""
        import json, os, warnings
        import django; django.setup()
        from tests.test_near import A, B, Site, is_live, keep, trackers
        from tests.processes import wait_for
        import redis
        warnings.simplefilter("ignore", DeprecationWarning)
        shop = Site()
        near = shop.near("{redis_server.url}")
        client = redis.Redis.from_url("{redis_server.url}", protocol=2)
        keep(near, A); keep(near, B)
        pid = os.fork()
        if pid == 0:
            failed = 1
            try:
                assert near.get(A) is None
                assert near.stats().status == "connecting"
                wait_for(lambda: is_live(near))
                keep(near, A)
                with redis.Redis.from_url("{redis_server.url}", protocol=2) as own:
                    own.set(A, 1)
                    assert near.get(A) is None
                    assert len(trackers(own)) == 2
                failed = 0
            finally:
                os._exit(failed)
        child = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        found = [child, near.get(A) is None, near.get(B) is not None, near.stats().status]
        client.set(B, 1)
        found.append(near.get(B) is None)
        client.close(); shop.close()
        print(json.dumps(found))
        """,
        redis_server.url,
    )
    assert found == [0, True, True, "live", True]


def test_a_fork_that_python_was_not_told_of_is_noticed(near, raw, monkeypatch):
    keep(near, A)
    monkeypatch.setattr(near, "_pid", -1)
    raw.set(B, 1)
    assert near.get(A) is None
    wait_for(lambda: is_live(near))
    keep(near, A)


def test_threads_may_do_everything_at_once(near, raw):
    def work(number):
        for turn in range(300):
            name = b"dripcache:d:%d" % (turn % 7)
            entry = near.get(name)
            if entry is None:
                near.fill(near.begin(name), b"%d" % turn, None)
            if turn % 20 == number:
                near.forget(name)
            if turn % 50 == number:
                raw.set(name, turn)
        return True

    assert in_threads(6, work) == [True] * 6
    near.clear()
    assert near.stats().bytes == 0


def test_its_figures_can_be_shown(near, raw):
    keep(near, A, b"x" * 100)
    before = near.stats()
    raw.set(B, 1)
    near.get(A)
    after = near.stats()
    assert (before.entries, before.evictions, before.status, before.reason) == (1, 0, "live", "")
    assert before.bytes > 100 + len(A)
    assert after.invalidations == before.invalidations + 1
    assert json.dumps([after.entries, after.bytes])
