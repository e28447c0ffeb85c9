"""
Whether services are right with a near cache, whatever happens: see ``test_near_coherence``.

Each subject has one writer. Time and again it gives the subject a token, data, a value and a flag with a number, and
then revokes them. Then it writes a mark, of which the server tells after all that was revoked. It is wrong

- if a process reads what was revoked before a mark that it has received (``told``);
- if it reads what was revoked a while before the read began (``stale``);
- if a number is lower than one that was read before by any thread of the process (``backwards``).

Mutants, each without one of the rules of ``flows.nearby`` and ``flows.auth``, are caught by it.
"""

# ruff: noqa: PLC0415 - what needs Django is imported once that is set up

from __future__ import annotations

import collections
import contextlib
import json
import random
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import redis

from tests.processes import needs_server

from . import test_near_coherence as base
from .test_near_coherence import Board, Fleet, live
from .test_near_coherence import server as server  # noqa: PLC0414 - it is a fixture

pytestmark = needs_server

SUBJECTS = 3
KINDS = ("token", "data", "value", "flag")
TURNS = 40
"""A flag is off for so many numbers before it is on again under the same name."""

MARK = b"dripcache:s.flags:~%d:%d"


def set_up(near):
    import django
    from django.test import override_settings

    django.setup()
    options = {"SOCKET_TIMEOUT": 2, "POOL_WAIT": 2, **({"NEAR": near} if near else {})}
    alias = {"BACKEND": "django_dripcache.backend.DripCache", "OPTIONS": options}
    override_settings(CACHES={"default": alias}, DRIPCACHE={"REQUEST_BUDGET": None}).enable()


def flag_of(subject, number):
    return f"{subject} {number % TURNS}"


class Writer:
    """Give to the subjects whose number leaves ``number`` when divided by ``writers``, and revoke, for ever."""

    def __init__(self, asked):
        self.asked = asked
        self.board = Board(Path(asked["board"]))
        self.chance = random.Random(asked["number"])
        self.client = redis.Redis.from_url(asked["url"], protocol=2, socket_timeout=10)
        self.answered = collections.deque()

    def run(self):
        mine = [at for at in range(SUBJECTS) if at % self.asked["writers"] == self.asked["number"]]
        last = dict.fromkeys(mine, 0)
        while True:
            subject = self.chance.choice(mine)
            last[subject] += 1
            with contextlib.suppress(redis.RedisError, OSError):
                if self.turn(subject, last[subject]):
                    self.client.set(MARK % (subject, last[subject]), "", px=1000)
                    self.answered.append((time.monotonic() + self.asked["lag"], subject, last[subject]))
            while self.answered and self.answered[0][0] < time.monotonic():
                _, done, number = self.answered.popleft()
                self.board[done] = number

    def turn(self, subject, number):
        """Return whether all that was given is revoked for sure."""
        from django_dripcache import auth_cache, flags, user_cache

        token = f"token {subject}"
        auth_cache.set_token(token, {"number": number}, 60, user=subject)
        auth_cache.set(subject, number)
        user_cache.set(subject, "value", number, 60)
        flags.set(flag_of(subject, number), True, 60)
        self.board[SUBJECTS + subject] = number
        self.pause()
        done = flags.set(flag_of(subject, number), False, 60)
        user_cache.delete(subject) if number % 2 else user_cache.delete(subject, "value")
        if number % 3:
            auth_cache.clear(subject)
        else:
            auth_cache.clear_token(token)
            auth_cache.refresh(subject, 0)
        done = done and user_cache.get(subject, "value") is None and auth_cache.get_token(token) is None
        self.pause()
        return done

    def pause(self):
        time.sleep(self.chance.random() * self.asked["pause"])


class Reader(base.Reader):
    """What one process reads of the services, and what was wrong with it."""

    def __init__(self, asked):
        from django.core.cache import caches

        self.asked = asked
        self.board = Board(Path(asked["board"]))
        self.highest = [0] * len(KINDS) * SUBJECTS
        self.floor = [0] * SUBJECTS
        self.wrong = collections.Counter()
        self.reads = self.hits = 0
        self.lock = threading.Lock()
        self.trips = threading.local()
        self.listen()
        if asked["mutant"]:
            MUTANTS[asked["mutant"]]()
        self.near = caches["default"].client.server.near

    def listen(self):
        """Note the marks that this process is told of, before it does anything about it; and who asks the server."""
        from django_dripcache.server import Server
        from django_dripcache.tracker import Tracker

        receive, call = Tracker.receive, Server.call

        def listened(tracker):
            names = receive(tracker)
            for name in names or ():
                if name.startswith(b"dripcache:s.flags:~") and name.count(b":") == MARK.count(b":"):
                    subject, number = name.partition(b"~")[2].split(b":")
                    self.floor[int(subject)] = int(number)
            return names

        def called(server):
            self.trips.made = True
            return call(server)

        Tracker.receive, Server.call = listened, called

    def look(self, _, at):
        kind, subject = KINDS[at // SUBJECTS], at % SUBJECTS
        floor, told, highest = self.board[subject], self.floor[subject], self.highest[at]
        self.trips.made = False
        try:
            number = self.read(kind, subject)
        except OSError:
            return 0
        if number is None:
            return 0
        signs = {"told": number <= told, "stale": number <= floor, "backwards": number < highest}
        with self.lock:
            self.highest[at] = max(self.highest[at], number)
            self.wrong.update(f"{kind} {sign}" for sign, found in signs.items() if found)
        return not self.trips.made

    def read(self, kind, subject):
        """Return the number that holds, or None."""
        from django_dripcache import auth_cache, flags, user_cache

        if kind == "token":
            found = auth_cache.get_token(f"token {subject}")
            return found and found.claims["number"]
        if kind == "data":
            return auth_cache.get(subject)
        if kind == "value":
            return user_cache.get(subject, "value")
        number = self.board[SUBJECTS + subject]
        enabled = flags.get(flag_of(subject, number))
        late = self.board[SUBJECTS + subject] > number + TURNS - 5  # and the name is in use again
        return number if enabled and not late else None


# Rules that are taken away


def stamps_and_tags_are_not_compared():
    from django_dripcache.flows import nearby

    put = nearby.put
    nearby.put = lambda ticket, opened, left, near, *_: put(ticket, opened, left, near)


def a_stamp_is_kept_without_a_ticket():
    from django_dripcache.flows import auth, nearby

    def still(versions, near, tickets):
        time.sleep(0.002)
        for stamp, _ in versions:
            if stamp not in tickets:
                tickets |= nearby.begin(stamp, [], near)
        return True
        yield

    auth._still = still


def a_tag_is_kept_without_a_ticket():
    from django_dripcache.flows import nearby

    keep = nearby.keep

    def late(raw, left, key, codec, near, tickets):
        time.sleep(0.002)
        keep(raw, left, key, codec, near, nearby.begin(key, list(tickets), near))

    nearby.keep = late


MUTANTS = {
    "stamps and tags not compared": stamps_and_tags_are_not_compared,
    "a stamp without a ticket": a_stamp_is_kept_without_a_ticket,
    "a tag without a ticket": a_tag_is_kept_without_a_ticket,
    "naive fill": base.naive_fill,
    "no poll": base.no_poll,
}


def main():
    asked = json.loads(sys.argv[1])
    set_up({"MAX_ENTRIES": asked["entries"]} if asked["role"] == "read" else None)
    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads: that is what is tried
    if asked["role"] == "write":
        Writer(asked).run()
    else:
        sys.stdout.write(json.dumps(Reader(asked).run()))


class Services(Fleet):
    """Writers and readers of services."""

    module = "tests.coherence.test_services_coherence"


# Right ones


def test_nobody_reads_what_was_revoked(server, tmp_path):
    with Services(server.url, tmp_path, pause=0.01) as fleet:
        pass
    fleet.check(hits=30)


def test_nobody_reads_what_was_revoked_whatever_happens_to_the_server_the_connections_and_the_processes(
    server, tmp_path
):
    chance = random.Random(7)
    asked = {"seconds": 6, "pause": 0.01, "forks": 1, "clear": True, "entries": 60}
    with Services(server.url, tmp_path, **asked) as fleet, server.client() as client:
        live(client, 2)

        def kill_connections():
            with contextlib.suppress(redis.ResponseError):
                client.client_kill_filter(_type="pubsub")

        def stop_reader():
            reader = chance.choice(fleet.readers)
            reader.send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0.1, 0.5))
            reader.send_signal(signal.SIGCONT)

        def stop_server():
            server.pause()
            time.sleep(0.3)
            server.resume()

        time.sleep(1)
        for act in [kill_connections, stop_reader, stop_server, client.flushdb, kill_connections, stop_reader]:
            act()
            time.sleep(chance.uniform(0.1, 0.5))
    fleet.check(hits=30)


# Wrong ones


@pytest.mark.parametrize(
    ("mutant", "asked"),
    [
        ("stamps and tags not compared", {}),
        ("a stamp without a ticket", {"pause": 0.005}),
        ("a tag without a ticket", {"pause": 0.005}),
        ("naive fill", {}),
        ("no poll", {}),
    ],
)
def test_the_checker_catches_one_with(server, tmp_path, mutant, asked):
    with Services(server.url, tmp_path, mutant=mutant, readers=1, threads=4, **asked) as fleet:
        pass
    assert fleet.wrong
