"""
A panel of django-debug-toolbar: what a request did with the cache, and what of it went to Redis.

    DEBUG_TOOLBAR_PANELS = [..., "django_dripcache.contrib.debug_toolbar.DripCachePanel"]
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..exceptions import ConfigurationError, InvalidKeyError

try:
    from debug_toolbar.panels import Panel
except ImportError as missing:
    _MESSAGE = (
        "django_dripcache.contrib.debug_toolbar needs the package django-debug-toolbar, which is not installed. "
        "Install it: pip install django-debug-toolbar"
    )
    raise ConfigurationError(_MESSAGE) from missing

from .._counted import WATCHERS, subject
from ..areas import find_area, printable
from ..broker import namespace_root
from ..counts import COUNTS
from ..events import LISTENERS
from ..flows.steps import Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from .._counted import Exchanged
    from ..events import Event

__all__ = ["DripCachePanel"]

MOST: Final = 1000
"""So many calls of a request are listed; all are counted."""

MOST_KEYS: Final = 3
"""So many keys of a call are named."""

MOST_TEXT: Final = 200

PACKAGE: Final = __name__.partition(".")[0] + "."

BACKGROUND: Final = frozenset({"_drive", "beside"})
"""Where the frames of what goes on in a thread or a task of its own begin."""

SOURCES: Final[dict[str, Any]] = {
    "near": _("near"),
    "network": _("network"),
    "": _("not asked"),
}
OUTCOMES: Final[dict[str, Any]] = {
    "near": _("near hit"),
    "hit": _("hit"),
    "stale": _("stale"),
    "miss": _("miss"),
    "invalidated": _("invalidated"),
    "error": _("error"),
}


@dataclass(slots=True)
class Row:
    """One call: its ``verb``, the ``names`` in Redis that it was about, what came of it, and what it cost."""

    verb: str
    names: list[bytes] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    round_trips: int = 0
    seconds: float = 0.0

    def add(self, outcome: str, names: Sequence[bytes]) -> None:
        """Note what came of some names."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + len(names)
        self.names += names[: MOST_KEYS + 1]

    @property
    def source(self) -> str:
        """Where it was answered: by Redis, by the near cache, or by nobody."""
        if self.round_trips:
            return "network"
        return "" if "error" in self.outcomes else "near"


class Recording:
    """
    What one request does.

    A call is told by the frame of its verb: the outermost one of this package below the site's code. Frames are held
    until the end, so that no two are taken for one.
    """

    def __init__(self) -> None:
        self._rows: dict[FrameType, Row] = {}

    def hear(self, event: Event, names: Sequence[bytes]) -> None:
        """Note what was told of names."""
        self._row().add(event, names)

    def watch(self, exchanged: Exchanged) -> None:
        """Note an exchange with Redis."""
        row = self._row()
        if exchanged.was_asked:
            row.round_trips += 1
            row.seconds += exchanged.seconds
        if exchanged.error is not None:
            row.outcomes["error"] = row.outcomes.get("error", 0) + 1
        if not row.names:
            step = exchanged.step
            row.names += filter(None, map(subject, step.steps if isinstance(step, Pipeline) else [step]))

    def end(self) -> list[Row]:
        """Return the calls, and let go of their frames."""
        rows = list(self._rows.values())
        self._rows.clear()
        return rows

    def _row(self) -> Row:
        found = sys._getframe(1)  # noqa: SLF001 - as inspect does
        frame: FrameType | None = found
        while frame is not None and _is_ours(frame):
            found, frame = frame, frame.f_back
        row = self._rows.get(found)
        return self._rows.setdefault(found, Row(_verb(found))) if row is None else row


RECORDING: Final[ContextVar[Recording | None]] = ContextVar("dripcache_recording", default=None)


class DripCachePanel(Panel):  # type: ignore[misc]
    """Shows each call of the cache, whether the process, Redis or nobody answered it, and how long Redis took."""

    title: Any = _("DripCache")  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    template: Any = "django_dripcache/debug_toolbar.html"  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    is_async = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rows: list[Row] = []

    @classmethod
    def ready(cls) -> None:
        """Listen, for the requests that have a recording."""
        if _hear not in LISTENERS:
            LISTENERS.append(_hear)
            WATCHERS.append(_watch)

    def enable_instrumentation(self) -> None:
        """Begin the recording of this request."""
        RECORDING.set(Recording())

    def disable_instrumentation(self) -> None:
        """End the recording of this request."""
        recording = RECORDING.get()
        RECORDING.set(None)
        if recording is not None:
            self._rows = recording.end()

    def generate_stats(self, request: Any, response: Any) -> None:  # noqa: ARG002 - the toolbar's signature
        """Hand the calls to the toolbar, as texts and numbers."""
        rows = self._rows
        self.record_stats(
            {
                "total": len(rows),
                "round_trips": sum(row.round_trips for row in rows),
                "near_hits": sum(row.outcomes.get("near", 0) for row in rows),
                "milliseconds": sum(row.seconds for row in rows) * 1000,
                "left_out": max(0, len(rows) - MOST),
                "calls": [_describe(row) for row in rows[:MOST]],
            }
        )

    def generate_server_timing(self, request: Any, response: Any) -> None:  # noqa: ARG002
        """Tell the browser how long Redis took."""
        stats = self.get_stats()
        trips = "1 round trip" if stats["round_trips"] == 1 else f"{stats['round_trips']} round trips"
        self.record_server_timing("redis", f"DripCache, {trips}", stats["milliseconds"])

    @property
    def nav_subtitle(self) -> Any:
        """The calls and their cost, in one line."""
        stats = self.get_stats()
        if not stats:
            return ""
        total, trips = stats["total"], stats["round_trips"]
        return _("%(calls)s, %(near)d near, %(trips)s in %(time)s ms") % {
            "calls": ngettext("%d call", "%d calls", total) % total,
            "near": stats["near_hits"],
            "trips": ngettext("%d round trip", "%d round trips", trips) % trips,
            "time": number_format(stats["milliseconds"], 2),
        }


def _hear(event: Event, names: Sequence[bytes]) -> None:
    recording = RECORDING.get()
    if recording is not None:
        recording.hear(event, names)


def _watch(exchanged: Exchanged) -> None:
    recording = RECORDING.get()
    if recording is not None:
        recording.watch(exchanged)


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(PACKAGE)


def _verb(frame: FrameType) -> str:
    """Return the name of a verb, and of what has none, such as a decorated function or a middleware, its module's."""
    name, module = frame.f_code.co_name, str(frame.f_globals["__name__"]).rpartition(".")[2]
    if module in BACKGROUND:
        return str(_("in the background"))
    return name if name.isidentifier() and name[0] != "_" else module


def _describe(row: Row) -> dict[str, Any]:
    shown = list(dict.fromkeys(map(_show, row.names)))
    keys = [key for _, key in shown if key]
    return {
        "verb": row.verb,
        "groups": ", ".join(dict.fromkeys(group for group, _ in shown)),
        "keys": keys[:MOST_KEYS],
        "more": len(keys) > MOST_KEYS,
        "source": str(SOURCES[row.source]),
        "outcomes": [
            f"{OUTCOMES[name]} ({count})" if count > 1 else str(OUTCOMES[name]) for name, count in row.outcomes.items()
        ],
        "round_trips": row.round_trips,
        "milliseconds": row.seconds * 1000,
    }


def _show(name: bytes) -> tuple[str, str]:
    """Return the group of a name, and its key unless that is a secret."""
    group = COUNTS.group(name[: name.rfind(b":")])
    try:
        area = find_area(namespace_root(), name)
    except InvalidKeyError:
        return "", ""  # a name of somebody else's
    label = printable(area.label if group is None else group)
    if area.is_secret or area.role in {"limit", "other"}:
        return label, ""
    return label, printable(area.names.key(name))[:MOST_TEXT]
