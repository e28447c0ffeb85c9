"""Arguments as text: equal ones of one type the same, others another, whatever process writes them."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Model
from django.utils.functional import LazyObject, Promise

if TYPE_CHECKING:
    from collections.abc import Callable

_EXACT: Final = frozenset(
    {type(None), bool, int, float, complex, str, bytes, Decimal, UUID, dt.date, dt.timedelta, dt.timezone, ZoneInfo}
)


def canonical(name: str, value: Any) -> str:
    """
    Return the argument ``name`` as text. A model instance is its label and primary key.

    Values that are equal but of another type, such as 1, 1.0 and True, are told apart. Raises TypeError for a value
    whose text would not tell it from others, such as an object of a class of the site's own.
    """
    kind = type(value)
    if kind in _EXACT:
        return repr(value)
    if "__dataclass_fields__" in vars(kind):
        parts = [f"{field.name}={canonical(name, getattr(value, field.name))}" for field in fields(value)]
        return f"{_class(name, kind)}({', '.join(parts)})"
    for base, write in _WRITERS.items():
        if base in kind.__mro__:
            return write(name, value, base)
    raise _refusal(name, kind, "it is told from others by its identity alone")


def _wrapped(name: str, value: Any, _: Any) -> str:
    return canonical(name, value.__reduce__()[1][0])  # what its pickle would have


def _translated(name: str, value: Any, _: Any) -> str:
    return f"lazy({canonical(name, str(value))})"


def _row(name: str, row: Any, _: Any) -> str:
    pk = row.pk
    if pk is None or (isinstance(pk, tuple) and None in pk):
        raise _refusal(name, type(row), "it has no primary key yet")
    return f"{row._meta.label_lower}:{canonical(name, pk)}"


def _class(name: str, kind: type, _: Any = None) -> str:
    if "<" in kind.__qualname__:
        raise _refusal(name, kind, f"{kind.__qualname__} is the name of more classes than one")
    return f"{kind.__module__}.{kind.__qualname__}"


def _member(name: str, member: Any, _: Any) -> str:
    return f"{_class(name, type(member))}[{member.value if isinstance(member, enum.Flag) else member.name!r}]"


def _mapping(name: str, value: Any, base: Any) -> str:
    # By the base: a derived class, such as MultiValueDict, may tell of other items than it has.
    items = [f"{canonical(name, key)}: {canonical(name, item)}" for key, item in base.items(value)]
    return _within(name, value, base, sorted(items) if type(value) is base else items)


def _sequence(name: str, value: Any, base: Any) -> str:
    return _within(name, value, base, [canonical(name, item) for item in base.__iter__(value)])


def _set(name: str, value: Any, base: Any) -> str:
    return _within(name, value, base, sorted(canonical(name, item) for item in base.__iter__(value)))


def _scalar(name: str, value: Any, base: Any) -> str:
    zone = getattr(value, "tzinfo", None)
    if zone is not None and repr(zone) == object.__repr__(zone):
        raise _refusal(name, type(value), f"its time zone, of type {type(zone).__qualname__}, has no repr() of its own")
    text = base.__repr__(value)
    return str(text) if type(value) is base else _within(name, value, base, [text])


def _within(name: str, value: Any, base: type, parts: list[str]) -> str:
    """Return parts with the name of the type around them, if there is no more to a value of it."""
    kind = type(value)
    above = kind.__mro__[: kind.__mro__.index(base)]
    if getattr(value, "__dict__", None) or any(vars(derived).get("__slots__") for derived in above):
        raise _refusal(name, kind, f"there is more to it than to a {base.__name__}")
    return f"{_class(name, kind) if above else base.__name__}({', '.join(parts)})"


def _refusal(name: str, kind: type, why: str) -> TypeError:
    message = (
        f"No key can be made of the argument {name} of type {kind.__qualname__}: {why}. Allowed are None, numbers, "
        "texts, bytes, dates, times, Decimal, UUID, enums, classes, saved models, dataclasses, and lists, tuples, sets "
        "and dicts of these. Give key= a template such as 'report:{user.pk}', or a callable."
    )
    return TypeError(message)


_WRITERS: Final[dict[type, Callable[[str, Any, Any], str]]] = {
    LazyObject: _wrapped,
    Promise: _translated,
    Model: _row,
    type: _class,
    enum.Enum: _member,
    dict: _mapping,
    **dict.fromkeys((list, tuple), _sequence),
    **dict.fromkeys((set, frozenset), _set),
    **dict.fromkeys((str, bytes, int, float, complex, Decimal, UUID), _scalar),
    **dict.fromkeys((dt.datetime, dt.date, dt.time, dt.timedelta), _scalar),
}
