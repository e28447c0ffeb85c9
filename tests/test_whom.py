from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory

from django_dripcache._drive import run
from django_dripcache.recorder import home
from django_dripcache.rules import Rule
from django_dripcache.visitors import HERE, identify
from django_dripcache.whom import describe, get_counted


def by(key):
    return Rule(name="rule", rate="1/m", key=key)


def who_is(request):
    return "someone"


class User:
    is_authenticated = True
    pk = 7


def request_of(user=None, **meta):
    request = RequestFactory().get("/", **meta)
    request.user = user or AnonymousUser()
    return request


@pytest.mark.parametrize(
    ("key", "typed", "request_"),
    [
        ("ip", "203.0.113.7", request_of(REMOTE_ADDR="203.0.113.7")),
        ("ip", "2001:db8:1:2:3::4", request_of(REMOTE_ADDR="2001:db8:1:2:9::9")),
        ("ip", "2001:db8:1:2::/64", request_of(REMOTE_ADDR="2001:db8:1:2:9::9")),
        ("ip", "::ffff:203.0.113.7", request_of(REMOTE_ADDR="203.0.113.7")),
        ("ip", "unknown", request_of(REMOTE_ADDR="")),
        ("user", "7", request_of(User())),
        ("user_or_ip", "7", request_of(User())),
        ("user_or_ip", "203.0.113.7", request_of(REMOTE_ADDR="203.0.113.7")),
        ("header:X-Api-Key", "a secret", request_of(HTTP_X_API_KEY="a secret")),
        (who_is, "someone", request_of()),
    ],
)
def test_one_is_counted_as_a_request_of_theirs_is(broker, key, typed, request_):
    counted = run(identify(request_, key, HERE), home()[0])
    assert get_counted(by(key), f" {typed}\n") == counted


@pytest.mark.parametrize("key", ["ip", "user", "user_or_ip", "header:X-Api-Key", who_is])
def test_nobody_is_refused(broker, key):
    with pytest.raises(ValueError, match="Type one"):
        get_counted(by(key), "  ")


def test_what_is_no_address_is_refused(broker):
    with pytest.raises(ValueError, match=r"counts by address, and '7' is none\."):
        get_counted(by("ip"), "7")


def test_proxies_do_not_matter_to_whom_one_names(broker, settings):
    settings.DRIPCACHE = {"TRUSTED_PROXIES": 2}
    assert get_counted(by("ip"), "203.0.113.7") == "ip:203.0.113.7"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("ip", "address"),
        ("user", "the id of a user"),
        ("user_or_ip", "the id of a user, or by address"),
        ("header:X-Api-Key", "what the header X-Api-Key holds"),
        (who_is, f"what {__name__}.who_is() returns"),
    ],
)
def test_a_rule_says_by_what_it_counts(key, words):
    assert describe(by(key)) == words
