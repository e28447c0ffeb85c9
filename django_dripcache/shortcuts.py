"""The cache in functions: one-liners over ``cache``, the client of the alias ``default``."""

from __future__ import annotations

from .client import CacheClient

cache = CacheClient()
"""The client of the alias ``default``; it may be imported before settings are ready."""

cache_get, acache_get = cache.get, cache.aget
cache_set, acache_set = cache.set, cache.aset
cache_delete, acache_delete = cache.delete, cache.adelete
cache_has, acache_has = cache.has, cache.ahas
cache_get_or_set, acache_get_or_set = cache.get_or_set, cache.aget_or_set
cache_get_many, acache_get_many = cache.get_many, cache.aget_many
cache_set_many, acache_set_many = cache.set_many, cache.aset_many
cache_delete_many, acache_delete_many = cache.delete_many, cache.adelete_many
cache_incr, acache_incr = cache.incr, cache.aincr
cache_decr, acache_decr = cache.decr, cache.adecr
get_cache_json, aget_cache_json = cache.get_json, cache.aget_json
set_cache_json, aset_cache_json = cache.set_json, cache.aset_json
memoize = cache.memoize
