"""One bounded pool for the threads of a process, one for each event loop, on real servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import ssl
import sys
import threading
import time
from unittest import mock
from urllib.parse import quote

import pytest
import redis
import redis.asyncio as aioredis
import trustme
from asgiref.sync import async_to_sync
from billiard.exceptions import SoftTimeLimitExceeded
from django.core.cache import cache, caches
from django.test import override_settings
from django_redis import get_redis_connection

from django_dripcache import CacheManager
from django_dripcache.broker import from_url
from django_dripcache.connections import close_all, find_server, get_server, locate
from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.pools import MAX_CONNECTIONS, SOCKET_TIMEOUT, PoolOptions
from django_dripcache.server import Server
from django_dripcache.sockets import bytes_packer
from django_dripcache.testing.server import RedisServer, free_port

from .processes import (
    PATIENT,
    Watched,
    Wire,
    in_threads,
    named,
    needs_server,
    run_python,
    site,
    tls_only,
    tls_url,
    wait_for,
)

pytestmark = needs_server

QUICK = 0.6
"""What a call may cost while Redis is away: its own budget, and what a busy machine adds to it."""

SPECIAL = "".join(chr(code) for code in range(0x21, 0x7F)) + " äß€"


@contextlib.contextmanager
def quickly(limit=QUICK):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < limit


def pool_of(alias="default"):
    return caches[alias].client.server.pool


def places(pool):
    """Return how many connections of an idle pool can be lent at once."""
    taken = []
    with mock.patch.object(pool, "timeout", 0.01):
        try:
            while True:
                taken.append(pool.get_connection())
        except redis.ConnectionError:
            return len(taken)
        finally:
            for connection in taken:
                pool.release(connection)


def is_whole(pool):
    """Tell whether no place of an idle pool was lost."""
    return places(pool) == pool.max_connections


# Ways to connect


@pytest.mark.far("it counts connections")
def test_a_value_travels_over_tcp_on_one_connection(redis_server, raw, drive):
    with site(redis_server.url) as backend:
        for number in range(20):
            assert drive(backend).set(f"k{number}", {"n": number})
            assert drive(backend).get(f"k{number}") == {"n": number}
        assert len(named(raw)) == 1


@pytest.mark.far("it counts connections")
def test_a_value_travels_over_a_unix_socket(tmp_path, start_server, drive):
    server = start_server(unixsocket=str(tmp_path / "redis.sock"))
    with site(f"unix://{tmp_path}/redis.sock?db=3") as backend, server.client() as look:
        assert drive(backend).set("a", [1])
        assert drive(backend).get("a") == [1]
        ours = [client for client in look.client_list() if client["name"].startswith("dripcache:")]
        assert [client["db"] for client in ours] == ["3"]
        assert ours[0]["addr"].startswith("/")


def test_every_special_character_in_users_and_passwords_reaches_the_server(redis_server, raw, drive):
    user = SPECIAL.replace(" ", "")
    raw.acl_setuser(user, enabled=True, passwords=[f"+{SPECIAL}"], commands=["+@all"], keys=["*"])
    url = f"redis://{quote(user, safe='')}:{quote(SPECIAL, safe='')}@127.0.0.1:{redis_server.port}/4"
    try:
        with site(url) as backend:
            assert drive(backend).set("a", 1)
            assert drive(backend).get("a") == 1
            assert {client["user"] for client in raw.client_list() if client["name"].startswith("dripcache:")} == {user}
    finally:
        raw.acl_deluser(user)


def test_a_password_alone_is_enough(start_server, drive):
    server = start_server()
    with server.client() as admin:
        admin.config_set("requirepass", SPECIAL)
    with site(f"redis://:{quote(SPECIAL, safe='')}@127.0.0.1:{server.port}/2") as backend:
        assert drive(backend).set("a", 1)
        assert drive(backend).get("a") == 1


def test_a_user_whose_rights_end_at_our_prefix_can_use_every_part_of_the_cache(redis_server, raw, drive):
    raw.acl_setuser(
        "narrow", enabled=True, passwords=["+pw"], commands=["+@all", "-@dangerous", "-@admin"], keys=["dripcache:*"]
    )
    try:
        with site(redis_server.url.replace("://", "://narrow:pw@"), {**PATIENT, "ON_OUTAGE": "raise"}) as backend:
            driven = drive(backend)
            driven.set("a", 1)
            assert driven.incr("a") == 2
            driven.set_many({"b": 1, "c": 2})
            assert driven.delete_pattern("*") == 3
            driven.clear()
    finally:
        raw.acl_deluser("narrow")


def test_a_user_who_may_not_name_connections_can_cache_all_the_same(redis_server, raw, drive):
    """Names are a convenience; a frugal ACL, or a proxy, has no CLIENT."""
    raw.acl_setuser("frugal", enabled=True, passwords=["+pw"], commands=["+@all", "-client"], keys=["*"])
    try:
        with site(redis_server.url.replace("://", "://frugal:pw@")) as backend:
            assert drive(backend).set("a", 1)
            assert drive(backend).get("a") == 1
    finally:
        raw.acl_deluser("frugal")


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    with tls_only(tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.mark.far("it counts connections")
def test_a_value_travels_over_tls_that_both_sides_verify(tls_server, drive):
    with site(tls_url(tls_server)) as backend, tls_server.client() as look:
        assert drive(backend).set("a", 1)
        assert drive(backend).get("a") == 1
        ours = [client for client in look.client_list() if client["name"].startswith("dripcache:")]
        assert [client["laddr"].rpartition(":")[2] for client in ours] == [str(tls_server.tls_port)]


@pytest.mark.parametrize("fault", ["another authority", "another host", "no certificate of ours"])
def test_tls_that_cannot_be_verified_is_no_connection(tls_server, drive, tmp_path, fault):
    url = tls_url(tls_server)
    if fault == "another authority":
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
        url = tls_url(tls_server, ssl_ca_certs=tmp_path / "ca.pem")
    elif fault == "another host":
        url = tls_url(tls_server, host="127.0.0.2")
    else:
        url = f"rediss://127.0.0.1:{tls_server.tls_port}/2?ssl_ca_certs={tls_server.directory}/ca.pem"
    with site(url) as backend, quickly(1.0):
        assert drive(backend).set("a", 1) is False
        assert drive(backend).get("a", "fallback") == "fallback"


def test_plaintext_is_not_spoken_to_a_tls_port(tls_server):
    with site(f"redis://127.0.0.1:{tls_server.tls_port}/2", {}) as backend, quickly(1.0):
        assert backend.get("a", "fallback") == "fallback"


def test_the_dict_of_broker_use_ssl_connects(tls_server, drive):
    asked = {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_ca_certs": str(tls_server.directory / "ca.pem"),
        "ssl_certfile": str(tls_server.directory / "cert.pem"),
        "ssl_keyfile": str(tls_server.directory / "key.pem"),
    }
    url = f"rediss://localhost:{tls_server.tls_port}/2"
    with override_settings(CELERY_BROKER_USE_SSL=asked), site(None, CELERY_BROKER_URL=url) as backend:
        assert drive(backend).set("a", 1)
        assert drive(backend).get("a") == 1


@pytest.mark.parametrize(("asked", "kept"), [("yes", True), ("no", False)])
def test_keepalive_is_set_on_the_socket_as_asked(redis_server, asked, kept):
    broker = from_url(f"{redis_server.url}?socket_keepalive={asked}", "x")
    server = Server(broker, PoolOptions.of(broker, {}))
    connection = server.pool.get_connection()
    try:
        assert bool(connection._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is kept
    finally:
        server.pool.release(connection)
        server.close()


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "unix:///s", "sentinel://h?master_name=m"])
def test_every_kind_of_connection_has_our_short_timeouts(url):
    async def make():
        return (await server.async_pool()).make_connection()

    server = Server(from_url(url, "x"), PoolOptions())
    in_a_thread, on_a_loop = server.pool.make_connection(), asyncio.run(make())
    assert in_a_thread.socket_timeout == SOCKET_TIMEOUT
    assert on_a_loop.socket_timeout is None  # the deadline of the driver bounds the whole call
    for connection in (in_a_thread, on_a_loop):
        assert connection.socket_connect_timeout == SOCKET_TIMEOUT


# Names


@pytest.mark.far("it counts connections")
def test_connections_tell_their_role_and_process(redis_server, raw):
    with site(redis_server.url) as backend:
        backend.get("a")

        async def look():
            await backend.aget("a")
            return named(raw)

        assert sorted(asyncio.run(look())) == [f"dripcache:async:{os.getpid()}", f"dripcache:pool:{os.getpid()}"]


def test_the_first_part_of_the_name_is_celerys_client_name(redis_server, raw):
    with site(f"{redis_server.url}?client_name=shop") as backend:
        backend.get("a")
        assert f"shop:pool:{os.getpid()}" in [client["name"] for client in raw.client_list()]


def test_no_connection_speaks_resp3_or_asks_for_maintenance_notifications(redis_server, raw):
    with site(redis_server.url) as backend:
        backend.set("a", 1)
        assert pool_of().get_protocol() == 2
        assert not pool_of().maint_notifications_enabled()
        raw.config_resetstat()
        pool_of().disconnect()
        backend.set("a", 2)
        commands = {name.removeprefix("cmdstat_") for name in raw.info("commandstats")}
    assert "hello" not in commands
    assert "client|setname" in commands or "client" in commands
    assert not commands & {"client|setinfo", "client|maint_notifications"}


# The cap


@pytest.mark.far("it counts connections")
def test_sixteen_threads_share_four_connections_without_an_error(redis_server, raw):
    options = {**PATIENT, "MAX_CONNECTIONS": 4, "ON_OUTAGE": "raise"}
    most = []
    with site(redis_server.url, options):

        def work(number):
            backend = caches["default"]
            for turn in range(60):
                backend.set(f"{number}", turn)
                assert backend.get(f"{number}") == turn
                if turn % 20 == 0:
                    most.append(len(named(raw)))

        in_threads(16, work)
        assert is_whole(pool_of())
        assert len(named(raw)) <= 4
    assert max(most) <= 4
    assert max(most) > 1


@pytest.mark.far("it counts connections")
def test_the_cap_holds_however_threads_take_turns(redis_server, raw):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(_):
        for _turn in range(150):
            pool_of().release(pool_of().get_connection())

    try:
        with site(redis_server.url, {**PATIENT, "MAX_CONNECTIONS": 3}):
            in_threads(12, work)
            assert places(pool_of()) == 3
            assert len(named(raw)) == 3
    finally:
        sys.setswitchinterval(interval)


def test_all_aliases_of_one_server_share_its_pool(redis_server, raw):
    one = {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": redis_server.url}
    with override_settings(CACHES={"default": one, "other": {**one, "KEY_PREFIX": "o", "TIMEOUT": 5}}, DRIPCACHE={}):
        try:
            caches["default"].set("a", 1)
            caches["other"].set("a", 2)
            assert CacheManager("other").set("a", 3)
            assert pool_of("default") is pool_of("other")
            assert len(named(raw)) == 1
            assert caches["default"].get("a") == 1
        finally:
            close_all()


def test_two_databases_have_two_pools_and_never_each_others_values(redis_server):
    one = {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": redis_server.url}
    with override_settings(
        CACHES={"default": one, "other": {**one, "LOCATION": redis_server.url[:-1] + "5"}}, DRIPCACHE={}
    ):
        try:
            caches["default"].set("a", 1)
            assert caches["other"].get("a") is None
            assert pool_of("default") is not pool_of("other")
        finally:
            caches["other"].clear()
            close_all()


def test_a_call_waits_for_a_connection_that_comes_back_in_time(redis_server):
    with site(redis_server.url, {**PATIENT, "MAX_CONNECTIONS": 1, "ON_OUTAGE": "raise"}) as backend:
        backend.set("a", 1)
        taken = pool_of().get_connection()
        timer = threading.Timer(0.15, lambda: pool_of().release(taken))
        timer.start()
        began = time.monotonic()
        assert backend.get("a") == 1
        assert 0.1 < time.monotonic() - began < 1
        timer.join()


def test_a_call_that_finds_no_connection_in_time_falls_back_and_harms_nobody(redis_server, drive):
    with site(redis_server.url, {"MAX_CONNECTIONS": 1, "POOL_WAIT": 0.05}) as backend:
        backend.set("a", 1)
        taken = pool_of().get_connection()
        with quickly():
            assert backend.get("a", "fallback") == "fallback"
        pool_of().release(taken)
        assert backend.get("a") == 1


def test_a_hundred_tasks_of_one_loop_share_two_connections(redis_server, raw):
    with site(redis_server.url, {**PATIENT, "MAX_CONNECTIONS": 2, "ON_OUTAGE": "raise"}) as backend:

        async def one(number):
            await backend.aset(f"{number}", number)
            return await backend.aget(f"{number}")

        async def main():
            values = await asyncio.gather(*(one(number) for number in range(100)))
            return values, len(named(raw, "async"))

        values, connections = asyncio.run(main())
    assert values == list(range(100))
    assert connections <= 2


@pytest.mark.far("it counts connections")
def test_the_cap_holds_by_default(redis_server, raw):
    with site(redis_server.url):
        assert pool_of().max_connections == MAX_CONNECTIONS
        gate = threading.Barrier(MAX_CONNECTIONS + 10)

        def work(_):
            gate.wait(10)
            for _turn in range(10):
                caches["default"].get("a")

        in_threads(MAX_CONNECTIONS + 10, work)
        assert len(named(raw)) <= MAX_CONNECTIONS


# Interrupts


@pytest.mark.far("it counts connections")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("reply", [1, 2, 3])
def test_a_handshake_cut_by_an_interrupt_never_leaves_a_connection_on_database_0(
    redis_server, raw, monkeypatch, reply, when
):
    raw.acl_setuser("cut", enabled=True, passwords=["+pw"], commands=["+@all"], keys=["*"])
    url = f"redis://cut:pw@127.0.0.1:{redis_server.port}/3"
    real, seen = redis.connection.AbstractConnection.read_response, []

    def cut(self, *args, **kwargs):
        seen.append(self)
        if len(seen) == reply and when == "before":
            raise KeyboardInterrupt
        answer = real(self, *args, **kwargs)
        if len(seen) == reply:
            raise KeyboardInterrupt
        return answer

    try:
        with site(url, {**PATIENT, "MAX_CONNECTIONS": 1, "ON_OUTAGE": "raise"}) as backend:
            monkeypatch.setattr(redis.connection.AbstractConnection, "read_response", cut)
            with pytest.raises(KeyboardInterrupt):
                backend.set("a", "cut")
            assert is_whole(pool_of())
            for number in range(5):
                backend.set(f"k{number}", number)
                assert backend.get(f"k{number}") == number
            assert len(named(raw)) == 1
            assert raw.dbsize() == 0
            backend.clear()
    finally:
        raw.acl_deluser("cut")
    assert len(seen) > 3


@pytest.mark.far("it counts connections")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("reply", [1, 2, 3])
def test_an_asynchronous_handshake_cut_by_cancellation_never_leaves_a_connection_on_database_0(
    redis_server, raw, monkeypatch, reply, when
):
    raw.acl_setuser("cut", enabled=True, passwords=["+pw"], commands=["+@all"], keys=["*"])
    url = f"redis://cut:pw@127.0.0.1:{redis_server.port}/3"
    connection = aioredis.connection.AbstractConnection
    real, seen = connection.read_response, []

    async def cut(self, *args, **kwargs):
        seen.append(self)
        if len(seen) == reply and when == "before":
            raise asyncio.CancelledError
        answer = await real(self, *args, **kwargs)
        if len(seen) == reply:
            raise asyncio.CancelledError
        return answer

    async def main(backend):
        with pytest.raises(asyncio.CancelledError):
            await backend.aset("a", "cut")
        for number in range(5):
            await backend.aset(f"k{number}", number)
            assert await backend.aget(f"k{number}") == number
        assert len(named(raw)) == 1
        assert raw.dbsize() == 0
        await backend.aclear()

    try:
        with site(url, {**PATIENT, "MAX_CONNECTIONS": 1, "ON_OUTAGE": "raise"}) as backend:
            monkeypatch.setattr(connection, "read_response", cut)
            asyncio.run(main(backend))
    finally:
        raw.acl_deluser("cut")
    assert len(seen) > 3


INTERRUPTED = """
    import collections, gc, json, os, random, signal, threading, time
    import django; django.setup()
    from tests.processes import be_patient; be_patient()
    from billiard.exceptions import SoftTimeLimitExceeded
    from django.core.cache import caches
    from tests.test_connections import places

    def cut(*_): raise SoftTimeLimitExceeded

    backend = caches["default"]
    people = ["alice", "bob", "carol"]
    for person in people:
        backend.set(person, person, 600)
    backend.set("number", 1, 600)
    pool = backend.client.server.pool
    count, turns, at = collections.Counter(), [0, 0], random.Random(7)
    stop = threading.Event()

    def tell(**more):
        print(json.dumps({**count, "turns": turns, "max": pool.max_connections, **more}), flush=True)
        os._exit(0)

    def watch():
        seen = None
        while seen is None or all(now != before for now, before in zip(turns, seen)):
            seen = list(turns)
            time.sleep(1.5)
        tell(hung=True)

    def beside():
        other = caches["default"]
        while not stop.is_set():
            turns[1] += 1
            if other.get("dave", "miss") != "miss":
                count["wrong"] += 1
            time.sleep(0.0005)

    neighbour = threading.Thread(target=beside, daemon=True)
    neighbour.start()
    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGALRM, cut)
    end = time.monotonic() + 6
    while turns[0] < 4000 and time.monotonic() < end:
        turns[0] += 1
        person = people[turns[0] % 3]
        try:
            signal.setitimer(signal.ITIMER_REAL, at.uniform(1e-6, 300e-6))
            try:
                if turns[0] % 10 == 0:
                    backend.touch("number", 600)
                if turns[0] % 40 == 0:
                    pool.disconnect()
                value = backend.get(person, "miss")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except SoftTimeLimitExceeded:
            count["cut"] += 1
            continue
        count["right" if value == person else "missed" if value == "miss" else "wrong"] += 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    stop.set()
    neighbour.join(1)
    gc.collect()
    while backend.get("bob") is None and time.monotonic() < end + 3:
        turns[0] += 1
        turns[1] += 1
        time.sleep(0.05)
    while places(pool) < pool.max_connections and time.monotonic() < end + 4:
        gc.collect()  # the last exceptions may hold on to a connection for a moment
        backend.get("bob")
        time.sleep(0.05)
    tell(hung=neighbour.is_alive(), after=backend.get("bob"), places=places(pool))
"""


@pytest.fixture(scope="module")
def interrupted(redis_server):
    """Some thousand calls, most of them cut by a signal at any moment, as a soft time limit of Celery cuts them."""
    with redis_server.client() as look:
        found = run_python(INTERRUPTED, redis_server.url[:-1] + "3", timeout=20)
        ours = (b":alice", b":bob", b":carol", b":number")
        found["database 0"] = [name for name in look.scan_iter("*:d:*") if name.endswith(ours)]
        with redis.Redis(port=redis_server.port, db=3) as third:
            third.delete(*third.scan_iter("*"))
    assert found["cut"] > 100
    return found


def test_a_call_cut_by_a_signal_never_leaves_its_reply_for_the_next_caller(interrupted):
    assert "wrong" not in interrupted


def test_calls_cut_by_signals_never_write_to_database_0(interrupted):
    assert interrupted["database 0"] == []


def test_calls_cut_by_signals_never_stop_the_pool_for_ever(interrupted):
    assert not interrupted["hung"]


def test_calls_cut_by_signals_lose_no_place_in_the_pool(interrupted):
    assert interrupted.get("places") == interrupted["max"]


def test_calls_cut_by_signals_remove_no_value(interrupted):
    assert interrupted.get("missed", 0) < 20  # for a moment, the breaker may be open


def test_a_call_is_right_after_thousands_that_were_cut(interrupted):
    assert interrupted.get("after") == "bob"


def reach_the_limit():
    raise SoftTimeLimitExceeded


class Slow:
    """An object that takes too long to unpickle."""

    def __reduce__(self):
        return reach_the_limit, ()


def test_a_soft_time_limit_reached_while_a_value_is_unpickled_ends_the_task_and_keeps_the_value(
    redis_server, raw, drive
):
    with site(redis_server.url) as backend:
        backend.set("a", Slow())
        before = raw.keys()
        with pytest.raises(SoftTimeLimitExceeded):
            drive(backend).get("a")
        assert raw.keys() == before


def test_cancelled_tasks_leave_right_values_and_a_whole_pool(redis_server, raw):
    people = ["alice", "bob", "carol"]
    counted = {"cancelled": 0, "right": 0}
    at = random.Random(5)

    async def ask(backend, person):
        assert await backend.aget(person, "miss") == person

    async def main(backend):
        for person in people:
            await backend.aset(person, person, 600)
        for turn in range(600):
            task = asyncio.create_task(ask(backend, people[turn % 3]))
            for _ in range(at.randrange(6)):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                counted["cancelled"] += 1
            else:
                counted["right"] += 1
        await asyncio.gather(*(ask(backend, people[turn % 3]) for turn in range(60)))
        return len(named(raw, "async"))

    with site(redis_server.url, {**PATIENT, "MAX_CONNECTIONS": 3, "ON_OUTAGE": "raise"}) as backend:
        assert asyncio.run(main(backend)) <= 3
    assert counted["cancelled"] > 50
    wait_for(lambda: named(raw) == [], 2)


# Replies that are lost, and what is not sent twice


@pytest.mark.parametrize("cut", [False, True], ids=["silent", "cut"])
def test_an_incr_whose_reply_was_lost_counts_once(redis_server, raw, drive, cut):
    with Wire(redis_server.port) as wire, site(f"redis://127.0.0.1:{wire.port}/0", {}) as backend:
        driven = drive(backend)
        driven.set("number", 10)
        assert driven.incr("number") == 11
        wire.lose(b"EVALSHA", cut=cut)
        with pytest.raises(ValueError, match="number"), quickly():
            driven.incr("number")
        assert wire.seen == 1
        assert driven.get("number") == 12


@pytest.mark.parametrize("cut", [False, True], ids=["silent", "cut"])
def test_no_write_is_sent_again_after_its_reply_was_lost(redis_server, raw, drive, cut):
    with Wire(redis_server.port) as wire, site(f"redis://127.0.0.1:{wire.port}/0", {}) as backend:
        driven, manager = drive(backend), drive(CacheManager())
        manager.incr("b")  # the server has its script from here on
        for word, write in {
            b"SET": lambda: driven.set("a", 1),
            b"PEXPIRE": lambda: driven.touch("a", 5),
            b"UNLINK": lambda: driven.delete("a"),
            b"EVALSHA": lambda: manager.incr("b"),
        }.items():
            wire.lose(word, cut=cut)
            with contextlib.suppress(ValueError), quickly():
                assert not write()
            assert wire.seen == 1, word
        assert manager.get("b") == 2


def test_redis_pys_own_verbs_over_the_pool_do_not_send_again_either(redis_server, raw):
    with Wire(redis_server.port) as wire, site(f"redis://127.0.0.1:{wire.port}/0", {}) as backend:
        backend.get("warm")
        wire.lose(b"INCRBY")
        with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
            get_redis_connection("default").incr("plain")
        assert wire.seen == 1
        assert int(raw.get("plain")) == 1
        wire.lose(b"EVALSHA")
        with contextlib.suppress(redis.RedisError, CacheUnavailableError):
            backend.sadd("members", "a")
        assert wire.seen == 1


def test_a_call_of_redis_py_cut_between_sending_and_reading_leaves_no_reply_for_the_next_one(
    redis_server, raw, monkeypatch
):
    """The reply is still on its way when the next call takes the connection: there is nothing to see on its socket."""
    with site(redis_server.url, {**PATIENT, "MAX_CONNECTIONS": 1}):
        client = get_redis_connection("default")
        client.set("alice", "alice")
        client.set("bob", "bob")
        real = redis.connection.AbstractConnection.read_response

        def cut(self, *args, **kwargs):
            monkeypatch.setattr(redis.connection.AbstractConnection, "read_response", real)
            raise KeyboardInterrupt

        raw.client_pause(400)
        monkeypatch.setattr(redis.connection.AbstractConnection, "read_response", cut)
        with pytest.raises(KeyboardInterrupt):
            client.get("alice")
        assert client.get("bob") == b"bob"


def test_a_reply_that_comes_too_late_is_nobody_elses(redis_server, raw, drive):
    with site(redis_server.url, {"MAX_CONNECTIONS": 1}) as backend:
        driven = drive(backend)
        driven.set("a", "alice")
        driven.set("b", "bob")
        raw.client_pause(400)
        assert driven.get("a", "late") == "late"
        wait_for(lambda: driven.get("b", "late") != "late", 3)
        assert [driven.get(key) for key in "abab"] == ["alice", "bob", "alice", "bob"]


# Packing


@pytest.mark.parametrize("form", ["tcp", "unix", "tls", "sentinel"])
def test_numbers_are_bytes_before_they_are_packed_on_every_kind_of_connection(form):
    url = {
        "tcp": "redis://h",
        "unix": "unix:///s",
        "tls": "rediss://h",
        "sentinel": "sentinel://h?master_name=m",
    }[form]
    connection = Server(from_url(url, "x"), PoolOptions()).pool.make_connection()
    ours = type(connection._command_packer)
    assert ours is type(bytes_packer(connection))
    packed = []

    class Spy(ours.__base__):
        def pack(self, *args):
            packed.extend(args)
            return super().pack(*args)

    class Watched(ours, Spy):
        pass

    sent = b"".join(Watched().pack("PEXPIRE", b"k", 5000, -1, 2**63 - 1, 1.5))
    assert sent.startswith(b"*6\r\n$7\r\nPEXPIRE\r\n$1\r\nk\r\n$4\r\n5000\r\n")
    assert packed == ["PEXPIRE", b"k", b"5000", b"-1", b"%d" % (2**63 - 1), 1.5]


def test_numbers_are_bytes_before_they_are_packed_on_an_event_loop():
    async def main():
        server = Server(from_url("redis://h", "x"), PoolOptions())
        connection = (await server.async_pool()).make_connection()
        return b"".join(connection.pack_commands([("PEXPIRE", b"k", 5000)]))

    assert asyncio.run(main()) == b"*3\r\n$7\r\nPEXPIRE\r\n$1\r\nk\r\n$4\r\n5000\r\n"


# Forks


@pytest.mark.far("it counts connections")
def test_parent_and_children_use_the_cache_at_once_on_connections_of_their_own(redis_server, raw):
    found = run_python(
        """
        import json, os, time
        import django; django.setup()
        from tests.processes import be_patient; be_patient()
        from django.core.cache import cache, caches
        import redis

        cache.set("before", "fork", 60)

        def socket():
            pool = caches["default"].client.server.pool
            connection = pool.get_connection()
            try:
                return os.fstat(connection._sock.fileno()).st_ino
            finally:
                pool.release(connection)

        before = socket()
        ready, go = os.pipe(), os.pipe()
        children = []
        for number in range(4):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    assert socket() != before, "the child has the connection of its parent"
                    for turn in range(200):
                        assert cache.set(f"k{number}", turn, 60)
                        assert cache.get(f"k{number}") == turn
                    assert cache.get("before") == "fork"
                    os.write(ready[1], b"x")
                    os.read(go[0], 1)
                    code = 0
                finally:
                    os._exit(code)
            children.append(pid)
        for turn in range(200):
            assert cache.set("parent", turn, 60)
            assert cache.get("parent") == turn
        done = b""
        while len(done) < 4:
            done += os.read(ready[0], 4)
        port = int(os.environ["DRIPCACHE_TEST_URL"].rsplit(":", 1)[1].split("/")[0])
        with redis.Redis(port=port) as look:
            names = sorted(client["name"] for client in look.client_list() if client["name"].startswith("dripcache"))
        os.write(go[1], b"xxxx")
        codes = [os.waitpid(pid, 0)[1] for pid in children]
        pids = [os.getpid(), *children]
        print(json.dumps({"names": names, "pids": pids, "codes": codes, "kept": socket() == before}))
        """,
        redis_server.url,
    )
    assert found["codes"] == [0] * 4
    assert found["kept"]
    assert found["names"] == sorted(f"dripcache:pool:{pid}" for pid in found["pids"])


def test_forks_amid_the_calls_of_threads_neither_hang_nor_mix_values(redis_server, raw):
    found = run_python(
        """
        import json, os, signal, threading, time
        import django; django.setup()
        from tests.processes import be_patient; be_patient()
        from django.core.cache import caches

        stop, wrong, turns = threading.Event(), [], [0] * 4

        def hammer(number):
            backend = caches["default"]
            while not stop.is_set():
                turns[number] += 1
                backend.set(f"t{number}", turns[number], 60)
                value = backend.get(f"t{number}")
                if value != turns[number]:
                    wrong.append((number, turns[number], value))

        threads = [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
        caches["default"].get("warm")  # what is imported late is imported by now
        for thread in threads:
            thread.start()
        while min(turns) < 10:
            time.sleep(0.01)
        codes = []
        for number in range(12):
            pid = os.fork()
            if pid == 0:
                signal.alarm(8)
                code = 1
                try:
                    backend = caches["default"]
                    for turn in range(20):
                        assert backend.set(f"c{number}", turn, 60)
                        assert backend.get(f"c{number}") == turn
                    code = 0
                finally:
                    os._exit(code)
            codes.append(os.waitpid(pid, 0)[1])
        stop.set()
        for thread in threads:
            thread.join()
        print(json.dumps({"codes": codes, "wrong": wrong, "least": min(turns)}))
        """,
        redis_server.url,
    )
    assert found["codes"] == [0] * 12
    assert found["wrong"] == []
    assert found["least"] > 10


def test_a_fork_out_of_an_event_loop_leaves_the_loop_of_the_parent_alone(redis_server, raw):
    found = run_python(
        """
        import asyncio, json, os
        import django; django.setup()
        from tests.processes import be_patient; be_patient()
        from django.core.cache import cache

        async def main():
            await cache.aset("a", "parent", 60)
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    async def other():
                        await cache.aset("b", "child", 60)
                        assert await cache.aget("a") == "parent"
                    asyncio._set_running_loop(None)
                    asyncio.new_event_loop().run_until_complete(other())
                    assert cache.get("b") == "child"
                    code = 0
                finally:
                    os._exit(code)
            values = [await cache.aget("a") for _ in range(20)]
            status = os.waitpid(pid, 0)[1]
            return status, {*values, await cache.aget("a")}, await cache.aget("b")

        status, values, other = asyncio.run(main())
        print(json.dumps([status, sorted(values), other]))
        """,
        redis_server.url,
    )
    assert found == [0, ["parent"], "child"]


# Failover lists


def failover(*servers):
    return ";".join(f"redis://127.0.0.1:{server if isinstance(server, int) else server.port}/0" for server in servers)


def test_the_second_address_serves_while_the_first_is_down(start_server, drive):
    second = start_server()
    with site(failover(free_port(), second)) as backend, quickly():
        assert drive(backend).set("a", 1)
        assert drive(backend).get("a") == 1
        with second.client() as look:
            assert look.dbsize() == 1


def test_the_second_address_takes_over_when_the_first_dies_and_the_first_when_it_is_back(start_server, drive):
    first, second = start_server(), start_server()
    with site(failover(first, second)) as backend:
        driven = drive(backend)
        assert driven.set("a", 1)
        with second.client() as look:
            assert look.dbsize() == 0
        first.kill()
        wait_for(lambda: driven.set("a", 2), 2)
        assert driven.get("a") == 2
        with second.client() as look:
            assert look.dbsize() == 1
        again = RedisServer(port=first.port).start()
        try:
            assert driven.get("a") == 2, "it stays where it is while that works"
            second.kill()
            wait_for(lambda: driven.set("a", 3), 2)
            with again.client() as look:
                assert look.dbsize() == 1
        finally:
            again.stop()


@pytest.mark.far("it counts connections")
def test_a_whole_pool_moves_to_the_next_address_and_no_call_reads_from_the_one_before(start_server):
    first, second = start_server(), start_server()
    with (
        site(failover(first, second)) as backend,
        first.client() as one,
        second.client() as two,
    ):
        gate = threading.Barrier(6)

        def warm(_):
            connection = pool_of().get_connection()
            gate.wait(5)
            pool_of().release(connection)

        in_threads(6, warm)
        assert len(named(one)) == 6
        first.kill()
        wait_for(lambda: backend.set("a", 1), 2)
        assert in_threads(6, lambda _: [caches["default"].get("a") for _ in range(20)]) == [[1] * 20] * 6
        assert len(named(two)) <= 6


def test_an_address_that_accepts_and_never_answers_is_passed_over_too(start_server, drive):
    first, second = start_server(), start_server()
    with site(failover(first, second), {}) as backend:
        first.pause()
        wait_for(lambda: drive(backend).set("a", 1), 3)
        with second.client() as look:
            assert look.dbsize() == 1


def test_each_address_of_a_failover_list_keeps_its_own_database_and_password(start_server, drive):
    second = start_server()
    with second.client() as admin:
        admin.acl_setuser("app", enabled=True, passwords=["+pw"], commands=["+@all"], keys=["*"])
    with site(f"redis://:other@127.0.0.1:{free_port()}/1;redis://app:pw@127.0.0.1:{second.port}/7") as backend:
        assert drive(backend).set("a", 1)
        with redis.Redis(port=second.port, db=7) as look:
            assert look.dbsize() == 1


def test_unix_sockets_in_a_failover_list_are_tried_in_turn(start_server, tmp_path, drive):
    start_server(unixsocket=str(tmp_path / "second.sock"))
    with site(f"unix://{tmp_path}/first.sock;unix://{tmp_path}/second.sock?db=0") as backend:
        assert drive(backend).set("a", 1)
        assert drive(backend).get("a") == 1


def test_when_every_address_is_down_the_fallback_comes_quickly(drive):
    with site(failover(free_port(), free_port(), free_port())) as backend, quickly():
        assert drive(backend).get("a", "fallback") == "fallback"


# Sentinel


@pytest.fixture
def watched(start_server, tmp_path):
    guarded = Watched(start_server, tmp_path)
    yield guarded
    guarded.stop()


def test_sentinel_is_asked_for_the_master_and_a_failover_heals_within_seconds(watched):
    async def over_the_loop(backend):
        assert await backend.aset("loop", 1)
        watched.master.kill()
        deadline = time.monotonic() + 10
        while not await backend.aset("loop", 2):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        return await backend.aget("loop")

    with site(f"{watched.url()}?master_name=shop") as backend:
        assert backend.set("a", 1)
        with watched.master.client() as look:
            assert len(named(look, "pool")) == 1
        assert asyncio.run(over_the_loop(backend)) == 2
        wait_for(lambda: backend.set("a", 2), 3)
        assert backend.get("a") == 2
        with watched.replica.client() as look:
            assert look.info("replication")["role"] == "master"
            assert len(named(look, "pool")) == 1


@pytest.mark.far("it counts connections")
def test_the_pool_behind_sentinel_is_bounded_and_blocks(watched):
    with site(f"{watched.url()}?master_name=shop", {**PATIENT, "MAX_CONNECTIONS": 2, "ON_OUTAGE": "raise"}):

        def work(number):
            for turn in range(30):
                caches["default"].set(f"{number}", turn)
                assert caches["default"].get(f"{number}") == turn

        in_threads(8, work)
        with watched.master.client() as look:
            assert 1 <= len(named(look)) <= 2
        assert is_whole(pool_of())


def test_a_dead_sentinel_in_the_list_costs_little(watched, drive):
    with site(f"{watched.url(free_port(), free_port())}?master_name=shop") as backend, quickly():
        assert drive(backend).set("a", 1)


def test_without_any_sentinel_the_fallback_comes_quickly(drive):
    url = f"sentinel://127.0.0.1:{free_port()};sentinel://127.0.0.1:{free_port()}?master_name=shop"
    with site(url) as backend, quickly():
        assert drive(backend).get("a", "fallback") == "fallback"


def test_a_name_that_sentinel_does_not_know_falls_back(watched, drive):
    with site(f"{watched.url()}?master_name=other") as backend, quickly():
        assert drive(backend).get("a", "fallback") == "fallback"


def test_sentinels_with_a_password_of_their_own_are_asked_with_it(start_server, tmp_path, drive):
    guarded = Watched(start_server, tmp_path, password="sesame")
    options = {"master_name": "shop", "sentinel_kwargs": {"password": "sesame"}}
    try:
        with site(None, CELERY_BROKER_URL=guarded.url(), CELERY_BROKER_TRANSPORT_OPTIONS=options) as backend:
            assert drive(backend).set("a", 1)
            assert drive(backend).get("a") == 1
    finally:
        guarded.stop()


def test_an_event_loop_leaves_no_connection_to_a_sentinel_behind(watched):
    with site(f"{watched.url()}?master_name=shop") as backend:
        before = len(watched.client.client_list())
        for number in range(3):
            assert async_to_sync(backend.aset)("a", number)
        wait_for(lambda: len(watched.client.client_list()) <= before, 2)


def test_the_connections_to_sentinels_are_closed_with_the_others(watched):
    before = len(watched.client.client_list())
    with site(f"{watched.url()}?master_name=shop") as backend:
        assert backend.set("a", 1)
    wait_for(lambda: len(watched.client.client_list()) <= before, 2)


def test_the_log_names_a_master_that_was_not_found_in_one_short_line(caplog):
    with site(f"sentinel://:pw@127.0.0.1:{free_port()}?master_name=shop") as backend:
        for _ in range(5):
            backend.get("a")
    (record,) = caplog.records
    assert "shop" in record.getMessage()
    assert len(record.getMessage()) < 300


def test_a_redis_py_call_cut_behind_sentinel_leaves_no_reply_for_the_next_one(watched, monkeypatch):
    """redis-py's connection to a master, unlike its others, is not closed when a read is cut."""
    with site(f"{watched.url()}?master_name=shop", {"MAX_CONNECTIONS": 1, "SOCKET_TIMEOUT": 2}) as backend:
        client = get_redis_connection("default")
        client.set("alice", "alice")
        client.set("bob", "bob")
        connection = pool_of().get_connection()
        pool_of().release(connection)

        def cut(*_, **__):
            raise KeyboardInterrupt

        with watched.master.client() as admin:
            with monkeypatch.context() as patch:
                patch.setattr(connection._parser, "read_response", cut)
                admin.client_pause(300)
                with pytest.raises(KeyboardInterrupt):
                    client.get("alice")
            assert client.get("bob") == b"bob"
            assert backend.get("nothing") is None


# Event loops


def test_two_hundred_calls_under_async_to_sync_leave_no_connection_behind(redis_server, raw):
    with site(redis_server.url, {**PATIENT, "ON_OUTAGE": "raise"}) as backend:
        for number in range(100):
            async_to_sync(backend.aset)("a", number)
            assert async_to_sync(backend.aget)("a") == number
        server = backend.client.server
        wait_for(lambda: named(raw, "async") == [], 2)
        assert len(server._loops) == 0


def test_an_event_loop_has_one_pool_which_is_closed_with_it(redis_server, raw):
    async def main(backend):
        await backend.aset("a", 1)
        first = await backend.client.server.async_pool()
        await asyncio.gather(*(backend.aget("a") for _ in range(5)))
        assert await backend.client.server.async_pool() is first
        return len(named(raw, "async"))

    with site(redis_server.url) as backend:
        assert asyncio.run(main(backend)) >= 1
        assert wait_for(lambda: named(raw, "async") == [], 2)


def test_a_first_call_from_many_tasks_at_once_makes_one_pool_and_one_connection(redis_server, raw):
    async def main(backend):
        await asyncio.gather(*(backend.aget("a") for _ in range(50)))
        return len(backend.client.server._loops), len(named(raw, "async"))

    with site(redis_server.url, {**PATIENT, "MAX_CONNECTIONS": 3, "ON_OUTAGE": "raise"}) as backend:
        assert asyncio.run(main(backend)) == (1, 1)


def test_loops_in_many_threads_come_and_go_without_an_error(redis_server, raw):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(number):
        async def once(turn):
            backend = caches["default"]
            await backend.aset(f"{number}", turn)
            assert await backend.aget(f"{number}") == turn

        for turn in range(40):
            asyncio.run(once(turn))

    try:
        with site(redis_server.url, {**PATIENT, "ON_OUTAGE": "raise"}) as backend:
            in_threads(6, work)
            wait_for(lambda: named(raw, "async") == [], 2)
            assert len(backend.client.server._loops) == 0
    finally:
        sys.setswitchinterval(interval)


def test_a_loop_that_was_closed_without_care_is_forgotten_by_the_next_one(redis_server, raw):
    with site(redis_server.url) as backend:
        server = backend.client.server
        careless = asyncio.new_event_loop()
        careless.run_until_complete(backend.aset("a", 1))
        pool, _ = server._loops[careless]
        careless.run_until_complete(pool.disconnect())
        careless.close()

        async def main():
            assert await backend.aget("a") == 1
            return len(server._loops)

        assert asyncio.run(main()) == 1


def test_loops_that_close_while_others_begin_do_not_disturb_the_count_of_them(redis_server, raw):
    """Another thread may add its loop at any moment, also while closed ones are looked for."""

    class Restless(asyncio.SelectorEventLoop):
        def is_closed(self):
            if server is not None:
                server._loops[object.__new__(Other)] = (None, None)
            return super().is_closed()

    class Other:
        def is_closed(self):
            return False

    server = None
    with site(redis_server.url) as backend:
        loop = Restless()
        loop.run_until_complete(backend.aset("a", 1))
        server = backend.client.server
        try:
            assert asyncio.run(backend.aget("a")) == 1
        finally:
            found, server = server, None
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
            found._loops.clear()


# gevent


def test_fifty_greenlets_wait_for_five_connections(redis_server, raw):
    found = run_python(
        """
        from gevent import monkey; monkey.patch_all()
        import gevent, json
        import django; django.setup()
        from django.core.cache import caches
        from django.test import override_settings
        from tests.test_connections import places
        import os, redis

        url = os.environ["DRIPCACHE_TEST_URL"]
        options = {"MAX_CONNECTIONS": 5, "POOL_WAIT": 10, "SOCKET_TIMEOUT": 5, "ON_OUTAGE": "raise"}
        alias = {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": url, "OPTIONS": options}
        most = []

        def work(number):
            backend = caches["default"]
            for turn in range(20):
                backend.set(f"g{number}", turn, 60)
                gevent.sleep(0)
                assert backend.get(f"g{number}") == turn
            with redis.Redis.from_url(url) as look:
                names = [client["name"] for client in look.client_list()]
            most.append(sum(name.startswith("dripcache:pool") for name in names))

        with override_settings(CACHES={"default": alias}):
            jobs = [gevent.spawn(work, number) for number in range(50)]
            gevent.joinall(jobs, timeout=20)
            errors = [repr(job.exception) for job in jobs if not job.successful()]
            pool = caches["default"].client.server.pool
            print(json.dumps({"errors": errors, "most": max(most, default=0), "places": places(pool)}))
        """,
        redis_server.url,
    )
    assert found == {"errors": [], "most": 5, "places": 5}


@pytest.mark.far("it kills those who wait for Redis")
def test_greenlets_that_are_killed_leave_right_values_and_a_whole_pool(redis_server, raw):
    found = run_python(
        """
        from gevent import monkey; monkey.patch_all()
        import collections, gc, gevent, json, random
        import django; django.setup()
        from tests.processes import be_patient; be_patient()
        from django.core.cache import caches
        from tests.test_connections import places

        people, count, at = ["alice", "bob", "carol"], collections.Counter(), random.Random(3)
        for person in people:
            caches["default"].set(person, person, 60)
        pool = caches["default"].client.server.pool

        def ask(person):
            value = caches["default"].get(person, "miss")
            count["right" if value == person else value] += 1

        for turn in range(600):
            job = gevent.spawn(ask, people[turn % 3])
            gevent.sleep(at.uniform(0, 0.0004))
            if not job.ready():
                count["killed"] += 1
            job.kill()
        jobs = [gevent.spawn(ask, people[turn % 3]) for turn in range(30)]
        gevent.joinall(jobs, timeout=10)
        gc.collect()
        count["places"], count["max"] = places(pool), pool.max_connections
        print(json.dumps(count))
        """,
        redis_server.url,
    )
    assert found.pop("killed") > 50
    assert found.pop("right") >= 30
    assert found.pop("places") == found.pop("max")
    assert found == {}


# Settings that change


def test_another_location_takes_force_at_once(redis_server, start_server):
    other = start_server()
    with site(redis_server.url):
        cache.set("a", "first")
        with site(other.url):
            assert cache.get("a") is None
            cache.set("a", "second")
        assert cache.get("a") == "first"


def test_another_broker_takes_force_at_once(redis_server, start_server):
    other = start_server()
    with site(None, CELERY_BROKER_URL=redis_server.url):
        cache.set("a", "first")
        with override_settings(CELERY_BROKER_URL=other.url):
            assert cache.get("a") is None
            cache.set("a", "second")
        assert cache.get("a") == "first"


def test_another_namespace_takes_force_at_once(redis_server, raw):
    with site(redis_server.url):
        cache.set("a", "first")
        with override_settings(DRIPCACHE={"NAMESPACE": "other"}):
            assert cache.get("a") is None
            cache.set("a", "second")
            assert list(raw.scan_iter("other:*"))
        assert cache.get("a") == "first"


def test_another_secret_key_takes_force_at_once(redis_server, raw):
    with site(redis_server.url):
        cache.set("a", ["first"])
        with override_settings(SECRET_KEY="another key, of more than fifty characters in all, for a test"):
            assert cache.get("a") is None
            cache.set("a", ["second"])
            assert cache.get("a") == ["second"]
        assert cache.get("a") is None


def test_another_way_to_meet_an_outage_takes_force_at_once():
    with site(f"redis://127.0.0.1:{free_port()}/0"):
        assert cache.get("a", 1) == 1
        with override_settings(DRIPCACHE={"ON_OUTAGE": "raise"}), pytest.raises(CacheUnavailableError):
            cache.get("a", 1)
        assert cache.get("a", 1) == 1


@pytest.mark.far("it counts connections")
def test_the_connections_of_settings_that_are_gone_are_closed(redis_server, raw):
    with site(redis_server.url):
        cache.get("a")
        assert len(named(raw)) == 1
    wait_for(lambda: named(raw) == [], 2)


def test_servers_are_found_by_what_they_are(redis_server):
    broker = from_url(redis_server.url, "x")
    with site(redis_server.url) as backend:
        server = backend.client.server
        assert find_server(broker) is server
        assert get_server(broker, {}) is server
        assert locate(redis_server.url, {}) is server
    assert find_server(broker) is None


def test_threads_that_ask_at_once_get_one_server_and_one_pool(redis_server):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    gate = threading.Barrier(8)

    def look(_):
        gate.wait(5)
        return locate(redis_server.url, {}).pool

    try:
        for _ in range(20):
            with site(redis_server.url):
                assert len(set(in_threads(8, look))) == 1
    finally:
        sys.setswitchinterval(interval)


# Redis away


def outage(kind, start_server, tmp_path):
    """Return the URL of a Redis that is away in one of several ways."""
    if kind == "never started":
        return f"redis://127.0.0.1:{free_port()}/0"
    if kind == "never there":
        return f"unix://{tmp_path}/none.sock"
    if kind == "unknown host":
        return "redis://no-such-host.invalid/0"
    server = start_server(unixsocket=str(tmp_path / "r.sock"), unixsocketperm="777")
    url = f"unix://{tmp_path}/r.sock?health_check_interval=0.01" if kind == "frozen socket" else server.url
    with site(url) as backend:
        assert backend.set("warm", 1)
    if kind == "killed":
        server.kill()
    elif kind == "refusing":
        with server.client() as admin:
            admin.config_set("requirepass", "secret")
    else:
        server.pause()
    return url


@pytest.mark.parametrize(
    "kind", ["never started", "never there", "unknown host", "killed", "frozen", "frozen socket", "refusing"]
)
def test_while_redis_is_away_every_common_verb_has_its_fallback_and_returns_quickly(
    kind, start_server, tmp_path, drive
):
    url = outage(kind, start_server, tmp_path)
    loaded = []
    with site(url, {}) as backend:
        driven = drive(backend)
        for call, expected in [
            (lambda: driven.get("a", "fallback"), "fallback"),
            (lambda: driven.set("a", 1), False),
            (lambda: driven.add("a", 1), False),
            (lambda: driven.get_or_set("a", lambda: loaded.append(1) or "loaded"), "loaded"),
            (lambda: driven.get_many(["a", "b"]), {}),
            (lambda: driven.set_many({"a": 1, "b": 2}), ["a", "b"]),
            (lambda: driven.delete("a"), False),
            (lambda: driven.delete_many(["a", "b"]), None),
            (lambda: driven.has_key("a"), False),
            (lambda: driven.touch("a", 5), False),
            (lambda: driven.delete_pattern("*"), 0),
            (driven.clear, None),
            (lambda: driven.ttl("a"), 0),
            (lambda: list(driven.iter_keys("*")), []),
        ]:
            with quickly():
                assert call() == expected
        for call in (lambda: driven.incr("a"), lambda: driven.decr("a"), lambda: driven.incr_version("a")):
            with quickly(), pytest.raises(ValueError, match="a"):
                call()
    assert loaded == [1]


def test_a_frozen_connection_that_was_open_does_not_hold_a_call_for_longer(start_server, drive):
    server = start_server()
    with site(server.url, {}) as backend:
        driven = drive(backend)
        assert driven.set("a", 1)
        server.pause()
        for _ in range(3):
            with quickly():
                assert driven.get("a", "fallback") == "fallback"
        server.resume()
        wait_for(lambda: driven.get("a") == 1, 2)


def test_a_health_check_that_fails_on_an_open_socket_is_an_outage_and_no_error(start_server, tmp_path, drive):
    server = start_server(unixsocket=str(tmp_path / "r.sock"))
    with site(f"unix://{tmp_path}/r.sock?health_check_interval=0.01", {}) as backend:
        driven = drive(backend)
        assert driven.set("a", 1)
        time.sleep(0.03)
        server.pause()
        with quickly():
            assert driven.get("a", "fallback") == "fallback"


def test_a_server_that_restarts_is_used_again_at_once(start_server, drive):
    server = start_server()
    with site(server.url) as backend:
        driven = drive(backend)
        assert driven.set("a", 1)
        server.kill()
        assert driven.get("a", "fallback") == "fallback"
        again = RedisServer(port=server.port).start()
        try:
            assert driven.get("a", "gone") == "gone"
            assert driven.set("a", 2)
            assert driven.get("a") == 2
        finally:
            again.stop()


def test_connections_that_the_server_closed_while_they_were_idle_are_not_noticed(redis_server, raw):
    with site(redis_server.url, {**PATIENT, "ON_OUTAGE": "raise"}) as backend:
        for number in range(5):
            backend.set("a", number)
            raw.client_kill_filter(_type="normal", skipme=True)
            assert backend.get("a") == number


def test_connections_of_a_loop_that_the_server_closed_while_they_were_idle_are_not_noticed(redis_server, raw):
    async def main(backend):
        for number in range(5):
            await backend.aset("a", number)
            raw.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.01)  # a loop at work sees that the connection has ended
            assert await backend.aget("a") == number

    with site(redis_server.url, {**PATIENT, "ON_OUTAGE": "raise"}) as backend:
        asyncio.run(main(backend))


def test_one_outage_is_one_line_in_the_log_and_its_end_another(start_server, caplog):
    server = start_server()
    with site(server.url) as backend, caplog.at_level("INFO", "django_dripcache"):
        backend.set("a", 1)
        server.kill()
        for _ in range(5):
            backend.get("a")
        again = RedisServer(port=server.port).start()
        try:
            wait_for(lambda: backend.set("a", 1), 3)
            for _ in range(5):
                backend.get("a")
        finally:
            again.stop()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_where_it_is_asked_for_an_outage_raises_and_says_where(drive):
    port = free_port()
    with (
        site(f"redis://127.0.0.1:{port}/0", {"ON_OUTAGE": "raise"}) as backend,
        quickly(),
        pytest.raises(CacheUnavailableError, match=str(port)),
    ):
        drive(backend).get("a")
