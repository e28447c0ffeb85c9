"""What a row of the matrix is made of: a call, and what it comes to, whatever the server does."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from django_dripcache import CacheUnavailableError, on_outage

from ..processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from .outages import Fault

Kind = Literal["reads", "removes", "grows"]
"""Which servers can do it: also one that is read-only, also one that is full, or neither."""

UNKNOWN: Final = "cannot be known"
"""What a read comes to that raised CacheUnavailableError."""


class Raises(tuple):  # noqa: SLOT001
    """The errors of which one leaves a verb, in the place of an answer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verb:
    """
    One call, and its answer: as it should be, while Redis is away, from an empty database, over values that cannot be
    read, and over values of another type; and ``never``, in a process that has not seen its Redis yet.

    ``writes`` is what is there after it, by the labels of its group, None for nothing; ``fills`` is what may be there,
    too. ``noted`` is whether the journal makes good what failed, so that what was there before is not read after it.
    ``exchanges`` is how many of them a call may begin while nothing is answered, ``twin`` whether it is async, too.
    """

    call: Callable[[Any], Any]
    kind: Kind
    well: Any
    away: Any
    empty: Any
    unreadable: Any
    odd: Any
    never: Any
    see: Callable[[Any], Any] = lambda answer: answer
    writes: dict[str, Any] = dataclasses.field(default_factory=dict)
    fills: dict[str, Any] = dataclasses.field(default_factory=dict)
    noted: bool = True
    exchanges: int = 1
    twin: bool = True

    def answers(self, fault: type[Fault]) -> list[Any]:
        """Return what the call may come to during a fault."""
        if not fault.was_there:
            return [self.never]
        if fault.answers == "either":
            return [self.well, self.away]
        if fault.answers in {"empty", "unreadable", "odd"}:
            return [getattr(self, fault.answers)]
        works = {"nothing": (), "reads": ("reads",), "reads and removes": ("reads", "removes")}[fault.answers]
        return [self.well if self.kind in works else self.away]


def verb(call: Callable[[Any], Any], kind: Kind, well: Any, away: Any, *rest: Any, **more: Any) -> Verb:
    """Return a verb; ``rest`` are its answers from an empty, an unreadable and an odd database."""
    empty, unreadable, odd = rest
    answers = {"well": well, "away": away, "empty": empty, "unreadable": unreadable, "odd": odd, "never": away}
    return Verb(**{"call": call, "kind": kind, **answers, **more})


class Spot(NamedTuple):
    """A value in Redis that a fault may spoil: its name, and the field of a hash that is to be spoiled alone."""

    name: bytes
    field: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """
    Verbs that have one subject, over an alias: ``make`` returns it, for its async twins where that is asked for.

    ``store`` puts in what each call finds there, which ``stored`` tells by labels. ``reads`` are what reads each of
    them, None for nothing. ``spots`` are the values that a fault may spoil: those of the labels ``spoiled``.
    """

    title: str
    make: Callable[[str, bool], Any]
    store: Callable[[Any], None]
    reads: Callable[[Any], dict[str, Callable[[], Any]]]
    stored: dict[str, Any]
    spots: Callable[[Any], list[Spot]]
    spoiled: frozenset[str]
    verbs: dict[str, Verb]

    def read(self, target: Any) -> dict[str, Any]:
        """Return what is there now, by labels: UNKNOWN where that cannot be known, or the error of a read."""
        return {label: _surely(look) for label, look in self.reads(target).items()}

    def allows(self, verb: Verb, fault: type[Fault], label: str, *, done: bool, back: bool) -> list[Any]:
        """Return what may be read after a fault through which ``verb`` was called."""
        stored, sure = self.stored.get(label), done and fault.answers != "either"
        if label in verb.writes:
            allowed = [verb.writes[label], *([] if sure else [None]), *([] if done or verb.noted else [stored])]
        elif fault.answers == "empty":
            allowed = [None]
        elif fault.loses_values or (label in self.spoiled and fault.answers in {"unreadable", "odd"}):
            allowed = [stored, None]
        else:
            allowed = [stored]
        if label in verb.fills and not (sure and label in verb.writes):
            allowed += [verb.fills[label], None]
        return allowed if back else [*allowed, UNKNOWN]


def _surely(look: Callable[[], Any]) -> Any:
    try:
        with on_outage("raise"):
            return look()
    except CacheUnavailableError:
        return UNKNOWN
    except Exception as error:  # noqa: BLE001 - it is in the place of what was read, and no better
        return error


def agrees(answer: Any, expected: Any) -> bool:
    """Return whether a call came to what was expected."""
    if isinstance(expected, Raises):
        return isinstance(answer, tuple(expected))
    return type(answer) is type(expected) and answer == expected


def keep(*writes: Callable[[], Any]) -> None:
    """Do what puts something in; a busy machine may need another try."""
    for write in writes:
        wait_for(write)


def loader() -> str:
    """Return what a site would compute."""
    return "loaded"
