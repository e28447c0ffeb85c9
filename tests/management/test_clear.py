"""``manage.py dripcache clear``."""

from __future__ import annotations

import pytest
from django.core.cache import cache as django_cache
from django.core.cache import caches
from django.test import override_settings

from django_dripcache import CacheManager, cache, session_cache
from django_dripcache.flows import scan

from .asking import Terminal, ask, ask_json, refusal


@pytest.fixture
def filled(broker, raw):
    raw.rpush("celery", "task")
    django_cache.set("k", 1)
    django_cache.set("k", 1, version=2)
    cache.set("k", 1, tags=["t"])
    CacheManager(namespace="shop").set_many({"a": 1, "b": 2})
    session_cache.set("id", {})
    return raw


def left(raw):
    return {name for name in raw.scan_iter() if b".tags" not in name and b":t" not in name}


def test_djangos_cache_is_cleared_and_nothing_else(filled):
    code, text = ask("clear", "--yes")
    assert (code, text) == (0, "2 keys of Django's cache 'default' are removed.\n")
    assert not [name for name in left(filled) if name.startswith(b"dripcache:d:")]
    assert cache.get("k") == 1
    assert session_cache.get("id") == {}
    assert filled.llen("celery") == 1


def test_a_namespace_is_cleared_and_nothing_else(filled):
    assert ask_json("clear", "--namespace", "shop", "--yes") == (0, {"removed": 2})
    assert (cache.get("k"), django_cache.get("k")) == (1, 1)
    code, text = ask("clear", "--namespace", "--yes")
    assert (code, text) == (0, "1 keys of the namespace without a name of 'default' are removed.\n")
    assert cache.get("k") is None
    assert django_cache.get("k") == 1


def test_it_says_how_many_keys_there_are_and_asks(filled):
    screen = Terminal()
    assert ask("clear", answer="", stderr=screen) == (1, "Nothing was done.\n")
    assert screen.getvalue() == "Clear Django's cache 'default', 2 keys? [y/N] "
    screen = Terminal()
    assert ask("clear", "--namespace", "shop", answer="yes", stderr=screen)[0] == 0
    assert screen.getvalue().startswith("Clear the namespace 'shop' of 'default', 2 keys? [y/N] \r[###")
    assert screen.getvalue().endswith("2 of 2 keys\n")
    assert refusal("clear")[0] == 2
    assert django_cache.get("k") == 1


def test_of_many_keys_it_says_about_how_many(filled, monkeypatch):
    monkeypatch.setattr(scan, "EXACT_BELOW", 1)
    screen = Terminal()
    ask("clear", answer="n", stderr=screen)
    assert "about 2 keys?" in screen.getvalue()


def test_another_alias_of_the_same_server_stays(broker):
    ours = {"BACKEND": "django_dripcache.backend.DripCache"}
    both = {"default": {**ours, "KEY_PREFIX": "a*"}, "other": {**ours, "KEY_PREFIX": "ab"}}
    with override_settings(CACHES=both):
        caches["default"].set("k", 1)
        caches["other"].set("k", 1)
        assert ask_json("clear", "--yes") == (0, {"removed": 1})
        assert caches["other"].get("k") == 1
        assert ask_json("clear", "--alias", "other", "--yes") == (0, {"removed": 1})
