"""``manage.py dripcache warm``."""

from __future__ import annotations

import pytest

from django_dripcache import cache
from django_dripcache.conf import get_settings
from django_dripcache.exceptions import ConfigurationError
from tests.conftest import use_server

from .asking import Terminal, ask, ask_json, refusal

HERE = "tests.management.test_warm"


def warm_pages():
    return {f"page:{at}": lambda at=at: f"page {at}" for at in range(20)}


def warm_by_itself():
    cache.set("itself", 1, 60)


def warm_and_tell():
    return cache.warm({"told": lambda: 1}, ttl=60)


def warm_badly():
    return {"good": lambda: 1, "bad": lambda: 1 / 0}


def fail():
    message = "no database"
    raise RuntimeError(message)


def answer_seven():
    return 7


NUMBER = 7


@pytest.fixture
def warming(broker):
    def make(**names):
        return use_server(broker.url, WARM={name: f"{HERE}.{function}" for name, function in names.items()})

    return make


def test_all_that_the_setting_names_is_warmed(warming):
    with warming(pages="warm_pages", itself="warm_by_itself", told="warm_and_tell"):
        code, text = ask("warm")
        assert (code, text) == (0, "pages: 20 done\nitself: 1 done\ntold: 1 done\n")
        assert cache.get("page:7") == "page 7"
        assert (cache.get("itself"), cache.get("told")) == (1, 1)


def test_some_are_warmed_by_their_names(warming):
    with warming(pages="warm_pages", itself="warm_by_itself"):
        assert ask_json("warm", "itself") == (0, {"itself": {"done": 1, "failed": {}}})
        assert cache.get("page:7") is None


def test_what_fails_is_told_and_the_others_are_warmed(warming):
    with warming(none="fail", some="warm_badly", seven="answer_seven", pages="warm_pages"):
        code, found = ask_json("warm")
        assert code == 1
        assert found["none"] == {"done": 0, "failed": {"none()": "RuntimeError: no database"}}
        assert found["some"] == {"done": 1, "failed": {"bad": "ZeroDivisionError: division by zero"}}
        assert "Allowed are a dict of loaders" in found["seven"]["failed"]["seven()"]
        assert found["pages"]["done"] == 20
        assert "some: 1 done, 1 failed\n    bad: ZeroDivisionError" in ask("warm", "some")[1]


def test_on_a_terminal_it_shows_how_far_it_is(warming):
    screen = Terminal()
    with warming(pages="warm_pages"):
        assert ask("warm", "--at-once", "1", stderr=screen)[0] == 0
    assert screen.getvalue().count("\r") == 20
    assert "] 10 of 20 pages" in screen.getvalue()
    assert screen.getvalue().endswith("20 of 20 pages\n")


def test_the_names_are_listed(warming):
    with warming(pages="warm_pages"):
        assert ask_json("warm", "--list") == (0, {"pages": f"{HERE}.warm_pages"})
        assert ask("warm", "--list")[1].splitlines()[1].split() == ["pages", f"{HERE}.warm_pages"]
        assert cache.get("page:7") is None


def test_what_makes_no_sense_is_refused(warming, broker):
    assert refusal("warm")[0] == 2
    with warming(pages="warm_pages", nothing="nowhere", number="NUMBER"):
        assert "has no 'x'. Allowed: pages, nothing, number" in refusal("warm", "x")[1]
        assert "cannot be imported" in refusal("warm", "nothing")[1]
        assert "of type int. Allowed is a function" in refusal("warm", "number")[1]
        assert "--at-once=0 is out of range" in refusal("warm", "pages", "--at-once", "0")[1]
        assert refusal("warm", "pages", "x")[0] == 2
        assert cache.get("page:7") is None


@pytest.mark.parametrize("wrong", [{"pages": 7}, {7: "a.b"}, {"": "a.b"}, {"pages": "nodot"}, ["a.b"]])
def test_a_setting_that_cannot_work_is_refused(broker, wrong):
    with use_server(broker.url, WARM=wrong), pytest.raises(ConfigurationError, match=r"DRIPCACHE\['WARM'\]"):
        get_settings()
