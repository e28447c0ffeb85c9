"""How a near cache is asked for: ``OPTIONS["NEAR"]`` of an alias."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from math import isfinite
from typing import Any

from .exceptions import ConfigurationError
from .policy import to_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """
    What is kept in the process, and for how long.

    ``keys`` are globs over the keys of the site, ``max_entries`` and ``max_bytes`` bound what is kept, and ``max_ttl``
    for how many seconds.
    """

    keys: tuple[str, ...] = ("*",)
    max_entries: int = 10_000
    max_bytes: int = 64 * 1024 * 1024
    max_ttl: float = 300.0

    @classmethod
    def of(cls, given: Any) -> Nearness:
        """Return what the dict of an alias asks for, or raise ConfigurationError."""
        where = "CACHES['OPTIONS']['NEAR']"
        if not isinstance(given, Mapping):
            message = f"{where} is {given!r}. Allowed is a dict, such as {{}}, or None."
            raise ConfigurationError(message)
        known = [field.name.upper() for field in fields(cls)]
        for name, value in given.items():
            if name not in known:
                near = difflib.get_close_matches(str(name).upper(), known, 1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Allowed are: {', '.join(sorted(known))}."
                message = f"{where} has no {name!r}. {hint}"
                raise ConfigurationError(message)
            allowed = _refusal(name, value)
            if allowed:
                message = f"{where}[{name!r}] is {value!r}. Allowed is {allowed}."
                raise ConfigurationError(message)
        options = {name.lower(): value for name, value in given.items()}
        if "keys" in options:
            options["keys"] = tuple(options["keys"])
        if "max_ttl" in options:
            options["max_ttl"] = to_seconds(options["max_ttl"])
        return cls(**options)


def _refusal(name: str, value: Any) -> str:
    """Return what is allowed in the place of a value, or nothing if it is."""
    if name.lower() == "keys":
        fits = isinstance(value, (list, tuple)) and value and all(isinstance(one, str) and one for one in value)
        return "" if fits else "a list of globs over keys, as in ['product:*']"
    if name == "MAX_TTL":
        number = isinstance(value, (int, float, timedelta)) and not isinstance(value, bool)
        return "" if number and isfinite(to_seconds(value)) and to_seconds(value) > 0 else "seconds, more than 0"
    return "" if type(value) is int and value > 0 else "a number from 1 up"
