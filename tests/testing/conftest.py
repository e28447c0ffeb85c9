"""Sandboxes in the test's own process, on each kind of server; and projects of their own for whole runs."""

from __future__ import annotations

import pytest

from django_dripcache.testing import Sandbox
from django_dripcache.testing import home as homes
from django_dripcache.testing.home import VARIABLE

from .project import Project

KINDS = ["redis", "fakeredis"]


def stop_home():
    """Stop the home of this process; who asks for one after that gets a new one."""
    while homes._homes:
        homes._homes.pop().stop()


@pytest.fixture(params=KINDS, scope="module")
def kind(request):
    """Let the home of this process be on such a server, for all tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, request.param)
        stop_home()
        yield request.param
        stop_home()


@pytest.fixture
def sandbox(kind):
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def project(tmp_path, redis_server, raw):
    """A site of its own, whose caches are on a real server; after its tests, nothing may be there."""
    return Project(tmp_path, redis_server.url)
