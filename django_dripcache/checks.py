"""
System checks.

The plain ones read settings and never connect, so that a site starts while Redis is down. ``manage.py check --deploy``
also asks the server whether it is set up to be shared with Celery.
"""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's own name
from django.utils.module_loading import import_string

from ._drive import run
from .backend import configured_aliases, encrypts, get_alias_server, pool_options
from .broker import celery_app, discover, namespace_root
from .codecs import JSON
from .conf import encrypted, get_settings
from .exceptions import CacheUnavailableError, ConfigurationError
from .flows.server import facts, without_ttl
from .keys import escape_glob
from .routes import get_all_names
from .rules import get_rules
from .transport import resolved_too_early

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .server import Server

OLDEST: Final = (6, 2)

_LIMITER: Final = "django_dripcache.middleware.RateLimitMiddleware"
_OUTAGE: Final = "django_dripcache.contrib.sessions.SessionOutageMiddleware"
_SESSIONS: Final = "django.contrib.sessions.middleware.SessionMiddleware"
_AUTHENTICATION: Final = "django.contrib.auth.middleware.AuthenticationMiddleware"

HINTS: Final = {
    "dripcache.E001": "Set CELERY_BROKER_URL, or 'LOCATION' in CACHES.",
    "dripcache.E002": "Name a Redis of the cache's own: 'LOCATION': 'redis://host:6379/0' in CACHES.",
    "dripcache.E003": "Fix the setting that the message names.",
    "dripcache.E004": "Set DRIPCACHE['NAMESPACE'] to a name that no queue begins with, or rename the queue.",
    "dripcache.E005": "Set DRIPCACHE['ENCRYPTION_KEYS'], and install django-dripcache[crypto].",
    "dripcache.E006": "Name a URL with its namespaces, as in 'shop:login', or a view, as in 'shop.views.login'.",
    "dripcache.E007": "Put AuthenticationMiddleware before RateLimitMiddleware in MIDDLEWARE.",
    "dripcache.E008": "Set 'BACKEND': 'django_dripcache.backend.DripCache' for the alias 'default' in CACHES.",
    "dripcache.W001": "Set 'BACKEND': 'django_dripcache.backend.DripCache' for an alias in CACHES.",
    "dripcache.W002": "Put 'django_dripcache' before the app that uses Celery while it starts, in INSTALLED_APPS.",
    "dripcache.W003": "Give both aliases the same options, or none to one of them.",
    "dripcache.W004": "Add 'django_dripcache.middleware.RateLimitMiddleware' to MIDDLEWARE.",
    "dripcache.W005": "Put 'django_dripcache.contrib.sessions.SessionOutageMiddleware' before SessionMiddleware.",
    "dripcache.W010": "Start Redis, or fix the address. Until then the cache answers with fallbacks.",
    "dripcache.W011": "Set maxmemory-policy to volatile-lru or volatile-ttl: Celery's queues have no ttl and stay.",
    "dripcache.W012": "Set maxmemory, with a maxmemory-policy of volatile-lru, so that the cache cannot fill the host.",
    "dripcache.W013": "Upgrade to Redis 6.2 or later, or to Valkey.",
    "dripcache.W014": "Give them a ttl, or delete them: what never expires cannot be evicted under a volatile policy.",
    "dripcache.W015": "Use rediss:// or broker_use_ssl, or a network that nobody else can read.",
    "dripcache.W016": "Set ssl_cert_reqs to ssl.CERT_REQUIRED in broker_use_ssl, or to required in the URL.",
    "dripcache.W017": "Set maxmemory-policy to volatile-lru or volatile-ttl: full of cache, it refuses Celery's tasks.",
    "dripcache.W018": "Add +info to the user's ACL, or look at maxmemory, its policy and the version yourself.",
}
"""What to do about each finding; the documentation lists them all."""


def _error(check: str, message: str) -> Error:
    return Error(message, hint=HINTS[check], id=check)


def _warning(check: str, message: str) -> Warning:
    return Warning(message, hint=HINTS[check], id=check)


@register(Tags.caches)
def check_settings(**_: Any) -> list[CheckMessage]:
    """Check what can be known without a connection."""
    found: list[CheckMessage] = []
    try:
        get_settings()
        get_rules()
        root = namespace_root()
        aliases = list(configured_aliases())
        servers = {alias: get_alias_server(alias) for alias in aliases}
        if get_settings().ENCRYPTION_KEYS or any(encrypts(alias) for alias in aliases):
            encrypted(JSON)
    except ConfigurationError as error:
        return [_error(error.check, str(error))]
    if not aliases:
        found.append(_warning("dripcache.W001", "django_dripcache is installed, but no alias of CACHES uses it."))
    if resolved_too_early():
        found.append(_warning("dripcache.W002", "Celery was connected before django_dripcache was ready."))
    found.extend(
        _warning("dripcache.W003", f"The alias {alias!r} shares a pool that another alias gave other OPTIONS.")
        for alias, server in servers.items()
        if server.options != pool_options(server.broker, alias)
    )
    found.extend(
        _error("dripcache.E004", f"The queue {queue!r} of Celery lies in the cache's namespace {root!r}.")
        for queue in _queues()
        if queue.startswith(root)
    )
    return found


@register(Tags.caches)
def check_limits(**_: Any) -> list[CheckMessage]:
    """Check that the rules of rate limits are asked, can be counted, and are about something."""
    try:
        by_path, by_view = get_rules()
        aliases = list(configured_aliases())
    except ConfigurationError:
        return []  # check_settings() reports it
    if not by_path and not by_view:
        return []
    found: list[CheckMessage] = []
    if "default" not in aliases:
        found.append(_error("dripcache.E008", "Rate limits are counted in the alias 'default', which is no DripCache."))
    ours, users = _places(_LIMITER), _places(_AUTHENTICATION)
    if not ours:
        found.append(_warning("dripcache.W004", "DRIPCACHE['RATE_LIMITS'] has rules that no middleware asks."))
    if ours and users and ours[0] < users[0]:
        found.extend(
            _error("dripcache.E007", f"The rate limit {rule.name!r} asks for the user before there is one.")
            for rule in by_path
            if rule.asks_user
        )
    names = _view_names() if by_view else set()
    found.extend(
        _error("dripcache.E006", f"The rate limit {rule.name!r} is about the view {rule.view!r}, which has no URL.")
        for rule in by_view
        if names and rule.view not in names
    )
    return found


@register(Tags.security)
def check_sessions(**_: Any) -> list[CheckMessage]:
    """Check that an outage of sessions that live in Redis alone is answered, and logs nobody out."""
    ours, sessions = _places(_OUTAGE), _places(_SESSIONS)
    if settings.SESSION_ENGINE != "django_dripcache.contrib.sessions" or not sessions:
        return []
    if ours and ours[0] < sessions[0]:
        return []
    return [_warning("dripcache.W005", "Pages that use the session end with an error while Redis cannot be used.")]


def _places(name: str) -> list[int]:
    """Return where a middleware, or a class that is derived from it, stands in MIDDLEWARE."""
    found = []
    for place, path in enumerate(settings.MIDDLEWARE):
        try:
            bases = getattr(import_string(path), "__mro__", ())
        except ImportError:
            continue  # the site does not start with it
        if any(f"{base.__module__}.{base.__qualname__}" == name for base in bases):
            found.append(place)
    return found


def _view_names() -> set[str]:
    try:
        return get_all_names()
    except Exception:  # noqa: BLE001 - a URLconf may fail in any way, and Django's own checks report it
        return set()


@register(Tags.caches, deploy=True)
def check_server(**_: Any) -> list[CheckMessage]:
    """Check each server for what would lose tasks, or keys that stay for ever."""
    try:
        servers = dict.fromkeys(get_alias_server(alias) for alias in configured_aliases())
        root = namespace_root()
    except ConfigurationError:
        return []  # check_settings() reports it
    return [finding for server in servers for finding in _examine(server, root)]


def _examine(server: Server, root: str) -> Iterator[CheckMessage]:
    broker = server.broker
    if broker.ssl is None and broker.leaves_host:
        yield _warning("dripcache.W015", f"The connection to {broker} is plaintext and leaves this host.")
    if broker.ssl is not None and broker.ssl.get("ssl_cert_reqs") in {ssl.CERT_NONE, "none", "CERT_NONE"}:
        yield _warning("dripcache.W016", f"The certificate of {broker} is not verified.")
    try:
        about = run(facts(), server)
        immortal = run(without_ttl(escape_glob(root.encode()) + b"*"), server)
    except CacheUnavailableError as error:
        yield _warning("dripcache.W010", f"{broker} could not be examined: {error.reason}")
        return
    if immortal and get_settings().FOREVER_TTL is not None:
        yield _warning("dripcache.W014", f"Keys in {root}* on {broker} never expire: {len(immortal)} in a sample.")
    if not about:
        yield _warning("dripcache.W018", f"{broker} does not let this user ask for INFO.")
        return
    yield from _examine_memory(server, about)
    version = about.get("redis_version", "0")
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < OLDEST:
        yield _warning("dripcache.W013", f"{broker} is Redis {version}; 6.2 is the oldest that is supported.")


def _examine_memory(server: Server, about: Mapping[str, str]) -> Iterator[CheckMessage]:
    policy, limit = about.get("maxmemory_policy", ""), int(about.get("maxmemory", 0))
    if policy.startswith("allkeys-") and _shares_celery(server):
        yield _warning("dripcache.W011", f"{server.broker} evicts by {policy}, which also evicts Celery's queues.")
    if limit == 0:
        yield _warning("dripcache.W012", f"{server.broker} has no memory limit (maxmemory 0).")
    elif policy == "noeviction":
        yield _warning("dripcache.W017", f"{server.broker} evicts nothing when it is full (noeviction).")


def _shares_celery(server: Server) -> bool:
    try:
        return bool(discover().places & server.broker.places)
    except ConfigurationError:
        return False  # Celery's broker is no Redis


def _queues() -> set[str]:
    app = celery_app()
    if app is None:
        return set()
    prefix = app.conf.broker_transport_options.get("global_keyprefix") or ""
    return {prefix + name for name in (app.conf.task_default_queue, *(app.amqp.queues or ()))}
