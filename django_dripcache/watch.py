"""Who asks, and what of one visitor a view or a fragment has looked at: what shows that must not be shown to others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.functional import LazyObject, empty

from .services.base import get_user_id

if TYPE_CHECKING:
    from django.http import HttpRequest
    from typing_extensions import Self

SIGNS: Final = {
    "token": "it has the CSRF token of one visitor",
    "messages": "it has messages for one visitor",
    "nonce": "it has the nonce of one response",
    "session": "it depends on the session",
}
"""What is looked for, and what is said of it."""

PASSING: Final = 10.0
"""For how many seconds it is known of something that it is not to be kept, so that nobody waits for it."""

_TOKEN: Final = "CSRF_COOKIE_NEEDS_UPDATE"  # noqa: S105 - Django's note that the token was asked for


class Watch:
    """
    Watches a request for a ``with`` block; nothing, if there is none.

    ``before`` is what had been looked at when the block began, ``within`` what was looked at in it.
    """

    def __init__(self, request: HttpRequest | None) -> None:
        self._request: Any = request
        self._session: Any = getattr(request, "session", None)
        self.before: set[str] = set()
        self.within: set[str] = set()

    def __enter__(self) -> Self:
        self.before = self._seen()
        if "session" in self.before:
            self._session.accessed = False
        if "token" in self.before:
            del self._request.META[_TOKEN]
        return self

    def __exit__(self, *_: object) -> None:
        self.within = self._seen() - (self.before - {"session", "token"})
        # Django goes by these when it sends cookies and Vary: they are what they would be if nobody had watched.
        if "session" in self.before:
            self._session.accessed = True
        if "token" in self.before:
            self._request.META[_TOKEN] = True

    def _seen(self) -> set[str]:
        signs = {
            "token": self._request is not None and self._request.META.get(_TOKEN),
            "messages": _has_messages(getattr(self._request, "_messages", None)),
            "nonce": getattr(self._request, "_csp_nonce", None),  # Django's and django-csp's: true once it is used
            "session": getattr(self._session, "accessed", False),
        }
        return {name for name, seen in signs.items() if seen}


def _has_messages(storage: Any) -> bool:
    """Return whether messages were read and there were some, or new ones were added."""
    return storage is not None and bool(storage.added_new or getattr(storage, "_loaded_data", None))


def seen_user(request: HttpRequest) -> Any:
    """Return the user of a request if somebody has looked who it is, else None."""
    user = getattr(request, "user", None)
    return None if isinstance(user, LazyObject) and vars(user).get("_wrapped") is empty else user


def identify(user: Any) -> str:
    """Return what tells a user from all others; nothing for one who is not signed in."""
    if not user.is_authenticated:
        return ""
    kind = user.__class__  # of a lazy object, that of the user
    return f"{kind.__module__}.{kind.__qualname__}:{get_user_id(user)}"


def is_plain(request: HttpRequest) -> bool:
    """Return whether a request is a GET or HEAD without a body, for a body could be what the answer depends on."""
    has_body = request.META.get("CONTENT_LENGTH") not in {None, "", "0"} or "HTTP_TRANSFER_ENCODING" in request.META
    return request.method in {"GET", "HEAD"} and not has_body


def has_credentials(request: HttpRequest) -> bool:
    """Return whether a request has an ``Authorization``, of which nobody knows yet whose it is (RFC 9111, 3.5)."""
    return "HTTP_AUTHORIZATION" in request.META


def has_read_session(request: HttpRequest) -> bool:
    """Return whether somebody, such as a middleware, has read a session that the visitor came with."""
    session: Any = getattr(request, "session", None)
    return bool(getattr(session, "accessed", False) and session.session_key)
