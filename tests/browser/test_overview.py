from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import override_settings

from tests.conftest import use_server

PATH = "/admin/django_dripcache/overview/"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def signed_in(page, live_server):
    User.objects.create_superuser("admin", password="secret")
    middleware = ["tests.browser.middleware.content_security_policy", *settings.MIDDLEWARE]
    with override_settings(MIDDLEWARE=middleware):
        page.goto(f"{live_server.url}/admin/login/?next={PATH}")
        page.fill("#id_username", "admin")
        page.fill("#id_password", "secret")
        page.click("[type=submit]")
        page.wait_for_url(f"**{PATH}", wait_until="load")
        yield page


@pytest.fixture
def fits(page):
    """Fail for a page that must be scrolled sideways."""
    yield
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_overview_of_a_well_set_up_server(broker, fits, signed_in):
    caches["default"].set_many({str(number): "x" * 10_000 for number in range(1_200)})
    signed_in.goto(signed_in.url)
    assert signed_in.inner_text("h1") == "Cache"
    assert signed_in.get_by_text("volatile-lru").is_visible()
    signed_in.look("overview")


def test_the_overview_of_a_badly_set_up_server(start_server, fits, signed_in):
    server = start_server(maxmemory_policy="allkeys-lru", maxmemory="2mb")
    with use_server(server.url):
        signed_in.goto(signed_in.url)
        assert signed_in.get_by_text("dripcache.W011").is_visible()
        signed_in.look("overview-findings")


def test_the_overview_without_redis(fits, signed_in):
    with use_server("redis://127.0.0.1:1/0"):
        signed_in.goto(signed_in.url)
        assert "Redis does not answer" in signed_in.get_by_role("alert").inner_text()
        signed_in.look("overview-outage")
