"""The whole cache layer of a Django site, over the Redis that its Celery broker already uses."""

from __future__ import annotations

from .bulk import Warmed
from .client import CacheClient
from .context import Context
from .decorators import cached_view, rate_limit
from .exceptions import (
    CacheUnavailableError,
    ConfigurationError,
    DripcacheError,
    DuplicateTaskError,
    InvalidKeyError,
    LoaderTimeoutError,
    LockTimeoutError,
    RateLimitExceededError,
    SerializationError,
)
from .fragments import ainvalidate_fragment, invalidate_fragment
from .invalidation import connect_model, invalidate_on_commit
from .later import Later
from .limiter import RateLimiter, rate_limiter
from .locks import Funnel, Lock
from .manager import CacheManager
from .memo import Memoized
from .outage import on_outage
from .rates import Decision, Rate
from .services.api import ApiCache, api_cache
from .services.auth import AuthCache, AuthStats, Token, auth_cache
from .services.flags import FeatureFlags, flags
from .services.sessions import SessionCache, SessionInfo, session_cache
from .services.users import UserCache, user_cache
from .shortcuts import (
    acache_decr,
    acache_delete,
    acache_delete_many,
    acache_get,
    acache_get_many,
    acache_get_or_set,
    acache_has,
    acache_incr,
    acache_set,
    acache_set_many,
    aget_cache_json,
    aset_cache_json,
    cache,
    cache_decr,
    cache_delete,
    cache_delete_many,
    cache_get,
    cache_get_many,
    cache_get_or_set,
    cache_has,
    cache_incr,
    cache_set,
    cache_set_many,
    get_cache_json,
    memoize,
    set_cache_json,
)
from .stats import CacheStats, Health
from .visitors import get_client_address

__version__ = "0.1.0"

__all__ = [
    "ApiCache",
    "AuthCache",
    "AuthStats",
    "CacheClient",
    "CacheManager",
    "CacheStats",
    "CacheUnavailableError",
    "ConfigurationError",
    "Context",
    "Decision",
    "DripcacheError",
    "DuplicateTaskError",
    "FeatureFlags",
    "Funnel",
    "Health",
    "InvalidKeyError",
    "Later",
    "LoaderTimeoutError",
    "Lock",
    "LockTimeoutError",
    "Memoized",
    "Rate",
    "RateLimitExceededError",
    "RateLimiter",
    "SerializationError",
    "SessionCache",
    "SessionInfo",
    "Token",
    "UserCache",
    "Warmed",
    "acache_decr",
    "acache_delete",
    "acache_delete_many",
    "acache_get",
    "acache_get_many",
    "acache_get_or_set",
    "acache_has",
    "acache_incr",
    "acache_set",
    "acache_set_many",
    "aget_cache_json",
    "ainvalidate_fragment",
    "api_cache",
    "aset_cache_json",
    "auth_cache",
    "cache",
    "cache_decr",
    "cache_delete",
    "cache_delete_many",
    "cache_get",
    "cache_get_many",
    "cache_get_or_set",
    "cache_has",
    "cache_incr",
    "cache_set",
    "cache_set_many",
    "cached_view",
    "connect_model",
    "flags",
    "get_cache_json",
    "get_client_address",
    "invalidate_fragment",
    "invalidate_on_commit",
    "memoize",
    "on_outage",
    "rate_limit",
    "rate_limiter",
    "session_cache",
    "set_cache_json",
    "user_cache",
]
