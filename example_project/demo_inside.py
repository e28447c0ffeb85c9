"""What the demo asks of the site's own code. Import it after ``django.setup()``."""

from __future__ import annotations

import io
import os

from airports.models import Airport, Country, Visit
from config.celery import app
from django.contrib.auth import get_user_model
from django.core.cache import cache as django_cache
from django.core.management import call_command
from django_redis import get_redis_connection

from django_dripcache import cache
from django_dripcache.recorder import RECORDER

QUEUE = app.conf.task_default_queue
CONTROL = {"reply": True, "limit": 1, "timeout": 5}


def fill_database(user: str, password: str) -> None:
    """Make the tables, the catalogue, and somebody who may see the dashboard."""
    call_command("migrate", verbosity=0)
    call_command("load_airports", stdout=io.StringIO())
    get_user_model().objects.create_superuser(user, password=password)


def airport_codes() -> list[str]:
    """Return the codes of all airports, in a fixed order."""
    return list(Airport.objects.order_by("code").values_list("code", flat=True))


def country_count() -> int:
    """Return how many countries have an airport."""
    return Country.objects.filter(airports__isnull=False).distinct().count()


def recorded() -> set[str]:
    """Return the ids of the tasks that have done their work."""
    return {str(key) for key in Visit.objects.values_list("pk", flat=True)}


def queue_length() -> int:
    """Return how many tasks are waiting."""
    with app.connection_for_read() as connection:
        return int(connection.default_channel.queue_declare(QUEUE).message_count)


def clear_cache() -> int:
    """Clear the cache as a site does, Django's and the library's own; return how many entries the latter had."""
    django_cache.clear()
    return cache.clear()


def rest_worker() -> None:
    """Let the worker take no new tasks, as one does before a deployment."""
    app.control.cancel_consumer(QUEUE, **CONTROL)


def wake_worker() -> None:
    """Let the worker go on."""
    app.control.add_consumer(QUEUE, **CONTROL)


def remove_keys() -> None:
    """Take what this run has put into a Redis that is not ours out again; each of its keys begins with our prefix."""
    RECORDER.close()  # the figures of this process, which are sent when it ends at the latest
    client = get_redis_connection("default")
    for name in client.scan_iter(match=os.environ["EXAMPLE_KEY_PREFIX"] + "*", count=1000):
        client.unlink(name)
