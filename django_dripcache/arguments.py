"""Arguments as text: equal ones the same, others another, whatever process writes them."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from typing import Any, Final

_EXACT: Final = (type(None), bool, int, float, str, bytes)
_NAMED: Final = (dt.date, dt.time, dt.timedelta, dt.tzinfo, decimal.Decimal, uuid.UUID)


def canonical(name: str, value: Any) -> str:
    """
    Return an argument as text. A model instance is its label and primary key.

    Numbers that are equal but of another type, such as 1, 1.0 and True, are told apart. Raises TypeError for a value
    whose text would not tell it from others: an object of a class of the site's own, or a model that is not saved.
    """
    if type(value) in _EXACT or isinstance(value, _NAMED):
        return repr(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, enum.Enum):
        return f"{canonical(name, type(value))}.{value.name}"
    if isinstance(value, str):
        return repr(str(value))
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return f"{type(value).__name__}({', '.join(_parts(name, value))})"
    label = getattr(getattr(value, "_meta", None), "label_lower", None)
    if label is not None and getattr(value, "pk", None) is not None:
        return f"{label}:{canonical(name, value.pk)}"
    message = (
        f"No key can be made of the argument {name} of type {type(value).__qualname__}. Allowed are None, numbers, "
        "texts, bytes, dates, Decimal, UUID, enums, classes, saved models, and lists, tuples, sets and dicts of these. "
        "Give key= a template such as 'report:{user.pk}', or a callable."
    )
    raise TypeError(message)


def _parts(name: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        return sorted(f"{canonical(name, key)}: {canonical(name, item)}" for key, item in value.items())
    parts = [canonical(name, item) for item in value]
    return sorted(parts) if isinstance(value, (set, frozenset)) else parts
