"""One page of the dashboard: who may see it, what is on it, and what may be done there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseNotAllowed, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from ..deadline import BUDGET, budget
from ..exceptions import CacheUnavailableError
from ..outage import on_outage
from .place import SECONDS, find_places
from .plan import NotDoneError, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase
    from django.urls import URLPattern
    from django_stubs_ext import StrOrPromise

    from .hook import OverviewAdmin
    from .place import Place

TEMPLATES: Final = "admin/django_dripcache"
READING: Final = ("GET", "HEAD")
OWN: Final = ("csrfmiddlewaretoken", "confirmed", "typed")
"""Fields of the page that asks; all others are those of what is to be done."""


class Screen:
    """
    A page, as a tab of the dashboard.

    ``right`` is who may see it. ``acts`` are what can be done there, each with the right that it asks for: the method
    ``plan_<act>()`` makes its Plan from what was posted, or raises ValueError. ``kept`` are the parameters of the
    address that stay when the page is shown again.
    """

    name: ClassVar[str]
    title: ClassVar[StrOrPromise]
    right: ClassVar[str] = "view"
    acts: ClassVar[Mapping[str, str]] = {}
    kept: ClassVar[tuple[str, ...]] = ("alias",)

    def __init__(self, hook: OverviewAdmin) -> None:
        self.hook = hook

    @property
    def template(self) -> str:
        """The name of its template."""
        return f"{TEMPLATES}/{self.name}.html"

    @property
    def route(self) -> str:
        """Where it lies below the address of the dashboard."""
        return f"{self.name}/"

    @classmethod
    def url_name(cls, act: str = "") -> str:
        """Return the name of its address, or of that of an act."""
        return "_".join(part for part in ("django_dripcache_overview", cls.name, act) if part)

    def get_urls(self) -> list[URLPattern]:
        """Return its address, and those of its acts."""
        base = self.route
        urls = [self._url(base, self.url_name(), self.show, self.right, READING)]
        urls += [
            self._url(f"{base}{act}/", self.url_name(act), partial(self.act, name=act), right, ("POST",))
            for act, right in self.acts.items()
        ]
        return urls

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:
        """Return what its template shows, of a place that may or may not answer."""
        raise NotImplementedError

    def show(self, request: HttpRequest) -> HttpResponse:
        """Show the page."""
        places = find_places()
        usable = [place for place in places if place.server is not None]
        context = self._frame(request, places)
        if not usable:
            return TemplateResponse(request, f"{TEMPLATES}/screen.html", context)
        asked = request.GET.get("alias")
        place = next((place for place in usable if place.alias == asked), usable[0])
        context |= {"place": place, "usable": usable, **self.context(request, place)}
        return TemplateResponse(request, self.get_template(request), context)

    def get_template(self, request: HttpRequest) -> str:  # noqa: ARG002 - for those who override it
        """Return the name of the template that answers a request."""
        return self.template

    def act(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask whether something is to be done; or do it, if that is the answer."""
        back = self._back(request)
        places = {place.alias: place for place in find_places()}
        place = places.get(request.POST.get("alias", ""))
        if place is None:
            messages.error(request, _("There is no such cache."))
            return HttpResponseRedirect(back)
        if place.trouble:
            messages.error(request, _("Nothing was done: %(trouble)s") % {"trouble": place.trouble})
            return HttpResponseRedirect(back)
        try:
            plan: Plan = getattr(self, f"plan_{name}")(request, place)
        except ValueError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(back)
        wrong = "confirmed" in request.POST and request.POST.get("typed", "") != plan.typed
        if wrong or "confirmed" not in request.POST:
            return self._ask(request, list(places.values()), plan, back, wrong=wrong)
        self._do(request, plan)
        return HttpResponseRedirect(back)

    # Parts

    def _url(
        self, route: str, name: str, view: Callable[[HttpRequest], HttpResponse], right: str, methods: tuple[str, ...]
    ) -> URLPattern:
        @sensitive_post_parameters()
        def guarded(request: HttpRequest) -> HttpResponseBase:
            if not self.hook.has_right(request, right) or not self.hook.has_right(request, self.right):
                raise PermissionDenied
            if request.method not in methods:
                return HttpResponseNotAllowed(methods)
            request.current_app = self.hook.admin_site.name
            with budget(SECONDS), on_outage("fallback"):
                return view(request)

        return path(route, self.hook.admin_site.admin_view(guarded), name=name)

    def _frame(self, request: HttpRequest, places: list[Place]) -> dict[str, Any]:
        """Return what all pages show."""
        return {
            **self.hook.admin_site.each_context(request),
            "title": _("Cache"),
            "subtitle": self.title,
            "opts": self.hook.opts,
            "screen": self,
            "tabs": list(self._tabs(request)),
            "places": places,
            "may": {right: self.hook.has_right(request, right) for right in ("change", "clear", "reveal")},
            "kept": request.GET.urlencode(),
        }

    def _tabs(self, request: HttpRequest) -> Iterator[dict[str, Any]]:
        for screen in self.hook.screens:
            if self.hook.has_right(request, screen.right):
                kept = {name: request.GET[name] for name in screen.kept if name in request.GET}
                query = QueryDict(mutable=True)
                query.update(kept)
                url = self._reverse(screen.url_name())
                yield {
                    "title": screen.title,
                    "url": f"{url}?{query.urlencode()}" if kept else url,
                    "here": screen is type(self),
                }

    def _reverse(self, name: str) -> str:
        return reverse(f"admin:{name}", current_app=self.hook.admin_site.name)

    def _back(self, request: HttpRequest) -> str:
        query, url = request.POST.get("back", ""), self._reverse(self.url_name())
        return f"{url}?{query}" if query else url

    def _ask(self, request: HttpRequest, places: list[Place], plan: Plan, back: str, *, wrong: bool) -> HttpResponse:
        fields = [(name, value) for name in request.POST if name not in OWN for value in request.POST.getlist(name)]
        context = {**self._frame(request, places), "plan": plan, "fields": fields, "back": back, "wrong": wrong}
        return TemplateResponse(request, f"{TEMPLATES}/confirm.html", context)

    def _do(self, request: HttpRequest, plan: Plan) -> None:
        token = BUDGET.set(None)  # it takes as long as it takes, call by call
        try:
            with on_outage("raise"):
                told = plan.do()
        except NotDoneError as error:
            messages.warning(request, str(error))
        except CacheUnavailableError:
            told = _("Redis did not answer, and it is not known whether this was done: %(subject)s. Look again later.")
            messages.error(request, told % {"subject": plan.subject})
        else:
            subject = self.hook.model()
            subject.subject = plan.subject
            self.hook.log_change(request, subject, plan.entry)
            messages.success(request, told)
        finally:
            BUDGET.reset(token)
