from __future__ import annotations

import pytest

from django_dripcache import cache
from django_dripcache.backend import get_alias_server
from django_dripcache.roles import REMEDIES, ROLES, Roster, count_connections, remedy
from tests.conftest import use_server
from tests.processes import needs_server
from tests.test_nearby import nearby


def test_connections_are_counted_by_what_they_are_for(broker, redis_server):
    cache.get("a")
    with redis_server.client() as unnamed, redis_server.client() as named, redis_server.client() as listening:
        unnamed.ping()
        named.client_setname("metrics:7")
        pubsub = listening.pubsub()
        pubsub.subscribe("channel")
        pubsub.get_message(timeout=1)
        roster = count_connections(get_alias_server("default"))
        pubsub.close()
    assert roster.roles["pool"] >= 1
    assert roster.roles["events"] >= 1
    assert roster.roles["metrics"] == 1
    assert roster.roles["unnamed"] >= 1
    assert roster.total == sum(roster.roles.values())
    assert roster.most > roster.total
    assert roster.crowded == ""
    assert list(roster.roles.values()) == sorted(roster.roles.values(), reverse=True)


def test_near_caches_are_a_role_of_ours(redis_server, raw):
    with nearby(redis_server.url):
        roster = count_connections(get_alias_server("default"))
    assert roster.roles["near"] == 1
    assert "NEAR" in remedy("near")
    assert "dripcache" not in roster.roles


def test_each_role_of_ours_has_a_remedy():
    assert set(ROLES) == set(REMEDIES)
    assert all(remedy(role) == str(REMEDIES[role]) for role in ROLES)
    assert "whoever opened them" in remedy("metrics")


@pytest.mark.parametrize(
    ("roles", "most", "crowded"),
    [
        ({"pool": 5, "consumer": 3}, 10, "pool"),
        ({"pool": 5, "consumer": 2}, 10, ""),
        ({"pool": 9}, 0, ""),
        (None, 9, ""),
    ],
)
def test_a_server_is_crowded_from_four_fifths_on(roles, most, crowded):
    assert Roster(roles=roles, most=most).crowded == crowded


def test_a_server_that_does_not_answer_has_a_reason():
    with use_server("redis://127.0.0.1:1/0"):
        roster = count_connections(get_alias_server("default"))
    assert roster.roles is None
    assert roster.reason


@needs_server
def test_a_user_who_may_not_ask_is_told_nothing(start_server):
    server = start_server()
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "site", "on", ">secret", "~*", "&*", "+@all", "-client")
    url = server.url.replace("redis://", "redis://site:secret@")
    with use_server(url):
        assert count_connections(get_alias_server("default")) == Roster()
