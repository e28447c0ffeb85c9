"""
How long the pages of the admin take over a server with many keys; and that none sends ``KEYS``.

Redis is started for the run, and filled with so many keys of the site, and as many that are not. It takes less than a
minute, and half a gigabyte of memory. The site is that of the tests.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

import django
from django.core.management import call_command

from benchmarks.rounds import machine, require_redis, say, table
from django_dripcache.testing.server import RedisServer

if TYPE_CHECKING:
    import redis

BASE = "/admin/django_dripcache/overview/"
PAGES = (
    "",
    "?live",
    "groups/",
    "keys/",
    "keys/?search=item:999",
    "keys/?search=nothing",
    "keys/?place=user_cache",
    "tags/",
    "tags/?search=nothing",
    "limits/",
    "flags/",
    "sessions/?user=1",
    "connections/",
    "doctor/",
    "clear/",
)
BARRED = {f"cmdstat_{name}" for name in ("keys", "flushdb", "flushall", "monitor")}
TIMES = 5
BATCH = 50_000
FILL = """
for i = ARGV[1], ARGV[1] + ARGV[2] - 1 do
  local name = string.format('%d', i)
  if i % 10 == 0 then
    redis.call('SET', 'dripcache:t:item:' .. name, '1', 'EX', 3600)
  else
    redis.call('SET', 'dripcache:c:item:' .. name, '{"a":1}', 'EX', 3600)
  end
  redis.call('SET', 'foreign:' .. name, 'x')
end
"""
"""Every tenth key of the site is a tag's."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=(__doc__ or "").strip())
    parser.add_argument("--keys", type=int, default=1_000_000, help="how many keys of each kind (default: 1000000)")
    keys = parser.parse_args().keys
    require_redis()
    with RedisServer(maxmemory="2gb", maxmemory_policy="volatile-lru") as server, server.client() as raw:
        for start in range(0, keys, BATCH):
            raw.eval(FILL, 0, str(start), str(min(BATCH, keys - start)))
        client = log_in(server.url)
        say(machine(raw.info("server")["redis_version"]), "")
        rows = [measure(client, raw, page) for page in PAGES]
        say(table(["page", "milliseconds"], rows), "")
        say(clear(client, raw, keys))
        say(f"This process took {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB of memory at most.")


def log_in(url: str) -> Any:
    """Set the site up over a Redis, and return a client who may do everything."""
    os.environ.update(DJANGO_SETTINGS_MODULE="tests.settings", DRIPCACHE_TEST_URL=url)
    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User  # noqa: PLC0415 - Django has to be set up
    from django.test import Client  # noqa: PLC0415

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.create(username="someone", is_staff=True, is_superuser=True))
    return client


def measure(client: Any, raw: redis.Redis, page: str) -> list[str]:
    """Return the longest of some times that a page took, which must not send KEYS or its like."""
    found: list[float] = []
    raw.config_resetstat()
    for _ in range(TIMES):
        began = time.perf_counter()
        response = client.get(BASE + page)
        found.append(time.perf_counter() - began)
        if response.status_code != 200 or b"does not answer" in response.content:  # noqa: PLR2004 - OK
            sys.exit(f"The page {page!r} was answered with {response.status_code}.")
    if barred := BARRED & raw.info("commandstats").keys():
        sys.exit(f"The page {page!r} sent {barred}.")
    return [page or "(overview)", f"{max(found) * 1000:.0f}"]


def clear(client: Any, raw: redis.Redis, keys: int) -> str:
    """Clear the cache in the admin, and return what came of it."""
    began = time.perf_counter()
    client.post(f"{BASE}clear/cache/", {"alias": "default", "typed": "cache", "confirmed": "yes"})
    seconds, left = time.perf_counter() - began, sum(1 for _ in raw.scan_iter(b"dripcache:c:*", count=10_000))
    if left or raw.dbsize() < keys:
        sys.exit(f"Clear left {left} keys of the site, and {raw.dbsize()} in all.")
    return f"To clear took {seconds:.1f} seconds."


if __name__ == "__main__":
    main()
