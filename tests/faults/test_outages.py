"""An outage as a whole: what it costs, how it ends, and that nothing is sent twice through it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from django_dripcache.deadline import budget

from ..conftest import Driven
from ..processes import site, wait_for
from .groups import BACKEND
from .outages import FAULTS, Cut, Fault
from .trial import RECOVERY, lent, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The promises are 0.5 and 2 seconds. The real times are in the table; what is asserted leaves room for a machine that
# is busy with other tests.
TEN_GETS: Final = 1.0


@pytest.fixture(scope="module")
def fault(request: pytest.FixtureRequest) -> Iterator[Fault]:
    with FAULTS[request.param]() as happening:
        happening.label = request.param
        yield happening


@pytest.fixture
def cache(fault: Fault) -> Iterator[Any]:
    """Django's cache, over a server that has what each call finds there."""
    fault.prepare()
    with site(fault.url(), {}) as backend:
        if fault.was_there:
            BACKEND.store(backend)
        yield backend


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    running = asyncio.new_event_loop()
    yield running
    running.run_until_complete(running.shutdown_asyncgens())
    running.close()


def spots(cache: Any) -> list[tuple[int, Any]]:
    """Return the values that a fault may spoil, in database 0."""
    return [(0, spot) for spot in BACKEND.spots(cache)]


def is_back(cache: Any) -> bool:
    stamp = time.monotonic_ns()
    return bool(cache.set("stamp", stamp)) and cache.get("stamp") == stamp


def attempt(fault: Fault, call: Callable[[], Any]) -> Any:
    """Call, cut by the signal if that is the fault; the answer is nobody's then."""
    try:
        if fault.interrupts:
            fault.arm()
        return call()
    except Cut:
        return None


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
def test_ten_gets_in_a_row_cost_little(fault, cache, record_property):
    fault.begin(spots(cache))
    try:
        began = time.monotonic()
        for _ in range(10):
            attempt(fault, lambda: cache.get("there"))
        seconds = time.monotonic() - began
    finally:
        fault.end()
    record_property("cell", note(fault.label, "ten gets", seconds))
    assert seconds < TEN_GETS
    assert lent() == 0
    wait_for(lambda: is_back(cache), RECOVERY)


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
def test_a_request_of_fifty_gets_costs_no_more_than_its_budget(fault, cache):
    fault.begin(spots(cache))
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
def test_the_cache_comes_back_by_itself_and_nobody_reads_what_was_before(fault, cache, record_property, caplog):
    caplog.set_level(logging.INFO, "django_dripcache")
    fault.begin(spots(cache))
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
    record_property("cell", note(fault.label, "recovery", time.monotonic() - ended))
    for _ in range(20):
        wait_for(read, RECOVERY)
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
