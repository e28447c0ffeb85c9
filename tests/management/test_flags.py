"""``manage.py dripcache flags``."""

from __future__ import annotations

from django_dripcache import flags

from .asking import ask, ask_json, refusal


def test_flags_are_listed_set_and_deleted(broker, raw):
    assert ask("flags") == (0, "No flag is set.\n")
    assert ask("flags", "set", "beta", "on") == (0, "beta is on.\n")
    assert ask_json("flags", "set", "old", "off", "--ttl", "60") == (0, {"old": False})
    assert flags.all() == {"beta": True, "old": False}
    assert 0 < raw.ttl("dripcache:s.flags:old") <= 60
    assert ask_json("flags") == (0, {"beta": True, "old": False})
    assert ask("flags")[1].split() == ["flag", "state", "beta", "on", "old", "off"]
    assert ask("flags", "delete", "beta", answer="n") == (1, "Nothing was done.\n")
    assert ask("flags", "delete", "beta", answer="y") == (0, "beta is deleted.\n")
    assert ask("flags", "delete", "beta", "--yes") == (1, "beta was not set.\n")
    assert flags.all() == {"old": False}


def test_what_is_no_flag_is_refused(broker):
    assert "Allowed is a str of 1 to 200" in refusal("flags", "set", "x" * 201, "on")[1]
    assert "invalid choice" in refusal("flags", "set", "beta", "maybe")[1]
    assert refusal("flags", "delete", "beta")[0] == 2
