"""``manage.py dripcache sessions``."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.test import override_settings

from django_dripcache import session_cache

from .asking import ask, ask_json, refusal


@pytest.fixture
def two(broker):
    session_cache.set("one", {"cart": "apples"}, 600, user=7, about={"agent": "Firefox\x1b[31m"})
    session_cache.set("two", {}, 600, user=7)
    session_cache.set("other", {}, 600, user=8)


def test_a_users_sessions_are_listed(two):
    code, text = ask("sessions", "--user", "7")
    assert code == 0
    assert len(text.splitlines()) == 3
    assert r"Firefox\x1b[31m" in text
    assert "apples" not in text
    code, found = ask_json("sessions", "--user", "7")
    assert code == 0
    assert {len(info["digest"]) for info in found} == {32}
    assert ask("sessions", "--user", "9") == (1, "User 9 has no sessions.\n")


def test_a_user_is_logged_out(two):
    assert ask("sessions", "logout", "--user", "7", answer="n") == (1, "Nothing was done.\n")
    assert ask("sessions", "logout", "--user", "7", answer="y") == (0, "2 sessions of user 7 have ended.\n")
    assert session_cache.get("one") is None
    assert session_cache.get("other") == {}
    assert ask_json("sessions", "logout", "--user", "7", "--yes") == (1, {"ended": 0})
    assert ask_json("sessions", "--user", "8", "logout", "--yes") == (0, {"ended": 1})


def test_one_session_is_ended_by_its_digest(two):
    digest = next(info["digest"] for info in ask_json("sessions", "--user", "7")[1] if info["about"])
    assert ask_json("sessions", "logout", "--user", "7", "--digest", digest, "--yes") == (0, {"ended": 1})
    assert session_cache.get("one") is None
    assert session_cache.get("two") == {}
    assert ask_json("sessions", "logout", "--user", "7", "--digest", digest, "--yes") == (1, {"ended": 0})


def test_it_is_asked_whose(two):
    for call in (["sessions"], ["sessions", "logout", "--yes"]):
        assert refusal(*call) == (2, "Whose sessions? Add --user with the id of a user.")
    assert refusal("sessions", "logout", "--user", "7")[0] == 2


@pytest.mark.django_db
@pytest.mark.parametrize("engine", ["sessions", "sessions_db"])
def test_the_sessions_are_those_of_the_engine(broker, engine):
    user = User.objects.create(username="ada")
    path = f"django_dripcache.contrib.{engine}"
    with override_settings(SESSION_ENGINE=path):
        session = import_module(path).SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session.save()
        assert len(ask_json("sessions", "--user", str(user.pk))[1]) == 1
        assert ask_json("sessions", "logout", "--user", str(user.pk), "--yes") == (0, {"ended": 1})
        assert not import_module(path).SessionStore().exists(session.session_key)
