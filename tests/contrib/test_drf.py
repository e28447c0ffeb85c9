"""Throttles of Django REST framework that admit what they state, from DRF's own settings and to its own classes."""

from __future__ import annotations

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from rest_framework import throttling
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from django_dripcache import CacheUnavailableError, ConfigurationError, InvalidKeyError, limiter, rate_limiter
from django_dripcache.contrib.drf import AnonRateThrottle, ScopedRateThrottle, SimpleRateThrottle, UserRateThrottle
from django_dripcache.signals import rate_limited
from tests.conftest import use_server
from tests.processes import UNREACHABLE, in_threads, needs_server, run_python, site, verbs_sent


class User:
    is_authenticated = True

    def __init__(self, pk):
        self.pk = pk


@pytest.fixture
def here(redis_server, raw):
    """A patient site over the server of this process, which remembers no denial."""
    limiter._memories.clear()
    with site(redis_server.url):
        yield raw


def visit(*throttles, user=None, address="192.0.2.1", scope=None, **headers):
    """Ask for a page of a view with throttles, and return the response."""

    class View(APIView):
        authentication_classes = ()
        throttle_classes = throttles
        throttle_scope = scope

        def get(self, _):
            return Response({})

    request = APIRequestFactory().get("/", REMOTE_ADDR=address, **headers)
    if user is not None:
        force_authenticate(request, user)
    return View.as_view()(request)


def statuses(count, *throttles, **who):
    return [visit(*throttles, **who).status_code for _ in range(count)]


def throttle(base=UserRateThrottle, **attributes):
    """Return a class of a site's own."""
    return type("Throttle", (base,), attributes)


def names(raw):
    return sorted(name.decode() for name in raw.scan_iter(count=1000))


# What they admit


def test_a_user_is_limited_wherever_they_come_from_and_others_by_their_address(here):
    twice = throttle(rate="2/hour")
    assert statuses(3, twice, user=User(1)) == [200, 200, 429]
    assert visit(twice, user=User(1), address="192.0.2.9").status_code == 429
    assert visit(twice, user=User(2)).status_code == 200
    assert statuses(3, twice) == [200, 200, 429]
    assert visit(twice, address="192.0.2.2").status_code == 200
    assert names(here) == [
        f"dripcache:s.limits.sliding-window:2/h:throttle_user_{who}" for who in ("1", "192.0.2.1", "192.0.2.2", "2")
    ]


def test_who_is_logged_in_is_nobody_to_the_throttle_of_strangers(here):
    once = throttle(AnonRateThrottle, rate="1/hour")
    assert statuses(3, once, user=User(1)) == [200, 200, 200]
    assert names(here) == []
    assert statuses(2, once) == [200, 429]


def test_the_views_of_a_scope_share_a_limit_and_a_view_without_one_has_none(here):
    scoped = throttle(ScopedRateThrottle, THROTTLE_RATES={"uploads": "2/day", "searches": "1/day", "free": None})
    assert statuses(3, scoped, scope="uploads") == [200, 200, 429]
    assert statuses(2, scoped, scope="searches") == [200, 429]
    assert statuses(3, scoped) == [200, 200, 200]
    assert statuses(3, scoped, scope="free") == [200, 200, 200]


def test_a_response_says_when_to_come_again(here):
    response = [visit(throttle(rate="1/min")) for _ in range(2)][1]
    assert 0 < int(response["Retry-After"]) <= 60
    assert "throttled" in response.data["detail"]


def test_wait_is_what_the_limiter_says(here):
    one = throttle(rate="1/min")()
    request = APIRequestFactory().get("/", REMOTE_ADDR="192.0.2.1")
    request.user = None
    assert one.allow_request(request, None)
    assert one.decision.remaining == 0
    assert not one.allow_request(request, None)
    assert one.wait() == one.decision.retry_after
    assert 59 < one.wait() <= 60


def test_every_throttle_of_a_view_counts_and_the_longest_wait_is_told(here):
    many, few = throttle(rate="100/hour"), throttle(rate="1/min", scope="burst")
    response = [visit(few, many) for _ in range(4)][-1]
    assert int(response["Retry-After"]) <= 60
    assert rate_limiter.peek("throttle_user_192.0.2.1", "100/h").count == 4


def test_a_rate_that_changed_begins_anew(here):
    assert statuses(2, throttle(rate="1/hour")) == [200, 429]
    assert statuses(3, throttle(rate="2/hour")) == [200, 200, 429]


def test_a_client_may_be_given_their_limit_back(here):
    once = throttle(rate="1/hour")
    assert statuses(2, once, user=User(7)) == [200, 429]
    assert rate_limiter.reset("throttle_user_7", "1/h")
    assert visit(once, user=User(7)).status_code == 200


def test_to_clear_the_cache_gives_nobody_their_limit_back(here):
    once = throttle(rate="1/hour")
    visit(once)
    caches["default"].clear()
    limiter._memories.clear()
    assert visit(once).status_code == 429


def test_a_denial_is_told(here):
    heard = []

    def listen(event, **_):
        heard.append(event.key)

    rate_limited.connect(listen)
    try:
        statuses(2, throttle(rate="1/hour"))
    finally:
        rate_limited.disconnect(listen)
    assert heard == ["dripcache:s.limits.sliding-window:1/h:throttle_user_192.0.2.1"]


# Rates

WORDS = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("m", "min", "minute"), 60),
    **dict.fromkeys(("h", "hour"), 3600),
    **dict.fromkeys(("d", "day"), 86_400),
}


@pytest.mark.parametrize(("word", "seconds"), WORDS.items())
def test_a_length_of_time_is_a_word_of_drfs(word, seconds):
    one = throttle(rate=f"10/{word}")()
    assert (one.num_requests, one.duration) == (10, seconds)
    assert (one.num_requests, one.duration) == throttling.SimpleRateThrottle.parse_rate(one, one.rate)


@pytest.mark.parametrize(("rate", "limit", "seconds"), [("5/15m", 5, 900), ("5/15min", 5, 900), (" 10/30s ", 10, 30)])
def test_a_rate_may_be_one_of_ours(rate, limit, seconds):
    one = throttle(rate=rate)()
    assert (one.num_requests, one.duration) == (limit, seconds)


@pytest.mark.parametrize(
    "rate",
    [
        *("10/month", "10/mins", "10/minutes", "10/week", "10/secs", "10/days", "10/dayss", "10/mday", "10/s/min"),
        *("10", "10/", "/min", "10/Min", "-1/min", "0/min", "1.5/min", "ten/min", "10 min", "10/min\n", "1_0/min"),
        *("10/367d", "10/min,", "10/min, 5/month", "10/min, 20/minute", 10, ["10/min"], b"10/min", ("10/s", "9/m")),
    ],
)
@pytest.mark.parametrize("how", [{"rate": None}, {"THROTTLE_RATES": None}])
def test_a_rate_that_cannot_be_read_is_an_error_that_names_what_is_allowed(rate, how):
    given = {"rate": rate} if "rate" in how else {"THROTTLE_RATES": {"user": rate}}
    allowed = r"Allowed is .+ s, sec, second, m, min, minute, h, hour, d or day, or a number of these"
    with pytest.raises(ConfigurationError, match=allowed) as caught:
        throttle(**given)()
    assert isinstance(caught.value, ImproperlyConfigured)
    assert f"The rate of Throttle, of the scope 'user', is {rate!r}." in str(caught.value)


def test_of_several_rates_each_holds_and_a_request_that_one_denies_is_counted_by_none(here):
    both = throttle(rate="3/day, 2/min")
    assert (both().num_requests, both().duration) == (2, 60)
    assert statuses(4, both) == [200, 200, 429, 429]
    assert rate_limiter.peek("throttle_user_192.0.2.1", "3/d").count == 2
    assert names(here) == [
        f"dripcache:s.limits.sliding-window:{rate}:throttle_user_192.0.2.1" for rate in ("2/m", "3/d")
    ]


def test_without_a_rate_nothing_is_limited_and_nobody_is_asked():
    with use_server(UNREACHABLE):
        one = throttle(THROTTLE_RATES={"user": None})()
        assert one.allow_request(None, None)
        assert one.decision is None


def test_a_throttle_without_a_rate_and_a_scope_is_an_error_as_in_drf():
    with pytest.raises(ImproperlyConfigured, match=r"`\.scope` or `\.rate`"):
        throttle(scope=None)()
    with pytest.raises(ImproperlyConfigured, match="No default throttle rate set for 'nowhere' scope"):
        throttle(scope="nowhere")()


# What a site overrides


def test_they_are_drfs_classes_and_take_their_place():
    assert issubclass(AnonRateThrottle, throttling.AnonRateThrottle)
    assert issubclass(UserRateThrottle, throttling.UserRateThrottle)
    assert issubclass(ScopedRateThrottle, throttling.ScopedRateThrottle)
    assert issubclass(SimpleRateThrottle, throttling.SimpleRateThrottle)


def test_a_key_of_the_sites_own_is_the_limiters(here):
    once = throttle(SimpleRateThrottle, rate="1/hour", get_cache_key=lambda *_: "all of them")
    assert statuses(2, once, user=User(1)) == [200, 429]
    assert visit(once, user=User(2)).status_code == 429
    assert names(here) == ["dripcache:s.limits.sliding-window:1/h:all%20of%20them"]
    assert statuses(2, throttle(SimpleRateThrottle, rate="1/hour", get_cache_key=lambda *_: None)) == [200, 200]
    with pytest.raises(InvalidKeyError):
        visit(throttle(SimpleRateThrottle, rate="1/hour", get_cache_key=lambda *_: 5))


def test_an_address_of_the_sites_own_is_used(here):
    once = throttle(AnonRateThrottle, rate="1/hour", get_ident=lambda _, request: request.headers["X-Real-IP"])
    assert statuses(2, once, HTTP_X_REAL_IP="192.0.2.7") == [200, 429]
    assert visit(once, HTTP_X_REAL_IP="192.0.2.8").status_code == 200


@pytest.mark.parametrize(
    ("proxies", "key"),
    [(None, "198.51.100.1,192.0.2.7"), (0, "192.0.2.1"), (1, "192.0.2.7"), (2, "198.51.100.1")],
)
def test_the_address_is_that_of_drf_by_its_number_of_proxies(here, monkeypatch, proxies, key):
    monkeypatch.setattr(api_settings, "NUM_PROXIES", proxies, raising=False)
    visit(throttle(AnonRateThrottle, rate="1/hour"), HTTP_X_FORWARDED_FOR="198.51.100.1, 192.0.2.7")
    assert names(here) == [f"dripcache:s.limits.sliding-window:1/h:throttle_anon_{key}"]


def test_a_rate_by_method_is_used(here):
    assert statuses(3, throttle(get_rate=lambda _: "2/hour")) == [200, 200, 429]


@pytest.mark.parametrize(
    ("parsed", "name"),
    [((2, 900), "2/15m"), ((2, 900.0), "2/15m"), ((2, 86_400 * 30), "2/30d"), ((2, 1.5), "2/2s")],
)
def test_what_a_parser_of_the_sites_own_returns_is_the_rate(here, parsed, name):
    twice = throttle(rate="twice a while", parse_rate=lambda *_: parsed)
    assert statuses(2, twice) == [200, 200]
    assert names(here) == [f"dripcache:s.limits.sliding-window:{name}:throttle_user_192.0.2.1"]


def test_what_a_throttle_sets_for_a_request_is_the_only_rate(here):
    class ByPlan(UserRateThrottle):
        rate = "1/hour, 2/day"

        def allow_request(self, request, view):
            if request.user.pk == 2:
                self.num_requests, self.duration = 3, 60
            if request.user.pk == 3:
                self.num_requests, self.duration = self.parse_rate("2/min, 2/day")
            return super().allow_request(request, view)

    assert statuses(2, ByPlan, user=User(1)) == [200, 429]
    assert statuses(4, ByPlan, user=User(2)) == [200, 200, 200, 429]
    assert statuses(3, ByPlan, user=User(3)) == [200, 200, 429]
    assert [name.split(":")[2] for name in names(here)] == ["1/h", "2/d", "2/d", "2/m", "3/m"]


@pytest.mark.parametrize("parsed", [(0, 60), (None, None), (5, 0), (-1, 60), (5, 0.0)])
def test_a_rate_of_a_parser_that_cannot_be_kept_is_an_error(parsed):
    with pytest.raises(ConfigurationError, match="Allowed is a number from 1 up"):
        visit(throttle(rate="some", parse_rate=lambda *_: parsed))


def test_what_a_site_does_on_success_and_on_failure_is_done(here):
    done = []

    class Noted(UserRateThrottle):
        rate = "1/hour"

        def throttle_success(self):
            done.append(("success", self.key, self.decision.remaining))
            return super().throttle_success()

        def throttle_failure(self):
            done.append(("failure", self.key, self.decision.remaining))
            return super().throttle_failure()

    assert statuses(2, Noted, user=User(1)) == [200, 429]
    assert done == [("success", "throttle_user_1", 0), ("failure", "throttle_user_1", 0)]


def test_what_a_site_answers_on_success_and_on_failure_holds(here):
    allows = throttle(rate="1/hour", throttle_failure=lambda _: True)
    assert statuses(2, allows) == [200, 200]
    denies = throttle(rate="5/hour", throttle_success=lambda _: False)
    assert visit(denies).status_code == 429


# Where and how they count


@pytest.fixture
def two(redis_server, raw):
    """Two aliases in two databases."""
    limiter._memories.clear()
    ours = {"BACKEND": "django_dripcache.backend.DripCache"}
    locations = {"default": redis_server.url, "apart": redis_server.url.replace("/0", "/1")}
    foreign = {
        "memory": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "broken": {"BACKEND": "no.where"},
    }
    with (
        site(redis_server.url),
        override_settings(CACHES={**foreign, **{alias: {**ours, "LOCATION": url} for alias, url in locations.items()}}),
    ):
        yield lambda database: int(raw.info("keyspace").get(f"db{database}", {}).get("keys", 0))
        caches["apart"].client.get_client().delete("dripcache:s.limits.sliding-window:1/h:throttle_user_192.0.2.1")


@pytest.mark.parametrize(
    "attributes",
    [lambda: {"alias": "apart"}, lambda: {"cache": caches["apart"]}, lambda: {"cache": Proxy()}],
    ids=["alias", "cache", "proxy"],
)
def test_the_alias_of_a_throttle_is_where_it_counts(two, attributes):
    once = throttle(rate="1/hour", **attributes())
    assert statuses(2, once) == [200, 429]
    (subclass,) = in_threads(1, lambda _: throttle(once))
    assert visit(subclass).status_code == 429
    assert (two(0), two(1)) == (0, 1)


def Proxy():  # noqa: N802 - it is one
    from django.utils.connection import ConnectionProxy  # noqa: PLC0415

    return ConnectionProxy(caches, "apart")


def test_a_cache_that_is_not_ours_is_refused_when_the_class_is_made(two):
    with pytest.raises(ConfigurationError, match=r"Throttle\.cache is .+ Allowed is caches\[alias\]"):
        throttle(cache=caches["memory"])
    with pytest.raises(ConfigurationError, match="Allowed is an alias with 'BACKEND'"):
        visit(throttle(rate="1/hour", alias="memory"))


def test_the_algorithm_of_a_throttle_is_used(here):
    assert statuses(2, throttle(rate="1/hour", algorithm="gcra")) == [200, 429]
    assert names(here) == ["dripcache:s.limits.gcra:1/h:throttle_user_192.0.2.1"]


@pytest.mark.parametrize("wrong", [{"algorithm": "token-bucket"}, {"on_outage": "fallback"}])
def test_a_wrong_choice_is_refused_with_what_is_allowed(here, wrong):
    with pytest.raises(ConfigurationError, match=r"is '.+'\. Allowed are '"):
        visit(throttle(rate="1/hour", **wrong))


@pytest.mark.parametrize(
    ("choice", "expected"), [("local", [200, 200, 429]), ("open", [200, 200, 200]), ("closed", [429, 429, 429])]
)
def test_without_redis_the_choice_of_the_throttle_decides(choice, expected):
    limiter._memories.clear()
    with use_server(UNREACHABLE):
        assert statuses(3, throttle(rate="2/hour", on_outage=choice)) == expected


def test_without_redis_an_error_is_raised_if_it_is_asked_for():
    with use_server(UNREACHABLE), pytest.raises(CacheUnavailableError):
        visit(throttle(rate="2/hour", on_outage="raise"))


# What it costs


@pytest.mark.far("it counts round trips")
def test_a_request_is_one_round_trip_and_one_that_stays_denied_is_none(here):
    several = throttle(rate="2/min, 100/day")
    visit(several)
    assert verbs_sent(here, lambda: visit(several)) == ["EVALSHA"]
    assert visit(several).status_code == 429
    assert verbs_sent(here, lambda: statuses(50, several)) == []


# Many processes


@needs_server
def test_many_processes_and_threads_are_admitted_exactly_what_is_stated(redis_server, raw):
    script = """
        import json, multiprocessing, threading
        import django
        from django.conf import settings
        settings.REST_FRAMEWORK = {
            "DEFAULT_THROTTLE_CLASSES": ["django_dripcache.contrib.drf.AnonRateThrottle"],
            "DEFAULT_THROTTLE_RATES": {"anon": "10/day"},
            "DEFAULT_AUTHENTICATION_CLASSES": [],
        }
        django.setup()
        from rest_framework.response import Response
        from rest_framework.test import APIRequestFactory
        from rest_framework.views import APIView
        from tests.processes import be_patient
        be_patient()
        class View(APIView):
            def get(self, request):
                return Response({})
        view = View.as_view()
        forks = multiprocessing.get_context("fork")
        start, results = forks.Barrier(8), forks.SimpleQueue()
        def process():
            statuses = []
            def work():
                for _ in range(20):
                    statuses.append(view(APIRequestFactory().get("/")).status_code)
            threads = [threading.Thread(target=work) for _ in range(8)]
            start.wait(30)
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            results.put([statuses.count(200), statuses.count(429)])
        processes = [forks.Process(target=process) for _ in range(8)]
        for one in processes: one.start()
        print(json.dumps([results.get() for one in processes]))
        for one in processes: one.join()
    """
    counts = run_python(script, redis_server.url, timeout=60)
    assert sum(admitted for admitted, _ in counts) == 10
    assert {admitted + denied for admitted, denied in counts} == {160}
