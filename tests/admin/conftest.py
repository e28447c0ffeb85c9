"""Members of the staff, each with some permissions, and what they post."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client, override_settings

from django_dripcache.counts import COUNTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BASE = "/admin/django_dripcache/overview/"


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    """Leave out what the tests before have counted."""
    COUNTS.take()


@pytest.fixture
def sign_in(db: None) -> Callable[..., Client]:
    """Return a client of one who has these rights: "view", "change", "clear", "reveal"."""

    def sign_in(*rights: str, staff: bool = True, **options: Any) -> Client:
        name = f"someone-{'-'.join(rights)}-{staff}"
        user, _ = User.objects.get_or_create(username=name, is_staff=staff)
        user.user_permissions.set(Permission.objects.filter(codename__in=[f"{right}_overview" for right in rights]))
        client = Client(**options)
        client.force_login(user)
        return client

    return sign_in


class Desk:
    """A superuser who clicks."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def look(self, path: str = "", **query: str) -> str:
        """Return a page."""
        response = self.client.get(BASE + path, query)
        assert response.status_code == 200, response
        return response.content.decode()

    def ask(self, path: str, **data: str) -> Any:
        """Post an act without the answer to the question."""
        return self.client.post(BASE + path, {"alias": "default", **data})

    def do(self, path: str, **data: str) -> str:
        """Post an act, with the answer, and return what was told about it."""
        response = self.ask(path, **data, confirmed="yes")
        assert response.status_code == 302, response.content.decode()
        return [str(message) for message in get_messages(response.wsgi_request)][-1]

    @property
    def log(self) -> list[tuple[str, str]]:
        """What the admin's log has: what it is about, and what was done."""
        return list(LogEntry.objects.order_by("pk").values_list("object_repr", "change_message"))


@pytest.fixture
def boss(db: None) -> Client:
    """A superuser; no password is hashed for them, which takes its time."""
    client = Client()
    client.force_login(User.objects.create(username="boss", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def desk(broker: Any, boss: Client) -> Desk:
    return Desk(boss)


@pytest.fixture
def with_settings() -> Iterator[Callable[..., None]]:
    """Set settings until the end of a test."""
    overrides: list[Any] = []

    def use(**options: Any) -> None:
        override = override_settings(**options)
        override.enable()
        overrides.append(override)

    yield use
    for override in reversed(overrides):
        override.disable()
