"""Clear: to remove all keys of an alias' Django cache, or of a namespace, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.core.cache import caches
from django.utils.formats import localize
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext, pgettext_lazy

from ..manager import CacheManager
from .plan import Plan
from .screen import Screen
from .units import amount, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from ..stats import CacheStats
    from .place import Place


class ClearScreen(Screen):
    """What can be cleared."""

    name = "clear"
    title = pgettext_lazy("to remove all keys", "Clear")
    right = "clear"
    acts: ClassVar[Mapping[str, str]] = {"django": "clear", "cache": "clear"}

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:  # noqa: ARG002 - the same for all
        """Return how many keys there are."""
        cache: Any = caches[place.alias]
        return {
            "django": cache.get_stats(),
            "ours": CacheManager(place.alias).get_stats(),
        }

    def plan_django(self, request: HttpRequest, place: Place) -> Plan:  # noqa: ARG002 - the same for all
        """Clear Django's cache of an alias."""
        cache: Any = caches[place.alias]
        told = {"alias": shown(place.alias)}

        def clear() -> str:
            cache.clear()
            return _("The cache “%(alias)s” was cleared.") % told

        return Plan(
            subject=_("cache “%(alias)s”") % told,
            entry=_("Cleared."),
            question=_("Remove all keys of Django's cache “%(alias)s”?") % told,
            button=pgettext("to remove all keys", "Clear"),
            do=clear,
            notes=(
                _("Another alias with the same KEY_PREFIX on this server is cleared with it."),
                _("Celery's tasks, sessions, limits, flags and what others keep on this server stay."),
            ),
            typed=place.alias,
        )

    def plan_cache(self, request: HttpRequest, place: Place) -> Plan:
        """Clear a namespace of ``cache``, or what is in none."""
        name = request.POST.get("namespace", "").strip()
        manager = CacheManager(place.alias, namespace=name or None)
        told = {"name": shown(name) or "cache"}

        def clear() -> str:
            count = manager.clear()
            text = ngettext("“%(name)s” was cleared of %(n)s key.", "“%(name)s” was cleared of %(n)s keys.", count)
            return text % {**told, "n": localize(count)}

        return Plan(
            subject=(_("namespace “%(name)s”") if name else _("“%(name)s”, without a namespace")) % told,
            entry=_("Cleared."),
            question=(
                _("Remove all keys of the namespace “%(name)s”?") if name else _("Remove all keys of “%(name)s”?")
            )
            % told,
            button=pgettext("to remove all keys", "Clear"),
            do=clear,
            notes=(
                _count(manager.get_stats()),
                _("What is being computed meanwhile is not stored."),
                _("Celery's tasks, sessions, limits, flags and other namespaces stay."),
            ),
            typed=name or "cache",
        )


def _count(stats: CacheStats) -> str:
    if stats.keys_exact:
        return ngettext("There is %(n)s key.", "There are %(n)s keys.", stats.keys) % {"n": localize(stats.keys)}
    told = ngettext(
        "There is about %(n)s key. A web server may give up before it is gone; manage.py dripcache clear waits.",
        "There are about %(n)s keys. A web server may give up before they are gone; manage.py dripcache clear waits.",
        stats.keys,
    )
    return told % {"n": amount(stats.keys)}
