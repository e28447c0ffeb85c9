"""Groups of keys."""

from __future__ import annotations

import pytest

from django_dripcache.groups import MOST, MOST_TEXT, OTHER, PLAIN, Groups
from django_dripcache.keys import area


def group(name, **patterns):
    return Groups("dripcache:", patterns).find(name[: name.rfind(b":")])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("home", PLAIN),
        ("page:1", "page"),
        ("page:17:body", "page:#"),
        ("v2-page:17:body:en", "v#-page:#:body"),
        ("etag:9f86d081884c7d65:x", "etag:#"),
        ("order:123e4567-e89b-12d3-a456-426614174000:lines", "order:#"),
        ("deadbeef:x", "deadbeef"),
        ("naïve:1", "naïve"),
        ("a b:1", "a b"),
    ],
)
def test_keys_are_grouped_by_what_is_before_their_last_colon_with_numbers_folded(key, expected):
    assert group(area("dripcache:", "c").name(key)) == expected
    assert group(area("dripcache:", "d").name(f":1:{key}")) == expected
    assert group(area("dripcache:", "l").name(key)) == expected


def test_a_namespace_tells_groups_apart():
    assert group(area("dripcache:", "c", "shop").name("page:1")) == "shop:page"
    assert group(area("dripcache:", "c", "shop").name("home")) == "shop"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("users", "user_cache"),
        ("users.leases", "user_cache"),
        ("sessions", "session_cache"),
        ("auth.tokens", "auth_cache"),
        ("limits.gcra", "rate_limiter"),
        ("stats", None),
    ],
)
def test_a_service_is_a_group(part, expected):
    assert group(area("dripcache:", "s", part).name("a:b:c")) == expected


def test_tags_are_a_group():
    assert group(area("dripcache:", "t").name("news:1")) == "tags"


@pytest.mark.parametrize("name", [b"", b"celery", b"_kombu.binding.celery", b"dripcache", b"other:d::1:key"])
def test_what_is_not_of_the_site_is_in_no_group(name):
    assert group(name) is None


def test_the_site_names_groups_by_patterns_and_the_first_one_counts():
    name = area("dripcache:", "d").name(":1:product:7:prices:eur")
    assert group(name, prices="product:*:prices:", products="product:*") == "prices"
    assert group(name, products="product:*", prices="product:*:prices:") == "products"
    assert group(name, others="x:*") == "product:#:prices"


def test_there_is_a_bounded_number_of_groups():
    groups = Groups("dripcache:", {})
    found = {groups.find(f"dripcache:c:{chr(97 + at // 26)}{chr(97 + at % 26)}".encode()) for at in range(600)}
    assert len(found) == MOST + 1
    assert OTHER in found
    assert groups.find(b"dripcache:c:aa") == "aa"


def test_the_name_of_a_group_is_bounded():
    assert group(b"dripcache:c:" + b"x" * 500 + b":1") == "x" * MOST_TEXT


@pytest.mark.parametrize("raw", [b"dripcache:c:\xff\xfe:1", b"dripcache:c:%FF%:1", b"dripcache::::", b"dripcache:s:x"])
def test_hostile_names_have_a_group_or_none(raw):
    assert group(raw) is None or isinstance(group(raw), str)
