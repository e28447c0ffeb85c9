"""A denial in the form that the client wants, and fields that a parser of structured fields understands."""

from __future__ import annotations

import json
import re

import pytest
from django.contrib.staticfiles import finders
from django.template import TemplateDoesNotExist
from django.test import RequestFactory, override_settings
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from django_dripcache.rates import Decision, Rate
from django_dripcache.refusals import Standing, refuse, tell

HTML = "text/html; charset=utf-8"
JSON = "application/problem+json"
TEXT = "text/plain; charset=utf-8"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def stands(name="one", *, left=0, reset=60.0, retry=0.0, rate=None, degraded=False):
    rate = rate or Rate(5, 60)
    decision = Decision(not retry, rate.limit, rate.limit - left, left, reset, retry, rate, degraded)
    return Standing(name, rate, decision)


def refused(accept=None, standings=None, **headers):
    asked = RequestFactory().get("/", headers={"accept": accept, **headers} if accept is not None else headers)
    return refuse(asked, standings or [stands(retry=30.0)])


# Structured fields, read by a parser of their own (RFC 9651, Lists of Strings with Integers as parameters)

ITEM = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"((?:;[a-z*][a-z0-9_.*-]*=-?[0-9]{1,15})*)')


def parsed(field):
    """Return the items of a List, as pairs of a name and its parameters, or fail."""
    items, place = [], 0
    while True:
        found = ITEM.match(field, place)
        assert found, f"no Item at {field[place:]!r}"
        parameters = dict(part.split("=") for part in found[2].split(";")[1:])
        items.append((re.sub(r"\\(.)", r"\1", found[1]), {name: int(value) for name, value in parameters.items()}))
        place = found.end()
        if place == len(field):
            return items
        assert field[place : place + 2] == ", "
        place += 2


def test_a_response_tells_its_policies_and_what_is_left_as_the_draft_writes_it():
    response = refused(standings=[stands("permin", left=50, reset=29.2, rate=Rate(100, 60)), stands("x", retry=7.5)])
    assert response["RateLimit-Policy"] == '"permin";q=100;w=60, "x";q=5;w=60'
    assert response["RateLimit"] == '"x";r=0;t=8'
    allowed = refused()
    tell(allowed, [stands("permin", left=50, reset=29.2, rate=Rate(100, 60)), stands("x", left=4, reset=12)])
    assert allowed["RateLimit"] == '"permin";r=50;t=30, "x";r=4;t=12'


@given(st.text(min_size=1, max_size=40), st.integers(1, 999_999_999), st.integers(1, 366 * 86_400))
def test_whatever_a_policy_is_called_its_field_can_be_parsed(name, limit, window):
    response = refused(standings=[stands(name, rate=Rate(limit, window), retry=1)])
    ((told, policy),) = parsed(response["RateLimit-Policy"])
    assert policy == {"q": limit, "w": window}
    ((same, left),) = parsed(response["RateLimit"])
    assert (told, left) == (same, {"r": 0, "t": 1})
    if re.fullmatch(r"[ -~]+", name):
        assert told == name


def test_without_a_limit_nothing_is_told():
    response = refused()
    before = dict(response.items())
    tell(response, [])
    assert dict(response.items()) == before


@pytest.mark.parametrize(
    ("retry", "told"), [(0.0001, 1), (0.4, 1), (1.0, 1), (1.01, 2), (59.5, 60), (3600.0, 3600), (86399.2, 86400)]
)
def test_the_time_to_wait_is_whole_seconds_rounded_up_and_at_least_one(retry, told):
    response = refused(standings=[stands(retry=retry)])
    assert response["Retry-After"] == str(told)
    assert response["RateLimit"] == f'"one";r=0;t={told}'


def test_a_denial_is_never_told_to_be_over():
    denied = Standing("one", Rate(5, 60), Decision(False, 5, 5, 0, 0.0, 0.0, Rate(5, 60)))
    assert refused(standings=[denied])["Retry-After"] == "1"


def test_of_several_denials_the_longest_is_waited_for_and_nothing_that_is_told_comes_after_it():
    standings = [stands("a", retry=3.2), stands("b", retry=80.1), stands("c", left=3, reset=9000)]
    response = refused(standings=standings)
    assert response["Retry-After"] == "81"
    assert [one["t"] for _, one in parsed(response["RateLimit"])] == [4, 81]
    assert len(parsed(response["RateLimit-Policy"])) == 3


def test_what_an_open_outage_leaves_is_no_more_than_the_policy_has():
    response = refused()
    tell(response, [Standing("a", Rate(5, 60), Decision(True, 100, 0, 100, 0.0, 0.0, Rate(100, 3600), degraded=True))])
    assert response["RateLimit"] == '"a";r=5;t=0'


# The response


def test_a_denial_is_a_429_that_nobody_keeps():
    for accept in (BROWSER, "application/json", "*/*"):
        response = refused(accept)
        assert response.status_code == 429
        assert response["Cache-Control"] == "no-store"
        assert response["Vary"] == "Accept"
        assert response["Retry-After"] == "30"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (BROWSER, HTML),
        ("text/html", HTML),
        ("application/xhtml+xml", HTML),
        ("text/html;q=0.5, application/json;q=0.4", HTML),
        ("application/json", JSON),
        ("application/problem+json", JSON),
        ("application/vnd.api+json", JSON),
        ("application/json, text/plain, */*", JSON),
        ("application/json; indent=4, text/html;q=0.9", JSON),
        ("text/html;q=0.4, application/json;q=0.5", JSON),
        ("text/html;q=0, application/json;q=0.1", JSON),
        ("*/*", TEXT),
        (None, TEXT),
        ("", TEXT),
        ("text/plain", TEXT),
        ("text/*", TEXT),
        ("image/png", TEXT),
        ("text/html;q=0", TEXT),
        ("garbage", TEXT),
        (";;;,,/", TEXT),
        ("text/plain;" + "a" * 20_000, TEXT),
        ("text/html;a*=nowhere''b", TEXT),
    ],
)
def test_the_body_is_in_the_form_that_is_accepted(accept, kind):
    assert refused(accept)["Content-Type"] == kind


def test_a_problem_is_the_one_of_the_draft_and_names_what_was_exceeded():
    response = refused("application/json", [stands("a", left=2), stands("b", retry=30), stands("c", retry=3)])
    assert json.loads(response.content) == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Too many requests",
        "status": 429,
        "detail": "Try again in 30 seconds.",
        "violated-policies": ["b", "c"],
    }


def test_a_denial_while_redis_is_away_is_another_problem():
    response = refused("application/json", [stands(retry=1, degraded=True)])
    assert json.loads(response.content)["type"].endswith("#temporary-reduced-capacity")


def test_text_is_one_line():
    assert refused("*/*").content == b"Too many requests. Try again in 30 seconds.\n"


@pytest.mark.parametrize(
    ("retry", "advice"),
    [
        (1, "Try again in 1 second."),
        (119, "Try again in 119 seconds."),
        (120, "Try again in 2 minutes."),
        (121, "Try again in 3 minutes."),
        (7199, "Try again in 120 minutes."),
        (7200, "Try again in 2 hours."),
        (86400, "Try again in 24 hours."),
    ],
)
def test_people_are_told_a_length_of_time_that_they_can_read(retry, advice):
    assert advice in refused("*/*", [stands(retry=retry)]).content.decode()


# The page


def test_the_page_is_clean_for_a_strict_csp():
    page = refused(BROWSER).content.decode()
    assert "<script" not in page
    assert "<style" not in page
    assert not re.search(r"\s(style|on\w+)\s*=", page)
    assert re.findall(r'(?:href|src)="([^"]+)"', page) == ["/static/django_dripcache/429.css"]
    assert "Try again in 30 seconds." in page


def test_the_page_is_in_the_language_of_the_visitor():
    with translation.override("ar"):
        assert '<html lang="ar" dir="rtl">' in refused(BROWSER).content.decode()


@pytest.mark.parametrize(
    "theirs", ["{{ request.path }} {{ advice }} {{ retry_after }}", "{% extends 'nowhere.html' %}"]
)
def test_a_site_has_a_page_of_its_own(tmp_path, settings, theirs):
    tmp_path.joinpath("django_dripcache").mkdir()
    tmp_path.joinpath("django_dripcache", "429.html").write_text(theirs)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    if "nowhere" in theirs:
        with pytest.raises(TemplateDoesNotExist, match=r"nowhere\.html"):
            refused(BROWSER)
    else:
        assert refused(BROWSER).content == b"/ Try again in 30 seconds. 30"


def test_where_no_engine_finds_the_page_it_is_text():
    with override_settings(TEMPLATES=[]):
        assert refused(BROWSER)["Content-Type"] == TEXT


@pytest.mark.parametrize("root", [None, "nothing is in here"])
def test_without_collected_files_the_page_has_no_style_and_is_there(root):
    storage = {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}
    with override_settings(STORAGES={"staticfiles": storage}, STATIC_ROOT=root, DEBUG=False):
        response = refused(BROWSER)
    assert response.status_code == 429
    assert b"stylesheet" not in response.content


def test_the_stylesheet_is_there():
    assert finders.find("django_dripcache/429.css")


def test_the_page_asks_for_no_session_and_no_user():
    class Explosive:
        def __getattr__(self, name):
            raise AssertionError(name)

    asked = RequestFactory().get("/", headers={"accept": BROWSER})
    asked.user, asked.session = Explosive(), Explosive()
    assert refuse(asked, [stands(retry=3)]).status_code == 429
