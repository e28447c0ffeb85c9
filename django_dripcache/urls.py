"""Addresses: ``path("cache/", include("django_dripcache.urls"))`` gives ``cache/health/``."""

from __future__ import annotations

from django.urls import path

from .views import health

app_name = "django_dripcache"

urlpatterns = [path("health/", health, name="health")]
