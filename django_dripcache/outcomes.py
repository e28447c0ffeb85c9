"""
What every public verb answers while Redis cannot be used.

Each table has calls, as one would write them, and the answer of each, or the exception that it raises. The tests make
each call without a server, and the documentation prints the tables. ``cache`` is any manager, ``django_cache`` the
Django backend; async twins answer the same.
"""

from __future__ import annotations

from typing import Final

MANAGERS: Final = {
    'cache.get("key", default="mine")': '"mine"',
    'cache.set("key", 1)': "False",
    'cache.get_or_set("key", lambda: "loaded")': '"loaded"',
    'cache.refresh("key", lambda: "loaded")': '"loaded"',
    'cache.get_or_set_many(["a", "b"], lambda keys: dict.fromkeys(keys, 1))': '{"a": 1, "b": 1}',
    'cache.delete("key")': "False",
    'cache.has("key")': "False",
    'cache.get_many(["a", "b"])': "{}",
    'cache.set_many({"a": 1, "b": 2})': '["a", "b"]',
    'cache.delete_many(["a", "b"])': "0",
    'cache.incr("counter")': "raises ValueError",
    'cache.decr("counter")': "raises ValueError",
    'cache.touch("key")': "False",
    'cache.expire("key")': "False",
    'cache.ttl("key")': "None",
    'cache.invalidate_tags("tag")': "0",
    "cache.clear()": "0",
    'cache.delete_pattern("*")': "0",
    "cache.get_stats()": "CacheStats(available=False)",
    "cache.health_check().status": '"unhealthy"',
    "cache.test_connection()": "False",
    'cache.get_json("key", default="mine")': '"mine"',
    'cache.set_json("key", {"a": 1})': "False",
    'cache.get_many_json(["a", "b"])': "{}",
    'cache.set_many_json({"a": 1, "b": 2})': '["a", "b"]',
    'cache.bulk_get(["a", "b"], default=0)': '{"a": 0, "b": 0}',
    'cache.bulk_set({"a": 1, "b": 2})': '["a", "b"]',
    'cache.warm({"a": lambda: 1}).done': "0",
}
"""The verbs of a manager or a client."""

BACKEND: Final = {
    'django_cache.add("key", 1)': "False",
    'django_cache.get("key", default="mine")': '"mine"',
    'django_cache.set("key", 1)': "False",
    'django_cache.touch("key")': "False",
    'django_cache.delete("key")': "False",
    'django_cache.get_many(["a", "b"])': "{}",
    'django_cache.set_many({"a": 1, "b": 2})': '["a", "b"]',
    'django_cache.delete_many(["a", "b"])': "None",
    'django_cache.get_or_set("key", lambda: "loaded")': '"loaded"',
    'django_cache.has_key("key")': "False",
    'django_cache.incr("counter")': "raises ValueError",
    'django_cache.decr("counter")': "raises ValueError",
    'django_cache.incr_version("key")': "raises ValueError",
    'django_cache.decr_version("key")': "raises ValueError",
    "django_cache.clear()": "None",
    'django_cache.delete_pattern("*")': "0",
    'django_cache.keys("*")': "[]",
    'list(django_cache.iter_keys("*"))': "[]",
    "django_cache.get_stats()": "CacheStats(available=False)",
    'django_cache.ttl("key")': "0",
    'django_cache.pttl("key")': "0",
    'django_cache.persist("key")': "False",
    'django_cache.expire("key", 5)': "False",
    'django_cache.pexpire("key", 5)': "False",
    'django_cache.expire_at("key", datetime(2030, 1, 1))': "False",
    'django_cache.pexpire_at("key", datetime(2030, 1, 1))': "False",
}
"""The verbs of Django's cache, and of django-redis."""

MEMBERS: Final = {
    'django_cache.sadd("set", 1)': "0",
    'django_cache.scard("set")': "0",
    'django_cache.sdiff("set", "other")': "set()",
    'django_cache.sdiffstore("new", "set", "other")': "0",
    'django_cache.sinter("set", "other")': "set()",
    'django_cache.sinterstore("new", "set", "other")': "0",
    'django_cache.sismember("set", 1)': "False",
    'django_cache.smismember("set", 1, 2)': "[False, False]",
    'django_cache.smembers("set")': "set()",
    'django_cache.smove("set", "other", 1)': "False",
    'django_cache.spop("set")': "None",
    'django_cache.srandmember("set")': "None",
    'django_cache.srem("set", 1)': "0",
    'django_cache.sscan("set")': "set()",
    'list(django_cache.sscan_iter("set"))': "[]",
    'django_cache.sunion("set", "other")': "set()",
    'django_cache.sunionstore("new", "set", "other")': "0",
    'django_cache.hset("hash", "field", 1)': "0",
    'django_cache.hdel("hash", "field")': "0",
    'django_cache.hexists("hash", "field")': "False",
    'django_cache.hkeys("hash")': "[]",
    'django_cache.hlen("hash")': "0",
    'django_cache.zadd("sorted", {"member": 1})': "0",
    'django_cache.zcard("sorted")': "0",
    'django_cache.zcount("sorted", 0, 9)': "0",
    'django_cache.zincrby("sorted", 1, "member")': "None",
    'django_cache.zpopmax("sorted")': "[]",
    'django_cache.zpopmin("sorted")': "[]",
    'django_cache.zrange("sorted", 0, 9)': "[]",
    'django_cache.zrangebyscore("sorted", 0, 9)': "[]",
    'django_cache.zrank("sorted", "member")': "None",
    'django_cache.zrem("sorted", "member")': "0",
    'django_cache.zremrangebyscore("sorted", 0, 9)': "0",
    'django_cache.zrevrange("sorted", 0, 9)': "[]",
    'django_cache.zrevrangebyscore("sorted", 9, 0)': "[]",
    'django_cache.zscore("sorted", "member")': "None",
}
"""The verbs for sets, hashes and sorted sets."""

LOCKS: Final = {
    'cache.lock("name", 10).acquire()': "False",
    'cache.lock("name", 10).release()': "False",
    'cache.lock("name", 10).extend()': "False",
    'cache.lock("name", 10).owned()': "False",
    'cache.lock("name", 10).__enter__()': "raises LockTimeoutError",
    'cache.funnel("name", 3, 10).acquire()': "False",
    'cache.funnel("name", 3, 10).__enter__()': "raises LockTimeoutError",
}
"""Locks and funnels: what cannot be had is not had."""

RAISING: Final = {
    'django_cache.lock("key").acquire()': "raises redis.ConnectionError",
}
"""What has no answer that would be safe, and raises whatever ``ON_OUTAGE`` says."""

AUTH: Final = {
    'auth_cache.get_token("token")': "raises CacheUnavailableError",
    'auth_cache.set_token("token")': "False",
    'auth_cache.clear_token("token")': "raises CacheUnavailableError",
    "auth_cache.clear(1)": "raises CacheUnavailableError",
    "auth_cache.clear()": "raises CacheUnavailableError",
    "auth_cache.create_state()": "raises CacheUnavailableError",
    'auth_cache.consume_state("state")': "raises CacheUnavailableError",
    "auth_cache.set(1, {})": "False",
    'auth_cache.get(1, default="mine")': '"mine"',
    "auth_cache.has(1)": "False",
    "auth_cache.refresh(1)": "False",
    "auth_cache.get_stats()": "AuthStats(available=False)",
}
"""The verbs of auth: what is a question of rights fails closed, whatever ``ON_OUTAGE`` says."""

SERVICES: Final = {
    'user_cache.get(1, "key", default="mine")': '"mine"',
    'user_cache.set(1, "key", "value")': "False",
    'user_cache.get_or_set(1, "key", lambda: "loaded")': '"loaded"',
    "user_cache.delete(1)": "False",
    "user_cache.keys(1)": "[]",
    'session_cache.set("id", {})': "False",
    'session_cache.get("id", default="mine")': '"mine"',
    'session_cache.touch("id")': "False",
    'session_cache.delete("id")': "False",
    "session_cache.list_for_user(1)": "[]",
    "session_cache.delete_for_user(1)": "0",
    "session_cache.delete_by_digest(1, '0' * 32)": "False",
    'api_cache.get("/path", default="mine")': '"mine"',
    'api_cache.set("/path", {})': "False",
    'api_cache.get_or_set("/path", lambda: "loaded")': '"loaded"',
    'api_cache.delete("/path")': "False",
    "api_cache.clear()": "None",
    'flags.get("name", default=True)': "True",
    'flags.set("name", True)': "False",
    'flags.delete("name")': "False",
    "flags.all()": "{}",
}
"""The verbs of the services, where nothing is known from before."""

LIMITS: Final = {
    'rate_limiter.hit("key", "10/m").degraded': "True",
    'rate_limiter.enforce("key", "10/m").degraded': "True",
    'rate_limiter.peek("key", "10/m").degraded': "True",
    'rate_limiter.reset("key", "10/m")': "False",
}
"""Rate limits: this process alone decides, whatever ``ON_OUTAGE`` says; a limiter has an ``on_outage`` of its own."""
