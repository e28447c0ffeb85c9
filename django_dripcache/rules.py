"""
The rules of ``DRIPCACHE["RATE_LIMITS"]``: which requests are limited, how, and by what they are counted.

A rule is about all requests, those to a path, or those to a view. No other spelling of a path and no other method for
the same thing evades it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from .conf import check_header, get_settings, refuse_unknown
from .exceptions import ConfigurationError
from .rates import ALGORITHMS, parse
from .routes import fold, get_forms, get_match_names
from .visitors import USERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.http import HttpRequest

    from .rates import Algorithm, Rate

Asked: TypeAlias = "str | Callable[[HttpRequest], Any]"
"""A word that the page on rate limits explains, or a function that is given the request."""

KEYS: Final = ("ip", "user", "user_or_ip")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
OUTAGES: Final = ("local", "open", "closed")

_NAME: Final = re.compile(r"[ -9;-~]{1,100}")
_NEEDED: Final = ("name", "rate", "key")
_OVERRIDES: Final = ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_METHOD_OVERRIDE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    A limit of requests; the page on rate limits says what each field means.

    ``path`` is in its plain form, with ``*`` where it is a beginning. ``key`` and ``exempt`` have functions where the
    site gave their paths. Without ``methods`` it is about all of them.
    """

    name: str
    rate: str
    key: Asked
    path: str | None = None
    view: str | None = None
    methods: frozenset[str] = frozenset()
    algorithm: Algorithm = "sliding-window"
    on_outage: Literal["local", "open", "closed"] = "local"
    exempt: tuple[Asked, ...] = ()
    cost: int = 1

    @property
    def rates(self) -> tuple[Rate, ...]:
        """What the text ``rate`` says."""
        return parse(self.rate)

    @property
    def asks_user(self) -> bool:
        """Whether the user of a request has to be known."""
        return self.key in {"user", "user_or_ip"} or any(who in USERS for who in self.exempt)

    def has_method(self, request: HttpRequest) -> bool:
        """Return whether it is about the method of a request, or about one that a header asks for in its place."""
        asked = (request.method, *(request.META.get(name) for name in _OVERRIDES))
        return not self.methods or any(_one_method(method) in self.methods for method in asked if method)

    def has_path(self, forms: Iterable[str]) -> bool:
        """Return whether it is about a path, of which these are the forms."""
        if self.path is None:
            return True
        start = self.path.removesuffix("*")
        if start == self.path:
            return start in forms
        return any(form.startswith(start) or f"{form}/" == start for form in forms)


class Rules(NamedTuple):
    """The rules of the settings: those that need no view, and those about one."""

    by_path: tuple[Rule, ...]
    by_view: tuple[Rule, ...]


_read: dict[str, Rules] = {}


def get_rules() -> Rules:
    """Return the rules in force. Raises ConfigurationError for one that cannot work."""
    found = _read.get("rules")
    if found is None:
        rules = list(_parse(get_settings().RATE_LIMITS))
        by_view = tuple(rule for rule in rules if rule.view is not None)
        found = _read["rules"] = Rules(tuple(rule for rule in rules if rule.view is None), by_view)
    return found


def find_by_path(request: HttpRequest) -> list[Rule]:
    """Return the rules that are about all requests, or about the path of this one."""
    rules = get_rules().by_path
    forms = get_forms(request.path_info) if rules else set()
    return [rule for rule in rules if rule.has_path(forms) and rule.has_method(request)]


def find_by_view(request: HttpRequest) -> list[Rule]:
    """Return the rules that are about the view of a request, once Django has found it."""
    rules = get_rules().by_view
    names = get_match_names(request.resolver_match) if rules and request.resolver_match else set()
    return [rule for rule in rules if rule.view in names and rule.has_method(request)]


def make_rule(given: Mapping[str, Any], where: str, field: Callable[[str], str]) -> Rule:
    """
    Return the rule of a dict, which is ``where`` and whose fields are called what ``field()`` makes of their names.

    Raises ConfigurationError for what cannot work.
    """
    told = {name: value for name, value in given.items() if value is not None or name in _NEEDED}
    parsed = {name: _READ[name](field(name), value) for name, value in told.items()}
    if "path" in parsed and "view" in parsed:
        message = f"{where} has a 'path' and a 'view'. Allowed is one of them; make two rules."
        raise ConfigurationError(message)
    rule = Rule(**parsed)
    most = min(rate.limit for rate in rule.rates)
    if type(rule.cost) is not int or not 1 <= rule.cost <= most:
        message = f"{field('cost')} is {rule.cost!r}. Allowed are 1 to {most}, which is the limit."
        raise ConfigurationError(message)
    return rule


def _parse(given: Iterable[Any]) -> Iterator[Rule]:
    names: set[str] = set()
    for place, one in enumerate(given):
        where = f"DRIPCACHE['RATE_LIMITS'][{place}]"
        if not isinstance(one, Mapping):
            message = f"{where} is {one!r}. Allowed is a dict with 'name', 'rate' and 'key'."
            raise ConfigurationError(message)
        refuse_unknown(where, one, {field.name for field in fields(Rule)} - {"cost"})
        missing = [name for name in _NEEDED if one.get(name) is None]
        if missing:
            message = f"{where} has no {missing[0]!r}. It needs 'name', 'rate' and 'key'."
            raise ConfigurationError(message)
        rule = make_rule(one, where, partial("{}[{!r}]".format, where))
        if rule.name in names:
            message = f"{where} has the name of another rule, {rule.name!r}. Choose one for each."
            raise ConfigurationError(message)
        names.add(rule.name)
        yield rule


def _refuse(where: str, value: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"{where} is {value!r}. Allowed {allowed}.")


def _name(where: str, value: Any) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise _refuse(where, value, "are 1 to 100 signs of ASCII without ':'")


def _rate(where: str, value: Any) -> str:
    try:
        parse(value)
    except (TypeError, ValueError) as error:
        message = f"{where} is wrong. {error}"
        raise ConfigurationError(message) from error
    return str(value)


def _key(where: str, value: Any) -> Asked:
    if isinstance(value, str) and value.startswith("header:"):
        check_header(where + " after 'header:'", value.removeprefix("header:"))
        return value
    return _word_or_function(where, value, (*KEYS, "header:X-Api-Key"))


def _exempt(where: str, value: Any) -> tuple[Asked, ...]:
    several = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
    return tuple(_word_or_function(where, one, tuple(USERS)) for one in several)


def _word_or_function(where: str, value: Any, words: tuple[str, ...]) -> Asked:
    if callable(value) or value in words:
        return value  # type: ignore[no-any-return]
    if isinstance(value, str) and "." in value:
        try:
            found = import_string(value)
        except ImportError as error:
            message = f"{where} is {value!r}, which cannot be imported: {error}"
            raise ConfigurationError(message) from error
        if callable(found):
            return found  # type: ignore[no-any-return]
    near = difflib.get_close_matches(str(value), words, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise _refuse(where, value, f"are {', '.join(map(repr, words))} and the path of a function{hint}")


def _path(where: str, value: Any) -> str:
    text = fold(value) if isinstance(value, str) else ""
    start = text.removesuffix("*")
    plain = start.removesuffix("/") or "/"
    if not start.startswith("/") or "*" in start or "//" in start or get_forms(plain) != {plain}:
        allowed = "is a path in its plain form, as in '/login/', or the beginning of one with '*', as in '/api/*'"
        raise _refuse(where, value, allowed)
    return text if text.endswith("*") else plain


def _view(where: str, value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise _refuse(where, value, "is the name of a URL, as in 'shop:login', or the dotted path of a view")


def _methods(where: str, value: Any) -> frozenset[str]:
    if not isinstance(value, (list, tuple, set, frozenset)) or not value or any(one not in METHODS for one in value):
        raise _refuse(where, value, f"is a list of some of {', '.join(METHODS)}")
    return frozenset(map(_one_method, value))


def _one_of(choices: tuple[str, ...], where: str, value: Any) -> Any:
    if value not in choices:
        raise _refuse(where, value, f"are {', '.join(map(repr, choices))}")
    return value


def _one_method(method: str) -> str:
    name = method.strip().upper()
    return "GET" if name == "HEAD" else name


_READ: Final[dict[str, Callable[[str, Any], Any]]] = {
    "name": _name,
    "rate": _rate,
    "key": _key,
    "path": _path,
    "view": _view,
    "methods": _methods,
    "algorithm": partial(_one_of, ALGORITHMS),
    "on_outage": partial(_one_of, OUTAGES),
    "exempt": _exempt,
    "cost": lambda _, value: value,
}


def _forget(*, setting: str, **_: object) -> None:
    if setting == "DRIPCACHE":
        _read.clear()


setting_changed.connect(_forget, dispatch_uid="django_dripcache.rules")
