"""``manage.py dripcache limits``."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from django_dripcache.counts import COUNTS
from django_dripcache.limiting import check
from django_dripcache.recorder import RECORDER
from django_dripcache.rules import find_by_path
from tests.conftest import use_server

from .asking import ask, ask_json, refusal

RULES = [
    {"name": "login", "rate": "2/h", "key": "ip", "path": "/login/", "methods": ["POST"]},
    {"name": "api", "rate": "1/s, 100/h", "key": "user_or_ip", "path": "/api/*"},
]


def post(times=1, address="203.0.113.7"):
    for _ in range(times):
        request = RequestFactory().post("/login/", REMOTE_ADDR=address)
        response = check(request, find_by_path(request))
    return response


@pytest.fixture
def limited(broker):
    COUNTS.take()
    with use_server(broker.url, RATE_LIMITS=RULES, SHOW_ADDRESSES=True, STATS_INTERVAL=None):
        yield


def test_rules_are_listed_with_what_they_decided_and_whom_they_denied(limited):
    assert "Nobody was denied" in ask("limits")[1]
    post(5)
    assert RECORDER.flush()
    code, text = ask("limits")
    assert code == 0
    rows = [line.split() for line in text.splitlines() if line]
    assert ["login", "2/h", "address", "POST", "/login", "2", "3", "0"] in rows
    assert ["203.0.113.7", "login", "3"] in rows
    found = ask_json("limits")[1]
    assert found["limits"]["login"] == {"allowed": 2, "denied": 3, "degraded": 0}
    assert found["limits"]["api"] == {"allowed": 0, "denied": 0, "degraded": 0}
    assert found["denied"] == [{"rule": "login", "who": "203.0.113.7", "times": 3}]


def test_without_rules_it_says_so(broker):
    assert "There are no rules in DRIPCACHE['RATE_LIMITS']." in ask("limits")[1]


def test_one_is_reset(limited):
    assert post(3, "203.0.113.8") is not None
    assert ask("limits", "reset", "--rule", "login", "--who", "203.0.113.9") == (
        1,
        "login had counted nothing of that.\n",
    )
    assert ask_json("limits", "reset", "--rule", "login", "--who", "203.0.113.8") == (0, {"reset": True})


def test_another_process_counts_anew(limited, raw):
    post(3, "203.0.113.8")
    ask("limits", "reset", "--rule", "login", "--who", "203.0.113.8")
    assert not [name for name in raw.scan_iter() if b"203.0.113.8" in name]


def test_what_is_no_rule_and_what_it_cannot_count_is_refused(limited):
    assert refusal("limits", "reset", "--rule", "x", "--who", "1") == (2, "--rule=x is no rule. Allowed: login, api.")
    code, message = refusal("limits", "reset", "--rule", "login", "--who", "nobody")
    assert code == 2
    assert "counts by address" in message
