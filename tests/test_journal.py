"""What could not be written: kept, bounded, and removed before anyone reads it again."""

from __future__ import annotations

import contextlib
import threading

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from django_dripcache import CacheManager
from django_dripcache.backend import get_alias_server
from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.flows.replay import CHUNK, replay
from django_dripcache.flows.steps import SCAN_COUNT, Note
from django_dripcache.journal import LIMIT, Journal

from .faults.proxy import Proxy
from .flows.script import play
from .processes import in_threads, site, wait_for

AWAY = CacheUnavailableError("away")


def names_of(journal):
    return journal.take()


# Keeping


def test_a_journal_is_clean_until_something_is_noted():
    journal = Journal(b"root:")
    assert not journal.dirty
    assert len(journal) == 0
    journal.note()
    assert not journal.dirty
    journal.note([b"a"])
    assert journal.dirty


def test_names_and_patterns_are_kept_once_in_their_order():
    journal = Journal(b"root:")
    journal.note([b"b", b"a"], [b"p*"])
    journal.note([b"a", b"c"], [b"p*", b"q*"])
    assert len(journal) == 5
    assert journal.take() == ([b"b", b"a", b"c"], [b"p*", b"q*"])
    assert journal.take() == ([], [])


@pytest.mark.parametrize("patterns", [0, 3])
def test_beyond_its_limit_all_of_the_largest_area_is_removed_instead(patterns):
    journal = Journal(b"root:", limit=10)
    journal.note([b"root:s.sessions:%d" % number for number in range(3)], [b"p%d" % at for at in range(patterns)])
    journal.note([b"root:d:%d" % number for number in range(7 - patterns)])
    assert len(journal) == 10
    journal.note([b"root:d:one more"])
    assert journal.dirty
    names, found = journal.take()
    assert names == [b"root:s.sessions:%d" % number for number in range(3)]
    assert found == [*(b"p%d" % at for at in range(patterns)), b"root:d:*"]


@pytest.mark.parametrize("name", [b"other", b"other:d:1"])
def test_beyond_its_limit_what_is_of_no_area_takes_everything_with_it(name):
    journal = Journal(b"root:", limit=2)
    journal.note([name, name + b"2", name + b"3"])
    assert journal.take() == ([], [b"root:*"])


def test_too_many_patterns_are_everything():
    journal = Journal(b"ro*ot:", limit=2)
    journal.note(patterns=[b"a", b"b", b"c"])
    assert journal.take() == ([], [rb"ro\*ot:*"])


def test_a_journal_that_has_run_over_stays_so_until_it_is_taken():
    journal = Journal(b"root:", limit=2)
    journal.note([b"root:c:a", b"root:c:b", b"root:c:c"])
    journal.note([b"root:c:d"])
    names, patterns = journal.take()
    assert b"root:c:*" in patterns
    journal.note(names, patterns)
    assert b"root:c:*" in journal.take()[1]


def test_the_memory_of_a_journal_is_bounded():
    journal = Journal(b"root:")
    for start in range(0, 5 * LIMIT, 100):
        journal.note([b"root:d:%d" % number for number in range(start, start + 100)])
        assert len(journal) <= LIMIT
    assert b"root:d:*" in journal.take()[1]


def test_one_claims_a_journal_and_others_do_not_until_it_is_settled():
    journal = Journal(b"root:")
    journal.note([b"a"])
    assert journal.claim()
    assert not journal.claim()
    journal.take()
    assert journal.dirty  # what is read now may not be removed yet
    journal.settle()
    assert not journal.dirty
    assert journal.claim()


def test_what_is_noted_during_a_claim_is_still_to_be_done_after_it():
    journal = Journal(b"root:")
    journal.note([b"a"])
    journal.claim()
    journal.take()
    journal.note([b"b"])
    journal.settle()
    assert journal.dirty
    assert journal.take() == ([b"b"], [])


def test_of_many_threads_one_claims():
    journal = Journal(b"root:")
    barrier = threading.Barrier(20)

    def claim(_):
        barrier.wait(10)
        return journal.claim()

    assert sum(in_threads(20, claim)) == 1


def test_many_threads_lose_no_note():
    journal = Journal(b"root:", limit=100_000)
    in_threads(10, lambda thread: [journal.note([b"%d:%d" % (thread, number)]) for number in range(500)])
    assert len(journal.take()[0]) == 5000


def test_a_forked_child_keeps_what_is_noted_and_may_claim_it():
    journal = Journal(b"root:")
    journal.note([b"a"])
    assert journal.claim()
    journal.renew()
    assert journal.claim()
    assert journal.take() == ([b"a"], [])


# Replay


def journal_of(*names, patterns=()):
    journal = Journal(b"root:*")
    journal.note(names, patterns)
    return journal


def test_names_are_removed_in_one_round_trip():
    journal = journal_of(b"a", b"b")
    assert play(replay(journal), (("UNLINK", b"a", b"b"), 1)) == 1
    assert len(journal) == 0


def test_nothing_is_asked_for_nothing():
    assert play(replay(Journal(b"root:"))) == 0


def test_many_names_are_removed_in_chunks():
    names = [b"%d" % number for number in range(CHUNK + 5)]
    journal = journal_of(*names)
    exchanges = [(("UNLINK", *names[:CHUNK]), CHUNK), (("UNLINK", *names[CHUNK:]), 5)]
    assert play(replay(journal), *exchanges) == CHUNK + 5


def test_patterns_are_walked_and_removed():
    scan = ("SCAN", 0, "MATCH", b"p*", "COUNT", SCAN_COUNT)
    journal = journal_of(b"a", patterns=[b"p*"])
    exchanges = [(("UNLINK", b"a"), 1), (scan, [b"0", [b"p1", b"p2"]]), ([("UNLINK", b"p1", b"p2")], [2])]
    assert play(replay(journal), *exchanges) == 3
    assert len(journal) == 0


@pytest.mark.parametrize("error", [AWAY, KeyboardInterrupt(), MemoryError()], ids=repr)
def test_names_that_cannot_be_removed_are_noted_again(error):
    names = [b"%d" % number for number in range(CHUNK + 5)]
    journal = journal_of(*names, patterns=[b"p*"])
    with pytest.raises(type(error)):
        play(replay(journal), (("UNLINK", *names[:CHUNK]), CHUNK), (("UNLINK", *names[CHUNK:]), error))
    found, patterns = journal.take()
    assert set(names[CHUNK:]) <= set(found)
    assert patterns == [b"p*"]


@pytest.mark.parametrize("error", [AWAY, KeyboardInterrupt()], ids=repr)
def test_a_pattern_that_cannot_be_removed_is_noted_again(error):
    scan = ("SCAN", 0, "MATCH", b"p*", "COUNT", SCAN_COUNT)
    journal = journal_of(patterns=[b"p*"])
    with pytest.raises(type(error)):
        play(replay(journal), (scan, error))
    assert journal.take() == ([], [b"p*"])


def test_replay_takes_no_step_but_exchanges_since_a_driver_sends_each_of_them():
    """The drivers run it by what sends a command: a note among its steps would be sent to Redis."""
    flow, steps = replay(journal_of(patterns=[b"p*"])), []
    steps.append(next(flow))
    with contextlib.suppress(CacheUnavailableError):
        while len(steps) < 10:
            steps.append(flow.throw(AWAY))
    assert not [step for step in steps if isinstance(step, Note)]


def test_what_was_noted_while_it_ran_stays_noted():
    journal = journal_of(b"a")
    flow = replay(journal)
    next(flow)
    journal.note([b"b"])
    with pytest.raises(StopIteration):
        flow.send(1)
    assert journal.take() == ([b"b"], [])


# Over a server


@pytest.fixture
def wire(start_server):
    with Proxy(start_server().port) as proxy:
        yield proxy


def test_a_set_that_failed_is_removed_before_the_next_read_and_other_keys_stay(wire):
    with site(wire.url, {}) as cache:
        assert cache.set("a", "old")
        assert cache.set("b", "kept")
        wire.become("silent")
        assert not cache.set("a", "new")
        wire.become("pass")
        assert cache.get("b") == "kept"
        assert cache.get("a") is None
        assert not get_alias_server("default").journal.dirty


@pytest.mark.parametrize(
    "write",
    [
        lambda c: c.delete("a"),
        lambda c: c.delete_many(["a"]),
        lambda c: c.set_many({"a": 1}),
        lambda c: c.touch("a", 0),
        lambda c: c.clear(),
        lambda c: c.delete_pattern("a*"),
        lambda c: c.set("a", 1, xx=True),
    ],
    ids=["delete", "delete_many", "set_many", "touch", "clear", "delete_pattern", "set xx"],
)
def test_each_write_that_failed_leaves_nothing_to_be_read(wire, write, drive):
    with site(wire.url, {}) as cache:
        assert cache.set("a", "old")
        wire.become("silent")
        write(cache)
        wire.become("pass")
        for _ in range(3):
            assert drive(cache).get("a") is None
        # What takes a walk over the keys is made good in the background.
        wait_for(lambda: drive(cache).get("a") is None and cache.set("a", "newer"), 3)
        assert drive(cache).get("a") == "newer"


def test_while_a_pattern_cannot_be_removed_reads_are_misses_and_no_error(drive, start_server):
    server = start_server()
    with site(server.url, {}) as cache, server.client() as client:
        assert cache.set("a", "old")
        client.replicaof("127.0.0.1", 1)
        cache.clear()
        for _ in range(3):
            assert drive(cache).get("a", "default") == "default"
        client.replicaof("NO", "ONE")
        wait_for(lambda: drive(cache).get("a", "default") == "default" and cache.set("a", "new"), 3)
        assert drive(cache).get("a") == "new"


def test_a_pattern_that_a_caller_cannot_remove_is_no_error_of_ours(drive, start_server):
    """The probe is at it, and the breaker closed, when a caller comes to what was noted meanwhile."""
    server = start_server()
    with site(server.url, {}) as cache, server.client() as client:
        assert cache.set("a", "old")
        client.replicaof("127.0.0.1", 1)
        get_alias_server("default").journal.note(patterns=[cache.client._whole()])
        for _ in range(3):
            assert drive(cache).get("a", "default") == "default"


def test_while_one_key_cannot_be_removed_other_keys_are_read(start_server):
    server = start_server()
    with site(server.url, {}) as cache, server.client() as client:
        assert cache.set("a", "old")
        assert cache.set("b", "kept")
        client.replicaof("127.0.0.1", 1)
        assert not cache.set("a", "new")
        assert cache.get("a") is None
        assert cache.get("b") == "kept"


def test_one_that_is_interrupted_as_it_claims_the_journal_does_not_keep_it_for_ever(monkeypatch, drive, start_server):
    """As Celery's soft time limit does, between any two steps."""
    server = start_server()
    with site(server.url, {}) as cache:
        assert cache.set("a", "old")
        assert cache.set("b", "kept")
        journal = get_alias_server("default").journal
        journal.note([b"none"])
        claim = journal.claim

        def interrupted():
            claim()
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(journal, "claim", interrupted)
            with pytest.raises(KeyboardInterrupt):
                drive(cache).get("b")
        wait_for(lambda: drive(cache).get("b") == "kept", 3)


def test_a_journal_that_ran_over_removes_its_largest_area_and_nothing_else(start_server):
    server = start_server()
    with site(server.url, {}) as cache, server.client() as client:
        assert cache.set("a", "old")
        assert CacheManager().set("b", "old")
        client.set("celery", "a task")
        journal = get_alias_server("default").journal
        journal._limit = 5
        journal.note([b"dripcache:d:%d" % number for number in range(6)])
        assert cache.get("a") is None
        assert CacheManager().get("b") == "old"
        assert set(client.keys()) == {b"celery", b"dripcache:c:b"}


def test_a_write_of_a_manager_is_made_good_before_a_manager_reads(wire):
    with site(wire.url, {}) as cache:
        manager = CacheManager()
        assert manager.set("a", "old")
        wire.become("silent")
        assert not manager.delete("a")
        wire.become("pass")
        assert cache.get("whatever") is None
        assert manager.get("a") is None


# A model


KEYS = ["a", "b", "ab"]
MODES = ["pass", "silent", "lose", "reset", "garbage", "refuse"]


class Outages(RuleBasedStateMachine):
    """
    Random writes and reads through random faults, against a model.

    The model knows for each key what it may hold: what was last written for sure, or that nothing is known but that it
    is not what was there before a write that failed.
    """

    server = None
    proxy = None

    @initialize()
    def begin(self):
        self.proxy.become("pass")
        self.allowed = {key: {None} for key in KEYS}
        self.count = 0
        self.site = site(self.proxy.url, {"SOCKET_TIMEOUT": 0.06, "SOCKET_CONNECT_TIMEOUT": 0.06})
        self.cache = self.site.__enter__()
        with self.server.client() as client:
            client.flushall()
        self.mode = "pass"

    def teardown(self):
        if hasattr(self, "site"):
            self.proxy.become("pass")
            self.site.__exit__(None, None, None)

    @rule(mode=st.sampled_from(MODES))
    def fault(self, mode):
        self.mode = mode
        text = b"-LOADING Redis is loading the dataset in memory\r\n" if mode == "refuse" else b"?\x00\xff\r\n"
        self.proxy.become("say" if mode == "refuse" else mode, text=text)

    def wrote(self, key, value, *, done):
        # A write that failed may have been done, or may be removed later; what was before it is never right again.
        self.allowed[key] = {value} if done else {value, None}

    @rule(key=st.sampled_from(KEYS))
    def set(self, key):
        self.count += 1
        done = self.cache.set(key, self.count)
        self.wrote(key, self.count, done=done)

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key):
        self.cache.delete(key)
        self.allowed[key] = {None}

    @rule(keys=st.lists(st.sampled_from(KEYS), unique=True, min_size=1))
    def set_many(self, keys):
        self.count += 1
        failed = self.cache.set_many(dict.fromkeys(keys, self.count))
        for key in keys:
            self.wrote(key, self.count, done=key not in failed)

    @rule()
    def delete_pattern(self):
        self.cache.delete_pattern("a*")
        self.allowed["a"] = self.allowed["ab"] = {None}

    @rule()
    def clear(self):
        self.cache.clear()
        self.allowed = {key: {None} for key in KEYS}

    @rule(key=st.sampled_from(KEYS))
    def add(self, key):
        self.count += 1
        if self.cache.add(key, self.count):
            assert None in self.allowed[key]
            self.allowed[key] = {self.count}
        elif None in self.allowed[key]:
            self.allowed[key] = self.allowed[key] | {self.count}

    @rule(key=st.sampled_from(KEYS))
    def read(self, key):
        self.judged(key, self.allowed[key])

    def judged(self, key, allowed):
        """Read a key, and return its value in a tuple if it is what should be there for certain."""
        found = self.cache.get(key)
        # A fault may hide a value for a while; what is read is never another one.
        assert found in allowed | {None}, (key, found, allowed)
        return (found,) if found in allowed else ()

    @rule()
    def probe(self):
        # No precondition: whether the breaker is open depends on real time, and hypothesis wants the same steps again.
        get_alias_server("default").breaker.try_to_close()

    @rule()
    def recover(self):
        self.mode = "pass"
        self.proxy.become("pass")
        get_alias_server("default").breaker.try_to_close()
        for key, allowed in self.allowed.items():
            # On a busy machine a read may be late, and so a miss; it is never another value.
            found = wait_for(lambda key=key, allowed=allowed: self.judged(key, allowed), 3)[0]
            self.allowed[key] = {found}
        wait_for(lambda: self.cache.set("stamp", 1) and not get_alias_server("default").journal.dirty, 3)

    @invariant()
    def no_connection_is_lost(self):
        server = get_alias_server("default") if hasattr(self, "site") else None
        assert server is None or server._pool is None or server._pool.lent == 0


def test_through_random_faults_no_value_from_before_a_failed_write_is_read(start_server):
    server = start_server()
    with Proxy(server.port) as proxy:
        machine = type("Machine", (Outages,), {"server": server, "proxy": proxy})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=25,
                stateful_step_count=25,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
