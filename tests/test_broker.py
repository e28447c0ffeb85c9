"""Where the site's Redis is, in every form that Celery and redis-py have for it."""

from __future__ import annotations

import logging
import ssl
import threading
import traceback
from urllib.parse import quote

import pytest
from celery import Celery, _state
from django.core.cache import cache, caches
from django.core.management import call_command
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection
from redis.credentials import UsernamePasswordCredentialProvider

from django_dripcache.address import Address
from django_dripcache.broker import (
    celery_app,
    discover,
    forget_app,
    from_kombu,
    from_url,
    namespace_root,
)
from django_dripcache.checks import check_settings
from django_dripcache.connections import Server, close_all, find_server, locate
from django_dripcache.exceptions import ConfigurationError
from django_dripcache.pools import PoolOptions
from django_dripcache.transport import SentinelTransport, Transport

from . import processes
from .processes import make_app

SECRET = "hunter2-Zq"
NO_BROKER = {"CELERY_BROKER_URL": None, "DRIPCACHE": {}}

text = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=24)


@pytest.fixture(autouse=True)
def no_celery_app(monkeypatch):
    """Begin each test without a current app, a default app or one that was remembered."""
    monkeypatch.setattr(_state._tls, "current_app", None)
    monkeypatch.setattr(_state, "default_app", None)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    forget_app()
    close_all()
    yield
    forget_app()
    close_all()


def celery_broker(url, **conf):
    """Return the broker of a Celery app with these settings, as discovery reads it."""
    return from_kombu(make_app(url, **conf).connection_for_write(), "the test")


class provided(UsernamePasswordCredentialProvider):  # noqa: N801 - stands for an instance in a setting
    """A credential provider that can be named in a URL."""

    def __init__(self):
        super().__init__("app", "changing")


# Forms


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", Address()),
        ("redis://h", Address("h")),
        ("redis://h/", Address("h")),
        ("redis://h:7000", Address("h", 7000)),
        ("redis://h:7000/3", Address("h", 7000, 3)),
        ("redis://h//3", Address("h", db=3)),
        ("redis://[::1]:7000/15", Address("::1", 7000, 15)),
        ("redis://:pw@h/1", Address("h", db=1, password="pw")),
        ("redis://app:pw@h/1", Address("h", db=1, username="app", password="pw")),
        ("redis+socket:///run/redis.sock", Address(path="/run/redis.sock")),
        ("redis+socket:///run/redis.sock?virtual_host=4", Address(path="/run/redis.sock", db=4)),
        ("redis+socket:///run/redis.sock?virtual_host=/4", Address(path="/run/redis.sock", db=4)),
        (
            "redis+socket://app:p%40@/run/redis.sock?virtual_host=4",
            Address(path="/run/redis.sock", db=4, username="app", password="p@"),
        ),
    ],
)
def test_a_url_means_the_same_as_celerys_broker_and_as_location(url, address):
    assert celery_broker(url).addresses == (address,)
    assert from_url(url, "LOCATION").addresses == (address,)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h:7000/3?db=4", Address("h", 7000, 4)),
        ("unix:///run/redis.sock", Address(path="/run/redis.sock")),
        ("unix:///run/redis.sock?db=4", Address(path="/run/redis.sock", db=4)),
        (
            "unix://app:p%2F%40@/run/redis.sock?db=4",
            Address(path="/run/redis.sock", db=4, username="app", password="p/@"),
        ),
        ("unix://:pw@/run/redis.sock", Address(path="/run/redis.sock", password="pw")),
    ],
)
def test_location_also_takes_the_forms_of_redis_py(url, address):
    assert from_url(url, "LOCATION").addresses == (address,)


@pytest.mark.parametrize("db", ["x", "-1", "1.5", "0x1", "1/2"])
def test_a_database_that_is_not_a_number_is_refused_with_what_is_allowed(db):
    with pytest.raises(ConfigurationError, match="Allowed is a number from 0 up"):
        celery_broker(f"redis://h:7000/{db}")


@given(st.integers(min_value=0, max_value=2**31))
def test_any_database_number_is_kept(db):
    assert celery_broker(f"redis://h/{db}").addresses[0].db == db
    assert from_url(f"unix:///s?db={db}", "LOCATION").addresses[0].db == db


@pytest.mark.parametrize(
    "form",
    [
        "redis://{}:{}@h:1/2",
        "rediss://{}:{}@h:1/2",
        "redis+socket://{}:{}@/run/s?virtual_host=2",
        "redis://a;redis://{}:{}@h",
    ],
)
@given(user=text, password=text)
def test_users_and_passwords_of_any_characters_arrive_percent_encoded(form, user, password):
    url = form.format(quote(user, safe=""), quote(password, safe=""))
    for broker in (celery_broker(url), from_url(url, "LOCATION")):
        assert (broker.addresses[-1].username, broker.addresses[-1].password) == (user, password)


@given(user=text, password=text)
def test_sentinel_urls_carry_users_and_passwords_of_any_characters(user, password):
    place = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    broker = from_url(f"sentinel://{place}a:1/2;sentinel://{place}b/2?master_name=m", "LOCATION")
    assert broker.addresses == (Address("a", 1, 2, user, password), Address("b", 26379, 2, user, password))


@pytest.mark.parametrize("character", [chr(code) for code in range(0x20, 0x7F)])
def test_each_special_character_in_a_password_survives(character):
    password = f"a{character}b{character}"
    url = f"redis://:{quote(password, safe='')}@h:1/2"
    assert celery_broker(url).addresses[0].password == password
    assert from_url(url, "LOCATION").addresses[0].password == password


def test_lists_of_failover_addresses_are_kept_in_their_order():
    expected = (Address("a"), Address("b", 7001, 1), Address("c", username="u", password="p"))
    assert celery_broker("redis://a;redis://b:7001/1;redis://u:p@c").addresses == expected
    assert celery_broker(["redis://a", "redis://b:7001/1", "redis://u:p@c"]).addresses == expected
    assert from_url("redis://a;redis://b:7001/1;redis://u:p@c", "LOCATION").addresses == expected


def test_sentinels_come_with_their_master_and_their_own_password():
    options = {"master_name": "shop", "sentinel_kwargs": {"password": SECRET}, "min_other_sentinels": 2}
    broker = celery_broker("sentinel://:pw@a:1/3;sentinel://:pw@b/3", broker_transport_options=options)
    assert broker.master_name == "shop"
    assert [(address.host, address.port, address.db) for address in broker.addresses] == [("a", 1, 3), ("b", 26379, 3)]
    assert broker.options["sentinel_kwargs"] == {"password": SECRET}
    assert broker.options["min_other_sentinels"] == 2
    assert str(broker) == "sentinel://:***@a:1/3;sentinel://:***@b:26379/3 (master shop)"


def test_sentinels_without_a_master_are_refused_and_told_where_to_name_it():
    with pytest.raises(ConfigurationError, match="'master_name' into broker_transport_options"):
        celery_broker("sentinel://a:1;sentinel://b:2")


@pytest.mark.parametrize("name", ["master_name", "sentinel_kwargs"])
def test_options_of_sentinels_mean_nothing_to_a_plain_broker(name):
    broker = celery_broker("redis://h", broker_transport_options={name: {"x": 1}})
    assert broker.master_name is None


def test_the_old_settings_of_host_port_user_and_password_are_read_as_celery_reads_them():
    broker = celery_broker("redis://h/0", broker_port=7001, broker_user="app", broker_password="pw")
    assert broker.addresses == (Address("h", 7001, 0, "app", "pw"),)


def test_a_credential_provider_takes_the_place_of_user_and_password():
    provider = UsernamePasswordCredentialProvider("app", "pw")
    broker = from_kombu(Connection("redis://h/0", credential_provider=provider), "the test")
    assert broker.credential_provider is provider
    assert Server(broker, PoolOptions()).pool.connection_kwargs["credential_provider"] is provider


def test_a_credential_provider_named_in_the_url_is_imported_as_kombu_does_it():
    broker = from_kombu(Connection("redis://h/0?credential_provider=tests.test_broker.provided"), "the test")
    connection = Server(broker, PoolOptions()).pool.make_connection()
    assert connection.credential_provider.get_credentials() == ("app", "changing")


# Encryption


def test_a_dict_in_broker_use_ssl_encrypts():
    asked = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/ca.pem", "ssl_certfile": "/c.pem"}
    for url in ("rediss://h:1/2", "redis://h:1/2"):  # with a dict, kombu encrypts both
        broker = celery_broker(url, broker_use_ssl=asked)
        assert broker.ssl == asked
        assert str(broker) == "rediss://h:1/2"


def test_true_in_broker_use_ssl_is_refused_because_celery_connects_in_plaintext_with_it():
    for url in ("rediss://h:1/2", "redis://h:1/2", "rediss://h:1;rediss://g:1"):
        with pytest.raises(ConfigurationError, match=r"plaintext.*ssl_cert_reqs"):
            celery_broker(url, broker_use_ssl=True)


def test_true_in_broker_use_ssl_is_accepted_where_the_url_has_the_parameters():
    broker = celery_broker("rediss://h:1/2?ssl_cert_reqs=required&ssl_ca_certs=/ca.pem", broker_use_ssl=True)
    assert broker.ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/ca.pem"}


def test_rediss_alone_in_celerys_setting_is_encrypted_as_kombu_has_it_unverified():
    assert celery_broker("rediss://h:1/2").ssl == {"ssl_cert_reqs": ssl.CERT_NONE}


def test_rediss_alone_in_location_is_verified():
    assert from_url("rediss://h:1/2", "LOCATION").ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("required", ssl.CERT_REQUIRED),
        ("CERT_REQUIRED", ssl.CERT_REQUIRED),
        ("optional", ssl.CERT_OPTIONAL),
        ("none", ssl.CERT_NONE),
        ("CERT_NONE", ssl.CERT_NONE),
    ],
)
def test_every_spelling_of_the_certificate_requirement_is_understood(written, meant):
    assert celery_broker(f"rediss://h?ssl_cert_reqs={written}").ssl["ssl_cert_reqs"] == meant
    assert from_url(f"rediss://h?ssl_cert_reqs={written}", "LOCATION").ssl["ssl_cert_reqs"] == meant


def test_tls_parameters_in_location_reach_the_connection():
    url = "rediss://h?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&ssl_check_hostname=false"
    broker = from_url(url, "LOCATION")
    connection = Server(broker, PoolOptions()).pool.make_connection()
    assert connection.ca_certs == "/ca.pem"
    assert connection.certfile == "/c.pem"
    assert connection.keyfile == "/k.pem"
    assert connection.check_hostname is False


@pytest.mark.parametrize(
    "url",
    ["redis://a/0;rediss://:pw@b/0", "rediss://a/0;redis://:pw@b/0", "redis://a/0;redis+socket:///run/s;rediss://b/0"],
)
def test_a_failover_list_of_plaintext_and_encrypted_addresses_is_refused(url):
    with pytest.raises(ConfigurationError):
        from_url(url, "LOCATION")
    with pytest.raises(ConfigurationError):
        celery_broker(url)


def test_the_second_address_of_a_failover_list_is_not_taken_for_redis_when_it_is_not():
    with pytest.raises(ConfigurationError, match="amqp"):
        celery_broker("redis://a/0;amqp://user:pw@b//")


# Options


def test_every_transport_option_that_means_something_is_kept():
    given_options = {
        "client_name": "shop",
        "global_keyprefix": "shop:",
        "health_check_interval": 7,
        "max_connections": 9,
        "retry_on_timeout": True,
        "socket_connect_timeout": 3,
        "socket_keepalive": False,
        "socket_keepalive_options": {1: 2},
        "socket_timeout": 4,
    }
    kept = celery_broker("redis://h", broker_transport_options={**given_options, "visibility_timeout": 60}).options
    assert kept == given_options


def test_celerys_transport_options_shape_the_pool():
    options = {
        "client_name": "shop",
        "health_check_interval": 7,
        "max_connections": 9,
        "retry_on_timeout": True,
        "socket_keepalive": False,
        "socket_keepalive_options": {1: 2},
        "socket_timeout": 4,
    }
    shaped = PoolOptions.of(celery_broker("redis://h", broker_transport_options=options), {})
    assert (shaped.label, shaped.max_connections, shaped.health_check_interval) == ("shop", 9, 7)
    assert (shaped.socket_keepalive, shaped.socket_keepalive_options) == (False, {1: 2})
    assert (shaped.publisher_timeout, shaped.publisher_retries) == (4, True)


def test_celerys_timeout_is_the_publishers_and_never_the_caches():
    for timeout in (None, 30, 0.01):
        broker = celery_broker("redis://h", broker_transport_options={"socket_timeout": timeout})
        assert PoolOptions.of(broker, {}).socket_timeout == PoolOptions().socket_timeout


def test_the_options_of_the_alias_come_before_those_of_celery():
    broker = celery_broker("redis://h", broker_transport_options={"max_connections": 9, "socket_timeout": 4})
    alias = {"MAX_CONNECTIONS": 3, "SOCKET_TIMEOUT": 1.5, "SOCKET_CONNECT_TIMEOUT": 0.5, "POOL_WAIT": 2}
    shaped = PoolOptions.of(broker, alias)
    assert (shaped.max_connections, shaped.socket_timeout, shaped.socket_connect_timeout) == (3, 1.5, 0.5)
    assert (shaped.wait, shaped.publisher_timeout) == (2, 4)


def test_options_in_the_query_of_location_are_read_in_their_types():
    url = "redis://h?max_connections=7&socket_timeout=2.5&client_name=shop&retry_on_timeout=yes&socket_keepalive=no"
    assert from_url(url, "LOCATION").options == {
        "max_connections": 7,
        "socket_timeout": 2.5,
        "client_name": "shop",
        "retry_on_timeout": True,
        "socket_keepalive": False,
    }


def test_the_timeouts_in_the_query_of_location_are_the_caches_own():
    shaped = PoolOptions.of(from_url("redis://h?socket_timeout=2.5&socket_connect_timeout=1.5", "LOCATION"), {})
    assert (shaped.socket_timeout, shaped.socket_connect_timeout) == (2.5, 1.5)


def test_an_unknown_option_in_location_is_refused_with_those_that_are_known():
    with pytest.raises(ConfigurationError, match=r"'max_conections'.*max_connections"):
        from_url("redis://h?max_conections=7", "LOCATION")


@pytest.mark.parametrize(
    "option",
    [
        "health_check_interval",
        "max_connections",
        "min_other_sentinels",
        "sentinel_kwargs",
        "socket_connect_timeout",
        "socket_keepalive_options",
        "socket_timeout",
    ],
)
def test_an_option_in_location_that_cannot_be_read_is_refused_by_name(option):
    with pytest.raises(ConfigurationError, match=option):
        from_url(f"redis://h?{option}=many", "LOCATION")


@pytest.mark.parametrize(
    "location", [";", " ", "localhost:6379", "http://h", "redis:/h", "redis", "://h", "redis://h:port/0"]
)
def test_what_is_no_url_of_redis_is_refused_as_a_configuration_error(location):
    with pytest.raises(ConfigurationError):
        discover(location)


# The order of discovery


def test_an_explicit_url_comes_first(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    make_app("redis://current").set_current()
    with override_settings(CELERY_BROKER_URL="redis://setting", DRIPCACHE={}):
        assert discover("redis://explicit").addresses[0].host == "explicit"


def test_then_the_celery_app_that_dripcache_names(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    monkeypatch.setattr(processes, "app", make_app("redis://named", name="named"))
    make_app("redis://current").set_current()
    for path in ("tests.processes:app", "tests.processes.app"):
        with override_settings(CELERY_BROKER_URL="redis://setting", DRIPCACHE={"CELERY_APP": path}):
            for location in ("", "celery"):
                broker = discover(location)
                assert broker.addresses[0].host == "named"
                assert "'named'" in broker.origin


def test_then_the_current_celery_app(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    make_app("redis://current").set_current()
    with override_settings(CELERY_BROKER_URL="redis://setting", DRIPCACHE={}):
        assert discover().addresses[0].host == "current"


def test_then_the_setting_celery_broker_url_with_its_companions(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    with override_settings(
        CELERY_BROKER_URL="rediss://setting",
        CELERY_BROKER_USE_SSL={"ssl_cert_reqs": ssl.CERT_REQUIRED},
        CELERY_BROKER_TRANSPORT_OPTIONS={"max_connections": 3},
        DRIPCACHE={},
    ):
        broker = discover()
    assert broker.addresses[0].host == "setting"
    assert broker.ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert broker.options == {"max_connections": 3}
    assert "CELERY_BROKER_URL" in broker.origin


def test_then_the_redis_url_of_the_environment(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://environment/2")
    with override_settings(**NO_BROKER):
        broker = discover()
    assert broker.addresses == (Address("environment", db=2),)
    assert "REDIS_URL" in broker.origin


def test_celerys_own_environment_variable_counts_as_the_app_does(monkeypatch):
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://environment")
    monkeypatch.setenv("REDIS_URL", "redis://other")
    with override_settings(**NO_BROKER):
        assert discover().addresses[0].host == "environment"


def test_a_current_app_without_a_broker_is_passed_over():
    Celery("empty", set_as_current=False).set_current()
    with override_settings(CELERY_BROKER_URL="redis://setting", DRIPCACHE={}):
        assert discover().addresses[0].host == "setting"


def test_the_address_to_publish_to_is_taken_where_reading_and_writing_differ():
    app = make_app(None, broker_read_url="redis://read", broker_write_url="redis://write")
    app.set_current()
    with override_settings(**NO_BROKER):
        assert discover().addresses[0].host == "write"


def test_without_any_broker_the_error_says_where_it_looked_and_what_to_do():
    with override_settings(**NO_BROKER), pytest.raises(ConfigurationError) as raised:
        discover()
    assert raised.value.check == "dripcache.E001"
    for word in ("Celery app", "CELERY_BROKER_URL", "REDIS_URL", "give Celery a Redis broker", "'LOCATION'"):
        assert word in str(raised.value)


@pytest.mark.parametrize("path", ["no.such.module:app", "tests.processes:nothing", "tests", "tests.processes:"])
def test_a_celery_app_that_cannot_be_imported_is_refused_by_its_path(path):
    with override_settings(DRIPCACHE={"CELERY_APP": path}), pytest.raises(ConfigurationError) as raised:
        discover()
    assert path in str(raised.value)
    assert "'module:name'" in str(raised.value)


@pytest.mark.parametrize("path", ["tests.processes:ROOT", "tests.processes:make_app", "os.path"])
def test_a_celery_app_that_is_something_else_is_refused_by_its_path(path):
    with override_settings(DRIPCACHE={"CELERY_APP": path}), pytest.raises(ConfigurationError, match=path):
        discover()


def test_the_app_is_found_from_a_thread_other_than_the_one_that_made_it():
    make_app("redis://current").set_current()
    found = []
    with override_settings(**NO_BROKER):
        assert celery_app() is not None  # as DripcacheConfig.ready() asks, in the thread that made the app

        def look():
            found.append(discover().addresses[0].host)

        thread = threading.Thread(target=look)
        thread.start()
        thread.join(5)
    assert found == ["current"]


def test_a_site_that_names_its_app_finds_it_first_in_any_thread(monkeypatch):
    monkeypatch.setattr(processes, "app", make_app("redis://named"))
    found = []
    with override_settings(CELERY_BROKER_URL=None, DRIPCACHE={"CELERY_APP": "tests.processes:app"}):
        threads = [threading.Thread(target=lambda: found.append(discover().addresses[0].host)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
    assert found == ["named"] * 4


def test_a_broker_that_changes_with_a_setting_is_looked_for_anew():
    for host in ("one", "two"):
        with override_settings(CELERY_BROKER_URL=f"redis://{host}", DRIPCACHE={}):
            assert locate("", {}).broker.addresses[0].host == host


# Brokers that are not Redis


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (f"amqp://app:{SECRET}@h//", "amqp"),
        (f"pyamqp://app:{SECRET}@h//", "amqp"),
        ("memory://", "memory"),
        ("filesystem://", "filesystem"),
        (f"sqs://key:{SECRET}@", "sqs"),
        (f"sqla+sqlite:///{SECRET}.db", "sqla"),
        (f"kafka://app:{SECRET}@h", "kafka"),
        (f"nonsense://app:{SECRET}@h", "nonsense"),
    ],
)
def test_a_broker_that_is_not_redis_is_refused_with_what_was_found_and_two_ways_out(url, found):
    make_app(url).set_current()
    with override_settings(**NO_BROKER), pytest.raises(ConfigurationError) as raised:
        discover()
    assert raised.value.check == "dripcache.E002"
    assert found in str(raised.value)
    assert "give Celery a Redis broker" in str(raised.value)
    assert "'LOCATION'" in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["amqp://h//", "sqs://key:x@", "nonsense://h", "redis://h:port/0", "redis://h/0?nope=1"]
)
def test_the_checks_report_a_broker_that_cannot_be_used_and_do_not_crash(url):
    with override_settings(CELERY_BROKER_URL=url, DRIPCACHE={}):
        found = check_settings()
    assert [message.id for message in found] in (["dripcache.E002"], ["dripcache.E003"])


def test_a_site_with_another_broker_caches_in_a_redis_of_its_own(redis_server, raw):
    own = {"default": {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": redis_server.url}}
    with override_settings(CELERY_BROKER_URL="memory://", DRIPCACHE={}, CACHES=own):
        cache.set("a", 1)
        assert cache.get("a") == 1
        assert [message.id for message in check_settings()] == []


# Secrets


URLS_WITH_SECRETS = [
    f"redis://:{SECRET}@h:7000/3",
    f"redis://app:{SECRET}@h:7000/3",
    f"rediss://app:{SECRET}@h:7000/3",
    f"redis://a;redis://:{SECRET}@b",
    f"redis+socket://app:{SECRET}@/run/s?virtual_host=1",
]


@pytest.mark.parametrize("url", URLS_WITH_SECRETS)
def test_no_password_is_in_any_text_of_what_was_found(url):
    for broker in (celery_broker(url), from_url(url, "LOCATION")):
        server = Server(broker, PoolOptions.of(broker, {}))
        pool = server.pool
        shown = [broker, *broker.addresses, server, server.options, broker.identity, pool, pool.make_connection()]
        for thing in shown:
            assert SECRET not in str(thing), type(thing)
            assert SECRET not in repr(thing), type(thing)
        assert broker.addresses[-1].password == SECRET


def test_no_password_of_a_sentinel_is_in_any_text():
    options = {"master_name": "m", "sentinel_kwargs": {"password": SECRET}}
    broker = celery_broker(f"sentinel://:{SECRET}@a", broker_transport_options=options)
    server = Server(broker, PoolOptions.of(broker, {}))
    for thing in (broker, server, server.pool):
        assert SECRET not in f"{thing} {thing!r}", type(thing)


MALFORMED = [
    f"redis://:{SECRET}@h:7000/x",
    f"redis://:{SECRET}@h?nope=1",
    f"redis://:{SECRET}@h?max_connections=many",
    f"http://:{SECRET}@h",
    f"redis://:{SECRET}#x@h:7000/1",
    f"redis://:{SECRET}/x@h:7000/1",
    f"redis://:{SECRET}?x@h:7000/1",
    f"redis://:{SECRET};x@h:7000/1",
    f"redis://:x;{SECRET}@h:7000/1",
    f"redis://:[{SECRET}@h:7000/1",
    f"redis://:{SECRET}@h:port/1",
    f"redis://h?password={SECRET}",
    f"unix://:{SECRET}@/run/s?db=x",
    f"sentinel://:{SECRET}@h",
]


@pytest.mark.parametrize("url", MALFORMED)
def test_no_password_is_in_the_error_about_a_malformed_location(url):
    with pytest.raises(ConfigurationError) as raised:
        discover(url)
    shown = "".join(traceback.format_exception(raised.value))
    messages = [line for line in shown.splitlines() if "Error" in line]
    assert SECRET not in "\n".join(messages)


@pytest.mark.parametrize("url", MALFORMED)
def test_no_password_is_in_what_the_checks_say_about_a_malformed_broker(url):
    with override_settings(CELERY_BROKER_URL=url, DRIPCACHE={}):
        shown = " ".join(f"{message.msg} {message.hint}" for message in check_settings())
    assert SECRET not in shown


def test_no_password_is_in_the_log_or_the_error_of_an_outage(caplog):
    url = f"redis://app:{SECRET}@127.0.0.1:1/0"
    one = {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": url}
    aliases = {"default": one, "strict": {**one, "OPTIONS": {"ON_OUTAGE": "raise"}}}
    with override_settings(CACHES=aliases, DRIPCACHE={}), caplog.at_level(logging.DEBUG):
        assert [cache.get("a", "fallback") for _ in range(5)] == ["fallback"] * 5
        with pytest.raises(ConnectionError) as raised:
            caches["strict"].get("a")
    assert "127.0.0.1:1" in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_no_password_is_in_the_log_when_it_is_refused(redis_server, raw, caplog):
    raw.acl_setuser("locked", enabled=True, passwords=["+right"], commands=["+@all"], keys=["*"])
    url = redis_server.url.replace("://", f"://locked:{SECRET}@")
    own = {"default": {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": url}}
    try:
        with override_settings(CACHES=own, DRIPCACHE={}), caplog.at_level(logging.DEBUG):
            assert [cache.get("a", "fallback") for _ in range(5)] == ["fallback"] * 5
    finally:
        raw.acl_deluser("locked")
    assert "WRONGPASS" in caplog.text or "invalid username-password" in caplog.text
    assert SECRET not in caplog.text


def test_deploy_checks_show_no_password(redis_server, raw, capsys):
    raw.acl_setuser("shown", enabled=True, passwords=[f"+{SECRET}"], commands=["+@all"], keys=["*"])
    url = redis_server.url.replace("://", f"://shown:{SECRET}@")
    own = {"default": {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": url}}
    try:
        with override_settings(CACHES=own, DRIPCACHE={}):
            cache.set("a", 1)
            assert cache.get("a") == 1
            call_command("check", deploy=True, tags=["caches"])
    finally:
        raw.acl_deluser("shown")
    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err


# Names


@pytest.mark.parametrize(
    ("prefix", "namespace", "root"),
    [
        ("", None, "dripcache:"),
        ("shop:", None, "shop:dripcache:"),
        ("shop_", None, "shop_dripcache:"),
        ("", "mine", "mine:"),
        ("shop:", "mine", "shop:mine:"),
        ("dripcache:", None, "dripcache:dripcache:"),
    ],
)
def test_celerys_prefix_stands_in_front_of_the_namespace(prefix, namespace, root):
    make_app("redis://h", broker_transport_options={"global_keyprefix": prefix}).set_current()
    with override_settings(CELERY_BROKER_URL=None, DRIPCACHE={"NAMESPACE": namespace} if namespace else {}):
        assert namespace_root() == root


def test_celerys_prefix_is_also_read_from_djangos_settings():
    with override_settings(
        CELERY_BROKER_URL="redis://h", CELERY_BROKER_TRANSPORT_OPTIONS={"global_keyprefix": "shop:"}, DRIPCACHE={}
    ):
        assert namespace_root() == "shop:dripcache:"


@pytest.mark.parametrize("prefix", ["", "shop:", "dripcache:", "dripcache"])
@pytest.mark.parametrize("namespace", ["dripcache", "shop", "a"])
def test_no_key_of_celery_lies_in_our_namespace(prefix, namespace):
    make_app("redis://h", broker_transport_options={"global_keyprefix": prefix}).set_current()
    with override_settings(CELERY_BROKER_URL=None, DRIPCACHE={"NAMESPACE": namespace}):
        root = namespace_root()
    theirs = [
        "celery",
        "celery\x06\x163",
        "_kombu.binding.celery",
        "_kombu.binding.celeryev",
        "_kombu.binding_deadlines",
        "_kombu.binding_permanent.celery",
        "unacked",
        "unacked_index",
        "unacked_mutex",
        "celery-task-meta-0",
        "celery-taskset-meta-0",
        "chord-unlock-0",
    ]
    assert not [name for name in theirs if (prefix + name).startswith(root)]


@pytest.mark.parametrize("namespace", ["celery", "_kombu", "_kombu.binding", "unacked", "celery-task-meta-"])
def test_a_namespace_of_celerys_own_is_refused(namespace):
    site = override_settings(CELERY_BROKER_URL="redis://h", DRIPCACHE={"NAMESPACE": namespace})
    with site, pytest.raises(ConfigurationError, match="Celery keeps its own keys"):
        namespace_root()


def test_a_queue_inside_our_namespace_is_reported():
    app = make_app("redis://h", task_queues={"dripcache:d:jobs": {}})
    app.set_current()
    with override_settings(CELERY_BROKER_URL=None, DRIPCACHE={}):
        assert [message.id for message in check_settings()] == ["dripcache.E004"]


# Which brokers are one


def test_a_broker_and_a_location_of_the_same_server_user_and_database_are_one():
    celery = celery_broker("redis://app:pw@h:7000/3")
    assert celery.identity == from_url("redis://app:pw@h:7000/3", "LOCATION").identity
    server = locate("redis://app:pw@h:7000/3", {})
    assert find_server(celery) is server


@pytest.mark.parametrize(
    "url",
    [
        "redis://app:pw@h:7000/4",
        "redis://app:pw@h:7001/3",
        "redis://app:pw@g:7000/3",
        "redis://app:other@h:7000/3",
        "redis://other:pw@h:7000/3",
        "rediss://app:pw@h:7000/3",
        "redis://app:pw@h:7000/3;redis://app:pw@g:7000/3",
    ],
)
def test_another_server_user_password_database_or_encryption_is_another_broker(url):
    assert from_url(url, "LOCATION").identity != from_url("redis://app:pw@h:7000/3", "LOCATION").identity


def test_other_databases_of_a_server_are_the_same_place():
    assert from_url("redis://a:b@h/1", "x").places == from_url("redis://h/2", "x").places


@pytest.mark.parametrize(
    ("url", "leaves"),
    [
        ("redis://127.0.0.1", False),
        ("redis://127.8.8.8", False),
        ("redis://localhost", False),
        ("redis://[::1]", False),
        ("unix:///s", False),
        ("redis://10.0.0.1", True),
        ("redis://redis", True),
        ("redis://localhost;redis://redis", True),
    ],
)
def test_it_is_known_whether_a_connection_leaves_the_host(url, leaves):
    assert from_url(url, "LOCATION").leaves_host is leaves


def test_looking_for_the_broker_connects_to_nothing():
    """The address is a black hole: whoever connected would wait."""
    with override_settings(CELERY_BROKER_URL="redis://192.0.2.1:6379/0", DRIPCACHE={}):
        server = locate("", {})
        assert check_settings() == []
        assert server._pool is None


def test_celery_is_given_our_transport_for_each_scheme_of_redis():
    for url in ("redis://h", "rediss://h", "redis+socket:///s"):
        assert make_app(url).connection_for_write().get_transport_cls() is Transport
    assert make_app("sentinel://h").connection_for_write().get_transport_cls() is SentinelTransport
