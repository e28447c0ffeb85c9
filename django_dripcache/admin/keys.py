"""Keys: to search those of the site, to look into one, and to end or delete it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.http import QueryDict
from django.utils.formats import localize
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from ..exceptions import InvalidKeyError
from ..inspection import KeyPage, delete_key, expire_key, find_keys, inspect_key
from .plan import NotDoneError, Plan
from .screen import TEMPLATES, Screen
from .units import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from .place import Place

PLACES: Final = (
    "django cache",
    "cache",
    "user_cache",
    "api_cache",
    "session_cache",
    "auth_cache",
    "flags",
    "rate_limiter",
    "lock",
    "funnel",
    "tag",
    "lease",
    "index",
    "stats",
)
"""What the keys can be of, to be chosen from."""

FORMS: Final[dict[str, Any]] = {
    "json": pgettext_lazy("form of a value", "JSON"),
    "text": pgettext_lazy("form of a value", "text"),
    "integer": pgettext_lazy("form of a value", "integer"),
    "pickle": pgettext_lazy("form of a value", "pickle"),
    "members": pgettext_lazy("form of a value", "members"),
    "opaque": pgettext_lazy("form of a value", "opaque"),
    "hidden": pgettext_lazy("form of a value", "hidden"),
}
"""What a value is, beside its type in Redis."""

LONGEST: Final = 10 * 366 * 86_400
"""The most seconds that a key can be given here: ten years."""


class KeysScreen(Screen):
    """The keys that a search finds, a page at a time; or with ``?name=``, one of them."""

    name = "keys"
    title = capfirst(gettext_lazy("keys"))
    acts: ClassVar[Mapping[str, str]] = {"expire": "change", "delete": "change"}

    def get_template(self, request: HttpRequest) -> str:
        """Return that of the list, or of one key."""
        return f"{TEMPLATES}/key.html" if "name" in request.GET else self.template

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:
        """Return a page of keys, or all that is known of one."""
        if "name" in request.GET:
            return self._one(request, place)
        search, where, error = request.GET.get("search", ""), request.GET.get("place", ""), ""
        try:
            page = find_keys(search, alias=place.alias, place=where, cursor=request.GET.get("cursor", ""))
        except InvalidKeyError as found:
            page, error = KeyPage(), str(found)
        query = QueryDict(mutable=True)
        query.update({"alias": place.alias, "search": search, "place": where, "cursor": page.cursor})
        return {
            "search": search,
            "where": where,
            "places_of_keys": PLACES,
            "page": page,
            "error": error,
            "next": query.urlencode() if page.cursor else "",
            "later": "cursor" in request.GET,
        }

    def plan_delete(self, request: HttpRequest, place: Place) -> Plan:
        """Delete a key."""
        name = self._name(request, place)
        told = {"key": name}

        def delete() -> str:
            if not delete_key(name, alias=place.alias):
                place.check()
                raise NotDoneError(_("The key “%(key)s” was not there.") % told)
            return _("The key “%(key)s” was deleted.") % told

        return Plan(
            subject=_("key “%(key)s”") % told,
            entry=_("Deleted."),
            question=_("Delete the key “%(key)s”?") % told,
            button=_("Delete"),
            do=delete,
            notes=(
                _("It is computed anew where the code asks for it. What is a session ends; a flag has its default."),
            ),
        )

    def plan_expire(self, request: HttpRequest, place: Place) -> Plan:
        """Let a key end in so many seconds."""
        name, text = self._name(request, place), request.POST.get("seconds", "").strip()
        if not text.isdecimal() or int(text) > LONGEST:
            message = _("The time is a whole number of seconds, from 0 to %(most)s.") % {"most": localize(LONGEST)}
            raise ValueError(message)
        seconds = int(text)
        told = {"key": name, "seconds": localize(seconds)}

        def expire() -> str:
            if not expire_key(name, seconds, alias=place.alias):
                place.check()
                raise NotDoneError(_("The key “%(key)s” was not there.") % told)
            ends = ngettext(
                "The key “%(key)s” ends in %(seconds)s second.",
                "The key “%(key)s” ends in %(seconds)s seconds.",
                seconds,
            )
            return ends % told

        question = ngettext(
            "Let the key “%(key)s” end in %(seconds)s second?",
            "Let the key “%(key)s” end in %(seconds)s seconds?",
            seconds,
        )
        entry = ngettext("Set to end in %(seconds)s second.", "Set to end in %(seconds)s seconds.", seconds)
        return Plan(
            subject=_("key “%(key)s”") % told,
            entry=entry % told,
            question=question % told,
            button=_("Set the end"),
            do=expire,
            notes=(_("A value with grace is served stale from then on, until it is computed anew."),),
        )

    def _one(self, request: HttpRequest, place: Place) -> dict[str, Any]:
        name, found, error = request.GET["name"], None, ""
        try:
            found = inspect_key(name, alias=place.alias)
        except InvalidKeyError as refused:
            error = str(refused)
        value = found.value if found is not None and self.hook.has_right(request, "reveal") else ""
        return {
            "asked": name,
            "key": found,
            "form": FORMS[found.form] if found is not None else "",
            "error": error,
            "value": "\n".join(map(shown, value.split("\n"))),
        }

    def _name(self, request: HttpRequest, place: Place) -> str:
        """Return the name of the key. Raises InvalidKeyError for one that is not the site's."""
        name = request.POST.get("name", "")
        inspect_key(name, alias=place.alias)
        return shown(name)
