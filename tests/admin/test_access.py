"""Who may do what: each role on each address with each method."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from django_dripcache import flags
from django_dripcache.models import Overview

from .conftest import BASE

pytestmark = pytest.mark.django_db

HOOK = admin.site._registry[Overview]
SCREENS = {screen(HOOK).route: screen.right for screen in HOOK.screens}
ACTS = {
    f"{screen(HOOK).route}{act}/": (right, screen.right)
    for screen in HOOK.screens
    for act, right in screen.acts.items()
}
PATHS = [*SCREENS, *ACTS]
METHODS = ["get", "head", "post", "put", "patch", "delete", "options"]
ROLES = {
    "anonymous": None,
    "not staff": set(),
    "staff": set(),
    "view": {"view"},
    "change": {"view", "change"},
    "clear": {"view", "clear"},
    "reveal": {"view", "reveal"},
    "superuser": {"view", "change", "clear", "reveal"},
}


def test_the_table_has_every_address():
    assert {url.pattern._route for url in HOOK.get_urls()} == set(PATHS)
    assert {"", "clear/"} <= set(SCREENS)
    assert "clear/django/" in ACTS


def test_each_act_asks_for_the_right_that_it_takes():
    assert {path: right for path, (right, _) in ACTS.items()} == {
        "keys/expire/": "change",
        "keys/delete/": "change",
        "tags/invalidate/": "change",
        "limits/reset/": "change",
        "flags/set/": "change",
        "flags/delete/": "change",
        "sessions/logout/": "change",
        "sessions/logout_all/": "change",
        "clear/django/": "clear",
        "clear/cache/": "clear",
    }


def client_of(role, sign_in, boss):
    if role == "anonymous":
        return Client()
    if role == "superuser":
        return boss
    rights = () if role in {"not staff", "staff"} else (role,)
    return sign_in(*rights, staff=role != "not staff")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", PATHS)
def test_a_role_may_do_what_it_may_and_nothing_else(broker, sign_in, boss, role, path):
    client = client_of(role, sign_in, boss)
    needs = {SCREENS[path]} if path in SCREENS else set(ACTS[path])
    allowed = {"get", "head"} if path in SCREENS else {"post"}
    for method in METHODS:
        response = getattr(client, method)(BASE + path)
        if role in {"anonymous", "not staff"}:
            assert response.status_code == 302, method
            assert "/login/" in response["Location"]
        elif not needs <= ROLES[role]:
            assert response.status_code == 403, method
        elif method not in allowed:
            assert response.status_code == 405, method
        elif path in SCREENS:
            assert response.status_code == 200, method
        else:
            assert response.status_code in {200, 302}, method


@pytest.mark.parametrize("path", ACTS)
def test_an_act_without_the_token_of_the_form_is_refused(broker, sign_in, path):
    client = sign_in("change", "clear", enforce_csrf_checks=True)
    assert client.post(BASE + path, {"alias": "default", "confirmed": "yes"}).status_code == 403


@pytest.mark.parametrize("right", ["view", "change", "clear", "reveal"])
def test_what_one_may_not_do_is_not_offered(broker, sign_in, right):
    flags.set("checkout", enabled=True)
    client = sign_in(right)
    page = client.get(f"{BASE}flags/").content.decode()
    assert "checkout" in page
    assert ("Switch off" in page) is (right == "change")
    assert (f'href="{BASE}clear/"' in page) is (right == "clear")


def test_an_admin_site_of_its_own_links_to_itself(broker, boss, with_settings):
    with_settings(ROOT_URLCONF="tests.admin.urls")
    assert reverse("office:django_dripcache_overview_flags").startswith("/office/")
    for path in SCREENS:
        page = boss.get(f"/office/django_dripcache/overview/{path}").content.decode()
        assert "/office/django_dripcache/overview/groups/" in page
        assert "/admin/" not in page.replace("/static/admin/", "")


def test_an_act_of_a_site_of_its_own_leads_back_to_it(broker, boss, with_settings):
    with_settings(ROOT_URLCONF="tests.admin.urls")
    url = "/office/django_dripcache/overview/flags/"
    data = {"alias": "default", "name": "a", "enabled": "on", "confirmed": "yes"}
    assert boss.post(f"{url}set/", data)["Location"] == url


def test_nothing_of_the_pages_is_kept_by_a_cache_on_the_way(broker, boss):
    for path in SCREENS:
        assert "no-store" in boss.get(BASE + path)["Cache-Control"]


def test_the_index_of_the_admin_offers_nothing_to_add(broker, boss):
    page = boss.get("/admin/").content.decode()
    assert BASE in page
    assert f"{BASE}add/" not in page
