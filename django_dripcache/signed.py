"""
JSON that any Redis client can read, and that only the site can write.

A value is stored with what shows who wrote it, and where::

    {"mac":"64 hexadecimal digits","value":...}

The mac is keyed BLAKE2b (RFC 7693) over the name of the key and the JSON of the value: who can write to Redis but does
not know the key can neither make a value up, nor change one, nor pass one off as another key's.
"""

from __future__ import annotations

import hmac
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from .codecs import MISS, JsonCodec, TypedJsonCodec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .typing import Opened

_BYTES: Final = 32
_SIGNED: Final = re.compile(rb'\{"mac":"([0-9a-f]{64})","value":(.+)\}', re.DOTALL)


class SignedJsonCodec(JsonCodec):
    """
    Signed JSON, decoded into ``kind`` as TypedJsonCodec does it: what does not fit it is MISS.

    ``secrets`` are the site's secret keys: the first signs, all verify.
    """

    __slots__ = ("_json", "_keys")

    discards = True

    def __init__(self, secrets: Sequence[bytes], kind: Any = Any) -> None:
        self._keys = [blake2b(secret, digest_size=_BYTES, person=b"dripcache.signed").digest() for secret in secrets]
        self._json = TypedJsonCodec(kind)

    def encode(self, value: Any, key: bytes) -> bytes:
        """Return the bytes to store under ``key``. Raises SerializationError for what JSON has no form for."""
        payload = super().encode(value, key)
        return b'{"mac":"%s","value":%s}' % (_mac(self._keys[0], key, payload), payload)

    def decode(self, raw: bytes, key: bytes) -> Any:
        """Return the value stored under ``key``, or MISS if it was not this site that stored it there."""
        payload = self._verify(raw, key)
        return MISS if payload is None else self._json.decode(payload, key)

    def open(self, raw: bytes, key: bytes) -> Opened | None:
        """See PickleCodec.open()."""
        payload = self._verify(raw, key)
        return None if payload is None else self._json.open(payload, key)

    def revive(self, opened: Opened) -> Any:
        """Return the value, or MISS if it does not fit."""
        return self._json.revive(opened)

    def _verify(self, raw: bytes, key: bytes) -> bytes | None:
        """Return the JSON that this site has signed under ``key``, or None."""
        found = _SIGNED.fullmatch(raw)
        if found is None:
            return None
        mac, payload = found.groups()
        signed = any(hmac.compare_digest(mac, _mac(secret, key, payload)) for secret in self._keys)
        return payload if signed else None


def _mac(secret: bytes, key: bytes, payload: bytes) -> bytes:
    mac = blake2b(b"%d " % len(key), digest_size=_BYTES, key=secret)
    mac.update(key)
    mac.update(payload)
    return mac.hexdigest().encode()
