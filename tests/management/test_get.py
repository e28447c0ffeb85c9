"""``manage.py dripcache get``."""

from __future__ import annotations

from django.core.cache import cache as django_cache

from django_dripcache import cache, session_cache

from .asking import ask, ask_json, ask_lines, refusal


def test_it_shows_a_value(broker):
    cache.set("report", {1}, 60, tags=["paper", "x"], grace=30)
    cache.set_json("prefs", {"a": [1]}, 60)
    code, text = ask("get", "dripcache:c:prefs")
    assert code == 0
    assert text.splitlines()[:5] == [
        "name      dripcache:c:prefs",
        "key       prefs",
        "place     cache",
        "type      string, 9 B",
        "ttl       60.0 s",
    ]
    assert text.endswith('value     JSON\n\n{\n  "a": [\n    1\n  ]\n}\n')
    _, text = ask("get", "dripcache:c:report")
    assert "grace     30.0 s\nfresh for 60.0 s\ntags      paper, x\nvalue     a signed pickle, which is not" in text
    cache.invalidate_tags("x")
    assert "fresh for no more" in ask("get", "dripcache:c:report")[1]


def test_as_json_it_has_all_that_is_known(broker):
    django_cache.set("k", "x" * 10_000, 60)
    code, found = ask_json("get", "dripcache:d::1:k")
    assert code == 0
    assert (found["key"], found["place"], found["form"], found["compressed"]) == ("k", "django cache", "pickle", True)


def test_it_ends_with_1_where_there_is_none(broker):
    assert ask("get", "dripcache:c:k") == (1, "dripcache:c:k is not there.\n")
    assert ask_json("get", "dripcache:c:k") == (1, None)


def test_a_name_that_is_not_the_sites_is_refused(broker, raw):
    raw.set("celery", "secret")
    code, message = refusal("get", "celery")
    assert code == 2
    assert message == "The name 'celery' is not one of this site, which begin with 'dripcache:'."


def test_what_is_secret_is_not_shown(broker):
    session_cache.set("id", {"cart": "3 apples"}, 60)
    name = next(found["name"] for found in ask_lines("keys", "--place", "session_cache")[1])
    code, text = ask("get", name)
    assert code == 0
    assert "value     not shown" in text
    assert "apples" not in text


def test_a_value_does_nothing_to_a_terminal(broker, raw):
    raw.set("dripcache:c:k", "a\x1b]0;evil\x07\r\nb\u202e\x00"[:-1], px=60_000)
    _, text = ask("get", "dripcache:c:k")
    assert text.endswith("\n\na\\x1b]0;evil\\x07\\x0d\nb\\xe2\\x80\\xae\n")


def test_more_is_told_of(broker, raw):
    raw.set("dripcache:c:k", "x" * 100_000, px=60_000)
    assert ask("get", "dripcache:c:k")[1].endswith("x\n... and more\n")
