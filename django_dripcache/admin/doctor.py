"""Doctor: what is wrong with the settings and the servers, each with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext_lazy

from ..checks import check_limits, check_sessions
from ..management.doctor import report
from .screen import Screen

if TYPE_CHECKING:
    from django.http import HttpRequest

    from .place import Place


class DoctorScreen(Screen):
    """What ``manage.py dripcache doctor`` finds, and the checks of limits and sessions."""

    name = "doctor"
    title = gettext_lazy("Doctor")
    kept: ClassVar[tuple[str, ...]] = ()

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:  # noqa: ARG002 - it is about all of them
        """Return the findings."""
        data, _lines, _code = report()
        found = [*data["findings"]]
        known = {(finding["id"], finding["message"]) for finding in found}
        found += [
            {"id": check.id, "message": check.msg, "hint": check.hint or ""}
            for check in [*check_limits(), *check_sessions()]
            if (check.id, check.msg) not in known
        ]
        return {"findings": [{**each, "error": each["id"].startswith("dripcache.E")} for each in found]}
