"""
Real processes for the tests: a Celery app and its workers, Python scripts of their own, and a wire that can be cut.

Whatever is started here is stopped by its pid, and whoever waits does so with an end.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import redis
import trustme
from celery import Celery
from django.core.cache import cache, caches
from django.test import override_settings
from kombu import pools

from django_dripcache.connections import close_all
from django_dripcache.testing.server import RedisServer, find_binary, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

ROOT = Path(__file__).resolve().parent.parent
UNREACHABLE = "redis://127.0.0.1:1/0"

PATIENT = {"SOCKET_TIMEOUT": 5, "POOL_WAIT": 5}
"""Options of an alias for tests that are not about time, on a machine that may be busy."""

NEAR: dict[str, Any] = {"NEAR": {}} if os.environ.get("DRIPCACHE_TEST_NEAR") else {}
"""Options of an alias for ``make near``: the tests of what the verbs do, with a near cache before Redis."""

needs_server = pytest.mark.skipif(find_binary() is None, reason="There is no redis-server here, only fakeredis.")


def wait_for(what: Callable[[], Any], seconds: float = 10.0, step: float = 0.01) -> Any:
    """Return the first true answer of ``what``, or fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > deadline:
            message = f"Nothing came within {seconds} seconds; the last answer was {answer!r}."
            raise AssertionError(message)
        time.sleep(step)


def in_threads(count: int, work: Callable[[int], Any], seconds: float = 30.0) -> list[Any]:
    """Run ``work(0)``, ``work(1)`` ... each in a thread; return what they return, or raise what one of them raised."""
    with ThreadPoolExecutor(count) as executor:
        futures = [executor.submit(work, number) for number in range(count)]
        return [future.result(timeout=seconds) for future in futures]


HANDSHAKE = frozenset({"AUTH", "CLIENT", "HELLO", "SELECT"})


def sent(raw: redis.Redis, call: Callable[[], Any]) -> list[str]:
    """Return the commands of a call, as the server tells them; but for those of scripts and of a handshake."""
    with raw.monitor() as monitor:
        call()
        raw.echo("the end")
        lines = takewhile(lambda line: "the end" not in line["command"], monitor.listen())
        commands = [line["command"] for line in lines if line["client_type"] != "lua"]
    return [command for command in commands if command.split(" ", 1)[0].upper() not in HANDSHAKE]


def verbs_sent(raw: redis.Redis, call: Callable[[], Any]) -> list[str]:
    """Return the first word of each command of a call. See sent()."""
    return [command.split(" ", 1)[0] for command in sent(raw, call)]


@contextlib.contextmanager
def site(
    url: str | None, options: dict[str, Any] | None = None, *, timeout: float | None = 300, **settings: Any
) -> Iterator[Any]:
    """
    Point the alias ``default`` at ``url`` (None: at the broker) for a while, and yield its backend.

    It is ``PATIENT`` if no ``options`` are given; ``{}`` are the defaults of the library. In ``make near`` it has a
    near cache, which is connected, unless the test is marked ``far``.
    """
    asked = {**NEAR, **(PATIENT if options is None else options)}
    alias = {"BACKEND": "django_dripcache.backend.DripCache", "OPTIONS": asked, "TIMEOUT": timeout}
    if url is not None:
        alias["LOCATION"] = url
    with override_settings(CACHES={"default": alias}, **{"DRIPCACHE": {}, **settings}):
        try:
            come_near()
            yield caches["default"]
        finally:
            close_all()


def come_near() -> None:
    """Wait until the near cache of the alias ``default`` is connected, in ``make near``, or has failed to."""
    if not NEAR:
        return
    with contextlib.suppress(Exception):  # the test is about settings that are wrong
        near = caches["default"].client.server.near
        while near is not None and near.stats().reason in {"nothing was read yet", "it connects"}:
            near.get(b"")
            time.sleep(0.001)


@contextlib.contextmanager
def shop(
    url: str,
    options: dict[str, Any] | None = None,
    dripcache: dict[str, Any] | None = None,
    *,
    timeout: float | None = 300,
    **conf: Any,
) -> Iterator[Any]:
    """Point the site and a Celery app at one Redis for a while, and yield that app. See site()."""
    ours, name = make_app(url, **conf), "tests.processes.app"
    settings = {"CELERY_APP": name, **(dripcache or {})}
    with mock.patch(name, ours), site(None, options, timeout=timeout, DRIPCACHE=settings):
        try:
            yield ours
        finally:
            tear_down(ours)
            ours.close()


def be_patient() -> None:
    """Give the alias ``default`` of this process patience, in a script of its own."""
    override_settings(
        CACHES={"default": {"BACKEND": "django_dripcache.backend.DripCache", "OPTIONS": {**NEAR, **PATIENT}}}
    ).enable()


def tear_down(app: Celery) -> None:
    """Close every connection that kombu keeps for an app; it makes new ones when it needs them."""
    app.pool.force_close_all()
    pools.reset()
    app._after_fork()


def named(client: Any, role: str = "") -> list[str]:
    """Return the names of the connections that are ours, as the server lists them."""
    names = [connection["name"] for connection in client.client_list()]
    return [name for name in names if name.startswith(f"dripcache:{role}")]


def make_app(url: str, name: str = "shop", **conf: Any) -> Celery:
    """Return a Celery app with two tasks; it is nobody's current app."""
    app = Celery(name, broker=url, set_as_current=False)
    app.conf.update(task_default_queue="celery", broker_connection_retry_on_startup=True, **conf)

    @app.task(name="tests.note", shared=False)
    def note(key: str, value: Any) -> Any:
        """Write down in Redis that this task ran, by a client of its own."""
        with redis.Redis.from_url(os.environ["DRIPCACHE_TEST_NOTES"]) as client:
            client.rpush(key, str(value))
        return value

    @app.task(name="tests.remember", shared=False)
    def remember(key: str, value: Any) -> Any:
        """Use the cache from within a task."""
        cache.set(key, value, 60)
        cache.add("seen", 0, 60)
        cache.incr("seen")
        return cache.get(key)

    @app.task(name="tests.chain", shared=False)
    def chain(key: str, depth: int) -> None:
        """Publish from within a worker."""
        if depth > 0:
            app.send_task("tests.chain", (key, depth - 1))
        else:
            app.send_task("tests.note", (key, depth))

    return app


app = make_app(
    os.environ.get("DRIPCACHE_TEST_URL", UNREACHABLE),
    **json.loads(os.environ.get("DRIPCACHE_TEST_CELERY", "{}")),
)
"""The app of the workers, set up by their environment; a test puts its own in the place of this one."""


def environment(url: str, **extra: str) -> dict[str, str]:
    """Return the environment of a process whose site is at ``url``."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DRIPCACHE_TEST_URL": url,
        "DRIPCACHE_TEST_NOTES": url,
        "DRIPCACHE_TEST_NEAR": "1" if NEAR else "",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error::ResourceWarning",
        **extra,
    }


@contextlib.contextmanager
def interpreter(url: str) -> Iterator[Callable[[str], None]]:
    """Start another process of the site at ``url``, with all of the package at hand; yield what runs a line in it."""
    code = """
import django, sys
django.setup()
from django.core.cache import cache as django_cache
from django_dripcache import *
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(url),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def do(line: str) -> None:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"

    try:
        yield do
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def run_python(code: str, url: str, *, timeout: float = 30.0, **extra: str) -> Any:
    """Run a script in a process of its own and return what its last line says in JSON."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(
        command,
        env=environment(url, **extra),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its children too: all are of our own session
            out, err = process.communicate()
            message = f"The script did not end within {timeout} seconds.\n{out}\n{err}"
            raise AssertionError(message) from None
    if process.returncode != 0:
        message = f"The script ended with {process.returncode}.\n{out}\n{err}"
        raise AssertionError(message)
    return json.loads(out.strip().splitlines()[-1])


class Worker:
    """A real Celery worker of ``tests.processes.app``, started for a ``with`` block and stopped by its pid."""

    def __init__(self, url: str, *arguments: str, celery: dict[str, Any] | None = None, **extra: str) -> None:
        self.url = url
        self.arguments = arguments
        self.environment = environment(url, DRIPCACHE_TEST_CELERY=json.dumps(celery or {}), **extra)
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "celery", "-A", "tests.processes:app", "worker", "--without-mingle"]
        self.process = subprocess.Popen(
            [*command, "--without-gossip", "--loglevel", "INFO", *self.arguments],
            env=self.environment,
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            wait_for(lambda: self._says(" ready.") or self.process.poll() is not None, 20)
            assert self.process.poll() is None, self.log
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def stop(self) -> None:
        """End the worker and its children."""
        process = self.process
        if process is None:
            return
        self.process = None
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the worker leads a session of its own
            process.wait(timeout=5)
        self._reader.join(timeout=5)
        process.stdout.close()

    def _read(self) -> None:
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def _says(self, text: str) -> bool:
        return any(text in line for line in list(self.lines))


class Wire:
    """
    A TCP wire to a server, on a free port of loopback, which loses replies on demand.

    After ``lose(word)``, the next request that holds ``word`` reaches the server and its reply is swallowed; the wire
    is then silent, or cut with ``cut=True``. ``seen`` counts the requests with that word, each time they are sent.
    """

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.seen = 0
        self._word = b""
        self._armed = False
        self._cut = False
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)

    def lose(self, word: bytes, *, cut: bool = False) -> None:
        self._word, self._cut, self._armed, self.seen = word, cut, True, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end(self._listener)
        for opened in list(self._sockets):
            self._end(opened)
        for thread in self._threads:
            thread.join(timeout=5)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.upstream))
            self._sockets += [near, far]
            lost = threading.Event()
            self._start(self._requests, near, far, lost)
            self._start(self._replies, near, far, lost)

    def _requests(self, near: socket.socket, far: socket.socket, lost: threading.Event) -> None:
        while data := _received(near):
            if self._word and self._word in data:
                self.seen += 1
                if self._armed:
                    self._armed = False
                    lost.set()
            if not _sent(far, data):
                break
        self._end(far)

    def _replies(self, near: socket.socket, far: socket.socket, lost: threading.Event) -> None:
        while data := _received(far):
            if self._cut if lost.is_set() else not _sent(near, data):
                break
        self._end(near)

    @staticmethod
    def _end(opened: socket.socket) -> None:
        with contextlib.suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)
        opened.close()


def _received(opened: socket.socket) -> bytes:
    try:
        return opened.recv(65536)
    except OSError:
        return b""


def _sent(opened: socket.socket, data: bytes) -> bool:
    try:
        opened.sendall(data)
    except OSError:
        return False
    return True


class Watched:
    """A master, its replica and a Sentinel that watches them under the name ``shop``."""

    def __init__(self, start_server: Callable[..., RedisServer], directory: Path, password: str = "") -> None:
        self.master = start_server()
        self.replica = start_server(replicaof=f"127.0.0.1 {self.master.port}")
        self.port = free_port()
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {directory}",
            f"sentinel monitor shop 127.0.0.1 {self.master.port} 1",
            "sentinel down-after-milliseconds shop 300",
            "sentinel failover-timeout shop 3000",
        ]
        if password:
            lines.append(f"requirepass {password}")
        (directory / "sentinel.conf").write_text("\n".join(lines))
        self.process = subprocess.Popen(
            [find_binary(), str(directory / "sentinel.conf"), "--sentinel"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.client = redis.Redis(port=self.port, protocol=2, password=password or None, socket_timeout=5)
        wait_for(self._knows_the_replica, 15)

    def _knows_the_replica(self) -> bool:
        with contextlib.suppress(redis.ConnectionError, redis.ResponseError):
            replicas = self.client.sentinel_slaves("shop")
            return any(not replica["is_sdown"] and not replica["is_disconnected"] for replica in replicas)
        return False

    def url(self, *others: int) -> str:
        """Return the URL of the Sentinel, after those of others on this host."""
        return ";".join(f"sentinel://127.0.0.1:{port}/0" for port in (*others, self.port))

    def stop(self) -> None:
        """End the Sentinel; the servers are ended by who started them."""
        gc.collect()  # what was left open is told here, not in another test
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=5)


@contextlib.contextmanager
def tls_only(directory: Path) -> Iterator[RedisServer]:
    """Start a server that wants TLS with certificates of both sides on ``tls_port``, or skip the test."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    port = free_port()
    config = {
        "tls_port": str(port),
        "tls_cert_file": str(directory / "cert.pem"),
        "tls_key_file": str(directory / "key.pem"),
        "tls_ca_cert_file": str(directory / "ca.pem"),
        "tls_auth_clients": "yes",
    }
    for binary in _binaries():
        with mock.patch("django_dripcache.testing.server.find_binary", return_value=binary):
            try:
                server = RedisServer(**config).start()
            except RuntimeError:
                continue  # it was built without TLS
        break
    else:
        pytest.skip("No redis-server here was built with TLS.")
    server.tls_port, server.directory = port, directory
    try:
        yield server
    finally:
        server.stop()


def _binaries() -> Iterator[str]:
    """Yield every server that could be started: that of an environment of Python may stand before the system's."""
    for directory in os.get_exec_path():
        for name in ("redis-server", "valkey-server"):
            found = shutil.which(name, path=directory)
            if found is not None:
                yield found


def tls_files(server: RedisServer) -> dict[str, str]:
    """Return redis-py's arguments for the certificates of a server of ``tls_only()``."""
    files = {"ssl_ca_certs": "ca.pem", "ssl_certfile": "cert.pem", "ssl_keyfile": "key.pem"}
    return {argument: str(server.directory / name) for argument, name in files.items()}


def tls_url(server: RedisServer, host: str = "127.0.0.1", **changed: Any) -> str:
    """Return the URL of a server of ``tls_only()``, with some of its certificates changed."""
    query = "&".join(f"{name}={value}" for name, value in {**tls_files(server), **changed}.items())
    return f"rediss://{host}:{server.tls_port}/2?{query}"
