"""``manage.py warm_airports``: have the pages that people look at most in the cache before anybody asks for them."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from airports import geography
from airports.caching import TAGS, TTL
from airports.models import Airport
from django_dripcache import cache


class Command(BaseCommand):
    """Compute what the cache has not got of the most visited airports and of their countries."""

    help = "Fill the cache with the airports that were looked at most, and with their countries."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the number of airports."""
        parser.add_argument("--airports", type=int, default=100, metavar="N", help="how many airports; 100 by default")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Warm with the keys that the views use, and fail where a key could not be filled."""
        count = options["airports"]
        if count < 1:
            raise CommandError(f"--airports is {count}; allowed is 1 or more.")
        airports = dict(Airport.objects.order_by("-visits", "code").values_list("code", "country")[:count])
        loaders = {
            **{f"airport:{code}": partial(geography.airport_report, code) for code in airports},
            **{f"country:{code}": partial(geography.country_numbers, code) for code in airports.values()},
        }

        def progress(done: int) -> None:
            if done % 25 == 0 or done == len(loaders):
                self.stdout.write(f"{done:>6,} of {len(loaders):,}")

        warmed = cache.warm(loaders, ttl=TTL, tags=TAGS, progress=progress)
        for key, error in warmed.failed.items():
            self.stderr.write(f"{key}: {error!r}")
        if warmed.failed:
            raise CommandError(f"{len(warmed.failed):,} of {len(loaders):,} answers are not in the cache.")
        self.stdout.write(f"{warmed.done:,} answers are in the cache.")
