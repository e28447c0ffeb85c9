"""``manage.py load_airports``: fill the catalogue from the airportsdata package."""

from __future__ import annotations

import csv
from typing import Any

import airportsdata
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from airports.caching import TAGS
from airports.models import Airport, Country
from django_dripcache import LockTimeoutError, cache, invalidate_on_commit

BATCH = 1000
# Everything but the key, and the visits, which are the site's own.
UPDATED = ("iata", "name", "city", "region", "country", "elevation", "latitude", "longitude", "timezone")


class Command(BaseCommand):
    """Load every airport that airportsdata knows. Airports that are there already are updated; visits are kept."""

    help = "Load the catalogue: about 28,000 airports from the airportsdata package."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Load, unless another process is at it."""
        try:
            with cache.lock("load_airports", ttl=600):
                self.load()
        except LockTimeoutError as error:
            raise CommandError("The catalogue is being loaded elsewhere, or Redis does not answer.") from error

    @transaction.atomic
    def load(self) -> None:
        """Write countries, then airports. That sends no signals, and the tags are invalidated by hand."""
        with (settings.BASE_DIR / "data" / "countries.csv").open(encoding="utf-8", newline="") as file:
            countries = [Country(**row) for row in csv.DictReader(file)]
        known = {country.code for country in countries}
        rows = airportsdata.load("ICAO").values()
        countries += [Country(code=code, name=code) for code in sorted({row["country"] for row in rows} - known)]
        airports = [
            Airport(
                code=row["icao"],
                iata=row["iata"],
                name=row["name"],
                city=row["city"],
                region=row["subd"],
                country_id=row["country"],
                elevation=row["elevation"],
                latitude=row["lat"],
                longitude=row["lon"],
                timezone=row["tz"],
            )
            for row in rows
        ]
        Country.objects.bulk_create(
            countries, batch_size=BATCH, update_conflicts=True, unique_fields=["code"], update_fields=["name"]
        )
        Airport.objects.bulk_create(
            airports, batch_size=BATCH, update_conflicts=True, unique_fields=["code"], update_fields=UPDATED
        )
        invalidate_on_commit(*TAGS)
        self.stdout.write(f"{len(airports):,} airports in {len({row['country'] for row in rows})} countries.")
