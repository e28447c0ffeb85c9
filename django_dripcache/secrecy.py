"""
Digests that stand for secrets: who reads Redis finds no token and no session id in it.

A digest is keyed BLAKE2b (RFC 7693). Its key is derived from ``SECRET_KEY``, another one for each purpose, so that what
is stored for one purpose is not found for another.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from django.conf import settings
from django.core.signals import setting_changed
from django.views.decorators.debug import sensitive_variables

from .exceptions import InvalidKeyError

_BYTES: Final = 32

_keys: dict[str, list[bytes]] = {}


@sensitive_variables()
def digest(purpose: str, secret: str) -> str:
    """
    Return what stands for ``secret``, 64 hexadecimal digits, by ``SECRET_KEY``.

    Raises InvalidKeyError for a secret that is no str; the message does not tell it.
    """
    return _digest(_get_keys(purpose)[0], secret)


@sensitive_variables()
def digests(purpose: str, secret: str) -> list[str]:
    """
    Return the digest by ``SECRET_KEY``, then those by each of ``SECRET_KEY_FALLBACKS``.

    What was stored before the key was changed is found under one of the others. See digest().
    """
    return [_digest(key, secret) for key in _get_keys(purpose)]


@sensitive_variables()
def _digest(key: bytes, secret: object) -> str:
    if not isinstance(secret, str):
        message = f"A secret is a str, not a value of type {type(secret).__name__}."
        raise InvalidKeyError(message)
    return blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=_BYTES, key=key).hexdigest()


def _get_keys(purpose: str) -> list[bytes]:
    found = _keys.get(purpose)
    if found is None:
        secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
        found = _keys[purpose] = [_derive(secret, purpose) for secret in secrets]
    return found


def _derive(secret: str | bytes, purpose: str) -> bytes:
    raw = secret if isinstance(secret, bytes) else secret.encode()
    site = blake2b(raw, digest_size=_BYTES, person=b"dripcache.secret").digest()
    return blake2b(purpose.encode(), digest_size=_BYTES, key=site, person=b"dripcache.secret").digest()


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"SECRET_KEY", "SECRET_KEY_FALLBACKS"}:
        _keys.clear()


setting_changed.connect(_forget, dispatch_uid="django_dripcache.secrecy")
