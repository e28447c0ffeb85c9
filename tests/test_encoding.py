"""Values that a driver makes bytes."""

from __future__ import annotations

import threading

import pytest
from django.utils.asyncio import async_unsafe

from django_dripcache.codecs import PickleCodec
from django_dripcache.counts import BYTES, COUNTS, SET
from django_dripcache.exceptions import SerializationError
from django_dripcache.flows.steps import Encode, EncodeMany

from .processes import needs_server
from .test_drive import one
from .test_drive import play as play  # noqa: PLC0414 - it is a fixture
from .test_drive import server as server  # noqa: PLC0414

pytestmark = needs_server

CODEC = PickleCodec([b"secret"], compress_above=None, inflate_limit=2**20)
NAMES = b"dripcache:c:encoding:%d"


class Query:
    """Pickled as a QuerySet is: by asking the database."""

    def __reduce__(self):
        return Query.ask(self), ()

    @async_unsafe("The database is asked.")
    def ask(self):
        return threading.get_ident


def test_values_are_made_bytes_in_their_order(play):
    entries = {NAMES % number: number for number in range(3)}
    assert play(one(EncodeMany(CODEC, entries))) == [b"0", b"1", b"2"]
    assert play(one(EncodeMany(CODEC, {}))) == []


def test_of_what_is_too_large_there_are_no_bytes(play, server, caplog):
    server.max_value_bytes = 100
    entries = {NAMES % 1: 1, NAMES % 2: "x" * 100, NAMES % 3: 3}
    assert play(one(EncodeMany(CODEC, entries))) == [b"1", None, b"3"]
    assert play(one(Encode(CODEC, "x" * 100, NAMES % 2))) is None
    (line,) = [record.getMessage() for record in caplog.records]
    size = len(CODEC.encode("x" * 100, NAMES % 2))
    assert line == f"The cache does not store this: a value of {size} bytes is over MAX_VALUE_BYTES."


def test_what_cannot_be_pickled_is_told_whatever_is_beside_it(play):
    with pytest.raises(SerializationError, match="cannot be pickled"):
        play(one(EncodeMany(CODEC, {NAMES % 1: 1, NAMES % 2: lambda: None})))


@pytest.mark.parametrize("step", [Encode(CODEC, Query(), NAMES % 1), EncodeMany(CODEC, {NAMES % 1: Query()})])
def test_what_asks_the_database_is_pickled_in_a_thread_where_there_is_a_loop_and_counted_once(play, step):
    cell = COUNTS.of_key(NAMES % 1)
    before = cell[SET], cell[BYTES]
    raw = play(one(step))
    raw = raw[0] if isinstance(raw, list) else raw
    assert isinstance(CODEC.decode(raw, NAMES % 1), int)
    assert (cell[SET], cell[BYTES]) == (before[0] + 1, before[1] + len(raw))
