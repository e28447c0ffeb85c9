"""Answers of other services' APIs."""

from __future__ import annotations

import pytest

from django_dripcache import CacheUnavailableError, api_cache, on_outage

from ..processes import UNREACHABLE, sent, site, wait_for

PATH = "https://api.example.com/airports"


@pytest.fixture
def here(patient, raw):
    return raw


@pytest.fixture
def answers(here, drive):
    return drive(api_cache)


def broken(*_):
    raise ConnectionError


def test_an_answer_is_kept_by_its_address_and_its_parameters(answers):
    assert answers.get(PATH) is None
    assert answers.set(PATH, [1, 2]) is True
    assert answers.set(PATH, [3], {"page": 2}) is True
    assert answers.get(PATH) == answers.get(PATH, {}) == [1, 2]
    assert answers.get(PATH, {"page": 2}) == answers.get(PATH, {"page": "2"}) == [3]
    assert answers.get(PATH, {"page": 3}, "mine") == "mine"


def test_the_order_of_parameters_does_not_matter_and_their_values_do(answers):
    answers.set(PATH, "found", {"a": 1, "b": ["x", "y"]})
    assert answers.get(PATH, {"b": ["x", "y"], "a": 1}) == "found"
    assert answers.get(PATH, {"b": ["y", "x"], "a": 1}) is None
    assert answers.get(PATH, {"a": "1&b=x&b=y"}) is None


def test_one_answer_is_dropped_or_all_of_a_path_or_all(answers, here):
    for page in range(20):
        answers.set(PATH, page, {"page": page})
    answers.set("other", "kept")
    assert answers.delete(PATH, {"page": 0}) is True
    assert answers.delete(PATH, {"page": 0}) is False
    assert answers.get(PATH, {"page": 1}) == 1
    answers.delete("unknown")  # the server has the script by now
    assert len(sent(here, lambda: answers.delete(PATH))) == 1
    assert [answers.get(PATH, {"page": page}) for page in range(20)] == [None] * 20
    assert answers.get("other") == "kept"
    assert len(sent(here, answers.clear)) == 1
    assert answers.get("other") is None


def test_the_last_answer_is_given_while_the_api_is_down(answers):
    answers.get_or_set(PATH, lambda: "old", ttl=0.02, grace=60)
    wait_for(lambda: answers.get(PATH) is None)
    assert answers.get_or_set(PATH, broken, ttl=60, grace=60) == "old"


def test_an_answer_that_has_not_changed_is_kept_for_another_ttl(answers):
    answers.get_or_set(PATH, lambda: {"etag": "1", "rows": [1]}, ttl=0.02, grace=60)
    wait_for(lambda: answers.get(PATH) is None)

    def ask(context):
        assert context.stale["etag"] == "1"
        context.not_modified()

    assert answers.get_or_set(PATH, ask, ttl=60, grace=60) == {"etag": "1", "rows": [1]}
    assert answers.get(PATH) == {"etag": "1", "rows": [1]}


def test_an_answer_that_does_not_fit_its_type_is_asked_for_again(answers):
    answers.set(PATH, "text")
    assert answers.get(PATH, type=list[int]) is None
    assert answers.get_or_set(PATH, lambda: [1], type=list[int]) == [1]


def test_without_redis_the_api_is_asked(drive):
    with site(UNREACHABLE, {}):
        answers = drive(api_cache)
        assert answers.get_or_set(PATH, lambda: "new") == "new"
        assert answers.clear() is None
        with on_outage("raise"), pytest.raises(CacheUnavailableError):
            answers.get(PATH)
