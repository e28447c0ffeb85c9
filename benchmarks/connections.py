"""
How many connections a web process and a worker hold to one Redis: with django-redis beside Celery, and with DripCache.

    python -m benchmarks.connections
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any, Final

from django_dripcache.testing.server import RedisServer

OURS: Final = {"BACKEND": "django_dripcache.backend.DripCache"}
VARIANTS: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "django-redis, and Celery's own pools": ({"BACKEND": "django_redis.cache.RedisCache"}, {}),
    "DripCache, SHARE_POOL = False": (OURS, {"SHARE_POOL": False}),
    "DripCache": (OURS, {}),
    "DripCache, with a near cache": ({**OURS, "OPTIONS": {"NEAR": {}}}, {}),
}
"""The cache and ``DRIPCACHE`` of each."""

SITE: Final = """
import sys, threading, time
import django
from celery import Celery
from django.conf import settings
url, cache, dripcache = sys.argv[1], eval(sys.argv[2]), eval(sys.argv[3])
if "django_redis" in cache["BACKEND"]:
    cache["LOCATION"] = url
settings.configure(SECRET_KEY="k" * 50, CELERY_BROKER_URL=url, CACHES={"default": cache}, DRIPCACHE=dripcache,
                   INSTALLED_APPS=[] if "LOCATION" in cache else ["django_dripcache"])
app = Celery("site", broker=url, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
app.set_default()
django.setup()

@app.task(name="look")
def look():
    from django.core.cache import cache
    cache.set("key", 1)
    cache.get("key")
"""

WEB: Final = """
from django.core.cache import cache
together = threading.Barrier(int(sys.argv[4]))
def serve():
    for number in range(50):
        together.wait()
        cache.set(f"key:{number}", number)
        cache.get(f"key:{number}")
        look.delay()
threads = [threading.Thread(target=serve) for _ in range(int(sys.argv[4]))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("done", flush=True)
time.sleep(60)
"""

WORKER: Final = """
app.worker_main(["worker", "-P", "prefork", "-c2", "--without-gossip", "--without-mingle", "--loglevel", "ERROR"])
"""


def main() -> None:
    """Print the table."""
    tell("", "web, 1 thread", "web, 8 threads", "worker -c 2")
    for name, settings in VARIANTS.items():
        counts = [measure(settings, WEB, 1), measure(settings, WEB, 8), measure(settings, WORKER, 0)]
        tell(name, *counts)


def tell(name: str, one: object, eight: object, worker: object) -> None:
    """Print a row."""
    sys.stdout.write(f"{name:38} {one!s:>14} {eight!s:>15} {worker!s:>12}\n")
    sys.stdout.flush()


def measure(settings: tuple[dict[str, Any], dict[str, Any]], script: str, threads: int) -> int:
    """Return how many connections a process and its children hold when they have done what they do."""
    with RedisServer() as server, server.client() as look:
        if not threads:
            run(server.url, settings, WEB, 1, until=lambda process: process.stdout.readline() == "done\n").kill()
        done = (lambda process: process.stdout.readline() == "done\n") if threads else lambda _: waits(look)
        process = run(server.url, settings, script, threads, until=done)
        try:
            time.sleep(1)
            return len(look.client_list()) - 1
        finally:
            process.terminate()
            process.wait(15)


def run(url: str, settings: tuple[dict[str, Any], dict[str, Any]], script: str, threads: int, until: Any) -> Any:
    """Start a process and return it when it has done its work."""
    command = [sys.executable, "-c", SITE + script, url, *map(repr, settings), str(threads)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603 - our own
    until(process)
    return process


def waits(look: Any) -> None:
    """Wait until a worker has done all tasks."""
    deadline = time.monotonic() + 60
    while look.llen("celery") or look.hlen("unacked"):
        if time.monotonic() > deadline:
            message = "The worker did not do its tasks within a minute."
            raise SystemExit(message)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
