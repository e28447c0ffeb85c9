"""``manage.py dripcache doctor``: connections, keys and use, each with its remedy."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from django_dripcache import cache
from django_dripcache.counts import COUNTS
from django_dripcache.recorder import RECORDER
from django_dripcache.roles import REMEDIES, ROLES
from tests.conftest import use_server
from tests.processes import UNREACHABLE, Worker, needs_server, shop, site

from .asking import ask, ask_json


def test_the_doctor_lists_connections_by_role_and_says_that_nothing_was_found(redis_server, raw):
    with site(redis_server.url):
        cache.get("key")
        raw.client_setname("reports:nightly")
        code, text = ask("doctor")
        raw.client_setname("")
    assert code == 0
    assert "Nothing was found." in text
    assert redis_server.url.rpartition("@")[2].removeprefix("redis://") in text
    lines = [line.split() for line in text.splitlines()]
    assert ["1", "pool"] in [line[:2] for line in lines]
    assert ["1", "reports", "named", "so"] in lines


@needs_server
def test_the_doctor_knows_a_worker_and_its_result_backend(start_server):
    server = start_server(maxmemory="64mb", maxmemory_policy="volatile-lru")
    conf = {"result_backend": server.url}
    with shop(server.url, **conf) as app, Worker(server.url, "-P", "prefork", "-c1", celery=conf):
        assert app.send_task("tests.remember", ("key", 1)).get(timeout=20) == 1
        code, found = ask_json("doctor")
        app.backend.client.connection_pool.disconnect()
    assert code == 0
    (here,) = found["servers"]
    assert here["aliases"] == ["default"]
    assert here["maxclients"] > 0
    assert here["connections"]["consumer"] == 1
    assert here["connections"]["events"] >= 1
    assert here["connections"]["pool"] >= 2
    assert set(here["connections"]) <= set(ROLES)


@needs_server
def test_the_doctor_tells_of_many_connections_who_has_most_and_how_to_lower_them(start_server):
    server = start_server(maxmemory="64mb", maxmemory_policy="volatile-lru", maxclients="12")
    with use_server(server.url), ExitStack() as stack:
        for _ in range(9):
            stack.enter_context(server.client()).ping()
        code, text = ask("doctor")
    assert code == 1
    assert "of 12; most are 'unnamed'" in text
    assert str(REMEDIES["unnamed"]) in text


@needs_server
def test_the_doctor_reports_what_the_checks_find_with_its_hint(start_server):
    server = start_server(maxmemory="64mb", maxmemory_policy="allkeys-lru")
    with use_server(server.url):
        code, found = ask_json("doctor")
    assert code == 1
    assert [finding["id"] for finding in found["findings"]] == ["dripcache.W011"]
    assert "volatile-lru" in found["findings"][0]["hint"]


def test_the_doctor_ends_with_2_where_a_server_does_not_answer():
    with use_server(UNREACHABLE.replace("//", "//user:secret@")):
        code, text = ask("doctor")
    assert code == 2
    assert "connections are not known" in text
    assert "secret" not in text


@pytest.mark.far("its user may not track")
@needs_server
def test_a_user_who_may_not_list_connections_is_told_so(start_server):
    server = start_server(maxmemory="64mb", maxmemory_policy="volatile-lru")
    with server.client() as owner:
        owner.execute_command(*["ACL", "SETUSER", "shop", "on", ">password", "~dripcache:*", "+@all", "-client"])
    with use_server(f"redis://shop:password@127.0.0.1:{server.port}/0"):
        code, text = ask("doctor")
    assert code == 0
    assert "this user may not ask for CLIENT LIST" in text


# Keys and their use


def test_the_doctor_weighs_a_sample_of_the_keys(broker, raw):
    cache.set_json("small", 1, 60)
    cache.set_json("large", "x" * 5000, 60)
    raw.set("celery-result", "x" * 100_000)
    code, found = ask_json("doctor")
    assert code == 0
    assert list(found["servers"][0]["largest"].items())[:2] == [("dripcache:c:large", 5002), ("dripcache:c:small", 1)]
    assert "    4.9 KiB  dripcache:c:large" in ask("doctor")[1]
    assert RECORDER.flush()
    assert not [name for name in ask_json("doctor")[1]["servers"][0]["largest"] if "stats" in name]


def test_the_doctor_tells_of_a_key_that_is_too_large(broker, raw):
    raw.set("dripcache:c:huge\n", "x" * 1024 * 1024, px=60_000)
    code, found = ask_json("doctor")
    assert code == 1
    (finding,) = found["findings"]
    assert finding["message"] == r"dripcache:c:huge\x0a has 1.0 MiB."
    assert "Store less in it" in finding["hint"]


def test_the_doctor_tells_of_keys_that_are_hardly_ever_found(broker):
    COUNTS.take()
    for at in range(150):
        cache.get(f"report:{at}")
    cache.set("report:1", 1, 60)
    assert RECORDER.flush()
    code, found = ask_json("doctor")
    assert code == 1
    (finding,) = found["findings"]
    assert finding["message"].startswith("The keys 'report', in the last 24 hours: Low hit rate")
    assert finding["hint"]


def near_of(options, url):
    with site(url, options):
        code, found = ask_json("doctor")
    (here,) = found["servers"]
    return code, here["near"], [finding["message"] for finding in found["findings"] if "near" in finding["message"]]


@pytest.mark.far("it says itself which site is near")
def test_the_doctor_says_whether_a_near_cache_is_on_or_possible(redis_server):
    assert near_of({}, redis_server.url)[1:] == ({"on": False, "reason": ""}, [])
    assert near_of({"NEAR": {}}, redis_server.url)[1:] == ({"on": True, "reason": ""}, [])
    with site(redis_server.url):
        assert "near cache: possible, and off" in ask("doctor")[1]


@pytest.mark.far("it says itself which site is near")
@needs_server
def test_a_near_cache_that_the_server_refuses_is_a_finding_where_it_was_asked_for(start_server):
    server = start_server(maxmemory="64mb", maxmemory_policy="volatile-lru")
    with server.client() as admin:
        admin.acl_setuser("plain", enabled=True, passwords=["+pw"], commands=["+@all", "-subscribe"], keys=["*"])
    url = server.url.replace("://", "://plain:pw@")
    code, near, findings = near_of({}, url)
    assert (code, near["on"], findings) == (0, False, [])
    assert "subscribe" in near["reason"]
    code, near, findings = near_of({"NEAR": {}}, url)
    assert (code, near["on"]) == (1, True)
    assert "stands aside" in findings[0]


def test_the_doctor_says_no_more_of_a_near_cache_where_a_server_does_not_answer():
    with use_server(UNREACHABLE):
        code, found = ask_json("doctor")
    assert code == 2
    assert found["findings"] == [] or all("near" not in finding["message"] for finding in found["findings"])
