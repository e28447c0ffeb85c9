"""JSON that anyone can read and the site alone can write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest

from django_dripcache.codecs import MISS
from django_dripcache.exceptions import SerializationError
from django_dripcache.signed import SignedJsonCodec

KEY = b"site:tokens:key"
CODEC = SignedJsonCodec([b"secret"])
VALUES = [None, False, 0, -1, 1.5, "", "ü\n", [], {}, {"a": [1, None, {"b": "}"}]}, 2**100]


@dataclass(frozen=True)
class Ticket:
    """A value of a kind of its own."""

    seat: int
    until: datetime


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_read_back_and_by_any_reader_of_json(value):
    raw = CODEC.encode(value, KEY)
    assert CODEC.decode(raw, KEY) == value
    assert json.loads(raw)["value"] == value


def test_a_value_of_a_kind_is_read_back_as_that_kind():
    ticket = Ticket(7, datetime(2030, 1, 1, tzinfo=timezone.utc))
    raw = CODEC.encode(ticket, KEY)
    assert SignedJsonCodec([b"secret"], Ticket).decode(raw, KEY) == ticket
    assert SignedJsonCodec([b"secret"], Ticket).decode(CODEC.encode({"seat": "x"}, KEY), KEY) is MISS


def test_what_json_has_no_form_for_is_refused():
    for value in (object(), {(1, 2): 3}, "\ud800"):
        with pytest.raises(SerializationError):
            CODEC.encode(value, KEY)


def test_every_byte_of_the_value_of_the_signature_and_of_the_key_counts():
    raw = CODEC.encode({"admin": False}, KEY)
    for at in range(len(raw)):
        assert CODEC.decode(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :], KEY) is MISS
        assert CODEC.decode(raw[:at], KEY) is MISS
    for at in range(len(KEY)):
        assert CODEC.decode(raw, KEY[:at] + bytes([KEY[at] ^ 1]) + KEY[at + 1 :]) is MISS


def test_the_end_of_a_key_is_not_taken_for_the_beginning_of_a_value():
    raw = CODEC.encode(11, b"key")
    assert CODEC.decode(raw.replace(b"11}", b"1}"), b"key1") is MISS


@pytest.mark.parametrize(
    "junk",
    [b"", b"{}", b"7", b'{"mac":"","value":7}', b'{"mac":"%s","value":7}' % (b"0" * 64), b"\xff" * 100],
    ids=repr,
)
def test_what_is_not_signed_is_a_miss(junk):
    assert CODEC.decode(junk, KEY) is MISS
    assert CODEC.decode(CODEC.encode(7, KEY) + junk[:1] + b"}", KEY) is MISS


def test_the_first_secret_signs_and_all_verify():
    old, new = SignedJsonCodec([b"old"]), SignedJsonCodec([b"new", b"older", b"old"])
    assert new.decode(old.encode(7, KEY), KEY) == 7
    assert old.decode(new.encode(7, KEY), KEY) is MISS
    assert SignedJsonCodec([b"new"]).decode(new.encode(7, KEY), KEY) == 7


def test_what_a_former_release_signed_is_still_read():
    raw = b'{"mac":"%s","value":{"a":1}}'
    mac = b"eae2a86c4c3cf68a939652232fbd19038111a1d49762e44e4493f606625709bb"
    assert CODEC.decode(raw % mac, KEY) == {"a": 1}
