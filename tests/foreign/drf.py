"""
A plugin of pytest: puts the throttles of this package in the place of Django REST framework's.

Its tests say what time it is by replacing the ``timer`` of a throttle. The clock of our limits is the server's. So the
server and this process are told the time of that timer before each request: the scripts run as they are, but for where
they look at the clock.
"""

from __future__ import annotations

import json
import os
import re
import types
from typing import Any
from unittest import mock

import redis
from rest_framework import throttling

from django_dripcache import limiter, tally
from django_dripcache.contrib import drf
from django_dripcache.flows import steps

CLOCK = "foreign:clock"
FOR_LONG = b"'PX', 600000)"
"""A test whose clock stands still may take longer than its window."""

_patches: list[Any] = []
_now = 0.0


def pytest_configure() -> None:
    """Replace the throttles and the clock, before a test module imports them."""
    client = redis.Redis.from_url(os.environ["FOREIGN_SERVER"])
    decide, read = drf.SimpleRateThrottle.allow_request, steps.source

    def allow_request(throttle: Any, request: Any, view: Any) -> bool:
        global _now  # noqa: PLW0603 - it is the time
        _now = throttle.timer()
        seconds, rest = divmod(round(_now * 1_000_000), 1_000_000)
        client.set(CLOCK, json.dumps([str(seconds), str(rest)]))
        return decide(throttle, request, view)

    def source(name: str) -> bytes:
        text = read(name).replace(b"redis.call('TIME')", b"cjson.decode(redis.call('GET', '%s'))" % CLOCK.encode())
        return re.sub(rb"'PX', .*\)", FOR_LONG, text)

    clock = types.SimpleNamespace(monotonic=lambda: _now)
    _patches.extend(mock.patch.object(throttling, name, getattr(drf, name)) for name in drf.__all__)
    _patches.append(mock.patch.object(drf.SimpleRateThrottle, "allow_request", allow_request))
    _patches.append(mock.patch.object(steps, "source", source))
    _patches.extend(mock.patch.object(module, "time", clock) for module in (limiter, tally))
    for patch in _patches:
        patch.start()


def pytest_unconfigure() -> None:
    """Put everything back."""
    while _patches:
        _patches.pop().stop()
