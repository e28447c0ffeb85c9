"""
A thousand tasks lie in the cache's own database, and no verb harms one of them.

The tables hold arguments for every public verb. A verb that is added without any fails the tests, so that it, too, is
called over a full queue and held to what the others are held to: Celery's keys stay as they are, byte for byte, and
every key that it makes is ours by its name and has an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import re
import time

import pytest
import redis
from django.core.cache import cache, caches
from django.test import override_settings
from django_redis.util import CacheKey

from django_dripcache import CacheClient, CacheManager
from django_dripcache.backend import DripCache
from django_dripcache.broker import namespace_root
from django_dripcache.connections import close_all
from django_dripcache.exceptions import CacheUnavailableError
from tests.conftest import Driven
from tests.processes import PATIENT, Worker, needs_server, shop, site, wait_for

pytestmark = needs_server

TASKS = 1000

THEIRS = ["celery", "unacked", "unacked_index", "_kombu.binding.celery", "celery\x06\x163", "*", "dripcache:*", ""]
"""Names of Celery's keys, and what else might be mistaken for a name of ours."""

PATTERNS = ["*", "celery*", "*celery*", "**", "?*", "[c]elery", "[^x]*", "[", "\\*", "\\", "../*", "*\n*", ""]


def _later():
    return int(time.time()) + 60


BACKEND_VERBS = {
    "add": [lambda c: c.add("fresh", 1), lambda c: c.add("value", 1), lambda c: c.add("fresh", 1, None)],
    "clear": [lambda c: c.clear()],
    "close": [lambda c: c.close()],
    "decr": [lambda c: c.decr("number")],
    "decr_version": [lambda c: c.decr_version("value")],
    "delete": [lambda c: c.delete("value"), *(lambda c, name=name: c.delete(name) for name in THEIRS[:4])],
    "delete_many": [lambda c: c.delete_many(["value", "number"]), lambda c: c.delete_many(THEIRS[:4])],
    "delete_pattern": [lambda c, pattern=pattern: c.delete_pattern(pattern) for pattern in PATTERNS],
    "expire": [lambda c: c.expire("value", 60), lambda c: c.expire("celery", 1)],
    "expire_at": [lambda c: c.expire_at("value", _later()), lambda c: c.expire_at("celery", _later())],
    "get": [lambda c: c.get("value"), lambda c: c.get("celery")],
    "get_backend_timeout": [lambda c: c.get_backend_timeout()],
    "get_many": [lambda c: c.get_many(["value", "number", "celery"])],
    "get_or_set": [lambda c: c.get_or_set("made", lambda: 1), lambda c: c.get_or_set("made", 1, None)],
    "get_stats": [lambda c: c.get_stats()],
    "has_key": [lambda c: c.has_key("value")],
    "hdel": [lambda c: c.hdel("hash", "field")],
    "hexists": [lambda c: c.hexists("hash", "field")],
    "hkeys": [lambda c: c.hkeys("hash")],
    "hlen": [lambda c: c.hlen("hash")],
    "hset": [lambda c: c.hset("hash", "more", 1), lambda c: c.hset("made", mapping={"a": 1, "b": [2]})],
    "incr": [lambda c: c.incr("number"), lambda c: c.incr("made", ignore_key_check=True)],
    "incr_version": [lambda c: c.incr_version("value")],
    "iter_keys": [lambda c: list(c.iter_keys("*"))],
    "keys": [lambda c: c.keys("*"), lambda c: c.keys("celery*")],
    "lock": [
        lambda c: c.lock("lock").acquire(blocking=False),
        lambda c: c.lock("lock", timeout=5).acquire(blocking=False),
        lambda c: c.lock("celery", blocking_timeout=0.01).acquire(),
    ],
    "make_and_validate_key": [lambda c: c.make_and_validate_key("value")],
    "make_key": [lambda c: c.make_key("value")],
    "persist": [lambda c: c.persist("value"), lambda c: c.persist("hash"), lambda c: c.persist("celery")],
    "pexpire": [lambda c: c.pexpire("value", 60_000), lambda c: c.pexpire("celery", 1)],
    "pexpire_at": [lambda c: c.pexpire_at("value", _later() * 1000)],
    "pttl": [lambda c: c.pttl("value")],
    "sadd": [lambda c: c.sadd("members", "c"), lambda c: c.sadd("made", 1, "two"), lambda c: c.sadd("celery", 1)],
    "scard": [lambda c: c.scard("members")],
    "sdiff": [lambda c: c.sdiff("members", "others")],
    "sdiffstore": [lambda c: c.sdiffstore("made", "members", "others")],
    "set": [
        lambda c: c.set("value", 1),
        lambda c: c.set("value", [1], None),
        lambda c: c.set("value", 1, 0),
        lambda c: c.set("value", 1, nx=True),
        lambda c: c.set("value", 1, None, xx=True),
        lambda c: c.set("value", 1, None, version=7),
        *(lambda c, name=name: c.set(name, "ours", None) for name in THEIRS[:4]),
    ],
    "set_many": [lambda c: c.set_many({"a": 1, "celery": 2}), lambda c: c.set_many({"a": 1, "b": 2}, None)],
    "sinter": [lambda c: c.sinter("members", "others")],
    "sinterstore": [lambda c: c.sinterstore("made", "members", "others")],
    "sismember": [lambda c: c.sismember("members", "a")],
    "smembers": [lambda c: c.smembers("members")],
    "smismember": [lambda c: c.smismember("members", "a", "z")],
    "smove": [lambda c: c.smove("members", "made", "a"), lambda c: c.smove("members", "celery", "b")],
    "spop": [lambda c: c.spop("members"), lambda c: c.spop("members", 2)],
    "srandmember": [lambda c: c.srandmember("members"), lambda c: c.srandmember("members", 2)],
    "srem": [lambda c: c.srem("members", "a")],
    "sscan": [lambda c: c.sscan("members")],
    "sscan_iter": [lambda c: list(c.sscan_iter("members"))],
    "sunion": [lambda c: c.sunion("members", "others")],
    "sunionstore": [lambda c: c.sunionstore("made", "members", "others")],
    "touch": [lambda c: c.touch("value"), lambda c: c.touch("value", None), lambda c: c.touch("celery", 1)],
    "ttl": [lambda c: c.ttl("value")],
    "validate_key": [lambda c: c.validate_key("value")],
    "zadd": [lambda c: c.zadd("scores", {"c": 3.0}), lambda c: c.zadd("made", {"a": 1.0})],
    "zcard": [lambda c: c.zcard("scores")],
    "zcount": [lambda c: c.zcount("scores", 0, 9)],
    "zincrby": [lambda c: c.zincrby("scores", 1.0, "a"), lambda c: c.zincrby("made", 1.0, "a")],
    "zpopmax": [lambda c: c.zpopmax("scores")],
    "zpopmin": [lambda c: c.zpopmin("scores")],
    "zrange": [lambda c: c.zrange("scores", 0, -1)],
    "zrangebyscore": [lambda c: c.zrangebyscore("scores", 0, 9)],
    "zrank": [lambda c: c.zrank("scores", "a")],
    "zrem": [lambda c: c.zrem("scores", "a")],
    "zremrangebyscore": [lambda c: c.zremrangebyscore("scores", 0, 1)],
    "zrevrange": [lambda c: c.zrevrange("scores", 0, -1)],
    "zrevrangebyscore": [lambda c: c.zrevrangebyscore("scores", 9, 0)],
    "zscore": [lambda c: c.zscore("scores", "a")],
}

MANAGER_VERBS = {
    "clear": [lambda m: m.clear()],
    "decr": [lambda m: m.decr("number"), lambda m: m.decr("made")],
    "delete": [lambda m: m.delete("value"), *(lambda m, name=name: m.delete(name) for name in THEIRS)],
    "delete_many": [lambda m: m.delete_many(["value", *THEIRS])],
    "delete_pattern": [lambda m, pattern=pattern: m.delete_pattern(pattern) for pattern in PATTERNS],
    "expire": [lambda m: m.expire("value", 60), lambda m: m.expire("value"), lambda m: m.expire("celery")],
    "get": [lambda m: m.get("value"), lambda m: m.get("value", type=str)],
    "get_many": [lambda m: m.get_many(["value", "celery"])],
    "get_or_set": [
        lambda m: m.get_or_set("made", lambda: 1),
        lambda m: m.get_or_set("more", lambda: [1], 5),
        lambda m: m.get_or_set("tagged", lambda: [1], 5, tags=THEIRS, grace=5),
    ],
    "get_or_set_many": [lambda m: m.get_or_set_many(["value", "celery", "more"], lambda keys: dict.fromkeys(keys, 1))],
    "get_stats": [lambda m: m.get_stats()],
    "lock": [*(lambda m, name=name: m.lock(name, 5).acquire() for name in THEIRS)],
    "has": [lambda m: m.has("value")],
    "incr": [lambda m: m.incr("number"), lambda m: m.incr("made"), lambda m: m.incr("more", 5, 60)],
    "invalidate_tags": [lambda m: m.invalidate_tags("tag", *THEIRS)],
    "set": [
        lambda m: m.set("value", 1),
        lambda m: m.set("value", 1, tags=["tag", *THEIRS], grace=5),
        lambda m: m.set("value", [1], 60),
        *(lambda m, name=name: m.set(name, "ours") for name in THEIRS),
    ],
    "set_many": [lambda m: m.set_many(dict.fromkeys([*THEIRS, "a", "b"], 1)), lambda m: m.set_many({"c": 1}, 60)],
    "test_connection": [lambda m: m.test_connection()],
    "touch": [lambda m: m.touch("value"), lambda m: m.touch("value", 60), lambda m: m.touch("celery", 1)],
    "ttl": [lambda m: m.ttl("value")],
}

CLIENT_VERBS = {
    **MANAGER_VERBS,
    "get_json": [lambda m: m.get_json("value"), lambda m: m.get_json("celery")],
    "bulk_get": [lambda m: m.bulk_get(["value", "celery", "none"])],
    "bulk_set": [lambda m: m.bulk_set({"celery": [1], "value": 2}), lambda m: m.bulk_set([("made", 1)], 5)],
    "warm": [lambda m: m.warm({"celery": int, "value": int}, at_once=1), lambda m: m.warm([("made", int)])],
    "get_many_json": [lambda m: m.get_many_json(["value", "celery"])],
    "health_check": [lambda m: m.health_check()],
    "refresh": [*(lambda m, name=name: m.refresh(name, lambda: "ours", tags=THEIRS) for name in THEIRS)],
    "set_json": [lambda m: m.set_json("celery", {"a": 1}), lambda m: m.set_json("value", 1, 60)],
    "set_many_json": [lambda m: m.set_many_json({"celery": [1], "value": 2})],
}

NO_IO = {"batch", "funnel", "memoize"}
"""What only makes an object whose own calls are verbs of the table."""

TABLES = {DripCache: BACKEND_VERBS, CacheManager: MANAGER_VERBS, CacheClient: CLIENT_VERBS}


def public_verbs(kind):
    """Return the names of the public methods of a class, whoever defined them."""
    return [name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_") and name not in NO_IO]


def calls(kind):
    """Yield each verb of a class with each of its calls, as a name, a call, and whether it is for the async twin."""
    table = TABLES[kind]
    for name in public_verbs(kind):
        twin = name not in table
        for call in table[name[1:] if twin else name]:
            yield name, call, twin


def fill(target):
    """Put something there for every verb to work on."""
    target.set("value", "v")
    target.set("number", 5)
    if isinstance(target, DripCache):
        target.sadd("members", "a", "b")
        target.sadd("others", "b", "c")
        target.hset("hash", "field", "v")
        target.zadd("scores", {"a": 1.0, "b": 2.0})


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_the_table_has_arguments_for_every_public_verb_and_for_no_other(kind):
    table, verbs = TABLES[kind], public_verbs(kind)
    assert [name for name in verbs if name not in table and not (name[0] == "a" and name[1:] in table)] == []
    assert [name for name in table if name not in verbs] == []


# The queue


class Queue:
    """What lies in a database beside the cache, as it is byte for byte."""

    def __init__(self, look, root):
        self.look = look
        self.root = root.encode()

    def names(self):
        names = sorted(self.look.scan_iter(count=5000))
        ours = [name for name in names if name.startswith(self.root)]
        return ours, [name for name in names if not name.startswith(self.root)]

    def theirs(self):
        """Return every key that is not ours: what it is, what it holds, and whether it has an end."""
        _, names = self.names()
        with self.look.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.type(name).dump(name).pttl(name)
            replies = pipe.execute()
        return {
            name: (kind, dump, left == -1)
            for name, kind, dump, left in zip(names, replies[::3], replies[1::3], replies[2::3], strict=True)
        }

    def immortals(self):
        """Return our keys that have no end."""
        ours, _ = self.names()
        with self.look.pipeline(transaction=False) as pipe:
            for name in ours:
                pipe.pttl(name)
            return [name for name, left in zip(ours, pipe.execute(), strict=True) if left == -1]


def fill_queue(app, look, prefix):
    """Queue the tasks, and put beside them what else of Celery's and of strangers there may be."""
    for number in range(TASKS):
        app.send_task("tests.note", ("notes", number), priority=(0, 0, 3, 6, 9)[number % 5])
    for number in range(20):
        app.backend.store_result(f"done-{number}", {"n": number}, "SUCCESS")
    # One is in the hands of a worker that was lost long ago; the next worker takes it back from there.
    message = json.loads(look.rpop(f"{prefix}celery"))
    tag = message["properties"]["delivery_tag"]
    look.hset(f"{prefix}unacked", tag, json.dumps([message, "", "celery"]))
    look.zadd(f"{prefix}unacked_index", {tag: 1.5})
    look.sadd(f"{prefix}_kombu.binding.other", "x\x06\x16\x06\x16other")
    strangers = ["dripcache", "dripcache2:d::1:a", "Dripcache:d::1:a", "x:dripcache:d::1:a", "*", "a[b", "session:1"]
    for name in (*strangers, b"\xff\xfe\x00", "drip*", "d::1:value", ":1:value", "c:value"):
        look.set(name, b"a stranger's")
    look.expire("session:1", 3600)


def queued(look, prefix):
    """Return how many tasks wait, in queues of all priorities and in a worker's hands."""
    lists = [name for name in look.scan_iter(f"{prefix}celery*") if look.type(name) == b"list"]
    return sum(map(look.llen, lists)) + look.hlen(f"{prefix}unacked")


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")
@pytest.mark.parametrize(
    "prefix", ["", "dripcache:"], ids=["without a prefix", "with celery's prefix equal to our name"]
)
def test_a_thousand_tasks_stay_byte_for_byte_through_every_verb_and_a_real_worker_runs_them_all(start_server, prefix):
    server = start_server(maxmemory="256mb", maxmemory_policy="volatile-lru")
    conf = {
        "result_backend": server.url,
        "broker_transport_options": {"global_keyprefix": prefix},
        "result_backend_transport_options": {"global_keyprefix": prefix},
    }
    loop = asyncio.new_event_loop()
    problems = []
    with server.client() as look, shop(server.url, {**PATIENT, "ON_OUTAGE": "raise"}, timeout=None, **conf) as app:
        fill_queue(app, look, prefix)
        queue = Queue(look, namespace_root())
        assert queue.root == prefix.encode() + b"dripcache:"
        before = queue.theirs()
        assert queued(look, prefix) == TASKS
        assert len(before) > 40
        targets = [
            caches["default"],
            CacheManager(),
            CacheManager(namespace="celery", max_keys=4),
            CacheManager(default_ttl=5),
            CacheClient(),
            CacheClient(prefix="celery"),
        ]
        try:
            for target in targets:
                for name, call, twin in calls(type(target)):
                    fill(target)
                    # A key may be of another type, or not there: what was left behind counts.
                    with contextlib.suppress(ValueError, redis.ResponseError):
                        call(Driven(target, loop if twin else None))
                    after = queue.theirs()
                    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
                    if changed or queue.immortals():
                        problems.append((target, name, changed, queue.immortals()))
                    caches["default"].clear()
                    target.clear()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        assert problems == []
        # No clear() removes locks, nor that of a client with a prefix the tags, which others share. They expire.
        assert [name for name in queue.names()[0] if not re.search(rb"dripcache:[kt][.:]", name)] == []
        assert queued(look, prefix) == TASKS
        with Worker(server.url, "-P", "prefork", "-c2", celery=conf):
            wait_for(lambda: look.llen("notes") >= TASKS, 30, step=0.1)
            wait_for(lambda: queued(look, prefix) == 0, 5)
        assert sorted(map(int, look.lrange("notes", 0, -1))) == list(range(TASKS))
        app.backend.client.connection_pool.disconnect()


# Names that would like to be someone else's


def test_a_key_function_of_the_sites_own_cannot_lead_to_a_task(redis_server, raw):
    raw.lpush("celery", b"a task")
    alias = {
        "BACKEND": "django_dripcache.backend.DripCache",
        "LOCATION": redis_server.url,
        "KEY_FUNCTION": "tests.whole.test_celery_safety.bare",
    }
    with override_settings(CACHES={"default": alias}, DRIPCACHE={}):
        try:
            cache.set("celery", 1)
            assert cache.get("celery") == 1
            cache.delete("celery")
            cache.delete_pattern("*")
            cache.clear()
        finally:
            close_all()
    assert raw.lrange("celery", 0, -1) == [b"a task"]


def bare(key, prefix, version):
    return key


@pytest.mark.parametrize("prefix", ["*", "[a-z]", "?", "\\", "celery", "dripcache"])
def test_an_alias_clears_its_own_prefix_alone_whatever_it_is(redis_server, raw, prefix):
    one = {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": redis_server.url}
    raw.lpush("celery", b"a task")
    with override_settings(CACHES={"default": {**one, "KEY_PREFIX": prefix}, "other": one}, DRIPCACHE={}):
        try:
            cache.set("a", 1)
            caches["other"].set("a", 2)
            assert CacheManager().set("a", 3)
            cache.delete_pattern("*")
            assert cache.get("a") is None
            cache.set("a", 1, version=5)
            cache.clear()
            assert cache.get("a", version=5) is None
            assert caches["other"].get("a") == 2
            assert CacheManager().get("a") == 3
        finally:
            close_all()
    assert raw.lrange("celery", 0, -1) == [b"a task"]


@pytest.mark.parametrize("prefix", ["*", "s*p:", "shop[1]:", "?:", "\\", "a\\*b:", "[^x]"])
def test_a_prefix_of_celerys_that_is_a_pattern_matches_itself_alone(redis_server, raw, prefix):
    raw.lpush(f"{prefix}celery", b"a task")
    for name in ("shop1:", "sp:", "x:", "", "axb:", "a*b:"):
        raw.set(f"{name}dripcache:d::1:a", b"a stranger's")
    before = raw.dbsize()
    options = {"global_keyprefix": prefix}
    with site(None, CELERY_BROKER_URL=redis_server.url, CELERY_BROKER_TRANSPORT_OPTIONS=options) as backend:
        for remove in (backend.clear, lambda: backend.delete_pattern("*"), CacheManager().clear):
            backend.set("a", 1)
            CacheManager().set("a", 1)
            assert raw.exists(f"{prefix}dripcache:d::1:a")
            remove()
        backend.clear()
        CacheManager().clear()
        assert backend.keys("*") == []
    assert raw.dbsize() == before
    assert raw.lrange(f"{prefix}celery", 0, -1) == [b"a task"]


@pytest.mark.parametrize("name", ["celery", "unacked", "dripcache", "", "other:d::1:a"])
def test_a_ready_made_key_that_is_not_ours_is_refused(redis_server, raw, name):
    """django-redis takes a CacheKey as it is; one that somebody made up must not reach another's key."""
    if name:
        raw.lpush(name, b"a task")
    before = raw.lrange(name, 0, -1) if name else []
    with site(redis_server.url) as backend:
        made_up = CacheKey(name)
        for verb in (
            lambda: backend.set(made_up, 1),
            lambda: backend.set_many({made_up: 1}),
            lambda: backend.touch(made_up, 1),
            lambda: backend.expire(made_up, 1),
            lambda: backend.sadd(made_up, 1),
            lambda: backend.delete(made_up),
            lambda: backend.delete_many([made_up]),
        ):
            with pytest.raises(ValueError, match="key"):
                verb()
        backend.delete_pattern(made_up)
    assert (raw.lrange(name, 0, -1) if name else []) == before
    assert raw.dbsize() == bool(name)


def test_a_ready_made_key_of_ours_is_taken_as_it_is(redis_server, raw):
    with site(redis_server.url) as backend:
        backend.set("a", 1)
        key = backend.client.make_key("a")
        assert isinstance(key, CacheKey)
        assert backend.get(key) == 1
        assert backend.delete(key)


# A server that is full


def test_a_cache_that_fills_the_server_loses_no_task_and_lets_others_be_published(start_server):
    server = start_server(maxmemory="20mb", maxmemory_policy="volatile-lru")
    with shop(server.url) as app, server.client() as look:
        for number in range(100):
            app.send_task("tests.note", ("notes", number))
        tasks = look.lrange("celery", 0, -1)
        value = os.urandom(100_000)
        for number in range(400):
            cache.set(f"big-{number}", [number, value], None)
        assert look.info("stats")["evicted_keys"] > 50
        assert look.lrange("celery", 0, -1) == tasks
        app.send_task("tests.note", ("notes", 100))
        assert look.llen("celery") == 101
        assert cache.get("big-399") == [399, value]


# Redis away


NO_NUMBER = {"decr", "decr_version", "incr", "incr_version"}
"""A sum that cannot be had is a ValueError, as Django's contract has it."""

NO_FALLBACK = {"lock"}
"""Django-redis' own verbs that raise while Redis is away, as the documentation says."""


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_while_redis_is_away_each_verb_returns_quickly_and_raises_what_is_documented_or_nothing(kind):
    loop = asyncio.new_event_loop()
    problems = []
    with site("redis://127.0.0.1:1/0", {}) as backend:
        target = backend if kind is DripCache else kind()
        for name, call, twin in calls(kind):
            verb = name[1:] if twin else name
            began = time.monotonic()
            try:
                call(Driven(target, loop if twin else None))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                expected = verb in NO_NUMBER and type(error) is ValueError
                expected |= verb in NO_FALLBACK and isinstance(error, (CacheUnavailableError, redis.ConnectionError))
                if not expected:
                    problems.append(f"{name}: {error!r}")
            if time.monotonic() - began > 0.5:
                problems.append(f"{name} is slow")
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    assert problems == []
