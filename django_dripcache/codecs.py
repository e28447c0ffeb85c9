"""
The bytes of a value.

A Python object is stored as a signed envelope::

    0xDC  flags  mac (16 bytes)  payload

``flags`` tells how the payload is compressed. The mac is keyed BLAKE2b (RFC 7693) over the flags, the name of the key
and the payload: who can write to Redis but does not know the key can neither make a payload that is unpickled nor pass
a value off as another key's. Integers that Redis can count with are stored as plain digits, so that INCR is atomic.
"""

from __future__ import annotations

import pickle
import re
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from .compression import PLAIN, ZLIB, ZSTD, deflate, inflate
from .exceptions import SerializationError

if TYPE_CHECKING:
    from .typing import Opened


class _Miss:
    def __repr__(self) -> str:
        return "MISS"

    def __bool__(self) -> bool:
        return False


DAMAGE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.PickleError,
    msgspec.MsgspecError,
)
"""
What decoding raises for a value that does not fit the code of today. It is not every Exception: a soft time limit that
ends a task, or any other exception of a signal, may well arrive just then, and is not for us to take.
"""

MISS: Final = _Miss()
"""What stands for "no value", since None is a value."""

UNPICKLE: Final = pickle.loads
"""What makes the value of a pickle whose signature was verified."""

MEMBER: Final = b""
"""The name under which members of sets, hashes and sorted sets are signed: equal members must be equal bytes."""

_MAGIC: Final = b"\xdc"
_MAC_BYTES: Final = 16
_HEADER_BYTES: Final = 2 + _MAC_BYTES
_STARTS: Final = tuple(_MAGIC + bytes([flags]) for flags in (PLAIN, ZLIB, ZSTD))
_INTEGER: Final = re.compile(rb"-?(?:0|[1-9][0-9]{0,18})")
_IMMUTABLE: Final = frozenset({int, str, bytes, float, bool, type(None)})
_INT64: Final = range(-(2**63), 2**63)

T = TypeVar("T")


class PickleCodec:
    """
    Python objects as signed pickles, integers as digits.

    ``secrets`` are the site's secret keys: the first signs, all verify. Payloads of ``compress_above`` bytes or more
    are compressed if that helps (None: never); ``inflate_limit`` bounds what a payload may inflate to, in bytes.
    """

    __slots__ = ("_compress_above", "_hashes", "_inflate_limit")

    discards = True

    def __init__(self, secrets: list[bytes], *, compress_above: int | None, inflate_limit: int) -> None:
        keys = [blake2b(secret, digest_size=32, person=b"dripcache.pickle").digest() for secret in secrets]
        self._hashes = [blake2b(digest_size=_MAC_BYTES, key=key) for key in keys]
        self._compress_above = compress_above
        self._inflate_limit = inflate_limit

    def encode(self, value: Any, key: bytes) -> bytes:
        """Return the bytes to store under ``key``. Raises SerializationError for what cannot be pickled."""
        if type(value) is int and value in _INT64:
            return b"%d" % value
        try:
            payload = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, AttributeError, TypeError, ValueError, RecursionError) as error:
            kind = type(value).__name__
            message = f"A value of type {kind} cannot be cached, because it cannot be pickled: {error}"
            raise SerializationError(message, kind=kind) from error
        flags = PLAIN
        if self._compress_above is not None and self._compress_above <= len(payload) <= self._inflate_limit:
            flags, payload = deflate(payload)
        return _STARTS[flags] + _mac(self._hashes[0], flags, key, payload) + payload

    def decode(self, raw: bytes, key: bytes) -> Any:
        """Return the value stored under ``key``, or MISS if it was not this site that stored it there."""
        payload = self._verify(raw, key)
        if payload is None:
            return int(raw) if _INTEGER.fullmatch(raw) else MISS
        try:
            return UNPICKLE(payload)
        except DAMAGE:
            return MISS

    def open(self, raw: bytes, key: bytes) -> Opened | None:
        """Return what ``revive()`` makes the value of, as often as it is asked to; None where decode() is a miss."""
        payload = self._verify(raw, key)
        if payload is None:
            return (_same, int(raw)) if _INTEGER.fullmatch(raw) else None
        value = self.revive((UNPICKLE, payload))
        if value is MISS:
            return None
        return (_same, value) if type(value) in _IMMUTABLE else (UNPICKLE, payload)

    def revive(self, opened: Opened) -> Any:
        """Return the value."""
        loads, data = opened
        try:
            return loads(data)
        except DAMAGE:
            return MISS

    def _verify(self, raw: bytes, key: bytes) -> bytes | None:
        """Return the pickle that this site has signed under ``key``, or None."""
        if raw[:1] != _MAGIC or len(raw) <= _HEADER_BYTES:
            return None
        flags, mac, payload = raw[1], raw[2:_HEADER_BYTES], raw[_HEADER_BYTES:]
        for keyed in self._hashes:
            if compare_digest(mac, _mac(keyed, flags, key, payload)):
                break
        else:
            return None
        if flags == PLAIN:
            return payload
        try:
            return inflate(flags, payload, self._inflate_limit)
        except DAMAGE:
            return None


class JsonCodec:
    """JSON that any Redis client can read, by msgspec."""

    __slots__ = ()

    discards = False

    def encode(self, value: Any, key: bytes) -> bytes:  # noqa: ARG002 - the codecs' common signature
        """Return ``value`` as JSON. Raises SerializationError for what JSON has no form for."""
        try:
            return _ENCODER.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            kind = type(value).__name__
            message = f"A value of type {kind} cannot be stored as JSON: {error}"
            raise SerializationError(message, kind=kind) from error

    def decode(self, raw: bytes, key: bytes) -> Any:  # noqa: ARG002
        """Return the value, or MISS for what is not JSON."""
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return MISS

    def open(self, raw: bytes, key: bytes) -> Opened | None:
        """See PickleCodec.open()."""
        value = self.decode(raw, key)
        return None if value is MISS else (msgspec.json.decode, raw)

    def revive(self, opened: Opened) -> Any:
        """Return the value, or MISS for what another codec has opened, which may be no JSON."""
        loads, data = opened
        return self.decode(data, MEMBER) if loads is msgspec.json.decode else MISS


class TypedJsonCodec(JsonCodec):
    """JSON decoded into one type: what does not fit it is MISS."""

    __slots__ = ("_decoder",)

    def __init__(self, kind: Any) -> None:
        self._decoder = json_decoder(kind)

    def decode(self, raw: bytes, key: bytes) -> Any:  # noqa: ARG002
        """Return the value as an instance of the type, or MISS."""
        try:
            return self._decoder.decode(raw)
        except DAMAGE:
            return MISS


class OpenCodec:
    """What the clients read: signed pickles, and JSON that anyone may have written."""

    __slots__ = ("_pickles",)

    discards = True

    def __init__(self, pickles: PickleCodec) -> None:
        self._pickles = pickles

    def encode(self, value: Any, key: bytes) -> bytes:
        """Return the bytes to store under ``key``: digits or a signed pickle."""
        return self._pickles.encode(value, key)

    def decode(self, raw: bytes, key: bytes) -> Any:
        """Return the value, or MISS for what is neither signed by this site nor JSON."""
        if raw[:1] == _MAGIC:
            return self._pickles.decode(raw, key)
        return JSON.decode(raw, key)

    def open(self, raw: bytes, key: bytes) -> Opened | None:
        """See PickleCodec.open()."""
        if raw[:1] == _MAGIC:
            return self._pickles.open(raw, key)
        value = JSON.decode(raw, key)
        if value is MISS:
            return None
        return (_same, value) if type(value) in _IMMUTABLE else (msgspec.json.decode, raw)

    def revive(self, opened: Opened) -> Any:
        """Return the value."""
        return self._pickles.revive(opened)


class TypedCodec(OpenCodec):
    """As OpenCodec, converted to one type: what does not fit it is MISS."""

    __slots__ = ("_kind",)

    discards = False

    def __init__(self, pickles: PickleCodec, kind: Any) -> None:
        super().__init__(pickles)
        self._kind = kind

    def decode(self, raw: bytes, key: bytes) -> Any:
        """Return the value as an instance of the type, or MISS."""
        return self._convert(super().decode(raw, key))

    def revive(self, opened: Opened) -> Any:
        """Return the value as an instance of the type, or MISS."""
        return self._convert(super().revive(opened))

    def _convert(self, value: Any) -> Any:
        if value is MISS:
            return MISS
        try:
            return msgspec.convert(value, self._kind, from_attributes=True)
        except DAMAGE:
            return MISS


def _same(value: Any) -> Any:
    return value


def _mac(keyed: blake2b, flags: int, key: bytes, payload: bytes) -> bytes:
    mac = keyed.copy()  # which spares it the block of the key
    mac.update(_heading(flags, len(key)) + key + payload)
    return mac.digest()


@lru_cache(maxsize=4096)
def _heading(flags: int, length: int) -> bytes:
    return b"%d %d " % (flags, length)


@lru_cache(maxsize=256)
def json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return the decoder of a type; building one costs more than decoding with it."""
    return msgspec.json.Decoder(kind)


def _plain(value: Any) -> Any:
    """Return a text of a class of its own, such as Django's SafeString, as a text."""
    if isinstance(value, str):
        return str.__str__(value)
    message = f"Encoding objects of type {type(value).__name__} is unsupported"
    raise TypeError(message)


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain)

JSON: Final = JsonCodec()
