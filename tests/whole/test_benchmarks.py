"""The benchmarks run, from beginning to end, and tell of everything that they are to compare."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.calls import PAYLOADS, rows
from benchmarks.dashboard import PAGES
from benchmarks.replay import CUT, trace
from tests.processes import needs_server

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"[\d,.]+%?(?: \([\d.]+\))?|-|yes|no")
CACHES = ["ours, near", "ours", "django-redis", *(["django-valkey"] if find_spec("django_valkey") else [])]
CACHES += ["RedisCache", "LocMemCache"]


def tables(text: str) -> list[list[list[str]]]:
    """Return the tables of a text, each as its rows with the head, by their rules: cells hold single spaces."""
    found = []
    shape = r"^(=+(?:  =+)+)\n(.+)\n\1\n((?:.+\n)+?)\1$"
    for rule, head, body in re.findall(shape, text, re.MULTILINE):
        starts = [match.span() for match in re.finditer("=+", rule)]
        found.append([[line[first:last].strip() for first, last in starts] for line in [head, *body.splitlines()]])
    return found


def run(name: str, *options: str) -> str:
    """Return what a benchmark prints."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def printed() -> list[list[list[str]]]:
    """What the command prints with rounds that are as few as can be."""
    return tables(run("caches", "--seconds", "0", "--accesses", "600"))


@needs_server
def test_every_table_is_printed_with_every_row(printed):
    firsts = [[row[0] for row in table[1:]] for table in printed]
    assert firsts == [
        [
            "get, hit",
            "get, miss",
            "set",
            "incr",
            "touch",
            "delete",
            "get_or_set, miss",
            "get_many(100)",
            "set_many(100)",
            "memoize, hit",
        ],
        ["get 100 B", "get 5 KB", "get 100 KB", "set 100 B", "set 5 KB", "set 100 KB"],
        ["get, hit", "set", "get_or_set, miss", "get_many(100)"],
        ["one aget after another", "100 aget at once"],
        [
            way
            for name in CACHES
            for way in (f"{name}, get_or_set", *([f"{name}, memoize"] if name.startswith("ours") else []))
        ],
        CACHES,
        ["ours, near", "LocMemCache"],
        ["0", "1", "10", "50"],
        firsts[-1],
    ]
    assert len(firsts[-1]) == 12


@needs_server
def test_every_cache_has_a_column(printed):
    for number, names in enumerate([[*CACHES, "plain socket"], CACHES, CACHES]):
        assert printed[number][0][1:] == names
    assert printed[3][0][1:] == [name for name in CACHES if name != "django-valkey"]


@needs_server
def test_every_cell_is_a_number_and_only_what_a_cache_does_not_have_is_left_out(printed):
    cells = [(table[0][1:], row) for table in printed for row in table[1:]]
    assert [cell for _, row in cells for cell in row[1:] if not NUMBER.fullmatch(cell)] == []
    absent = {(row[0], name) for names, row in cells for name, cell in zip(names, row[1:], strict=True) if cell == "-"}
    others = {name for name in CACHES if not name.startswith("ours")} | {"plain socket"}
    without = {(name, "without Redis") for name in CACHES if name != "ours, near"}
    assert absent == {("memoize, hit", name) for name in others} | {("get_or_set, miss", "plain socket")} | without


@needs_server
def test_near_hits_and_stampedes_are_what_they_are_said_to_be(printed):
    calls = {row[0]: int(row[1]) for row in printed[4][1:]}
    assert calls["ours, memoize"] == calls["ours, near, memoize"] == 1
    assert calls["django-redis, get_or_set"] > 1
    replayed = {row[0]: row[2] for row in printed[5][1:]}
    assert len(set(replayed.values())) == 1


@needs_server
def test_every_page_of_the_admin_is_measured_and_clear_leaves_what_is_not_the_sites():
    done = run("dashboard", "--keys", "2000")
    (found,) = tables(done)
    assert [row[0] for row in found[1:]] == ["(overview)", *PAGES[1:]]
    assert all(row[1].isdigit() for row in found[1:])
    assert "To clear took" in done


def test_the_cut_of_the_trace_is_whole():
    keys = trace(CUT, 10**9)
    assert len(keys) == 500_000
    assert len(set(keys)) == 27_593
    assert trace(CUT, 3) == keys[:3]


def test_values_are_as_large_as_their_names_say():
    sizes = {name: len(pickle.dumps(value)) for name, value in PAYLOADS.items()}
    assert 80 <= sizes["100 B"] <= 130
    assert 5_000 <= sizes["5 KB"] <= 5_500
    assert 100_000 <= sizes["100 KB"] <= 110_000
    assert rows(5_000) == PAYLOADS["5 KB"]
