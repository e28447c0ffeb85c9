"""What all services have in common: an alias, names of their own, and a way to run their flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from ..backend import get_alias_client
from ..conf import check_encrypt, check_on_outage, encrypted
from ..exceptions import InvalidKeyError
from ..keys import area
from ..outage import Degrading

if TYPE_CHECKING:
    from ..keys import Keyspace
    from ..near import Near
    from ..redis_client import DripClient
    from ..typing import Codec, Link, OnOutage


class Service(Degrading):
    """
    A part of the cache with verbs of its own, over ``alias``.

    ``on_outage`` is ``"fallback"`` or ``"raise"``, by default the alias'. Its keys live in areas of its own,
    ``dripcache:s.<area>:``, where no manager and no pattern of one reaches them.
    """

    area: ClassVar[str]

    def __init__(self, alias: str = "default", *, on_outage: OnOutage | None = None) -> None:
        if on_outage is not None:
            check_on_outage(f"{type(self).__name__}(on_outage=...)", on_outage)
        self.alias = alias
        self.on_outage: OnOutage | None = on_outage

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.alias!r}>"

    @property
    def _client(self) -> DripClient:
        return get_alias_client(self.alias, f"{type(self).__name__}({self.alias!r})")

    @property
    def _raising(self) -> bool:  # type: ignore[override]
        return self._client.raises if self.on_outage is None else self.on_outage == "raise"

    @property
    def _near(self) -> Near | None:
        """The near cache, if there is one; see ``services.nearness`` for whose names are near."""
        return self._client.server.near

    def _link(self, client: Any = None) -> Link:  # noqa: ARG002 - a service has the server of its alias
        return self._client.server

    def _names(self, part: str = "") -> Keyspace:
        """Return the names of this service, or of a part of it."""
        return area(self._client.root, "s", f"{self.area}.{part}" if part else self.area)


class EncryptableService(Service):
    """
    A service whose values can be encrypted; see Service for the other arguments.

    ``encrypt`` is whether they are, by default as the alias says with ``OPTIONS["ENCRYPT"]``.
    """

    def __init__(
        self, alias: str = "default", *, on_outage: OnOutage | None = None, encrypt: bool | None = None
    ) -> None:
        super().__init__(alias, on_outage=on_outage)
        check_encrypt(f"{type(self).__name__}(encrypt=...)", encrypt)
        self.encrypt = encrypt

    @property
    def _encrypts(self) -> bool:
        return self._client.encrypts if self.encrypt is None else self.encrypt

    @property
    def _near(self) -> Near | None:
        return None if self._encrypts else super()._near

    def _sealed(self, codec: Codec) -> Codec:
        return encrypted(codec) if self._encrypts else codec


def get_user_id(user: object) -> str:
    """Return a user's id as text. Raises InvalidKeyError for what is no id, and an instance that was not saved."""
    found = getattr(user, "pk", user)
    allowed = isinstance(found, (int, str, UUID)) if found is user else found is not None
    if not allowed or isinstance(found, bool) or found == "":
        message = f"A user is an id, a text or an instance that was saved, not this {type(user).__name__}."
        raise InvalidKeyError(message)
    return str(found)
