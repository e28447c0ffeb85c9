"""
Whether a near cache is right, whatever happens: a checker that processes of readers and writers run against.

Each key has one writer, who writes rising numbers. Readers keep what they read near, and say what they saw. It is wrong

- if a number is lower than one that was read before, by any thread of the process (``backwards``);
- if it is lower than one whose write was answered a while before the read began (``stale``);
- if the server had told this process before that the key changed, and it had received that (``told``);
- if the key had expired (``expired``), or was not there although it had to be (``missing``).

The checker is itself checked: mutants, each without one of the rules of near.py, are caught by it.
"""

# ruff: noqa: PLC0415 - what needs Django is imported once that is set up

from __future__ import annotations

import collections
import contextlib
import json
import math
import mmap
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis

from tests.processes import ROOT, Wire, environment, needs_server, wait_for

pytestmark = needs_server

KEYS = [b"dripcache:d:%d" % number for number in range(12)]
LAG = 0.02
"""What was answered so many seconds before a read must be seen by it: the server tells just before it answers."""


class Board:
    """Numbers that processes share, one for each key: writes that were answered ``LAG`` seconds ago."""

    def __init__(self, path):
        size = 8 * len(KEYS)
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self.numbers = memoryview(mmap.mmap(file.fileno(), size)).cast("q")

    def __getitem__(self, at):
        return self.numbers[at]

    def __setitem__(self, at, number):
        self.numbers[at] = number


# What runs in processes of its own


def write(asked):
    """Write the keys whose number leaves ``number`` when divided by ``writers``, until the time is up."""
    board, chance = Board(Path(asked["board"])), random.Random(asked["number"])
    mine = [at for at in range(len(KEYS)) if at % asked["writers"] == asked["number"]]
    last, answered = dict.fromkeys(mine, 0), collections.deque()
    client = redis.Redis.from_url(asked["url"], protocol=2, socket_timeout=10)
    end = time.monotonic() + asked["seconds"]
    while time.monotonic() < end:
        at = chance.choice(mine)
        last[at] += 1
        over = time.time() + 0.1 if asked["expire"] else 0
        value = b"%d %.6f" % (last[at], over or math.inf)
        with contextlib.suppress(redis.RedisError):
            if asked["expire"]:
                client.execute_command("SET", KEYS[at], value, "PXAT", int(over * 1000))
            elif last[at] % 5:
                client.set(KEYS[at], value)
            else:
                client.eval("redis.call('SET', KEYS[1], ARGV[1])", 1, KEYS[at], value)
            answered.append((time.monotonic() + asked["lag"], at, last[at]))
        while answered and answered[0][0] < time.monotonic():
            _, done, number = answered.popleft()
            board[done] = number
        time.sleep(chance.random() * asked["pause"])
    client.close()


class Reader:
    """What one process reads, and what was wrong with it."""

    def __init__(self, asked):
        from tests.test_near import Site

        self.asked = asked
        self.board = Board(Path(asked["board"]))
        self.highest = [0] * len(KEYS)
        self.told = collections.Counter()
        self.wrong = collections.Counter()
        self.reads = self.hits = 0
        self.lock = threading.Lock()
        self.listen()
        if asked["mutant"]:
            MUTANTS[asked["mutant"]]()
        self.near = Site().near(asked["near"], patterns=[b"dripcache:d:*"], max_entries=asked["entries"], max_ttl=60)

    def listen(self):
        """Count what this process is told of each key, before it does anything about it."""
        from django_dripcache.tracker import Tracker

        receive = Tracker.receive

        def listened(tracker):
            names = receive(tracker)
            self.told.update(names or ())
            return names

        Tracker.receive = listened

    def work(self, seed, end):
        try:
            self.read_until(seed, end)
        except BaseException:  # noqa: BLE001 - a thread that ends before its time has proved nothing
            traceback.print_exc()
            os._exit(1)

    def read_until(self, seed, end):
        chance, done, hits = random.Random(seed), 0, 0
        with redis.Redis.from_url(self.asked["url"], protocol=2, socket_timeout=10) as client:
            while time.monotonic() < end and not self.wrong:
                with contextlib.suppress(redis.RedisError):
                    hits += self.look(client, chance.randrange(len(KEYS)))
                    done += 1
                if self.asked["clear"] and chance.random() < 0.001:
                    self.near.clear()
                if chance.random() < 0.1:
                    time.sleep(chance.random() * 0.002)
        with self.lock:
            self.reads += done
            self.hits += hits

    def look(self, client, at):
        name, near = KEYS[at], self.near
        floor, highest, told, began = self.board[at], self.highest[at], self.told[name], time.time()
        entry = near.get(name)
        if entry is not None:
            raw = entry.value
        else:
            ticket = near.begin(name)
            since = self.told[name]
            found, left = client.pipeline(transaction=False).get(name).pttl(name).execute()
            raw = Noted(found or b"")
            raw.since = since
            near.fill(ticket, raw, None if left == -1 or found is None else left)
        number, over = raw.split() or (math.inf, math.inf)
        signs = {
            "told": raw.since < told,
            "missing": bool(not raw and floor and not self.asked["vanish"]),
            "backwards": float(number) < highest,
            "stale": float(number) < floor,
            "expired": float(over) + 0.05 < began,
        }
        with self.lock:
            self.highest[at] = max(self.highest[at], int(number) if raw else 0)
            self.wrong.update(sign for sign, found in signs.items() if found)
        return entry is not None

    def run(self):
        end = time.monotonic() + self.asked["seconds"]
        threads = [threading.Thread(target=self.work, args=(seed, end)) for seed in range(self.asked["threads"])]
        threads += [threading.Thread(target=spin, args=(end,)) for _ in range(self.asked["spin"])]
        for thread in threads:
            thread.start()
        children = [self.fork(end) for _ in range(self.asked["forks"])]
        for thread in threads:
            thread.join()
        for child, out in children:
            with os.fdopen(out) as file:
                self.wrong.update(json.loads(file.read()))
            os.waitpid(child, 0)
        self.near.close()
        return {"reads": self.reads, "hits": self.hits, "wrong": self.wrong}

    def fork(self, end):
        """Go on reading in a child, too, with all that is near and was read by now."""
        time.sleep(0.2)
        out, into = os.pipe()
        child = os.fork()
        if child:
            os.close(into)
            return child, out
        self.lock = threading.Lock()
        self.wrong.clear()
        try:
            self.read_until(99, end)
        except BaseException as error:  # noqa: BLE001 - it is told to the parent
            self.wrong[repr(error)] += 1
        finally:
            os.write(into, json.dumps(self.wrong).encode())
            os._exit(0)


class Noted(bytes):
    """A value, and how often this process had been told of its key when it was read."""


def spin(end):
    while time.monotonic() < end:
        sum(range(1000))


# Rules that are taken away


def naive_fill():
    from django_dripcache.eviction import Entries

    Entries.fill = lambda self, ticket, value, ttl: self._put(ticket.name, value, ticket.began + ttl)


def no_ttl():
    from django_dripcache.near import Near

    fill = Near.fill
    Near.fill = lambda self, ticket, value, _: fill(self, ticket, value, None)


def no_poll():
    from django_dripcache import tracker

    tracker._poller = lambda _: bool


def no_lease():
    from django_dripcache import tracker

    tracker.LEASE = math.inf


def no_fork_reset():
    from django_dripcache import near

    renew = near.Near.renew

    def keep(self):
        if not hasattr(self, "_pid"):
            renew(self)
        self._lock, self._inside = threading.RLock(), False  # or the child would wait for ever

    near.Near.renew = keep
    near.os = SimpleNamespace(getpid=lambda: 0)


def nobody_waits():
    """Let others read on while one applies what was received."""
    from django_dripcache.near import Near
    from django_dripcache.tracker import Tracker

    near, drain, receive = [], Near._drain, Tracker.receive

    def received(tracker):
        names = receive(tracker)
        near[0]._until = tracker.until
        time.sleep(0.001 if names else 0)
        return names

    Near._drain = lambda self: (near.__setitem__(slice(None), [self]), drain(self))
    Tracker.receive = received


MUTANTS = {
    "naive fill": naive_fill,
    "no ttl": no_ttl,
    "no poll": no_poll,
    "no lease": no_lease,
    "no fork reset": no_fork_reset,
    "nobody waits": nobody_waits,
}


def main():
    import django

    django.setup()
    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads: that is what is tried
    asked = json.loads(sys.argv[1])
    if asked["role"] == "write":
        write(asked)
    else:
        sys.stdout.write(json.dumps(Reader(asked).run()))


# What starts them


class Fleet:
    """Writers and readers, for a ``with`` block; what the readers found is in ``found`` after it."""

    module = "tests.coherence.test_near_coherence"

    def __init__(self, url, directory, **asked):
        self.asked = {
            "url": url,
            "near": url,
            "board": str(directory / "board"),
            "seconds": 4.0,
            "writers": 2,
            "readers": 2,
            "threads": 3,
            "spin": 0,
            "forks": 0,
            "entries": 1000,
            "clear": False,
            "vanish": False,
            "expire": False,
            "lag": LAG,
            "pause": 0.002,
            "mutant": None,
            **asked,
        }
        self.found = []

    def start(self, **asked):
        command = [sys.executable, "-c", f"from {self.module} import main; main()"]
        return subprocess.Popen(
            [*command, json.dumps({**self.asked, **asked})],
            env=environment(self.asked["url"]),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self):
        Board(Path(self.asked["board"]))
        self.writers = [
            self.start(role="write", number=number, seconds=math.inf) for number in range(self.asked["writers"])
        ]
        self.readers = [self.start(role="read") for _ in range(self.asked["readers"])]
        return self

    def __exit__(self, kind, *_):
        try:
            for reader in self.readers:
                out, err = reader.communicate(timeout=30 if kind is None else 0.1)
                assert reader.returncode == 0, err
                self.found.append(json.loads(out))
            assert all(writer.poll() is None for writer in self.writers)
        finally:
            for process in [*self.writers, *self.readers]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # its children too: all are of a session of its own
                process.communicate()

    @property
    def wrong(self):
        return sum((collections.Counter(found["wrong"]) for found in self.found), collections.Counter())

    def check(self, hits=100):
        """See that nothing was wrong, and that enough was read near for that to mean something."""
        assert self.wrong == {}
        assert all(found["hits"] >= hits for found in self.found), self.found


@pytest.fixture
def server(start_server):
    # Expired keys are looked for once a second: until then nobody is told.
    return start_server(hz="1")


def live(client, count):
    """Wait until so many processes are told of changes."""
    wait_for(lambda: sum("t" in found["flags"] for found in client.client_list()) >= count, 20)


# A right one


def test_threads_that_share_a_small_one_with_busy_threads_beside_them_are_never_wrong(server, tmp_path):
    with Fleet(server.url, tmp_path, spin=1, entries=6, seconds=2) as fleet:
        pass
    fleet.check()


def test_no_reader_sees_a_key_after_it_expired(server, tmp_path):
    with Fleet(server.url, tmp_path, expire=True, vanish=True, seconds=2, pause=0.05) as fleet:
        pass
    fleet.check()


def test_no_reader_is_wrong_whatever_happens_to_the_server_the_connections_and_the_processes(server, tmp_path):
    chance = random.Random(5)
    with Fleet(server.url, tmp_path, seconds=7, forks=2, clear=True, vanish=True) as fleet, server.client() as client:
        live(client, 2)

        def kill_connections():
            with contextlib.suppress(redis.ResponseError):
                client.client_kill_filter(_type="pubsub")

        def stop_reader():
            reader = chance.choice(fleet.readers)
            reader.send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0.1, 0.5))
            reader.send_signal(signal.SIGCONT)

        def stop_server(seconds=0.3):
            server.pause()
            time.sleep(seconds)
            server.resume()

        def restart():
            server.kill()
            server.start()

        time.sleep(1)
        for act in [
            kill_connections,
            client.flushdb,
            stop_reader,
            stop_server,
            restart,
            kill_connections,
            lambda: stop_server(1.3),
            stop_reader,
            client.flushdb,
        ]:
            act()
            time.sleep(chance.uniform(0.1, 0.5))
    fleet.check()


def test_a_connection_that_fell_silent_is_believed_no_longer_than_its_lease(server, tmp_path):
    with Wire(server.port) as wire:
        near = f"redis://127.0.0.1:{wire.port}/0"
        with (
            Fleet(server.url, tmp_path, near=near, readers=1, seconds=3.5, lag=1.3) as fleet,
            server.client() as client,
        ):
            live(client, 1)
            time.sleep(0.5)
            wire.lose(b"PING")
        fleet.check()


# Wrong ones


@pytest.mark.parametrize(
    ("mutant", "asked"),
    [
        ("naive fill", {}),
        ("no poll", {}),
        ("no ttl", {"expire": True, "vanish": True, "pause": 0.05}),
        ("no fork reset", {"forks": 2, "seconds": 2}),
        ("nobody waits", {"pause": 0.001}),
    ],
)
def test_the_checker_catches_one_with(server, tmp_path, mutant, asked):
    with Fleet(server.url, tmp_path, mutant=mutant, readers=1, threads=4, **asked) as fleet:
        pass
    assert fleet.wrong


def test_the_checker_catches_one_without_a_lease(server, tmp_path):
    with Wire(server.port) as wire:
        near = f"redis://127.0.0.1:{wire.port}/0"
        asked = {"near": near, "readers": 1, "seconds": 4, "lag": 1.3, "mutant": "no lease"}
        with Fleet(server.url, tmp_path, **asked) as fleet, server.client() as client:
            live(client, 1)
            time.sleep(0.5)
            wire.lose(b"PING")
    assert fleet.wrong["stale"]


# What it costs the server if a process does not read


STUCK = """
import django; django.setup()
import sys, time
from tests.test_near import Site
near = Site().near(sys.argv[1])
print("live", flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def stuck(url):
    """Start a process with a near cache, and yield it once it is connected."""
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, url], env=environment(url), cwd=ROOT, text=True, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout.readline() == "live\n"
            yield process
        finally:
            process.kill()


def flood(client, megabytes):
    """Write so many megabytes of names, and return the largest buffer that a tracker had meanwhile."""
    most, long = 0, "x" * 1000
    for _ in range(10 * megabytes):
        pipe = client.pipeline(transaction=False)
        for number in range(100):
            pipe.set(f"dripcache:d:{number}:{long}", "")
        pipe.execute()
        found = [int(found["omem"]) for found in client.client_list() if "t" in found["flags"]]
        most = max([most, *found])
    return most


def test_the_server_bounds_what_it_keeps_for_a_subscriber_by_itself(server):
    with server.client() as client:
        limits = client.config_get("client-output-buffer-limit")["client-output-buffer-limit"]
    assert "pubsub 33554432 8388608 60" in limits


def test_a_process_that_does_not_read_costs_the_server_a_bounded_buffer_and_then_its_connection(start_server):
    server = start_server(client_output_buffer_limit="pubsub 1mb 512kb 10")
    with server.client() as client, stuck(server.url) as process:
        process.send_signal(signal.SIGSTOP)
        most = flood(client, 20)
        assert 0 < most < 3_000_000
        assert not [found for found in client.client_list() if "t" in found["flags"]]


def test_a_process_that_was_killed_costs_the_server_nothing(start_server):
    server = start_server()
    with server.client() as client, stuck(server.url) as process:
        process.kill()
        process.wait()
        wait_for(lambda: not [found for found in client.client_list() if "t" in found["flags"]])
