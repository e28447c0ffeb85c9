"""Rate limits over all processes of a site."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias, get_args
from weakref import WeakKeyDictionary

from ._drive import arun, run
from .conf import get_settings
from .counts import ALLOWED, COUNTS, DEGRADED, DENIED
from .exceptions import CacheUnavailableError, ConfigurationError, RateLimitExceededError
from .flows import limits
from .flows.steps import Refused
from .rates import ALGORITHMS, Decision, decide, parse
from .secrecy import digest
from .services.base import Service
from .signals import tell_limited
from .tally import Denials, Tallies

if TYPE_CHECKING:
    from .rates import Algorithm, Rate
    from .server import Server
    from .typing import Flow

OnLimitOutage: TypeAlias = Literal["local", "open", "closed", "raise"]
"""Who decides while Redis cannot be used: this process alone, or nobody: all hits are allowed, or none, or raise."""

_CLOSED_FOR: Final = 1.0
_SHOWN: Final = 16


class _Memory:
    """What this process knows of the limits of one server."""

    def __init__(self) -> None:
        self.denials = Denials()
        self.tallies = Tallies()


_memories: WeakKeyDictionary[Server, _Memory] = WeakKeyDictionary()


class RateLimiter(Service):
    """
    How often something may happen, counted for all processes by the clock of the server.

    ``algorithm`` is ``"sliding-window"``: never more than the limit in any stretch of a window's length;
    ``"fixed-window"``, which is cheaper to keep and allows up to twice the limit around the end of a window; or
    ``"gcra"``, which spreads hits evenly and allows a ``burst`` at once.

    ``on_outage`` is who decides while Redis cannot be used: ``"local"``, a sliding window in this process, with the
    limit divided by ``DRIPCACHE["WORKERS"]``; ``"open"``, where all hits are allowed; ``"closed"``, where none is; or
    ``"raise"``, which is a CacheUnavailableError.

    ``name`` is what its decisions are counted under in the figures, by default the rate.

    A hit is one round trip, for any number of rates; one that is denied is remembered, so that the same hit costs none
    until it may be allowed. Decisions are told as the signal ``rate_limited`` where they deny.
    """

    area: ClassVar[str] = "limits"

    def __init__(
        self,
        alias: str = "default",
        *,
        algorithm: Algorithm = "sliding-window",
        on_outage: OnLimitOutage = "local",
        name: str = "",
    ) -> None:
        super().__init__(alias)
        self.name = name
        _check("RateLimiter(algorithm=...)", algorithm, ALGORITHMS)
        _check("RateLimiter(on_outage=...)", on_outage, get_args(OnLimitOutage))
        self.algorithm: Algorithm = algorithm
        self.decides = on_outage

    def hit(
        self, key: str, rate: str, *, cost: int = 1, algorithm: Algorithm | None = None, burst: int | None = None
    ) -> Decision:
        """
        Count a hit of ``key``, if ``rate`` allows it, and return the Decision, which is true if it is allowed.

        ``rate`` is a text such as ``"100/m"``, or several, ``"10/s, 1000/h"``: a hit that one of them denies is counted
        by none. ``cost`` is how many hits it stands for. ``burst``, for ``"gcra"`` and one rate, is how many may come
        at once, by default the limit. Raises ValueError for a rate that cannot be read, and for a cost above the limit,
        which would never be allowed.
        """
        return run(self._decide(key, rate, cost, algorithm, burst, counts=True), self._link())

    async def ahit(
        self, key: str, rate: str, *, cost: int = 1, algorithm: Algorithm | None = None, burst: int | None = None
    ) -> Decision:
        """See hit()."""
        return await arun(self._decide(key, rate, cost, algorithm, burst, counts=True), self._link())

    def enforce(
        self, key: str, rate: str, *, cost: int = 1, algorithm: Algorithm | None = None, burst: int | None = None
    ) -> Decision:
        """Count a hit, and raise RateLimitExceededError, with its ``decision``, if it is denied. See hit()."""
        return _enforced(self.hit(key, rate, cost=cost, algorithm=algorithm, burst=burst))

    async def aenforce(
        self, key: str, rate: str, *, cost: int = 1, algorithm: Algorithm | None = None, burst: int | None = None
    ) -> Decision:
        """See enforce()."""
        return _enforced(await self.ahit(key, rate, cost=cost, algorithm=algorithm, burst=burst))

    def peek(
        self, key: str, rate: str, *, cost: int = 1, algorithm: Algorithm | None = None, burst: int | None = None
    ) -> Decision:
        """Return what hit() would decide now, and count nothing."""
        return run(self._decide(key, rate, cost, algorithm, burst, counts=False), self._link())

    async def apeek(
        self, key: str, rate: str, *, cost: int = 1, algorithm: Algorithm | None = None, burst: int | None = None
    ) -> Decision:
        """See peek()."""
        return await arun(self._decide(key, rate, cost, algorithm, burst, counts=False), self._link())

    def reset(self, key: str, rate: str, *, algorithm: Algorithm | None = None) -> bool:
        """
        Forget the hits of ``key`` for this rate and algorithm, and return whether there were any.

        Another process that has denied a hit goes on to deny it until its ``retry_after`` is over.
        """
        return self._run(self._reset(key, rate, algorithm), fallback=False)

    async def areset(self, key: str, rate: str, *, algorithm: Algorithm | None = None) -> bool:
        """See reset()."""
        return await self._arun(self._reset(key, rate, algorithm), fallback=False)

    @property
    def _raising(self) -> bool:  # type: ignore[override]
        return self.decides == "raise"

    @property
    def _memory(self) -> _Memory:
        server = self._client.server
        found = _memories.get(server)
        return _memories.setdefault(server, _Memory()) if found is None else found

    def _limits(self, key: str, rates: tuple[Rate, ...], algorithm: Algorithm | None) -> tuple[bytes, ...]:
        _check("algorithm", algorithm or self.algorithm, ALGORITHMS)
        space = self._names(algorithm or self.algorithm)
        return tuple(space.name(f"{rate}:{key}" if isinstance(key, str) else key) for rate in rates)

    def _decide(
        self, key: str, rate: str, cost: int, algorithm: Algorithm | None, burst: int | None, *, counts: bool
    ) -> Flow[Decision]:
        rates = parse(rate)
        names = self._limits(key, rates, algorithm)
        _check_cost(rates, cost, burst, algorithm or self.algorithm)
        decision = yield from self._ask(names, rates, cost, algorithm or self.algorithm, burst, counts=counts)
        if counts:
            count(self.name or rate, key, decision)
            if not decision:
                tell_limited(names[0], decision)
        return decision

    def _ask(
        self,
        names: tuple[bytes, ...],
        rates: tuple[Rate, ...],
        cost: int,
        algorithm: Algorithm,
        burst: int | None,
        *,
        counts: bool,
    ) -> Flow[Decision]:
        memory = self._memory
        known = memory.denials.recall(names, cost)
        if known is not None:
            return known
        since = time.monotonic()
        try:
            replies = yield from limits.hit(names, rates, cost, algorithm, burst, counts=counts)
        except CacheUnavailableError:
            if self.raises:
                raise
            return self._stand_in(memory, names, rates, cost, counts=counts)
        except Refused:
            return self._stand_in(memory, names, rates, cost, counts=counts)  # there is a key of another type
        decision = decide(rates, replies, burst)
        if not decision:
            memory.denials.remember(names, cost, decision, since)
        return decision

    def _stand_in(
        self, memory: _Memory, names: tuple[bytes, ...], rates: tuple[Rate, ...], cost: int, *, counts: bool
    ) -> Decision:
        if self.decides in {"open", "closed"}:
            allowed = self.decides == "open"
            rate = rates[0]
            left, wait = (rate.limit, 0.0) if allowed else (0, _CLOSED_FOR)
            return Decision(allowed, rate.limit, rate.limit - left, left, wait, wait, rate, degraded=True)
        return memory.tallies.hit(names, rates, cost, get_settings().WORKERS, counts=counts)

    def _reset(self, key: str, rate: str, algorithm: Algorithm | None) -> Flow[bool]:
        names = self._limits(key, parse(rate), algorithm)
        self._memory.denials.forget(names)
        return (yield from limits.reset(names))


def count(rule: str, key: str, decision: Decision) -> None:
    """Count what a rule decided about a key, for the figures."""
    cell = COUNTS.of("l", rule)
    cell[ALLOWED if decision else DENIED] += 1
    if decision.degraded:
        cell[DEGRADED] += 1
    if not decision:
        shows = key.startswith("ip:") and get_settings().SHOW_ADDRESSES
        COUNTS.deny(rule, key.removeprefix("ip:") if shows else digest("limits", key)[:_SHOWN])


def _enforced(decision: Decision) -> Decision:
    if not decision:
        raise RateLimitExceededError(decision)
    return decision


def _check(where: str, given: Any, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        message = f"{where} is {given!r}. Allowed are {', '.join(map(repr, allowed))}."
        raise ConfigurationError(message)


def _check_cost(rates: tuple[Rate, ...], cost: int, burst: int | None, algorithm: Algorithm) -> None:
    if type(cost) is not int or cost < 1:
        message = f"cost={cost!r} is out of range. Allowed is a number from 1 up."
        raise ValueError(message)
    if burst is not None and (algorithm != "gcra" or len(rates) > 1 or type(burst) is not int or burst < 1):
        message = f"burst={burst!r} cannot be used. Allowed is a number from 1 up, with algorithm='gcra' and one rate."
        raise ValueError(message)
    tightest = min(rates, key=lambda rate: rate.limit)
    most = burst or tightest.limit
    if cost > most:
        message = f"cost={cost} would never be allowed by {tightest}. Allowed are 1 to {most}."
        raise ValueError(message)


rate_limiter: Final = RateLimiter()
"""The limiter of the alias ``default``."""
