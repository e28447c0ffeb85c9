"""List the rules of rate limits with what they decided, and those whom they denied most; or reset one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from django.core.cache import DEFAULT_CACHE_ALIAS

from ..exceptions import ConfigurationError
from ..limiter import RateLimiter
from ..rules import get_rules
from ..traffic import LimitFigures
from ..whom import describe, get_counted
from .aliases import reached
from .console import FOUND, WELL, add_json
from .stats import NAMES, add_period, traffic_of
from .tables import number, table

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from ..rules import Rule
    from ..traffic import Period
    from .console import Console

_HEADS: Final = ("rule", "rate", "counts by", "about", "allowed", "denied", "without Redis")


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    add_period(parser)
    acts = parser.add_subparsers(dest="act", metavar="reset")
    resetting = acts.add_parser("reset", help="Forget what a rule has counted.", description="Forget what was counted.")
    resetting.add_argument("--rule", required=True, help="The name of a rule.")
    resetting.add_argument("--who", required=True, help="An address, a user's id, or what else the rule counts by.")
    add_json(resetting)


def run(console: Console, *, act: str | None, period: Period, **options: Any) -> int:
    """List or reset; the exit code is 1 if nothing was counted of the one to reset."""
    by_path, by_view = get_rules()
    rules = {rule.name: rule for rule in (*by_path, *by_view)}
    if act == "reset":
        return _reset(console, rules, **options)
    traffic = traffic_of(period)
    others = [name for name in traffic.limits if name not in rules]
    figures = {name: traffic.limits.get(name, LimitFigures()) for name in (*rules, *others)}
    rows = [(name, *_about(rules.get(name)), *map(number, asdict(one).values())) for name, one in figures.items()]
    lines = table(_HEADS, rows, left=4) if rows else ["There are no rules in DRIPCACHE['RATE_LIMITS']."]
    if traffic.denied:
        denied = [(one.who, one.rule, number(one.times)) for one in traffic.denied]
        lines += ["", *table(("denied most in a day", "rule", "times"), denied, left=2)]
    elif rows:
        lines += ["", f"Nobody was denied in the last {NAMES['24h']}."]
    data = {"limits": {name: asdict(one) for name, one in figures.items()}, "denied": list(map(asdict, traffic.denied))}
    console.tell(data, lines)
    return WELL


def _about(rule: Rule | None) -> tuple[str, str, str]:
    if rule is None:
        return "", "", "not of the settings"
    methods = f"{' '.join(sorted(rule.methods))} " if rule.methods else ""
    return rule.rate, describe(rule), methods + (rule.path or rule.view or "all requests")


def _reset(console: Console, rules: dict[str, Rule], *, rule: str, who: str, **_: Any) -> int:
    if rule not in rules:
        message = f"--rule={rule} is no rule. Allowed: {', '.join(rules) or 'none'}."
        raise ConfigurationError(message)
    found = rules[rule]
    reached(DEFAULT_CACHE_ALIAS)  # where requests are counted
    try:
        counted = get_counted(found, who)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    done = RateLimiter(on_outage="raise").reset(f"{rule}:{counted}", found.rate, algorithm=found.algorithm)
    console.tell({"reset": done}, [f"{rule} counts anew." if done else f"{rule} had counted nothing of that."])
    return WELL if done else FOUND
