from __future__ import annotations

import pytest

from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.flows.evictions import evicted
from django_dripcache.flows.steps import Refused

from .script import play

ASKED = ("INFO", "stats")


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        (b"# Stats\r\nexpired_keys:5\r\nevicted_keys:17\r\nevicted_clients:3\r\n", 17),
        (b"# Stats\r\n", None),
        (b"", None),
        (None, None),
        (Refused("NOPERM this user has no permissions to run the 'info' command"), None),
        (CacheUnavailableError("Timeout reading from socket"), None),
    ],
)
def test_evicted_keys_are_asked_for_in_one_round_trip_and_known_or_not(reply, count):
    assert play(evicted(), (ASKED, reply)) == count
