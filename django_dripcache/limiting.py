"""Limits of requests: what the middleware and the decorator ask, in one round trip for all rules of one kind."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial, wraps
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeVar, cast

from asgiref.sync import iscoroutinefunction
from django.http.response import HttpResponseBase

from ._drive import arun, run
from .conf import get_settings
from .flows.steps import Load
from .limiter import RateLimiter, count
from .refusals import Standing, refuse, tell
from .routes import get_view_name
from .rules import OUTAGES, make_rule
from .signals import tell_limited
from .visitors import HERE, ON_LOOP, identify, is_exempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Literal

    from django.http import HttpRequest, HttpResponse

    from .rates import Algorithm, Decision
    from .rules import Asked, Rule
    from .typing import Flow, Link
    from .visitors import Asking

P = ParamSpec("P")
R = TypeVar("R")


class Hit(NamedTuple):
    """A request that a rule is about, and by what it is counted."""

    rule: Rule
    who: str


class RequestLimiter(RateLimiter):
    """A limiter that counts a request by several rules at once, or by none if one of them denies it."""

    @property
    def link(self) -> Link:
        """What its flows run over."""
        return self._link()

    def judge(self, hits: Sequence[Hit]) -> Flow[list[Standing]]:
        """Count hits of rules with one algorithm and one cost; return how the request stands with each rate."""
        kind = hits[0].rule
        limits = [
            (rule, rate, name)
            for rule, who in hits
            for rate, name in zip(
                rule.rates, self._limits(f"{rule.name}:{who}", rule.rates, rule.algorithm), strict=True
            )
        ]
        names, rates = tuple(name for *_, name in limits), tuple(rate for _, rate, _ in limits)
        whole = yield from self._ask(names, rates, kind.cost, kind.algorithm, None, counts=True)
        standings = []
        denied: dict[str, Decision] = {}
        for (rule, rate, name), decision in zip(limits, whole.rates or repeat(whole), strict=False):
            policy = rule.name if len(rule.rates) == 1 else f"{rule.name}:{rate}"
            standings.append(Standing(policy, rate, decision))
            if not decision and rule.name not in denied:
                denied[rule.name] = decision
                tell_limited(name, decision)
        for rule, who in hits:
            if whole or rule.name in denied:
                count(rule.name, who, denied.get(rule.name, whole))
        return standings


_limiters: Final = {choice: RequestLimiter(on_outage=choice) for choice in OUTAGES}


def check(request: HttpRequest, rules: Sequence[Rule]) -> HttpResponse | None:
    """Count a request by the rules that are about it, and return the response if one denies it, or None."""
    return run(_judge(request, rules, HERE), _limiters["local"].link) if rules else None


async def acheck(request: HttpRequest, rules: Sequence[Rule]) -> HttpResponse | None:
    """See check()."""
    return await arun(_judge(request, rules, ON_LOOP), _limiters["local"].link) if rules else None


def show(request: HttpRequest, response: R) -> R:
    """Return the response, and tell in it how its request stands if the site wants it told."""
    if get_settings().RATE_LIMIT_HEADERS and isinstance(response, HttpResponseBase):
        tell(response, _get_standings(request))
    return response


def _judge(request: HttpRequest, rules: Sequence[Rule], asking: Asking) -> Flow[HttpResponse | None]:
    kinds: dict[tuple[str, str], list[Hit]] = {}
    for rule in rules:
        if (yield from is_exempt(request, rule.exempt, asking)):
            continue
        who = yield from identify(request, rule.key, asking)
        if who is not None:
            kinds.setdefault((rule.algorithm, rule.on_outage), []).append(Hit(rule, who))
    standings = _get_standings(request)
    for (_, choice), hits in kinds.items():
        found = yield from _limiters[choice].judge(hits)
        standings += found
        if not all(one.decision for one in found):
            refusal: HttpResponse = yield Load(partial(asking.call, partial(refuse, standings=standings), request))
            return refusal
    return None


def _get_standings(request: HttpRequest) -> list[Standing]:
    """Return what was decided about a request until now: its ``rate_limits``, which a view may look at, too."""
    whole = getattr(request, "_request", request)  # that of Django REST framework is around Django's own
    found: list[Standing] = vars(whole).setdefault("rate_limits", [])
    return found


def rate_limit(
    rate: str,
    *,
    key: Asked = "user_or_ip",
    methods: Iterable[str] | None = None,
    group: str | None = None,
    algorithm: Algorithm | None = None,
    on_outage: Literal["local", "open", "closed"] = "local",
    cost: int = 1,
    exempt: Asked | Iterable[Asked] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Return a decorator that answers 429 once a view is asked for more often than ``rate``, such as ``"5/m"``, allows.

    ``key`` and ``exempt`` are those of a rule, and so are ``algorithm`` and ``on_outage``. ``methods`` are those that
    count, by default all; HEAD is GET. Views with the same ``group`` and rate are counted together, by default each one
    for itself. ``cost`` is how much one request counts. For methods of a class, write ``method_decorator``.

    Raises ConfigurationError for what cannot work.
    """
    several = None if methods is None or isinstance(methods, str) else list(methods)
    given = {
        "name": "view" if group is None else group,
        "rate": rate,
        "key": key,
        "methods": several if several is not None else methods,
        "algorithm": algorithm,
        "on_outage": on_outage,
        "cost": cost,
        "exempt": exempt,
    }
    rule = make_rule(given, "rate_limit()", _field)

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        named = rule if group is not None else replace(rule, name=_check_name(view))
        if _is_async(view):

            @wraps(view)
            async def limited_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                request = _get_request(named, args, kwargs)
                response: Any = await acheck(request, [named] if named.has_method(request) else [])
                if response is None:
                    response = view(*args, **kwargs)
                return show(request, await response if inspect.isawaitable(response) else response)

            return cast("Callable[P, R]", limited_async)

        @wraps(view)
        def limited(*args: P.args, **kwargs: P.kwargs) -> Any:
            request = _get_request(named, args, kwargs)
            response = check(request, [named] if named.has_method(request) else [])
            return show(request, view(*args, **kwargs) if response is None else response)

        return limited

    return decorate


def _field(name: str) -> str:
    return f"rate_limit({'group' if name == 'name' else name}=...)"


def _check_name(view: Callable[..., Any]) -> str:
    if isinstance(view, type):
        message = f"{view.__qualname__} is a class. Write @method_decorator(rate_limit(...), name='dispatch') above it."
        raise TypeError(message)
    name = get_view_name(view)
    if name.endswith("<lambda>"):
        message = f"{name} has no name of its own, and others would share its limit. Give rate_limit() a group=."
        raise TypeError(message)
    return name


def _is_async(view: Callable[..., Any]) -> bool:
    """Return whether a view has to be awaited; the ``dispatch`` of a class of such views is a plain method."""
    owner = getattr(getattr(view, "func", None), "__self__", None)
    return iscoroutinefunction(view) or bool(getattr(owner, "view_is_async", False))


def _get_request(rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> HttpRequest:
    request = args[0] if args else kwargs.get("request")
    if not hasattr(request, "META"):
        message = (
            f"{rule.name} was called with {type(request).__name__} in the place of a request. For methods, write "
            "@method_decorator(rate_limit(...))."
        )
        raise TypeError(message)
    return cast("HttpRequest", request)
