"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig

from django_dripcache import connect_model


class AirportsConfig(AppConfig):
    """The catalogue."""

    name = "airports"
    verbose_name = "Airports"

    def ready(self) -> None:
        """Void what was computed from a table as soon as one of its rows is saved or deleted."""
        connect_model(self.get_model("Airport"), ["airports"])
        connect_model(self.get_model("Country"), ["countries"])
