"""The documentation, held against the code: what it lists is complete, what it names exists, what it shows runs."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
import time
import typing
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from pkgutil import resolve_name
from textwrap import dedent
from typing import get_args, get_type_hints

import pytest
import redis
from django.core.cache import BaseCache, cache, caches
from django.utils.module_loading import import_string

import django_dripcache
from django_dripcache import (
    CacheClient,
    CacheManager,
    Health,
    breaker,
    broker,
    checks,
    deadline,
    journal,
    outcomes,
    shortcuts,
    stats,
    tasks,
    views,
)
from django_dripcache.backend import DripCache
from django_dripcache.conf import Settings
from django_dripcache.connections import PoolOptions
from django_dripcache.counts import COUNTS
from django_dripcache.pools import OPTIONS
from django_dripcache.recorder import RECORDER
from django_dripcache.redis_client import DripClient
from django_dripcache.traffic import get_traffic
from tests.conftest import use_server
from tests.processes import needs_server

ROOT = Path(__file__).resolve().parents[1]
PAGES = {path.name: path.read_text() for path in [*ROOT.glob("*.rst"), *ROOT.joinpath("docs").glob("*.rst")]}
ALL_PAGES = "\n".join(PAGES.values())
NOBODY_LISTENS = "redis://127.0.0.1:1/0"
EXAMPLE_URL = "redis://localhost:6379/0"


def options(where: str) -> dict[str, str]:
    """Return the options that the settings page describes, with their defaults as Python."""
    shape = rf'^\.\. confval:: {where}\["(\w+)"\]\n +:type: ``.+``\n +:default: ``(.+)``\n\n +\S'
    return dict(re.findall(shape, PAGES["settings.rst"], re.MULTILINE))


def rows(page: str, table: str) -> list[list[str]]:
    """Return the rows of a list-table without its head, a cell on one line each."""
    body = re.search(rf"^ +:name: {table}\n((?: .*\n|\n)+)", PAGES[page], re.MULTILINE).group(1)
    parts = re.split(r"^ +\* - ", body, flags=re.MULTILINE)[2:]
    return [[" ".join(cell.split()) for cell in re.split(r"^ +- ", row, flags=re.MULTILINE)] for row in parts]


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the captions (or nothing) and the texts of a page's Python blocks."""
    shape = r"^\.\. code-block:: python\n(?: +:caption: (.+)\n)?\n((?: {4}.*\n|\n)+)"
    return [(caption, dedent(text)) for caption, text in re.findall(shape, PAGES[page], re.MULTILINE)]


def arguments(function) -> str:
    """Return what a function is called with: names and defaults, no types."""
    signature = inspect.signature(function)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


def verbs(kind: type) -> set[str]:
    """Return the verbs of a class: what can be called and is not the async twin of another."""
    names = {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")} - {"batch", "memoize"}
    return {name for name in names if not (name[0] == "a" and name[1:] in names)}


# What is listed is complete


def test_every_setting_is_documented_with_its_default():
    documented = {name: eval(default, {"timedelta": timedelta}) for name, default in options("DRIPCACHE").items()}
    assert documented == {field.name: getattr(Settings(), field.name) for field in fields(Settings)}


def test_every_option_of_an_alias_is_documented_with_its_default():
    documented = options("OPTIONS")
    assert set(documented) == {*OPTIONS, "CLIENT_CLASS"}
    assert import_string(ast.literal_eval(documented["CLIENT_CLASS"])) is DripClient
    assert documented["ON_OUTAGE"] == 'DRIPCACHE["ON_OUTAGE"]'
    assert documented["SOCKET_CONNECT_TIMEOUT"] == "SOCKET_TIMEOUT"
    used = PoolOptions.of(broker.discover(EXAMPLE_URL), {})
    assert used.socket_connect_timeout == used.socket_timeout
    stated = {name: documented[name] for name in ("MAX_CONNECTIONS", "POOL_WAIT", "SOCKET_TIMEOUT")}
    assert list(stated.values()) == [str(used.max_connections), str(used.wait), str(used.socket_timeout)]


def test_every_transport_option_is_documented():
    assert {name.strip("`") for name, _ in rows("settings.rst", "transport-options-read")} == set(broker.OPTIONS)


def test_every_form_of_location_is_understood():
    forms = [form.strip("`") for form, _ in rows("settings.rst", "location-forms")]
    assert len(forms) == 8
    for form in forms[1:]:
        assert broker.discover(form).addresses


def test_every_check_is_documented_and_no_other():
    headings = re.findall(r"^(dripcache\.[EW]\d{3})\n-+$", PAGES["checks.rst"], re.MULTILINE)
    assert headings == sorted(checks.HINTS)
    assert set(re.findall(r"dripcache\.[EW]\d{3}", ALL_PAGES)) == set(checks.HINTS)
    parts = re.split(r"^\.\. _dripcache\..+:$", PAGES["checks.rst"], flags=re.MULTILINE)[1:]
    assert all("\nWhy\n" in part and "\nFix\n" in part for part in parts)


def test_every_public_name_is_in_the_reference():
    described = re.findall(r"^(?:\.\. [\w:]+:: | {17})(\w+)", PAGES["api.rst"], re.MULTILINE)
    assert set(described) >= set(django_dripcache.__all__)


def test_every_module_is_in_the_architecture():
    modules = [path.relative_to(ROOT / "django_dripcache") for path in ROOT.glob("django_dripcache/**/*.py")]
    names = {".".join(path.with_suffix("").parts) for path in modules if path.stem != "__init__"}
    described = {name for name in names if f"``{name}``" in PAGES["architecture.rst"]}
    assert {name for name in names - described if not name.startswith(("migrations.", "testing."))} == set()


def test_every_verb_is_documented_with_its_arguments():
    listed = dict(re.findall(r"``(\w+)(\(.*?\))``", "\n".join(cell for cell, _ in rows("manager.rst", "verbs"))))
    assert set(listed) == verbs(CacheClient)
    assert listed.pop("decr") == "(...)"
    client = CacheClient()
    assert listed == {verb: arguments(getattr(client, verb)) for verb in listed}


def test_every_function_is_documented_with_its_verb_and_its_arguments():
    listed = [[cell.strip("`") for cell in row] for row in rows("manager.rst", "functions")]
    names = {name for name in django_dripcache.__all__ if hasattr(shortcuts, name)} - {
        "CacheClient",
        "cache",
        "memoize",
    }
    assert {name for *both, _ in listed for name in both} == names
    for function, twin, verb in listed:
        assert getattr(django_dripcache, function) == getattr(django_dripcache.cache, verb)
        assert getattr(django_dripcache, twin) == getattr(django_dripcache.cache, f"a{verb}")
    described = dict(re.findall(r"(?:py:function:: | {17})(\w+)(\(.*\))", PAGES["api.rst"]))
    assert described.pop("memoize") == arguments(django_dripcache.memoize)
    assert described == {name: arguments(getattr(django_dripcache, name)) for name in names}


# What is named exists


def test_no_setting_is_named_that_does_not_exist():
    known = {field.name for field in fields(Settings)}
    assert set(re.findall(r"DRIPCACHE(?:\[| = \{)[\"'](\w+)", ALL_PAGES)) == known
    assert set(re.findall(r"(?<!_)OPTIONS\[\"(\w+)", ALL_PAGES)) <= {*OPTIONS, "CLIENT_CLASS"}


def test_no_name_is_given_that_does_not_exist():
    imported = re.findall(r"from (django_dripcache[\w.]*) import ([\w, ]+)", ALL_PAGES)
    for module, names in imported:
        for name in names.split(","):
            assert hasattr(importlib.import_module(module), name.strip()), (module, name)
    paths = set(re.findall(r"``(django_dripcache(?:\.\w+)+)``", ALL_PAGES)) - {
        *(f"django_dripcache.{act}_overview" for act in ("view", "change", "clear", "reveal")),
        tasks.NAME,
    }
    assert all(resolve_name(path) for path in paths)


def test_no_target_of_make_is_named_that_does_not_exist():
    targets = set(re.findall(r"^([a-z-]+):", ROOT.joinpath("Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:``|    |\.12 )make ([a-z-]+)", ALL_PAGES))
    assert {"demo", "test"} <= named <= targets


# What is said of outages happens


MANAGERS, DJANGO, MEMBERS, RAISING = (
    list(table.items()) for table in (outcomes.MANAGERS, outcomes.BACKEND, outcomes.MEMBERS, outcomes.RAISING)
)
SERVICES = [*outcomes.AUTH.items(), *outcomes.SERVICES.items()]
LOCKS = list(outcomes.LOCKS.items())
LIMITS = list(outcomes.LIMITS.items())
SERVED = ("api_cache", "auth_cache", "flags", "session_cache", "user_cache", "rate_limiter")
TYPES = {**vars(django_dripcache), "redis": redis}
NO_VERBS = {"close", "get_backend_timeout", "make_and_validate_key", "make_key", "validate_key"}
NEVER_RAISE = ("test_connection", "health_check")


def named(table: list[tuple[str, str]]) -> list[str]:
    """Return the verbs that the calls of a table make."""
    return [re.search(r"cache\.(\w+)", call).group(1) for call, _ in table]


def test_the_page_prints_every_table_of_outcomes():
    printed = re.findall(r"^\.\. outcomes:: (\w+)$", ALL_PAGES, re.MULTILINE)
    assert {name.upper() for name in printed} == {name for name in vars(outcomes) if name.isupper()}


def test_the_outage_tables_have_every_verb():
    assert set(named(MANAGERS + LOCKS)) == verbs(CacheClient)
    assert verbs(BaseCache) - NO_VERBS <= set(named(DJANGO))
    assert sorted(named(DJANGO + MEMBERS + RAISING)) == sorted(verbs(DripCache) - NO_VERBS)


def test_the_table_of_services_has_every_verb():
    listed = {tuple(re.match(r"(\w+)\.(\w+)", call).groups()) for call, _ in SERVICES + LIMITS}
    assert listed == {(name, verb) for name in SERVED for verb in verbs(type(getattr(django_dripcache, name)))}


def ask(call: str, answer: str, drive=None) -> None:
    """Make a call of a table, as it is or by its async twin, and compare the answer."""
    services = {name: getattr(django_dripcache, name) for name in SERVED}
    targets = {"cache": django_dripcache.cache, "django_cache": caches["default"], **services}
    names = {"datetime": datetime}
    name, verb = re.search(rf"({'|'.join(SERVED)}|\w*cache)\.(\w+)", call).groups()
    if drive is not None:
        if drive(None)._loop is not None and not hasattr(targets[name], f"a{verb}"):
            return  # a verb of django-redis, which has no twin
        targets = {name: drive(target) for name, target in targets.items()}
    if not answer.startswith("raises "):
        assert eval(call, {**targets, **names}) == eval(answer, dict(TYPES))
        return
    with pytest.raises(eval(answer.removeprefix("raises "), dict(TYPES))):
        eval(call, {**targets, **names})


@pytest.mark.parametrize(("call", "answer"), MANAGERS + DJANGO + MEMBERS + SERVICES + LIMITS)
def test_while_redis_is_down_a_verb_answers_what_its_table_says(call, answer, drive):
    with use_server(NOBODY_LISTENS):
        ask(call, answer, drive)


@pytest.mark.parametrize(
    "call", [call for call, _ in MANAGERS + DJANGO + MEMBERS + SERVICES if not re.search("|".join(NEVER_RAISE), call)]
)
def test_with_raise_every_verb_raises(call, drive):
    with use_server(NOBODY_LISTENS, ON_OUTAGE="raise"):
        ask(call, "raises CacheUnavailableError", drive)


@pytest.mark.parametrize(("call", "answer"), LOCKS)
def test_without_redis_a_lock_is_not_had(call, answer):
    with use_server(NOBODY_LISTENS):
        ask(call, answer)


@pytest.mark.parametrize(("call", "answer"), RAISING)
@pytest.mark.parametrize("on_outage", ["fallback", "raise"])
def test_some_verbs_raise_in_any_case(call, answer, on_outage):
    with use_server(NOBODY_LISTENS, ON_OUTAGE=on_outage):
        ask(call, answer)


def test_an_outage_is_logged_as_the_page_shows(start_server, caplog):
    server = start_server()
    shown = re.search(r":name: outage-log\n\n((?:.+\n)+)", PAGES["outages.rst"]).group(1).splitlines()
    caplog.set_level("INFO", logger="django_dripcache")
    with use_server(server.url):
        cache.get("key")
        server.kill()
        for _ in range(9):
            cache.get("key")
        server.start()
        until = time.monotonic() + 10
        while len(caplog.records) < 2 and time.monotonic() < until:
            time.sleep(0.05)
            cache.get("key")
        cache.get("key")
    said = [re.sub(r"\(.+\)", "()", record.getMessage()) for record in caplog.records]
    assert said == [re.sub(r"\(.+\)", "()", line.strip()).replace(EXAMPLE_URL, server.url) for line in shown]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


# What is said of Redis' ACL holds


def rules(name: str) -> list[str]:
    """Return an ``ACL SETUSER`` of the security page, as the arguments of a command."""
    shown = re.search(rf":name: {name}\n\n((?:.+\n)+)", PAGES["security.rst"]).group(1).split()
    assert shown[:3] == ["ACL", "SETUSER", "shop"]
    return shown


def allowed(*names: str) -> set[str]:
    """Return the commands that ACLs of the security page allow, without their subcommands."""
    return {rule[1:].split("|")[0] for name in names for rule in rules(name) if rule[0] == "+"}


def make_the_calls_of(table: list[list[str]]) -> None:
    """Make the calls of a table of the outages, on a server that answers."""
    targets = {**vars(django_dripcache), "django_cache": caches["default"], "datetime": datetime}
    for call, _ in table:
        with suppress(ValueError):  # there is no such key
            eval(call, targets)


def do_the_rest() -> None:
    """Make the calls that the tables of the outages do not make: those that find something, and odd ones."""
    django_cache, shared = caches["default"], django_dripcache.cache
    for value in ("text", 1.5, 7):
        assert django_cache.set("a", value)
        assert django_cache.get("a") == value
        assert django_cache.touch("a")
        assert django_cache.incr_version("a") == 2 if value == "text" else django_cache.incr("a") == value + 1
        assert django_cache.persist("a", version=2 if value == "text" else 1)
        assert shared.set("a", value)
        assert shared.expire("a", 60)
    client = django_cache.client.get_client()
    client.set("dripcache:d::1:a", "not ours")
    assert django_cache.get("a") is None
    assert not client.exists("dripcache:d::1:a")
    few = CacheManager(namespace="few", max_keys=1)
    assert [few.set("a", 1), few.incr("b"), few.touch("b"), few.delete_many(["a", "b"])] == [True, 1, True, 1]
    assert few.get_or_set("c", list) == []
    assert few.clear() == 1
    assert {finding.id for finding in checks.check_server()} <= {"dripcache.W012", "dripcache.W014"}
    assert shared.health_check().status == "healthy"
    server = django_cache.client.server
    server.journal.note([b"dripcache:c:a"], [b"dripcache:*"])
    assert not shared.has("a")
    auth_cache = django_dripcache.auth_cache
    assert auth_cache.set_token("token", user=1)
    assert auth_cache.get_token("token").user == "1"
    assert auth_cache.set(1, {"staff": True})
    assert auth_cache.has(1)
    assert auth_cache.refresh(1)
    assert auth_cache.consume_state(auth_cache.create_state()) == {}
    auth_cache.clear(1)
    assert auth_cache.get_stats().tokens == 0
    assert django_dripcache.flags.set("name", True)
    assert django_dripcache.flags.all() == {"name": True}
    assert shared.set("tagged", 1, tags=["a"], grace=5)
    assert shared.expire("tagged")
    assert shared.get_or_set("tagged", lambda: 2, tags=["a"]) == 2
    assert shared.invalidate_tags("a") == 1
    session_cache = django_dripcache.session_cache
    assert session_cache.set("id", {"a": 1}, user=1, about={"agent": "x"})
    assert session_cache.get("id") == {"a": 1}
    assert session_cache.touch("id", 60)
    assert len(session_cache.list_for_user(1)) == 1
    assert session_cache.delete_for_user(1) == 1
    for held in (shared.lock("name", 10), shared.funnel("name", 1, 10)):
        with held:
            assert held.extend()
            assert held.owned()


def tell_the_figures() -> None:
    """Send what was counted, denials included, and ask for it."""
    COUNTS.deny("rule", "who")
    assert RECORDER.flush()
    assert get_traffic().available


def hold_a_lock() -> None:
    """Call what a lock of redis-py offers."""
    with caches["default"].lock("held", timeout=60) as held:
        assert held.extend(60)
        assert held.reacquire()


@needs_server
@pytest.mark.far("the rights of a near cache are on a page of their own")
@pytest.mark.parametrize(
    ("acls", "tables", "rest"),
    [
        (["acl-cache"], MANAGERS + DJANGO + SERVICES + LIMITS, [do_the_rest, tell_the_figures]),
        (
            ["acl-cache", "acl-members"],
            MANAGERS + DJANGO + MEMBERS + RAISING + SERVICES,
            [do_the_rest, tell_the_figures, hold_a_lock],
        ),
    ],
)
def test_the_verbs_send_what_the_acl_of_the_page_allows_and_nothing_else(start_server, acls, tables, rest):
    server = start_server()
    url = f"redis://shop:password@127.0.0.1:{server.port}/1"
    with server.client() as root:
        for name in acls:
            root.execute_command(*rules(name))
        root.config_resetstat()
        for forever in (timedelta(days=30), None):
            with use_server(url, ON_OUTAGE="raise", FOREVER_TTL=forever):
                make_the_calls_of(tables)
                for part in rest:
                    part()
        assert root.acl_log() == []
        sent = {name.removeprefix("cmdstat_").split("|")[0] for name in root.info("commandstats")}
    assert sent - {"acl", "auth", "config"} == allowed(*acls)


@needs_server
@pytest.mark.far("the rights of a near cache are on a page of their own")
def test_what_the_page_lets_one_leave_out_of_the_acl_can_be_left_out(start_server):
    server = start_server()
    *kept, last = re.search(r":name: acl-cache\n\n((?:.+\n)+)", PAGES["security.rst"]).group(1).splitlines()
    named = re.findall(r"^- ``([a-z|]+)``", PAGES["security.rst"], re.MULTILINE)
    assert named == ["client|setname", "select", "info", "persist"]
    assert last.split()[0] == "+zadd"
    with server.client() as root:
        root.execute_command(*[rule for rule in " ".join(kept).split() if rule[1:] not in named])
        with use_server(f"redis://shop:password@127.0.0.1:{server.port}/0", ON_OUTAGE="raise"):
            make_the_calls_of(MANAGERS + DJANGO)
            assert django_dripcache.cache.set("key", 1)
            assert django_dripcache.cache.clear() >= 1
        assert {entry["object"].split("|")[0] for entry in root.acl_log()} == {"client", "info"}


@needs_server
def test_the_user_of_the_page_reads_names_of_others_and_nothing_more(start_server):
    server = start_server()
    with server.client() as root:
        root.execute_command(*rules("acl-cache"))
        root.execute_command(*rules("acl-members"))
        root.rpush("celery", "a task")
    with redis.Redis(port=server.port, username="shop", password="password") as shop:
        assert list(shop.scan_iter()) == [b"celery"]
        for attempt in (
            lambda: shop.get("celery"),
            lambda: shop.delete("celery"),
            lambda: shop.eval("return redis.call('GET', 'celery')", 0),
            lambda: shop.sunion("dripcache:d::1:set", "celery"),
            lambda: shop.publish("channel", "text"),
            shop.flushdb,
            lambda: shop.keys("*"),
        ):
            with pytest.raises((redis.exceptions.NoPermissionError, redis.exceptions.ResponseError)):
                attempt()


# What is said of budgets, of the journal and of health happens


def test_the_numbers_of_the_outages_page_are_the_code_s():
    page = " ".join(PAGES["outages.rst"].replace("**", "").split())
    used = PoolOptions()
    assert f"after {breaker.CONSECUTIVE} failures in a row" in page
    assert f"at least {breaker.VOLUME} calls within {breaker.WINDOW:g} seconds" in page
    assert "between {:g} and {:g} second".format(*breaker.PROBE_EVERY) in page
    assert f"{breaker.OVERDUE:g} seconds after the last probe" in page
    assert f"beyond {journal.LIMIT:,} names and patterns" in page
    assert f"answered within {deadline.Budget.FREE * 1000:g} milliseconds does not count" in page
    assert f"({used.max_connections // 4} of {used.max_connections}, and at least one)" in page
    assert f"{Settings().REQUEST_BUDGET:g} seconds. When it is spent" in page
    assert f"{Settings().TASK_BUDGET:g} seconds. It needs no middleware" in page
    assert f"{used.socket_timeout:g} seconds. That is one deadline" in page
    assert f"less than {stats.SLOW:g} milliseconds" in page


def test_every_field_and_status_of_health_is_documented():
    listed = [name.strip("`") for cell, _ in rows("outages.rst", "health-fields") for name in cell.split(", ")]
    assert listed == [field.name for field in fields(Health)]
    statuses = {name.strip("`") for name, _ in rows("outages.rst", "health-statuses")}
    assert statuses == set(get_args(get_type_hints(Health, vars(typing))["status"]))


def test_the_health_view_answers_as_the_page_says(client, broker, settings):
    settings.ROOT_URLCONF = "django_dripcache.urls"
    for url, code, status in ((broker.url, 200, "healthy"), (NOBODY_LISTENS, 503, "unhealthy")):
        views._last.clear()
        with use_server(url):
            answer = client.get("/health/")
        assert (answer.status_code, answer.json()) == (code, {"status": status})
    assert client.post("/health/").status_code == 405
    views._last.clear()


def test_what_could_not_be_written_is_removed_before_the_next_read(start_server):
    server = start_server()
    with use_server(server.url), server.client() as outside:
        cache.set("name", "old")
        server.pause()
        assert cache.set("name", "new") is False
        server.resume()
        assert cache.get("name") is None
        assert outside.dbsize() == 0


def test_a_journal_that_overflows_empties_the_namespace_and_nothing_else(broker, raw):
    raw.rpush("celery", "a task")
    cache.set("name", "value")
    caches["default"].client.server.journal.note([b"%d" % number for number in range(journal.LIMIT + 1)])
    assert cache.get("name") is None
    assert list(raw.scan_iter()) == [b"celery"]


def test_threads_share_one_object_while_redis_is_away():
    loaded: list[dict[str, int]] = []

    def load() -> dict[str, int]:
        time.sleep(0.5)
        loaded.append({})
        return loaded[0]

    with use_server(NOBODY_LISTENS), ThreadPoolExecutor(8) as threads:
        for _ in range(breaker.CONSECUTIVE):
            cache.get("name")
        asked = [threads.submit(django_dripcache.cache.get_or_set, "name", load) for _ in range(8)]
        assert len({id(one.result()) for one in asked}) == len(loaded) == 1


def test_a_larger_value_is_treated_as_the_page_says(broker, caplog):
    shared, large = django_dripcache.cache, bytes(2000)
    with use_server(broker.url, MAX_VALUE_BYTES=1000, COMPRESS_ABOVE=None):
        assert shared.set("key", "small")
        assert shared.set("key", large) is False
        assert not shared.has("key")
        assert shared.set_many({"key": large, "other": 1}) == ["key"]
        assert cache.add("key", large) is False
        assert shared.get_or_set("key", lambda: large) == large
        assert not shared.has("key")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


# What is shown runs


def run_site(site: Path, url: str, files: dict[str, str], usage: str) -> None:
    """Run code as a new site would, in a process of its own."""
    base = "SECRET_KEY = 'a secret for the tests of the documentation'\nINSTALLED_APPS = []\nUSE_TZ = True\n"
    package = site / "mysite"
    package.mkdir()
    for name, text in {"__init__.py": "", **files}.items():
        whole = base + text if name == "settings.py" else text
        package.joinpath(name).write_text(whole.replace(EXAMPLE_URL, url))
    script = site / "usage.py"
    script.write_text(f"import django\n\ndjango.setup()\n\n{usage}")
    path = os.pathsep.join([str(site), str(ROOT)])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "mysite.settings"}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_is_short_and_its_quick_start_runs(redis_server, raw, tmp_path):
    assert len(PAGES["README.rst"].splitlines()) < 100
    (_, settings), (_, usage) = blocks("README.rst")
    assert len([line for line in (settings + usage).splitlines() if line]) <= 12
    check = (
        "\nassert (django_cache.get('greeting'), cache.get('report'), visits, theme) == ('hello', report, 1, 'dark')"
    )
    run_site(tmp_path, redis_server.url, {"settings.py": settings}, usage + check)
    assert names(raw) == {b"dripcache:d::1:greeting", b"dripcache:c:report", b"dripcache:c:visits"}


def test_the_quickstart_runs_and_leaves_the_queue_alone(redis_server, raw, tmp_path):
    raw.rpush("celery", "a task")
    files = {caption.removeprefix("mysite/"): text for caption, text in blocks("quickstart.rst") if caption}
    assert set(files) == {"settings.py", "celery.py", "__init__.py"}
    usage = "\n".join(text for caption, text in blocks("quickstart.rst") if not caption)
    run_site(tmp_path, redis_server.url, files, usage)
    assert names(raw) == {b"celery", b"dripcache:c.searches:red%20shoes", b"dripcache:x.searches:"}


def names(raw) -> set[bytes]:
    """Return what is in Redis, but for the figures that a process leaves at its end."""
    return {name for name in raw.scan_iter() if not name.startswith(b"dripcache:s.stats:")}


PAGES_THAT_RUN = [
    "apis",
    "auth",
    "batching",
    "bulk",
    "drf",
    "figures",
    "flags",
    "grace",
    "locks",
    "manager",
    "memoize",
    "metrics",
    "near-cache",
    "outages",
    "rate-limits",
    "sessions",
    "signals",
    "stampedes",
    "tags",
    "tasks",
    "templates",
    "testing",
    "typed-values",
    "users",
    "views",
]


@pytest.mark.parametrize("page", PAGES_THAT_RUN)
def test_the_examples_of_a_page_run(redis_server, raw, tmp_path, page):
    settings = (
        f"CELERY_BROKER_URL = {redis_server.url!r}\n"
        "CACHES = {alias: {'BACKEND': 'django_dripcache.backend.DripCache'} for alias in ('default', 'reports')}\n"
    )
    files = {caption.removeprefix("mysite/"): text for caption, text in blocks(f"{page}.rst") if caption}
    usage = "\n".join(text for caption, text in blocks(f"{page}.rst") if not caption)
    run_site(tmp_path, redis_server.url, {"settings.py": settings, **files}, usage)


def test_the_example_of_encryption_runs_and_stores_in_clear_what_it_says(redis_server, raw, tmp_path):
    (_, settings), (_, usage) = blocks("encryption.rst")
    settings = settings.replace('os.environ["CACHE_KEY"]', repr("k" * 43))
    run_site(tmp_path, redis_server.url, {"settings.py": settings}, usage)
    values = {name: raw.get(name) for name in raw.scan_iter() if b".tags:" not in name}
    assert {name for name, value in values.items() if b"\xec\x01" not in value} == {b"dripcache:c:menu"}
    assert len(values) == 5


def test_the_pages_keep_to_their_width():
    assert [name for name, text in PAGES.items() for line in text.splitlines() if len(line) > 120] == []
