"""
The settings of the package, ``DRIPCACHE`` in the site's settings.

Where bytes live is said in ``CACHES``, how we behave in here. It is read on first use, checked, and read again when a
test changes it.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from .codecs import PickleCodec
from .exceptions import ConfigurationError
from .groups import MOST as MOST_GROUPS
from .groups import MOST_TEXT as LONGEST_GROUP
from .policy import to_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .typing import Codec, OnOutage, Seconds

LEAST_KEY_BYTES: Final = 32
"""The least length of a key in ``DRIPCACHE["ENCRYPTION_KEYS"]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting with its default; the settings page of the documentation says what each one means."""

    CELERY_APP: str | None = None
    COMPRESS_ABOVE: int | None = 4096
    ENCRYPTION_KEYS: Sequence[str | bytes] = field(default=(), repr=False)
    FOREVER_TTL: Seconds | None = timedelta(days=30)
    MAX_INFLATED_BYTES: int = 64 * 1024 * 1024
    MAX_VALUE_BYTES: int | None = 1024 * 1024
    NAMESPACE: str = "dripcache"
    ON_OUTAGE: OnOutage = "fallback"
    RATE_LIMIT_HEADERS: bool = False
    RATE_LIMITS: Sequence[Mapping[str, Any]] = ()
    REQUEST_BUDGET: Seconds | None = 0.5
    SHARE_POOL: bool = True
    SHOW_ADDRESSES: bool = False
    STATS_GROUPS: Mapping[str, str] = field(default_factory=dict)
    STATS_INTERVAL: Seconds | None = 10
    TASK_BUDGET: Seconds | None = 5.0
    TRUSTED_PROXIES: int = 0
    TRUSTED_PROXY_HEADER: str = "X-Forwarded-For"
    WARM: Mapping[str, str] = field(default_factory=dict)
    WORKERS: int = 1


_ALLOWED: dict[str, tuple[type, ...]] = {
    "CELERY_APP": (str, type(None)),
    "COMPRESS_ABOVE": (int, type(None)),
    "ENCRYPTION_KEYS": (list, tuple),
    "FOREVER_TTL": (int, float, timedelta, type(None)),
    "MAX_INFLATED_BYTES": (int,),
    "MAX_VALUE_BYTES": (int, type(None)),
    "NAMESPACE": (str,),
    "ON_OUTAGE": (str,),
    "RATE_LIMIT_HEADERS": (bool,),
    "RATE_LIMITS": (list, tuple),
    "REQUEST_BUDGET": (int, float, timedelta, type(None)),
    "SHARE_POOL": (bool,),
    "SHOW_ADDRESSES": (bool,),
    "STATS_GROUPS": (dict,),
    "STATS_INTERVAL": (int, float, timedelta, type(None)),
    "TASK_BUDGET": (int, float, timedelta, type(None)),
    "TRUSTED_PROXIES": (int,),
    "TRUSTED_PROXY_HEADER": (str,),
    "WARM": (dict,),
    "WORKERS": (int,),
}

_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,100}")

_read: dict[str, Any] = {}


def get_settings() -> Settings:
    """Return the settings in force. Raises ConfigurationError for an unknown name or a value of a wrong type."""
    found: Settings | None = _read.get("settings")
    if found is None:
        found = _read["settings"] = _parse(_Hidden(getattr(django_settings, "DRIPCACHE", {})))
    return found


def get_pickle_codec() -> PickleCodec:
    """Return the codec of Python objects, signed with keys derived from SECRET_KEY and its fallbacks."""
    found: PickleCodec | None = _read.get("codec")
    if found is None:
        secrets = [django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS]
        settings = get_settings()
        found = _read["codec"] = PickleCodec(
            [_raw(secret) for secret in secrets],
            compress_above=settings.COMPRESS_ABOVE,
            inflate_limit=settings.MAX_INFLATED_BYTES,
        )
    return found


def encrypted(codec: Codec) -> Codec:
    """
    Return a codec that encrypts what ``codec`` makes, with the keys of ``DRIPCACHE["ENCRYPTION_KEYS"]``.

    Raises ConfigurationError without a key, and where the package ``cryptography`` is not installed.
    """
    found: Callable[[Codec], Codec] | None = _read.get("encryption")
    if found is None:
        found = _read["encryption"] = _read_encryption()
    return found(codec)


def _read_encryption() -> Callable[[Codec], Codec]:
    if not get_settings().ENCRYPTION_KEYS:
        message = (
            "Values are to be encrypted, and DRIPCACHE['ENCRYPTION_KEYS'] has no key. "
            "Add one to your settings; secrets.token_urlsafe(32) makes it."
        )
        raise ConfigurationError(message, check="dripcache.E005")
    try:
        from .encryption import EncryptedCodec, EncryptionKey  # noqa: PLC0415 - a site without keys does without it
    except ImportError as error:
        message = (
            f"Values are to be encrypted, and the package cryptography cannot be imported ({error}). "
            "Install it: pip install django-dripcache[crypto]"
        )
        raise ConfigurationError(message, check="dripcache.E005") from error
    return partial(EncryptedCodec, keys=[EncryptionKey(_raw(key)) for key in get_settings().ENCRYPTION_KEYS])


def _raw(secret: str | bytes) -> bytes:
    return secret if isinstance(secret, bytes) else secret.encode("utf-8", "surrogatepass")


def refuse_unknown(where: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise ConfigurationError for the first name that is not allowed, with the nearest one that is."""
    known = {name.upper(): name for name in sorted(allowed)}
    for name in given:
        if name not in known.values():
            near = difflib.get_close_matches(str(name).upper(), known, 1)
            hint = f"Did you mean {known[near[0]]!r}?" if near else f"Allowed are: {', '.join(known.values())}."
            message = f"{where} has no {name!r}. {hint}"
            raise ConfigurationError(message)


class _Hidden:
    """What a site gave, keys included, for frames that a debug page may show: its repr tells nothing."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _parse(given: _Hidden) -> Settings:
    if not isinstance(given.value, dict):
        message = f"The setting DRIPCACHE is a dict, not {type(given.value).__name__}. Fix it in your settings."
        raise ConfigurationError(message)
    refuse_unknown("DRIPCACHE", list(given.value), (field.name for field in fields(Settings)))
    for name in given.value:
        message = _fault(name, given.value[name])
        if message:
            raise ConfigurationError(message)
    parsed = Settings(**given.value)
    check_on_outage("DRIPCACHE['ON_OUTAGE']", parsed.ON_OUTAGE)
    for name in ("FOREVER_TTL", "REQUEST_BUDGET", "STATS_INTERVAL", "TASK_BUDGET"):
        length = getattr(parsed, name)
        if length is not None and not to_seconds(length) > 0:
            message = f"DRIPCACHE[{name!r}] is {length!r}. Allowed is more than 0 seconds, or None."
            raise ConfigurationError(message)
    for name in ("COMPRESS_ABOVE", "MAX_INFLATED_BYTES", "MAX_VALUE_BYTES"):
        number = getattr(parsed, name)
        if number is not None and number < 1:
            message = f"DRIPCACHE[{name!r}] is {number!r}. Allowed is a number of bytes from 1 up."
            raise ConfigurationError(message)
    for name, least, unit in (("WORKERS", 1, "processes"), ("TRUSTED_PROXIES", 0, "proxies")):
        number = getattr(parsed, name)
        if number < least:
            message = f"DRIPCACHE[{name!r}] is {number!r}. Allowed is a number of {unit} from {least} up."
            raise ConfigurationError(message)
    check_header("DRIPCACHE['TRUSTED_PROXY_HEADER']", parsed.TRUSTED_PROXY_HEADER)
    _check_groups(parsed.STATS_GROUPS)
    _check_warm(parsed.WARM)
    return parsed


def _check_groups(groups: Mapping[Any, Any]) -> None:
    for name, pattern in groups.items():
        if not (isinstance(name, str) and isinstance(pattern, str) and 0 < len(name) <= LONGEST_GROUP and pattern):
            message = (
                f"DRIPCACHE['STATS_GROUPS'] has {name!r}: {pattern!r}. Allowed is a name of 1 to {LONGEST_GROUP} "
                "characters and a glob over keys up to their last colon, as in {'prices': 'product:*:prices:'}."
            )
            raise ConfigurationError(message)
    if len(groups) > MOST_GROUPS:
        message = f"DRIPCACHE['STATS_GROUPS'] has {len(groups)} groups. Allowed are {MOST_GROUPS}."
        raise ConfigurationError(message)


def _check_warm(functions: Mapping[Any, Any]) -> None:
    for name, path in functions.items():
        if not (isinstance(name, str) and name and isinstance(path, str) and "." in path):
            message = (
                f"DRIPCACHE['WARM'] has {name!r}: {path!r}. Allowed is a name and the dotted path of a function, as in "
                "{'prices': 'shop.caching.warm_prices'}."
            )
            raise ConfigurationError(message)


def _fault(name: str, value: Any) -> str:
    """Return what is wrong with the type of a value, or nothing. It does not raise: its frame may hold keys."""
    allowed = _ALLOWED[name]
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        kinds = " or ".join("None" if kind is type(None) else kind.__name__ for kind in allowed)
        shown = "" if name == "ENCRYPTION_KEYS" else f"{value!r} "
        return f"DRIPCACHE[{name!r}] is {shown}({type(value).__name__}). Allowed is {kinds}."
    return _weakness(value) if name == "ENCRYPTION_KEYS" else ""


def _weakness(keys: Any) -> str:
    """Return which key is no key, or nothing. See _fault()."""
    for place, key in enumerate(keys):
        found = f"a text of {len(_raw(key))} bytes" if isinstance(key, (str, bytes)) else type(key).__name__
        if not isinstance(key, (str, bytes)) or len(_raw(key)) < LEAST_KEY_BYTES:
            return (
                f"DRIPCACHE['ENCRYPTION_KEYS'][{place}] is {found}. Allowed is a text of {LEAST_KEY_BYTES} bytes or "
                "more that nobody can guess; secrets.token_urlsafe(32) makes one."
            )
    return ""


def check_encrypt(where: str, value: object) -> None:
    """Raise ConfigurationError for what does not tell whether to encrypt."""
    if value is not None and not isinstance(value, bool):
        message = f"{where} is {value!r}. Allowed are True, False, and None for what the alias says."
        raise ConfigurationError(message)


def check_header(where: str, value: str) -> None:
    """Raise ConfigurationError for what is no name of a header."""
    if not _HEADER.fullmatch(value):
        message = f"{where} is {value!r}. Allowed is the name of a header, of letters, digits and -, as in 'X-Api-Key'."
        raise ConfigurationError(message)


def check_on_outage(where: str, value: object) -> None:
    """Raise ConfigurationError for what is not a way to behave while Redis cannot be used."""
    if value not in ("fallback", "raise"):
        message = f"{where} is {value!r}. Allowed are 'fallback' and 'raise'."
        raise ConfigurationError(message)


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"DRIPCACHE", "SECRET_KEY", "SECRET_KEY_FALLBACKS"}:
        _read.clear()


setting_changed.connect(_forget, dispatch_uid="django_dripcache.conf")
