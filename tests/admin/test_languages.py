"""The pages in German and French: nothing in them is left in English, and what scripts and charts read is no text."""

from __future__ import annotations

import inspect
import json
import re
import time
from contextlib import ExitStack
from html.parser import HTMLParser

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.core.cache import caches
from django.test import override_settings

from django_dripcache import broker, cache, flags, session_cache
from django_dripcache._drive import run
from django_dripcache.admin.doctor import DoctorScreen
from django_dripcache.admin.overview import _tell_origin
from django_dripcache.counts import Label
from django_dripcache.flows import figures
from django_dripcache.limiter import RateLimiter
from django_dripcache.recorder import RECORDER, home
from tests.conftest import use_server
from tests.test_locale import CODES, LANGUAGES, messages

from .conftest import BASE, Desk
from .test_access import HOOK, SCREENS

pytestmark = pytest.mark.django_db


def count_by(request):
    return "someone"


KEYS = {"login": "ip", "user": "user", "both": "user_or_ip", "header": "header:X-Api-Key", "own": count_by}
RULES = [{"name": name, "rate": "1/m", "key": key, "path": f"/{name}/"} for name, key in KEYS.items()]
PATHS = [
    *SCREENS,
    "?period=30d",
    "?live",
    "groups/?period=30d",
    "keys/?search=absent",
    "keys/?name=dripcache:c:page:7",
    "keys/?name=dripcache:c:absent",
    "tags/?search=absent",
    "sessions/?user=boss",
    "sessions/?user=absent",
]
NAMES = {"airports", "boss", "page:7", "pages", "checkout", "default", "volatile-lru", *KEYS}
"""What this site, its people and its keys are called."""

NUMBERS = {"x", "y", "width", "height", "viewbox", "d", "data-seconds", "maxlength", "min", "step", "tabindex"}
"""Attributes that a browser or a script reads as numbers."""

SPOKEN = {"aria-label", "title", "placeholder", "alt", "data-paused", "data-resumed", "data-failed", "data-ended"}
"""Attributes that people read."""

VOID = {"input", "link", "meta", "br", "hr", "img", "rect", "path"}


class Page(HTMLParser):
    """What a page says, but for code, names, and what is marked as English; and the attributes that are numbers."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.numbers, self.fields, self.silent = [], [], {}, []
        self.feed(text[max(text.find('<div id="content-main"'), 0) :].partition("<footer")[0])

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        quiet = tag in {"code", "pre"} or found.get("lang") == "en" or found.get("translate") == "no"
        if tag not in VOID and (self.silent or quiet):
            self.silent.append(tag)
        self.numbers += [value for name, value in attributes if name in NUMBERS]
        self.texts += [value for name, value in attributes if name in SPOKEN and value and not self.silent]
        if tag == "input":
            self.fields[found.get("name")] = found.get("value", "")

    def handle_endtag(self, tag):
        if self.silent and tag not in VOID:
            self.silent.pop()

    def handle_data(self, data):
        if not self.silent:
            self.texts.append(" ".join(data.split(" ")).strip())


@pytest.fixture
def site(start_server, boss):
    """A site with some of everything: more than a thousand keys, and a server with a limit of memory."""
    server = start_server(maxmemory="64mb", maxmemory_policy="volatile-lru")
    with use_server(server.url, RATE_LIMITS=RULES, SHOW_ADDRESSES=True), ExitStack() as languages:
        cache.bulk_set({f"airport:{number}": number for number in range(1200)})
        cache.set("tagged", 1, ttl=600, tags=["pages"])
        cache.set_json("page:7", {"a": 1})
        caches["default"].set("django", 1)
        flags.set("checkout", enabled=True)
        session_cache.set("id", {}, user=boss.session["_auth_user_id"], about={"agent": "-", "address": "203.0.113.7"})
        for _ in range(2):
            RateLimiter(name="login").hit("ip:203.0.113.7", "1/m")
            RateLimiter(name="other").hit("ip:203.0.113.7", "1/m")
        RECORDER.flush()
        grown = {Label("k", "airports"): [1500, 250, 1750, *[0] * 60]}
        there, space = home()
        for ago in (0, 60, 86_400):
            run(figures.add(space, time.time() - ago, grown, {}), there)

        def speak(code):
            languages.enter_context(override_settings(LANGUAGE_CODE=code, USE_THOUSAND_SEPARATOR=True))
            return Desk(boss)

        yield speak


def words(code):
    """Return all English texts that the language has another word for, but for those that are a word of it, too."""
    known = [(message.id, message.string) for message in messages(code) if isinstance(message.id, str)]
    own = {string for _, string in known}
    return {source for source, string in known if source != string and "%(" not in source} - own


@LANGUAGES
@pytest.mark.parametrize("path", PATHS)
def test_no_page_has_an_english_text_left(site, code, path):
    page = Page(site(code).look(path))
    assert set(page.texts) & words(code) == set()
    assert len([text for text in page.texts if text]) > 5


@LANGUAGES
def test_what_a_page_says_in_two_languages_is_a_name_or_no_word(site, code):
    """So a text is found that was never marked as one to be translated."""
    same = {message.string for message in messages(code) if message.string == message.id}
    for path in PATHS:
        english = set(Page(site("en").look(path)).texts)
        told = english & set(Page(site(code).look(path)).texts)
        left = {text for text in told - same - NAMES if re.search(r"[A-Za-z]{3}", re.sub(r"[KMG]iB|min", "", text))}
        assert left == set(), path


@pytest.mark.parametrize("code", ["en", *CODES])
@pytest.mark.parametrize("path", PATHS)
def test_what_a_browser_reads_as_numbers_is_the_same_in_all_languages(site, code, path):
    page = Page(site(code).look(path))
    assert [value for value in page.numbers if not re.fullmatch(r"[MLHVh\d. -]+", value)] == []
    json.loads(page.fields.get("sent", "0"))


def test_the_pages_have_numbers_to_look_at(site):
    page = site("de").look()
    assert re.search(r'd="M\d+ 50', page)
    assert re.search(r'viewBox="0 0 600 100"', page)
    assert re.search(r"Trefferrate</dt>\s*<dd>50\xa0%", page)
    assert re.search(r">1\.\d\d\d</dd>", page), "keys, with the separator of thousands"
    assert re.search(r'aria-label="[\d,]+\xa0%"', page)
    assert len(Page(page).numbers) > 100


def test_days_and_times_are_written_as_the_language_has_them(site):
    german, english = site("de").look("?period=30d"), site("en").look("?period=30d")
    assert re.search(r"<li>\d+\. (Jan|Feb|März|Apr|Mai|Juni|Juli|Aug|Sep|Okt|Nov|Dez)", german)
    assert re.search(r"<li>\d+ [A-Z][a-z]+</li>", english)
    assert re.search(r"\d\d\.\d\d\.\d{4} \d\d:\d\d", site("de").look("sessions/?user=boss"))
    assert "Minuten her" in site("de").look("sessions/?user=boss")


def test_what_is_asked_told_and_noted_is_in_the_language_of_who_does_it(site):
    desk = site("de")
    asked = desk.ask("keys/expire/", name="dripcache:c:page:7", seconds="1234")
    assert "Den Schlüssel „dripcache:c:page:7“ in 1.234 Sekunden ablaufen lassen?" in asked.content.decode()
    assert Page(asked.content.decode()).fields["seconds"] == "1234"
    told = desk.do("keys/expire/", name="dripcache:c:page:7", seconds="1")
    assert told == "Der Schlüssel „dripcache:c:page:7“ läuft in 1 Sekunde ab."
    assert desk.do("flags/set/", name="checkout", enabled="off") == "Das Flag „checkout“ ist ausgeschaltet."
    assert desk.do("clear/cache/", namespace="shop", typed="shop") == "„shop“ wurde geleert: 0 Schlüssel entfernt."
    assert desk.log == [
        ("Schlüssel „dripcache:c:page:7“", "Ablauf in 1 Sekunde festgelegt."),
        ("Flag „checkout“", "Ausgeschaltet."),
        ("Namensraum „shop“", "Geleert."),
    ]
    assert LogEntry.objects.filter(content_type__model="overview").count() == 3
    refused = desk.ask("flags/set/", name="checkout", enabled="maybe")
    *_, message = get_messages(refused.wsgi_request)
    assert str(message) == "Ein Flag wird mit „on“ ein- oder mit „off“ ausgeschaltet."


@LANGUAGES
def test_every_question_is_asked_in_the_language(site, code):
    desk = site(code)
    for path, data in {
        "keys/delete/": {"name": "dripcache:c:page:7"},
        "keys/expire/": {"name": "dripcache:c:page:7", "seconds": "7"},
        "tags/invalidate/": {"tag": "pages"},
        "limits/reset/": {"rule": "login", "who": "203.0.113.7"},
        "flags/set/": {"name": "checkout", "enabled": "off"},
        "flags/delete/": {"name": "checkout"},
        "sessions/logout/": {"user": "1", "digest": "a"},
        "sessions/logout_all/": {"user": "1"},
        "clear/django/": {},
        "clear/cache/": {},
        "clear/cache": {"namespace": "shop"},
    }.items():
        response = desk.ask(path.rstrip("/") + "/", **data)
        assert response.status_code == 200, path
        page = Page(response.content.decode())
        assert set(page.texts) & words(code) == set(), path
        assert not re.search(r"\b(the|of|all|this)\b", " ".join(page.texts)), path


def test_findings_and_errors_are_in_english_and_say_so(site):
    desk = site("de")
    doctor = desk.look("doctor/")
    assert re.search(r'<ul class="dripcache-findings" lang="en">', doctor)
    assert "Diagnose" in doctor
    for path in ("keys/?cursor=x", "tags/?cursor=x"):
        assert re.search(r'role="alert" lang="en">[^<]*is not one that a page of keys had', desk.look(path))


def test_advice_is_german_beside_its_group_and_english_among_the_findings(site):
    server, space = home()
    run(figures.add(space, time.time(), {Label("k", "pages"): [10, 0, 990, *[0] * 60]}, {}), server)
    assert "Niedrige Trefferrate" in site("de").look("groups/")
    # Not the page: on a busy machine the doctor may find that its time is up.
    findings = str(DoctorScreen(HOOK).context(None, None))
    assert "Low hit rate" in findings
    assert "Niedrige Trefferrate" not in findings


def test_every_origin_of_an_address_is_told_in_the_language(site):
    site("de")
    origins = re.findall(r'(?:from_url\(.*, |origin = f?)"([^"{]+)', inspect.getsource(broker))
    assert len(origins) == 4
    for origin in origins:
        assert _tell_origin(origin).startswith("aus "), origin


def test_an_outage_is_told_in_the_language(boss):
    with use_server("redis://127.0.0.1:1/0"), override_settings(LANGUAGE_CODE="fr"):
        desk = Desk(boss)
        for path in SCREENS:
            page = Page(desk.look(path))
            assert "Redis ne répond pas." in " ".join(page.texts), path
            assert set(page.texts) & words("fr") == set(), path


def test_the_permission_is_named_as_the_admin_lists_it(site, sign_in):
    site("de")
    page = sign_in("view").get(BASE + "keys/", {"name": "dripcache:c:page:7"}).content.decode()
    assert "Sie benötigen die Berechtigung „Can see the values of keys“." in page
