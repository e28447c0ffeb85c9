"""The settings of the package: read when they are needed, checked, and read again when a test changes them."""

from __future__ import annotations

import dataclasses
import math
from datetime import timedelta
from hashlib import blake2b

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_dripcache import CacheManager
from django_dripcache.codecs import MISS
from django_dripcache.conf import Settings, get_pickle_codec, get_settings, refuse_unknown
from django_dripcache.exceptions import ConfigurationError

KEY = b"site:d::1:key"
NAMES = [field.name for field in dataclasses.fields(Settings)]


def refused(**dripcache):
    with override_settings(DRIPCACHE=dripcache), pytest.raises(ConfigurationError) as caught:
        get_settings()
    assert isinstance(caught.value, ImproperlyConfigured)
    assert caught.value.check == "dripcache.E003"
    return str(caught.value)


# Defaults


def test_without_the_setting_everything_has_its_default(settings):
    assert not hasattr(settings, "DRIPCACHE")
    assert get_settings() == Settings()


def test_an_empty_setting_is_all_defaults():
    with override_settings(DRIPCACHE={}):
        assert get_settings() == Settings()


def test_what_is_left_out_has_its_default():
    with override_settings(DRIPCACHE={"NAMESPACE": "shop"}):
        assert get_settings() == Settings(NAMESPACE="shop")


def test_the_defaults_are_allowed_values():
    with override_settings(DRIPCACHE=dataclasses.asdict(Settings())):
        assert get_settings() == Settings()


def test_by_default_everything_expires_and_nothing_raises():
    assert timedelta(days=30) == Settings().FOREVER_TTL
    assert Settings().ON_OUTAGE == "fallback"
    assert Settings().SHARE_POOL is True
    assert Settings().NAMESPACE == "dripcache"


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_that_were_read_cannot_be_changed(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(get_settings(), name, None)


# Names


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("NAMESPCE", "NAMESPACE"),
        ("namespace", "NAMESPACE"),
        ("COMPRESS_OVER", "COMPRESS_ABOVE"),
        ("SHAREPOOL", "SHARE_POOL"),
        ("FOREVER", "FOREVER_TTL"),
        ("on_outage", "ON_OUTAGE"),
        ("RATE_LIMIT", "RATE_LIMITS"),
        ("TRUSTED_PROXYS", "TRUSTED_PROXIES"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(given, nearest):
    message = refused(**{given: "x"})
    assert repr(given) in message
    assert f"Did you mean {nearest!r}?" in message


@pytest.mark.parametrize("given", ["", "X", "\ud800", 5, None, ("NAMESPACE",), b"NAMESPACE"])
def test_a_name_that_is_like_no_other_is_refused_with_all_that_there_are(given):
    with override_settings(DRIPCACHE={given: 1}), pytest.raises(ConfigurationError) as caught:
        get_settings()
    assert repr(given) in str(caught.value)
    if "Did you mean" not in str(caught.value):
        assert all(name in str(caught.value) for name in NAMES)


def test_a_name_is_refused_with_the_place_where_it_was_given():
    with pytest.raises(
        ConfigurationError, match=r"^CACHES\['OPTIONS'\] has no 'SOCKT_TIMEOUT'\. Did you mean 'SOCKET_TIMEOUT'"
    ):
        refuse_unknown("CACHES['OPTIONS']", ["SOCKT_TIMEOUT"], ["SOCKET_TIMEOUT", "ON_OUTAGE"])
    with pytest.raises(ConfigurationError, match=r"^it has no 'ALGORITM'\. Did you mean 'algorithm'\?$"):
        refuse_unknown("it", ["ALGORITM"], ["algorithm"])
    with pytest.raises(ConfigurationError, match=r"^it has no 'ALGORITHM'\. Did you mean 'algorithm'\?$"):
        refuse_unknown("it", ["ALGORITHM"], ["algorithm"])
    refuse_unknown("CACHES['OPTIONS']", ["ON_OUTAGE"], ["SOCKET_TIMEOUT", "ON_OUTAGE"])
    refuse_unknown("CACHES['OPTIONS']", [], [])


# Values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CELERY_APP", "site.celery:app"),
        ("CELERY_APP", None),
        ("COMPRESS_ABOVE", 1),
        ("COMPRESS_ABOVE", None),
        ("FOREVER_TTL", 1),
        ("FOREVER_TTL", 0.5),
        ("FOREVER_TTL", timedelta(days=1)),
        ("FOREVER_TTL", None),
        ("MAX_INFLATED_BYTES", 1),
        ("NAMESPACE", "shop"),
        ("ON_OUTAGE", "raise"),
        ("ON_OUTAGE", "fallback"),
        ("RATE_LIMIT_HEADERS", True),
        ("RATE_LIMITS", []),
        ("SHARE_POOL", False),
        ("TRUSTED_PROXIES", 2),
        ("TRUSTED_PROXY_HEADER", "Forwarded"),
    ],
)
def test_a_value_of_the_right_type_is_taken_as_it_is(name, value):
    with override_settings(DRIPCACHE={name: value}):
        assert getattr(get_settings(), name) is value


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("CELERY_APP", 1, "str or None"),
        ("CELERY_APP", b"site.celery:app", "str or None"),
        ("COMPRESS_ABOVE", "4096", "int or None"),
        ("COMPRESS_ABOVE", 1.5, "int or None"),
        ("COMPRESS_ABOVE", True, "int or None"),
        ("COMPRESS_ABOVE", False, "int or None"),
        ("FOREVER_TTL", "1", "int or float or timedelta or None"),
        ("FOREVER_TTL", True, "int or float or timedelta or None"),
        ("MAX_INFLATED_BYTES", None, "int"),
        ("MAX_INFLATED_BYTES", True, "int"),
        ("MAX_INFLATED_BYTES", 1e6, "int"),
        ("NAMESPACE", None, "str"),
        ("NAMESPACE", b"shop", "str"),
        ("ON_OUTAGE", None, "str"),
        ("ON_OUTAGE", True, "str"),
        ("RATE_LIMIT_HEADERS", 1, "bool"),
        ("RATE_LIMITS", {}, "list or tuple"),
        ("RATE_LIMITS", None, "list or tuple"),
        ("TRUSTED_PROXIES", True, "int"),
        ("TRUSTED_PROXIES", "1", "int"),
        ("TRUSTED_PROXIES", None, "int"),
        ("TRUSTED_PROXY_HEADER", None, "str"),
        ("SHARE_POOL", 1, "bool"),
        ("SHARE_POOL", 0, "bool"),
        ("SHARE_POOL", None, "bool"),
        ("SHARE_POOL", "yes", "bool"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_with_what_was_received_and_what_is_allowed(name, value, allowed):
    message = refused(**{name: value})
    assert f"DRIPCACHE[{name!r}] is {value!r} ({type(value).__name__}). Allowed is {allowed}." in message


@pytest.mark.parametrize("name", NAMES)
def test_no_setting_takes_just_anything(name):
    assert f"DRIPCACHE[{name!r}]" in refused(**{name: object()})


@pytest.mark.parametrize("name", ["COMPRESS_ABOVE", "MAX_INFLATED_BYTES"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_number_of_bytes_begins_at_one(name, value):
    assert f"DRIPCACHE[{name!r}] is {value!r}" in refused(**{name: value})


@pytest.mark.parametrize("value", [0, -1, 0.0, timedelta(0), -timedelta(1), math.nan, -math.inf], ids=repr)
def test_a_forever_that_is_over_at_once_is_refused(value):
    # timeout=None would delete, persist() too.
    assert "DRIPCACHE['FOREVER_TTL']" in refused(FOREVER_TTL=value)


def test_a_number_of_proxies_begins_at_zero():
    assert "DRIPCACHE['TRUSTED_PROXIES'] is -1. Allowed is a number of proxies from 0 up." in refused(
        TRUSTED_PROXIES=-1
    )


@pytest.mark.parametrize("value", ["", "X Forwarded For", "X_Forwarded_For", "X-Forwarded-For\n", "X:", "\u00dc"])
def test_a_header_has_a_name(value):
    assert f"DRIPCACHE['TRUSTED_PROXY_HEADER'] is {value!r}. Allowed" in refused(TRUSTED_PROXY_HEADER=value)


@pytest.mark.parametrize("value", ["", "Raise", "ignore", "fallback "])
def test_a_way_to_behave_that_does_not_exist_is_refused(value):
    message = refused(ON_OUTAGE=value)
    assert repr(value) in message
    assert "'fallback' and 'raise'" in message


@pytest.mark.parametrize("given", [None, [], "NAMESPACE", 1, ("NAMESPACE", "shop")], ids=repr)
def test_a_setting_that_is_no_dict_is_refused(given):
    with override_settings(DRIPCACHE=given), pytest.raises(ConfigurationError, match=f"not {type(given).__name__}"):
        get_settings()


# When they are read


def test_settings_are_read_once_until_they_change():
    assert get_settings() is get_settings()
    assert get_pickle_codec() is get_pickle_codec()


def test_a_test_that_changes_settings_gets_the_changed_ones_and_leaves_nothing_behind():
    before = get_settings()
    with override_settings(DRIPCACHE={"NAMESPACE": "one"}):
        assert get_settings().NAMESPACE == "one"
        with override_settings(DRIPCACHE={"NAMESPACE": "two"}):
            assert get_settings().NAMESPACE == "two"
        assert get_settings().NAMESPACE == "one"
    assert get_settings() == before


def test_a_refusal_is_not_remembered():
    refused(NAMESPCE="shop")
    assert get_settings() == Settings()


def test_a_change_of_another_setting_is_no_reason_to_read_again():
    before = get_settings()
    with override_settings(USE_TZ=False):
        assert get_settings() is before


def test_the_codec_follows_the_settings():
    with override_settings(DRIPCACHE={"COMPRESS_ABOVE": 10}):
        short = get_pickle_codec().encode("a" * 1000, KEY)
    with override_settings(DRIPCACHE={"COMPRESS_ABOVE": None}):
        assert len(get_pickle_codec().encode("a" * 1000, KEY)) > 1000 > len(short)
        assert get_pickle_codec().decode(short, KEY) == "a" * 1000
    with override_settings(DRIPCACHE={"MAX_INFLATED_BYTES": 100}):
        assert get_pickle_codec().decode(short, KEY) is MISS


# Secrets

OLD, NEW = (
    "an old key of more than fifty characters, for the tests",
    "a new key of more than fifty characters, for the tests",
)


def test_another_secret_key_cannot_read_what_was_stored():
    with override_settings(SECRET_KEY=OLD):
        raw = get_pickle_codec().encode("value", KEY)
        assert get_pickle_codec().decode(raw, KEY) == "value"
    with override_settings(SECRET_KEY=NEW):
        assert get_pickle_codec().decode(raw, KEY) is MISS
    with override_settings(SECRET_KEY=OLD):
        assert get_pickle_codec().decode(raw, KEY) == "value"


def test_a_secret_key_may_be_changed_by_way_of_the_fallbacks():
    with override_settings(SECRET_KEY=OLD):
        old = get_pickle_codec().encode("old", KEY)
    with override_settings(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=[OLD]):
        assert get_pickle_codec().decode(old, KEY) == "old"
        new = get_pickle_codec().encode("new", KEY)
    with override_settings(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=[]):
        assert get_pickle_codec().decode(new, KEY) == "new"
        assert get_pickle_codec().decode(old, KEY) is MISS


def test_a_secret_key_may_be_bytes_and_is_the_same_as_its_text():
    with override_settings(SECRET_KEY=OLD):
        raw = get_pickle_codec().encode("value", KEY)
    with override_settings(SECRET_KEY=OLD.encode(), SECRET_KEY_FALLBACKS=[NEW.encode()]):
        assert get_pickle_codec().decode(raw, KEY) == "value"


def test_the_secret_key_itself_is_not_what_signs():
    with override_settings(SECRET_KEY=OLD):
        raw = get_pickle_codec().encode("value", KEY)
    own = blake2b(b"0 %d " % len(KEY) + KEY + raw[18:], digest_size=16, key=OLD.encode()[:64])
    assert raw[2:18] != own.digest()


@pytest.mark.parametrize("reader", [lambda: caches["default"], CacheManager], ids=["backend", "manager"])
def test_a_change_of_the_secret_reaches_a_cache_that_is_in_use(broker, reader):
    with override_settings(SECRET_KEY=OLD):
        reader().set("a", "value")
        assert reader().get("a") == "value"
    with override_settings(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=[OLD]):
        assert reader().get("a") == "value"
    with override_settings(SECRET_KEY=NEW):
        assert reader().get("a") is None


@pytest.mark.parametrize("reader", [lambda: caches["default"], CacheManager], ids=["backend", "manager"])
def test_a_change_of_the_namespace_reaches_a_cache_that_is_in_use(broker, raw, reader):
    reader().set("a", "value")
    with override_settings(DRIPCACHE={"NAMESPACE": "another"}):
        assert reader().get("a") is None
        reader().set("a", "other")
        assert [name for name in raw.scan_iter() if name.startswith(b"another:")]
    assert reader().get("a") == "value"
