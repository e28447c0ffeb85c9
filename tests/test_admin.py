from __future__ import annotations

import time

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import caches
from django.test import Client, override_settings

from tests.conftest import use_server

URL = "/admin/django_dripcache/overview/"

pytestmark = pytest.mark.django_db


def client_of(*, staff: bool, permission: bool) -> Client:
    user = User.objects.create_user("someone", password="secret", is_staff=staff)
    if permission:
        user.user_permissions.add(Permission.objects.get(codename="view_overview"))
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    ("staff", "permission", "status"), [(False, False, 302), (False, True, 302), (True, False, 403), (True, True, 200)]
)
def test_the_overview_asks_for_staff_with_the_permission(broker, staff, permission, status):
    assert client_of(staff=staff, permission=permission).get(URL).status_code == status


def test_nobody_sees_it_without_a_login(broker):
    assert Client().get(URL).status_code == 302


@pytest.mark.parametrize("path", ["add/", "1/change/", "1/delete/", "1/history/"])
def test_there_is_nothing_to_add_change_or_delete(broker, path, admin_client):
    assert admin_client.get(URL + path).status_code == 404


def test_the_index_of_the_admin_names_it_for_those_who_may_see_it(broker, admin_client):
    assert URL in admin_client.get("/admin/").content.decode()
    assert URL not in client_of(staff=True, permission=False).get("/admin/").content.decode()


def test_it_shows_the_live_figures(broker, admin_client):
    caches["default"].set_many({str(number): number for number in range(12)})
    page = admin_client.get(URL).content.decode()
    assert "<dd>12</dd>" in page
    assert "volatile-lru" in page
    assert f"redis://127.0.0.1:{broker.port}/0" in page
    assert "CELERY_BROKER_URL" in page
    assert "Findings" not in page


def test_it_shows_findings_with_what_to_do(start_server, admin_client):
    server = start_server(maxmemory="50mb", maxmemory_policy="allkeys-lru")
    with use_server(server.url):
        page = admin_client.get(URL).content.decode()
    assert "dripcache.W011" in page
    assert "volatile-ttl" in page


def test_it_tells_within_a_second_that_redis_does_not_answer(start_server, admin_client):
    server = start_server()
    with use_server(server.url):
        admin_client.get(URL)
        server.pause()
        began = time.monotonic()
        page = admin_client.get(URL)
        took = time.monotonic() - began
    assert page.status_code == 200
    assert "Redis does not answer" in page.content.decode()
    assert took < 1


def test_it_tells_what_is_wrong_with_the_settings(admin_client):
    with use_server("amqp://user:hunter2@rabbit//"):
        page = admin_client.get(URL).content.decode()
    assert "not Redis" in page
    assert "hunter2" not in page


def test_no_password_and_no_markup_of_others_reaches_the_page(admin_client):
    with use_server("redis://user:hunter2@127.0.0.1:1/0"):
        assert "hunter2" not in admin_client.get(URL).content.decode()
    backend = {"BACKEND": "django_dripcache.backend.DripCache", "LOCATION": "redis://127.0.0.1:1/0"}
    with override_settings(CACHES={"default": backend, "<script>alert(1)</script>": backend}):
        assert "<script>alert" not in admin_client.get(URL).content.decode()


def test_a_site_without_our_backend_is_told_so(admin_client):
    locmem = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    with override_settings(CACHES={"default": locmem}):
        assert "No alias of CACHES" in admin_client.get(URL).content.decode()
