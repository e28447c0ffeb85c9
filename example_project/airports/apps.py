"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig


class AirportsConfig(AppConfig):
    """The catalogue."""

    name = "airports"
    verbose_name = "Airports"
