"""
Every fault at every verb: one fault a test, whose cells are filled together; see trial.py.

Each call is over in time and answers as stated; no connection is lost, the cache is back, and nobody reads what was
there before.
"""

from __future__ import annotations

import logging
from typing import Final

import pytest

from django_dripcache import outcomes

from .outages import FAULTS
from .trial import COLUMNS, hold, note
from .verbs import Raises


@pytest.mark.parametrize("driver", ["sync", "async"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_verb_keeps_what_is_promised_through_a_fault(fault, driver, record_property, caplog):
    caplog.set_level(logging.CRITICAL, "django_dripcache")  # a hundred outages have as many lines
    broken = {}
    for column, cell in hold(fault, twins=driver == "async").items():
        found = cell.complaints(FAULTS[fault])
        record_property("cell", note(fault, column, cell.seconds, ok=not found))
        broken[column] = found
    lines = [f"{column}: {line}" for column, found in broken.items() for line in found]
    assert not lines, "\n".join(lines)


STATED: Final = {**outcomes.MANAGERS, **outcomes.SERVICES, **outcomes.AUTH, **outcomes.LIMITS}


@pytest.mark.parametrize("call", STATED)
def test_a_verb_whose_outcome_is_stated_is_in_the_matrix_and_raises_where_that_says_so(call):
    raises = STATED[call].startswith("raises")
    title, name = call.split("(")[0].split(".")
    ours = [verb for column, (_, verb) in COLUMNS.items() if column.split(",")[0] == f"{title}: {name}"]
    assert any(isinstance(verb.away, Raises) == raises for verb in ours)
