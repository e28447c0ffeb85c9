"""Arguments as text: told apart where they differ, the same in every process, and refused where neither is sure."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import json
import math
import os
import subprocess
import sys
import uuid
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.http import HttpRequest, QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy, override
from hypothesis import given
from hypothesis import strategies as st

from django_dripcache.arguments import canonical

from .processes import ROOT

UTC = dt.timezone.utc
VIENNA = ZoneInfo("Europe/Vienna")


def text(value):
    return canonical("value", value)


class Text(str):
    __slots__ = ()


class Tagged(str):  # noqa: SLOT000 - it has more to it than its text
    """A text with attributes."""


class Cents(int):
    def __repr__(self):
        return "some"

    __str__ = __repr__


class Money(Decimal):
    __slots__ = ("currency",)


class Colour(enum.Enum):
    RED = "red"
    SCARLET = "red"  # noqa: PIE796 - an alias
    BLUE = "blue"


class Size(enum.IntEnum):
    S = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2
    ADMIN = 4


class Status(models.TextChoices):
    DRAFT = "draft", gettext_lazy("Draft")


class Point(NamedTuple):
    x: int
    y: int


class Pair(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Filter:
    words: list[str]
    limit: int = 10
    seen: int = dataclasses.field(default=0, compare=False)


@dataclasses.dataclass(frozen=True)
class Frozen:
    words: tuple[str, ...]


class FilterWithMore(Filter):
    """Is no dataclass itself, and may have anything."""


class Plain:
    """An object of a class of the site's own."""


class Zone(dt.tzinfo):
    """Has no repr() of its own."""

    def utcoffset(self, moment):
        return dt.timedelta(0)


class Basket(list):
    """A list with attributes."""


def day(**options: Any) -> dt.datetime:
    """Return a time that there was twice in Vienna."""
    return dt.datetime(**{"year": 2026, "month": 10, "day": 25, "hour": 2, "minute": 30, **options})  # noqa: DTZ001 - also without a zone


# Each line is of values that might be taken for each other, and all must differ.
LOOKALIKES = [
    [1, 1.0, True, "1", b"1", Decimal(1), 1 + 0j, Size.S, Cents(1), "True", "1.0", [1], (1,), {1}, frozenset({1})],
    [0, 0.0, -0.0, False, "", b"", None, "None", [], (), set(), {}, frozenset()],
    ["a", b"a", Text("a"), SafeString("a"), gettext_lazy("a"), "'a'", ["a"], Colour.RED, "Colour.RED"],
    [["a, b"], ["a", "b"], [["a"], "b"], ["a", ["b"]], ["'a', 'b'"], "list('a', 'b')", ("a", "b")],
    [{"a": 1, "b": 2}, {"a": "1, 'b': 2"}, {"a: 1, 'b'": 2}, [("a", 1), ("b", 2)], {"a", "b"}, {"a": {"b": 2}}],
    [{1: 1}, {True: 1}, {1.0: 1}, {"1": 1}, {1: True}],
    [
        collections.OrderedDict(a=1, b=2),
        collections.OrderedDict(b=2, a=1),
        collections.Counter(a=1, b=2),
        collections.defaultdict(int, a=1, b=2),
        {"a": 1, "b": 2},
    ],
    [MultiValueDict({"a": ["1", "2"]}), MultiValueDict({"a": ["2"]}), {"a": "2"}, {"a": ["2"]}],
    [Decimal("1.0"), Decimal("1.00"), Decimal(1), Decimal("NaN"), Decimal("-NaN"), Decimal("Infinity")],
    [math.nan, math.inf, -math.inf, "nan", "inf", 1e308],
    [0.1, 0.1 + 2**-56, Decimal("0.1"), "0.1"],
    [2**63, float(2**63), -(2**63)],
    [dt.date(2026, 10, 25), day(hour=0, minute=0), "2026-10-25", day(hour=0, minute=0, tzinfo=UTC)],
    [day(), day(tzinfo=UTC), day(tzinfo=VIENNA), day(tzinfo=VIENNA, fold=1), day(fold=1), day(microsecond=1)],
    [day(tzinfo=ZoneInfo("UTC")), day(tzinfo=UTC), day(tzinfo=dt.timezone(dt.timedelta(0), "Z"))],
    [dt.time(1), dt.time(1, tzinfo=UTC), dt.time(1, fold=1), dt.timedelta(hours=1), 3600],
    [uuid.UUID(int=1), str(uuid.UUID(int=1)), 1],
    [Colour.RED, Colour.BLUE, "red", Colour],
    [Right.READ, Right.WRITE, Right.READ | Right.WRITE, Right.READ | Right.ADMIN, Right(0), 1],
    [Status.DRAFT, "draft", Status],
    [Point(1, 2), Pair(1, 2), (1, 2), Point(2, 1)],
    [Filter(["a"]), Filter(["b"]), Filter(["a"], 5), Filter(["a"], seen=1), Frozen(("a",)), Filter],
    [User(pk=1), User(pk=2), Group(pk=1), User(pk="1"), User(pk=True), "auth.user:1", 1, User, Permission(pk=1)],
    [User, Group, "django.contrib.auth.models.User", Plain, type, int],
    ["\ud800", "\\ud800", "?", "\u00fc", "u\u0308"],
    ["a\0b", "a\\x00b", "ab"],
]


@pytest.mark.parametrize("values", LOOKALIKES, ids=lambda values: repr(values[0]))
def test_values_that_look_alike_are_told_apart(values):
    texts = [text(value) for value in values]
    assert len(set(texts)) == len(values), sorted(texts)


EQUAL = [
    ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
    ({1, "1", None, 2.5, (1,)}, {(1,), 2.5, None, "1", 1}),
    (frozenset({frozenset({1, 2}), 3}), frozenset({3, frozenset({2, 1})})),
    ([{"a": {1, 2}}], [{"a": {2, 1}}]),
    (float("nan"), float("-nan")),
    (Colour.RED, Colour.SCARLET),
    (Filter(["a"]), Filter(["a"])),
    (Right.READ | Right.WRITE, Right.WRITE | Right.READ),
    (User(pk=1, username="a"), User(pk=1, username="b")),
    (SimpleLazyObject(lambda: User(pk=1)), User(pk=1)),
    (SimpleLazyObject(lambda: {"a": [1]}), {"a": [1]}),
    (SimpleLazyObject(lambda: SimpleLazyObject(lambda: "a")), "a"),
    (mark_safe("a"), SafeString("a")),
    (collections.OrderedDict(a=1), collections.OrderedDict(a=1)),
]


@pytest.mark.parametrize(("one", "other"), EQUAL, ids=lambda value: type(value).__name__)
def test_values_that_are_equal_have_one_text(one, other):
    assert text(one) == text(other)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "None"),
        (7, "7"),
        ("it's", '"it\'s"'),
        ([1, "a"], "list(1, 'a')"),
        ({"b": 1, "a": 2}, "dict('a': 2, 'b': 1)"),
        (User(pk=7), "auth.user:7"),
        (Colour.RED, "tests.test_arguments.Colour['RED']"),
        (Right.READ | Right.WRITE, "tests.test_arguments.Right[3]"),
        (Filter(["a"]), "tests.test_arguments.Filter(words=list('a'), limit=10, seen=0)"),
        (Point(1, 2), "tests.test_arguments.Point(1, 2)"),
        (SafeString("<b>"), "django.utils.safestring.SafeString('<b>')"),
        (Cents(7), "tests.test_arguments.Cents(7)"),
        (User, "django.contrib.auth.models.User"),
        (day(), "datetime.datetime(2026, 10, 25, 2, 30)"),
    ],
    ids=repr,
)
def test_the_text_of_a_value_can_be_read(value, expected):
    assert text(value) == expected


def test_a_translation_is_its_text_in_the_language_of_the_moment():
    with override("de"):
        german = text(gettext_lazy("Yes"))
    with override("en"):
        assert text(gettext_lazy("Yes")) != german == "lazy('Ja')"


REFUSED = {
    "an object": Plain(),
    "a function": text,
    "a lambda": lambda: None,
    "a generator": (number for number in ()),
    "a namespace": SimpleNamespace(a=1),
    "a mock": mock.Mock(),
    "a module": math,
    "bytes that can change": bytearray(b"a"),
    "a generic alias": list[int],
    "a request": HttpRequest(),
    "a visitor without a row": AnonymousUser(),
    "a lazy visitor without a row": SimpleLazyObject(AnonymousUser),
    "a row that is not saved": User(username="a"),
    "a text with attributes": Tagged("a"),
    "a number with slots": Money(1),
    "a list with attributes": Basket([1]),
    "a query string": QueryDict("a=1"),
    "an object derived from a dataclass": FilterWithMore(["a"]),
    "a time of a nameless zone": day(tzinfo=Zone()),
    "a nameless zone": Zone(),
    "an object within": [{"a": (Plain(),)}],
    "an object as a key": {Plain(): 1},
    "an object in a dataclass": Filter([Plain()]),
    "a class of a function": type("<locals>.Made", (), {}),
}
REFUSED["a text with attributes"].tag = REFUSED["a list with attributes"].owner = "somebody"


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_what_is_told_from_others_by_its_identity_is_refused(value):
    with pytest.raises(TypeError, match=r"No key can be made of the argument value of type [\w<>.]+: .*key="):
        text(value)


def test_a_refusal_names_the_type_and_the_reason_and_not_the_value():
    with pytest.raises(TypeError, match="type User: it has no primary key yet") as caught:
        text([User(username="a secret")])
    assert "secret" not in str(caught.value)
    with pytest.raises(TypeError, match="type AnonymousUser"):
        text(SimpleLazyObject(AnonymousUser))


def test_no_query_is_made_for_an_argument():
    # There is no access to a database in this test: a query would fail with another error.
    for query in (User.objects.all(), User.objects.only("pk"), User.objects, Group(pk=1).user_set):
        with pytest.raises(TypeError, match="No key can be made"):
            text(query)
    assert text(User(pk=1)) == "auth.user:1"
    assert text(ContentType(pk=1, app_label="a", model="b")) == "contenttypes.contenttype:1"


def test_a_deferred_row_is_its_key_and_is_not_loaded():
    row = User.from_db("default", ["id"], [5])
    assert row.get_deferred_fields()
    assert text(row) == "auth.user:5"


def test_a_key_of_several_columns_has_to_be_whole():
    class Row(models.Model):  # noqa: DJ008 - only its key is asked for
        class Meta:
            app_label = "tests"

        @property
        def pk(self):
            return self.columns

    row = Row()
    row.columns = (1, "a")
    assert text(row) == "tests.row:tuple(1, 'a')"
    row.columns = (1, None)
    with pytest.raises(TypeError, match="no primary key"):
        text(row)


def test_a_very_long_or_deep_argument_has_a_text():
    assert len(text("x" * 10_000_000)) == 10_000_002
    deep = [1]
    for _ in range(100):
        deep = [deep]
    assert text(deep).count("list") == 101


SAME_EVERYWHERE = """
import json, django; django.setup()
from tests.test_arguments import LOOKALIKES, EQUAL, text
print(json.dumps([[text(value) for value in values] for values in [*LOOKALIKES, *EQUAL]]))
"""


def test_every_process_writes_the_same():
    told = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        done = subprocess.run(
            [sys.executable, "-c", SAME_EVERYWHERE], cwd=ROOT, env=environment, capture_output=True, check=True
        )
        told.append(json.loads(done.stdout))
    assert told[0] == told[1] == [[text(value) for value in values] for values in [*LOOKALIKES, *EQUAL]]


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


def exact(value):
    """Return a value as tuples that are equal if, and only if, all types and all values are."""
    if isinstance(value, (list, tuple)):
        return (type(value), *map(exact, value))
    if isinstance(value, dict):
        return (dict, frozenset((exact(key), exact(item)) for key, item in value.items()))
    # Of floats the sign of zero counts, of decimals the zeros at the end, of times the zone and the fold.
    return (type(value), repr(value))


@given(VALUES, VALUES)
def test_two_values_have_one_text_if_and_only_if_they_are_one(one, other):
    assert (text(one) == text(other)) == (exact(one) == exact(other))
