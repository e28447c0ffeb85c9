"""``manage.py dripcache``: what it prints, for people and for scripts, and how it ends."""

from __future__ import annotations

import io
import json
import sys
from contextlib import ExitStack

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_dripcache import cache
from django_dripcache.management.doctor import REMEDIES, ROLES
from tests.conftest import use_server
from tests.processes import UNREACHABLE, Worker, needs_server, run_python, shop, site


def ask(*arguments):
    """Run a subcommand, and return its exit code and what it printed."""
    out, code = io.StringIO(), 0
    try:
        call_command("dripcache", *arguments, stdout=out)
    except SystemExit as end:
        code = end.code
    return code, out.getvalue()


def ask_json(*arguments):
    code, text = ask(*arguments, "--json")
    return code, json.loads(text)


# health


def test_health_tells_of_each_alias(broker):
    code, text = ask("health")
    assert code == 0
    assert text.split()[:2] == ["default", "healthy"]
    code, found = ask_json("health")
    assert code == 0
    assert found["default"]["status"] == "healthy"
    assert found["default"]["breaker"] == "closed"


def test_health_ends_with_1_where_a_server_does_not_answer():
    with use_server(UNREACHABLE):
        code, text = ask("health")
        assert code == 1
        assert "unhealthy" in text
        assert "no answer" in text
        assert ask_json("health")[1]["default"]["latency_ms"] is None


@pytest.mark.parametrize("subcommand", ["health", "doctor"])
def test_an_alias_that_there_is_not_is_told_with_those_that_there_are(broker, subcommand):
    with pytest.raises(
        CommandError, match=r"--alias=other is no alias that DripCache serves\. Allowed: default"
    ) as caught:
        ask(subcommand, "--alias", "other")
    assert caught.value.returncode == 2
    assert str(caught.value).endswith("Allowed: default.")


def test_a_site_without_our_backend_is_told_so():
    memory = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    with override_settings(CACHES=memory), pytest.raises(CommandError, match="No alias of CACHES is served"):
        ask("health")


def test_a_subcommand_is_asked_for():
    with pytest.raises(CommandError, match="subcommand"):
        call_command("dripcache")


# doctor


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
    assert REMEDIES["unnamed"] in text


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


@needs_server
def test_a_user_who_may_not_list_connections_is_told_so(start_server):
    server = start_server(maxmemory="64mb", maxmemory_policy="volatile-lru")
    with server.client() as owner:
        owner.execute_command(*["ACL", "SETUSER", "shop", "on", ">password", "~dripcache:*", "+@all", "-client"])
    with use_server(f"redis://shop:password@127.0.0.1:{server.port}/0"):
        code, text = ask("doctor")
    assert code == 0
    assert "this user may not ask for CLIENT LIST" in text


def test_a_shell_is_given_the_exit_code(redis_server, raw):
    script = """
        import json, subprocess, sys
        done = subprocess.run([sys.executable, "-m", "django", "dripcache", "health", "--json"], capture_output=True)
        print(json.dumps([done.returncode, "traceback" in done.stderr.decode().lower()]))
    """
    assert run_python(script, UNREACHABLE) == [1, False]
    assert sys.executable
