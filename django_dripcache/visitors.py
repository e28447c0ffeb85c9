"""Who sends a request: the address of the client, its user, and by what a limit counts it."""

from __future__ import annotations

import inspect
import re
from functools import partial
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.utils.functional import LazyObject
from django.views.decorators.debug import sensitive_variables

from .conf import get_settings
from .exceptions import ConfigurationError
from .flows.steps import Load
from .secrecy import digest
from .services.base import get_user_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from django.http import HttpRequest

    from .conf import Settings
    from .typing import Flow

UNKNOWN: Final = "unknown"
"""The address of who has none, as over a Unix socket."""

USERS: Final = {"authenticated": "is_authenticated", "staff": "is_staff", "superuser": "is_superuser"}
"""Groups of users that a limit may exempt, and the attribute that tells them."""

_WITH_PORT: Final = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+))(?::[0-9]{1,5})?", re.ASCII)


def get_client_address(request: HttpRequest) -> str:
    """
    Return the address that a client is counted by: ``"203.0.113.7"``, ``"2001:db8:1:2::/64"`` or ``"unknown"``.

    It is the other end of the connection, or what the nth of ``DRIPCACHE["TRUSTED_PROXIES"]``, counted from this site,
    has put into ``DRIPCACHE["TRUSTED_PROXY_HEADER"]``; where that is no address, or fewer proxies have written there,
    the other end after all. Of IPv6 it is the /64, which one client has to itself.
    """
    settings = get_settings()
    told = _get_hop(request.META, settings) if settings.TRUSTED_PROXIES else ""
    return _read(told) or _read(request.META.get("REMOTE_ADDR") or "") or UNKNOWN


def _get_hop(meta: Mapping[str, Any], settings: Settings) -> str:
    """Return what the outermost proxy that is trusted has written of its client, or nothing."""
    name = settings.TRUSTED_PROXY_HEADER.upper()
    hops = meta.get(f"HTTP_{name.replace('-', '_')}", "").split(",")
    if len(hops) < settings.TRUSTED_PROXIES:
        return ""
    hop: str = hops[-settings.TRUSTED_PROXIES]
    return _get_for(hop) if name == "FORWARDED" else hop


def _get_for(element: str) -> str:
    """Return the ``for`` of an element of Forwarded (RFC 7239), or nothing where there is not just one."""
    pairs = [pair.partition("=") for pair in element.split(";")]
    found = [value for name, _, value in pairs if name.strip(" \t").lower() == "for"]
    return found[0] if len(found) == 1 else ""


def _read(text: str) -> str:
    """Return the address that is written in ``text``, perhaps with a port, a zone or quotes, or nothing."""
    text = text.strip(" \t")
    if text[:1] == text[-1:] == '"':
        text = text[1:-1]
    found = _WITH_PORT.fullmatch(text)
    plain = (found[1] or found[2]) if found else text
    try:
        address = ip_address(plain)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        network = IPv6Network((int(address) >> 64 << 64, 64))
        return str(address.ipv4_mapped or network)
    return str(address)


class Asking(NamedTuple):
    """How a request is asked for its user, and a function of the site about a request."""

    user: Callable[[HttpRequest], Any]
    call: Callable[[Callable[[HttpRequest], Any], HttpRequest], Any]


def _get_user(request: HttpRequest) -> Any:
    try:
        return request.user
    except AttributeError:
        message = (
            "A rate limit asks for the user of a request, which has none yet. Put AuthenticationMiddleware before "
            "RateLimitMiddleware in MIDDLEWARE, or choose another key, such as 'ip'."
        )
        raise ConfigurationError(message, check="dripcache.E007") from None


async def _aget_user(request: HttpRequest) -> Any:
    user = _get_user(request)
    if not isinstance(user, LazyObject):
        return user
    if hasattr(request, "auser"):
        return await request.auser()
    await sync_to_async(lambda: user.is_authenticated)()  # it is looked up now, in a thread
    return user


def _call(function: Callable[[HttpRequest], Any], request: HttpRequest) -> Any:
    found = function(request)
    return async_to_sync(_wait)(found) if inspect.isawaitable(found) else found


async def _wait(found: Awaitable[Any]) -> Any:
    return await found


async def _acall(function: Callable[[HttpRequest], Any], request: HttpRequest) -> Any:
    try:
        found = function(request)
    except SynchronousOnlyOperation:
        return await sync_to_async(function)(request)
    return await found if inspect.isawaitable(found) else found


HERE: Final = Asking(_get_user, _call)
"""In this thread."""

ON_LOOP: Final = Asking(_aget_user, _acall)
"""On the event loop, which no function has to block: one that asks the database runs in a thread."""


def identify(request: HttpRequest, key: str | Callable[[HttpRequest], Any], asking: Asking) -> Flow[str | None]:
    """
    Return by what a request is counted, or None if it is not: ``"ip:203.0.113.7"``, ``"user:7"``.

    ``key`` is ``"ip"``, ``"user"``, ``"user_or_ip"``, ``"header:X-Api-Key"`` or a function of the site. What a header
    holds may be a secret; a digest stands for it.
    """
    if callable(key):
        found = yield Load(partial(asking.call, key, request))
        if found is not None and not isinstance(found, str):
            message = f"The key {key!r} of a rate limit returned a {type(found).__name__}. Allowed are a str and None."
            raise ConfigurationError(message)
        return None if found is None else f"key:{found}"
    if key.startswith("header:"):
        return _get_header(request, key.removeprefix("header:"))
    if key != "ip":
        user = yield Load(partial(asking.user, request))
        if user.is_authenticated:
            return f"user:{get_user_id(user)}"
    return None if key == "user" else f"ip:{get_client_address(request)}"


@sensitive_variables()
def _get_header(request: HttpRequest, name: str) -> str | None:
    value = request.headers.get(name, "").strip(" \t")
    return f"header:{digest('limits', value)}" if value else None


def is_exempt(request: HttpRequest, exempt: Iterable[str | Callable[[HttpRequest], Any]], asking: Asking) -> Flow[bool]:
    """Return whether a request is of one who is not limited: a group of ``USERS``, or whom a function names."""
    for who in exempt:
        if callable(who):
            found = yield Load(partial(asking.call, who, request))
        else:
            user = yield Load(partial(asking.user, request))
            found = getattr(user, USERS[who], False)
        if found:
            return True
    return False
