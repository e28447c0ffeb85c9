"""Distances, heights and directions as a reader wants them."""

from __future__ import annotations

import math
from typing import Any

from django import template
from django.utils.formats import number_format

register = template.Library()

KM_PER_MILE = 1.609344
METRES_PER_FOOT = 0.3048
FINE_BELOW = 10
POINTS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")

# The radar is a square of this half-width; its dots stay clear of the rim.
RADAR_SIZE = 120
RADAR_REACH = 98


@register.filter
def distance(km: float, units: str) -> str:
    """Write a distance in kilometres or miles, with a decimal where it is short."""
    value, unit = (km / KM_PER_MILE, "mi") if units == "mi" else (km, "km")
    digits = 1 if value < FINE_BELOW else 0
    return f"{number_format(round(value, digits), digits)}\N{NO-BREAK SPACE}{unit}"


@register.filter
def height(feet: float | None, units: str) -> str:
    """Write a height, given in feet, in metres or feet."""
    if feet is None:
        return "\N{EN DASH}"
    value, unit = (feet, "ft") if units == "mi" else (feet * METRES_PER_FOOT, "m")
    return f"{number_format(round(value), 0)}\N{NO-BREAK SPACE}{unit}".replace("-", "\N{MINUS SIGN}")


@register.filter
def compass(degrees: float) -> str:
    """Name the nearest of the eight directions."""
    return POINTS[round(degrees / 45) % 8]


@register.filter
def coordinate(value: float, signs: str) -> str:
    """Write a latitude (``"NS"``) or a longitude (``"EW"``) in degrees and minutes."""
    minutes = round(abs(value) * 60)
    return f"{minutes // 60}°{minutes % 60:02d}\N{PRIME}\N{NO-BREAK SPACE}{signs[value < 0]}"


@register.inclusion_tag("airports/radar.html")
def radar(neighbours: list[dict[str, Any]], units: str) -> dict[str, Any]:
    """Draw the nearest airports as they lie around this one: north is up, the rim is the farthest of them."""
    reach = max((neighbour["distance"] for neighbour in neighbours), default=0) or 1
    dots = []
    for number, neighbour in enumerate(neighbours, 1):
        radius = RADAR_REACH * neighbour["distance"] / reach
        angle = math.radians(neighbour["bearing"])
        dots.append(
            {
                **neighbour,
                "number": number,
                "x": f"{radius * math.sin(angle):.1f}",
                "y": f"{-radius * math.cos(angle):.1f}",
            }
        )
    rings = [{"radius": f"{RADAR_REACH * share:.1f}", "km": reach * share} for share in (0.5, 1)]
    # The nearest one is drawn last, on top.
    return {"dots": dots[::-1], "rings": rings, "size": RADAR_SIZE, "units": units}
