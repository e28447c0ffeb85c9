"""Tags: to search those that values have, and to void all values that have one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from ..exceptions import InvalidKeyError
from ..inspection import TagPage, find_tags, invalidate_tag
from .plan import NotDoneError, Plan
from .screen import Screen
from .units import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from .place import Place


class TagsScreen(Screen):
    """The tags that a search finds, a page at a time."""

    name = "tags"
    title = pgettext_lazy("of values", "Tags")
    acts: ClassVar[Mapping[str, str]] = {"invalidate": "change"}

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:
        """Return a page of tags."""
        search, error = request.GET.get("search", ""), ""
        try:
            page = find_tags(search, alias=place.alias, cursor=request.GET.get("cursor", ""))
        except InvalidKeyError as found:
            page, error = TagPage(), str(found)
        query = QueryDict(mutable=True)
        query.update({"alias": place.alias, "search": search, "cursor": page.cursor})
        return {
            "search": search,
            "page": page,
            "tags": [{"info": info, "sent": json.dumps([info.tag, info.namespace])} for info in page.tags],
            "error": error,
            "next": query.urlencode() if page.cursor else "",
            "later": "cursor" in request.GET,
        }

    def plan_invalidate(self, request: HttpRequest, place: Place) -> Plan:
        """Void all values that have a tag."""
        tag, namespace = _get_tag(request)
        told = {"tag": shown(tag), "namespace": shown(namespace or "cache")}

        def invalidate() -> str:
            if not invalidate_tag(tag, namespace, alias=place.alias):
                place.check()
                raise NotDoneError(_("No value has the tag “%(tag)s”.") % told)
            return _("All values with the tag “%(tag)s” are void.") % told

        return Plan(
            subject=_("tag “%(tag)s” of %(namespace)s") % told,
            entry=_("Invalidated."),
            question=_("Void all values that have the tag “%(tag)s” of %(namespace)s?") % told,
            button=_("Invalidate"),
            do=invalidate,
            notes=(_("They are computed anew where the code asks for them, and so is what is being computed now."),),
        )


def _get_tag(request: HttpRequest) -> tuple[str, str | None]:
    """Return the tag and its namespace: as they were typed, or those of one which is there, whatever signs it has."""
    sent = request.POST.get("sent")
    if sent is None:
        return request.POST.get("tag", ""), request.POST.get("namespace", "").strip() or None
    match json.loads(sent):
        case [str(tag), (str() | None) as namespace]:
            return tag, namespace
    message = _("It was not said which tag to invalidate.")
    raise ValueError(message)
