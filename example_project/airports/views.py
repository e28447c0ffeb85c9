"""The pages."""

from __future__ import annotations

import csv
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Case, Q, Value, When
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from kombu.exceptions import OperationalError

from airports import geography, preferences
from airports.caching import TAGS, TTL, PageCache, computing
from airports.forms import PreferenceForm
from airports.models import Airport, Country, Preference
from airports.tasks import record_visit
from django_dripcache import cache, cached_view

if TYPE_CHECKING:
    from django.http import HttpRequest

PER_PAGE = 50
FOUND_AT_MOST = 30
LONGEST_QUERY = 40

log = logging.getLogger(__name__)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the world in numbers, and what people look at: nobody waits for newer figures, a worker computes them."""
    pages = PageCache(request)
    context = {"world": pages.call(geography.world_numbers), "popular": pages.call(geography.most_visited)}
    return respond(request, "airports/home.html", context, pages)


@require_safe
def airport(request: HttpRequest, code: str) -> HttpResponse:
    """Show an airport: cache-aside, with two answers of different reach. Celery records the visit."""
    pages = PageCache(request)
    try:
        report = pages.get(f"airport:{code}", partial(geography.airport_report, code))
    except Airport.DoesNotExist:
        raise Http404(f"There is no airport with the code {code!r}.") from None
    home_country = report["airport"]["country_code"]
    context = {
        **report,
        "country": pages.get(f"country:{home_country}", partial(geography.country_numbers, home_country)),
    }
    response = respond(request, "airports/airport.html", context, pages)
    task_id = count_visit(code)
    if settings.DEMO and task_id:
        response.headers["X-Task"] = task_id
    return response


@require_safe
def countries(request: HttpRequest) -> HttpResponse:
    """Show all countries. The template caches the table as a fragment: the query runs only if that is gone."""
    return render(request, "airports/countries.html", {"table": geography.country_table})


@require_safe
@cached_view(TTL, tags=TAGS)
def countries_csv(_request: HttpRequest) -> HttpResponse:
    """Hand out all countries for a spreadsheet: the same for everybody, so the whole response is cached."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="countries.csv"'
    table = geography.country_table()
    writer = csv.DictWriter(response, fieldnames=list(table[0]) if table else [])
    writer.writeheader()
    writer.writerows(table)
    return response


@require_safe
def country(request: HttpRequest, code: str) -> HttpResponse:
    """Show a country's airports: one key an airport, all read in one round trip, the missing ones computed at once."""
    found = get_object_or_404(Country, pk=code)
    codes = found.airports.order_by("name", "code").values_list("code", flat=True)
    page = Paginator(codes, PER_PAGE).get_page(request.GET.get("page"))
    pages = PageCache(request)
    numbers = pages.get(f"country:{code}", partial(geography.country_numbers, code))
    cards = pages.get_many(f"cards:{numbers['edition']}", list(page), geography.cards)
    context = {"country": found, "numbers": numbers, "page": page, "cards": cards.values()}
    return respond(request, "airports/country.html", context, pages)


@require_safe
async def search(request: HttpRequest) -> HttpResponse:
    """Find airports whose code, name or city starts with a text. The view is async, and so is its way to the cache."""
    query = " ".join(request.GET.get("q", "").split())[:LONGEST_QUERY]
    pages = PageCache(request)

    async def look_up() -> list[dict[str, Any]]:
        with computing():
            return [row async for row in matches(query)]

    context = {
        "query": query,
        "found": await pages.aget(f"search:{query.casefold()}", look_up) if query else [],
        "limit": FOUND_AT_MOST,
    }
    # A template reads the session and the preferences when it needs them, and that is synchronous work.
    return await sync_to_async(respond)(request, "airports/search.html", context, pages)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_preferences(request: HttpRequest) -> HttpResponse:
    """Change how the site looks to oneself, and see where one is logged in."""
    current = preferences.load(request.user)
    form = PreferenceForm(
        request.POST or None, instance=Preference(user=request.user, units=current.units, theme=current.theme)
    )
    if request.method == "POST" and form.is_valid():
        preferences.save(request.user, preferences.Preferences(**form.cleaned_data))
        messages.success(request, "Your preferences are saved.")
        return redirect("preferences")
    session = request.session
    logins = session.sessions.list_for_user(request.user, current=session.session_key)
    return render(request, "airports/preferences.html", {"form": form, "logins": logins})


@login_required
@require_POST
def log_out_elsewhere(request: HttpRequest) -> HttpResponse:
    """End all sessions of a user but this one."""
    ended = request.session.sessions.delete_for_user(request.user, keep=request.session.session_key)
    messages.success(request, f"Logged out in {ended} other place{'' if ended == 1 else 's'}.")
    return redirect("preferences")


def count_visit(code: str) -> str | None:
    """
    Let Celery count a look at an airport; return the task's id, or None where it could not be queued.

    Nobody should wait for a page, let alone miss it, because a visit cannot be counted. A publisher waits for seconds:
    so the cache, which knows at once whether Redis answers, is asked first.
    """
    if cache.test_connection():
        try:
            return str(record_visit.apply_async([code], retry=False).id)
        except OperationalError:
            log.warning("A visit of %s was not counted: the broker is away.", code)
    return None


def matches(query: str) -> Any:
    """Return the rows that a search finds: those with that very code first."""
    exact = Case(When(Q(code__iexact=query) | Q(iata__iexact=query), then=Value(0)), default=Value(1))
    wanted = Q()
    for field in ("code", "iata", "name", "city"):
        wanted |= Q(**{f"{field}__istartswith": query})
    rows = Airport.objects.filter(wanted).annotate(order=exact).order_by("order", "-visits", "name")
    return rows.values("code", "iata", "name", "city", "country__name")[:FOUND_AT_MOST]


def respond(request: HttpRequest, template: str, context: dict[str, Any], pages: PageCache) -> HttpResponse:
    """Render a page, and say in its header and at its foot what the cache did for it."""
    response = render(request, template, {**context, "page_cache": pages})
    response.headers["X-Cache"] = pages.status
    return response
