"""The example site under load while its Redis is frozen: pages go on, nobody is logged out, and it is back at once."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from django_dripcache.testing.server import RedisServer, free_port
from tests.processes import needs_server, wait_for

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "example_project"
THREADS = 8
FROZEN = 3.0

pytestmark = needs_server
pytest.importorskip("airportsdata")

FILL = """
import sys
import django; django.setup()
import demo_inside
demo_inside.fill_database("alice", sys.argv[1])
print(*demo_inside.airport_codes()[::997])
"""


class Page(NamedTuple):
    """An answer of the site: when it was asked for, how long it took, and what it said."""

    asked: float
    seconds: float
    status: int
    cache: str


class Visitor:
    """Somebody with a session, who keeps to one connection."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.cookies: dict[str, str] = {}

    def ask(self, path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[Any, str]:
        body = None if form is None else urllib.parse.urlencode(form)
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **headers}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request("GET" if form is None else "POST", path, body, sent)
        response = self.connection.getresponse()
        for header in response.headers.get_all("Set-Cookie", []):
            name, _, value = header.split(";")[0].partition("=")
            self.cookies[name] = value
        return response, response.read().decode()

    def log_in(self, password: str) -> None:
        _, page = self.ask("/accounts/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        form = {"username": "alice", "password": password, "csrfmiddlewaretoken": token[1]}
        response, _ = self.ask("/accounts/login/", form)
        assert response.status == 302
        assert "sessionid" in self.cookies

    def look(self, path: str, **headers: str) -> Page:
        asked = time.monotonic()
        response, _ = self.ask(path, **headers)
        return Page(asked, time.monotonic() - asked, response.status, response.headers.get("X-Cache", ""))


class Site:
    """The example site in a process of its own, its Redis, and eight people who are logged in."""

    def __init__(self, server: RedisServer, directory: Path) -> None:
        self.server = server
        self.port = free_port()
        self.password = secrets.token_hex(8)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {
            **kept,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "EXAMPLE_DEMO": "1",
            "EXAMPLE_VAR": str(directory),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{EXAMPLE}",
            "REDIS_URL": server.url,
        }
        filled = subprocess.run(
            [sys.executable, "-c", FILL, self.password],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        self.paths = [f"/airports/{code}/" for code in filled.stdout.split()]
        self.paths[::9] = itertools.repeat("/preferences/", len(self.paths[::9]))
        self.log = directory / "log"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "demo_site.py", str(self.port)],
                env=self.environment,
                cwd=EXAMPLE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def open(self, stack: contextlib.ExitStack) -> list[Visitor]:
        def answers() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return True
            return False

        wait_for(answers, 20)
        visitors = [Visitor(self.port) for _ in range(THREADS)]
        for visitor in visitors:
            stack.callback(visitor.connection.close)
            visitor.log_in(self.password)
        return visitors

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=5)

    def load(self, visitors: list[Visitor], seconds: float, **headers: str) -> list[Page]:
        """Let all visitors look at pages for a while, and return what they saw."""
        pages: list[Page] = []
        turns, end = itertools.cycle(self.paths), time.monotonic() + seconds

        def browse(visitor: Visitor) -> None:
            while time.monotonic() < end:
                pages.append(visitor.look(next(turns), **headers))

        threads = [threading.Thread(target=browse, args=(visitor,)) for visitor in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return pages


def p99(pages: list[Page]) -> float:
    ordered = sorted(page.seconds for page in pages)
    return ordered[int(len(ordered) * 0.99)]


def test_a_frozen_redis_costs_no_page_no_session_and_little_time(start_server, tmp_path):
    server = start_server(maxmemory="256mb", maxmemory_policy="volatile-lru")
    with contextlib.ExitStack() as stack:
        site = Site(server, tmp_path)
        stack.callback(site.close)
        visitors = site.open(stack)
        site.load(visitors, 1.5)
        loader = p99(site.load(visitors, 2, **{"X-Demo-Bypass": "1"}))
        thaw: list[float] = []

        def freeze() -> None:
            time.sleep(0.5)
            server.pause()
            time.sleep(FROZEN)
            server.resume()
            thaw.append(time.monotonic())

        outage = threading.Thread(target=freeze)
        outage.start()
        pages = site.load(visitors, FROZEN + 4)
        outage.join()
        # Pages about a person are answered with 302, to the login, where a session is lost.
        assert {page.status for page in pages} == {200}
        frozen = [page for page in pages if page.asked < thaw[0]]
        assert p99(frozen) < loader + 0.5
        assert sum(page.cache == "miss" for page in frozen) > 20
        # What was asked for once since is in the cache again: the others are on their second round.
        back = [page for page in pages if page.asked > thaw[0] + 2 and page.cache]
        assert p99(back) < loader + 0.5
        assert [visitors[0].look(site.paths[1]).cache for _ in range(2)][1] == "hit"
        log = site.log.read_text()
        assert log.count("WARNING django_dripcache") == log.count("INFO django_dripcache") == 1, log
