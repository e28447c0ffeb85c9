"""Of which time a page shows the figures: the last hour, six hours, day, or thirty days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from ..traffic import PERIODS

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ..traffic import Period

DEFAULT: Final[Period] = "1h"

NAMES: Final = {"1h": _("1 hour"), "6h": _("6 hours"), "24h": _("24 hours"), "30d": _("30 days")}
SPOKEN: Final = {
    "1h": _("in the last hour"),
    "6h": _("in the last 6 hours"),
    "24h": _("in the last 24 hours"),
    "30d": _("in the last 30 days"),
}


def find_period(request: HttpRequest) -> Period:
    """Return the period that a request asks for; what is none is the last hour."""
    asked = request.GET.get("period", DEFAULT)
    return asked if asked in PERIODS else DEFAULT
