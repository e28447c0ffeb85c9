"""
Every fault at every verb: one cell a test.

A cell fills the cache, lets the fault happen, calls, and lets the fault be over. The call is over in time and answers
as stated; no connection is lost, nothing is sent twice, the cache is back, and nobody reads what was there before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from django_dripcache import CacheClient
from django_dripcache.backend import get_alias_server
from django_dripcache.deadline import budget

from ..conftest import Driven
from ..processes import site, wait_for
from .outages import FAULTS, Cut, Fault
from .verbs import BACKEND, CLIENT, STORED, Raises, Verb, names, store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The promises are 0.3, 0.5 and 2 seconds. The real times are in the table; what is asserted leaves room for a machine
# that is busy with other tests, yet not for two deadlines in one call.
CALL: Final = 0.45
TEN_GETS: Final = 1.0
RECOVERY: Final = 3.0

COLUMNS: Final = [*BACKEND, *(f"client.{name}" for name in CLIENT), "ten gets", "recovery"]


@pytest.fixture(scope="module")
def fault(request: pytest.FixtureRequest) -> Iterator[Fault]:
    with FAULTS[request.param]() as happening:
        happening.label = request.param
        yield happening


@pytest.fixture(params=["backend"])
def cache(request: pytest.FixtureRequest, fault: Fault) -> Iterator[Any]:
    """The cache that is called, over a server that has what each call finds there."""
    fault.prepare()
    with site(fault.url, {}) as backend:
        target = CacheClient() if request.param == "client" else backend
        if fault.label != "server not started":
            store(target)
        yield target


def outcome(verb: Verb, target: Any) -> tuple[Any, float]:
    """Return what a call answered, or the error that it raised, and how long it took."""
    began = time.monotonic()
    try:
        answer = verb.see(verb.call(target))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
        answer = error
    return answer, time.monotonic() - began


def agrees(answer: Any, expected: Any) -> bool:
    if isinstance(expected, Raises):
        return isinstance(answer, tuple(expected))
    return type(answer) is type(expected) and answer == expected


def cut_by_a_cancellation(cache: Any, loop: asyncio.AbstractEventLoop, seconds: float) -> Any:
    """Return a cache whose async verbs are cancelled after some time."""

    class Cancelled:
        def __getattr__(self, name: str) -> Any:
            twin = getattr(cache, f"a{name}")

            def call(*args: Any) -> Any:
                try:
                    return loop.run_until_complete(asyncio.wait_for(twin(*args), seconds))
                except asyncio.TimeoutError:
                    raise Cut from None

            return call

    return Cancelled()


def lent() -> int:
    """Count the connections that somebody holds, of threads and of event loops."""
    server = get_alias_server("default")
    count = sum(len(pool._in_use_connections) for pool, _ in server._loops.values())
    return count + (0 if server._pool is None else server._pool.lent)


def is_back(cache: Any) -> bool:
    stamp = time.monotonic_ns()
    return bool(cache.set("stamp", stamp)) and cache.get("stamp") == stamp


def check(
    fault: Fault,
    verb: Verb,
    cache: Any,
    target: Any,
    record: Callable[[float], None],
    loop: asyncio.AbstractEventLoop | None = None,
) -> None:
    """Fill in one cell: ``target`` is the cache, or what drives its async twins on ``loop``."""
    fault.begin(names(cache))
    try:
        if loop is not None:
            loop.run_until_complete(asyncio.sleep(0.01))  # a loop that runs sees that a connection is closed
        elif fault.interrupts:
            fault.arm()
        answer, seconds = outcome(verb, target)
        record(seconds)
        leaked = lent()
    finally:
        fault.end()
    if fault.interrupts:
        assert isinstance(answer, Cut)
    else:
        expected = verb.answers(fault)
        assert any(agrees(answer, one) for one in expected), f"{answer!r} is none of {expected!r}"
    assert seconds < CALL
    assert leaked == 0
    with fault.look() as client:
        # Nothing of the number's is ever done twice; who reads it here goes past the cache and its journal.
        number = client.get(names(cache)[1]) if client.type(names(cache)[1]) == b"string" else None
        assert number in {None, b"5", b"6", b"1", b"\x80\x04\xff\x00 no value of ours"}
    done = not fault.interrupts and agrees(answer, verb.well) and verb.well != verb.away
    read_after(fault, verb, cache, done=done, back=False)
    wait_for(lambda: is_back(cache), RECOVERY)
    read_after(fault, verb, cache, done=done, back=True)
    assert lent() == 0


def read_after(fault: Fault, verb: Verb, cache: Any, *, done: bool, back: bool) -> None:
    """Read every key after a fault: at once, when it may not be there yet, or when the cache is back."""
    spoiled = {"there", "number"} if fault.answers in {"unreadable", "odd"} else set()
    for key, stored in {**STORED, "fresh": None}.items():
        found = cache.get(key)
        if key in verb.writes and key == "number" and verb.writes[key] is not None:
            allowed = {6} if done else {5, 6, 1, None}
        elif key in verb.writes:
            allowed = {verb.writes[key]} if done and fault.answers != "either" else {verb.writes[key], None}
        elif verb is BACKEND["get_or_set"] and key == "there":
            allowed = {stored, "loaded", None}
        elif fault.loses_values or key in spoiled:
            allowed = {stored, None} if fault.answers != "empty" else {None}
        else:
            allowed = {stored}
        if not back:
            allowed.add(None)
        assert found in allowed, f"{key} is {found!r} after the fault; allowed is one of {allowed!r}"


@pytest.fixture
def record(request: pytest.FixtureRequest, fault: Fault) -> Callable[..., None]:
    """Return a function that keeps the time of a cell, for the table."""

    def keep(seconds: float, column: str) -> None:
        cell = {
            "fault": fault.label,
            "row": list(FAULTS).index(fault.label),
            "verb": column,
            "column": COLUMNS.index(column),
            "ms": round(seconds * 1000, 1),
        }
        request.node.user_properties.append(("cell", cell))

    return keep


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
@pytest.mark.parametrize("verb", BACKEND)
def test_a_verb_of_djangos_cache(fault, cache, verb, record):
    check(fault, BACKEND[verb], cache, cache, lambda seconds: record(seconds, verb))


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
@pytest.mark.parametrize("cache", ["client"], indirect=True)
@pytest.mark.parametrize("verb", CLIENT)
def test_a_verb_of_the_client(fault, cache, verb, record):
    check(fault, CLIENT[verb], cache, cache, lambda seconds: record(seconds, f"client.{verb}"))


ASYNC_VERBS = ("get", "set", "get_many", "incr", "get_or_set")


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    running = asyncio.new_event_loop()
    yield running
    running.run_until_complete(running.shutdown_asyncgens())
    running.close()


def warm(fault: Fault, cache: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """Return what drives the async verbs, cancelled if that is the fault; the loop has a connection before it."""
    if fault.label != "server not started":
        wait_for(lambda: Driven(cache, loop).get("other") == "kept")
    return cut_by_a_cancellation(cache, loop, fault.after) if fault.interrupts else Driven(cache, loop)


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
@pytest.mark.parametrize("verb", ASYNC_VERBS)
def test_an_async_verb_of_djangos_cache(fault, cache, verb, loop, record):
    target = warm(fault, cache, loop)
    check(fault, BACKEND[verb], cache, target, lambda seconds: record(seconds, verb), loop)


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
@pytest.mark.parametrize("cache", ["client"], indirect=True)
@pytest.mark.parametrize("verb", ["get_json", "health_check"])
def test_an_async_verb_of_the_client(fault, cache, verb, loop, record):
    target = warm(fault, cache, loop)
    check(fault, CLIENT[verb], cache, target, lambda seconds: record(seconds, f"client.{verb}"), loop)


# An outage as a whole


def attempt(fault: Fault, call: Callable[[], Any]) -> Any:
    """Call, cut by the signal if that is the fault; the answer is nobody's then."""
    try:
        if fault.interrupts:
            fault.arm()
        return call()
    except Cut:
        return None


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
def test_ten_gets_in_a_row_cost_little(fault, cache, record):
    fault.begin(names(cache))
    try:
        began = time.monotonic()
        for _ in range(10):
            attempt(fault, lambda: cache.get("there"))
        seconds = time.monotonic() - began
    finally:
        fault.end()
    record(seconds, "ten gets")
    assert seconds < TEN_GETS
    assert lent() == 0
    wait_for(lambda: is_back(cache), RECOVERY)


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
def test_a_request_of_fifty_gets_costs_no_more_than_its_budget(fault, cache):
    fault.begin(names(cache))
    try:
        began = time.monotonic()
        with budget(0.3):
            for _ in range(50 if not fault.interrupts else 5):
                attempt(fault, lambda: cache.get("there"))
        seconds = time.monotonic() - began
    finally:
        fault.end()
    assert seconds < 0.3 + 50 * 0.01
    assert lent() == 0
    wait_for(lambda: is_back(cache), RECOVERY)


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
def test_the_cache_comes_back_by_itself_and_nobody_reads_what_was_before(fault, cache, record, caplog):
    caplog.set_level(logging.INFO, "django_dripcache")
    fault.begin(names(cache))
    try:
        for _ in range(4):
            attempt(fault, lambda: cache.get("there"))
        attempt(fault, lambda: cache.set("there", "new"))
        attempt(fault, lambda: cache.delete("other"))
        attempt(fault, lambda: cache.delete_pattern("oth*"))
        for _ in range(3):
            assert attempt(fault, lambda: cache.get("there")) in {"new", None}
        attempt(fault, lambda: cache.get_or_set("fresh", lambda: "loaded"))
    finally:
        fault.end()
    ended = time.monotonic()

    def read() -> bool:
        assert cache.get("there") in {"new", None}
        assert cache.get("other") is None
        return is_back(cache)

    wait_for(read, RECOVERY)
    record(time.monotonic() - ended, "recovery")
    for _ in range(20):
        assert read()
    assert lent() == 0
    lines = [record.getMessage() for record in caplog.records if record.name == "django_dripcache"]
    opened = [line for line in lines if "cannot be used" in line]
    closed = [line for line in lines if "answers again" in line]
    assert len(opened) == len(closed) <= 1


WRITES = {
    "set": lambda c: c.set("there", "new"),
    "incrby": lambda c: c.incr("number"),
    "unlink": lambda c: c.delete("there"),
    "pexpire": lambda c: c.touch("other", 60),
    "sadd": lambda c: c.sadd("members", "b"),
    "scan": lambda c: c.clear(),
}


@pytest.mark.parametrize("fault", ["lost reply", "reset in a reply"], indirect=True)
@pytest.mark.parametrize(
    ("command", "asynchronous"),
    [(command, False) for command in WRITES] + [(command, True) for command in WRITES if command != "sadd"],
)
def test_a_write_whose_reply_is_lost_reaches_the_server_once(fault, cache, loop, command, asynchronous):
    drive = Driven(cache, loop if asynchronous else None)
    assert drive.incr("number") == 6  # the server has the script, and we a connection
    with fault.look() as client:
        client.config_resetstat()
        fault.begin([])
        try:
            outcome_of(WRITES[command], drive)
            wait_for(lambda: f"cmdstat_{command}" in client.info("commandstats"), 2)
            time.sleep(0.05)
            assert client.info("commandstats")[f"cmdstat_{command}"]["calls"] == 1
        finally:
            fault.end()
    assert lent() == 0
    wait_for(lambda: is_back(cache), RECOVERY)
    if command == "incrby":
        assert cache.get("number") == 7


def outcome_of(write: Callable[[Any], Any], cache: Any) -> None:
    """Call what may raise what the documentation says."""
    with contextlib.suppress(ValueError):
        write(cache)
