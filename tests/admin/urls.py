"""A site with an admin of its own beside Django's."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from django_dripcache.admin import OverviewAdmin
from django_dripcache.models import Overview

office = admin.AdminSite("office")
office.register(Overview, OverviewAdmin)

urlpatterns = [path("office/", office.urls), path("admin/", admin.site.urls)]
