"""
What was read before a change is not given after it: random histories of many callers, held against a model.

A flow is a generator. So callers take turns here, without threads and on a real server: each stops where another could
come first, which is at its loader, at a wait, and before each command of a removal.

The model of the database is a clock: whoever changes a row voids its key or its tag then. So all there is to know of a
value is when its row was read. Each seed is ten histories, and always the same. ``DRIPCACHE_TEST_SEEDS=1000`` in the
environment looks at more of them, in ten minutes or so.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from django_dripcache import CacheManager, LoaderTimeoutError
from django_dripcache._drive import _execute
from django_dripcache.codecs import MISS
from django_dripcache.entry import parse
from django_dripcache.flight import OWN
from django_dripcache.flows import fill
from django_dripcache.flows.steps import Command, Encode, Load, Once, Pipeline, Refused, Spawn, Wait

from .processes import site

SEEDS = int(os.environ.get("DRIPCACHE_TEST_SEEDS", "20"))
HISTORIES = 10
"""More of one seed are like each other: hypothesis begins to vary those that it has."""

KEYS = ("a", "b")
TAGS = ("red", "blue")
DAY = 86_400
EARLY = 1e12
"""A ``beta`` that computes anew whatever cost something."""
NEVER, PENDING = float("-inf"), float("inf")
TO_THE_END = 10_000


class BrokenError(Exception):
    """What a loader raises."""


class InterruptedLoad(BaseException):
    """What ends a loader from outside."""


# What may happen


def often(**weights):
    return st.sampled_from([name for name, weight in weights.items() for _ in range(weight)])


keys = st.sampled_from(KEYS)
some_keys = st.sets(keys, min_size=1)
some_tags = st.sampled_from([(), (), (), ("red",), ("blue",), TAGS])
graces = st.sampled_from([0, DAY])
picks = st.integers(0, 20)
stops = {
    "commands": st.sampled_from([1, 1, 1, 2, 3, 6, 12, TO_THE_END, TO_THE_END]),
    "then": st.booleans(),
}
"""After how many commands a removal stops, and whether one who computes what it is about stores its value then."""

STORED = ("value", "not_modified", "late")
TURNS = {
    verb: st.tuples(st.just(verb), st.builds(dict, **how))
    for verb, how in {
        "ask": {
            "key": keys,
            "tags": some_tags,
            "grace": graces,
            "beta": st.sampled_from([0, 0, EARLY]),
            "options": st.sampled_from([{}, {}, {}, {"refresh": "thread"}, {"soft_timeout": 1}, {"hard_timeout": 1}]),
            "flow": st.sampled_from([fill.get_or_set] * 5 + [fill.refresh]),
            "says": often(nothing=6, value=2, not_modified=1, late=1, error=1),
        },
        "load": {
            "pick": picks,
            "says": often(value=4, not_modified=2, late=2, skip=1, no_ttl=1, error=2, interrupt=1, crash=1),
        },
        "wait": {"pick": picks, "how": often(landed=3, look=2, own=1)},
        "go_on": {"pick": picks, **stops},
        "read": {},
        "delete": {"some": some_keys, "how": often(keys=2, pattern=1, clear=1), **stops},
        "set": {"some": some_keys, "many": st.booleans(), "tags": some_tags, "grace": graces, **stops},
        "invalidate_tags": {"some": st.sets(st.sampled_from(TAGS), min_size=1)},
        "end": {"key": keys, "how": often(age=3, expire=3, touch=2, evict=1)},
        "lose": {"key": keys, "what": often(lease=2, red=1, blue=1)},
    }.items()
}
CALLS = {"read": 1, "ask": 5, "load": 5, "wait": 2, "go_on": 3}
EVENTS = sorted(TURNS.keys() - CALLS.keys())


# What is known


class Source(NamedTuple):
    """Where a value may be from: when its row was read, when it was stored, and with which tags."""

    read: float
    stored: float
    tags: frozenset[str]


class Kept(NamedTuple):
    """A value that nothing has voided, and that has to be there."""

    value: str
    tags: frozenset[str]
    grace: bool
    fresh: bool = True


class Voids:
    """When each key, and each tag, was voided last."""

    def __init__(self):
        self.keys, self.tags = dict.fromkeys(KEYS, 0), dict.fromkeys(TAGS, 0)

    def copy(self):
        copy = Voids()
        copy.keys, copy.tags = dict(self.keys), dict(self.tags)
        return copy

    def spare(self, key, source):
        return source.read >= self.keys[key] and all(source.read >= self.tags[tag] for tag in source.tags)


# Who is under way


def steps_of(flow, link, caller=None, *, stops=False):
    """Run a flow as a driver does, and yield where another call could be first: with ``stops``, before each command."""
    reply, error = None, None
    while True:
        try:
            step = flow.send(reply) if error is None else flow.throw(error)
        except StopIteration as end:
            return end.value
        error = None
        try:
            reply = yield from _reply(step, link, caller, stops)
        except BaseException as raised:  # noqa: BLE001 - as a driver does
            error = raised


def _reply(step, link, caller, stops):
    if isinstance(step, (Load, Wait)):
        return (yield step)
    if isinstance(step, Once):
        steps = steps_of(step.flow, link, caller)
        return (yield from (caller.lands(step.key, steps) if caller else steps))
    if isinstance(step, Spawn):
        caller.beside = steps_of(step.flow, link, caller)
        return MISS
    if isinstance(step, Pipeline):
        replies = []
        for part in step.steps:
            try:
                replies.append((yield from _reply(part, link, caller, stops)))
            except Refused as refused:
                replies.append(refused)
        return replies
    if stops and not isinstance(step, Encode):
        yield
    if isinstance(step, Command) and step.args[0] == "SCAN":
        step = Command(*step.args[:-1], 1)  # pages as small as can be
    return _execute(step, link)


class Removal:
    """A call that voids keys; of ``set()`` and its like, with the value that is there then."""

    def __init__(self, machine, keys, flow, kept=None):
        self.keys, self.kept, self.began = keys, kept, machine.now
        self.steps = steps_of(flow, machine.link, stops=True)
        self.alone = True
        self.step, self.key = None, min(keys)


class Caller:
    """A call of get_or_set() or of refresh()."""

    def __init__(self, machine, key, tags, grace, beta):
        self.machine, self.key, self.tags, self.grace, self.beta = machine, key, frozenset(tags), bool(grace), beta
        self.began = machine.voided.copy()  # a value from before that is not for it
        self.steps: Any = None
        self.step: Any = None
        self.beside: Any = None
        self.says = ""
        self.own = ""
        self.leased = self.read = NEVER
        self.sure = self.spoiled = self.failed = self.rests = self.landed = self.answered = False
        self.fallback: Kept | None = None

    def load(self, context):
        if self.beta:
            time.sleep(0.002)  # what costs nothing is never computed early
        if self.says == "error":
            self.failed = True
            raise BrokenError
        if self.says == "interrupt":
            raise InterruptedLoad
        if self.says == "skip":
            context.skip()
        if self.says == "no_ttl":
            context.set(ttl=0)
        if self.says == "late":
            context.set(tags=["blue"])
        if self.says == "not_modified" and context.has_stale and self.machine.unchanged(self, context.stale):
            self.own = context.stale
            context.not_modified()
            return "what does not count"
        return self.own

    def lands(self, flight, steps):
        """Let those who wait in this process have what comes of it."""
        try:
            self.machine.landed[flight] = yield from steps
        except BrokenError as error:
            self.machine.landed[flight] = error
            raise
        return self.machine.landed[flight]


class Callers(RuleBasedStateMachine):
    """One rule, since of several hypothesis leaves out some in each run. ``now`` counts the turns."""

    raw: Any
    link: Any

    def __init__(self):
        super().__init__()
        empty(self.raw)
        self.cache = CacheManager()
        self.now = 0
        self.under_way: list[Caller | Removal] = []
        self.landed: dict[bytes, Any] = {}
        self.sources: dict[str, list[Source]] = {}
        self.changed, self.voided = Voids(), Voids()  # the one when a removal begins, the other when it is done
        self.aged = dict.fromkeys(KEYS, 0)
        self.kept: dict[str, Kept | None] = dict.fromkeys(KEYS)
        self.holder: dict[str, Caller | None] = dict.fromkeys(KEYS)  # who may have the lease

    def teardown(self):
        for call in self.under_way:
            call.steps.close()

    @initialize(events=st.lists(st.sampled_from(EVENTS), min_size=1, max_size=3, unique=True))
    def choose(self, events):
        """Let only some of all that may happen do so in this history, and that often."""
        self.turns = often(**CALLS, **dict.fromkeys(events, 3)).flatmap(TURNS.get)

    @rule(turn=st.runner().flatmap(lambda machine: machine.turns))
    def turn(self, turn):
        verb, how = turn
        self.now += 1
        getattr(self, verb)(**how)

    @invariant()
    def nothing_is_read_that_was_voided_and_nothing_is_lost(self):
        many = self.cache.get_many(KEYS)
        for key, kept in self.kept.items():
            found = many.get(key)
            assert found is None or self.may_be(key, found, self.voided, fresh=True), (found, self.sources.get(found))
            assert not (kept and kept.fresh) or found == kept.value, "it is lost"

    def read(self):
        many = self.cache.get_many(KEYS)
        for key in KEYS:
            assert self.cache.get(key) == many.get(key)
            assert self.cache.has(key) == (self.cache.ttl(key) is not None) == (key in many)

    def may_be(self, key, value, began, *, fresh):
        """Whether a value may be given to who began after the voids ``began``."""
        return any(
            began.spare(key, source) and (not fresh or source.stored > self.aged[key])
            for source in self.sources.get(value, ())
        )

    def unchanged(self, caller, value):
        """Whether the row of a value was still the same when a caller read it."""
        return any(caller.changed.spare(caller.key, source) for source in self.sources[value])

    def one_of(self, kind, pick, some=KEYS):
        """Take one of those out who are under way and at a step of a kind, if there is one."""
        calls = [call for call in self.under_way if isinstance(call.step, kind) and call.key in some]
        if not calls:
            return None
        self.under_way.remove(calls[pick % len(calls)])
        return calls[pick % len(calls)]

    def removals(self, key):
        return [call for call in self.under_way if isinstance(call, Removal) and key in call.keys]

    def disturb(self, key):
        """Nothing is sure of a key any more."""
        self.kept[key] = None
        for removal in self.removals(key):
            removal.alone = False

    def spoil(self, tag):
        """Nothing is sure of what carries a tag any more, or is being computed for it."""
        for key, kept in self.kept.items():
            if kept and tag in kept.tags:
                self.kept[key] = None
        for call in self.under_way:
            if isinstance(call, Caller) and tag in call.tags:
                call.spoiled = True

    # Those who compute

    def ask(self, key, tags, grace, beta, options, flow, says):
        caller = Caller(self, key, tags, grace, beta)
        times = {"grace": grace, "lease": DAY, "wait": DAY, "backoff": DAY}
        asked = self.cache._get_or_set(key, caller.load, DAY, None, tags, flow, beta=beta, **times, **options)
        caller.steps = steps_of(asked, self.link, caller)
        if flow is fill.refresh:
            self.holder[key] = None  # it takes the lease from its holder
            self.resume(caller)
        else:
            self.look(caller)
        if isinstance(caller.step, Load) and says != "nothing":
            self.under_way.remove(caller)
            self.ends(caller, says)

    def look(self, caller, reply=None):
        """Let a caller look at its key, and see to it that it waits or computes only where it has to."""
        kept, holder = self.kept[caller.key], self.holder[caller.key]
        self.resume(caller, reply)
        leased = caller.leased == self.now
        works = holder is not None and not holder.rests
        assert not isinstance(caller.step, Wait) or (works and not kept), "it waits for nobody, or without need"
        assert not (leased and works and holder.sure), "two compute at once"
        assert not (leased and kept and holder and holder.sure), "the loader is not given a rest"
        assert not (kept and kept.fresh and not caller.beta) or caller.answered, "there is a fresh value"
        if leased:
            caller.fallback = kept

    def resume(self, caller, reply=None, error=None):
        """Let a caller go on to where it stops next."""
        caller.step = None
        try:
            caller.step = caller.steps.send(reply) if error is None else caller.steps.throw(error)
        except StopIteration as end:
            self.answer(caller, end.value)
        except BrokenError:
            assert caller.fallback is None, "there is a value to fall back on"
        except (InterruptedLoad, LoaderTimeoutError):
            pass
        if caller.beside is not None:
            self.lease(caller)
            caller.steps, caller.beside = caller.beside, None
            caller.step = next(caller.steps)
        if isinstance(caller.step, Load):
            caller.read, caller.own, caller.changed = self.now, f"{caller.key}@{self.now}", self.changed.copy()
            if caller.step.once is None and caller.leased == NEVER:
                self.lease(caller)
        if caller.step is not None:
            self.under_way.append(caller)

    def lease(self, caller):
        caller.leased, caller.sure = self.now, not self.removals(caller.key)
        self.holder[caller.key] = caller

    def answer(self, caller, value):
        """It is its own value, a fresh one, or else the last one: while somebody computes, or after that failed."""
        if caller.answered or value == caller.own:
            return
        caller.answered = True
        stale = caller.failed or caller.landed or caller.beside or self.holder[caller.key]
        assert self.may_be(caller.key, value, caller.began, fresh=not stale), (value, self.sources.get(value))
        assert not (caller.failed and caller.fallback) or value == caller.fallback.value

    def load(self, pick, says):
        if caller := self.one_of(Load, pick):
            self.ends(caller, says)

    def ends(self, caller, says):
        """A loader returns what it read when it was called."""
        if says == "crash":
            caller.steps.close()  # and its lease stays
            return
        key, caller.says = caller.key, says
        mine = self.holder[key] is caller
        stores = mine and says in STORED
        value = error = None
        try:
            value = caller.step.loader()
        except (BrokenError, InterruptedLoad) as raised:
            error = raised
        else:
            tags = caller.tags | ({"blue"} if says == "late" else set())
            source = Source(caller.read, self.now if stores else NEVER, tags)
            self.sources.setdefault(caller.own, []).append(source)
        self.resume(caller, value, error)
        caller.rests = caller.failed and caller.answered  # after that, only who finds nothing computes
        if mine and not caller.rests:
            self.holder[key] = None
        if stores:
            sure = caller.sure and not caller.spoiled and says != "late"
            self.disturb(key)
            self.kept[key] = Kept(caller.own, caller.tags, caller.grace) if sure else None

    def wait(self, pick, how):
        caller = self.one_of(Wait, pick)
        if caller is None:
            return
        landed = self.landed.get(caller.step.once)
        if how == "own":
            self.resume(caller, OWN)
        elif landed is None or how == "look":
            self.look(caller, MISS)
        elif isinstance(landed, Exception):
            self.resume(caller, error=landed)
        else:
            caller.landed = landed[1]
            self.look(caller, landed)

    # Those who void

    def delete(self, some, how, **stops):
        if how == "clear":
            some = set(KEYS)
        pattern = "*" if how == "clear" else f"[{''.join(sorted(some))}]"
        flow = self.cache._delete(sorted(some)) if how == "keys" else self.cache._remove(pattern, None)
        self.remove(some, flow, **stops)

    def set(self, some, many, tags, grace, **stops):
        value, codec = f"={self.now}", self.cache._codec()
        if many:
            flow = self.cache._set_many(dict.fromkeys(sorted(some), value), DAY, codec)
            self.remove(some, flow, Kept(value, frozenset(), grace=False), **stops)
        else:
            flow = self.cache._set(min(some), value, DAY, codec, tags=tags, grace=grace)
            self.remove({min(some)}, flow, Kept(value, frozenset(tags), bool(grace)), **stops)

    def remove(self, keys, flow, kept=None, **stops):
        removal = Removal(self, keys, flow, kept)
        if kept:
            self.sources[kept.value] = [Source(PENDING, PENDING, kept.tags)]
        for key in keys:
            removal.alone &= not self.removals(key)
            self.disturb(key)
            self.changed.keys[key] = self.now
            if self.holder[key]:
                self.holder[key].sure = False
        next(removal.steps)
        self.advance(removal, **stops)

    def go_on(self, pick, **stops):
        if removal := self.one_of(type(None), pick):
            self.advance(removal, **stops)

    def advance(self, removal, commands, then):
        try:
            for _ in range(commands):
                next(removal.steps)
        except StopIteration:
            self.done(removal)
        else:
            self.under_way.append(removal)
        if then and (caller := self.one_of(Load, 0, removal.keys)):
            self.ends(caller, "value")

    def done(self, removal):
        if removal.kept:
            self.sources[removal.kept.value] = [Source(self.now, self.now, removal.kept.tags)]
        for key in removal.keys:
            self.voided.keys[key] = max(self.voided.keys[key], removal.began)
            if self.holder[key] and self.holder[key].leased < removal.began:
                self.holder[key] = None
            if removal.alone:
                self.kept[key] = removal.kept

    def invalidate_tags(self, some):
        self.cache.invalidate_tags(*sorted(some))
        for tag in some:
            self.changed.tags[tag] = self.voided.tags[tag] = self.now
            self.spoil(tag)

    # What time does, and Redis

    def end(self, key, how):
        """The ttl of a value is over, or it is with its grace."""
        kept, name = self.kept[key], self.cache._name(key)
        if how in {"expire", "touch"}:
            was = self.cache.expire(key) if how == "expire" else self.cache.touch(key, DAY)
            assert not kept or was == kept.fresh
        elif how == "age":
            self.raw.pexpire(name, parse(self.raw.get(name) or b"").grace // 2)  # the other half is over, too
        else:
            self.raw.delete(name)
        if how != "touch":
            self.disturb(key)
            self.aged[key] = self.now
            self.kept[key] = kept._replace(fresh=False) if kept and kept.grace and how != "evict" else None

    def lose(self, key, what):
        """A lease is over, or Redis has evicted a tag."""
        if what == "lease":
            self.raw.delete(self.cache._lease(self.cache._name(key)))
            self.holder[key] = None
        else:
            self.raw.delete(self.cache._tag(what))
            self.spoil(what)


def empty(raw):
    names = list(raw.scan_iter(count=1000))
    if names:
        raw.delete(*names)


@pytest.fixture
def here(redis_server, raw):
    with site(redis_server.url):
        yield raw


@pytest.mark.parametrize("number", range(SEEDS))
def test_through_random_histories_no_value_from_before_a_change_is_given_after_it(here, number):
    machine = type("Machine", (Callers,), {"raw": here, "link": CacheManager()._client.server})
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=50,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("pattern", ["*", "cold:*"])
def test_wherever_a_walk_is_when_loaders_from_before_it_return_nothing_of_theirs_is_left(here, pattern):
    cache = CacheManager()
    link, names = cache._client.server, [f"cold:{number}" for number in range(16)]
    for commands in itertools.count():
        loads = [steps_of(cache._get_or_set(name, lambda: "old", DAY, None, ()), link) for name in names]
        assert all(isinstance(next(load), Load) for load in loads)
        walk = steps_of(cache._remove(pattern, None), link, stops=True)
        passed = len(list(itertools.islice(walk, commands)))
        for load in loads:
            with contextlib.suppress(StopIteration):
                load.send("old")
        list(walk)
        assert cache.get_many(names) == {}
        if passed < commands:
            break
    assert commands > 8  # there were pages
