"""Rate limits: the rules, what they decided, whom they denied most; and to forget what was counted of one."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from ..backend import configured_aliases
from ..exceptions import ConfigurationError
from ..limiter import RateLimiter
from ..measures import LimitFigures
from ..rules import get_rules
from ..traffic import get_traffic
from ..whom import get_counted
from .period import NAMES, SPOKEN, find_period
from .plan import NotDoneError, Plan
from .screen import Screen
from .units import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from ..measures import Denied
    from ..rules import Rule
    from .place import Place

ALIAS: Final = "default"
"""The alias that requests are counted in."""


class LimitsScreen(Screen):
    """The rules of the settings, and the other limits that were asked."""

    name = "limits"
    title = gettext_lazy("Limits")
    acts: ClassVar[Mapping[str, str]] = {"reset": "change"}
    kept: ClassVar[tuple[str, ...]] = ("period",)

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:  # noqa: ARG002 - figures are of all aliases
        """Return the rules with their figures, and those who were denied."""
        period = find_period(request)
        traffic = get_traffic(period)
        rules = _get_rules()
        return {
            "period": period,
            "periods": NAMES,
            "spoken": SPOKEN[period],
            "available": traffic.available,
            "rules": [_describe(rule, traffic.limits.get(name, LimitFigures())) for name, rule in rules.items()],
            "others": {name: figures for name, figures in traffic.limits.items() if name not in rules},
            "denied": [{"denied": one, "known": _can_reset(one, rules)} for one in traffic.denied],
            "alias": ALIAS if ALIAS in configured_aliases() else "",
        }

    def plan_reset(self, request: HttpRequest, place: Place) -> Plan:
        """Forget what a rule has counted of one."""
        name, who = request.POST.get("rule", ""), request.POST.get("who", "")
        rule = _get_rules().get(name)
        if rule is None:
            message = _("There is no rule of this name in DRIPCACHE['RATE_LIMITS'].")
            raise ValueError(message)
        counted = get_counted(rule, who)
        # What a header holds, or a function returns, may be a secret: it is nowhere to be read afterwards.
        open_to_see = counted.startswith(("ip:", "user:"))
        told = {
            "rule": name,
            "who": shown(counted.partition(":")[2]) if open_to_see else _("one who is not named here"),
        }

        def reset() -> str:
            limiter = RateLimiter(place.alias)
            if not limiter.reset(f"{rule.name}:{counted}", rule.rate, algorithm=rule.algorithm):
                raise NotDoneError(_("The rule “%(rule)s” had counted nothing of %(who)s.") % told)
            return _("The rule “%(rule)s” counts %(who)s anew.") % told

        return Plan(
            subject=_("limit “%(rule)s”") % told,
            entry=_("Reset for %(who)s.") % told,
            question=_("Shall the rule “%(rule)s” forget what it has counted of %(who)s?") % told,
            button=pgettext("to forget what was counted", "Reset"),
            do=reset,
            notes=(_("A process that denies them now goes on to do so until its wait is over."),),
        )


def _get_rules() -> dict[str, Rule]:
    try:
        rules = get_rules()
    except ConfigurationError:
        return {}  # the doctor tells of it
    return {rule.name: rule for rule in (*rules.by_path, *rules.by_view)}


def _describe(rule: Rule, figures: LimitFigures) -> dict[str, Any]:
    asked = figures.allowed + figures.denied
    return {
        "rule": rule,
        "about": rule.path or rule.view or _("all requests"),
        "methods": ", ".join(sorted(rule.methods)),
        "key": _get_words(rule),
        "figures": figures,
        "part": figures.denied / asked if asked else None,
    }


def _get_words(rule: Rule) -> str:
    """Return by what a rule counts."""
    if callable(rule.key):
        name = getattr(rule.key, "__qualname__", type(rule.key).__name__)
        return _("what %(function)s returns") % {"function": f"{rule.key.__module__}.{name}()"}
    if rule.key.startswith("header:"):
        return _("what the header %(name)s holds") % {"name": rule.key.removeprefix("header:")}
    words = {"ip": pgettext("counted by", "address"), "user": pgettext("counted by", "the id of a user")}
    return words.get(rule.key) or pgettext("counted by", "the id of a user, or by address")


def _can_reset(denied: Denied, rules: Mapping[str, Rule]) -> bool:
    """Return whether it is told who that is: an address, of a rule that counts by it."""
    rule = rules.get(denied.rule)
    if rule is None or rule.key not in {"ip", "user_or_ip"}:
        return False
    try:
        ip_network(denied.who)
    except ValueError:
        return False  # a digest
    return True
