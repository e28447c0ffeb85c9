"""The system checks, against servers that are set up so."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from celery import Celery
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core import checks as django_checks
from django.core.cache import caches
from django.core.management import call_command
from django.test import override_settings

from django_dripcache import CacheManager, checks
from django_dripcache import broker as broker_module
from django_dripcache.checks import HINTS, check_limits, check_server, check_sessions, check_settings
from django_dripcache.connections import close_all

from .conftest import use_server

ROOT = Path(__file__).parents[1]
OURS = {"BACKEND": "django_dripcache.backend.DripCache"}
LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
GOOD = {"maxmemory": "20mb", "maxmemory_policy": "volatile-lru"}
NOBODY = "redis://127.0.0.1:1/0"

app = Celery("a site", broker=NOBODY, set_as_current=False)
no_app = "not a Celery app"


def plain():
    return check_settings(app_configs=None)


def deployed():
    return check_server(app_configs=None)


def ids(messages):
    return sorted(message.id.removeprefix("dripcache.") for message in messages)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Without what the machine at hand, or the app of another test, may say about a broker."""
    for name in ("REDIS_URL", "CELERY_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    nobody = Celery("nobody's", set_as_current=False)
    monkeypatch.setattr(broker_module, "current_app", SimpleNamespace(_get_current_object=lambda: nobody))
    broker_module.forget_app()
    yield
    broker_module.forget_app()
    close_all()


@pytest.fixture
def celery_app():
    """The site's Celery app, whose settings a test may change."""
    app.conf.update(task_default_queue="celery", broker_url=NOBODY, broker_transport_options={}, broker_use_ssl=None)
    yield app
    app.conf.update(task_default_queue="celery", broker_url=NOBODY, broker_transport_options={}, broker_use_ssl=None)
    app.amqp.queues.clear()


# The list


def test_every_id_has_a_hint_that_is_a_sentence():
    for check, hint in HINTS.items():
        assert re.fullmatch(r"dripcache\.[EW]\d{3}", check)
        assert hint.endswith(".")
        assert len(hint) > 20


def test_every_id_in_the_source_has_a_hint_and_the_other_way_round():
    package = Path(checks.__file__).parent
    text = "".join(path.read_text() for path in package.rglob("*.py"))
    assert set(re.findall(r"dripcache\.[EW]\d{3}", text)) == set(HINTS)


def test_every_id_is_tested_here():
    text = Path(__file__).read_text()
    assert [check for check in HINTS if f'"{check.removeprefix("dripcache.")}"' not in text] == []


def test_django_runs_our_checks_and_the_ones_that_connect_only_when_deploying():
    registry = django_checks.registry.registry
    assert check_settings in registry.get_checks()
    assert check_server not in registry.get_checks()
    assert check_server in registry.get_checks(include_deployment_checks=True)


def every_message(start_server):
    """Yield the messages of a site where about everything is wrong."""
    with use_server(start_server(maxmemory="20mb", maxmemory_policy="allkeys-lru").url):
        yield from deployed()
    with use_server("redis://user:s3cret@203.0.113.1:1/0"):
        yield from deployed()
    with use_server("amqp://user:s3cret@localhost//"):
        yield from plain()
    with use_server(NOBODY, NAMESPCE="s3cret"):
        yield from plain()


def test_every_message_has_an_id_a_hint_and_no_password(start_server):
    found = list(every_message(start_server))
    assert ids(found) == ["E002", "E003", "W010", "W011", "W015"]
    for message in found:
        assert message.hint == HINTS[message.id]
        assert "s3cret" not in message.msg
        level = django_checks.ERROR if ".E" in message.id else django_checks.WARNING
        assert message.level == level


# What is known without a connection


def test_a_site_that_is_set_up_well_has_nothing_to_hear():
    with use_server(NOBODY):
        assert plain() == []


def test_e001_no_broker():
    with override_settings(CELERY_BROKER_URL=None, CACHES={"default": OURS}):
        assert ids(plain()) == ["E001"]


def test_e001_not_where_the_environment_names_one(monkeypatch):
    monkeypatch.setenv("REDIS_URL", NOBODY)
    with override_settings(CELERY_BROKER_URL=None, CACHES={"default": OURS}):
        assert plain() == []


def test_e001_not_where_the_cache_names_one():
    with override_settings(CELERY_BROKER_URL=None, CACHES={"default": {**OURS, "LOCATION": NOBODY}}):
        assert plain() == []


@pytest.mark.parametrize("url", ["amqp://guest@localhost//", "sqs://", "memory://", "filesystem://"])
def test_e002_a_broker_that_is_not_redis(url):
    with use_server(url):
        (message,) = plain()
    assert ids([message]) == ["E002"]
    assert url.split(":")[0] in message.msg


def test_e002_not_where_the_cache_has_a_redis_of_its_own():
    with override_settings(CELERY_BROKER_URL="amqp://", CACHES={"default": {**OURS, "LOCATION": NOBODY}}):
        assert plain() == []


@pytest.mark.parametrize(
    "dripcache",
    [
        {"NAMESPCE": "shop"},
        {"COMPRESS_ABOVE": True},
        {"ON_OUTAGE": "ignore"},
        {"NAMESPACE": "celery"},
        {"NAMESPACE": "a b"},
        {"CELERY_APP": "no.such.module:app"},
        {"CELERY_APP": "tests.test_checks:no_app"},
        {"CELERY_APP": "tests.test_checks:none"},
        {"FOREVER_TTL": 0},
        {"MAX_INFLATED_BYTES": 0},
        None,
        ["NAMESPACE"],
    ],
    ids=str,
)
def test_e003_a_wrong_setting(dripcache):
    with override_settings(CELERY_BROKER_URL=NOBODY, CACHES={"default": OURS}, DRIPCACHE=dripcache):
        assert ids(plain()) == ["E003"]


@pytest.mark.parametrize(
    "alias",
    [
        {"OPTIONS": {"SOCKT_TIMEOUT": 1}},
        {"OPTIONS": {"SOCKET_TIMEOUT": "1"}},
        {"OPTIONS": {"SOCKET_TIMEOUT": 0}},
        {"OPTIONS": {"MAX_CONNECTIONS": 0}},
        {"OPTIONS": {"MAX_CONNECTIONS": True}},
        {"OPTIONS": {"MAX_CONNECTIONS": None}},
        {"OPTIONS": {"ON_OUTAGE": "ignore"}},
        {"OPTIONS": {"ON_OUTAGE": ["raise"]}},
        {"OPTIONS": {"POOL_WAIT": -1}},
        {"OPTIONS": {"POOL_WAIT": float("nan")}},
        {"OPTIONS": {"SERIALIZER": "json"}},
        {"LOCATION": ["redis://127.0.0.1:1/0"]},
        {"LOCATION": None},
        {"LOCATION": 6379},
        {"LOCATION": "127.0.0.1:6379"},
        {"LOCATION": "http://127.0.0.1:6379"},
        {"LOCATION": "redis://127.0.0.1:1/zero"},
        {"LOCATION": "redis://127.0.0.1:port/0"},
        {"LOCATION": "redis://127.0.0.1:1/0?no_such_option=1"},
        {"LOCATION": "redis://127.0.0.1:1/0?socket_timeout=soon"},
        {"LOCATION": ";"},
        {"LOCATION": "sentinel://127.0.0.1:1"},
    ],
    ids=str,
)
def test_e003_a_wrong_alias(alias):
    with override_settings(CELERY_BROKER_URL=NOBODY, CACHES={"default": {**OURS, **alias}}):
        assert ids(plain()) == ["E003"]
        assert deployed() == []


def test_e003_what_is_wrong_with_any_alias():
    wrong = {**OURS, "OPTIONS": {"SOCKT_TIMEOUT": 1}}
    with override_settings(CELERY_BROKER_URL=NOBODY, CACHES={"default": OURS, "locmem": LOCMEM, "last": wrong}):
        assert ids(plain()) == ["E003"]


@pytest.mark.parametrize("queue", ["dripcache:tasks", "dripcache:", "dripcache:d:x"])
def test_e004_a_queue_within_the_namespace(celery_app, queue):
    celery_app.conf.task_default_queue = queue
    with use_server(NOBODY, CELERY_APP="tests.test_checks:app"):
        assert "E004" in ids(plain())


def test_e004_a_queue_within_the_namespace_behind_the_prefix_that_celery_uses(celery_app):
    celery_app.conf.update(task_default_queue="dripcache:x", broker_transport_options={"global_keyprefix": "team:"})
    with use_server(NOBODY, CELERY_APP="tests.test_checks:app"):
        assert "E004" in ids(plain())


@pytest.mark.parametrize("queue", ["celery", "dripcache", "dripcachex", "Dripcache:tasks", "my:dripcache:"])
def test_e004_not_for_a_queue_outside(celery_app, queue):
    celery_app.conf.task_default_queue = queue
    with use_server(NOBODY, CELERY_APP="tests.test_checks:app"):
        assert plain() == []


def test_e005_an_alias_that_encrypts_without_a_key():
    aliases = {"default": {**OURS, "LOCATION": NOBODY, "OPTIONS": {"ENCRYPT": True}}}
    with override_settings(CACHES=aliases, DRIPCACHE={}):
        assert ids(plain()) == ["E005"]
    with override_settings(CACHES=aliases, DRIPCACHE={"ENCRYPTION_KEYS": ["k" * 32]}):
        assert plain() == []


# Rate limits

OUR_MIDDLEWARE = "django_dripcache.middleware.RateLimitMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
RULE = {"name": "one", "rate": "5/m", "key": "ip"}


class Derived(AuthenticationMiddleware):
    pass


def limited(*rules, middleware=(SESSIONS, AUTH, OUR_MIDDLEWARE), cache=OURS, **settings):
    with override_settings(
        CELERY_BROKER_URL=NOBODY,
        CACHES={"default": cache, "shared": OURS},
        DRIPCACHE={"RATE_LIMITS": rules},
        MIDDLEWARE=middleware,
        **settings,
    ):
        return check_limits(app_configs=None)


def test_limits_that_are_set_up_well_have_nothing_to_hear():
    rules = [RULE, {**RULE, "name": "two", "key": "user"}, {**RULE, "name": "three", "view": "admin:index"}]
    assert limited(*rules) == []
    assert check_limits in django_checks.registry.registry.get_checks()


@pytest.mark.parametrize(
    "wrong", [{"rate": "often"}, {"key": "usr"}, {"path": "//"}, {"methd": []}, {"key": "no.such.function"}], ids=str
)
def test_e003_a_wrong_rule(wrong):
    with use_server(NOBODY, RATE_LIMITS=[{**RULE, **wrong}]):
        assert ids(plain()) == ["E003"]
        assert check_limits(app_configs=None) == []


def test_e003_a_wrong_number_of_proxies_or_header():
    for wrong in ({"TRUSTED_PROXIES": -1}, {"TRUSTED_PROXY_HEADER": "X Real"}, {"TRUSTED_PROXY_HEADER": ""}):
        with use_server(NOBODY, **wrong):
            assert ids(plain()) == ["E003"]


def test_e006_a_view_that_has_no_url():
    (message,) = limited({**RULE, "view": "admin:index"}, {**RULE, "name": "two", "view": "admin:indx"})
    assert ids([message]) == ["E006"]
    assert "'two'" in message.msg
    assert "'admin:indx'" in message.msg
    assert limited({**RULE, "view": "django.contrib.admin.sites.AdminSite.index"}) == []


@pytest.mark.parametrize("urls", [None, "no.such.module", "tests.test_checks"])
def test_e006_not_where_django_cannot_read_the_urls(urls):
    assert limited({**RULE, "view": "nothing"}, ROOT_URLCONF=urls) == []


@pytest.mark.parametrize("asks", [{"key": "user"}, {"key": "user_or_ip"}, {"exempt": ["staff"]}], ids=str)
def test_e007_a_limit_that_asks_for_the_user_too_early(asks):
    for authentication in (AUTH, f"{__name__}.Derived"):
        early = (OUR_MIDDLEWARE, SESSIONS, authentication)
        assert ids(limited({**RULE, **asks}, middleware=early)) == ["E007"]
    assert limited(RULE, middleware=early) == []
    assert limited({**RULE, **asks, "view": "admin:index"}, middleware=early) == []


def test_e007_not_where_the_site_has_users_of_its_own():
    assert limited({**RULE, "key": "user"}, middleware=(OUR_MIDDLEWARE, "no.such.Middleware")) == []


def test_e008_limits_in_another_cache():
    assert ids(limited(RULE, cache=LOCMEM)) == ["E008"]
    assert limited(cache=LOCMEM) == []


def test_w004_limits_that_nobody_asks():
    assert ids(limited(RULE, middleware=(SESSIONS, AUTH))) == ["W004"]
    assert limited(middleware=(SESSIONS, AUTH)) == []


SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
OUTAGE = "django_dripcache.contrib.sessions.SessionOutageMiddleware"


@pytest.mark.parametrize(
    ("middleware", "found"),
    [((SESSION,), ["W005"]), ((SESSION, OUTAGE), ["W005"]), ((OUTAGE, SESSION), []), ((), [])],
    ids=["without", "after", "before", "no sessions"],
)
def test_w005_sessions_that_an_outage_takes_down(middleware, found):
    with override_settings(MIDDLEWARE=middleware, SESSION_ENGINE="django_dripcache.contrib.sessions"):
        assert ids(check_sessions(app_configs=None)) == found
    with override_settings(MIDDLEWARE=middleware, SESSION_ENGINE="django_dripcache.contrib.sessions_db"):
        assert check_sessions(app_configs=None) == []


# What is set up


def test_w001_no_alias_is_ours():
    with override_settings(CELERY_BROKER_URL=NOBODY, CACHES={"default": LOCMEM}):
        assert ids(plain()) == ["W001"]
        assert deployed() == []


def test_w001_not_where_another_alias_is_ours():
    with override_settings(CELERY_BROKER_URL=NOBODY, CACHES={"default": LOCMEM, "shared": OURS}):
        assert plain() == []


def test_w002_celery_was_connected_too_early(monkeypatch):
    monkeypatch.setattr(checks, "resolved_too_early", lambda: True)
    with use_server(NOBODY):
        assert ids(plain()) == ["W002"]


def test_w003_two_aliases_of_one_server_with_other_options():
    patient = {**OURS, "OPTIONS": {"SOCKET_TIMEOUT": 2}}
    with override_settings(CELERY_BROKER_URL=NOBODY, CACHES={"default": OURS, "patient": patient}):
        assert ids(plain()) == ["W003"]


def test_w003_not_for_two_aliases_that_agree_or_two_servers():
    patient = {**OURS, "OPTIONS": {"SOCKET_TIMEOUT": 2}}
    elsewhere = {**patient, "LOCATION": "redis://127.0.0.1:2/0"}
    raising = {**OURS, "OPTIONS": {"ON_OUTAGE": "raise"}}
    with override_settings(CELERY_BROKER_URL=NOBODY, CACHES={"default": patient, "second": patient}):
        assert plain() == []
    with override_settings(
        CELERY_BROKER_URL=NOBODY, CACHES={"default": OURS, "elsewhere": elsewhere, "raising": raising}
    ):
        assert plain() == []


def test_another_alias_with_a_backend_that_does_not_exist_is_for_django_to_report():
    missing = {"BACKEND": "no.such.module.Backend"}
    with override_settings(CELERY_BROKER_URL=NOBODY, CACHES={"default": OURS, "missing": missing}):
        assert plain() == []
        assert ids(deployed()) == ["W010"]


@pytest.mark.far("it opens a connection")
def test_plain_checks_never_connect():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with use_server(f"redis://127.0.0.1:{listener.getsockname()[1]}/0"):
            assert plain() == []
            with pytest.raises(BlockingIOError):
                listener.accept()
            # And this is what the others do, or the test would show nothing.
            deployed()
            listener.accept()[0].close()


# What is seen on the server


def test_a_server_that_is_set_up_well_has_nothing_to_hear(start_server):
    for policy in ("volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random"):
        with use_server(start_server(maxmemory="20mb", maxmemory_policy=policy).url):
            assert deployed() == []


def test_a_server_in_use_has_nothing_to_hear(broker, raw):
    raw.rpush("celery", *range(50))
    raw.sadd("_kombu.binding.celery", "celery")
    raw.set("of another app", 1)
    backend = caches["default"]
    backend.set("forever", 1, timeout=None)
    backend.set_many({"a": 1, "b": 2}, timeout=None)
    backend.add("c", 1, timeout=None)
    backend.get_or_set("d", 1, timeout=None)
    backend.sadd("set", 1)
    backend.hset("hash", "field", 1)
    backend.zadd("sorted", {"member": 1})
    backend.incr("a")
    backend.persist("b")
    backend.incr_version("a")
    backend.lock("lock").acquire()
    manager = CacheManager(namespace="bounded", max_keys=2)
    manager.set("a", 1)
    manager.incr("n")
    assert deployed() == []
    assert plain() == []


def test_w010_a_server_that_is_down(start_server):
    server = start_server(**GOOD)
    with use_server(server.url):
        assert deployed() == []
        server.stop()
        (message,) = deployed()
    assert ids([message]) == ["W010"]


def test_w010_a_server_that_hangs(start_server):
    server = start_server(**GOOD)
    with use_server(server.url):
        server.pause()
        assert ids(deployed()) == ["W010"]
        server.resume()


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_w011_a_policy_that_evicts_queues(start_server, policy):
    with use_server(start_server(maxmemory="20mb", maxmemory_policy=policy).url):
        (message,) = deployed()
    assert ids([message]) == ["W011"]
    assert policy in message.msg


def test_w011_not_for_a_server_of_the_caches_own(start_server, celery_app):
    own = {**OURS, "LOCATION": start_server(maxmemory="20mb", maxmemory_policy="allkeys-lru").url}
    with override_settings(CELERY_BROKER_URL=NOBODY, CACHES={"default": own}):
        assert deployed() == []
    with override_settings(CACHES={"default": own}, DRIPCACHE={"CELERY_APP": "tests.test_checks:app"}):
        assert deployed() == []
    with override_settings(CELERY_BROKER_URL="amqp://", CACHES={"default": own}):
        assert deployed() == []


def test_w011_also_for_another_database_of_the_brokers_server(start_server, celery_app):
    # Eviction is by server: another database is no other memory.
    url = start_server(maxmemory="20mb", maxmemory_policy="allkeys-lru").url
    celery_app.conf.broker_url = url
    own = {"default": {**OURS, "LOCATION": url[:-1] + "5"}}
    with override_settings(CACHES=own, DRIPCACHE={"CELERY_APP": "tests.test_checks:app"}):
        assert ids(deployed()) == ["W011"]
    with override_settings(CELERY_BROKER_URL=url, CACHES=own):
        assert ids(deployed()) == ["W011"]


def test_w012_no_memory_limit(start_server):
    with use_server(start_server(maxmemory_policy="volatile-lru").url):
        assert ids(deployed()) == ["W012"]


def test_w012_also_where_nothing_is_evicted(start_server):
    with use_server(start_server(maxmemory="0", maxmemory_policy="noeviction").url):
        assert ids(deployed()) == ["W012"]


def info(version):
    """Return a flow in the place of facts(), of a server of another version."""

    def flow():
        return {"redis_version": version, "maxmemory": "20000000", "maxmemory_policy": "volatile-lru"}
        yield

    return flow


@pytest.mark.parametrize("version", ["2.8.24", "4.0.14", "5.0.14", "6.0.20", "6.1.240"])
def test_w013_an_old_server(broker, monkeypatch, version):
    monkeypatch.setattr(checks, "facts", info(version))
    (message,) = deployed()
    assert ids([message]) == ["W013"]
    assert version in message.msg


@pytest.mark.parametrize(
    "version", ["6.2.0", "6.2.6", "6.10.0", "7.0.15", "8.2.1", "10.0.0", "255.255.255", "7", "7.2-rc1"]
)
def test_w013_not_for_a_newer_one(broker, monkeypatch, version):
    monkeypatch.setattr(checks, "facts", info(version))
    assert deployed() == []


@pytest.mark.parametrize("key", ["dripcache:d::1:a", "dripcache:c:a", "dripcache:c.shop:a", "dripcache:x:"])
def test_w014_a_key_of_ours_that_never_expires(broker, raw, key):
    raw.rpush("celery", 1)
    assert deployed() == []
    raw.set(key, 1)
    (message,) = deployed()
    assert ids([message]) == ["W014"]
    assert "1" in message.msg


def test_w014_not_where_the_site_wants_it_so(broker, raw):
    raw.set("dripcache:d::1:a", 1)
    with use_server(broker.url, FOREVER_TTL=None):
        assert deployed() == []


@pytest.mark.parametrize("url", ["redis://203.0.113.1:1/0", "redis://[2001:db8::1]:1/0"])
def test_w015_a_plaintext_connection_that_leaves_the_host(url):
    with use_server(url):
        assert ids(deployed()) == ["W010", "W015"]


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1/0",
        "redis://127.1.2.3:1/0",
        "redis://localhost:1/0",
        "redis://LOCALHOST:1/0",
        "redis://[::1]:1/0",
        "unix:///tmp/no-such-socket",
    ],
)
def test_w015_not_for_what_stays_on_the_host(url):
    with override_settings(CACHES={"default": {**OURS, "LOCATION": url}}):
        assert ids(deployed()) == ["W010"]


def test_w015_for_a_failover_address_that_leaves_the_host():
    with override_settings(CACHES={"default": {**OURS, "LOCATION": f"{NOBODY};redis://203.0.113.1:1/0"}}):
        assert ids(deployed()) == ["W010", "W015"]


def test_w015_not_for_an_encrypted_connection():
    with override_settings(CACHES={"default": {**OURS, "LOCATION": "rediss://203.0.113.1:1/0"}}):
        assert ids(deployed()) == ["W010"]


@pytest.mark.parametrize("asked", ["none", "CERT_NONE"])
def test_w016_a_certificate_that_is_not_verified(asked):
    url = f"rediss://127.0.0.1:1/0?ssl_cert_reqs={asked}"
    with override_settings(CACHES={"default": {**OURS, "LOCATION": url}}):
        assert ids(deployed()) == ["W010", "W016"]


@pytest.mark.parametrize("asked", [ssl.CERT_NONE, "none", "CERT_NONE"])
def test_w016_a_certificate_that_celery_does_not_verify(celery_app, asked):
    celery_app.conf.update(broker_url="rediss://127.0.0.1:1/0", broker_use_ssl={"ssl_cert_reqs": asked})
    with use_server(NOBODY, CELERY_APP="tests.test_checks:app"):
        assert ids(deployed()) == ["W010", "W016"]


@pytest.mark.parametrize("url", ["rediss://127.0.0.1:1/0", "rediss://127.0.0.1:1/0?ssl_cert_reqs=required"])
def test_w016_not_for_one_that_is(url):
    with override_settings(CACHES={"default": {**OURS, "LOCATION": url}}):
        assert ids(deployed()) == ["W010"]


def test_w017_a_server_that_refuses_tasks_when_it_is_full(start_server):
    with use_server(start_server(maxmemory="20mb", maxmemory_policy="noeviction").url):
        assert ids(deployed()) == ["W017"]


def test_w018_a_user_who_may_not_ask(start_server):
    server = start_server(maxmemory="20mb", maxmemory_policy="allkeys-lru")
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "site", "on", ">secret", "~*", "+@all", "-info")
    with use_server(server.url.replace("redis://", "redis://site:secret@")):
        (message,) = deployed()
    assert ids([message]) == ["W018"]
    assert "secret" not in message.msg


def test_a_user_who_may_not_even_scan_is_told(start_server):
    server = start_server(**GOOD)
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "site", "on", ">secret", "~*", "+@all", "-scan")
    with use_server(server.url.replace("redis://", "redis://site:secret@")):
        (message,) = deployed()
    assert ids([message]) == ["W010"]
    assert "secret" not in message.msg


def test_two_aliases_of_one_server_are_told_once(start_server):
    with override_settings(
        CELERY_BROKER_URL=start_server(maxmemory_policy="volatile-lru").url, CACHES={"default": OURS, "second": OURS}
    ):
        assert ids(deployed()) == ["W012"]


def test_each_server_is_told_of(start_server):
    one, other = start_server(maxmemory_policy="volatile-lru").url, start_server(maxmemory="20mb").url
    with override_settings(CELERY_BROKER_URL=one, CACHES={"default": OURS, "second": {**OURS, "LOCATION": other}}):
        assert ids(deployed()) == ["W012", "W017"]


# manage.py check


def test_manage_check_passes_while_redis_is_down():
    with use_server(NOBODY):
        call_command("check", stdout=StringIO(), stderr=StringIO())
        found = django_checks.run_checks(tags=["caches"], include_deployment_checks=True)
    assert ids(found) == ["W010"]


@pytest.mark.parametrize(("deploy", "said"), [((), "no issues"), (("--deploy", "--tag", "caches"), "W010")])
def test_a_new_process_boots_and_passes_its_checks_while_redis_is_down(deploy, said):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "check", *deploy],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DRIPCACHE_TEST_URL": NOBODY},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr
