"""
The encryption of values. It needs the package ``cryptography``, the extra ``crypto``, and is imported where it is used.

An encrypted value is an envelope around the bytes of another codec::

    0xEC  format (1 byte)  id of the key (4 bytes)  nonce (24 bytes)  ciphertext  tag (16 bytes)

The cipher authenticates what is before the nonce and the name of the key in Redis as well. So a value is read under the
name that it was stored under and under no other, and one that was changed is a miss.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .codecs import MISS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .typing import Codec, Opened

_MAGIC: Final = 0xEC
_XAES_256_GCM: Final = 1
_ID_BYTES: Final = 4
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 24
_HEADER_BYTES: Final = 2 + _ID_BYTES
_NONCE_END: Final = _HEADER_BYTES + _NONCE_BYTES


class XAES256GCM:
    """
    AES-256-GCM with nonces of 24 bytes (https://c2sp.org/XAES-256-GCM), by a ``key`` of 32 bytes.

    A nonce of AES-GCM itself has 12 bytes. Chosen at random, that is safe for 2**32 values of one key (NIST SP 800-38D,
    8.3), which a busy cache writes in days. Here each nonce has a key of its own, derived from its first half by CMAC
    in counter mode (NIST SP 800-108r1), and random ones are safe for 2**80 values.
    """

    __slots__ = ("_mac",)

    def __init__(self, key: bytes) -> None:
        self._mac = CMAC(AES(key))

    def encrypt(self, nonce: bytes, payload: bytes, about: bytes) -> bytes:
        """Return the ciphertext of ``payload``, and a tag over it and ``about``."""
        return self._cipher(nonce).encrypt(nonce[12:], payload, about)

    def decrypt(self, nonce: bytes, sealed: bytes, about: bytes) -> bytes:
        """Return what was encrypted. Raises InvalidTag for anything else."""
        return self._cipher(nonce).decrypt(nonce[12:], sealed, about)

    def _cipher(self, nonce: bytes) -> AESGCM:
        return AESGCM(self._derive(b"\0\1X\0" + nonce[:12]) + self._derive(b"\0\2X\0" + nonce[:12]))

    def _derive(self, block: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(block)
        return mac.finalize()


class EncryptionKey:
    """
    One key of a site, derived from ``secret``, 32 bytes or more that nobody can guess, by HKDF (RFC 5869).

    ``header`` is what its envelopes begin with. It has the key's id, which tells nothing of the key.
    """

    __slots__ = ("_cipher", "header")

    def __init__(self, secret: bytes) -> None:
        derived = HKDF(SHA256(), _KEY_BYTES + _ID_BYTES, None, b"dripcache.encryption").derive(secret)
        self._cipher = XAES256GCM(derived[:_KEY_BYTES])
        self.header = bytes((_MAGIC, _XAES_256_GCM)) + derived[_KEY_BYTES:]

    def __repr__(self) -> str:
        return f"<EncryptionKey {self.header[2:].hex()}>"

    def seal(self, payload: bytes, name: bytes) -> bytes:
        """Return the envelope of ``payload`` for ``name``."""
        nonce = os.urandom(_NONCE_BYTES)
        return self.header + nonce + self._cipher.encrypt(nonce, payload, self.header + name)

    def open(self, raw: bytes, name: bytes) -> bytes | None:
        """Return what ``seal()`` was given, or None for what is no envelope of this key for ``name``."""
        if not raw.startswith(self.header) or len(raw) < _NONCE_END:
            return None
        nonce = raw[_HEADER_BYTES:_NONCE_END]
        try:
            return self._cipher.decrypt(nonce, raw[_NONCE_END:], self.header + name)
        except InvalidTag:
            return None


class EncryptedCodec:
    """
    The bytes of another codec, encrypted: the first of ``keys`` encrypts, all decrypt.

    What is not encrypted is a miss, also where the other codec could read it.
    """

    __slots__ = ("_inner", "_keys", "discards")

    def __init__(self, inner: Codec, keys: Sequence[EncryptionKey]) -> None:
        self._inner = inner
        self._keys = keys
        self.discards = inner.discards

    def encode(self, value: Any, key: bytes) -> bytes:
        """Return the bytes to store under ``key``. Raises SerializationError for what the other codec refuses."""
        return self._keys[0].seal(self._inner.encode(value, key), key)

    def decode(self, raw: bytes, key: bytes) -> Any:
        """Return the value stored under ``key``, or MISS if it was not this site that encrypted it there."""
        payload = self._decrypt(raw, key)
        return MISS if payload is None else self._inner.decode(payload, key)

    def open(self, raw: bytes, key: bytes) -> Opened | None:
        """See PickleCodec.open(). What it returns is not encrypted."""
        payload = self._decrypt(raw, key)
        return None if payload is None else self._inner.open(payload, key)

    def revive(self, opened: Opened) -> Any:
        """Return the value."""
        return self._inner.revive(opened)

    def _decrypt(self, raw: bytes, key: bytes) -> bytes | None:
        for secret in self._keys:
            payload = secret.open(raw, key)
            if payload is not None:
                return payload
        return None
