"""Countries, their airports, who looked at which, and how a user wants to see them."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse


class Country(models.Model):
    """A country, a territory or a region with an ISO 3166 code."""

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=60)

    class Meta:
        """By name."""

        ordering: ClassVar = ["name"]
        verbose_name_plural = "countries"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the address of the country's page."""
        return reverse("country", args=[self.code])


class Airport(models.Model):
    """An airport or a landing strip. The elevation is in feet, as it is on every chart."""

    code = models.CharField(max_length=4, primary_key=True)
    iata = models.CharField("IATA code", max_length=3, blank=True)
    name = models.CharField(max_length=80)
    city = models.CharField(max_length=60, blank=True)
    region = models.CharField(max_length=60, blank=True)
    country = models.ForeignKey(Country, on_delete=models.CASCADE, related_name="airports")
    elevation = models.FloatField()
    latitude = models.FloatField()
    longitude = models.FloatField()
    timezone = models.CharField(max_length=40)
    visits = models.PositiveIntegerField(default=0, db_index=True, editable=False)

    class Meta:
        """By name."""

        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"

    def get_absolute_url(self) -> str:
        """Return the address of the airport's page."""
        return reverse("airport", args=[self.code])


class Visit(models.Model):
    """One look at an airport's page. Its key is the id of the task that recorded it."""

    id = models.UUIDField(primary_key=True, editable=False)
    airport = models.ForeignKey(Airport, on_delete=models.CASCADE, related_name="recorded_visits")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """The latest first."""

        ordering: ClassVar = ["-at"]

    def __str__(self) -> str:
        return f"{self.airport_id} at {self.at:%Y-%m-%d %H:%M:%S}"


class Preference(models.Model):
    """How a user wants to see the site."""

    class Units(models.TextChoices):
        """The unit of a distance."""

        KILOMETRES = "km", "Kilometres and metres"
        MILES = "mi", "Miles and feet"

    class Theme(models.TextChoices):
        """The colours of the pages."""

        AUTO = "auto", "As the device says"
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True)
    units = models.CharField("distances in", max_length=2, choices=Units, default=Units.KILOMETRES)
    theme = models.CharField("colours", max_length=5, choices=Theme, default=Theme.AUTO)

    def __str__(self) -> str:
        return f"Preferences of {self.user}"
