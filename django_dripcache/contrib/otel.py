"""
Spans and metrics for OpenTelemetry, of each exchange with Redis.

    from django_dripcache.contrib.otel import instrument

    instrument()

They follow the semantic conventions for clients of databases: https://opentelemetry.io/docs/specs/semconv/db/redis/.
There is no key and no value in them.
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Final

from redis.exceptions import ResponseError

from ..exceptions import CacheUnavailableError, ConfigurationError

try:
    from opentelemetry.metrics import get_meter
    from opentelemetry.trace import SpanKind, StatusCode, get_tracer
except ImportError as missing:
    _MESSAGE = (
        "django_dripcache.contrib.otel needs the package opentelemetry-api, which is not installed. "
        "Install it: pip install django-dripcache[otel]"
    )
    raise ConfigurationError(_MESSAGE) from missing

from .._counted import WATCHERS, subject
from ..areas import to_text
from ..counts import COUNTS
from ..flows.steps import Pipeline, Refused, Script

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from .._counted import Exchanged
    from ..address import Broker
    from ..flows.steps import Command, Exchange

    Attributes = dict[str, str | int]

__all__ = ["instrument", "uninstrument"]

SCHEMA: Final = "https://opentelemetry.io/schemas/1.33.0"
"""The first whose names for databases are stable."""

DURATIONS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
"""The bounds in seconds that the conventions advise for ``db.client.operation.duration``."""

_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]*(?= |\Z)")
_lock: Final = threading.Lock()


class Telling:
    """A watcher of exchanges that makes a span, and records the duration, of each that the server was asked for."""

    def __init__(
        self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None, *, groups: bool
    ) -> None:
        self._groups = groups
        self._tracer = get_tracer("django_dripcache", tracer_provider=tracer_provider, schema_url=SCHEMA)
        self._duration = get_meter(
            "django_dripcache", meter_provider=meter_provider, schema_url=SCHEMA
        ).create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )

    def __call__(self, exchanged: Exchanged) -> None:
        """Tell of an exchange that is over. The span's parent is the one that is current."""
        if not exchanged.was_asked:
            return
        ended = time.time_ns()
        attributes: Attributes = {"db.system.name": "redis", **_operation(exchanged.step), **_place(exchanged.link)}
        if self._groups:
            attributes.update(_group(exchanged.step))
        span = self._tracer.start_span(
            _name(attributes),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=ended - int(exchanged.seconds * 1e9),
        )
        failure = _failure(exchanged.error)
        if failure:
            # The text of an error is left out: what Redis says may name a key.
            span.set_attributes(failure)
            span.set_status(StatusCode.ERROR)
        span.end(ended)
        attributes.pop("db.operation.batch.size", None)  # which is of spans alone
        self._duration.record(exchanged.seconds, {**attributes, **failure})


def instrument(
    tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None, *, groups: bool = False
) -> None:
    """
    Make spans and metrics from now on, with the global providers by default; once it is on, nothing is changed.

    ``groups`` adds the group of the first key as ``dripcache.group``: a folded beginning of it, never a whole one.
    """
    with _lock:
        if not any(isinstance(watcher, Telling) for watcher in WATCHERS):
            WATCHERS.append(Telling(tracer_provider, meter_provider, groups=groups))


def uninstrument() -> None:
    """Make no more of them."""
    with _lock:
        WATCHERS[:] = [watcher for watcher in WATCHERS if not isinstance(watcher, Telling)]


def _operation(step: Exchange) -> Attributes:
    steps = list(step.steps) if isinstance(step, Pipeline) else [step]
    commands = {_command(part) for part in steps}
    scripts = {part.name for part in steps if isinstance(part, Script)}
    attributes: Attributes = {"db.operation.name": commands.pop() if len(commands) == 1 else ""}
    if len(steps) > 1:
        attributes["db.operation.name"] = f"PIPELINE {attributes['db.operation.name']}".rstrip()
        attributes["db.operation.batch.size"] = len(steps)
    if len(scripts) == 1 and all(isinstance(part, Script) for part in steps):
        attributes["db.stored_procedure.name"] = scripts.pop()
    return attributes


def _command(part: Command | Script) -> str:
    return "EVALSHA" if isinstance(part, Script) else str(part.args[0])


def _place(link: object) -> Attributes:
    """Return where the server is by the settings, which is not always where it is now."""
    broker: Broker | None = getattr(link, "broker", None)
    if broker is None:
        return {}
    first, *others = broker.addresses
    attributes: Attributes = {"db.namespace": str(first.db), "server.address": first.path or first.host}
    if others:
        attributes["server.address"] = ",".join(one.path or f"{one.host}:{one.port}" for one in broker.addresses)
    elif not first.path:
        attributes["server.port"] = first.port
    return attributes


def _group(step: Exchange) -> Attributes:
    name = subject(step)
    group = COUNTS.group(name[: name.rfind(b":")])
    return {} if group is None else {"dripcache.group": to_text(group.encode("utf-8", "surrogatepass"))}


def _name(attributes: Attributes) -> str:
    """Return the name of a span: the operation and its target, which is the script or else the server."""
    target = attributes.get("db.stored_procedure.name") or attributes.get("server.address", "")
    port = "" if "db.stored_procedure.name" in attributes else attributes.get("server.port", "")
    return f"{attributes['db.operation.name']} {target}{port and f':{port}'}".rstrip()


def _failure(error: BaseException | None) -> Attributes:
    if isinstance(error, CacheUnavailableError):
        error = error.__cause__
    if error is None:
        return {}
    if isinstance(error, (ResponseError, Refused)):
        found = _CODE.match(str(getattr(error, "status_code", None) or error))
        code = found[0] if found else "ERR"
        return {"error.type": code, "db.response.status_code": code}
    kind = type(error)
    return {
        "error.type": kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    }
