"""
Throw a million inputs at what reads bytes of others: ``python -m tests.fuzz [inputs]``.

Every input is a value or a miss, never an exception; no hostile pickle runs; and keys come back as they went in. The
seed is printed, and may be given as a second argument to see the same run again. ``tests.guided`` holds the same to
inputs that follow the code.
"""

from __future__ import annotations

import contextlib
import pickle
import random
import sys
import time
import zlib
from typing import TYPE_CHECKING
from unittest import mock

from django_dripcache.codecs import JSON, MISS, OpenCodec, PickleCodec, TypedCodec
from django_dripcache.compression import PLAIN, ZLIB, TooLargeError, deflate, inflate
from django_dripcache.keys import MAX_KEY_BYTES, Keyspace, escape, unescape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

KEY = b"key"
LIMIT = 4096
CODEC = PickleCodec([b"secret"], compress_above=64, inflate_limit=1 << 16)
READERS = (CODEC, OpenCodec(CODEC), TypedCodec(CODEC, dict[str, int]), JSON)
SPACE = Keyspace("dripcache:c:")

RAN: list[str] = []
LOADED: list[bytes] = []
NAMED: dict[bytes, str] = {}


class Hostile:
    """Unpickled, it leaves a trace."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return RAN.append, ("a hostile pickle ran",)


OURS = [CODEC.encode(value, KEY) for value in ({"a": 1}, "x" * 500, [1.5, None], 7)]
FOREIGN = [
    pickle.dumps(Hostile()),
    b'{"a": [1, 2.5, "x"]}',
    b"",
    bytes((0xDC, 1)) + b"\0" * 16 + pickle.dumps(Hostile()),
]
PACKED = [deflate(b"x" * 5000), deflate(bytes(range(256)) * 8), (ZLIB, zlib.compress(b"x" * 5000))]


def loads(payload: bytes, load: Callable[[bytes], object] = pickle.loads) -> object:
    """Load a pickle, and leave a trace."""
    LOADED.append(payload)
    return load(payload)


watched = mock.patch.object(pickle, "loads", loads)
"""While this is entered, ``LOADED`` has the pickles that were loaded, those that broke included."""


# What must hold


def reads(codec: object, raw: bytes, signed: Collection[bytes] = OURS) -> bool:
    """Return whether bytes are a value. Nothing is unpickled but what was ``signed`` for this key, to the letter."""
    LOADED.clear()
    found = codec.decode(raw, KEY)
    assert not LOADED or raw in signed
    assert RAN == []
    return found is not MISS


def inflates(kind: int, payload: bytes, limit: int = LIMIT) -> None:
    """Inflate within the limit, or refuse; what is not compressed stays as it is."""
    with contextlib.suppress(ValueError, TooLargeError):
        assert len(inflate(kind, payload, limit)) <= (len(payload) if kind == PLAIN else limit)


def names(key: str) -> None:
    """Name a key: it comes back, no key before had that name, and the name is bounded."""
    escaped, name = escape(key), SPACE.name(key)
    assert unescape(escaped) == key
    assert NAMED.setdefault(name, key) == key
    assert SPACE.key(name) == key or len(escaped.encode()) > MAX_KEY_BYTES
    assert name.startswith(SPACE.raw)
    assert len(name) <= len(SPACE.raw) + MAX_KEY_BYTES
    if len(NAMED) > 50_000:
        NAMED.clear()


# Inputs at random


def mutate(at: random.Random, raw: bytes) -> bytes:
    """Return ``raw`` with bytes changed, cut away, added or doubled."""
    data = bytearray(raw)
    for _ in range(at.randrange(1, 5)):
        place = at.randrange(len(data) + 1)
        match at.randrange(5):
            case 0 if data:
                data[place % len(data)] ^= 1 << at.randrange(8)
            case 1:
                del data[place:]
            case 2:
                data[place:place] = at.randbytes(at.randrange(1, 9))
            case 3:
                data[place:place] = data[: at.randrange(len(data) + 1)]
            case _:
                data[:2] = bytes((0xDC, at.randrange(4)))
    return bytes(data[:4096])


def text(at: random.Random) -> str:
    """Return a text of any characters, lone surrogates included."""
    return "".join(chr(at.choice((at.randrange(0x80), at.randrange(0x110000)))) for _ in range(at.randrange(40)))


def main(inputs: int, seed: int) -> None:
    at, began, values = random.Random(seed), time.monotonic(), 0
    seeds = OURS + FOREIGN
    with watched:
        for number in range(inputs):
            match number % 4:
                case 0 | 1:
                    values += reads(READERS[number // 4 % 4], mutate(at, at.choice(seeds)))
                case 2:
                    kind, payload = at.choice(PACKED)
                    inflates(at.choice((kind, at.randrange(5))), mutate(at, payload))
                case _:
                    names(text(at))
    print(f"{inputs:,} inputs, seed {seed}: {values:,} values, no error, {time.monotonic() - began:.0f} s")  # noqa: T201


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(given[0] if given else 1_000_000, given[1] if len(given) > 1 else random.SystemRandom().randrange(1 << 32))
