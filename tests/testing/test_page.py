"""What the page on testing shows and says is so."""

from __future__ import annotations

import inspect
import re

from django_dripcache.testing import Sandbox
from django_dripcache.testing.place import PATIENCE
from tests.test_docs import PAGES, arguments, blocks

from .project import outcomes

PAGE = PAGES["testing.rst"]


def test_the_examples_pass(project):
    shown = {caption: text for caption, text in blocks("testing.rst") if caption}
    assert set(shown) == {"test_prices.py", "tests.py"}
    for caption, text in shown.items():
        project.write(caption, text)
    ini = re.search(r":caption: pytest\.ini\n\n +\[pytest\]\n +(.+)\n", PAGE)[1]
    done = project.pytest(*shown, ini=ini, DRIPCACHE_TEST_SERVER="fakeredis")
    assert outcomes(done) == "4 passed", done.stdout


def test_every_verb_is_listed_with_its_arguments():
    listed = dict(re.findall(r"^    \* - ``(\w+)(\(.*\))``$", PAGE, re.MULTILINE))
    verbs = inspect.getmembers(Sandbox, inspect.isfunction)
    expected = {name: re.sub(r"self(, )?", "", arguments(verb)) for name, verb in verbs if not name.startswith("_")}
    assert listed == {name: text.replace("Ellipsis", "...") for name, text in expected.items()}


def test_the_numbers_are_the_codes():
    assert f"A call has {PATIENCE:g} seconds in tests" in PAGE
    assert "It has 16 databases" in PAGE  # test_home.py asks for one more
