"""The server that is fakeredis: what it answers is what Redis does."""

from __future__ import annotations

import socket
import threading
from hashlib import sha1

import pytest
import redis

from django_dripcache.flows.steps import digest, source
from django_dripcache.testing import RedisServer
from django_dripcache.testing.fake import FakeServer

UNDECODABLE = b"\x00\r\n'\\\xff\xde"


@pytest.fixture(params=["fake", "real"])
def client(request):
    server = FakeServer().start() if request.param == "fake" else RedisServer().start()
    with redis.Redis.from_url(server.url, protocol=2) as client:
        yield client
    server.stop()


def answer(client, *command):
    try:
        return client.execute_command(*command)
    except redis.ResponseError as error:
        return f"{getattr(error, 'status_code', None) or ''} {error}"


def test_an_error_is_one_answer_and_the_connection_goes_on(client):
    client.set("text", "a")
    pipeline = client.pipeline(transaction=False)
    pipeline.set("before", 1).lpush("text", 1).incr("text").get("before").execute_command("NOSUCH")
    before, of_type, of_number, after, unknown = pipeline.execute(raise_on_error=False)
    assert (before, after) == (True, b"1")
    assert "WRONGTYPE" in str(of_type) or of_type.status_code == "WRONGTYPE"
    assert "value is not an integer" in str(of_number)
    assert isinstance(unknown, redis.ResponseError)


def test_a_script_is_known_once_it_was_sent(client):
    with pytest.raises(redis.exceptions.NoScriptError):
        client.evalsha("0" * 40, 0)
    assert client.eval("return {ARGV[1], KEYS[1], 7, false}", 1, "key", "value") == [b"value", b"key", 7, None]
    assert client.evalsha(sha1(b"return {ARGV[1], KEYS[1], 7, false}").hexdigest(), 1, "k", "v")[:2] == [b"v", b"k"]
    assert client.script_load("return 1").encode() == sha1(b"return 1").hexdigest().encode()
    assert client.evalsha(sha1(b"return 1").hexdigest(), 0) == 1


def test_a_script_reads_the_text_of_an_error(client):
    client.set("text", "a")
    script = """
    local found = redis.pcall('LPUSH', KEYS[1], 1)
    return {string.find(found.err, 'WRONGTYPE', 1, true), redis.pcall('GET', KEYS[1])}
    """
    for _ in range(300):  # nothing piles up
        assert client.eval(script, 1, "text") == [1, b"a"]


def test_a_script_that_fails_is_an_error_of_one_line(client):
    for script in ("return redis.call('LPUSH', KEYS[1], 1)", "return nothing.at.all", "\n\nreturn ("):
        client.set("text", "a")
        with pytest.raises(redis.ResponseError):
            client.eval(script, 1, "text")
        assert client.get("text") == b"a"


@pytest.mark.parametrize("value", [b"", b"plain", UNDECODABLE, bytes(range(256))])
def test_a_value_is_known_by_its_digest(client, value):
    client.set("key", value)
    known = sha1(value).hexdigest()
    assert client.eval(source("discard"), 1, "key", "0" * 40) in (0, None)
    assert client.exists("key")
    assert client.eval(source("discard"), 1, "key", known)
    assert not client.exists("key")


def test_values_come_back_as_they_were(client):
    for value in (b"", UNDECODABLE, b"x" * 100_000, b"$-1\r\n", "\u00e9".encode()):
        client.set("key", value)
        assert client.get("key") == value
    assert client.get("other") is None
    client.zadd("set", {"a": 1.5, "b": 2})
    assert client.zrange("set", 0, -1, withscores=True) == [(b"a", 1.5), (b"b", 2.0)]
    assert answer(client, "MULTI") == b"OK"


def test_a_transaction_is_one_answer(client):
    with client.pipeline(transaction=True) as pipeline:
        assert pipeline.set("key", 1).incr("key").get("key").execute() == [True, 2, b"2"]


def test_databases_are_apart(client):
    client.set("key", 1)
    host = client.connection_pool.connection_kwargs
    with redis.Redis(host=host["host"], port=host["port"], db=3, protocol=2) as other:
        assert other.get("key") is None
        other.set("key", 2)
    assert client.get("key") == b"1"


@pytest.mark.parametrize("garbage", [b"PING\r\n", b"*x\r\n", b"*1\r\n$x\r\n", b"*2\r\n$4\r\nPING\r\n", b"\xff" * 100])
def test_one_who_speaks_otherwise_is_hung_up_on_and_nobody_else(garbage):
    server = FakeServer().start()
    with socket.create_connection(server.server_address, timeout=5) as stranger:
        stranger.sendall(garbage)
        stranger.shutdown(socket.SHUT_WR)
        assert stranger.recv(1) == b""
    with redis.Redis.from_url(server.url, protocol=2) as client:
        assert client.ping()
    server.stop()


def test_a_client_of_resp3_is_told():
    server = FakeServer().start()
    with redis.Redis.from_url(server.url, protocol=3) as client, pytest.raises(redis.RedisError, match="protocol"):
        client.ping()
    server.stop()


def test_after_its_end_nobody_listens_and_no_thread_is_left():
    server = FakeServer().start()
    with redis.Redis.from_url(server.url, protocol=2) as client:
        client.ping()
    server.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(server.server_address, timeout=5)
    assert "dripcache-fake" not in [thread.name for thread in threading.enumerate() if thread.is_alive()]


def test_the_scripts_of_the_package_are_known_by_the_names_that_are_sent():
    server = FakeServer().start()
    with redis.Redis.from_url(server.url, protocol=2) as client:
        assert client.script_load(source("read").decode("latin-1")).encode() == digest("read")
    server.stop()
