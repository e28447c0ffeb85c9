"""The dashboard in a browser: it fits, it moves, it says nothing on the console, and axe finds nothing grave."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import override_settings

from django_dripcache import cache, flags, session_cache
from django_dripcache.limiter import RateLimiter
from django_dripcache.recorder import RECORDER
from tests.conftest import use_server

PATH = "/admin/django_dripcache/overview/"
SCREENS = [
    "",
    "groups/",
    "keys/",
    "keys/?name=dripcache:c:page:7",
    "tags/",
    "limits/",
    "flags/",
    "sessions/?user=admin",
    "connections/",
    "doctor/",
    "clear/",
]
RULE = {"name": "login", "rate": "1/m", "key": "ip", "path": "/login/"}
LONG = "a-name-without-a-break-" * 8

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def signed_in(page, live_server):
    User.objects.create_superuser("admin", password="secret")
    middleware = ["tests.browser.middleware.content_security_policy", *settings.MIDDLEWARE]
    with override_settings(MIDDLEWARE=middleware):
        page.goto(f"{live_server.url}/admin/login/?next=/admin/")
        page.fill("#id_username", "admin")
        page.fill("#id_password", "secret")
        page.click("[type=submit]")
        page.wait_for_url("**/admin/", wait_until="load")
        page.visit = lambda path="": page.goto(f"{live_server.url}{PATH}{path}")
        yield page


@pytest.fixture
def site(redis_server, raw):
    """A server with some of everything, and names that fit nowhere."""
    with use_server(redis_server.url, RATE_LIMITS=[RULE], SHOW_ADDRESSES=True):
        traffic()
        yield


def traffic():
    for number in range(40):
        cache.get_or_set(f"page:{number % 20}", lambda: "x" * 1000, tags=["pages", LONG])
        caches["default"].get(f"{LONG[:200]}:{number}")
    cache.set_json("page:7", {"title": LONG, "stops": [1, 2, 3]})
    for _ in range(3):
        RateLimiter(name="login").hit("ip:203.0.113.7", "1/m")
    flags.set("checkout", enabled=True)
    flags.set(LONG, enabled=False)
    user = User.objects.filter(username="admin").first()
    session_cache.set("id", {}, user=user or 1, about={"address": "203.0.113.7", "agent": LONG})
    RECORDER.flush()


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def grave(axe, page):
    """Return what axe finds that is serious or critical."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document.querySelector('#content-main'), {resultTypes: ['violations']})")
    return [
        (one["id"], node["html"], node["failureSummary"])
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


def test_axe_finds_what_is_wrong(site, signed_in, axe):
    signed_in.visit()
    signed_in.evaluate("document.querySelector('#content-main').append(document.createElement('input'))")
    assert [rule for rule, *_ in grave(axe, signed_in)] == ["label"]


def test_every_screen_fits_and_can_be_used_by_all(site, signed_in, axe):
    traffic()
    for path in SCREENS:
        signed_in.visit(path)
        signed_in.look((path.partition("/")[0] or "overview") + ("-one" if "name=" in path else ""))
        assert fits(signed_in), path
        assert grave(axe, signed_in) == [], path
        assert signed_in.locator(".dripcache-tabs [aria-current=page]").is_visible()


def test_every_question_fits_and_can_be_used_by_all(site, signed_in, axe):
    for path, button in [("flags/", "Delete"), ("limits/", "Reset"), ("tags/", "Invalidate"), ("clear/", "Clear…")]:
        signed_in.visit(path)
        signed_in.locator("button", has_text=button).first.click()
        signed_in.wait_for_selector(".dripcache-confirm")
        signed_in.look(f"question-{path[:-1]}")
        assert fits(signed_in), path
        assert grave(axe, signed_in) == [], path


def test_a_flag_is_switched_by_the_keyboard_alone(site, signed_in):
    signed_in.visit("flags/")
    signed_in.focus("button:has-text('Switch off')")
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_selector(".dripcache-confirm")
    signed_in.focus(".dripcache-answers button")
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_selector(".messagelist .success")
    assert "The flag “checkout” is off." in signed_in.inner_text(".messagelist")
    assert flags.all() == {"checkout": False, LONG: False}


def test_a_cache_is_cleared_once_its_name_is_typed(site, signed_in):
    signed_in.visit("clear/")
    signed_in.locator("button", has_text="Clear…").nth(1).click()
    signed_in.wait_for_selector("#typed:focus")
    signed_in.keyboard.type("cahce")
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_selector("#typed-error")
    assert cache.get_json("page:7") is not None
    signed_in.fill("#typed", "cache")
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_selector(".messagelist .success")
    assert cache.get_json("page:7") is None


def test_the_figures_refresh_and_can_be_paused(site, signed_in):
    signed_in.clock.install()
    signed_in.visit()
    tile = signed_in.locator(".dripcache-tiles dd").first
    before = tile.inner_text()
    signed_in.click("#table-rate summary")
    for _ in range(200):
        cache.get("page:1")
    RECORDER.flush()
    with signed_in.expect_response("**/overview/?live*"):
        signed_in.clock.run_for(11_000)
    signed_in.wait_for_function(
        "before => document.querySelector('.dripcache-tiles dd').innerText !== before", arg=before
    )
    assert signed_in.locator("#table-rate").get_attribute("open") is not None
    asked = []
    signed_in.on("request", lambda request: asked.append(request.url))
    signed_in.click("button:has-text('Pause')")
    assert signed_in.locator("[role=status]").inner_text() == "Paused."
    assert signed_in.locator(".dripcache-refresh button").get_attribute("aria-pressed") == "true"
    signed_in.clock.run_for(60_000)
    assert asked == []
    with signed_in.expect_response("**/overview/?live*"):
        signed_in.click("button:has-text('Pause')")


def test_a_refresh_without_redis_says_so_and_takes_it_back(start_server, signed_in):
    server = start_server()
    with use_server(server.url):
        signed_in.clock.install()
        signed_in.visit()
        assert signed_in.locator("[role=alert]").count() == 0
        server.pause()
        signed_in.clock.run_for(11_000)
        signed_in.wait_for_selector("[role=alert]")
        assert "Redis does not answer" in signed_in.locator("[role=alert]").inner_text()
        server.resume()
        signed_in.wait_for_timeout(2500)
        signed_in.clock.run_for(21_000)
        signed_in.wait_for_selector("[role=alert]", state="detached")


def test_the_figures_of_one_who_is_logged_out_stand_still(site, signed_in):
    signed_in.clock.install()
    signed_in.visit()
    signed_in.context.clear_cookies()
    signed_in.clock.run_for(11_000)
    signed_in.wait_for_function("document.querySelector('[role=status]').innerText.includes('logged out')")
    assert signed_in.locator(".dripcache-tiles").is_visible()


def test_without_a_script_everything_is_there_but_the_refreshing(site, chromium, live_server, signed_in):
    cookies = signed_in.context.cookies()
    context = chromium.new_context(java_script_enabled=False)
    context.add_cookies(cookies)
    plain = context.new_page()
    for path in SCREENS:
        plain.goto(f"{live_server.url}{PATH}{path}")
        assert plain.locator(".dripcache-tabs [aria-current=page]").is_visible()
        assert plain.get_by_text("Pause").count() == 0 or not plain.get_by_text("Pause").is_visible()
    plain.goto(f"{live_server.url}{PATH}flags/")
    plain.locator("button", has_text="Switch off").first.click()
    plain.locator(".dripcache-answers button").click()
    assert "is off" in plain.inner_text(".messagelist")
    context.close()


def test_nothing_moves_for_those_who_do_not_want_it(site, chromium, live_server, signed_in):
    context = chromium.new_context(reduced_motion="reduce")
    context.add_cookies(signed_in.context.cookies())
    calm = context.new_page()
    calm.goto(f"{live_server.url}{PATH}")
    assert calm.evaluate("getComputedStyle(document.querySelector('.dripcache-pulse')).animationName") == "none"
    signed_in.visit()
    assert signed_in.evaluate("getComputedStyle(document.querySelector('.dripcache-pulse')).animationName") != "none"
    context.close()


def test_the_theme_that_was_chosen_is_kept_to(site, signed_in, scheme):
    signed_in.visit()
    other = "light" if scheme == "dark" else "dark"
    card = "getComputedStyle(document.querySelector('.dripcache-tiles > div')).backgroundColor"
    before = signed_in.evaluate(card)
    signed_in.evaluate("theme => { document.documentElement.dataset.theme = theme }", other)
    assert signed_in.evaluate(card) != before


def test_findings_of_a_badly_set_up_server(start_server, signed_in, axe):
    server = start_server(maxmemory_policy="allkeys-lru", maxmemory="2mb")
    with use_server(server.url):
        signed_in.visit()
        assert signed_in.get_by_text("dripcache.W011").is_visible()
        signed_in.look("overview-findings")
        assert fits(signed_in)
        assert grave(axe, signed_in) == []


def test_every_screen_without_redis(signed_in, axe):
    with use_server("redis://127.0.0.1:1/0"):
        for path in SCREENS:
            signed_in.visit(path)
            assert "Redis does not answer" in signed_in.get_by_role("alert").inner_text()
            assert fits(signed_in), path
            assert grave(axe, signed_in) == [], path
        signed_in.look("outage")


def test_every_screen_of_a_site_where_nothing_has_happened(broker, signed_in, axe):
    for path in SCREENS:
        signed_in.visit(path)
        assert fits(signed_in), path
        assert grave(axe, signed_in) == [], path
        signed_in.look("empty-" + (path.partition("/")[0] or "overview"))
