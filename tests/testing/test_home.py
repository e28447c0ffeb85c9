"""The server for tests: which one it is, what is said if there is none, and that it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from django_dripcache.address import Address
from django_dripcache.exceptions import ConfigurationError
from django_dripcache.testing import home as homes
from django_dripcache.testing.fake import FakeServer
from django_dripcache.testing.home import VARIABLE, Home
from django_dripcache.testing.server import RedisServer
from tests.processes import needs_server, wait_for

from .conftest import stop_home
from .project import ROOT


@pytest.fixture
def make_home():
    made = []

    def make(server):
        made.append(Home(server))
        return made[-1]

    yield make
    for home in made:
        home.stop()


@pytest.mark.parametrize(
    ("server", "binary", "kind"),
    [
        ("fakeredis", True, FakeServer),
        ("fakeredis", False, FakeServer),
        ("auto", False, FakeServer),
        pytest.param("auto", True, RedisServer, marks=needs_server),
        pytest.param("redis", True, RedisServer, marks=needs_server),
    ],
)
def test_the_first_that_is_there_is_started(make_home, monkeypatch, server, binary, kind):
    if not binary:
        monkeypatch.setattr(homes, "find_binary", lambda: None)
    home = make_home(server)
    assert type(home._started) is kind
    assert home.link(home.broker("place")).pool.get_connection()


def test_a_url_is_used_as_it_is_and_nothing_is_started(make_home, redis_server):
    home = make_home(redis_server.url.replace("/0", "/5"))
    assert home._started is home._guard is None
    assert [home.broker(place).addresses[0].db for place in ("a", "b", "a", "c")] == [5, 6, 5, 7]


@pytest.mark.parametrize("server", ["", "Redis", "fake", "localhost:6379"])
def test_what_is_unknown_is_told(make_home, server):
    with pytest.raises(ConfigurationError, match=r"Allowed are 'auto', 'redis', 'fakeredis', and a URL such as"):
        make_home(server)


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("http://localhost/", "http"),
        ("sentinel://localhost/?master_name=m", "Allowed is the URL of one server"),
        ("redis://one/;redis://two/", "Allowed is the URL of one server"),
    ],
)
def test_a_url_that_is_of_no_use_is_told(make_home, server, message):
    with pytest.raises(ConfigurationError, match=message):
        make_home(server)


def test_a_server_that_does_not_answer_is_told_without_its_password(make_home):
    home = make_home("redis://user:secret@127.0.0.1:1/0")
    with pytest.raises(ConfigurationError, match=r"cannot be used \(.*refused.*\)\. Fix dripcache_server") as caught:
        home.broker("place")
    assert "secret" not in str(caught.value)


def test_one_place_too_many_is_told(make_home):
    home = make_home("fakeredis")
    for place in range(16):
        home.broker(place)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"/16, cannot be used .*one more of its databases"):
            home.broker("one more")
    assert home.broker(7).addresses == (Address(port=home.broker(0).addresses[0].port, db=7),)


@pytest.mark.parametrize(
    ("server", "hidden", "message"),
    [
        ("auto", "fakeredis", r"There is neither a redis-server nor fakeredis\[lua\] for the tests\. pip install"),
        ("auto", "lupa", r"There is neither a redis-server nor fakeredis\[lua\]"),
        ("fakeredis", "lupa", r"There is no fakeredis\[lua\] for the tests"),
        ("redis", "", r"There is no redis-server for the tests"),
    ],
)
def test_what_is_missing_is_told(make_home, monkeypatch, server, hidden, message):
    monkeypatch.setattr(homes, "find_binary", lambda: None)
    if hidden:
        monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(ConfigurationError, match=message):
        make_home(server)


def test_one_home_serves_a_process_and_may_be_stopped_twice(monkeypatch):
    monkeypatch.setenv(VARIABLE, "fakeredis")
    stop_home()
    first = homes.get_home()
    assert homes.get_home() is first
    stop_home()
    first.stop()
    assert homes.get_home() is not first
    stop_home()


# It ends with its process

SCRIPT = """
import json, os, signal, sys, time
from django.conf import settings
settings.configure()
from django_dripcache.testing.home import get_home
home = get_home()
process = home._started.process
print(json.dumps([home._started.port, process.args[process.args.index("--dir") + 1]]), flush=True)
exec(sys.argv[1])
"""


@needs_server
@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "raise SystemExit(3)",
        "os._exit(0)",
        "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "home.stop()",
    ],
)
def test_a_server_ends_with_the_process_that_started_it(end):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, end],
        cwd=ROOT,
        env={**os.environ, VARIABLE: "redis"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    port, directory = json.loads(done.stdout)
    assert "Warning" not in done.stderr

    def is_gone():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0 and not Path(directory).exists()

    wait_for(is_gone)


@needs_server
def test_a_forked_child_that_ends_stops_no_server_of_its_parent(make_home):
    home = make_home("redis")
    child = os.fork()
    if not child:
        try:
            home.stop()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert home.broker("place")
    assert home._started.process.poll() is None
