"""``manage.py dripcache keys``."""

from __future__ import annotations

import pytest

from django_dripcache import CacheManager, cache, user_cache

from .asking import ask, ask_lines, refusal


def names(*arguments):
    return sorted(found["name"] for found in ask_lines("keys", *arguments)[1])


def test_it_lists_the_keys_of_the_site(broker, raw):
    raw.set("celery-task-meta-1", 1)
    cache.set_json("report", [1], 60)
    user_cache.set(7, "name", "Ada", 60)
    code, text = ask("keys")
    assert code == 0
    lines = text.splitlines()
    assert lines[0].split() == ["ttl", "size", "type", "place", "name"]
    assert ["3", "B", "string", "cache", "dripcache:c:report"] in [line.split()[2:] for line in lines]
    assert "celery" not in text
    assert names() == ["dripcache:c:report", "dripcache:s.users.tags:7", "dripcache:s.users:7:name"]


def test_it_searches(broker):
    cache.set("user:1", 1, 60)
    cache.set("user:22", 1, 60)
    CacheManager(namespace="shop").set("user:3", 1, 60)
    assert names("user:?") == ["dripcache:c.shop:user:3", "dripcache:c:user:1"]
    assert names("22") == ["dripcache:c:user:22"]
    assert names("--place", "cache: shop") == ["dripcache:c.shop:user:3"]


def test_it_ends_with_1_where_there_are_none(broker):
    assert ask("keys", "nothing") == (1, "There are no such keys.\n")
    assert ask_lines("keys", "nothing") == (1, [])


@pytest.mark.parametrize(("count", "listed", "more"), [(10, 10, True), (0, 50, False), (60, 50, False)])
def test_so_many_are_listed(broker, count, listed, more):
    cache.set_many({f"key:{at}": at for at in range(50)})
    assert len(ask_lines("keys", "--count", str(count))[1]) == listed
    _, text = ask("keys", "--count", str(count))
    assert len([line for line in text.splitlines() if "dripcache:c:" in line]) == listed
    assert ("There may be more" in text) == more


def test_many_pages_are_all_keys(broker):
    cache.set_many({f"key:{at}": at for at in range(3000)})
    assert set(names("--count", "0")) == {f"dripcache:c:key:{at}" for at in range(3000)}


def test_what_a_terminal_would_act_upon_is_not_printed(broker, raw):
    raw.set(b"dripcache:c:\x1b[31m\n\xff\xc2\x9b", 1, px=60_000)
    raw.set("dripcache:c.%1B[31m:k", 1, px=60_000)
    code, text = ask("keys")
    assert code == 0
    assert r"dripcache:c:\x1b[31m\x0a\xff\xc2\x9b" in text
    assert r"cache: \x1b[31m" in text
    assert text.replace("\n", "").isprintable()


def test_another_alias_is_refused_where_there_is_none(broker):
    assert refusal("keys", "--alias", "x") == (2, "--alias=x is no alias that DripCache serves. Allowed: default.")
