"""By what a rule of limits counts one whom a person names: an address, a user's id, or what a header or key holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from ._drive import run
from .recorder import home
from .visitors import HERE, UNKNOWN, get_client_address, identify

if TYPE_CHECKING:
    from .rules import Rule


@sensitive_variables()
def get_counted(rule: Rule, who: str) -> str:
    """
    Return by what ``rule`` counts ``who``, as the limiter writes it: ``"ip:203.0.113.7"``, ``"user:7"``.

    Raises ValueError for what the rule cannot count.
    """
    who = who.strip()
    if not who:
        message = f"The rule {rule.name!r} counts by {describe(rule)}. Type one."
        raise ValueError(message)
    if callable(rule.key):
        return f"key:{who}"
    asked = _ask(rule.key, who)
    if asked is None:
        message = f"The rule {rule.name!r} counts by {describe(rule)}, and {who[:40]!r} is none."
        raise ValueError(message)
    counted = run(identify(asked, rule.key, HERE), home()[0])
    return str(counted)


def describe(rule: Rule) -> str:
    """Return by what a rule counts, in words."""
    if callable(rule.key):
        return f"what {rule.key.__module__}.{getattr(rule.key, '__qualname__', type(rule.key).__name__)}() returns"
    if rule.key.startswith("header:"):
        return f"what the header {rule.key.removeprefix('header:')} holds"
    return {"ip": "address", "user": "the id of a user"}.get(rule.key, "the id of a user, or by address")


def _ask(key: str, who: str) -> Any:
    """Return a request of the one who is named, or None where a rule by ``key`` would not know them."""
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": who.removesuffix("/64")}
    unknown = get_client_address(request) == UNKNOWN != who
    if key.startswith("header:"):
        request.META = {f"HTTP_{key.removeprefix('header:').upper().replace('-', '_')}": who}
        return request
    if key == "ip" and unknown:
        return None
    known = key == "user" or (key == "user_or_ip" and unknown)
    request.user = SimpleNamespace(is_authenticated=known, pk=who)  # type: ignore[assignment]
    return request
