"""
The settings of the package, ``DRIPCACHE`` in the site's settings.

Where bytes live is said in ``CACHES``, how we behave in here. It is read on first use, checked, and read again when a
test changes it.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from .codecs import PickleCodec
from .exceptions import ConfigurationError
from .policy import to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .typing import OnOutage, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting with its default; the settings page of the documentation says what each one means."""

    CELERY_APP: str | None = None
    COMPRESS_ABOVE: int | None = 4096
    FOREVER_TTL: Seconds | None = timedelta(days=30)
    MAX_INFLATED_BYTES: int = 64 * 1024 * 1024
    MAX_VALUE_BYTES: int | None = 1024 * 1024
    NAMESPACE: str = "dripcache"
    ON_OUTAGE: OnOutage = "fallback"
    REQUEST_BUDGET: Seconds | None = 0.5
    SHARE_POOL: bool = True
    TASK_BUDGET: Seconds | None = 5.0


_ALLOWED: dict[str, tuple[type, ...]] = {
    "CELERY_APP": (str, type(None)),
    "COMPRESS_ABOVE": (int, type(None)),
    "FOREVER_TTL": (int, float, timedelta, type(None)),
    "MAX_INFLATED_BYTES": (int,),
    "MAX_VALUE_BYTES": (int, type(None)),
    "NAMESPACE": (str,),
    "ON_OUTAGE": (str,),
    "REQUEST_BUDGET": (int, float, timedelta, type(None)),
    "SHARE_POOL": (bool,),
    "TASK_BUDGET": (int, float, timedelta, type(None)),
}

_read: dict[str, Any] = {}


def get_settings() -> Settings:
    """Return the settings in force. Raises ConfigurationError for an unknown name or a value of a wrong type."""
    found: Settings | None = _read.get("settings")
    if found is None:
        found = _read["settings"] = _parse(getattr(django_settings, "DRIPCACHE", {}))
    return found


def get_pickle_codec() -> PickleCodec:
    """Return the codec of Python objects, signed with keys derived from SECRET_KEY and its fallbacks."""
    found: PickleCodec | None = _read.get("codec")
    if found is None:
        secrets = [django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS]
        settings = get_settings()
        found = _read["codec"] = PickleCodec(
            [secret if isinstance(secret, bytes) else secret.encode() for secret in secrets],
            compress_above=settings.COMPRESS_ABOVE,
            inflate_limit=settings.MAX_INFLATED_BYTES,
        )
    return found


def refuse_unknown(where: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise ConfigurationError for the first name that is not allowed, with the nearest one that is."""
    known = sorted(allowed)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name).upper(), known, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Allowed are: {', '.join(known)}."
            message = f"{where} has no {name!r}. {hint}"
            raise ConfigurationError(message)


def _parse(given: Any) -> Settings:
    if not isinstance(given, dict):
        message = f"The setting DRIPCACHE is a dict, not {type(given).__name__}. Fix it in your settings."
        raise ConfigurationError(message)
    refuse_unknown("DRIPCACHE", given, (field.name for field in fields(Settings)))
    for name, value in given.items():
        allowed = _ALLOWED[name]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            kinds = " or ".join("None" if kind is type(None) else kind.__name__ for kind in allowed)
            message = f"DRIPCACHE[{name!r}] is {value!r} ({type(value).__name__}). Allowed is {kinds}."
            raise ConfigurationError(message)
    parsed = Settings(**given)
    check_on_outage("DRIPCACHE['ON_OUTAGE']", parsed.ON_OUTAGE)
    for name in ("FOREVER_TTL", "REQUEST_BUDGET", "TASK_BUDGET"):
        length = getattr(parsed, name)
        if length is not None and not to_seconds(length) > 0:
            message = f"DRIPCACHE[{name!r}] is {length!r}. Allowed is more than 0 seconds, or None."
            raise ConfigurationError(message)
    for name in ("COMPRESS_ABOVE", "MAX_INFLATED_BYTES", "MAX_VALUE_BYTES"):
        number = getattr(parsed, name)
        if number is not None and number < 1:
            message = f"DRIPCACHE[{name!r}] is {number!r}. Allowed is a number of bytes from 1 up."
            raise ConfigurationError(message)
    return parsed


def check_on_outage(where: str, value: object) -> None:
    """Raise ConfigurationError for what is not a way to behave while Redis cannot be used."""
    if value not in ("fallback", "raise"):
        message = f"{where} is {value!r}. Allowed are 'fallback' and 'raise'."
        raise ConfigurationError(message)


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"DRIPCACHE", "SECRET_KEY", "SECRET_KEY_FALLBACKS"}:
        _read.clear()


setting_changed.connect(_forget, dispatch_uid="django_dripcache.conf")
