"""What a process counts."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_dripcache.counts import HIT, MISS, MOST, MOST_DENIED, MOST_STARTS, Counts, Label
from tests.processes import in_threads


@pytest.fixture
def counts():
    found = Counts()
    found.group = lambda start: start.decode()
    return found


def taken(counts):
    return {label.name: cell[HIT] for label, cell in counts.take()[0].items()}


def test_what_was_counted_is_taken_once(counts):
    counts.of_key(b"a:1")[HIT] += 2
    counts.of_key(b"b:1")[HIT] += 1
    assert taken(counts) == {"a": 2, "b": 1}
    assert taken(counts) == {}
    counts.of_key(b"a:2")[HIT] += 1
    assert taken(counts) == {"a": 1}


def test_what_is_given_back_is_taken_with_what_came_since(counts):
    counts.of_key(b"a:1")[HIT] += 2
    counts.deny("rule", "who")
    grown, denied = counts.take()
    counts.of_key(b"a:1")[HIT] += 1
    counts.deny("rule", "who")
    counts.give_back(grown, denied)
    grown, denied = counts.take()
    assert grown[Label("k", "a")][HIT] == 3
    assert denied == {("rule", "who"): 2}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["count", "take", "fail"])), max_size=30))
def test_nothing_is_lost_and_nothing_is_taken_twice(acts):
    counts = Counts()
    counts.group = lambda start: start.decode()
    counted, sent = {"a": 0, "b": 0}, {"a": 0, "b": 0}
    for name, act in [*acts, ("a", "take")]:
        if act == "count":
            counts.of_key(f"{name}:x".encode())[HIT] += 1
            counted[name] += 1
            continue
        grown, denied = counts.take()
        if act == "fail":
            counts.give_back(grown, denied)
        else:
            for label, cell in grown.items():
                sent[label.name] += cell[HIT]
    assert sent == counted


def test_threads_lose_no_count_while_others_take(counts):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    sent = []

    def work(number):
        if number == 0:
            sent.extend(taken(counts).get("a", 0) for _ in range(300))
        else:
            for _ in range(20_000):
                counts.of_key(b"a:1")[HIT] += 1

    try:
        in_threads(5, work)
    finally:
        sys.setswitchinterval(interval)
    assert sum(sent) + taken(counts).get("a", 0) == 80_000


def test_there_is_a_bounded_number_of_labels(counts):
    for number in range(MOST["l"] + 50):
        counts.of("l", f"rule {number}")[0] += 1
    cells = counts.take()[0]
    assert len(cells) == MOST["l"] + 1
    assert cells[Label("l", "other")][0] == 50


def test_beginnings_of_names_are_remembered_in_a_bounded_number(counts):
    counts.group = lambda _: "all"
    for number in range(2 * MOST_STARTS + 10):
        counts.of_key(f"{number}:x".encode())[MISS] += 1
    assert len(counts._starts) <= MOST_STARTS
    assert counts.take()[0][Label("k", "all")][MISS] == 2 * MOST_STARTS + 10


def test_of_whom_limits_denied_a_bounded_number_is_told(counts):
    for number in range(MOST_DENIED + 10):
        counts.deny("rule", str(number))
    counts.deny("rule", "0")
    denied = counts.take()[1]
    assert len(denied) == MOST_DENIED
    assert denied["rule", "0"] == 2


def test_names_without_a_group_are_not_counted(counts):
    counts.group = lambda _: None
    counts.of_key(b"celery")[HIT] += 1
    assert counts.take() == ({}, {})


def test_a_child_of_a_fork_begins_with_nothing():
    from django_dripcache.counts import COUNTS  # noqa: PLC0415 - that of this process

    COUNTS.of("t", "a test of forks")[0] += 1
    pid = os.fork()
    if pid == 0:
        os._exit(0 if COUNTS.take() == ({}, {}) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert COUNTS.take()[0][Label("t", "a test of forks")][0] == 1
