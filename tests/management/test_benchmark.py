"""``manage.py dripcache benchmark``."""

from __future__ import annotations

import pytest
from django.core.cache import cache as django_cache

from django_dripcache import cache
from django_dripcache.backend import DripCache
from django_dripcache.counts import COUNTS, MISS

from .asking import ask, ask_json, refusal


def test_it_measures_both_and_leaves_nothing_behind(broker, raw):
    raw.rpush("celery", "task")
    django_cache.set("mine", 1)
    cache.set("mine", 1)
    code, found = ask_json("benchmark", "--count", "250", "--size", "50")
    assert code == 0
    calls = {"set", "get", "get_many of 100"}
    assert {who: set(measured) for who, measured in found["seconds"].items()} == {
        "DripCache": calls,
        "django-redis": calls,
    }
    assert all(0 < seconds < 5 for measured in found["seconds"].values() for seconds in measured.values())
    assert set(raw.scan_iter()) == {b"celery", b"dripcache:d::1:mine", b"dripcache:c:mine"}
    code, text = ask("benchmark", "--count", "10")
    assert code == 0
    assert text.splitlines()[2].split()[:3] == ["call", "DripCache", "median"]
    assert [line.split()[0] for line in text.splitlines()[3:]] == ["set", "get", "get_many"]


def test_all_its_keys_are_of_the_site_and_end(broker, raw, monkeypatch):
    seen = {}

    def look(self, keys, *_):
        seen.update({name: raw.pttl(name) for name in raw.scan_iter()})
        return {}

    monkeypatch.setattr(DripCache, "get_many", look)
    monkeypatch.setattr("django_redis.cache.RedisCache.get_many", look)
    ask("benchmark", "--count", "10")
    assert len(seen) == 20
    assert all(name.startswith(b"dripcache:") and 0 < left <= 60_000 for name, left in seen.items())


def test_it_cleans_up_after_an_interrupt(broker, raw, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(DripCache, "get_many", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ask("benchmark", "--count", "10")
    assert list(raw.scan_iter()) == []


@pytest.mark.parametrize("wrong", [("--count", "0"), ("--count", "100001"), ("--size", "0")])
def test_too_much_and_nothing_is_refused(broker, wrong):
    assert "is out of range. Allowed are 1 to 100,000" in refusal("benchmark", *wrong)[1]


def test_it_is_not_counted_as_traffic(broker):
    COUNTS.take()
    cache.get("page:1")
    ask("benchmark", "--count", "10")
    grown, _ = COUNTS.take()
    assert [label.name for label, cell in grown.items() if cell[MISS]] == ["page"]
    assert not any(label.name.startswith("dripcache-benchmark") for label in grown)
