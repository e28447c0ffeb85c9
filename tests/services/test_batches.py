"""Batches of what services read."""

from __future__ import annotations

from unittest import mock

import pytest

from django_dripcache import CacheUnavailableError, InvalidKeyError, cache, flags, on_outage, user_cache
from django_dripcache.server import Server
from tests.processes import UNREACHABLE, site
from tests.test_batch import read as read  # noqa: PLC0414 - it is a fixture

pytestmark = pytest.mark.usefixtures("raw")


@pytest.fixture
def here(redis_server, raw):
    with site(redis_server.url):
        yield raw


def register(mine, switches, shared):
    return [
        *(mine.get(7, "theme"), mine.get(7, "theme", "default", type=int), mine.get(8, "theme", "default")),
        *(switches.get("beta"), switches.get("alpha", default=True)),
        shared.get("nav"),
    ]


@pytest.mark.far("it counts round trips")
def test_values_of_users_and_flags_go_in_one_round_trip_with_the_rest(here, read):
    user_cache.set(7, "theme", "dark")
    flags.set("beta", True)
    cache.set("nav", "home")
    with mock.patch.object(Server, "call", autospec=True, side_effect=Server.call) as calls:
        found = read(register, user_cache.batch(), flags.batch(), cache.batch())
    assert found == ["dark", "default", "default", True, True, "home"]
    assert calls.call_count == 1


def test_without_redis_a_flag_is_what_it_was_and_a_value_is_a_miss(here, read):
    flags.set("beta", True)
    with mock.patch.object(Server, "call", side_effect=CacheUnavailableError("away")):
        found = read(register, user_cache.batch(), flags.batch(), cache.batch())
    assert found == [None, "default", "default", True, True, None]


def test_what_a_flag_does_without_redis_is_decided_where_it_is_registered():
    with site(UNREACHABLE, {}), flags.batch() as switches:
        with on_outage("raise"):
            strict = switches.get("beta")
        assert switches.get("beta", default=True).value is True
        with pytest.raises(CacheUnavailableError):
            _ = strict.value


def test_a_flag_is_what_it_was_even_if_it_is_asked_for_where_others_raise(here):
    flags.set("beta", True)
    with flags.batch() as switches, mock.patch.object(Server, "call", side_effect=CacheUnavailableError("away")):
        calm = switches.get("beta")
        with on_outage("raise"):
            assert calm.value is True


@pytest.mark.parametrize("name", ["", 7, "n" * 201])
def test_a_name_that_is_none_raises_at_once(here, name):
    with flags.batch() as switches, pytest.raises(InvalidKeyError):
        switches.get(name)


def test_a_user_that_is_none_raises_at_once(here):
    with user_cache.batch() as mine:
        for user, key in ((None, "theme"), (True, "theme"), (7, 8)):
            with pytest.raises(InvalidKeyError):
                mine.get(user, key)
