"""
Where the site's Redis is: Celery's broker, in every form that Celery takes for Redis, or a URL.

kombu itself reads Celery's settings, so what connects Celery connects us. A URL in ``LOCATION`` may also be one of
redis-py's (``unix://``, options in the query).
"""

from __future__ import annotations

import json
import os
import ssl as tls
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qsl, quote, urlsplit

from celery import Celery, current_app
from django.conf import settings as django_settings
from django.utils.module_loading import import_string
from kombu.connection import Connection
from kombu.transport import TRANSPORT_ALIASES, get_transport_cls
from kombu.utils.url import parse_ssl_cert_reqs, url_to_parts

from .address import Address, Broker
from .conf import get_settings
from .exceptions import ConfigurationError
from .keys import root

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMES: Final = ("redis", "rediss", "redis+socket", "unix", "sentinel")

OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "client_name": str,
    "global_keyprefix": str,
    "health_check_interval": float,
    "master_name": str,
    "max_connections": int,
    "min_other_sentinels": int,
    "retry_on_timeout": lambda text: text.lower() in {"1", "true", "yes"},
    "sentinel_kwargs": json.loads,
    "socket_connect_timeout": float,
    "socket_keepalive": lambda text: text.lower() in {"1", "true", "yes"},
    "socket_keepalive_options": json.loads,
    "socket_timeout": float,
}
"""The transport options that mean something to a connection, and how their text in a URL is read."""

_WAYS_OUT = "Either give Celery a Redis broker, or name a Redis of the cache's own in CACHES: 'LOCATION': 'redis://host:6379/0'."


def discover(location: str = "") -> Broker:
    """
    Find the Redis that ``LOCATION`` asks for.

    ``""`` and ``"celery"`` mean Celery's broker: that of ``DRIPCACHE["CELERY_APP"]`` or of the current app, else
    ``CELERY_BROKER_URL`` of Django's settings, else the environment's ``REDIS_URL``. Anything else is a URL. Raises
    ConfigurationError if there is none, or if it is not Redis.
    """
    if location not in {"", "celery"}:
        return from_url(location, "CACHES['LOCATION']")
    app = celery_app()
    if app is not None:
        origin = f"the Celery app {app.main or 'in use'!r}"
        url = app.conf.broker_write_url or app.conf.broker_url
        return from_kombu(_connection(app.connection_for_write, url, origin), origin)
    url = getattr(django_settings, "CELERY_BROKER_URL", None)
    if url:
        origin = "the setting CELERY_BROKER_URL"
        connect = partial(
            Connection,
            url,
            ssl=getattr(django_settings, "CELERY_BROKER_USE_SSL", False),
            transport_options=getattr(django_settings, "CELERY_BROKER_TRANSPORT_OPTIONS", {}),
        )
        return from_kombu(_connection(connect, url, origin), origin)
    if os.environ.get("REDIS_URL"):
        return from_url(os.environ["REDIS_URL"], "the environment's REDIS_URL")
    message = f"No broker was found: no Celery app with a broker, no CELERY_BROKER_URL, no REDIS_URL. {_WAYS_OUT}"
    raise ConfigurationError(message, check="dripcache.E001")


_remembered: dict[str | None, Celery] = {}


def celery_app() -> Celery | None:
    """
    Return the site's Celery app, or None if there is none with a broker.

    The current app is the current thread's alone, so the first one found is remembered for all threads.
    """
    path = get_settings().CELERY_APP
    if path in _remembered:
        return _remembered[path]
    app = current_app._get_current_object() if path is None else _import_app(path)  # noqa: SLF001 - the proxy's own way
    if path is None and not (app.conf.broker_write_url or app.conf.broker_url):
        return None
    _remembered[path] = app
    return app


def namespace_root() -> str:
    """Return what every name of ours in Redis begins with. See keys.root()."""
    return root(get_settings().NAMESPACE, celery_keyprefix())


def celery_keyprefix() -> str:
    """Return the prefix that Celery's keys have, ``global_keyprefix``, or nothing."""
    app = celery_app()
    options = app.conf.broker_transport_options if app is not None else None
    if options is None:
        options = getattr(django_settings, "CELERY_BROKER_TRANSPORT_OPTIONS", None)
    return str((options or {}).get("global_keyprefix") or "")


def forget_app() -> None:
    """Look for the Celery app anew when it is needed next."""
    _remembered.clear()


def _import_app(path: str) -> Celery:
    try:
        app = import_string(path.replace(":", "."))
    except ImportError as error:
        message = f"DRIPCACHE['CELERY_APP'] is {path!r}, which cannot be imported: {error}. Allowed is 'module:name'."
        raise ConfigurationError(message) from error
    if not isinstance(app, Celery):
        message = (
            f"DRIPCACHE['CELERY_APP'] is {path!r}, a {type(app).__name__}. Allowed is 'module:name' of a Celery app."
        )
        raise ConfigurationError(message)
    return app


def from_kombu(connection: Connection, origin: str) -> Broker:
    """Read what a kombu connection would connect to. Raises ConfigurationError if that is not Redis."""
    scheme = _scheme(connection, origin)
    if connection.ssl is True:
        message = (
            "broker_use_ssl is True, with which Celery connects to Redis in plaintext. Give it a dict, such as "
            "{'ssl_cert_reqs': ssl.CERT_REQUIRED}, or put ?ssl_cert_reqs=required into the rediss:// URL."
        )
        raise ConfigurationError(message)
    options = {name: value for name, value in (connection.transport_options or {}).items() if name in OPTIONS}
    master = options.pop("master_name", None)
    if scheme == "sentinel" and not master:
        message = f"{origin} names Sentinels but no master. Put 'master_name' into broker_transport_options."
        raise ConfigurationError(message)
    # kombu moves on to another of its alternates after a failure; all of them together are the broker.
    places = [_connection(partial(Connection, url), url, origin) for url in connection.alt] or [connection]
    if len({(_scheme(place, origin), bool(place.ssl), "://" in (place.hostname or "")) for place in places}) > 1:
        message = f"{origin} mixes kinds of addresses for failover. Allowed are several of one scheme."
        raise ConfigurationError(message)
    return Broker(
        origin=origin,
        addresses=tuple(_address(place, scheme) for place in places),
        master_name=master if scheme == "sentinel" else None,
        ssl=dict(connection.ssl) if connection.ssl else None,
        options=options,
        credential_provider=_provider(connection.credential_provider),
    )


def from_url(url: str, origin: str) -> Broker:
    """Read one URL, or several joined by ``;`` for failover. Raises ConfigurationError for what is not Redis."""
    options: dict[str, Any] = {}
    ssl: dict[str, Any] = {}
    parts = [_plain(part, origin, options, ssl) for part in url.split(";") if part]
    if not parts:
        message = f"{origin} is {url!r}. Allowed is a URL of Redis, such as redis://host:6379/0."
        raise ConfigurationError(message)
    if parts[0].startswith("rediss:"):
        ssl.setdefault("ssl_cert_reqs", tls.CERT_REQUIRED)
    connect = partial(Connection, ";".join(parts), ssl=cast("Any", ssl or False), transport_options=options)
    return replace(from_kombu(_connection(connect, url, origin), origin), explicit=True)


def _scheme(connection: Connection, origin: str) -> str:
    transport = connection.transport_cls
    if transport in {"redis", "rediss", "sentinel"}:
        return str(transport)
    if transport not in TRANSPORT_ALIASES and getattr(get_transport_cls(transport), "driver_type", "") == "redis":
        return "redis"
    raise _not_redis(transport, origin)


def _connection(connect: Callable[[], Connection], url: Any, origin: str) -> Connection:
    """Return what kombu makes of a URL. Its errors quote the URL, with its password: none of them is passed on."""
    try:
        return connect()
    except Exception as error:  # noqa: BLE001 - kombu raises whatever its parts do
        scheme = str(url).partition("://")[0]
        if scheme not in SCHEMES:
            raise _not_redis(scheme, origin) from None
        message = f"{origin} cannot be read as a URL ({type(error).__name__}). {_WAYS_OUT}"
        raise ConfigurationError(message) from None


def _not_redis(found: object, origin: str) -> ConfigurationError:
    return ConfigurationError(f"{origin} is not Redis but {found!r}. {_WAYS_OUT}", check="dripcache.E002")


def _provider(provider: Any) -> Any:
    """Return a credential provider; kombu lets a broker URL name its class."""
    return import_string(provider.replace(":", "."))() if isinstance(provider, str) else provider


def _address(connection: Connection, scheme: str) -> Address:
    default_port = 26379 if scheme == "sentinel" else 6379
    host, db = connection.hostname or "127.0.0.1", connection.virtual_host
    if "://" not in host:
        return Address(
            host=host,
            port=connection.port or default_port,
            db=_database(db),
            username=connection.userid or None,
            password=connection.password or None,
        )
    parts = url_to_parts(host)
    return Address(
        db=_database(parts.query.get("virtual_host", db)),
        username=parts.username,
        password=parts.password,
        path="/" + (parts.path or ""),
    )


def _database(virtual_host: Any) -> int:
    text = str(virtual_host or "").strip("/")
    if text.isascii() and text.isdigit():
        return int(text)
    if text:
        message = f"The broker's database is {text!r}. Allowed is a number from 0 up, as in redis://host:6379/0."
        raise ConfigurationError(message)
    return 0


def _option(name: str, text: str, origin: str) -> Any:
    try:
        return OPTIONS[name](text)
    except ValueError:
        message = f"{origin} has the option {name}={text!r}, which cannot be read. Fix the URL."
        raise ConfigurationError(message) from None


def _plain(url: str, origin: str, options: dict[str, Any], ssl: dict[str, Any]) -> str:
    """Return a URL as kombu takes it, and move what its query says to ``options`` and ``ssl``."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it is read, and checked, on access
    except ValueError:
        message = f"{origin} is no URL, or has a port that is no number. Several are joined by ';' for failover."
        raise ConfigurationError(message) from None
    if parts.scheme not in SCHEMES:
        message = f"{origin} has the scheme {parts.scheme!r}. Allowed are {', '.join(SCHEMES)}. {_WAYS_OUT}"
        raise ConfigurationError(message)
    socket = parts.scheme in {"redis+socket", "unix"}
    db = parts.path.strip("/") if not socket else ""
    for name, value in parse_qsl(parts.query):
        if name in {"db", "virtual_host"}:
            db = value
        elif name == "ssl_cert_reqs":
            ssl[name] = parse_ssl_cert_reqs(value)
        elif name.startswith("ssl_"):
            ssl[name] = value.lower() != "false" if name == "ssl_check_hostname" else value
        elif name in OPTIONS:
            options[name] = _option(name, value, origin)
        else:
            message = f"{origin} has the option {name!r}. Allowed are db, ssl_*, {', '.join(sorted(OPTIONS))}."
            raise ConfigurationError(message)
    if socket:
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={db or 0}"
    return f"{parts.scheme}://{parts.netloc}/{quote(db)}"
