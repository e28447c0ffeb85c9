"""The session engines: Django's contract, and that no outage logs anybody out."""

from __future__ import annotations

import asyncio
import pickle
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from unittest import mock

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY, alogin, login, logout
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.core.cache import InvalidCacheBackendError
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from django.utils import translation

from django_dripcache import CacheUnavailableError, ConfigurationError, SerializationError, on_outage
from django_dripcache.backend import get_alias_server
from django_dripcache.contrib import sessions, sessions_db
from django_dripcache.contrib.sessions import SessionOutageMiddleware, SessionUnavailableError
from django_dripcache.server import Server
from django_dripcache.services.sessions import session_cache
from tests.processes import UNREACHABLE, in_threads, needs_server, site, wait_for

PLAIN, DATABASE = "django_dripcache.contrib.sessions", "django_dripcache.contrib.sessions_db"
AREAS = {PLAIN: b"dripcache:s.sessions:", DATABASE: b"dripcache:s.sessions.db:"}
BROWSER = {"HTTP_USER_AGENT": "Mozilla/5.0 " + "x" * 300, "REMOTE_ADDR": "192.0.2.1"}

pytestmark = pytest.mark.django_db(transaction=True)


# A site


def who(request):
    return HttpResponse(request.user.get_username() or "anonymous")


def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def leave(request):
    logout(request)
    return HttpResponse("bye")


def enter(request):
    login(request, User.objects.get(username="alice"), "django.contrib.auth.backends.ModelBackend")
    return HttpResponse("welcome")


def about(request):
    return HttpResponse("a page without a session")


def broken(request):
    raise LookupError


async def awho(request):
    user = await request.auser()
    return HttpResponse(user.get_username() or "anonymous")


async def acount(request):
    number = await request.session.aget("count", 0) + 1
    await request.session.aset("count", number)
    return HttpResponse(str(number))


async def aenter(request):
    user = await User.objects.aget(username="alice")
    await alogin(request, user, "django.contrib.auth.backends.ModelBackend")
    return HttpResponse("welcome")


urlpatterns = [
    path(f"{view.__name__}/", view) for view in (who, count, leave, enter, about, broken, awho, acount, aenter)
]


def remembering(get_response):
    """Remember the client of each request."""
    if iscoroutinefunction(get_response):

        async def aware(request):
            await request.session.aremember(request)
            return await get_response(request)

    else:

        def aware(request):
            request.session.remember(request)
            return get_response(request)

    return aware


remembering.async_capable = True

MIDDLEWARE = [
    "django_dripcache.contrib.sessions.SessionOutageMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


@pytest.fixture(params=[PLAIN, DATABASE], ids=["redis", "database"])
def engine_name(request):
    with override_settings(SESSION_ENGINE=request.param, ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        yield request.param


@pytest.fixture
def store_class(engine_name):
    return import_module(engine_name).SessionStore


@pytest.fixture
def plain():
    with override_settings(SESSION_ENGINE=PLAIN, ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        yield


@pytest.fixture
def database():
    with override_settings(SESSION_ENGINE=DATABASE, ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        yield


@pytest.fixture
def alice():
    return User.objects.create_user("alice")


def browser(user=None, **options):
    client = Client(**options)
    client.raise_request_exception = False
    if user is not None:
        client.force_login(user)
    return client


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """Return a function that asks for a page, of the sync site or of the async one."""
    if request.param == "sync":
        yield lambda client, page, **extra: client.get(f"/{page}/", **extra)
        return
    loop = asyncio.new_event_loop()

    def aask(client, page, **extra):
        other = AsyncClient()
        other.cookies, other.raise_request_exception = client.cookies, False
        headers = {name.removeprefix("HTTP_").replace("_", "-"): value for name, value in extra.items()}
        page = f"a{page}" if f"a{page}" in globals() else page
        return loop.run_until_complete(other.get(f"/{page}/", headers=headers))

    yield aask
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@contextmanager
def away():
    """Redis cannot be used, and nobody waits to find out."""
    with mock.patch.object(Server, "call", side_effect=CacheUnavailableError("away")):
        yield


def key_of(client):
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def kept(response):
    """Return whether an answer leaves the cookies of the browser alone."""
    return not response.cookies


def stored(store_class, user=None, **data):
    """Return a store whose session is saved."""
    store = store_class()
    if user is not None:
        data[SESSION_KEY] = str(user)
    store.update(data)
    store.save()
    return store


def name_of(store, key=None):
    return store.sessions._names_of(key or store.session_key)[0]


# Django's contract; Django's own tests of it run in tests/django_suite


def test_a_session_is_saved_and_loaded(broker, store_class, drive):
    store = stored(store_class, a=1)
    assert drive(store_class(store.session_key)).load() == {"a": 1}
    store["a"] = 2
    drive(store).save()
    assert drive(store_class(store.session_key)).load() == {"a": 2}
    assert drive(store).exists(store.session_key) is True
    drive(store).delete()
    assert drive(store).exists(store.session_key) is False


def test_the_key_of_an_unknown_session_is_forgotten(broker, raw, store_class, drive):
    for key in ("someunknownkey", "ключ-ключ", "*" * 300, "a:b{c}*%7B"):
        store = store_class(key)
        assert drive(store).load() == {}
        assert store.session_key is None
    assert list(raw.scan_iter()) == []


def test_a_store_without_a_key_has_nothing_to_load_or_delete(broker, store_class, drive):
    store = store_class()
    assert drive(store).load() == {}
    drive(store).delete()
    assert drive(store).exists(None) is False
    assert drive(store).exists("") is False


def test_a_new_session_replaces_none(broker, store_class, drive):
    store = stored(store_class, a=1)
    other = store_class(store.session_key)
    with pytest.raises(CreateError):
        drive(other).save(must_create=True)
    assert store_class(store.session_key).load() == {"a": 1}


def test_of_many_that_create_one_session_one_does(broker, plain):
    def create(_):
        store = sessions.SessionStore("the-same-key")
        try:
            store.save(must_create=True)
        except CreateError:
            return False
        return True

    assert sum(in_threads(12, create)) == 1


def test_a_key_that_is_taken_is_not_taken_again(broker, plain, drive):
    store = stored(sessions.SessionStore, a=1)
    with mock.patch.object(sessions, "get_random_string", side_effect=[store.session_key, "another-key"]):
        other = sessions.SessionStore()
        drive(other).create()
    assert other.session_key == "another-key"
    assert other.modified
    assert sessions.SessionStore(store.session_key).load() == {"a": 1}


def test_a_session_that_was_ended_meanwhile_is_not_saved(broker, store_class, drive):
    store = stored(store_class, a=1)
    drive(store_class(store.session_key)).delete()
    store["a"] = 2
    with pytest.raises(UpdateError):
        drive(store).save()
    assert drive(store_class(store.session_key)).load() == {}


def test_a_login_moves_a_session_and_a_flush_ends_it(broker, store_class, drive):
    store = stored(store_class, 42, a=1)
    old = store.session_key
    drive(store).cycle_key()
    drive(store).save()
    assert store.session_key != old
    assert drive(store_class(old)).load() == {}
    assert drive(store_class(store.session_key)).load() == {SESSION_KEY: "42", "a": 1}
    key = store.session_key
    drive(store).flush()
    assert store.session_key is None
    assert drive(store_class(key)).load() == {}
    assert drive(store.sessions).list_for_user(42) == []


def test_a_session_lives_as_long_as_its_cookie(broker, raw, store_class, drive):
    store = stored(store_class, 42)
    assert raw.ttl(name_of(store)) == pytest.approx(settings.SESSION_COOKIE_AGE, abs=5)
    store.set_expiry(timedelta(seconds=500))
    drive(store).save()
    assert raw.ttl(name_of(store)) == pytest.approx(500, abs=5)
    assert all(raw.ttl(name) > 0 for name in raw.scan_iter())
    store.set_expiry(-10)
    drive(store).save()
    assert drive(store_class(store.session_key)).load() == {}


def test_nothing_is_to_be_cleared(broker, plain, drive):
    store = stored(sessions.SessionStore, a=1)
    assert drive(store).clear_expired() is None
    assert store.load() == {"a": 1}


def test_the_alias_is_the_one_of_the_settings(redis_server, raw, plain, drive):
    backend = {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": redis_server.url}
    others = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}, "sessions": backend}
    with override_settings(CACHES=others, SESSION_CACHE_ALIAS="sessions"):
        store = stored(sessions.SessionStore, a=1)
        assert drive(sessions.SessionStore(store.session_key)).load() == {"a": 1}
    with override_settings(CACHES=others), pytest.raises(ConfigurationError, match="DummyCache"):
        drive(sessions.SessionStore("12345678")).load()
    with override_settings(SESSION_CACHE_ALIAS="nothing"), pytest.raises(InvalidCacheBackendError):
        drive(sessions.SessionStore("12345678")).load()


def test_each_act_is_one_round_trip(broker, raw, plain):
    def calls():
        found = raw.info("commandstats")
        return sum(found.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))

    store = stored(sessions.SessionStore, 42)
    request = RequestFactory().get("/", **BROWSER)
    for act, trips in (
        (lambda: sessions.SessionStore().create(), 1),
        (lambda: sessions.SessionStore(store.session_key).load(), 1),
        (store.save, 1),
        (lambda: sessions.SessionStore(store.session_key).remember(request), 2),
        (lambda: sessions.SessionStore(store.session_key).remember(request), 1),
        (store.cycle_key, 2),
        (store.delete, 1),
    ):
        before = calls()
        act()
        assert calls() - before == trips


class PickleSerializer:
    """The serializer that Django had until 5.0, which sites may still have."""

    def dumps(self, value):
        return pickle.dumps(value)

    def loads(self, raw):
        return pickle.loads(raw)


class Bomb:
    """Says that it was unpickled."""

    went_off = False

    def __reduce__(self):
        return exec, (f"import {__name__} as module; module.Bomb.went_off = True",)


def test_the_serializer_of_the_settings_is_used_and_pickles_of_others_are_not_read(broker, raw, store_class, drive):
    with override_settings(SESSION_SERIALIZER=f"{__name__}.PickleSerializer"):
        store = stored(store_class, when=timedelta(days=1), some={1, 2})
        assert drive(store_class(store.session_key)).load() == {"when": timedelta(days=1), "some": {1, 2}}
        raw.hset(name_of(store), "data", pickle.dumps(Bomb()))
        Session.objects.all().delete()
        assert drive(store_class(store.session_key)).load() == {}
        assert Bomb.went_off is False


def test_a_session_cannot_be_made_that_of_another_in_redis(broker, raw, store_class, drive):
    mine, theirs = stored(store_class, 1), stored(store_class, 42)
    raw.hset(name_of(mine), "data", raw.hget(name_of(theirs), "data"))
    assert drive(store_class(mine.session_key)).load().get(SESSION_KEY) != "42"


@pytest.mark.parametrize("data", [b"", b"\xff", b'"text"', b"null", b"[" * 10_000])
def test_data_that_somebody_else_wrote_is_no_session(broker, raw, plain, drive, data):
    store = stored(sessions.SessionStore, 42)
    raw.hset(name_of(store), "data", data)
    raw.hset(name_of(store), "about", data)
    other = sessions.SessionStore(store.session_key)
    assert drive(other).load() == {}
    assert other.session_key is None


def test_a_session_that_is_too_large_is_an_error_and_the_one_before_stays(broker, plain, drive):
    store = stored(sessions.SessionStore, 42, a=1)
    with (
        mock.patch.object(store, "encode", return_value="x" * 10_000_000),
        pytest.raises(SerializationError, match="MAX_"),
    ):
        drive(store).save()
    assert drive(sessions.SessionStore(store.session_key)).load() == {SESSION_KEY: "42", "a": 1}


def test_sessions_outlive_a_change_of_the_secret_key(broker, store_class, drive):
    with override_settings(SECRET_KEY="old"):
        key = stored(store_class, 42, a=1).session_key
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        store = store_class(key)
        assert drive(store).load()["a"] == 1
        store["a"] = 2
        drive(store).save()
    with override_settings(SECRET_KEY="new"):
        assert drive(store_class(key)).load()["a"] == 2


def test_the_key_of_a_session_is_nowhere_in_redis(broker, raw, store_class):
    store = stored(store_class, 42, a=1)
    everything = [str(raw.dump(name)) for name in raw.scan_iter()]
    assert not any(store.session_key in text for text in [*everything, str(list(raw.scan_iter()))])


# The sessions of a user


def test_a_device_list(broker, store_class, alice, engine_name, drive):
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.remembering"]):
        here, there = browser(alice), browser(alice)
        here.get("/who/", **BROWSER)
        there.get("/who/", **{**BROWSER, "REMOTE_ADDR": "192.0.2.2"})
    store = store_class(key_of(here))
    infos = drive(store.sessions).list_for_user(alice, current=key_of(here))
    assert {info.about["address"]: info.current for info in infos} == {"192.0.2.1": True, "192.0.2.2": False}
    assert all(len(info.about["agent"]) == 200 for info in infos)
    assert all(info.expires - info.created > timedelta(days=13) for info in infos)


def test_one_device_is_ended_from_another(broker, store_class, alice, drive):
    here, there, stranger = browser(alice), browser(alice), browser(User.objects.create_user("bob"))
    ours = store_class(key_of(here)).sessions
    (other,) = [info for info in drive(ours).list_for_user(alice, current=key_of(here)) if not info.current]
    assert drive(ours).delete_by_digest(User.objects.get(username="bob"), other.digest) is False
    assert there.get("/who/").content == b"alice"
    assert drive(ours).delete_by_digest(alice, other.digest) is True
    assert drive(ours).delete_by_digest(alice, other.digest) is False
    assert [client.get("/who/").content for client in (here, there, stranger)] == [b"alice", b"anonymous", b"bob"]


@pytest.mark.parametrize("lost", [False, True])
def test_log_out_everywhere_else(broker, raw, store_class, engine_name, alice, drive, lost):
    clients = [browser(alice) for _ in range(4)]
    stranger = browser(User.objects.create_user("bob"))
    if lost and engine_name == DATABASE:  # what Redis forgot can be ended all the same
        raw.unlink(*raw.scan_iter())
    ours = store_class(key_of(clients[0])).sessions
    assert drive(ours).delete_for_user(alice, keep=key_of(clients[0])) == 3
    seen = [client.get("/who/").content for client in clients]
    assert seen == [b"alice", b"anonymous", b"anonymous", b"anonymous"]
    assert stranger.get("/who/").content == b"bob"
    assert drive(ours).delete_for_user(alice) == 1
    assert clients[0].get("/who/").content == b"anonymous"
    assert drive(ours).list_for_user(alice) == []


def test_the_sessions_of_the_engine_are_those_of_session_cache(broker, plain, alice):
    client = browser(alice)
    assert len(session_cache.list_for_user(alice)) == 1
    assert session_cache.delete_for_user(alice) == 1
    assert client.get("/who/").content == b"anonymous"


def test_copies_are_not_those_of_session_cache_which_could_not_end_the_rows(broker, database, alice):
    browser(alice)
    assert session_cache.list_for_user(alice) == []


def test_a_session_is_its_users_from_login_to_logout(broker, store_class, alice, ask):
    client = browser()
    ask(client, "count")
    ours = store_class().sessions
    assert ours.list_for_user(alice) == []
    assert ask(client, "enter").content == b"welcome"
    assert len(ours.list_for_user(alice)) == 1
    assert ask(client, "who").content == b"alice"
    ask(client, "leave")
    assert ours.list_for_user(alice) == []


def test_the_last_use_is_noted_at_most_once_a_minute(broker, raw, store_class, drive):
    store = stored(store_class, 42)
    request = RequestFactory().get("/", **BROWSER)

    def used():
        return int(raw.hget(name_of(store), "used"))

    def remember(request):
        drive(store_class(store.session_key)).remember(request)

    remember(request)
    raw.hset(name_of(store), "used", used() - 50_000)
    before, ttl = used(), raw.pttl(name_of(store))
    remember(request)
    assert used() == before
    raw.hset(name_of(store), "used", used() - 11_000)
    remember(request)
    assert used() > before
    raw.hset(name_of(store), "used", before)
    remember(RequestFactory().get("/", **{**BROWSER, "REMOTE_ADDR": "192.0.2.9"}))
    assert used() > before
    assert store.sessions.list_for_user(42)[0].about["address"] == "192.0.2.9"
    assert raw.pttl(name_of(store)) <= ttl, "to remember does not prolong"


def test_nothing_is_remembered_of_a_visitor_without_a_user(broker, raw, store_class, drive):
    request = RequestFactory().get("/", **BROWSER)
    store = stored(store_class, a=1)
    drive(store_class(store.session_key)).remember(request)
    drive(store_class()).remember(request)
    drive(store).remember(request)
    drive(store).save()
    assert raw.hget(name_of(store), "about") == b""
    assert len(list(raw.scan_iter())) == 1


def test_what_is_remembered_before_a_login_is_kept_by_it(broker, raw, store_class, drive):
    store = store_class()
    drive(store).remember(RequestFactory().get("/", **BROWSER))
    store[SESSION_KEY] = "42"
    drive(store).cycle_key()
    drive(store).save()
    assert store.sessions.list_for_user(42)[0].about["address"] == "192.0.2.1"


def test_a_client_without_address_and_agent_is_remembered_as_such(broker, store_class, drive):
    store = stored(store_class, 42)
    request = RequestFactory().get("/")
    request.META = {}
    drive(store_class(store.session_key)).remember(request)
    assert store.sessions.list_for_user(42)[0].about == {"address": "", "agent": ""}


def test_no_outage_is_raised_by_remember(broker, store_class, drive):
    store = stored(store_class, 42)
    request = RequestFactory().get("/", **BROWSER)
    with away():
        drive(store_class(store.session_key)).remember(request)
    loaded = store_class(store.session_key)
    assert drive(loaded).load()
    with away():
        drive(loaded).remember(request)
    assert drive(store_class(store.session_key)).load()


# Outages: the engine over Redis alone


ACTS = {
    "load": lambda store: store.load(),
    "create": lambda store: store.create(),
    "save": lambda store: store.save(must_create=True),
    "exists": lambda store: store.exists("12345678"),
    "delete": lambda store: store.delete(),
}


@pytest.mark.parametrize("on", ["fallback", "raise"])
@pytest.mark.parametrize("act", list(ACTS))
def test_without_redis_a_store_raises_whatever_is_set(plain, drive, act, on):
    with site(UNREACHABLE, {"ON_OUTAGE": on}), on_outage("fallback"):
        store = sessions.SessionStore("12345678")
        with pytest.raises(SessionUnavailableError):
            ACTS[act](drive(store))
        assert store.sessions.failed
        assert store.session_key is not None


def test_without_redis_what_lists_and_ends_sessions_raises(plain, drive):
    with site(UNREACHABLE, {}):
        ours = drive(sessions.SessionStore().sessions)
        for verb, *args in (("list_for_user", 42), ("delete_for_user", 42), ("delete_by_digest", 42, "0" * 32)):
            with pytest.raises(SessionUnavailableError):
                getattr(ours, verb)(*args)


def test_the_error_is_one_of_an_outage_and_survives_a_pickle():
    again = pickle.loads(pickle.dumps(SessionUnavailableError("away", answered=True)))
    assert isinstance(again, CacheUnavailableError)
    assert (type(again), again.reason, again.answered) == (SessionUnavailableError, "away", True)


def test_without_redis_a_page_with_a_session_is_a_503_that_keeps_the_cookie(broker, plain, alice, ask):
    client = browser(alice)
    for page in ("who", "count", "leave", "enter"):
        with away():
            response = ask(client, page)
        assert response.status_code == 503, page
        assert 1 <= int(response["Retry-After"]) <= 60
        assert response["Cache-Control"] == "no-store"
        assert b"logged in" in response.content
        assert kept(response)


def test_without_redis_pages_without_a_session_and_visitors_without_one_see_the_site(broker, plain, alice, ask):
    client, visitor = browser(alice), browser()
    with away():
        assert ask(client, "about").status_code == 200
        assert ask(visitor, "who").content == b"anonymous"
        assert ask(client, "broken").status_code == 500


@pytest.mark.parametrize(
    "middleware", ["django.contrib.auth.middleware.LoginRequiredMiddleware", f"{__name__}.reads_first"]
)
def test_a_middleware_that_asks_for_the_session_is_answered_as_well(broker, plain, alice, ask, middleware):
    client = browser(alice)
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, middleware]), away():
        response = ask(client, "about")
    assert response.status_code == 503
    assert kept(response)


def reads_first(get_response):
    """Ask for the session before any view is."""

    def middleware(request):
        request.session.get("language")
        return get_response(request)

    return middleware


def test_a_session_that_cannot_be_saved_is_a_503_and_stays_as_it_was(broker, plain, alice, ask):
    client = browser(alice)
    assert ask(client, "count").content == b"1"
    with mock.patch.object(sessions.SessionStore, "_saving", side_effect=unavailable):
        response = ask(client, "count")
    assert response.status_code == 503
    assert kept(response)
    assert ask(client, "count").content == b"2"
    assert ask(client, "who").content == b"alice"


def unavailable(*_):
    """A flow that finds Redis away."""
    raise CacheUnavailableError("away")
    yield


def test_a_session_that_is_saved_at_every_request_is_a_503_too(broker, plain, alice, ask):
    client = browser(alice)
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True), away():
        response = ask(client, "about")
        assert response.status_code == 503
        assert kept(response)
    assert ask(client, "who").content == b"alice"


def test_a_save_that_failed_ends_no_session_and_a_flush_that_failed_does(broker, plain, drive):
    store = stored(sessions.SessionStore, 42, a=1)
    key = store.session_key
    store["a"] = 2
    with away(), pytest.raises(SessionUnavailableError):
        drive(store).save()
    assert drive(sessions.SessionStore(key)).load() == {SESSION_KEY: "42", "a": 1}
    with away(), pytest.raises(SessionUnavailableError):
        drive(store).flush()
    assert drive(sessions.SessionStore(key)).load() == {}


def test_a_failed_log_out_everywhere_is_told_and_made_good(broker, plain, alice, drive):
    clients = [browser(alice), browser(alice)]
    ours = sessions.SessionStore().sessions
    with away(), pytest.raises(SessionUnavailableError):
        drive(ours).delete_for_user(alice)
    assert [client.get("/who/").content for client in clients] == [b"anonymous", b"anonymous"]


class OwnAnswer(SessionOutageMiddleware):
    """A site's own page."""

    def unavailable(self, request):
        return HttpResponse(f"{request.path} has to wait", status=503)


def test_a_site_may_answer_in_its_own_words(broker, plain, alice, ask):
    client = browser(alice)
    with override_settings(MIDDLEWARE=[f"{__name__}.OwnAnswer", *MIDDLEWARE[1:]]), away():
        assert b"has to wait" in ask(client, "who").content


def test_the_middleware_is_of_both_kinds():
    assert not iscoroutinefunction(SessionOutageMiddleware(lambda request: HttpResponse()))

    async def aview(request):
        return HttpResponse("page")

    middleware = SessionOutageMiddleware(aview)
    assert iscoroutinefunction(middleware)
    assert asyncio.run(middleware(RequestFactory().get("/"))).content == b"page"


# Outages: the engine with a copy in the database


def test_without_redis_nobody_misses_it(broker, database, alice, ask):
    client = browser(alice)
    with away():
        assert ask(client, "who").content == b"alice"
        assert [ask(client, "count").content for _ in range(3)] == [b"1", b"2", b"3"]
        visitor = browser()
        assert ask(visitor, "enter").content == b"welcome"
        assert ask(visitor, "who").content == b"alice"
        assert ask(visitor, "leave").content == b"bye"
        assert ask(visitor, "who").content == b"anonymous"
    assert ask(client, "count").content == b"4"
    assert ask(visitor, "who").content == b"anonymous"


def test_after_an_outage_no_older_copy_is_read(broker, database, drive):
    store = stored(sessions_db.SessionStore, 42, a=1)
    ended = stored(sessions_db.SessionStore, 42)
    key = ended.session_key
    with away():
        store["a"] = 2
        drive(store).save()
        drive(ended).flush()
    assert drive(sessions_db.SessionStore(store.session_key)).load()["a"] == 2
    assert drive(sessions_db.SessionStore(key)).load() == {}
    assert len(get_alias_server("default").journal) == 0


def test_a_log_out_everywhere_works_without_redis(broker, database, alice, drive):
    clients = [browser(alice), browser(alice)]
    with away():
        assert drive(sessions_db.SessionStore().sessions).delete_for_user(alice) == 2
        assert [client.get("/who/").content for client in clients] == [b"anonymous", b"anonymous"]
    assert [client.get("/who/").content for client in clients] == [b"anonymous", b"anonymous"]


def test_a_copy_is_read_without_the_database_and_made_again_where_it_is_lost(
    broker, raw, database, drive, django_assert_num_queries
):
    store = stored(sessions_db.SessionStore, 42, a=1)
    with django_assert_num_queries(0):
        assert drive(sessions_db.SessionStore(store.session_key)).load()["a"] == 1
    raw.unlink(*raw.scan_iter())
    assert drive(sessions_db.SessionStore(store.session_key)).load()["a"] == 1
    with django_assert_num_queries(0):
        assert drive(sessions_db.SessionStore(store.session_key)).load()["a"] == 1
    assert len(drive(store.sessions).list_for_user(42)) == 1
    assert raw.ttl(name_of(store)) == pytest.approx(settings.SESSION_COOKIE_AGE, abs=5)


def test_sessions_of_djangos_engine_go_on(broker, database, drive):
    theirs = DatabaseStore()
    theirs["a"] = 1
    theirs.save()
    assert drive(sessions_db.SessionStore(theirs.session_key)).load() == {"a": 1}
    ours = stored(sessions_db.SessionStore, b=2)
    assert DatabaseStore(ours.session_key).load() == {"b": 2}
    assert Session.objects.get(pk=ours.session_key).get_decoded() == {"b": 2}


@pytest.mark.parametrize("act", ["delete", "delete_for_user", "delete_by_digest", "save"])
def test_a_row_that_was_read_before_an_act_makes_no_copy_after_it(broker, raw, database, drive, act):
    store = stored(sessions_db.SessionStore, 42, a=1)
    key = store.session_key
    handle = name_of(store).rpartition(b":")[2].decode()
    raw.unlink(*raw.scan_iter())
    slow, other = sessions_db.SessionStore(key), sessions_db.SessionStore(key)
    acts = {
        "delete": other.delete,
        "delete_for_user": lambda: other.sessions.delete_for_user(42),
        "delete_by_digest": lambda: other.sessions.delete_by_digest(42, handle),
        "save": lambda: (other.__setitem__("a", 2), other.save()),
    }
    read = DatabaseStore._get_session_from_db

    def meanwhile(self):
        row = read(self)
        if self is slow:
            acts[act]()
        return row

    async def ameanwhile(self):
        return await sync_to_async(meanwhile)(self)

    with (
        mock.patch.object(sessions_db.SessionStore, "_get_session_from_db", meanwhile),
        mock.patch.object(sessions_db.SessionStore, "_aget_session_from_db", ameanwhile),
    ):
        assert drive(slow).load()["a"] == 1  # as it was when it was read
    expected = {SESSION_KEY: "42", "a": 2} if act == "save" else {}
    for _ in range(2):
        assert sessions_db.SessionStore(key).load() == expected


def test_a_session_that_ends_while_it_is_saved_has_no_copy(broker, database):
    store = stored(sessions_db.SessionStore, 42, a=1)
    other = sessions_db.SessionStore(store.session_key)
    save = DatabaseStore.save

    def meanwhile(self, must_create):
        save(self, must_create)
        other.delete()

    with mock.patch.object(DatabaseStore, "save", meanwhile):
        store.save()
    assert sessions_db.SessionStore(store.session_key).load() == {}


def test_a_copy_that_is_too_large_is_none(broker, raw, database, drive, caplog):
    store = stored(sessions_db.SessionStore, 42, a=1)
    store["a"] = [str(number) for number in range(400_000)]
    drive(store).save()
    assert len(drive(sessions_db.SessionStore(store.session_key)).load()["a"]) == 400_000
    assert "MAX_VALUE_BYTES" in caplog.text


# A real server that freezes, dies, and comes back


@needs_server
def test_a_frozen_redis_logs_nobody_out(start_server, engine_name, alice, ask):
    server = start_server()
    with site(server.url, {"SOCKET_TIMEOUT": 1, "POOL_WAIT": 1}):
        client = browser(alice)
        assert ask(client, "who").content == b"alice"
        server.pause()
        seen = [ask(client, "who") for _ in range(5)]
        server.resume()
        if engine_name == PLAIN:
            assert {response.status_code for response in seen} == {503}
        else:
            assert {response.content for response in seen} == {b"alice"}
        assert all(kept(response) for response in seen)
        wait_for(lambda: ask(client, "who").status_code == 200)
        assert ask(client, "who").content == b"alice"


@needs_server
def test_a_killed_redis_logs_out_those_whose_sessions_it_had_in_memory_alone(start_server, engine_name, alice, ask):
    server = start_server()
    with site(server.url, {"SOCKET_TIMEOUT": 1, "POOL_WAIT": 1}):
        client = browser(alice)
        server.kill()
        seen = [ask(client, "who") for _ in range(5)]
        assert all(kept(response) for response in seen)
        server.start()
        wait_for(lambda: session_cache.set("is it back", True))
        after = ask(client, "who")
        if engine_name == PLAIN:
            assert {response.status_code for response in seen} == {503}
            assert after.content == b"anonymous"
        else:
            assert {response.content for response in [*seen, after]} == {b"alice"}


def test_an_outage_is_told_in_the_language_of_the_request():
    with translation.override("de"):
        response = SessionOutageMiddleware(HttpResponse).unavailable(HttpRequest())
    assert response.status_code == 503
    assert response.content.decode().startswith("Diese Seite braucht Ihre Sitzung")
