"""Doctor: what is wrong with the settings and the servers, each with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.core.checks import ERROR
from django.utils.translation import gettext_lazy, override

from ..checks import check_limits, check_sessions
from ..management.doctor import report
from .screen import Screen

if TYPE_CHECKING:
    from django.core.checks import CheckMessage
    from django.http import HttpRequest

    from .place import Place


class DoctorScreen(Screen):
    """What ``manage.py dripcache doctor`` finds, and the checks of limits and sessions."""

    name = "doctor"
    title = gettext_lazy("Doctor")
    kept: ClassVar[tuple[str, ...]] = ()

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:  # noqa: ARG002 - it is about all of them
        """Return the findings: in English, as all checks of Django have them."""
        with override(None):
            data, _lines, _code = report()
        told = [{**each, "error": str(each["id"]).startswith("dripcache.E")} for each in data["findings"]]
        known = {(each["id"], each["message"]) for each in told}
        others = map(make_finding, [*check_limits(), *check_sessions()])
        return {"findings": told + [each for each in others if (each["id"], each["message"]) not in known]}


def make_finding(check: CheckMessage) -> dict[str, Any]:
    """Return what a check has found, as the template shows it."""
    return {"id": check.id, "message": check.msg, "hint": check.hint or "", "error": check.level >= ERROR}
