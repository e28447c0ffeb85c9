"""Feature flags: which there are, and to switch, add and delete them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..services.flags import FeatureFlags
from .plan import NotDoneError, Plan
from .screen import Screen
from .units import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from .place import Place


class FlagsScreen(Screen):
    """All flags of an alias."""

    name = "flags"
    title = gettext_lazy("Flags")
    acts: ClassVar[Mapping[str, str]] = {"set": "change", "delete": "change"}

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:  # noqa: ARG002 - the same for all
        """Return the flags: without Redis, what this process last knew of them."""
        found = FeatureFlags(place.alias).all()
        return {"flags": [{"name": name, "sent": json.dumps(name), "on": on} for name, on in found.items()]}

    def plan_set(self, request: HttpRequest, place: Place) -> Plan:
        """Switch a flag on or off, and make it if it is not there."""
        name, enabled = _get_name(request), request.POST.get("enabled")
        flags = FeatureFlags(place.alias)
        known = flags.get(name)  # raises for what cannot be a name
        if enabled not in {"on", "off"}:
            message = _("A flag is switched “on” or “off”.")
            raise ValueError(message)
        told, on = {"name": shown(name)}, enabled == "on"

        def switch() -> str:
            if not flags.set(name, on):
                raise NotDoneError(_("The flag “%(name)s” was not switched.") % told)
            return (_("The flag “%(name)s” is on.") if on else _("The flag “%(name)s” is off.")) % told

        return Plan(
            subject=_("flag “%(name)s”") % told,
            entry=_("Switched on.") if on else _("Switched off."),
            question=(_("Switch the flag “%(name)s” on?") if on else _("Switch the flag “%(name)s” off?")) % told,
            button=_("Switch on") if on else _("Switch off"),
            do=switch,
            notes=(_("It is so for all of the site at once, and without an end; an end that it had is forgotten."),),
            harmless=on or not known,
        )

    def plan_delete(self, request: HttpRequest, place: Place) -> Plan:
        """Delete a flag."""
        flags, name = FeatureFlags(place.alias), _get_name(request)
        flags.get(name)  # raises for what cannot be a name
        told = {"name": shown(name)}

        def delete() -> str:
            if not flags.delete(name):
                raise NotDoneError(_("There is no flag “%(name)s”.") % told)
            return _("The flag “%(name)s” was deleted.") % told

        return Plan(
            subject=_("flag “%(name)s”") % told,
            entry=_("Deleted."),
            question=_("Delete the flag “%(name)s”?") % told,
            button=_("Delete"),
            do=delete,
            notes=(_("It then is what the code has for its default."),),
        )


def _get_name(request: HttpRequest) -> str:
    """Return the name of the flag: as it was typed, or that of one which is there, whatever signs are in it."""
    sent = request.POST.get("sent")
    return request.POST.get("name", "") if sent is None else json.loads(sent)
