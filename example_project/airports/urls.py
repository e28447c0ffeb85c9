"""The catalogue's addresses."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from airports import views

urlpatterns = [
    path("", views.home, name="home"),
    path("airports/<str:code>/", views.airport, name="airport"),
    path("countries/", views.countries, name="countries"),
    path("countries/<str:code>/", views.country, name="country"),
    path("countries.csv", views.countries_csv, name="countries-csv"),
    path("search/", views.search, name="search"),
    path("preferences/", views.edit_preferences, name="preferences"),
    path("preferences/log-out-elsewhere/", views.log_out_elsewhere, name="log-out-elsewhere"),
    path("accounts/login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
]
