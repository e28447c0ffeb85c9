"""
Throw a million inputs at what reads bytes of others: ``python -m tests.fuzz [inputs]``.

Every input is a value or a miss, never an exception; no hostile pickle runs; and keys come back as they went in. The
seed is printed, and may be given as a second argument to see the same run again.
"""

from __future__ import annotations

import contextlib
import pickle
import random
import sys
import time

from django_dripcache.codecs import JSON, MISS, OpenCodec, PickleCodec, TooLargeError, TypedCodec, deflate, inflate
from django_dripcache.keys import Keyspace, escape, unescape

RAN: list[str] = []


class Hostile:
    """Unpickled, it leaves a trace."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return RAN.append, ("a hostile pickle ran",)


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
    at = random.Random(seed)
    codec = PickleCodec([b"secret"], compress_above=64, inflate_limit=1 << 16)
    readers = [codec, OpenCodec(codec), TypedCodec(codec, dict[str, int]), JSON]
    seeds = [codec.encode(value, b"key") for value in ({"a": 1}, "x" * 500, [1.5, None], 7)]
    seeds += [
        pickle.dumps(Hostile()),
        b'{"a": [1, 2.5, "x"]}',
        b"",
        bytes((0xDC, 1)) + b"\0" * 16 + pickle.dumps(Hostile()),
    ]
    packed = [deflate(b"x" * 5000), deflate(bytes(range(256)) * 8)]
    space = Keyspace("dripcache:c:")
    names: dict[bytes, str] = {}
    values = began = time.monotonic()
    values = 0
    for number in range(inputs):
        match number % 4:
            case 0 | 1:
                values += readers[number // 4 % 4].decode(mutate(at, at.choice(seeds)), b"key") is not MISS
            case 2:
                kind, payload = at.choice(packed)
                with contextlib.suppress(ValueError, TooLargeError):
                    assert len(inflate(at.choice((kind, at.randrange(5))), mutate(at, payload), 4096)) <= 4096
            case _:
                key = text(at)
                assert unescape(escape(key)) == key
                assert names.setdefault(space.name(key), key) == key
                if len(names) > 50_000:
                    names.clear()
    assert RAN == []
    print(f"{inputs:,} inputs, seed {seed}: {values:,} values, no error, {time.monotonic() - began:.0f} s")  # noqa: T201


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(given[0] if given else 1_000_000, given[1] if len(given) > 1 else random.SystemRandom().randrange(1 << 32))
