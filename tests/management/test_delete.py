"""``manage.py dripcache delete``."""

from __future__ import annotations

from django_dripcache import cache, flags

from .asking import ask, ask_json, refusal


def test_it_deletes_when_it_is_told_to(broker):
    cache.set("a", 1, 60)
    assert ask("delete", "dripcache:c:a", answer="n") == (1, "Nothing was done.\n")
    assert cache.get("a") == 1
    assert ask("delete", "dripcache:c:a", answer="y") == (0, "dripcache:c:a is deleted.\n")
    assert cache.get("a") is None
    assert ask("delete", "dripcache:c:a", "--yes") == (1, "dripcache:c:a was not there.\n")


def test_several_are_deleted_each_in_its_way(broker, raw):
    cache.set("a", 1, 60)
    flags.set("beta", True)
    code, found = ask_json("delete", "dripcache:c:a", "dripcache:s.flags:beta", "--yes")
    assert code == 0
    assert found == {"deleted": {"dripcache:c:a": True, "dripcache:s.flags:beta": True}}
    assert flags.all() == {}
    assert raw.zcard("dripcache:s.flags.index:") == 0


def test_none_is_deleted_if_one_is_not_the_sites(broker, raw):
    cache.set("a", 1, 60)
    raw.set("celery", 1)
    code, message = refusal("delete", "dripcache:c:a", "celery", "--yes")
    assert code == 2
    assert "not one of this site" in message
    assert cache.get("a") == 1
    assert raw.exists("celery")


def test_where_nobody_can_be_asked_it_is_refused(broker):
    cache.set("a", 1, 60)
    assert refusal("delete", "dripcache:c:a") == (2, "Nobody can be asked here. Add --yes to do it.")
    assert refusal("delete", "dripcache:c:a", "--json", answer="y")[0] == 2
    assert cache.get("a") == 1
