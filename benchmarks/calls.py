"""
The calls that are measured, and their turns.

Each call is a generator: it prepares what it needs, yields what is measured, and yields whether that has happened.
"""

from __future__ import annotations

import pickle
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.contenders import NEAR
from benchmarks.rounds import alone, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import ThreadPoolExecutor

    import redis

    from benchmarks.contenders import Contender

    Steps = Iterator[Any]

MANY = 100
THREADS = 8

READING = ("get", "mget", "evalsha")
"""What Redis is asked if what is read is not near."""

_numbers = count()


def rows(size: int) -> Any:
    """Return what a query of some rows may give: at least ``size`` bytes of pickle, the same in every run."""
    chance = Random(0)  # noqa: S311 - it is not a secret
    made: list[dict[str, Any]] = []
    while len(pickle.dumps(made)) < size:
        name = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=chance.randrange(10, 60)))
        made.append({"id": chance.randrange(10**6), "name": name, "price": chance.random(), "tags": ["new", "sale"]})
    return made


SMALL = {"id": 1, "name": "The name of some article", "tags": ["new", "sale"], "price": 12.5}
PAYLOADS = {"100 B": SMALL, "5 KB": rows(5_000), "100 KB": rows(100_000)}


class On(NamedTuple):
    """Of whom what is asked: a contender, its cache for this thread or for any, a value, and how many calls."""

    contender: Contender
    cache: Any
    value: Any
    calls: int


def get(on: On) -> Steps:
    """Get what is there."""
    on.cache.set("hit", on.value)
    on.cache.get("hit")
    yield partial(on.cache.get, "hit")
    yield on.cache.get("hit") == on.value


def get_nothing(on: On) -> Steps:
    """Get what is not there."""
    on.cache.get("nothing")
    yield partial(on.cache.get, "nothing")
    yield on.cache.get("nothing") is None


def set_(on: On) -> Steps:
    """Set a key that is there."""
    yield partial(on.cache.set, "set", on.value)
    yield on.cache.get("set") == on.value


def incr(on: On) -> Steps:
    """Count."""
    on.cache.set("number", 0)
    yield partial(on.cache.incr, "number")
    yield int(on.cache.get("number")) == on.calls


def touch(on: On) -> Steps:
    """Let a key live on."""
    on.cache.set("touched", on.value)
    yield partial(on.cache.touch, "touched")
    yield on.cache.get("touched") == on.value


def delete(on: On) -> Steps:
    """Delete keys that are there."""
    names = [f"deleted:{number}" for number in range(on.calls)]
    on.cache.set_many(dict.fromkeys(names, on.value))
    left = iter(names)
    yield lambda: on.cache.delete(next(left))
    yield not on.cache.get_many(names)


def get_or_set_miss(on: On) -> Steps:
    """Get what is not there, and set it."""
    names = [f"filled:{next(_numbers)}" for _ in range(on.calls)]
    left = iter(names)
    yield lambda: on.cache.get_or_set(next(left), lambda: on.value)
    yield len(on.cache.get_many(names)) == on.calls
    on.cache.delete_many(names)


def get_many(on: On) -> Steps:
    """Get keys that are there."""
    names = [f"many:{number}" for number in range(MANY)]
    on.cache.set_many(dict.fromkeys(names, on.value))
    on.cache.get_many(names)
    yield lambda: on.cache.get_many(names)
    yield on.cache.get_many(names) == dict.fromkeys(names, on.value)


def set_many(on: On) -> Steps:
    """Set keys that are there."""
    values = {f"set:{number}": on.value for number in range(MANY)}
    yield lambda: on.cache.set_many(values)
    yield len(on.cache.get_many(values)) == MANY


def memoized(on: On) -> Steps:
    """Call a function whose result is kept."""

    def article(number: int) -> Any:
        return {**on.value, "number": number}

    function = on.contender.memoize(article, "article:{number}")
    function(7)
    function(7)
    yield partial(function, 7)
    yield function(7)["number"] == 7  # noqa: PLR2004 - the same as above


class Call(NamedTuple):
    """What is measured: its verb, how it is prepared, how many calls are a turn, and whether they have to be near."""

    name: str
    verb: str
    steps: Callable[[On], Steps]
    count: int = 40
    is_near: bool = False


GET = Call("get, hit", "get", get, is_near=True)
SET = Call("set", "set", set_)
INCR = Call("incr", "incr", incr)
FILL = Call("get_or_set, miss", "get_or_set", get_or_set_miss)
GET_MANY = Call(f"get_many({MANY})", "get_many", get_many, count=5, is_near=True)
SET_MANY = Call(f"set_many({MANY})", "set_many", set_many, count=5)
MEMOIZED = Call("memoize, hit", "memoize", memoized, is_near=True)
CALLS = (
    GET,
    Call("get, miss", "get", get_nothing, is_near=True),
    SET,
    INCR,
    Call("touch", "touch", touch),
    Call("delete", "delete", delete),
    FILL,
    GET_MANY,
    SET_MANY,
    MEMOIZED,
)


class Turn:
    """One turn of a cache: it does a call some times, with a value, and the time of one is returned."""

    def __init__(
        self,
        contender: Contender,
        call: Call,
        value: Any,
        client: redis.Redis,
        threads: ThreadPoolExecutor | None = None,
    ) -> None:
        self.contender, self.call, self.value = contender, call, contender.ready(value)
        self.client, self.threads = client, threads

    def __call__(self) -> float:
        """Return the seconds of a call. Raises RuntimeError if what was measured did not happen."""
        contender, calls, threads = self.contender, self.call.count, self.threads
        near = self.call.is_near and contender.name == NEAR
        cache = contender.cache if threads is None else contender.proxy
        steps = self.call.steps(On(contender, cache, self.value, calls))
        work = next(steps)
        before = calls_of(self.client, *READING) if near else 0
        taken = alone(work, calls) if threads is None else together(work, calls, threads, THREADS)
        asked = calls_of(self.client, *READING) - before if near else 0
        if not next(steps) or asked > calls / 10:
            message = f"{contender.name}: {self.call.name} did not happen, or Redis was asked ({asked} times)."
            raise RuntimeError(message)
        for _ in steps:
            pass
        return taken


def calls_of(client: redis.Redis, *commands: str) -> int:
    """Return how often Redis was asked these commands."""
    told = client.info("commandstats")
    return sum(int(told.get(f"cmdstat_{command}", {}).get("calls", 0)) for command in commands)
