"""Spans and metrics of OpenTelemetry: one for each exchange with Redis, by the conventions, without keys and values."""

from __future__ import annotations

import asyncio
import time

import pytest
from django.core.cache import caches

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from django_dripcache import CacheUnavailableError, auth_cache, cache, session_cache
from django_dripcache._counted import WATCHERS, Exchanged, Exchanging
from django_dripcache._drive import run
from django_dripcache.address import Address, Broker
from django_dripcache.backend import get_alias_server
from django_dripcache.contrib import otel
from django_dripcache.flows.steps import Command, Pipeline, Script
from tests.conftest import use_server
from tests.processes import UNREACHABLE, in_threads, needs_server, run_python, site, wait_for


class Told:
    """What was told to providers of this test."""

    def __init__(self):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])
        self.tracer = self.tracers.get_tracer("the site")

    def begin(self, **options):
        otel.instrument(self.tracers, self.meters, **options)

    @property
    def spans(self):
        return [span for span in self.exporter.get_finished_spans() if span.instrumentation_scope.name != "the site"]

    @property
    def points(self):
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        (metric,) = [one for part in data.resource_metrics for scope in part.scope_metrics for one in scope.metrics]
        assert (metric.name, metric.unit) == ("db.client.operation.duration", "s")
        return metric.data.data_points


@pytest.fixture
def told():
    found = Told()
    yield found
    otel.uninstrument()
    found.tracers.shutdown()
    found.meters.shutdown()


def read(steps):
    """A flow that only asks."""
    return (yield steps)


@pytest.mark.far("it is about what Redis is sent")
def test_an_exchange_is_a_span_by_the_conventions(broker, told, drive):
    told.begin()
    began = time.time_ns()
    assert drive(caches["default"]).get("key") is None
    (span,) = told.spans
    assert span.name == f"GET 127.0.0.1:{broker.port}"
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert began - 1_000_000_000 < span.start_time < span.end_time <= time.time_ns()
    assert dict(span.attributes) == {
        "db.system.name": "redis",
        "db.operation.name": "GET",
        "db.namespace": "0",
        "server.address": "127.0.0.1",
        "server.port": broker.port,
    }
    assert span.instrumentation_scope.schema_url.startswith("https://opentelemetry.io/schemas/")


def test_its_parent_is_the_span_of_the_site(broker, told, drive):
    told.begin()
    target = drive(cache)
    with told.tracer.start_as_current_span("view") as parent:
        target.get_or_set("key", lambda: 1)
    assert {span.parent.span_id for span in told.spans} == {parent.get_span_context().span_id}
    target.get("key")
    assert told.spans[-1].parent is None


def test_what_is_computed_beside_has_the_same_parent(broker, told, drive):
    told.begin()
    target = drive(cache)
    with told.tracer.start_as_current_span("view") as parent:
        target.get_or_set("key", lambda: 1, hard_timeout=10)
    assert len(told.spans) == 2
    assert {span.parent.span_id for span in told.spans} == {parent.get_span_context().span_id}


@pytest.mark.far("it is about what Redis is sent")
def test_tasks_and_threads_have_parents_of_their_own(broker, told):
    told.begin()

    async def one(number):
        with told.tracer.start_as_current_span(f"view {number}") as parent:
            for _ in range(5):
                await cache.aget(f"key {number}")
                await asyncio.sleep(0)
        return parent.get_span_context().span_id

    async def many():
        return await asyncio.gather(*map(one, range(8)))

    parents = [*asyncio.run(many()), *in_threads(4, lambda number: asyncio.run(one(number)))]
    found = [span.parent.span_id for span in told.spans]
    assert sorted(found) == sorted(parents * 5)


@pytest.mark.parametrize(
    ("step", "name", "size", "script"),
    [
        (Command("GET", b"dripcache:c:a"), "GET", None, None),
        (Pipeline([Command("GET", b"a")]), "GET", None, None),
        (Pipeline([Command("GET", b"a"), Command("GET", b"b")]), "PIPELINE GET", 2, None),
        (Pipeline([Command("GET", b"a"), Command("PTTL", b"a")]), "PIPELINE", 2, None),
        (Script("read", [b"a"]), "EVALSHA", None, "read"),
        (Pipeline([Script("read", [b"a"]), Script("read", [b"b"])]), "PIPELINE EVALSHA", 2, "read"),
        (Pipeline([Script("read", [b"a"]), Script("count", [b"b"], 1, -1)]), "PIPELINE EVALSHA", 2, None),
        (Pipeline([Script("read", [b"a"]), Command("GET", b"b")]), "PIPELINE", 2, None),
    ],
)
def test_operations_are_named_by_the_conventions(broker, told, step, name, size, script):
    told.begin()
    run(read(step), get_alias_server("default"))
    (span,) = told.spans
    assert span.attributes["db.operation.name"] == name
    assert span.attributes.get("db.operation.batch.size") == size
    assert span.attributes.get("db.stored_procedure.name") == script
    assert span.name == f"{name} {script or f'127.0.0.1:{broker.port}'}"
    assert "db.operation.batch.size" not in told.points[0].attributes


@pytest.mark.parametrize(
    ("addresses", "place"),
    [
        ([Address("db.example", 6380, 3)], {"server.address": "db.example", "server.port": 6380, "db.namespace": "3"}),
        ([Address(path="/run/redis", db=1)], {"server.address": "/run/redis", "db.namespace": "1"}),
        (
            [Address("a", 1, 2, "user", "pass-of-redis"), Address("b", 2, 2)],
            {"server.address": "a:1,b:2", "db.namespace": "2"},
        ),
    ],
)
def test_a_server_is_where_the_settings_say(told, addresses, place):
    class Link:
        broker = Broker("a test", tuple(addresses))

    told.begin()
    with Exchanging(Command("GET", b"a"), Link()):
        pass
    (span,) = told.spans
    assert {name: span.attributes[name] for name in span.attributes if name != "db.system.name"} == {
        "db.operation.name": "GET",
        **place,
    }


@pytest.mark.far("it is about what Redis is sent")
def test_durations_are_a_histogram_with_the_bounds_of_the_conventions(broker, told):
    told.begin()
    for _ in range(3):
        cache.get("key")
    cache.set_many({"a": 1, "b": 2})
    points = {point.attributes["db.operation.name"]: point for point in told.points}
    assert {name: point.count for name, point in points.items()} == {"EVALSHA": 3, "PIPELINE": 1}
    assert points["EVALSHA"].explicit_bounds == otel.DURATIONS
    assert 0 < points["EVALSHA"].sum < 60
    assert dict(points["EVALSHA"].attributes) == {
        "db.system.name": "redis",
        "db.operation.name": "EVALSHA",
        "db.stored_procedure.name": "read",
        "db.namespace": "0",
        "server.address": "127.0.0.1",
        "server.port": broker.port,
    }


@needs_server
def test_a_near_hit_has_none(redis_server, raw, told):
    with site(redis_server.url, {"NEAR": {}}):
        assert cache.set("key", 1)
        assert cache.get("key") == 1
        near = get_alias_server("default").near
        wait_for(lambda: near.stats().status == "live")
        wait_for(lambda: cache.get("key") == 1 and near.stats().entries == 1)
        told.begin()
        assert [cache.get("key") for _ in range(10)] == [1] * 10
        assert told.spans == []
        assert told.points == []


@pytest.mark.far("it is about what Redis is sent")
def test_a_refusal_is_told_by_its_code(broker, raw, told, drive):
    told.begin()
    raw.rpush("dripcache:d::1:list", "x")
    assert drive(caches["default"]).get("list") is None
    (span,) = told.spans
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.attributes["error.type"] == span.attributes["db.response.status_code"] == "WRONGTYPE"
    assert told.points[0].attributes["error.type"] == "WRONGTYPE"
    assert span.events == ()


@pytest.mark.far("it is about what Redis is sent")
def test_a_server_that_does_not_serve_is_told_by_its_code(start_server, told):
    server = start_server()
    with use_server(server.url), server.client() as root:
        cache.get("key")
        root.acl_setuser("default", commands=["-get", "-evalsha", "-set"])
        told.begin()
        cache.get("key")
    assert told.spans[0].attributes["error.type"] == "NOPERM"


def test_an_outage_is_told_by_its_exception_and_what_was_not_asked_is_not_told(start_server, told, drive):
    server = start_server()
    with use_server(server.url):
        target = drive(cache)
        target.get("key")
        told.begin()
        server.kill()
        for _ in range(20):
            target.get("key")
        assert get_alias_server("default").breaker.is_open
        asked = [span for span in told.spans if "db.namespace" in span.attributes]
        assert 1 <= len(asked) < 10
        assert {span.status.status_code for span in asked} == {StatusCode.ERROR}
        assert {span.attributes["error.type"] for span in asked} <= {
            "redis.exceptions.ConnectionError",
            "redis.exceptions.TimeoutError",
        }
        assert "db.response.status_code" not in asked[0].attributes


@pytest.mark.far("it is about what Redis is sent")
def test_a_hung_server_is_told(start_server, told, drive):
    server = start_server()
    with use_server(server.url):
        target = drive(cache)
        target.get("key")
        told.begin()
        server.pause()
        target.get("key")
        server.resume()
    assert told.spans[0].status.status_code is StatusCode.ERROR
    assert told.spans[0].attributes["error.type"].endswith("TimeoutError")


def test_an_interruption_is_told_and_goes_on(told):
    told.begin()
    with pytest.raises(KeyboardInterrupt), Exchanging(Command("GET", b"a"), None):
        raise KeyboardInterrupt
    assert told.spans[0].attributes["error.type"] == "KeyboardInterrupt"


# What is in them, and what is not


def test_no_key_and_no_value_is_in_them(start_server, told):
    server = start_server()
    with server.client() as root:
        root.acl_setuser("default", enabled=True, reset_passwords=True, passwords=["+pass-of-redis"])
    with use_server(f"redis://:pass-of-redis@127.0.0.1:{server.port}/0"):
        told.begin(groups=True)
        auth_cache.set_token("token-of-ada", user="ada-7")
        auth_cache.get_token("token-of-ada")
        session_cache.set("session-of-ada", {"name": "value-of-ada"}, user="ada-7")
        cache.set("user:7:secret-end", "value-of-ada", tags=["tag-of-ada"])
        cache.get_many(["plain-of-ada", "user:8:of-ada"])
        caches["default"].set("django-of-ada", "value-of-ada")
        server.kill()
        cache.get("plain-of-ada")
    said = [span.to_json() for span in told.spans] + [str(told.points)]
    assert len(said) > 6
    for secret in ("pass-of-redis", "of-ada", "ada-7", "secret-end", "dripcache:"):
        assert not [one for one in said if secret in one]


def test_groups_are_told_if_they_are_asked_for(broker, told):
    told.begin(groups=True)
    cache.get("page:17:body")
    auth_cache.get_token("token")
    cache.get("\udcff\n:key")
    assert [span.attributes["dripcache.group"] for span in told.spans] == [
        "page:#",
        "auth_cache",
        "\\xed\\xb3\\xbf\\x0a",
    ]
    assert {point.attributes["dripcache.group"] for point in told.points} >= {"page:#", "auth_cache"}


# On and off


@pytest.mark.far("it is about what Redis is sent")
def test_a_second_time_changes_nothing_and_off_is_off(broker, told):
    other = Told()
    told.begin()
    other.begin()
    cache.get("key")
    assert (len(told.spans), len(other.spans)) == (1, 0)
    otel.uninstrument()
    otel.uninstrument()
    assert WATCHERS == []
    cache.get("key")
    assert len(told.spans) == 1
    told.begin()
    cache.get("key")
    assert len(told.spans) == 2
    assert sum(point.count for point in told.points) == 2
    other.tracers.shutdown()
    other.meters.shutdown()


def test_without_providers_of_its_own_it_takes_the_global_ones():
    code = """
        import json, django
        django.setup()
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from django_dripcache import cache
        from django_dripcache.contrib import otel
        otel.instrument()
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        cache.get("key")
        print(json.dumps([span.name for span in exporter.get_finished_spans()]))
    """
    assert run_python(code, UNREACHABLE) == ["EVALSHA read"]


def test_a_watcher_that_fails_harms_no_call(broker, drive, caplog):
    def fail(_):
        raise RuntimeError

    WATCHERS.append(fail)
    try:
        assert drive(cache).set("key", 1)
    finally:
        WATCHERS.remove(fail)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.far("it is about what Redis is sent")
def test_a_watcher_is_told_what_was_and_nobody_is_told_where_none_is(broker):
    found = []
    cache.get("before")
    WATCHERS.append(found.append)
    try:
        cache.get("key")
    finally:
        WATCHERS.remove(found.append)
    ((step, link, seconds, error),) = found
    assert (step.name, link, error) == ("read", get_alias_server("default"), None)
    assert 0 < seconds < 60


def test_what_was_not_asked_is_told_apart():
    asked, not_asked = CacheUnavailableError("slow"), CacheUnavailableError("open")
    asked.__cause__ = TimeoutError()
    step = Command("GET", b"a")
    assert [Exchanged(step, None, 0, error).was_asked for error in (None, asked, not_asked, ValueError())] == [
        True,
        True,
        False,
        True,
    ]


def test_without_the_package_the_error_says_what_to_install():
    code = """
        import json, sys, django
        django.setup()
        sys.modules["opentelemetry.metrics"] = None
        try:
            from django_dripcache.contrib import otel
        except django.core.exceptions.ImproperlyConfigured as error:
            print(json.dumps(str(error)))
    """
    assert "pip install django-dripcache[otel]" in run_python(code, UNREACHABLE)
