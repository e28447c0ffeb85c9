"""``manage.py dripcache``: what all subcommands have in common, and how they end."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line
from django.test import override_settings

from django_dripcache import cache
from django_dripcache.management.commands.dripcache import SUBCOMMANDS
from tests.conftest import use_server
from tests.processes import ROOT, UNREACHABLE, environment, run_python

from .asking import ask, refusal

CALLS = {
    "stats": ["stats"],
    "keys": ["keys"],
    "get": ["get", "dripcache:c:k"],
    "delete": ["delete", "dripcache:c:k", "--yes"],
    "clear": ["clear", "--yes"],
    "clear of a namespace": ["clear", "--namespace", "shop", "--yes"],
    "warm": ["warm"],
    "flags": ["flags"],
    "flags set": ["flags", "set", "beta", "on"],
    "flags delete": ["flags", "delete", "beta", "--yes"],
    "limits": ["limits"],
    "limits reset": ["limits", "reset", "--rule", "pages", "--who", "203.0.113.7"],
    "sessions": ["sessions", "--user", "7"],
    "sessions logout": ["sessions", "logout", "--user", "7", "--yes"],
    "monitor": ["monitor"],
    "benchmark": ["benchmark"],
}
"""A call of each that needs an answer of Redis; "health" and "doctor" tell of an outage themselves."""

SETTINGS = {
    "WARM": {"pages": "tests.management.test_warm.warm_pages"},
    "RATE_LIMITS": [{"name": "pages", "rate": "10/m", "key": "ip"}],
}


def test_there_is_a_call_of_each():
    assert {name.partition(" ")[0] for name in CALLS} == set(SUBCOMMANDS) - {"health", "doctor"}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_while_redis_is_down_each_says_so_at_once_and_ends_with_2(name, form, capsys):
    with use_server(UNREACHABLE.replace("//", "//user:secret@"), **SETTINGS):
        began = time.monotonic()
        with pytest.raises(SystemExit) as ended:
            execute_from_command_line(["manage.py", "dripcache", *CALLS[name], *form])
        assert time.monotonic() - began < 5
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "The cache's Redis cannot be used: " in err
    assert len(err.strip().splitlines()) == 1
    assert "secret" not in err


def test_while_redis_hangs_it_is_said_within_a_second_or_so(start_server, broker):
    server = start_server()
    with use_server(server.url):
        cache.set("k", 1)
        server.pause()
        began = time.monotonic()
        assert refusal("keys")[0] == 2
        assert time.monotonic() - began < 3
        server.resume()


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_each_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", "dripcache", name, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "--json" in out
    assert " ".join((SUBCOMMANDS[name].__doc__ or "").split())[:40] in " ".join(out.split())


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


def test_a_shell_is_given_the_exit_code(redis_server, raw):
    script = """
        import json, subprocess, sys
        done = subprocess.run([sys.executable, "-m", "django", "dripcache", "health", "--json"], capture_output=True)
        print(json.dumps([done.returncode, "traceback" in done.stderr.decode().lower()]))
    """
    assert run_python(script, UNREACHABLE) == [1, False]
    assert sys.executable


def test_who_reads_a_part_alone_is_left_in_peace(redis_server, raw):
    raw.eval("for i = 1, 5000 do redis.call('SET', 'dripcache:c:key:' .. i, '1', 'PX', 600000) end", 0)
    command = [sys.executable, "-m", "django", "dripcache", "keys", "--count", "0"]
    with subprocess.Popen(
        command, env=environment(redis_server.url), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_command_speaks_english_on_a_site_in_another_language(redis_server):
    with use_server(redis_server.url), override_settings(LANGUAGE_CODE="de"):
        cache.get("key")
        assert "threads of the site and of workers" in ask("doctor")[1]
