"""
A server whose cache user has the least rights, those of docs/security.rst: for ``make restricted``.

With ``DRIPCACHE_TEST_ACL=1`` the fixtures start it in the place of others. The cache is that user. The tests look at
the server, fill it and break it as its owner. What is not about the cache's verbs (the driver with commands of the
tests' own, Celery's publisher, users that a test makes) is left out there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from django_dripcache.testing.server import RedisServer

if TYPE_CHECKING:
    from typing_extensions import Self

PAGE = Path(__file__).resolve().parent.parent / "docs" / "security.rst"
USERS = ("acl-cache", "acl-members")


def rules(name: str) -> list[str]:
    """Return the words of an ACL command of the page."""
    return re.search(rf":name: {name}\n\n((?: +.+\n)+)", PAGE.read_text()).group(1).split()


class RestrictedServer(RedisServer):
    """A server that is asked as the user ``shop``, who may do what the page says."""

    @property
    def url(self) -> str:
        return f"redis://shop:password@127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        super().start()
        with self.client() as owner:
            for name in USERS:
                owner.execute_command(*rules(name))
        return self
