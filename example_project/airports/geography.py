"""
The questions that make the pages slow.

Each scans the whole table and does trigonometry on every row. A site with a spatial index would not: the point here is
an answer that is worth caching. The front page's are memoized, and a worker computes them anew. The others are cached
by the views that ask them.
"""

from __future__ import annotations

import math
import secrets
from typing import Any

from django.db.models import Avg, Count, Expression, F, Max, Min, Q, Sum, Window
from django.db.models.functions import Cos, Radians, Rank, Sin

from airports.caching import TAGS, computing
from airports.models import Airport, Country
from django_dripcache import memoize

EARTH_RADIUS_KM = 6371.0088
NEIGHBOURS = 10

Answer = dict[str, Any]


def closeness(latitude: float, longitude: float) -> Expression:
    """Return the cosine of a row's angular distance from a point: 1 at the point, -1 on the other side of the world."""
    phi, lam = math.radians(latitude), math.radians(longitude)
    meridians = Cos(Radians("longitude") - lam)
    return Sin(Radians("latitude")) * math.sin(phi) + Cos(Radians("latitude")) * meridians * math.cos(phi)


def kilometres(cosine: float) -> float:
    """Return the great-circle distance that belongs to a closeness. Rounding may have left it a hair above 1."""
    return EARTH_RADIUS_KM * math.acos(min(cosine, 1.0))


def bearing(origin: Answer, target: Answer) -> float:
    """Return the direction from one airport to another: degrees, clockwise from north."""
    phi, theta = math.radians(origin["latitude"]), math.radians(target["latitude"])
    turn = math.radians(target["longitude"] - origin["longitude"])
    east = math.sin(turn) * math.cos(theta)
    north = math.cos(phi) * math.sin(theta) - math.sin(phi) * math.cos(theta) * math.cos(turn)
    return math.degrees(math.atan2(east, north)) % 360


@computing()
def airport_report(code: str) -> Answer:
    """
    Return the airport, its nearest neighbours, and how it compares with the rest of the world.

    Raises Airport.DoesNotExist.
    """
    airport = Airport.objects.values(
        *("code", "iata", "name", "city", "region", "elevation", "latitude", "longitude", "timezone", "visits"),
        country_code=F("country_id"),
        country_name=F("country__name"),
    ).get(code=code)
    others = Airport.objects.exclude(code=code)
    nearest = list(
        others.annotate(closeness=closeness(airport["latitude"], airport["longitude"]))
        .order_by("-closeness")
        .values("code", "iata", "name", "city", "latitude", "longitude", "closeness")[:NEIGHBOURS]
    )
    for neighbour in nearest:
        neighbour["distance"] = kilometres(neighbour.pop("closeness"))
        neighbour["bearing"] = bearing(airport, neighbour)
    counts = others.aggregate(all=Count("pk"), higher=Count("pk", filter=Q(elevation__gt=airport["elevation"])))
    return {"airport": airport, "nearest": nearest, "rank": counts["higher"] + 1, "airports": counts["all"] + 1}


@computing()
def country_numbers(code: str) -> Answer:
    """
    Return what is known of a country's airports as a whole.

    ``edition`` is another one whenever this was computed anew. Cards have no tags, as they are kept many at a time:
    the edition in their keys voids them together with these numbers, which have tags.
    """
    numbers = Airport.objects.filter(country=code).aggregate(
        airports=Count("pk"),
        with_iata=Count("pk", filter=~Q(iata="")),
        zones=Count("timezone", distinct=True),
        regions=Count("region", distinct=True),
        mean_elevation=Avg("elevation"),
        highest=Max("elevation"),
        lowest=Min("elevation"),
        north=Max("latitude"),
        south=Min("latitude"),
        visits=Sum("visits"),
    )
    return {**numbers, "edition": secrets.token_hex(4)}


def country_table() -> list[Answer]:
    """Return every country that has an airport, with its numbers."""
    return list(
        Country.objects.values("code", "name")
        .annotate(
            count=Count("airports"),
            with_iata=Count("airports", filter=~Q(airports__iata="")),
            mean_elevation=Avg("airports__elevation"),
            highest=Max("airports__elevation"),
            visited=Sum("airports__visits"),
        )
        .filter(count__gt=0)
        .order_by("name")
    )


@memoize(15, grace=3600, refresh="celery", tags=TAGS)
@computing()
def world_numbers() -> Answer:
    """Return the figures of the front page."""
    return Airport.objects.aggregate(
        airports=Count("pk"),
        countries=Count("country", distinct=True),
        zones=Count("timezone", distinct=True),
        highest=Max("elevation"),
        visits=Sum("visits"),
    )


@memoize(15, grace=3600, refresh="celery", tags=TAGS)
@computing()
def most_visited(count: int = 10) -> list[Answer]:
    """Return the airports that were looked at most often."""
    rows = Airport.objects.filter(visits__gt=0).order_by("-visits", "code")
    return list(rows.values("code", "iata", "name", "visits", "country_id", "country__name")[:count])


@computing()
def cards(codes: list[str]) -> dict[str, Answer]:
    """Return a card of each airport, by code: the row and its rank by elevation within its country."""
    countries = Airport.objects.filter(code__in=codes).values("country")
    ranked = Airport.objects.filter(country__in=countries).annotate(
        rank=Window(Rank(), partition_by="country", order_by=F("elevation").desc())
    )
    rows = {row["code"]: row for row in ranked.values("code", "iata", "name", "city", "region", "elevation", "rank")}
    return {code: rows[code] for code in codes if code in rows}
