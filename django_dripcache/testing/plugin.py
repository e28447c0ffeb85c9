"""
The plugin for pytest: the fixture ``dripcache``, and two options.

It is imported in every run of pytest where the package is installed, whatever is tested. So it imports nothing that a
site that does not use it would have to wait for.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .sandbox import Sandbox

VARIABLE = "DRIPCACHE_TEST_SERVER"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the ini file."""
    parser.addini("dripcache_server", "What tests keep their caches on: auto, redis, fakeredis, or a URL.", default="")
    parser.addini("dripcache_isolate", "Give every test caches of its own.", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Say which server there is to be, and isolate every test if that is asked for."""
    server = config.getini("dripcache_server")
    if server and VARIABLE not in os.environ:
        os.environ[VARIABLE] = server
        config.add_cleanup(partial(os.environ.__delitem__, VARIABLE))
    if config.getini("dripcache_isolate"):
        config.pluginmanager.import_plugin("django_dripcache.testing.everywhere")


@pytest.fixture
def dripcache() -> Iterator[Sandbox]:
    """Give the test caches of its own, and what can be asserted of them. See django_dripcache.testing.Sandbox."""
    from .sandbox import Sandbox  # noqa: PLC0415

    with Sandbox() as sandbox:
        yield sandbox
