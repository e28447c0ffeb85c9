"""The bytes of a value: what comes back is what this site stored under that very key, or a miss."""

from __future__ import annotations

import ctypes
import dataclasses
import datetime as dt
import decimal
import enum
import json
import os
import pickle
import subprocess
import sys
import threading
import uuid
import zlib
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, TypedDict

import msgspec
import pytest
from django.utils.safestring import mark_safe
from hypothesis import example, given
from hypothesis import strategies as st

from django_dripcache import codecs, compression
from django_dripcache.codecs import JSON, MEMBER, MISS, OpenCodec, PickleCodec, TypedCodec, TypedJsonCodec
from django_dripcache.compression import PLAIN, ZLIB, ZSTD, TooLargeError, deflate, inflate
from django_dripcache.exceptions import SerializationError
from tests.processes import in_threads

KEY, OTHER = b"site:d::1:key", b"site:d::1:other"
LIMIT = 2**20
CODEC = PickleCodec([b"secret"], compress_above=None, inflate_limit=LIMIT)
SQUEEZING = PickleCodec([b"secret"], compress_above=1, inflate_limit=LIMIT)
STRANGER = PickleCodec([b"another secret"], compress_above=None, inflate_limit=LIMIT)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.timedeltas()
    | st.uuids()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner) | st.dictionaries(SCALARS, inner, max_size=5) | st.tuples(inner, inner) | st.sets(SCALARS)
    ),
    max_leaves=10,
)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class Colour(enum.IntEnum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Node(msgspec.Struct):
    child: Node | None = None


class Prefs(TypedDict):
    theme: str
    size: int


class Picky(msgspec.Struct):
    """A type that refuses values in its own way."""

    x: int

    def __post_init__(self):
        {}[self.x]


class Touchy:
    """An object that cannot be made again: what it raises is in ``error``."""

    error: BaseException = RuntimeError()

    def __setstate__(self, state):
        raise self.error


def signed(payload, *, flags=PLAIN, key=KEY, codec=CODEC):
    """Seal a payload as the site itself would."""
    return bytes((0xDC, flags)) + codecs._mac(codec._hashes[0], flags, key, payload) + payload


def squeezed(value, kind):
    payload = pickle.dumps(value)
    if kind == ZLIB:
        payload = zlib.compress(payload)
    elif kind == ZSTD:
        payload = zstandard().ZstdCompressor().compress(payload)
    return signed(payload, flags=kind)


def zstandard():
    return pytest.importorskip("zstandard")


KINDS = pytest.mark.parametrize("kind", [PLAIN, ZLIB, ZSTD], ids=["plain", "zlib", "zstd"])


# What comes back


@given(VALUES)
def test_a_value_comes_back_as_it_was(value):
    for codec in (CODEC, SQUEEZING, OpenCodec(CODEC)):
        found = codec.decode(codec.encode(value, KEY), KEY)
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize("value", [None, False, True, 0, "", b"", [], {}, (), 0.0, set()], ids=repr)
def test_what_is_false_is_a_value_and_no_miss(value):
    found = CODEC.decode(CODEC.encode(value, KEY), KEY)
    assert found is not MISS
    assert found == value
    assert type(found) is type(value)


def test_a_miss_is_false_and_says_what_it_is():
    assert not MISS
    assert repr(MISS) == "MISS"
    assert MISS is not None


@pytest.mark.parametrize("value", [Colour.RED, mark_safe("<b>"), Point(1), decimal.Decimal("1.10")], ids=repr)
def test_a_value_of_a_class_comes_back_as_that_class(value):
    found = CODEC.decode(CODEC.encode(value, KEY), KEY)
    assert found == value
    assert type(found) is type(value)


def test_nan_comes_back():
    found = CODEC.decode(CODEC.encode(float("nan"), KEY), KEY)
    assert found != found  # noqa: PLR0124 - that is NaN


# Integers


@given(st.integers(-(2**63), 2**63 - 1))
def test_an_integer_that_redis_can_count_with_stays_digits(number):
    assert CODEC.encode(number, KEY) == str(number).encode()
    assert CODEC.decode(str(number).encode(), KEY) == number


@pytest.mark.parametrize("number", [0, 1, -1, 2**63 - 2, -(2**63)])
def test_redis_itself_counts_on_from_a_stored_integer(raw, number):
    raw.set(KEY, CODEC.encode(number, KEY))
    assert raw.incr(KEY) == number + 1
    assert CODEC.decode(raw.get(KEY), KEY) == number + 1


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40, True, False, Colour.RED, 1.0])
def test_a_number_that_redis_cannot_count_with_is_sealed(number):
    assert CODEC.encode(number, KEY)[0] == 0xDC


@pytest.mark.parametrize(
    "raw",
    [
        b"007",
        b"+1",
        b"-",
        b"--1",
        b"1.0",
        b"1e3",
        b" 1",
        b"1 ",
        b"1\n",
        b"\n1",
        b"1_0",
        b"0x1",
        b"9" * 20,
        b"1\x00",
        "\u0661".encode(),
    ],
)
def test_what_only_looks_like_an_integer_is_a_miss(raw):
    assert CODEC.decode(raw, KEY) is MISS


# The seal


def test_a_value_moved_to_another_key_is_a_miss():
    raw = CODEC.encode("Alice's", KEY)
    assert CODEC.decode(raw, KEY) == "Alice's"
    assert CODEC.decode(raw, OTHER) is MISS
    assert CODEC.decode(raw, KEY + b"x") is MISS
    assert CODEC.decode(raw, KEY[:-1]) is MISS
    assert CODEC.decode(raw, MEMBER) is MISS


def test_the_end_of_a_key_cannot_become_the_beginning_of_a_value():
    payload = pickle.dumps("value")
    raw = signed(payload, key=b"site:ab")
    assert CODEC.decode(raw, b"site:ab") == "value"
    assert CODEC.decode(raw[:18] + b"b" + payload, b"site:a") is MISS
    assert CODEC.decode(raw[:18] + payload[1:], b"site:ab" + payload[:1]) is MISS


@KINDS
def test_the_flags_are_bound(kind):
    raw = squeezed("value" * 20, kind)
    assert CODEC.decode(raw, KEY) == "value" * 20
    for flags in set(range(256)) - {kind}:
        assert CODEC.decode(raw[:1] + bytes((flags,)) + raw[2:], KEY) is MISS


def test_a_flag_cannot_be_moved_into_the_length_of_the_key():
    keyed = blake2b(digest_size=16, key=b"k")
    # The mac begins with "<flags> <length> ": no pair of numbers may read as another.
    macs = {codecs._mac(keyed, flags, b"a" * length, b"") for flags in (1, 11, 111) for length in (1, 11, 111)}
    assert len(macs) == 9


def test_a_wrong_secret_is_a_miss():
    assert STRANGER.decode(CODEC.encode("value", KEY), KEY) is MISS


def test_an_older_secret_still_reads_and_no_longer_writes():
    both = PickleCodec([b"new", b"secret"], compress_above=None, inflate_limit=LIMIT)
    new = PickleCodec([b"new"], compress_above=None, inflate_limit=LIMIT)
    assert both.decode(CODEC.encode("old", KEY), KEY) == "old"
    assert both.decode(new.encode("new", KEY), KEY) == "new"
    assert new.decode(both.encode("value", KEY), KEY) == "value"
    assert CODEC.decode(both.encode("value", KEY), KEY) is MISS
    assert new.decode(CODEC.encode("old", KEY), KEY) is MISS


def test_every_fallback_reads():
    secrets = [b"%d" % number for number in range(5)]
    codec = PickleCodec(secrets, compress_above=None, inflate_limit=LIMIT)
    for secret in secrets:
        written = PickleCodec([secret], compress_above=None, inflate_limit=LIMIT).encode("value", KEY)
        assert codec.decode(written, KEY) == "value"
        assert codec.decode(written, OTHER) is MISS


@pytest.mark.parametrize("secret", [b"", b"k" * 10_000, b"\x00", "kl\u00e9".encode()], ids=len)
def test_a_secret_of_any_length_signs(secret):
    codec = PickleCodec([secret], compress_above=None, inflate_limit=LIMIT)
    assert codec.decode(codec.encode("value", KEY), KEY) == "value"
    assert codec.decode(STRANGER.encode("value", KEY), KEY) is MISS


@KINDS
def test_a_value_cut_at_any_length_is_a_miss(kind):
    raw = squeezed({"a": "value" * 10}, kind)
    for length in range(len(raw)):
        assert CODEC.decode(raw[:length], KEY) is MISS


@KINDS
@pytest.mark.parametrize("more", [b"\x00", b".", b"1", b"\xdc", b"x" * 100])
def test_a_value_with_something_behind_it_is_a_miss(kind, more):
    assert CODEC.decode(squeezed("value", kind) + more, KEY) is MISS


@KINDS
def test_a_value_with_any_bit_flipped_is_a_miss(kind):
    raw = squeezed({"a": "value" * 10}, kind)
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert CODEC.decode(bytes(flipped), KEY) is MISS


@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda tail: b"\xdc" + tail))
@example(b"")
@example(b"\xdc")
@example(b"\xdc" + bytes(17))
@example(b"\xdc" + bytes(18))
def test_random_bytes_are_a_miss_and_never_raise(raw):
    assert CODEC.decode(raw, KEY) is MISS or raw.lstrip(b"-").isdigit()
    OpenCodec(CODEC).decode(raw, KEY)


# Nobody without the secret runs code


class Bomb:
    """A pickle of this makes a directory as it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def forgeries(payload):
    """Return what someone who may write to Redis, and knows this source, can try."""
    macs = [
        bytes(16),
        b"",
        codecs._mac(blake2b(digest_size=16), PLAIN, KEY, payload),
        codecs._mac(STRANGER._hashes[0], PLAIN, KEY, payload),
        codecs._mac(CODEC._hashes[0], PLAIN, OTHER, payload),
        codecs._mac(CODEC._hashes[0], 77, KEY, payload),
        codecs._mac(CODEC._hashes[0], PLAIN, KEY, payload)[:15],
        codecs._mac(CODEC._hashes[0], PLAIN, KEY, payload + b"\x00"),
        codecs._mac(CODEC._hashes[0], PLAIN, KEY, b""),
        blake2b(payload, digest_size=16).digest(),
        blake2b(b"0 %d " % len(KEY) + KEY + payload, digest_size=16).digest(),
        CODEC.encode("a real value of another key", OTHER)[2:18],
        CODEC.encode("a real value", KEY)[2:18],
    ]
    yield payload
    yield b"\xdc" + payload
    yield b"\xdc\x00" + payload
    yield b"1" + payload
    yield payload + b"1"
    for flags in (PLAIN, ZLIB, ZSTD, 3, 255):
        for mac in macs:
            yield bytes((0xDC, flags)) + mac + payload
            yield bytes((0xDC, flags)) + mac + zlib.compress(payload)
    yield CODEC.encode("a real value", KEY) + payload
    yield CODEC.encode("a real value", KEY)[:18] + payload
    yield json.dumps(payload.decode("latin-1")).encode()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_this_site_did_not_seal_is_never_run(tmp_path, protocol):
    mark = tmp_path / "ran"
    payload = pickle.dumps(Bomb(mark), protocol)
    readers = [CODEC, SQUEEZING, OpenCodec(CODEC), TypedCodec(CODEC, Any), JSON, TypedJsonCodec(Any)]
    for raw in forgeries(payload):
        for codec in readers:
            codec.decode(raw, KEY)
    assert not mark.exists()

    # The bomb is real: under the site's own seal, which nobody else can make, it goes off.
    CODEC.decode(signed(payload), KEY)
    assert mark.exists()


def test_forgeries_are_misses():
    for raw in forgeries(pickle.dumps("harmless")):
        assert CODEC.decode(raw, KEY) is MISS


def test_nothing_is_inflated_before_the_seal_is_verified(monkeypatch):
    monkeypatch.setattr(codecs, "inflate", lambda *arguments: pytest.fail("inflated"))
    for raw in forgeries(pickle.dumps("harmless")):
        assert CODEC.decode(raw, KEY) is MISS


# What was sealed and still cannot be read


@pytest.mark.parametrize(
    "payload", [b"\x00", b".", b"junk", b"\x80\x05", b"\x80\x63.", pickle.dumps([1])[:-1]], ids=repr
)
def test_a_sealed_payload_that_is_no_pickle_is_a_miss(payload):
    assert CODEC.decode(signed(payload), KEY) is MISS


def test_a_seal_over_nothing_is_a_miss():
    assert CODEC.decode(signed(b""), KEY) is MISS


def test_an_object_whose_class_has_moved_is_a_miss():
    payload = pickle.dumps(Point(1))
    assert CODEC.decode(signed(payload), KEY) == Point(1)
    assert CODEC.decode(signed(payload.replace(b"Point", b"Moved")), KEY) is MISS
    module = Point.__module__.encode()
    assert CODEC.decode(signed(payload.replace(module, b"x" * len(module))), KEY) is MISS


@pytest.mark.parametrize("error", [ValueError(), KeyError(), RuntimeError(), RecursionError(), ImportError()], ids=repr)
def test_an_object_that_cannot_be_made_again_is_a_miss(monkeypatch, error):
    touchy = Touchy()
    touchy.state = 1
    monkeypatch.setattr(Touchy, "error", error)
    with pytest.raises(type(error)):
        pickle.loads(pickle.dumps(touchy))
    assert CODEC.decode(signed(pickle.dumps(touchy)), KEY) is MISS


def test_an_interrupt_while_an_object_is_made_again_comes_out(monkeypatch):
    touchy = Touchy()
    touchy.state = 1
    monkeypatch.setattr(Touchy, "error", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        CODEC.decode(signed(pickle.dumps(touchy)), KEY)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        threading.Lock(),
        (number for number in ()),
        lambda: None,
        sys,
        nested(100_000),
        ctypes.pointer(ctypes.c_int(1)),
        memoryview(b"a"),
    ],
    ids=["lock", "generator", "lambda", "module", "deep", "pointer", "memoryview"],
)
def test_what_cannot_be_pickled_is_a_serialization_error_that_names_its_type(value):
    with pytest.raises(SerializationError) as caught:
        CODEC.encode(value, KEY)
    assert caught.value.kind == type(value).__name__
    assert type(value).__name__ in str(caught.value)
    assert caught.value.__cause__ is not None


# Compression


def test_a_payload_is_compressed_from_the_threshold_on_and_not_below():
    value = "a" * 1000
    size = len(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    for threshold, compressed in [(size - 1, True), (size, True), (size + 1, False), (None, False)]:
        codec = PickleCodec([b"secret"], compress_above=threshold, inflate_limit=LIMIT)
        raw = codec.encode(value, KEY)
        assert (raw[1] != PLAIN) is compressed
        assert (len(raw) < size) is compressed
        assert codec.decode(raw, KEY) == value


def test_a_payload_that_does_not_shrink_stays_plain():
    value = os.urandom(5000)
    raw = SQUEEZING.encode(value, KEY)
    assert raw[1] == PLAIN
    assert SQUEEZING.decode(raw, KEY) == value


def test_a_reader_takes_every_compression_whatever_its_own():
    assert CODEC.decode(SQUEEZING.encode("a" * 1000, KEY), KEY) == "a" * 1000
    assert SQUEEZING.decode(CODEC.encode("a" * 1000, KEY), KEY) == "a" * 1000


def test_compression_is_by_zstandard_where_it_is_installed():
    zstandard()
    assert SQUEEZING.encode("a" * 1000, KEY)[1] == ZSTD
    assert deflate(b"a" * 1000)[0] == ZSTD


def test_without_zstandard_compression_is_by_zlib_and_a_zstandard_value_is_a_miss(monkeypatch):
    zstandard()
    before = SQUEEZING.encode("a" * 1000, KEY)
    assert before[1] == ZSTD
    monkeypatch.setattr(compression, "_zstandard", None)
    assert SQUEEZING.decode(before, KEY) is MISS
    after = SQUEEZING.encode("a" * 1000, KEY)
    assert after[1] == ZLIB
    assert SQUEEZING.decode(after, KEY) == "a" * 1000
    monkeypatch.undo()
    assert SQUEEZING.decode(after, KEY) == "a" * 1000


@pytest.mark.parametrize("flags", range(3, 256))
def test_a_sealed_payload_of_an_unknown_compression_is_a_miss(flags):
    assert CODEC.decode(signed(pickle.dumps("value"), flags=flags), KEY) is MISS


@pytest.mark.parametrize("kind", [ZLIB, ZSTD], ids=["zlib", "zstd"])
def test_a_sealed_payload_that_is_not_compressed_as_it_says_is_a_miss(kind):
    for payload in (b"junk", pickle.dumps("value"), b"\x00" * 50, b"(\xb5/\xfd", b"x\x9c"):
        assert CODEC.decode(signed(payload, flags=kind), KEY) is MISS


def compressed_by(kind, payload):
    return zlib.compress(payload) if kind == ZLIB else zstandard().ZstdCompressor().compress(payload)


@pytest.mark.parametrize("kind", [ZLIB, ZSTD], ids=["zlib", "zstd"])
def test_a_payload_inflates_up_to_the_limit_and_no_further(kind):
    exact = compressed_by(kind, b"a" * 1000)
    assert inflate(kind, exact, 1000) == b"a" * 1000
    with pytest.raises(TooLargeError):
        inflate(kind, exact, 999)
    with pytest.raises(TooLargeError):
        inflate(kind, compressed_by(kind, b"a" * 1001), 1000)
    assert inflate(kind, compressed_by(kind, b""), 1) == b""


@pytest.mark.parametrize("kind", [ZLIB, ZSTD], ids=["zlib", "zstd"])
def test_a_compressed_payload_cut_at_any_length_is_damaged(kind):
    whole = compressed_by(kind, os.urandom(50) + b"a" * 100)
    for length in range(len(whole)):
        with pytest.raises(ValueError):
            inflate(kind, whole[:length], LIMIT)


def test_a_frame_that_does_not_declare_its_size_is_damaged_at_any_length_it_is_cut_at():
    press = zstandard().ZstdCompressor(write_content_size=False).compressobj()
    whole = press.compress(b"a" * 1000) + press.flush()
    for length in range(len(whole)):
        with pytest.raises(ValueError):
            inflate(ZSTD, whole[:length], LIMIT)


def test_a_payload_is_read_after_one_that_was_damaged():
    zstandard()
    whole = deflate(b"a" * 1000)
    for cut in (whole[1][:-3], b"(\xb5/\xfd" + b"\xff" * 20):
        with pytest.raises(ValueError):
            inflate(ZSTD, cut, LIMIT)
        assert inflate(*whole, LIMIT) == b"a" * 1000


def test_threads_compress_side_by_side():
    def work(number):
        for size in range(500, 20_000, 500):
            payload = b"%d" % number * size
            assert inflate(*deflate(payload), 20_000) == payload

    in_threads(4, work)


@pytest.mark.parametrize("kind", [-1, 3, 255])
def test_an_unknown_compression_is_a_value_error(kind):
    with pytest.raises(ValueError, match="not known"):
        inflate(kind, b"payload", LIMIT)


BOMBS = """
import io, json, pickle, resource, struct, zlib
from django_dripcache import codecs, compression

LIMIT, SIZE, PIECE = 8 << 20, 512 << 20, bytes(1 << 20)


def payload(size):  # the pickle of that many zero bytes, in pieces
    yield b"\\x80\\x05\\x8e" + struct.pack("<Q", size)
    for _ in range(size // len(PIECE)):
        yield PIECE
    yield b"."


def by_zlib(size):
    press = zlib.compressobj(1)
    return b"".join([*map(press.compress, payload(size)), press.flush()])


def by_zstd(size, declared):
    import zstandard
    out = io.BytesIO()
    total = sum(map(len, payload(size))) if declared else -1
    with zstandard.ZstdCompressor(level=1).stream_writer(out, size=total, closefd=False) as press:
        for piece in payload(size):
            press.write(piece)
    assert (zstandard.frame_content_size(out.getvalue()) == total), "declared as asked"
    return out.getvalue()


kinds = {"zlib": (compression.ZLIB, by_zlib)}
if compression._zstandard is not None:
    kinds["zstd without its size"] = (compression.ZSTD, lambda size: by_zstd(size, False))
    kinds["zstd"] = (compression.ZSTD, lambda size: by_zstd(size, True))
codec = codecs.PickleCodec([b"secret"], compress_above=None, inflate_limit=LIMIT)
found = {}
for name, (flags, make) in kinds.items():
    for size, expected in ((LIMIT // 2, "value"), (SIZE, "miss")):
        bomb = make(size)
        raw = bytes((0xDC, flags)) + codecs._mac(codec._hashes[0], flags, b"key", bomb) + bomb
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        value = codec.decode(raw, b"key")
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert value is codecs.MISS or value == bytes(size), (name, size)
        assert (value is codecs.MISS) == (expected == "miss") or name == "zstd without its size", (name, size)
        assert value is codecs.MISS or size < LIMIT, (name, size)
        del value
        found[name] = {"bytes": len(raw), "grown_kb": after - before}
print(json.dumps(found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux alone")
def test_a_sealed_value_that_inflates_to_512_mb_is_a_miss_in_bounded_memory():
    done = subprocess.run(
        [sys.executable, "-c", BOMBS],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "zlib" in found
    for name, bomb in found.items():
        assert bomb["bytes"] < 5 * 2**20, name
        assert bomb["grown_kb"] < 64 * 1024, name


# JSON


@given(JSON_VALUES)
def test_json_comes_back_as_it_was(value):
    assert JSON.decode(JSON.encode(value, KEY), KEY) == value


@given(JSON_VALUES)
def test_json_is_readable_by_anyone(value):
    assert json.loads(JSON.encode(value, KEY)) == value


def test_json_is_not_bound_to_its_key():
    assert JSON.decode(JSON.encode([1], KEY), OTHER) == [1]


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}], ids=repr)
def test_json_of_what_is_false_is_a_value(value):
    found = JSON.decode(JSON.encode(value, KEY), KEY)
    assert found is not MISS
    assert found == value


def test_nan_and_infinity_become_null_since_json_has_no_form_for_them():
    assert JSON.encode([float("nan"), float("inf"), -float("inf")], KEY) == b"[null,null,null]"


@pytest.mark.parametrize(
    "value",
    [object(), lambda: None, {(1, 2): 3}, {None: 1}, "\ud800", {"\ud800": 1}, 1j, nested(100_000), 10**5000, type],
    ids=["object", "lambda", "tuple key", "none key", "surrogate", "surrogate key", "complex", "deep", "long", "type"],
)
def test_what_json_has_no_form_for_is_a_serialization_error_that_names_its_type(value):
    with pytest.raises(SerializationError) as caught:
        JSON.encode(value, KEY)
    assert caught.value.kind == type(value).__name__


def test_a_text_that_django_marked_safe_is_text_in_json():
    assert JSON.encode(mark_safe("<b>"), KEY) == b'"<b>"'


NO_JSON = [
    b"",
    b" ",
    b"junk",
    b"{",
    b"[1,]",
    b"[1] [2]",
    b"{'a':1}",
    b"nul",
    b"NaN",
    b"Infinity",
    b"-",
    b"01",
    b"1e999",
    b"9" * 5000,
    b'"\xff"',
    b'"\\ud800"',
    b'"\\x"',
    b'"\x00"',
    b"\xef\xbb\xbf1",
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"child":' * 100_000 + b"null" + b"}" * 100_000,
    CODEC.encode("a pickle", KEY),
    pickle.dumps("a pickle"),
]


def test_a_name_in_json_that_is_no_text_is_a_miss():
    assert JSON.decode(b'{"\xff":1}', KEY) is MISS


@pytest.mark.parametrize("raw", NO_JSON, ids=lambda raw: repr(raw[:20]))
def test_what_is_no_json_is_a_miss(raw):
    assert JSON.decode(raw, KEY) is MISS
    assert TypedJsonCodec(Any).decode(raw, KEY) is MISS
    assert TypedJsonCodec(Node).decode(raw, KEY) is MISS
    assert TypedJsonCodec(list[Any]).decode(raw, KEY) is MISS


FITTING = [
    (Point, b'{"x":1}', Point(1)),
    (Point, b'{"x":1,"y":2,"unknown":3}', Point(1, 2)),
    (Node, b'{"child":{}}', Node(Node())),
    (Prefs, b'{"theme":"dark","size":3}', {"theme": "dark", "size": 3}),
    (list[int], b"[1,2]", [1, 2]),
    (dict[str, list[Point]], b'{"a":[{"x":1}]}', {"a": [Point(1)]}),
    (int | None, b"null", None),
    (Literal["a", "b"], b'"b"', "b"),
    (float, b"1", 1.0),
    (set[int], b"[1,1]", {1}),
    (tuple[int, str], b'[1,"a"]', (1, "a")),
    (Colour, b"1", Colour.RED),
    (dt.datetime, b'"2026-01-02T03:04:05"', dt.datetime(2026, 1, 2, 3, 4, 5)),  # noqa: DTZ001
    (uuid.UUID, b'"00000000-0000-0000-0000-000000000001"', uuid.UUID(int=1)),
    (decimal.Decimal, b'"1.10"', decimal.Decimal("1.10")),
    (bytes, b'"YQ=="', b"a"),
    (msgspec.Raw, b'{"a":1}', msgspec.Raw(b'{"a":1}')),
]
UNFITTING = [
    (Point, b"[]"),
    (Point, b"{}"),
    (Point, b'{"x":"1"}'),
    (Point, b"null"),
    (Node, b'{"child":1}'),
    (Prefs, b'{"theme":"dark"}'),
    (Prefs, b'{"theme":"dark","size":null}'),
    (list[int], b'[1,"2"]'),
    (list[int], b"[1,2.5]"),
    (list[int], b"{}"),
    (int, b"1.5"),
    (int, b"true"),
    (str, b"1"),
    (int | None, b'"1"'),
    (Literal["a", "b"], b'"c"'),
    (Colour, b"2"),
    (dt.datetime, b'"yesterday"'),
    (dt.datetime, b'"2026-13-41T00:00:00"'),
    (uuid.UUID, b'"1"'),
    (decimal.Decimal, b'"one"'),
    (bytes, b'"?"'),
    (Picky, b'{"x":1}'),
    (set, b"[[1]]"),
    (frozenset[Any], b"[{}]"),
]


@pytest.mark.parametrize(("kind", "raw", "value"), FITTING)
def test_json_that_fits_its_type_is_a_value_of_it(kind, raw, value):
    found = TypedJsonCodec(kind).decode(raw, KEY)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("kind", "raw"), UNFITTING, ids=str)
def test_json_that_does_not_fit_its_type_is_a_miss(kind, raw):
    assert TypedJsonCodec(kind).decode(raw, KEY) is MISS
    assert TypedCodec(CODEC, kind).decode(raw, KEY) is MISS


TYPES = [kind for kind, *_ in FITTING]


@given(st.binary(max_size=50) | JSON_VALUES.map(msgspec.json.encode), st.sampled_from(TYPES))
def test_no_bytes_make_a_typed_read_raise(raw, kind):
    for codec in (TypedJsonCodec(kind), TypedCodec(CODEC, kind)):
        codec.decode(raw, KEY)


def test_the_decoder_of_a_type_is_built_once():
    assert codecs.json_decoder(list[int]) is codecs.json_decoder(list[int])
    assert codecs.json_decoder(Literal[1]) is not codecs.json_decoder(Literal[True])


def test_what_is_no_type_is_an_error_of_the_programmer():
    with pytest.raises(TypeError):
        TypedJsonCodec("no type at all")


# What the clients read: both


def test_a_client_reads_pickles_digits_and_json():
    codec = OpenCodec(CODEC)
    assert codec.decode(CODEC.encode({"a": (1,)}, KEY), KEY) == {"a": (1,)}
    assert codec.decode(b"42", KEY) == 42
    assert codec.decode(b'{"a":[1]}', KEY) == {"a": [1]}
    assert codec.decode(b"null", KEY) is None


def test_a_client_writes_what_the_backend_writes():
    for value in (1, "a", None, [1]):
        assert OpenCodec(CODEC).encode(value, KEY) == CODEC.encode(value, KEY)


@pytest.mark.parametrize(
    "raw", [b"", b"junk", b"\xdc", pickle.dumps("bare"), CODEC.encode("a", OTHER), STRANGER.encode("a", KEY)]
)
def test_a_client_misses_what_is_neither(raw):
    assert OpenCodec(CODEC).decode(raw, KEY) is MISS
    assert TypedCodec(CODEC, str).decode(raw, KEY) is MISS


def test_a_json_text_cannot_pass_for_a_sealed_value():
    # Sealed values begin with a byte that no JSON begins with.
    with pytest.raises(UnicodeDecodeError):
        b"\xdc".decode()
    assert OpenCodec(CODEC).decode(b'"\\u00dc"', KEY) == "\u00dc"


@pytest.mark.parametrize(
    ("kind", "stored", "value"),
    [
        (int, 5, 5),
        (str, "a", "a"),
        (Point, Point(1, 2), Point(1, 2)),
        (Point, {"x": 1}, Point(1)),
        (Node, Node(), Node()),
        (list[int], (1, 2), [1, 2]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (int | None, None, None),
        (Any, {"a": {1}}, {"a": {1}}),
        (float, 1, 1.0),
        (dt.date, dt.date(2026, 1, 2), dt.date(2026, 1, 2)),
    ],
    ids=str,
)
def test_a_typed_read_of_a_python_object_is_a_value_of_the_type(kind, stored, value):
    found = TypedCodec(CODEC, kind).decode(CODEC.encode(stored, KEY), KEY)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (int, "5"),
        (int, None),
        (int, True),
        (int, 5.5),
        (int, "\ud800"),
        (str, 5),
        (str, b"a"),
        (Point, {"x": "1"}),
        (Point, object),
        (Point, {"\ud800": 1}),
        (Literal["a"], "\ud800"),
        (uuid.UUID, "\ud800"),
        (list[int], [1, "2"]),
        (Node, {"child": {"child": 1}}),
        (Picky, {"x": 1}),
        (set, [[1]]),
    ],
    ids=ascii,
)
def test_a_typed_read_of_a_python_object_that_does_not_fit_is_a_miss(kind, stored):
    assert TypedCodec(CODEC, kind).decode(CODEC.encode(stored, KEY), KEY) is MISS


def test_a_typed_read_of_a_deep_object_is_a_miss():
    deep = {}
    for _ in range(400):
        deep = {"child": deep}
    found = TypedCodec(CODEC, Node).decode(CODEC.encode(deep, KEY), KEY)
    assert found is MISS or isinstance(found, Node)
