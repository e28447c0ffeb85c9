"""Figures of all processes: added up in Redis by the minute and by the hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..counts import TIMES, Label
from .steps import Command, Pipeline, Script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..counts import Cell
    from ..keys import Keyspace
    from ..typing import Flow

MINUTE: Final = 60
HOUR: Final = 3600
KEPT: Final = {MINUTE: 25 * HOUR, HOUR: 31 * 24 * HOUR}
"""For how many seconds the figures of a minute and those of an hour are kept: a day and 30 days, to their ends."""

MOST_DENIED: Final = 1000
"""So many of those that limits denied are kept of an hour."""

ALL: Final = "*"
"""The group whose times are those of all groups of a minute: times of each are kept by the hour."""

_PAGE: Final = 240
_LONGEST: Final = 19


class Figures(NamedTuple):
    """The counters of a minute or an hour: when it began, in seconds since 1970, and what was counted."""

    since: int
    cells: dict[Label, dict[int, int]]


def add(space: Keyspace, now: float, grown: Mapping[Label, Cell], denied: Mapping[tuple[str, str], int]) -> Flow[None]:
    """Add what a process has counted to this minute and this hour: one script."""
    times: dict[int, int] = {}
    both: list[tuple[bytes, int]] = []
    hourly: list[tuple[bytes, int]] = []
    for label, cell in grown.items():
        for place, number in enumerate(cell):
            if number and label.kind == "k" and place >= TIMES:
                hourly.append((_field(label, place), number))
                times[place] = times.get(place, 0) + number
            elif number:
                both.append((_field(label, place), number))
    both += [(_field(Label("k", ALL), place), number) for place, number in times.items()]
    whom = [(f"{rule}|{who}".encode("utf-8", "replace"), times) for (rule, who), times in denied.items()]
    yield Script(
        "figures",
        [_name(space, MINUTE, now), _name(space, HOUR, now), _name(space, HOUR, now, "denied")],
        KEPT[MINUTE] * 1000,
        KEPT[HOUR] * 1000,
        KEPT[MINUTE] * 1000,
        len(both),
        len(hourly),
        len(whom),
        *[part for pair in (*both, *hourly, *whom) for part in pair],
        MOST_DENIED,
    )


def read(space: Keyspace, length: int, since: float, until: float) -> Flow[list[Figures]]:
    """Return the figures of the minutes or hours, by their ``length``, from one moment to another."""
    starts = range(int(since) // length * length, int(until) + 1, length)
    found = []
    for at in range(0, len(starts), _PAGE):
        page = starts[at : at + _PAGE]
        replies = yield Pipeline([Command("HGETALL", _name(space, length, start)) for start in page])
        found += [Figures(start, _parse(reply)) for start, reply in zip(page, replies, strict=True)]
    return found


def most_denied(space: Keyspace, hours: int, until: float, most: int) -> Flow[list[tuple[str, str, int]]]:
    """Return whom limits denied most in the last hours: the rule, who, and how often."""
    starts = [until - HOUR * ago for ago in range(hours)]
    replies = yield Pipeline(
        [Command("ZREVRANGE", _name(space, HOUR, at, "denied"), 0, most - 1, "WITHSCORES") for at in starts]
    )
    total: dict[bytes, int] = {}
    for reply in replies:
        members: Sequence[bytes] = reply if isinstance(reply, list) else []
        for who, times in zip(members[::2], members[1::2], strict=False):
            total[who] = total.get(who, 0) + int(float(times))
    ranked = sorted(total.items(), key=lambda pair: -pair[1])[:most]
    return [(*_split(who), times) for who, times in ranked]


def _split(member: bytes) -> tuple[str, str]:
    rule, _, who = member.decode("utf-8", "replace").partition("|")
    return rule, who


def _name(space: Keyspace, length: int, now: float, kind: str = "") -> bytes:
    return space.name(f"{kind or ('minute' if length == MINUTE else 'hour')}:{int(now) // length * length}")


def _field(label: Label, place: int) -> bytes:
    return f"{label.kind}{place}:{label.name}".encode("utf-8", "replace")


def _parse(reply: object) -> dict[Label, dict[int, int]]:
    cells: dict[Label, dict[int, int]] = {}
    fields: Sequence[bytes] = reply if isinstance(reply, list) else []
    for field, number in zip(fields[::2], fields[1::2], strict=False):
        head, _, name = field.decode("utf-8", "replace").partition(":")
        if head[1:].isdecimal() and number.isdigit() and len(number) < _LONGEST:
            cells.setdefault(Label(head[0], name), {})[int(head[1:])] = int(number)
    return cells
