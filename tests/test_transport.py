"""Celery's publisher on the process' one pool, and everything of Celery's that must not be on it."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time

import kombu
import pytest
import redis
from celery import group
from django.core.cache import cache, caches
from django.test import override_settings
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis

from django_dripcache import transport
from django_dripcache.contrib.celery import install
from django_dripcache.pools import PUBLISHER_TIMEOUT, SOCKET_TIMEOUT
from django_dripcache.testing.server import RedisServer, free_port
from django_dripcache.transport import PublisherPool, resolved_too_early, shared_pool, uninstall

from .processes import (
    PATIENT,
    Watched,
    Wire,
    Worker,
    in_threads,
    make_app,
    named,
    needs_server,
    run_python,
    shop,
    site,
    tear_down,
    tls_files,
    tls_only,
    wait_for,
)

pytestmark = needs_server


def publish(app, value=0, **options):
    return app.send_task("tests.note", ("notes", value), **options)


@contextlib.contextmanager
def celery_at(url):
    """Yield a Celery app with this broker, whatever the cache is."""
    app = make_app(url)
    try:
        yield app
    finally:
        tear_down(app)


def pool_of(alias="default"):
    return caches[alias].client.server.pool


def others(client):
    """Return the names of all connections but the one that looks; "" is a connection without a name."""
    own = client.client_id()
    return [connection["name"] for connection in client.client_list() if int(connection["id"]) != own]


@contextlib.contextmanager
def looking(server):
    """Yield a client that keeps to one connection, so that it can tell itself from the others."""
    with redis.Redis(port=server.port, protocol=2, single_connection_client=True) as client:
        yield client


@contextlib.contextmanager
def channel_of(app):
    """Yield the channel of a connection of its own, as a producer has one."""
    with app.connection_for_write() as connection, connection.channel() as channel:
        yield channel


# One pool


@pytest.mark.far("it counts connections")
def test_one_thread_that_publishes_and_caches_has_one_connection(start_server):
    server = start_server()
    with shop(server.url) as app, looking(server) as look:
        for number in range(30):
            publish(app, number)
            cache.set("a", number)
            assert cache.get("a") == number
            assert len(others(look)) == 1
        assert named(look, "pool") == others(look)
        assert look.llen("celery") == 30


@pytest.mark.far("it counts connections")
def test_eight_threads_that_publish_and_cache_have_eight_connections_at_most(start_server):
    server = start_server()
    most = []
    with shop(server.url) as app, looking(server) as look:

        def work(number):
            for turn in range(25):
                publish(app, turn)
                cache.set(f"{number}", turn)
                assert cache.get(f"{number}") == turn
                if number == 0:
                    most.append(len(named(look)))

        in_threads(8, work)
        assert look.llen("celery") == 8 * 25
        assert max(most) <= 8
        # A channel says PING once, on a connection of its own that is closed at once; nothing else may be left.
        wait_for(lambda: "" not in others(look), 2)
        assert named(look, "pool") == others(look)
        assert 1 < len(others(look)) <= 8


@pytest.mark.far("it counts connections")
def test_eight_threads_stay_within_a_cap_of_four_and_lose_neither_a_task_nor_a_value(start_server):
    server = start_server()
    most = []
    with shop(server.url, {**PATIENT, "MAX_CONNECTIONS": 4, "ON_OUTAGE": "raise"}) as app, looking(server) as look:

        def work(number):
            for turn in range(40):
                publish(app, turn)
                cache.set(f"{number}", turn)
                assert cache.get(f"{number}") == turn
                if number == 0:
                    most.append(len(named(look)))

        in_threads(8, work)
        assert look.llen("celery") == 8 * 40
        assert max(most) <= 4
        wait_for(lambda: "" not in others(look), 2)
        assert named(look, "pool") == others(look)
        assert len(others(look)) <= 4


def test_the_publisher_takes_its_connection_from_the_pool_of_the_cache(redis_server, raw):
    with shop(redis_server.url) as app, channel_of(app) as channel:
        assert isinstance(channel.pool, PublisherPool)
        assert channel._pool is None
        connection = channel.pool.get_connection()
        channel.pool.release(connection)
        assert pool_of().get_connection() is connection
        pool_of().release(connection)


def test_a_site_may_ask_for_separate_pools(start_server):
    server = start_server()
    found = run_python(
        """
        import json, os
        from django.conf import settings
        import tests.settings as ours
        values = {name: getattr(ours, name) for name in dir(ours) if name.isupper()}
        settings.configure(**{**values, "DRIPCACHE": {"SHARE_POOL": False}})
        import django; django.setup()
        import redis
        from django.core.cache import cache
        from kombu.transport import get_transport_cls
        from tests.processes import app
        app.set_current()
        cache.set("a", 1)
        app.send_task("tests.note", ("notes", 1))
        with redis.Redis.from_url(os.environ["DRIPCACHE_TEST_URL"]) as look:
            names = sorted(client["name"].rpartition(":")[0] for client in look.client_list())
        print(json.dumps({"transport": get_transport_cls("redis").__module__, "names": names}))
        """,
        server.url,
    )
    assert found["transport"] == "kombu.transport.redis"
    assert found["names"].count("dripcache:pool") == 1
    assert found["names"].count("") >= 2  # the publisher's own, and the one that looks


def test_a_site_that_changes_its_mind_about_sharing_gets_separate_pools_at_once(redis_server, raw):
    with shop(redis_server.url, dripcache={"SHARE_POOL": False}) as app, channel_of(app) as channel:
        assert not isinstance(channel.pool, PublisherPool)
        assert publish(app)


# Brokers that are not the cache's


def test_another_redis_as_the_broker_is_left_to_kombu(redis_server, raw, start_server):
    other = start_server()
    with site(redis_server.url), celery_at(other.url) as app:
        cache.set("a", 1)
        with channel_of(app) as channel:
            assert type(channel.pool) is redis.ConnectionPool
            assert channel.pool is channel._pool
        publish(app)
        with other.client() as look:
            assert look.llen("celery") == 1
            assert named(look) == []
        assert raw.llen("celery") == 0


def test_another_database_as_the_broker_is_left_to_kombu(redis_server, raw):
    with site(redis_server.url), celery_at(redis_server.url[:-1] + "6") as app:
        cache.set("a", 1)
        publish(app)
    with redis.Redis(port=redis_server.port, db=6) as look:
        assert look.llen("celery") == 1
        look.flushdb()


def test_a_broker_that_is_not_redis_is_left_to_kombu(redis_server, raw):
    with site(redis_server.url), celery_at("memory://") as app:
        publish(app)
        with app.connection_for_write() as connection:
            assert connection.SimpleQueue("celery").get(timeout=2).payload


@pytest.mark.parametrize(
    "wrong",
    [
        {"DRIPCACHE": {"NO_SUCH_SETTING": 1}},
        {"CACHES": {"default": {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": "redis://h:port/0"}}},
        {"CACHES": {"default": {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": "amqp://h"}}},
        {"CACHES": {"default": {"BACKEND": "django_dripcache.backend.DripCache", "OPTIONS": {"NOPE": 1}}}},
        {"CACHES": {"default": {"BACKEND": "no.such.Backend"}}},
        {"DRIPCACHE": {"CELERY_APP": "no.such.module:app"}},
    ],
    ids=str,
)
def test_celery_publishes_whatever_is_wrong_with_the_cache(redis_server, raw, wrong):
    with override_settings(**{"DRIPCACHE": {}, **wrong}), celery_at(redis_server.url) as app:
        publish(app)
    assert raw.llen("celery") == 1


def test_a_connection_of_kombus_own_making_is_left_to_kombu_where_no_alias_uses_it(redis_server, raw):
    with site(redis_server.url), kombu.Connection(f"redis://127.0.0.1:{free_port()}/0") as connection:
        assert shared_pool(connection) is None
    with site(redis_server.url), kombu.Connection(redis_server.url) as connection:
        assert isinstance(shared_pool(connection), PublisherPool)


# Publishing in hard times


@pytest.mark.parametrize("retry", [True, False], ids=["with celery's retries", "without"])
def test_a_publish_waits_for_a_connection_as_long_as_a_publisher_does(redis_server, raw, retry):
    with shop(redis_server.url, {"MAX_CONNECTIONS": 1}) as app:
        publish(app)
        taken = pool_of().get_connection()
        timer = threading.Timer(0.7, lambda: pool_of().release(taken))
        timer.start()
        try:
            publish(app, retry=retry)
        finally:
            timer.join()
    assert raw.llen("celery") == 2


def test_publishing_goes_on_while_the_cache_uses_every_connection(redis_server, raw):
    stop = threading.Event()
    with shop(redis_server.url, {"MAX_CONNECTIONS": 2}) as app:

        def read():
            while not stop.is_set():
                cache.get("a")

        readers = [threading.Thread(target=read) for _ in range(6)]
        for reader in readers:
            reader.start()
        try:
            for number in range(100):
                publish(app, number, retry=False)
        finally:
            stop.set()
            for reader in readers:
                reader.join()
    assert raw.llen("celery") == 100


@pytest.mark.far("it counts connections")
def test_forty_teardowns_of_kombu_do_not_touch_the_pool(start_server):
    server = start_server()
    with shop(server.url) as app, looking(server) as look:
        publish(app)
        cache.set("a", 1)

        def ours():
            return [client["id"] for client in look.client_list() if client["name"].startswith("dripcache:")]

        before = ours()
        for number in range(40):
            with app.connection_for_write() as connection:
                connection.default_channel.client.ping()
                app.send_task("tests.note", ("notes", number), connection=connection)
            publish(app, number)
            tear_down(app)
            assert cache.get("a") == 1
        assert ours() == before
        assert len(before) == 1
        assert look.llen("celery") == 81
        wait_for(lambda: len(others(look)) == 1, 2)


def test_the_publishers_view_of_the_pool_closes_none_of_its_connections(redis_server, raw):
    with shop(redis_server.url) as app, channel_of(app) as channel:
        cache.set("a", 1)
        before = [client["id"] for client in raw.client_list() if client["name"].startswith("dripcache:")]
        channel.pool.disconnect()
        assert cache.get("a") == 1
        assert [client["id"] for client in raw.client_list() if client["name"].startswith("dripcache:")] == before


def test_closing_a_connection_in_the_middle_of_other_threads_calls_disturbs_none_of_them(redis_server, raw):
    stop = threading.Event()
    with shop(redis_server.url, {**PATIENT, "ON_OUTAGE": "raise"}) as app:
        cache.set("a", 1)
        cache_errors = []

        def read():
            while not stop.is_set():
                try:
                    assert cache.get("a") == 1
                except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                    cache_errors.append(error)

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        for number in range(40):
            publish(app, number)
            tear_down(app)
        stop.set()
        for reader in readers:
            reader.join()
    assert cache_errors == []
    assert raw.llen("celery") == 40


def test_parent_and_children_publish_at_once(redis_server, raw):
    found = run_python(
        """
        import json, os
        import django; django.setup()
        from django.core.cache import cache
        from tests.processes import app
        from tests.processes import be_patient; be_patient()
        app.set_current()

        def work(name):
            for turn in range(25):
                app.send_task("tests.note", ("notes", f"{name}-{turn}"))
                cache.set(name, turn, 60)
                assert cache.get(name) == turn

        work("before")
        children = []
        for number in range(4):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    work(f"child{number}")
                    code = 0
                finally:
                    os._exit(code)
            children.append(pid)
        work("parent")
        print(json.dumps([os.waitpid(pid, 0)[1] for pid in children]))
        """,
        redis_server.url,
    )
    assert found == [0] * 4
    tasks = [json.loads(message)["headers"]["argsrepr"] for message in raw.lrange("celery", 0, -1)]
    assert len(tasks) == 6 * 25
    assert len(set(tasks)) == 6 * 25


def test_publisher_and_cache_are_back_after_the_server_restarted(start_server):
    server = start_server()
    with shop(server.url) as app:
        publish(app)
        cache.set("a", 1)
        server.kill()
        again = RedisServer(port=server.port).start()
        try:
            publish(app)
            cache.set("a", 2)
            assert cache.get("a") == 2
            with again.client() as look:
                assert look.llen("celery") == 1
        finally:
            again.stop()


def test_a_publish_without_a_server_fails_as_celery_has_it(start_server):
    server = start_server()
    with shop(server.url) as app:
        publish(app)
        server.kill()
        with pytest.raises(OperationalError):
            publish(app, retry=False)


# Patience


def test_a_connection_is_patient_while_it_is_lent_to_the_publisher_and_no_longer(redis_server, raw):
    with shop(redis_server.url, {"MAX_CONNECTIONS": 1}) as app, channel_of(app) as channel:
        cache.get("a")
        lent = channel.pool.get_connection()
        assert lent.socket_timeout == PUBLISHER_TIMEOUT
        channel.pool.release(lent)
        assert lent.socket_timeout == SOCKET_TIMEOUT
        assert pool_of().get_connection() is lent
        assert lent.socket_timeout == SOCKET_TIMEOUT
        pool_of().release(lent)


def test_the_publishers_patience_is_celerys_socket_timeout(start_server):
    server = start_server()
    with shop(server.url, broker_transport_options={"socket_timeout": 0.6}) as app:
        publish(app)
        server.pause()
        began = time.monotonic()
        with pytest.raises(OperationalError):
            publish(app, retry=False)
        assert 0.5 < time.monotonic() - began < 1.5


def test_the_first_publish_of_a_process_is_bounded_too(start_server):
    server = start_server()
    options = {"socket_timeout": 0.5, "max_retries": 1, "interval_start": 0}
    with shop(server.url, broker_transport_options=options) as app:
        server.pause()
        began = time.monotonic()
        with pytest.raises(OperationalError):
            publish(app, retry=False)
        assert 0.4 < time.monotonic() - began < 3
        server.resume()
        publish(app)


def test_the_first_publish_to_a_fanout_exchange_names_its_database(redis_server, raw):
    with shop(redis_server.url) as app, raw.pubsub() as listener:
        listener.psubscribe("/*")
        wait_for(lambda: listener.get_message(timeout=1))
        exchange = kombu.Exchange("news", type="fanout")
        with app.connection_for_write() as connection, connection.Producer(exchange=exchange) as producer:
            producer.publish({}, declare=[exchange])
        assert wait_for(lambda: listener.get_message(timeout=1))["channel"] == b"/0.news"


def test_a_publish_outlasts_a_server_that_stalls_while_a_cached_read_does_not(start_server):
    server = start_server()
    with shop(server.url, {}) as app:
        publish(app)
        cache.set("a", 1)
        server.pause()
        timer = threading.Timer(0.9, server.resume)
        timer.start()
        reader = threading.Timer(0.1, lambda: read.append((time.monotonic(), cache.get("a", "late"), time.monotonic())))
        read = []
        reader.start()
        began = time.monotonic()
        publish(app, retry=False)
        took = time.monotonic() - began
        timer.join()
        reader.join()
        assert 0.6 < took < 3
        ((asked, value, answered),) = read
        assert value == "late"
        assert answered - asked < 0.6
        with server.client() as look:
            assert look.llen("celery") == 2
        wait_for(lambda: cache.get("a") == 1, 2)


def test_a_publish_outlasts_a_stall_also_where_it_has_to_connect_first(start_server):
    server = start_server()
    with shop(server.url, {}) as app:
        publish(app)
        pool_of().disconnect()
        server.pause()
        timer = threading.Timer(0.9, server.resume)
        timer.start()
        publish(app, retry=False)
        timer.join()
        with server.client() as look:
            assert look.llen("celery") == 2


def test_a_reply_that_was_lost_is_awaited_once_and_the_task_is_there_once(redis_server, raw):
    options = {"socket_timeout": 0.3}
    with (
        Wire(redis_server.port) as wire,
        shop(f"redis://127.0.0.1:{wire.port}/0", broker_transport_options=options) as app,
    ):
        publish(app)
        wire.lose(b"LPUSH")
        with pytest.raises(OperationalError):
            publish(app, retry=False)
        assert wire.seen == 1
    assert raw.llen("celery") == 2


def test_retry_on_timeout_is_the_publishers_alone(redis_server, raw):
    options = {"socket_timeout": 0.3, "retry_on_timeout": True}
    with (
        Wire(redis_server.port) as wire,
        shop(f"redis://127.0.0.1:{wire.port}/0", {}, broker_transport_options=options) as app,
    ):
        publish(app)
        cache.set("a", 1)
        wire.lose(b"LPUSH")
        publish(app, retry=False)
        assert wire.seen == 2
        wire.lose(b"SET")
        assert cache.set("a", 2) is False
        assert wire.seen == 1
    assert raw.llen("celery") == 3  # the site asked for it: the task whose reply was lost is there twice


def test_a_connection_that_the_publisher_had_to_make_anew_has_the_caches_timeout_afterwards(start_server):
    server = start_server()
    options = {"retry_on_timeout": True, "socket_timeout": 3}
    with shop(server.url, {"MAX_CONNECTIONS": 1}, broker_transport_options=options) as app, channel_of(app) as channel:
        lent = channel.pool.get_connection()
        lent.disconnect()
        lent.send_command("PING")  # connects with the publisher's patience
        assert lent.read_response() == b"PONG"
        channel.pool.release(lent)
        assert cache.get("a") is None
        server.pause()
        began = time.monotonic()
        assert cache.get("a", "late") == "late"
        assert time.monotonic() - began < 0.6
        server.resume()


def test_a_publish_cut_between_sending_and_reading_leaves_no_reply_for_the_cache(redis_server, raw, monkeypatch):
    """The reply of the task is still on its way when the next call takes the connection."""
    with shop(redis_server.url, {**PATIENT, "MAX_CONNECTIONS": 1}) as app:
        cache.set("a", 77)
        publish(app)
        real = redis.connection.AbstractConnection.read_response

        def cut(self, *args, **kwargs):
            monkeypatch.setattr(redis.connection.AbstractConnection, "read_response", real)
            raise KeyboardInterrupt

        raw.client_pause(400)
        monkeypatch.setattr(redis.connection.AbstractConnection, "read_response", cut)
        with pytest.raises(KeyboardInterrupt):
            publish(app)
        assert cache.get("a") == 77


def test_a_publish_cut_in_the_handshake_queues_nothing_in_database_0(redis_server, raw, monkeypatch):
    with shop(redis_server.url[:-1] + "3", {"MAX_CONNECTIONS": 1}) as app:
        publish(app)
        pool_of().disconnect()
        real = redis.connection.AbstractConnection.read_response

        def cut(self, *args, **kwargs):
            monkeypatch.setattr(redis.connection.AbstractConnection, "read_response", real)
            real(self, *args, **kwargs)
            raise KeyboardInterrupt

        monkeypatch.setattr(redis.connection.AbstractConnection, "read_response", cut)
        with pytest.raises(KeyboardInterrupt):
            publish(app)
        publish(app)
    assert raw.dbsize() == 0
    with redis.Redis(port=redis_server.port, db=3) as third:
        assert third.llen("celery") == 2
        third.flushdb()


# Encryption, Sentinel, gevent


@pytest.mark.far("it counts connections")
def test_tasks_travel_over_tls_on_the_shared_connection(tmp_path):
    with tls_only(tmp_path) as server:
        asked = {"ssl_cert_reqs": ssl.CERT_REQUIRED, **tls_files(server)}
        url = f"rediss://127.0.0.1:{server.tls_port}/0"
        with shop(url, broker_use_ssl=asked) as app, looking(server) as look:
            publish(app)
            assert cache.set("a", 1)
            assert len(named(look, "pool")) == 1
            assert len(others(look)) == 1
            ports = {client["laddr"].rpartition(":")[2] for client in look.client_list() if client["name"]}
            assert ports == {str(server.tls_port)}
            assert look.llen("celery") == 1


def test_publisher_and_cache_are_back_seconds_after_a_failover(start_server, tmp_path):
    watched = Watched(start_server, tmp_path)
    options = {"master_name": "shop"}
    try:
        with shop(watched.url(), broker_transport_options=options) as app:
            publish(app)
            assert cache.set("a", 1)
            with channel_of(app) as channel:
                assert isinstance(channel.pool, PublisherPool)
            with looking(watched.master) as look:
                assert len(named(look, "pool")) == 1
                wait_for(lambda: watched.replica.client().llen("celery") == 1, 3)
            watched.master.kill()
            began = time.monotonic()

            def published():
                with contextlib.suppress(OperationalError):
                    return publish(app, retry=False)

            wait_for(published, 10, step=0.05)
            wait_for(lambda: cache.set("a", 2), 10, step=0.05)
            assert time.monotonic() - began < 8
            assert cache.get("a") == 2
            with watched.replica.client() as look:
                assert look.llen("celery") >= 2
    finally:
        watched.stop()


def test_open_channels_keep_no_connection_to_the_sentinel_each(start_server, tmp_path):
    watched = Watched(start_server, tmp_path)
    try:
        before = len(watched.client.client_list())
        options = {"master_name": "shop"}
        with shop(watched.url(), broker_transport_options=options) as app, contextlib.ExitStack() as channels:
            for _ in range(4):
                channels.enter_context(channel_of(app))
            assert cache.set("a", 1)
            # The pool has asked it on one connection; kombu asked it once a channel, and is done with it.
            wait_for(lambda: len(watched.client.client_list()) == before + 1, 2)
    finally:
        watched.stop()


def test_a_publish_cut_behind_sentinel_leaves_no_reply_for_the_cache(start_server, tmp_path, monkeypatch):
    """The reply of the task is still on its way when the next call takes the connection."""
    watched = Watched(start_server, tmp_path)
    try:
        with shop(
            watched.url(),
            {"MAX_CONNECTIONS": 1, "SOCKET_TIMEOUT": 2},
            broker_transport_options={"master_name": "shop"},
        ) as app:
            cache.set("a", 77)
            publish(app)
            connection = pool_of().get_connection()
            pool_of().release(connection)

            def cut(*_, **__):
                raise KeyboardInterrupt

            with watched.master.client() as admin, monkeypatch.context() as patch:
                patch.setattr(connection._parser, "read_response", cut)
                admin.client_pause(300)
                with pytest.raises(KeyboardInterrupt):
                    publish(app)
            assert cache.get("a") == 77
    finally:
        watched.stop()


def test_greenlets_publish_over_a_small_pool(redis_server, raw):
    found = run_python(
        """
        from gevent import monkey; monkey.patch_all()
        import gevent, json, os
        import django; django.setup()
        from django.core.cache import cache
        from django.test import override_settings
        from tests.processes import app
        app.set_current()
        options = {"MAX_CONNECTIONS": 5, "POOL_WAIT": 10, "SOCKET_TIMEOUT": 5, "ON_OUTAGE": "raise"}
        alias = {"BACKEND": "django_dripcache.backend.DripCache", "OPTIONS": options}

        def work(number):
            for turn in range(5):
                app.send_task("tests.note", ("notes", f"{number}-{turn}"))
                cache.set(f"g{number}", turn, 60)
                assert cache.get(f"g{number}") == turn

        with override_settings(CACHES={"default": alias}):
            jobs = [gevent.spawn(work, number) for number in range(30)]
            gevent.joinall(jobs, timeout=20)
            print(json.dumps([repr(job.exception) for job in jobs if not job.successful()]))
        """,
        redis_server.url,
    )
    assert found == []
    assert raw.llen("celery") == 150


# What of Celery's works as before


def test_the_prefix_of_all_keys_is_in_front_of_tasks_and_of_the_cache(redis_server, raw):
    options = {"global_keyprefix": "shop:"}
    with shop(redis_server.url, broker_transport_options=options) as app:
        publish(app)
        cache.set("a", 1)
    names = sorted(raw.keys())
    assert b"shop:celery" in names
    assert all(name.startswith(b"shop:") for name in names)
    assert [name for name in names if name.startswith(b"shop:dripcache:")] == [b"shop:dripcache:d::1:a"]


def test_priorities_choose_the_queues_that_kombu_has_for_them(redis_server, raw):
    with shop(redis_server.url) as app:
        for priority in (0, 3, 6, 9):
            publish(app, priority, priority=priority)
        lengths = {name: raw.llen(name) for name in raw.scan_iter("celery*")}
        assert lengths == {b"celery": 1, b"celery\x06\x163": 1, b"celery\x06\x166": 1, b"celery\x06\x169": 1}
        with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
            values = []
            for _ in range(4):
                message = queue.get(timeout=3)
                values.append(message.payload[0][1])
                message.ack()
    assert values == [0, 3, 6, 9]


def test_a_group_of_tasks_is_published_whole(redis_server, raw):
    with shop(redis_server.url) as app:
        signature = app.tasks["tests.note"]
        group(signature.s("notes", number) for number in range(50)).apply_async()
    assert raw.llen("celery") == 50


@pytest.mark.far("it counts connections")
def test_a_consumer_keeps_connections_of_its_own(redis_server, raw):
    with shop(redis_server.url, {"MAX_CONNECTIONS": 1}) as app, looking(redis_server) as look:
        publish(app)
        with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
            message = queue.get(timeout=3)
            with pytest.raises(queue.Empty):
                queue.get(timeout=0.2)
            assert "" in others(look)
            assert cache.set("a", 1)
            assert cache.get("a") == 1
            assert len(named(look)) == 1
            message.ack()


@pytest.mark.far("it counts connections")
@pytest.mark.filterwarnings("ignore:Call to deprecated setex")
def test_the_result_backend_keeps_connections_of_its_own(redis_server, raw):
    with shop(redis_server.url, result_backend=redis_server.url) as app:
        app.backend.store_result("an-id", {"x": 1}, "SUCCESS")
        assert app.AsyncResult("an-id").get(timeout=3) == {"x": 1}
        assert app.backend.client.connection_pool is not pool_of()
        assert cache.get("a") is None
        assert len(named(raw)) == 1
        app.backend.result_consumer.stop()
        app.backend.client.connection_pool.disconnect()


# Installation


def test_an_app_may_be_installed_and_installed_again_and_publishes_each_time(redis_server, raw):
    with shop(redis_server.url) as app:
        for number in range(3):
            install(app)
            publish(app, number)
            with channel_of(app) as channel:
                assert isinstance(channel.pool, PublisherPool)
    assert raw.llen("celery") == 3


@pytest.mark.far("it counts connections")
def test_an_app_that_had_connections_of_kombus_gives_them_up_when_it_is_installed(start_server):
    server = start_server()
    uninstall()
    try:
        with shop(server.url) as app, looking(server) as look:
            publish(app)
            assert named(look) == []
            install(app)
            publish(app)
            wait_for(lambda: others(look) == named(look, "pool"), 2)
            assert len(others(look)) == 1
            assert look.llen("celery") == 2
            assert resolved_too_early()
    finally:
        install()
        transport._early.clear()


@pytest.mark.parametrize(
    "wrong", [{"DRIPCACHE": {"NO_SUCH_SETTING": 1}}, {"DRIPCACHE": {"CELERY_APP": "no.such.module:app"}}], ids=str
)
def test_installation_leaves_wrong_settings_to_the_checks(redis_server, raw, wrong):
    with shop(redis_server.url) as app, override_settings(**wrong):
        install()
        install(app)
        publish(app)
    assert raw.llen("celery") == 1


def test_a_program_that_publishes_before_django_is_set_up_shares_the_pool_once_it_installs(start_server):
    server = start_server()
    found = run_python(
        """
        import json, os
        from tests.processes import app
        app.set_current()
        app.send_task("tests.note", ("notes", 0))
        import django; django.setup()
        from django.core.cache import cache
        from django_dripcache.checks import check_settings
        from django_dripcache.contrib.celery import install
        early = [message.id for message in check_settings()]
        install(app)
        app.send_task("tests.note", ("notes", 1))
        cache.set("a", 1)
        import redis
        with redis.Redis.from_url(os.environ["DRIPCACHE_TEST_URL"]) as look:
            own = look.client_id()
            names = [client["name"].rpartition(":")[0] for client in look.client_list()]
        print(json.dumps({"early": early, "names": sorted(names)}))
        """,
        server.url,
    )
    assert found["early"] == ["dripcache.W002"]
    assert found["names"] == ["", "dripcache:pool"]  # the one that looks, and the one of all


def test_a_program_that_installs_first_of_all_shares_from_the_beginning(start_server):
    server = start_server()
    found = run_python(
        """
        import json, os
        from tests.processes import app
        from django_dripcache.contrib.celery import install
        app.set_current()
        install(app)
        app.send_task("tests.note", ("notes", 0))
        import django; django.setup()
        from django.core.cache import cache
        from django_dripcache.checks import check_settings
        cache.set("a", 1)
        import redis
        with redis.Redis.from_url(os.environ["DRIPCACHE_TEST_URL"]) as look:
            names = [client["name"].rpartition(":")[0] for client in look.client_list()]
        print(json.dumps({"checks": [message.id for message in check_settings()], "names": sorted(names)}))
        """,
        server.url,
    )
    assert found == {"checks": [], "names": ["", "dripcache:pool"]}


def test_kombu_gets_its_transports_back():
    try:
        uninstall()
        for alias, name in (("redis", "Transport"), ("rediss", "Transport"), ("sentinel", "SentinelTransport")):
            assert TRANSPORT_ALIASES[alias] == f"kombu.transport.redis:{name}"
            connection = kombu.Connection(f"{alias}://h", ssl={"ssl_cert_reqs": ssl.CERT_NONE})
            assert connection.get_transport_cls() is getattr(kombu_redis, name)
        assert not resolved_too_early()
    finally:
        install()
        transport._early.clear()
    assert kombu.Connection("redis://h").get_transport_cls() is transport.Transport


# Real workers


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")
@pytest.mark.parametrize("pool", [("prefork", "-c2"), ("threads", "-c4")], ids=["prefork", "threads"])
def test_a_real_worker_runs_what_was_published_while_the_cache_was_used(start_server, pool):
    server = start_server()
    kind, concurrency = pool
    with (
        Worker(server.url, "-P", kind, concurrency, celery={"result_backend": server.url}) as worker,
        shop(server.url, None, result_backend=server.url) as app,
        looking(server) as look,
    ):

        def work(number):
            for turn in range(25):
                publish(app, f"{number}-{turn}")
                app.send_task("tests.remember", (f"from-{number}-{turn}", turn))
                cache.set(f"here-{number}", turn)
                assert cache.get(f"here-{number}") == turn

        in_threads(4, work)
        app.send_task("tests.chain", ("deep", 5))
        wait_for(lambda: look.llen("notes") == 100 and look.llen("deep") == 1, 20)
        notes = [note.decode() for note in look.lrange("notes", 0, -1)]
        assert sorted(notes) == sorted(f"{number}-{turn}" for number in range(4) for turn in range(25))
        wait_for(lambda: cache.get("seen") == 100, 10)
        assert all(cache.get(f"from-{number}-{turn}") == turn for number in range(4) for turn in range(25))
        assert look.llen("celery") == 0
        ours = {name for name in named(look, "pool") if not name.endswith(f":{worker.process.pid}")}
        # This process, and each child that used the cache: on a busy machine one of two may have done all the work.
        assert len(ours) in ({2, 3} if kind == "prefork" else {1})
        assert "Traceback" not in worker.log
        answers = app.control.ping(timeout=5, limit=1)
        assert [list(answer.values()) for answer in answers] == [[{"ok": "pong"}]]
        wait_for(lambda: list(app.control.inspect(timeout=5, limit=1).active().values()) == [[]], 10)
        result = app.send_task("tests.remember", ("again", [1, 2]))
        assert result.get(timeout=10) == [1, 2]
        app.backend.result_consumer.stop()
        app.backend.client.connection_pool.disconnect()
