"""The groups of keys, each with its figures and what to do about it: the table that a cache is tuned by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..advice import advise
from ..traffic import get_traffic
from .period import NAMES, SPOKEN, find_period
from .screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from ..measures import KeyFigures
    from .place import Place

COLUMNS: Final[dict[str, tuple[Any, Callable[[KeyFigures], float | None]]]] = {
    "reads": (gettext_lazy("Reads"), lambda each: each.reads),
    "rate": (gettext_lazy("Hit rate"), lambda each: each.hit_rate),
    "hits": (gettext_lazy("Hits"), lambda each: each.hits),
    "near": (gettext_lazy("Near hits"), lambda each: each.near_hits),
    "stale": (gettext_lazy("Stale"), lambda each: each.stale),
    "misses": (gettext_lazy("Misses"), lambda each: each.misses),
    "errors": (gettext_lazy("Errors"), lambda each: each.errors),
    "sets": (gettext_lazy("Writes"), lambda each: each.sets),
    "bytes": (gettext_lazy("Written"), lambda each: each.bytes),
    "size": (gettext_lazy("Mean size"), lambda each: each.mean_size),
    "median": (gettext_lazy("Median"), lambda each: each.median),
    "p99": (gettext_lazy("99%"), lambda each: each.p99),
    "saved": (gettext_lazy("Time saved"), lambda each: each.saved_seconds),
}
"""What can be sorted by, beside the name."""

DEFAULT: Final = "-reads"


class GroupsScreen(Screen):
    """All groups of a period, sorted by ``?sort=``, with a ``-`` from the most down."""

    name = "groups"
    title = gettext_lazy("Key groups")
    kept: ClassVar[tuple[str, ...]] = ("period",)

    def context(self, request: HttpRequest, place: Place) -> dict[str, Any]:  # noqa: ARG002 - figures are of all aliases
        """Return the table."""
        period = find_period(request)
        traffic = get_traffic(period)
        asked = request.GET.get("sort", DEFAULT)
        sort = asked if asked.removeprefix("-") in {"name", *COLUMNS} else DEFAULT
        rows = [
            {"name": name, "figures": figures, "advice": advise(figures)} for name, figures in traffic.groups.items()
        ]
        rows.sort(key=lambda row: _place(row, sort.removeprefix("-")), reverse=sort.startswith("-"))
        titles = {"name": _("Group"), **{column: title for column, (title, _value) in COLUMNS.items()}}
        return {
            "period": period,
            "periods": NAMES,
            "spoken": SPOKEN[period],
            "available": traffic.available,
            "columns": [_head(column, title, sort, period) for column, title in titles.items()],
            "rows": rows,
        }


def _place(row: dict[str, Any], column: str) -> Any:
    if column == "name":
        return row["name"]
    value = COLUMNS[column][1](row["figures"])
    return value is not None, value or 0


def _head(column: str, title: Any, sort: str, period: str) -> dict[str, Any]:
    """Return the head of a column: a second choice of it turns the order; numbers begin with the most."""
    here, down = sort.removeprefix("-") == column, sort.startswith("-")
    first = column if column == "name" else f"-{column}"
    query = QueryDict(mutable=True)
    query["period"] = period
    query["sort"] = (column if down else f"-{column}") if here else first
    order = ("descending" if down else "ascending") if here else ""
    return {"name": column, "title": title, "query": query.urlencode(), "order": order}
