"""What others chose, on every page: markup stays text, and no sign breaks a page."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import caches

from django_dripcache import CacheManager, cache, flags, rate_limiter, session_cache
from django_dripcache.admin.sessions import find_users
from django_dripcache.limiter import RateLimiter
from django_dripcache.recorder import RECORDER
from tests.conftest import use_server

from .conftest import BASE, Desk
from .test_access import SCREENS

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning"),  # they are what they warn of
]

PAYLOAD = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}{% debug %}"
STRANGE = "\ud800\x00\r\n\u202e\x1b[2J\uffff\udfff"
SIGNS = pytest.mark.parametrize("text", [PAYLOAD, STRANGE, "a" * 3000], ids=["markup", "signs", "long"])
RULE = {"name": "<script>alert(1)</script>", "rate": "1/m", "key": "ip", "path": "/login/"}


@pytest.fixture
def site(redis_server, raw, boss):
    with use_server(redis_server.url, RATE_LIMITS=[RULE], SHOW_ADDRESSES=True):
        yield Desk(boss)


def fill(text):
    """Put a text wherever a site, its users, and those who attack it can put one."""
    caches["default"].set(f"{text}:{text}", text)
    cache.set_json(f"{text}:{text}", {text: [text]} if text.isprintable() else [1])
    cache.get(f"{text}:{text}")
    cache.set("tagged", 1, tags=[text])
    CacheManager(namespace=text[:60]).set(text, 1)
    flags.set(text[:200], enabled=True)
    about = {"agent": text, "address": text} if text.isprintable() else {}
    name = text.replace("\x00", "").encode("utf-8", "replace").decode()[:150]
    session_cache.set("id", {}, user=User.objects.create(username=name, password="!"), about=about)
    session_cache.set("another", {}, user=text, about=about)
    for _ in range(2):
        RateLimiter(name=text[:100]).hit(f"ip:{text}", "1/m")
        RateLimiter(name=RULE["name"]).hit(f"{RULE['name']}:ip:{text}", "1/m")
    RECORDER.flush()


def paths(raw, text):
    yield from SCREENS
    yield "?live&period=1h"
    shown = text.encode("utf-8", "replace").decode()
    for path in ("keys/?search=", "keys/?name=", "keys/?cursor=", "keys/?place=", "tags/?search=", "sessions/?user="):
        yield path + quote(shown[:1000])
    for path in ("?period=", "groups/?sort=", "flags/?alias=", "limits/?period="):
        yield path + quote(shown[:1000])
    for name in raw.scan_iter(count=1000):
        printable = "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\x{byte:02x}" for byte in name)
        yield "keys/?name=" + quote(printable)


@SIGNS
def test_what_others_chose_is_inert_on_every_page(site, raw, text):
    fill(text)
    for path in paths(raw, text):
        page = site.look(path)
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
        assert "49{%" not in page, path
        assert "\x00" not in page, path
        assert "\u202e" not in page, path


def test_what_others_chose_is_there_to_be_read(site, raw):
    fill(PAYLOAD)
    escaped = "&lt;script&gt;alert(1)&lt;/script&gt;"
    for path in ("groups/", "keys/", "tags/", "limits/", "flags/", "sessions/?user=%3Cscript%3Ealert(1)%3C/script%3E"):
        assert escaped in site.look(path), path


@SIGNS
def test_what_others_chose_is_inert_in_questions_and_answers(site, text):
    fill(text)
    sent = text.encode("utf-8", "replace").decode()[:1000]
    for path in ("flags/delete/", "keys/delete/", "keys/expire/", "sessions/logout_all/", "clear/cache/"):
        data = {"name": sent[:200], "user": sent, "namespace": sent[:60], "seconds": "1", "who": sent}
        response = site.ask(path, **data)
        told = response.content.decode() + str(response.cookies)
        if response.status_code == 302:
            told = site.look()
        assert "<script>alert" not in told, path
        assert "<img src=x" not in told, path


def test_no_page_has_a_script_or_a_style_of_its_own(site, raw):
    fill("text")
    for path in paths(raw, "text"):
        page = site.look(path)
        assert " style=" not in page
        assert "<style" not in page
        assert "javascript:" not in page
        assert not [part for part in page.split("<script")[1:] if not part.lstrip().startswith("src=")]
        assert not [word for word in ("onclick=", "onload=", "onsubmit=", "onchange=") if word in page]


def nonce(request):
    return {"csp_nonce": "bm9uY2U="}


def test_scripts_and_styles_carry_the_nonce_of_the_policy(site, with_settings):
    (engine,) = settings.TEMPLATES
    processors = [*engine["OPTIONS"]["context_processors"], f"{__name__}.nonce"]
    with_settings(TEMPLATES=[{**engine, "OPTIONS": {"context_processors": processors}}])
    for path in SCREENS:
        page = site.look(path)
        assert page.count('dashboard.js" defer nonce="bm9uY2U="') == 1
        assert page.count('dashboard.css" nonce="bm9uY2U="') == 1


def test_values_are_shown_to_those_alone_who_may_see_them(site, raw, sign_in):
    cache.set_json("page", {"secret": "hunter2"})
    (name,) = [name.decode() for name in raw.scan_iter(count=1000) if b":page" in name]
    for rights, sees in ((("view",), False), (("change", "clear"), False), (("reveal",), True)):
        response = sign_in(*rights).get(f"{BASE}keys/", {"name": name})
        assert ("hunter2" in response.content.decode()) is sees, rights
        assert ("hunter2" in str(response.context["value"])) is sees, rights


def test_what_is_secret_is_shown_to_nobody(site, raw):
    session_cache.set("id", {"token": "hunter2"}, user=7, about={"agent": "secret-agent"})
    for name in raw.scan_iter(count=1000):
        page = site.look("keys/", name=name.decode())
        assert "hunter2" not in page
        assert "secret-agent" not in page
        assert "never shown" in page or b":stats:" in name


def test_a_pickle_is_never_unpickled_to_be_looked_at(site, raw):
    caches["default"].set("object", Trap())
    (name,) = [name.decode() for name in raw.scan_iter(count=1000) if b":object" in name]
    assert "not unpickled" in site.look("keys/", name=name)
    assert not Trap.sprung
    caches["default"].get("object")
    assert Trap.sprung, "the trap works"


class Trap:
    sprung = False

    def __reduce__(self):
        return spring, ()


def spring():
    Trap.sprung = True


def test_who_is_denied_is_a_digest_unless_addresses_may_be_shown(redis_server, raw, boss):
    with use_server(redis_server.url, RATE_LIMITS=[RULE]):
        for _ in range(2):
            rate_limiter.hit("ip:203.0.113.7", "1/m")
        RECORDER.flush()
        assert "203.0.113.7" not in Desk(boss).look("limits/")


def test_a_user_is_not_looked_for_by_what_no_name_has(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert find_users("a\x00b") == [("a\x00b", None)]
